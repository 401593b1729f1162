#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What dupes --json writes is JSON whatever the names, and says the same as --null.
. "$(dirname "$0")/check.bash"
command -v perl >/dev/null || skip 'perl is not installed'
dupes=$programs/dupes

# The names of the groups, in the form of --null.
cat >names.pl <<'END'
undef $/;
$_ = <STDIN>;
s/"errors": .*//s;
while (/\{"path": "((?:[^"\\]|\\.)*)"(?:, "path_hex": "([0-9a-f]*)")?\}(\]\})?/g) {
  my ($name, $hex, $last) = ($1, $2, $3);
  $name =~ s/\\(?:u00(..)|(.))/defined $1 ? chr(hex($1)) : $2/ge;
  print defined $hex ? pack("H*", $hex) : $name, "\0", $last ? "\0" : "";
}
END

mkdir -p tree/folder none
for ((byte = 1; byte < 256; ++byte)); do
  name=$(printf "\\x$(printf %x $byte)|")
  case $byte in 46) name=".x|" ;; 47) continue ;; esac
  printf 'all bytes' >"tree/folder/${name%|}"
done
for name in 'new
line' $'\xc3\xa9t\xc3\xa9' $'\xe2\x82\xac' $'\xf0\x9f\x98\x80' $'\xed\xa0\x80' $'\xc0\xaf' $'\xf4\x90\x80\x80' $'\xe2\x82' $'a\xe2\x82' \
  'q"uote' 'back\slash' '\u0041' 'path_hex": "61"' $'\xef\xbf\xbd' ']}' '"'; do
  printf 'the same' >"tree/$name"
done

"$dupes" --json tree >found.json
same 'the exit code is 0' 0 $?
check 'it is JSON, whatever the names' is_json found.json
"$dupes" -0 tree >found
perl names.pl <found.json >names
check 'the names are those that --null writes' cmp found names
same 'each name is there once' 270 "$(grep -c '"path"' found.json)"
check 'a name that is not UTF-8 has U+FFFD for each byte, and its bytes as digits' \
  grep -qF '{"path": "tree/a\ufffd\ufffd", "path_hex": "747265652f61e282"}' found.json
check 'a surrogate is not UTF-8' grep -qF '{"path": "tree/\ufffd\ufffd\ufffd", "path_hex": "747265652feda080"}' found.json
check 'nor is what UTF-8 could say shorter' grep -qF '{"path": "tree/\ufffd\ufffd", "path_hex": "747265652fc0af"}' found.json
check 'nor is what is beyond Unicode' \
  grep -qF '{"path": "tree/\ufffd\ufffd\ufffd\ufffd", "path_hex": "747265652ff4908080"}' found.json
check 'a name that is UTF-8 is written as it is' grep -qF $'{"path": "tree/\xf0\x9f\x98\x80"}' found.json
check 'a line end is escaped' grep -qF '{"path": "tree/new\u000aline"}' found.json
check 'quotes and backslashes are escaped' grep -qF '{"path": "tree/path_hex\": \"61\""}' found.json

"$dupes" --json none >none.json
check 'without a file it is JSON as well' is_json none.json
same 'without a file it says that there was none' '{
  "groups": [],
  "errors": [],
  "files": 0, "bytes": 0, "duplicates": 0, "reclaimable": 0
}' "$(<none.json)"

printf 'hello\n' | tee none/a none/b >none/c
"$dupes" --json none $'missing\xff' 2>errors >errors.json
same 'an error makes the exit code 1' 1 $?
check 'with an error it is JSON as well' is_json errors.json
same 'groups, errors and sums' '{
  "groups": [
    {"size": 6, "reclaimable": 12, "files": [
      {"path": "none/a"},
      {"path": "none/b"},
      {"path": "none/c"}]}],
  "errors": [
    {"path": "missing\ufffd", "path_hex": "6d697373696e67ff", "reason": "No such file or directory", "attempts": 1}],
  "files": 3, "bytes": 18, "duplicates": 2, "reclaimable": 12
}' "$(<errors.json)"
same 'the error is told on standard error as well' "dupes: cannot read \$'missing\\xff': No such file or directory" "$(<errors)"
finish
