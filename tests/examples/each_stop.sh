#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# each ends jobs at their timeout, by --halt and by signals, with all that they have started, and reads lines as it goes.
. "$(dirname "$0")/check.bash"
each() { timeout 120 "$programs/each" "$@"; }  # what hangs shall fail

# ended WHAT: nobody has the other end of the FIFO `alive` open any more: the jobs that were given it as descriptor 7 are gone.
mkfifo alive started go
watch() { timeout 60 cat alive & watcher=$!; }
ended() { wait "$watcher"; same "$1" 0 $?; }

# --- timeouts

watch
SECONDS=0
each --timeout 1s sh -c 'echo begun; sleep 300' ::: x 7>alive >out 2>errors
same 'a job that takes too long has failed, and what it wrote is kept' "1 begun
each: job 1: no result within the timeout of 1 s: sh -c 'echo begun; sleep 300' x
each: 0 succeeded, 1 failed (1 x no result within the timeout of 1 s)" "$? $(<out)
$(<errors)"
ended 'it has been ended'

watch
each --joblog log --timeout 1s bash -c 'trap "" TERM
  (trap "" TERM; echo grandchild; sleep 300 & sleep 300 >/dev/null 2>&1) & echo child; wait; wait; sleep 300' ::: x 7>alive >out 2>errors
same 'a job that ignores SIGTERM has failed as well' '1 child grandchild' "$? $(echo $(sort out))"
ended 'it has been killed, with its grandchildren'
same 'the job log tells of the timeout and the signal' '-1 9' "$(tail -n 1 log | cut -f 7,8 | tr '\t' ' ')"

watch
each --timeout 1s bash -c 'trap "exit 0" TERM; (trap "" TERM; sleep 300 >/dev/null 2>&1) >/dev/null 2>&1 & echo child; wait' ::: x \
  7>alive >out 2>errors
same 'a command that ends well when it is asked to has failed all the same' '1 child' "$? $(<out)"
ended 'what it leaves behind has been killed'
[ "$SECONDS" -lt 60 ] || complain "ending jobs took $SECONDS s"

each --timeout 300s sh -c 'echo in time' ::: x >out 2>errors
same 'a job that is in time is not disturbed' '0 in time' "$? $(<out)"
same 'a job that took too long is run again' '0 second' "$(
  each --retries 1 --retry-delay 0 --timeout 2s sh -c 'if [ -e been ]; then echo second; else touch been; sleep 300; fi' ::: x >out 2>errors
  echo "$? $(<out)")"

# --- halt

seq 100 | each -j1 --halt soon,fail=2 sh -c 'echo $1; [ $1 != 3 ] && [ $1 != 5 ]' sh >out 2>errors
same 'soon,fail=2: no job is started after the second failure' '2 1 2 3 4 5' "$? $(echo $(<out))"
same 'it is told how many were not run' 'each: 3 succeeded, 2 failed (2 x exit code 1), 95 not run' "$(tail -n 1 errors)"
seq 100 | each -j1 --halt soon,fail=50% sh -c 'echo $1; [ $(($1 % 2)) = 0 ]' sh >out 2>errors
same 'soon,fail=50%: looked at from the 20th on' '10 20' "$? $(wc -l <out)"
seq 100 | each -j1 --halt now,fail=50% sh -c 'echo $1; [ $(($1 % 2)) = 0 ]' sh >out 2>errors
same 'now,fail=50%: the same' '10 20' "$? $(wc -l <out)"
mkfifo complaints
each -j2 --halt soon,fail=1 sh -c 'case $1 in
  1) echo >started; read x <go; echo went on;;
  2) read x <started; exit 7;;
  *) echo one more;;  # which may have begun before the failure is known
esac' sh ::: 1 2 3 4 >out 2>complaints &
pid=$!
exec 9<complaints
read -r complaint <&9
echo >go
wait $pid
same 'soon: jobs that run go on to their end' '1 went on' "$? $(grep went out)"
exec 9<&-
watch
each -j2 --halt now,fail=1 sh -c 'if [ $1 = 1 ]; then echo >started; sleep 300; else read x <started; exit 7; fi' sh ::: 1 2 3 4 \
  7>alive >out 2>errors
same 'now,fail=1: the exit code counts the failure, not what was stopped' \
  '1 each: 0 succeeded, 1 failed (1 x exit code 7), 1 stopped, 2 not run' "$? $(tail -n 1 errors)"
ended 'now,fail=1: jobs that run have been ended'

# --- signals

for signal in TERM HUP INT; do
  watch
  env --default-signal=INT "$programs/each" -j2 --joblog log sh -c '[ $1 != x ] || echo >started; sleep 300' sh ::: x y z 7>alive >out 2>errors &
  pid=$!
  read -r _ <started
  kill -$signal $pid
  { wait $pid; } 2>/dev/null
  code=$?
  same "SIG$signal: each dies of it" $((128 + $(kill -l $signal))) $code
  ended "SIG$signal: its jobs have been ended"
  check "SIG$signal: it tells what was stopped: $(<errors)" grep -q '^each: 0 succeeded, 0 failed, [12] stopped, [12] not run$' errors
done
for order in '' --keep-order; do
  mkfifo lines
  "$programs/each" $order sh -c 'echo $1 >started' sh <lines >out 2>errors &
  pid=$!
  exec 8>lines
  echo first >&8
  read -r line <started
  kill -TERM $pid  # it waits for the next line by now, or will
  wait $pid
  same "${order:-in any order}: a signal ends it also while it waits for a line" '143 first' "$? $line"
  exec 8>&-
  rm lines
done
trap '' HUP
"$programs/each" sh -c 'echo >started; read x <go; echo undisturbed' ::: x >out 2>errors &
pid=$!
trap - HUP
read -r _ <started
kill -HUP $pid
echo >go
wait $pid
same 'a signal that was ignored from the start (nohup) stays ignored' '0 undisturbed' "$? $(<out)"
trap '' TERM
same 'and jobs ignore what we were told to ignore' 'ignored' "$("$programs/each" sh -c 'kill -TERM $$; echo ignored' ::: x)"
trap - TERM

# --- endless input

yes | each --halt soon,fail=3 -j2 false >out 2>errors
check 'endless input: jobs run before it ends' [ $? -ge 3 ]
if [ -r /proc/self/status ]; then
  # 64 KiB of output each: were it kept, 2,000 jobs would take 128 MB. (A sanitizer keeps what is freed for a while.)
  export ASAN_OPTIONS="${ASAN_OPTIONS-}:quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
  yes | head -n 2500 | each -j2 sh -c 'head -c 65536 /dev/zero | tr "\0" .; echo
    case $1 in 300 | 2300) while read -r name kb unit; do [ $name != VmRSS: ] || echo "at $1 $kb" >&2; done </proc/$PPID/status;; esac' sh '{#}' \
    2>memory | tr -d '\n' | wc -c >size
  same 'long input: all of the output' $((2500 * 65536)) "$(tr -d ' ' <size)"
  check "long input: memory stays flat: $(echo $(<memory))" \
    awk '{ kb[$2] = $3 } END { exit !(kb[300] > 0 && kb[2300] > 0 && kb[2300] < kb[300] + 32000) }' memory
fi
finish
