#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compiling examples/hello.cpp may cost at most three times the CPU time of an empty main that includes the same headers of
# the system and <fmt/format.h>. Medians of alternating runs.
# usage: budget.sh CHECKOUT COMPILER...
set -u -o pipefail
export LC_ALL=C
checkout=$1 runs=5 budget=3.0
shift
command -v "$1" >/dev/null || { echo "skipped: there is no $1"; exit 77; }
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT

hello=$checkout/examples/hello.cpp
empty=$work/empty.cpp
{
  bash "$checkout/tests/layout/std_includes.sh" "$checkout" "$hello" "$@" | grep -v '<fmt/'
  echo '#include <fmt/format.h>'
  echo 'int main() {}'
} >"$empty" || exit 1

cpu_seconds() { TIMEFORMAT='%U %S'; { time "$@" -c -o "$work/out.o" 2>"$work/errors"; } 2>&1 | awk '{ print $1 + $2 }'; }
median() { sort -n | sed -n "$((runs / 2 + 1))p"; }

for ((run = 0; run < runs; ++run)); do
  cpu_seconds "$@" "$empty" >>"$work/empty.times" && cpu_seconds "$@" "$hello" >>"$work/hello.times" || { cat "$work/errors"; exit 1; }
done
awk -v hello="$(median <"$work/hello.times")" -v empty="$(median <"$work/empty.times")" -v budget=$budget -v what="$*" 'BEGIN {
  printf "%s: hello.cpp takes %.2f s of CPU, an empty main with the same headers %.2f s: %.2f times (at most %.1f)\n",
    what, hello, empty, hello / empty, budget
  exit hello > budget * empty
}'
