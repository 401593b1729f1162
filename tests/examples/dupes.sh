#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# dupes finds what it should find in a tree made for it, in both modes, and says what it could not read.
. "$(dirname "$0")/check.bash"
cp "$programs/dupes" . && chmod 755 . dupes || exit 1  # where another user finds it

# What -0 gives, a group a line.
groups() { tr '\0\n' '\n~' | awk '{ if ($0 == "") { print line; line = "" } else line = line (line == "" ? "" : " = ") $0 }'; }

mkdir -p tree/sub/deep elsewhere
printf 'hello\n' | tee tree/a tree/b tree/sub/c elsewhere/d >/dev/null
ln tree/a tree/a_hard
ln tree/b tree/sub/b_hard
printf 'world\n' | tee tree/w tree/sub/deep/w >/dev/null
printf 'other\n' >tree/other  # the size of many, and alone with what it holds
ln -s a tree/symlink
ln -s ../elsewhere tree/sub/symlink
ln -s . tree/sub/loop
: >tree/empty1
: >tree/sub/empty2
mkfifo tree/fifo tree/sub/fifo
head -c 200000 /dev/zero | tr '\0' x | tee tree/big1 >tree/big2
for at in 16384 100000 199999; do  # alike up to there
  { head -c $at tree/big1; printf y; tail -c +$((at + 2)) tree/big1; } >tree/big_$at
done
cp tree/big_199999 tree/sub/big
for size in 16383 16384 16385 65536 65537 131072; do  # around the edges of blocks
  head -c $size tree/big1 | tee tree/edge_$size >tree/sub/edge_$size
done

expected='tree/big1 = tree/big2
tree/big_199999 = tree/sub/big
tree/edge_131072 = tree/sub/edge_131072
tree/edge_65537 = tree/sub/edge_65537
tree/edge_65536 = tree/sub/edge_65536
tree/edge_16385 = tree/sub/edge_16385
tree/edge_16384 = tree/sub/edge_16384
tree/edge_16383 = tree/sub/edge_16383
tree/a = tree/b = tree/sub/c
tree/sub/deep/w = tree/w'
for mode in $(modes_of ./dupes serial thread process); do
  found=$(./dupes --mode $mode --workers 3 -0 tree 2>errors | groups)
  same "$mode: the exit code is 0 although there are duplicates" 0 $?
  same "$mode: the groups, those that take the most room first, and each file under its first name" "$expected" "$found"
  same "$mode: nothing to complain of" '' "$(<errors)"
done
same 'thread mode is what runs without --mode' "$expected" "$(./dupes -0 tree | groups)"
same 'the current folder is looked through if none is given' "$(sed 's,tree,.,g' <<<"$expected")" \
  "$(cd tree && ../dupes -0 | groups)"
same 'what is given twice counts once' "$expected" "$(./dupes -0 tree tree/sub tree tree/a tree/sub/deep/w | groups)"
same 'files may be given, and a symbolic link that is given is followed' 'elsewhere/d = tree/symlink' \
  "$(./dupes -0 elsewhere tree/symlink | groups)"
same 'empty files count with --min-size 0' 'tree/empty1 = tree/sub/empty2' "$(./dupes -0 --min-size 0 tree | groups | tail -n 1)"
same 'small files are left out' 'tree/big1 = tree/big2
tree/big_199999 = tree/sub/big' "$(./dupes -0 --min-size 132KB tree | groups)"

same 'as text: the groups, and a line that counts' '3 files of 6 B, 12 B reclaimable:
  elsewhere/d
  tree/a
  tree/sub/c

1 group with 2 duplicates, 12 B reclaimable; 3 files of 18 B looked at, 0 errors' \
  "$(./dupes elsewhere tree/a tree/sub/c tree/sub/c)"
same 'as text: the largest first' '2 files of 195.3 KiB, 195.3 KiB reclaimable:
  tree/big1
  tree/big2' "$(./dupes tree | head -n 3)"

# Names that are hard to write.
mkdir names
for name in 'new
line' "quo'te" 'back\slash' ' space ' '$dollar' "\$'a'" $'tab\t' $'bad\xff\xc3utf8' $'\xc3\xa9t\xc3\xa9' $'\xc2\x85' $'\x7f' '*'; do
  printf 'the same' >"names/$name"
