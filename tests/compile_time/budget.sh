#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compiling examples/hello.cpp may cost at most three times the CPU time of an empty main that includes the same headers of
# the system and <fmt/format.h>: with the plain call that a user makes first, without optimisation. What it costs with -O2 is
# printed, and not checked: most of it is code generation for what hello.cpp itself uses. The lowest of alternating runs
# counts, which other load disturbs least. Where the machine is not alone the ratio still varies by a tenth: a round that is
# over the budget is repeated, up to twice.
# usage: budget.sh CHECKOUT COMPILER...
set -u -o pipefail
export LC_ALL=C
checkout=$1 budget=3.0
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

# compare RUNS MOST COMPILER...: fails if hello.cpp costs more than MOST times the empty main; 0: it may cost what it likes.
compare() {
  local runs=$1 most=$2 run
  shift 2
  rm -f "$work/empty.times" "$work/hello.times"
  for ((run = 0; run < runs; ++run)); do
    cpu_seconds "$@" "$empty" >>"$work/empty.times" && cpu_seconds "$@" "$hello" >>"$work/hello.times" || { cat "$work/errors"; return 1; }
  done
  awk -v hello="$(sort -n "$work/hello.times" | head -n 1)" -v empty="$(sort -n "$work/empty.times" | head -n 1)" \
    -v most="$most" -v what="$*" 'BEGIN {
    printf "%s: hello.cpp takes %.2f s of CPU, an empty main with the same headers %.2f s: %.2f times (%s)\n",
      what, hello, empty, hello / empty, (most > 0 ? "at most " most : "not checked")
    exit (most > 0 && hello > most * empty)
  }'
}

compare 1 0 "$@" -O2
for round in 1 2 3; do
  compare 9 "$budget" "$@" && exit 0
done
exit 1
