#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A storm whose task never ends fails by its watchdog, which names the host, the worker and where each of them waits.
# usage: watchdog.sh STORM
set -u
export LC_ALL=C
said=$("$1" --patience 1 hang 2>&1)
code=$?
wrong=0
say() { echo "$*"; wrong=1; }

[ $code = 1 ] || say "the exit code is $code"
grep -q '^HANGS: nothing has happened for 1 s$' <<<"$said" || say "it does not say that it hangs"
processes=$(sed -n 's/^== process \([0-9]*\), a child of .*/\1/p' <<<"$said")
[ "$(wc -w <<<"$processes")" -ge 2 ] || say "it names fewer than two processes"
grep -q '^thread [0-9]*: S (sleeping)' <<<"$said" || say "it does not say that a thread sleeps"
grep -q pause <<<"$said" || say "it does not say that a worker is in pause()"
for process in $processes; do
  [ ! -d "/proc/$process" ] || grep -q '^State:.Z' "/proc/$process/status" || say "process $process is still there"
done
[ $wrong = 0 ] || printf 'It said:\n%s\n' "$said"
exit $wrong
