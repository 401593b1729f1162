#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# wordcount counts what tr, sort and uniq count, whichever way its stages run, and wherever a block ends.
. "$(dirname "$0")/check.bash"
cp "$programs/wordcount" . 2>/dev/null || skip 'wordcount was not built'
modes=$(modes_of ./wordcount serial pipeline process)
chmod 755 . wordcount

# What wordcount should say of files, a word a line.
words_of() { for file; do tr '[:upper:]' '[:lower:]' <"$file" | tr -cs '0-9a-z\200-\377' '\n'; echo; done | sed '/^$/d'; }
expected_of() { words_of "$@" | sort | uniq -c | sort -k1,1nr -k2 | awk '{ printf "%8d %s\n", $1, $2 }'; }
counts() { sed '$d'; }  # all but the last line, the totals

mkdir -p texts/deep/er
printf 'One fish two fish\nred fish, blue fish.\n' >texts/fish
printf 'no line end behind this' >texts/deep/open
: >texts/empty
printf '\n\n \t\n' >texts/blank
printf 'd\xc3\xa9j\xc3\xa0 vu, na\xc3\xafve caf\xc3\xa9; \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xf0\x9f\x90\x9f caf\xc3\xa9\r\n' >texts/deep/er/utf8
for ((k = 0; k < 40000; ++k)); do printf 'w%d, ' $((k % 997)); done >texts/deep/one_line
{ head -c 300000 /dev/zero | tr '\0' y; printf ' after it\n'; } >texts/deep/long_word
printf 'a\0b' >texts/binary
ln -s fish texts/symlink
mkfifo texts/fifo
mapfile -t files < <(find texts -type f ! -name binary)
expected=$(expected_of "${files[@]}")
totals="$(words_of "${files[@]}" | wc -l) words, $(wc -l <<<"$expected") different, in $(cat "${files[@]}" | wc -l) lines"

for mode in $modes; do
  for block in 1000 4096 256KiB; do
    found=$(./wordcount --mode $mode --workers 2 --block $block --top 100000 texts 2>errors)
    same "$mode, blocks of $block: the exit code is 0" 0 $?
    same "$mode, blocks of $block: each word with its count, the most frequent first" "$expected" "$(counts <<<"$found")"
    check "$mode, blocks of $block: the last line is '$(tail -n 1 <<<"$found")', which should begin as '$totals'" \
      grep -qF "$totals" <<<"$(tail -n 1 <<<"$found")"
    check "$mode, blocks of $block: what is no text is left out" grep -q 'of 7 files; 1 left out, 0 errors$' <<<"$found"
    same "$mode, blocks of $block: nothing to complain of" '' "$(<errors)"
  done
done
printf 'ab cd ef\ngh-ij  klmnop' >small
for block in 1 2 3 5 7; do
  same "wherever blocks of $block end, no word is cut or counted twice" "$(expected_of small)" \
    "$(./wordcount --block $block --top 100 small | counts)"
  check 'and no line' grep -q '^6 words, 6 different, in 1 line and 22 B of 1 file;' <(./wordcount --block $block small | tail -n 1)
done
same 'pipeline mode is what runs without --mode, and ten words are shown' "$(head -n 10 <<<"$expected")" "$(./wordcount texts | counts)"
same 'the current folder is read if none is given' "$(head -n 3 <<<"$expected")" "$(cd texts && ../wordcount --top 3 | counts)"
same 'what is given twice counts once, and a symbolic link that is given is followed' '       8 fish' \
  "$(./wordcount --top 1 texts/fish texts/fish texts/symlink | counts)"
same 'a folder without a word' '0 words, 0 different, in 3 lines and 5 B of 2 files; 0 left out, 0 errors' \
  "$(./wordcount texts/empty texts/blank)"

# What cannot be read.
mkdir shut
cp texts/fish shut/file
cp texts/fish texts/secret
chmod 000 shut texts/secret
for mode in $modes; do
  found=$(as_nobody ./wordcount --mode $mode --top 1 texts/fish texts/secret shut missing 2>errors)
  same "$mode: the exit code is 1 if something could not be read" 1 $?
  same "$mode: the rest is counted" '       4 fish
8 words, 5 different, in 2 lines and 39 B of 1 file; 0 left out, 3 errors' "$found"
  same "$mode: each that could not be read is told with the reason" 'wordcount: cannot read missing: No such file or directory
wordcount: cannot read shut: Permission denied
wordcount: cannot read texts/secret: Permission denied' "$(<errors)"
done

# JSON.
printf 'caf\xe9 "q" caf\xe9\n' >latin
as_nobody ./wordcount --json latin missing >found.json 2>/dev/null
same 'an error makes the exit code 1 with JSON, too' 1 $?
same 'JSON has the words, the errors and the sums' '{
  "words": [
    {"word": "caf\ufffd", "count": 2},
    {"word": "q", "count": 1}],
  "errors": [
    {"path": "missing", "reason": "No such file or directory"}],
  "total": 3, "different": 2, "lines": 1, "bytes": 14, "files": 1, "left_out": 0
}' "$(<found.json)"
if command -v perl >/dev/null; then
  ./wordcount --json --top 100000 texts/deep/er texts/deep/one_line >all.json
  check 'it is JSON, whatever the words' is_json found.json
  check 'and with many of them' is_json all.json
fi

# Wrong usage, and what cannot be written.
wrong() { # WHAT MESSAGE [WORD]...
  local what=$1 message=$2 said
  shift 2
  said=$(./wordcount "$@" 2>&1)
  same "$what: the exit code is 2" 2 $?
  check "$what: the message has '$message', but is: $said" grep -qF -e "$message" <<<"$said"
}
wrong 'a mode that there is not' 'fibers not in' --mode fibers texts
wrong 'no worker' 'Value 0 not in range 1 to' --workers 0 texts
wrong 'blocks of nothing' '--block' --block 0 texts
if [ -c /dev/full ]; then
  ./wordcount texts/fish >/dev/full 2>errors
  same 'a result that cannot be written is an error' 2 $?
  check 'it says why' grep -q 'No space left on device' errors
fi
check '--help tells the exit codes' grep -q '^Exit code' <(./wordcount --help)
finish
