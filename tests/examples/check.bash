# SPDX-License-Identifier: MIT
# What the scripts share that try out the examples. To be sourced: it makes $work, a folder of its own, and goes there.
#
#   same WHAT EXPECTED GOT          complains unless the two texts are equal
#   check WHAT COMMAND [WORD]...    complains unless the command succeeds
#   is_json FILE                    whether it is JSON; this needs perl
#   as_nobody COMMAND [WORD]...     runs it as somebody who may not read everything, as root may
#   is_sanitized PROGRAM            whether it was built with a sanitizer
#   modes_of PROGRAM MODE...        the modes, but for `process` where another thread may hold a sanitizer's lock when it forks
#   skip WHY                        ends the script: it cannot run here
#   finish                          ends the script: 1 if there was a complaint
set -u -o pipefail
export LC_ALL=C
unset CDPATH TERM NO_COLOR
[ -d "${1-}" ] || { echo "usage: $0 FOLDER: where the examples are"; exit 1; }
programs=$(cd "$1" && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'chmod -R u+rwX "$work" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1
complaints=0

complain() {
  printf 'FAILED: %s\n' "$1"
  complaints=$((complaints + 1))
}

same() {
  [ "$2" = "$3" ] && return
  complain "$1"
  printf '%s\n' "$2" >same.expected
  printf '%s\n' "$3" >same.got
  diff same.expected same.got | cat -v | sed -e 's/^</  expected/' -e 's/^>/  got     /' -e 20q
}

check() { "${@:2}" || complain "$1"; }

if [ "$(id -u)" = 0 ]; then
  as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
else
  as_nobody() { "$@"; }
fi

modes_of() { if is_sanitized "$1"; then echo "${@:2}" | sed 's/ *process//'; else echo "${@:2}"; fi; }

is_sanitized() { grep -qaE '__(asan|tsan)_init' "$1"; }

# RFC 8259, for a perl without modules.
is_json() {
  cat >is_json.pl <<'END'
undef $/;
$_ = <STDIN>;
utf8::decode($_) or die "not UTF-8\n";
$string = qr/"(?:[^"\\\x00-\x1f]|\\(?:["\\\/bfnrt]|u[0-9a-fA-F]{4}))*"/;
$number = qr/-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/;
$member = qr/[ \t\r\n]*$string[ \t\r\n]*:(??{$value})/;
$value = qr/[ \t\r\n]*(?:$string|$number|true|false|null|\[(?:(??{$value})(?:,(??{$value}))*+)?+[ \t\r\n]*\]|\{(?:$member(?:,$member)*+)?+[ \t\r\n]*\})[ \t\r\n]*/;
/\A$value\z/ or die "not JSON\n";
END
  perl is_json.pl <"$1" || return
  ! perl -MJSON::PP -e 1 2>/dev/null || perl -MJSON::PP -0777 -e 'decode_json(<STDIN>)' <"$1"  # where there is another opinion
}

skip() {
  printf 'skipped: %s\n' "$1"
  exit 77
}

finish() {
  [ "$complaints" = 0 ] || exit 1
  exit 0
}