done
same 'a name that is hard to write is written as the shell would have it' '  names/ space 
  names/$'"'a'"'
  names/$dollar
  names/*
  names/back\slash
  $'"'"'names/new\nline'"'"'
  names/quo'"'"'te
  $'"'"'names/tab\x09'"'"'
  $'"'"'names/\x7f'"'"'
  $'"'"'names/\xc2\x85'"'"'
  names/'$'\xc3\xa9t\xc3\xa9' "$(./dupes names | sed -e '/names/!d' -e '/bad/d')"
same 'bytes that are not UTF-8 are written as digits' "  \$'names/bad\\xff\\xc3utf8'" "$(./dupes names | grep bad)"
same 'a name that begins like a quoted one is quoted' "  \$'\$\\'x'" \
  "$(mkdir more && cd more && cp ../names/qu* "\$'x" && ../dupes "\$'x" ../names/qu* | grep x)"
same 'the shell reads quoted names back' 12 "$(
  ./dupes names | sed -n "s/^  \\(\\\$'.*'\\)\$/\\1/p" | while read -r quoted; do eval "[ -f $quoted ] && echo there"; done | wc -l |
    awk -v others="$(./dupes names | grep -c '^  names')" '{ print $1 + others }')"

# What cannot be read.
mkdir shut
cp tree/a shut/file
cp tree/a tree/secret
chmod 000 shut tree/secret
chmod 755 tree tree/sub
found=$(as_nobody ./dupes -0 elsewhere tree/a tree/secret shut missing 2>errors | groups)
same 'the exit code is 1 if something could not be read' 1 $?
same 'the rest is found' 'elsewhere/d = tree/a' "$found"
same 'each that could not be read is told with the reason' 'dupes: cannot read missing: No such file or directory
dupes: cannot read shut: Permission denied
dupes: cannot read tree/secret: Permission denied' "$(<errors)"
same 'the last line counts the errors' '1 group with 1 duplicate, 6 B reclaimable; 3 files of 18 B looked at, 3 errors' \
  "$(as_nobody ./dupes elsewhere tree/a tree/secret shut missing 2>/dev/null | tail -n 1)"
as_nobody ./dupes -0 tree/secret >found 2>&1
same 'a file that shares its size with no other is not opened' 0 $?

# Wrong usage, and what cannot be written.
wrong() { # WHAT MESSAGE [WORD]...
  local what=$1 message=$2 said
  shift 2
  said=$(./dupes "$@" 2>&1)
  same "$what: the exit code is 2" 2 $?
  check "$what: the message has '$message', but is: $said" grep -qF -e "$message" <<<"$said"
}
wrong 'a mode that there is not' 'fibers not in' --mode fibers tree
wrong 'no worker' 'Value 0 not in range 1 to' --workers 0 tree
wrong 'a negative size' '--min-size' --min-size -5 tree
wrong 'two formats' 'excludes' --json -0 tree
wrong 'an option that there is not' '--delete' --delete tree
wrong 'coroutine mode, which needs a coroutine' 'Mode::coroutine' --mode coroutine tree
if [ -c /dev/full ]; then
  ./dupes tree >/dev/full 2>errors
  same 'a result that cannot be written is an error' 2 $?
  check 'it says why' grep -q 'No space left on device' errors
fi
same '--help succeeds' 0 "$(./dupes --help >help; echo $?)"
check '--help tells the exit codes' grep -q '^Exit code' help

# The bar.
rm -f tree/secret
same 'no bar where standard error is no terminal' '' "$(./dupes tree 2>&1 >/dev/null)"
if command -v script >/dev/null && TERM=xterm script -qec './dupes tree >/dev/null' /dev/null </dev/null >drawn 2>/dev/null; then
  for step in 'first blocks' 'whole files' 'compare'; do
    check "on a terminal there is a bar for '$step'" grep -q "$step .*100%" drawn
  done
  TERM=xterm script -qec './dupes --no-bar tree >/dev/null' /dev/null </dev/null >drawn
  same 'no bar with --no-bar' '' "$(tr -d '\r' <drawn)"
fi
finish
