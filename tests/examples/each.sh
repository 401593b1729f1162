#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# each runs its jobs as it promises: arguments, outputs, order, retries, the job log, exit codes.
. "$(dirname "$0")/check.bash"
each() { timeout 120 "$programs/each" "$@"; }  # what hangs shall fail

# --- where arguments come from, and how they reach the command

same 'a job for each argument after :::' 'a
b
c' "$(each -k echo ::: a b c)"
same 'a job for each line' '1
2
3' "$(seq 3 | each --keep-order -j2 echo)"
same 'the last line needs no end' 'a
b' "$(printf 'a\nb' | each -k echo)"
same 'equal lines are all run' 5 "$(printf 'a\na\nb\na\na\n' | each echo | wc -l)"
same 'an empty line is an empty word' '[a]
[]
[b]' "$(printf 'a\n\nb\n' | each -k echo '[{}]')"
said=$(each -k --joblog log echo </dev/null 2>&1)
same 'without a line nothing is run, and that is no failure' '0  1' "$? $said $(wc -l <log)"
said=$(each echo ::: 2>&1)
same 'nor without an argument after :::' '0 ' "$? $said"

words=('' ' ' 'a b' '  two  ' "'" '"' '$(touch pwned)' '`touch pwned`' '; touch pwned' '| touch pwned' '> pwned' '&& touch pwned' '&' $'new\nline'
  $'tab\tbed' '*' '?' '~' '\' '\n' '-n' '--' '-j' '{}' 'x{}y{#}' '%s' '$HOME' '!' '#' $'\xff\xfe' $'\xc3\xa9' $'\x01\x7f' 'a=b' ':::x')
for word in "${words[@]}"; do printf '<%s>\n' "$word"; done >expected
each -k -j4 printf '<%s>\n' ::: "${words[@]}" >got
check 'an argument reaches the command as one word, whatever it holds' cmp expected got
printf '%s\0' "${words[@]}" | each -k -0 -j4 printf '<%s>\n' >got
check 'so does what ends with a zero byte' cmp expected got
printf '%s\0' "${words[@]}" | each -k --null -j4 printf '<%s>\n' {} >got
check 'so does what takes the place of {}' cmp expected got
for word in "${words[@]}"; do printf '<a%s><%s%sb>\n' "$word" "$word" "$word"; done >expected
printf '%s\0' "${words[@]}" | each -k -0 -j4 printf '<%s><%s>\n' a{} {}{}b >got
check '{} is replaced inside of words, and as often as it occurs' cmp expected got
same 'the name of the command may be made of it, too' 'x' "$(each {}ho x ::: ec)"
check 'nothing that a word says was run' test ! -e pwned
same '{#} is the number of the job' '1 a
2 b
3 c' "$(each -k -j3 echo '{#} {}' ::: a b c)"
same '{%} is the number of the worker' 1 "$(seq 5 | each -j1 echo '{%}' | sort -u)"
same 'of them there are no more than --jobs' '' "$(seq 50 | each -j3 echo '{%}' | grep -v '^[123]$')"
same 'what looks like an option after the command belongs to the command' '-k -j a' "$(each echo -k -j ::: a)"
same 'so does what stands behind --' '--help x' "$(each -- echo --help ::: x)"
same 'a shell is there for those who ask for one' '2
4' "$(printf 'echo $((1 + 1))\necho $((2 + 2))\n' | each -k sh -c)"
printf 'a\0b\nc\n' | each -k echo >out 2>errors
same 'a zero byte in a line is an error of that job' "1 c
each: job 1: cannot be started: its line has a zero byte: echo \$'a\\000b'
each: 1 succeeded, 1 failed (1 x cannot be started: its line has a zero byte)" "$? $(cat out errors)"
same '10,000 lines, in order' "$(seq 10000)" "$(seq 10000 | each -k -j4 echo)"
same '10,000 lines, in whatever order' "$(seq 3000)" "$(seq 3000 | each -j4 echo | sort -n)"

# --- what jobs read and inherit

same 'jobs read nothing of our input' 'a
b
c' "$(printf 'a\nb\nc\n' | each -k sh -c 'cat; echo "$1"' sh)"
if [ -d /proc/self/fd ]; then
  same 'jobs inherit no descriptor of ours, nor of each other' "$(ls /proc/self/fd </dev/null | sort -n)" \
    "$(seq 60 | each -j8 ls /proc/self/fd -- /proc/self/fd 2>/dev/null | grep -v '^$\|:$' | sort -un)"
  same 'jobs have a process group of their own' 'own
own' "$(each -j1 sh -c '[ "$(awk "{ print \$5 }" /proc/$$/stat)" = $$ ] && echo own' ::: a b)"
fi
pipe='yes | head -n 1 >/dev/null; echo ${PIPESTATUS[0]}'
same 'SIGPIPE does to jobs what it would do without us' "$(bash -c "$pipe" 2>/dev/null)" "$(each bash -c "$pipe" ::: x 2>/dev/null)"

# --- outputs

each -j4 sh -c 'yes "out $1 ........................................" | head -n 20000 &
  yes "err $1 ........................................" | head -n 20000 >&2
  wait' sh ::: 1 2 3 4 5 6 7 8 >out 2>err
same 'much output on both streams at once: jobs succeed' 0 $?
pieces() { uniq -c "$1" | awk '{ print $1, $2, $3 }' | sort; }
for stream in out err; do
  same "much output on both streams at once: all of $stream, each job's in one piece" \
    "$(for k in 1 2 3 4 5 6 7 8; do echo "20000 $stream $k"; done)" "$(pieces $stream)"
done
each -k sh -c 'printf "$1"; printf "err $1" >&2' sh ::: a b >out 2>err
same 'nothing is added to what jobs write' 'ab err aerr b' "$(<out) $(<err)"
mkfifo second
same 'with --keep-order output comes in the order of the input, whoever ends first' '1
2' "$(each -k -j2 sh -c 'if [ $1 = 1 ]; then read x <second; else echo >second; fi; echo $1' sh ::: 1 2)"
for order in '' --keep-order; do
  coproc each $order -j2 sh -c 'echo "got $1"; echo "complain of $1" >&2' sh 2>complaints
  into=${COPROC[1]} from=${COPROC[0]}
  echo a >&"$into"
  read -r -t 60 first <&"$from"
  echo b >&"$into"
  read -r -t 60 second <&"$from"
  exec {into}>&-
  wait "$COPROC_PID"
  same "${order:-in any order}: output comes when a job ends, not when the next line does" '0 got a got b' "$? $first $second"
done
said=$(each sh -c 'sleep 300 & echo "started $!"' ::: x)
check 'a job has ended when its command has, whatever goes on in the background' kill "${said#started }"
same 'a closed standard output is no trouble' 0 "$(each echo ::: a >&-; echo $?)"
same 'nor are closed input and errors' 'b
0' "$(each echo ::: b <&- 2>&-; echo $?)"
if [ -c /dev/full ]; then
  said=$(yes | each echo 2>&1 >/dev/full)
  same 'output that cannot be written ends the run' "255 each: cannot write: No space left on device" "$? $(tail -n 1 <<<"$said")"
fi
yes | each echo 2>errors | head -n 3 >out
same 'when nobody reads any more, that is the end, as SIGPIPE makes it' "141 0 y y y" "${PIPESTATUS[1]} $(wc -c <errors) $(echo $(<out))"

# --- failures

each -k sh -c 'exit $1' sh ::: 0 1 0 255 >out 2>errors
same 'the exit code is the number of the jobs that failed' '2
each: job 2: exit code 1: sh -c '"'exit \$1'"' sh 1
each: job 4: exit code 255: sh -c '"'exit \$1'"' sh 255
each: 2 succeeded, 2 failed (1 x exit code 1, 1 x exit code 255)' "$?
$(<errors)"
same 'up to 100' 100 "$(seq 100 | each false 2>/dev/null; echo $?)"
same 'and 101 if there are more' 101 "$(seq 150 | each false 2>/dev/null; echo $?)"
each sh -c 'echo partly; kill -KILL $$' ::: x >out 2>errors
same 'a job killed by a signal has failed, and what it wrote is kept' "1 partly
each: job 1: killed by signal 9 (Killed): sh -c 'echo partly; kill -KILL \$\$' x" "$? $(<out)
$(head -n 1 errors)"
each --retries 3 ./there/is/no/such ::: x 2>errors
same 'a command that is not there has failed, and is not tried again' \
  '1 each: job 1: cannot be started: No such file or directory: ./there/is/no/such x' "$? $(head -n 1 errors)"
each / ::: 2>errors; each / ::: x 2>errors
same 'so has one that is none' '1 each: job 1: cannot be started: Permission denied: / x' "$? $(head -n 1 errors)"

try='echo "try $1"; echo x >>tries.$1; [ $(wc -l <tries.$1) -gt 2 ]'
same 'a job that fails twice is run a third time; what it wrote is the last' 'try a
try b
0' "$(each -k --retries 2 --retry-delay 1ms sh -c "$try" sh ::: a b; echo $?)"
rm tries.*
each --retries 1 --retry-delay 0 sh -c "$try" sh ::: a >out 2>errors
same 'with one retry it has failed after two runs' "1 try a
each: job 1: exit code 1 (after 2 runs): sh -c '$try' sh a
each: 0 succeeded, 1 failed (1 x exit code 1); 1 retries" "$? $(<out)
$(<errors)"

# --- the job log

printf '#!/bin/sh\n' >not_executable
each -k -j1 --joblog log --timeout 300 sh -c 'case $1 in out) echo four;; three) exit 3;; kill) kill -9 $$;; esac' sh \
  ::: out three kill 'a b' $'tab\tline\n' >out 2>errors
each -j1 --joblog log2 ./not_executable ::: x 2>errors; tail -n 1 log2 >>log
each -j1 --joblog log2 ./no_such_command ::: x 2>errors; tail -n 1 log2 >>log
each -j1 --joblog log2 --timeout 50ms sleep ::: 300 2>errors; tail -n 1 log2 >>log
same 'the job log has the columns of GNU parallel' 'Seq	Host	Starttime	JobRuntime	Send	Receive	Exitval	Signal	Command' "$(head -n 1 log)"
script="'"'case $1 in out) echo four;; three) exit 3;; kill) kill -9 $$;; esac'"'"
same 'number, host, bytes written, exit code, signal and command of each job' "1 : 0 5 0 0 sh -c $script sh out
2 : 0 0 3 0 sh -c $script sh three
3 : 0 0 0 9 sh -c $script sh kill
4 : 0 0 0 0 sh -c $script sh 'a b'
5 : 0 0 0 0 sh -c $script sh \$'tab\\011line\\012'
1 : 0 0 126 0 ./not_executable x
1 : 0 0 127 0 ./no_such_command x
1 : 0 0 -1 15 sleep 300" "$(tail -n +2 log | awk -F '\t' '{ print $1, $2, $5, $6, $7, $8, $9 }')"
now=$(date +%s)
same 'the time when it started, and how long it ran' '' \
  "$(tail -n +2 log | awk -F '\t' -v now="$now" '
    NF != 9 || $3 !~ /^[0-9]+\.[0-9][0-9][0-9]$/ || $3 > now + 1 || $3 < now - 100 || $4 !~ /^ *[0-9]+\.[0-9][0-9][0-9]$/ || $4 > 100')"
each --joblog log sleep ::: 0.1
check 'the time that a job ran is measured' awk -F '\t' 'END { exit !($4 >= 0.1) }' log
same 'the job log tells of all jobs' 500 "$(seq 500 | each -j4 --joblog log true; tail -n +2 log | cut -f 1 | sort -n | uniq | wc -l)"
each --joblog no/such/folder touch ::: ran 2>errors
same 'a job log that cannot be written: nothing is run' \
  '255 each: no/such/folder: No such file or directory no' "$? $(<errors) $([ -e ran ] || echo no)"

# --- usage

wrong() { # MESSAGE [WORD]...
  local message=$1 said
  shift
  said=$(each "$@" 2>&1 </dev/null)
  same "each $*: the exit code and the message" "255 each: $message
each --help says what it takes" "$? $said"
}
wrong 'which command shall be run? To run each line as one: each sh -c'
wrong 'which command shall be run? To run each line as one: each sh -c' ::: a
wrong 'only one ::: is possible' echo ::: a ::: b
wrong "--jobs takes a number of jobs from 1 on, not '0'" -j 0 true
wrong "--jobs takes a number of jobs from 1 on, not 'x'" --jobs=x true
wrong "--retries takes a number of retries, not '-1'" --retries -1 true
wrong "--retries takes a number of retries, not '1.5'" --retries 1.5 true
wrong "--timeout takes a time such as 2, 0.5 or 10m, not 'soon'" --timeout soon true
wrong "--timeout takes a time such as 2, 0.5 or 10m, not '-1'" --timeout -1 true
wrong "--timeout takes a time such as 2, 0.5 or 10m, not 'nan'" --timeout nan true
wrong "--halt takes soon,fail=N, soon,fail=P%, now,fail=N or now,fail=P%, not '1'" --halt 1 true
wrong "--halt takes soon,fail=N, soon,fail=P%, now,fail=N or now,fail=P%, not '0'" --halt soon,fail=0 true
wrong "--halt takes soon,fail=N, soon,fail=P%, now,fail=N or now,fail=P%, not '101'" --halt soon,fail=101% true
wrong '--jobs takes a value' --jobs
wrong '-j takes a value' -j
wrong 'there is no option -x' -kx true
wrong '--frobnicate is no option, or takes no value' --frobnicate true
wrong '--bar=yes is no option, or takes no value' --bar=yes true
same '--help says what each promises' 'usage: each [OPTION]... COMMAND [WORD]... [::: ARGUMENT...] 0' \
  "$(each --help | head -n 1) $(each --help >/dev/null; echo $?)"
same 'more jobs than there can be descriptors are refused' \
  'each: --jobs 1000 may need 5016 open files, and 256 are allowed: see ulimit -n
255' "$(ulimit -n 256; each -j 1000 true ::: a 2>&1; echo $?)"

# --- the bar

same 'no bar without --bar' '' "$(each true ::: a b c 2>&1)"
each --bar true ::: a b c 2>drawn
check 'the bar, where standard error is no terminal: a line that says how it ended' grep -q '^true.*3/3' drawn
if command -v script >/dev/null; then
  printf '%s\n' '#!/bin/sh' "exec '$programs/each' --bar -k sh -c 'echo out \$1; printf \"err \$1\" >&2' sh ::: 1 2 3" >drawing
  chmod +x drawing
  TERM=xterm script -qec ./drawing /dev/null </dev/null >drawn
  check 'the bar, on a terminal: all are done in the end' grep -q '3/3' drawn
  same 'the bar, on a terminal: outputs stand above it, on lines of their own' 'out 1
err 1
out 2
err 2
out 3
err 3' "$(tr '\r' '\n' <drawn | sed 's/\x1b\[[0-9;]*[A-Za-z]//g' | grep '^\(out\|err\)')"
fi
finish
