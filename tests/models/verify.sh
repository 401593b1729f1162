#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Has Spin look at every execution of process.pml, in some sizes: more workers, or more that goes wrong.
# usage: verify.sh SPIN CC [without_drain]
#   without_drain  of the variant in which a dead worker's pipe is not read to its end: there Spin must find the task that is
#                  run again although its answer has crossed
set -u
export LC_ALL=C
model=$(cd "$(dirname "$0")" && pwd)/process.pml spin=$1 cc=$2 variant=${3-}
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
wrong=0

# look "HOW" DEFINE...: HOW is safety (the assertions, and that nobody waits for ever), or an end (that no execution is endless).
look() {
  local how=$1 options=(-DSAFETY) arguments=()
  shift
  [ "$how" = safety ] || { options=(-DNP); arguments=(-l); }
  rm -f pan* process.pml.trail
  if ! { cp "$model" . && "$spin" -a "$@" process.pml &&
    "$cc" -O1 "${options[@]}" -DCOLLAPSE -DMEMLIM=1024 -o pan pan.c; } >said 2>&1; then
    cat said
    wrong=1
    return 1
  fi
  ./pan -m1000000 -w20 "${arguments[@]}" >said 2>&1
  printf '%s %s:%s states,%s MB,%s\n' "$how" "$*" "$(sed -n 's/ states, stored.*//p' said)" \
    "$(sed -n 's/ *\([0-9]*\)[.0-9]*\ttotal actual.*/ \1/p' said)" "$(sed -n 's/^pan: elapsed time//p' said)"
}

# What Spin said last: an error, or that it has seen everything and there is none.
holds() {
  grep -q 'errors: 0$' said && ! grep -qE 'not completed|max search depth|out of memory|MEMLIM' said && return
  echo "this does not hold:"
  grep -E '^pan:|errors:|Warning' said
  [ ! -f process.pml.trail ] || "$spin" -t -p "$@" process.pml | tail -n 120 
  wrong=1
}

if [ "$variant" = without_drain ]; then
  look safety -DNO_DRAIN -DWORKERS=1
  grep -q 'assertion violated.*crossed' said || { echo "Spin finds nothing wrong with it:"; cat said; wrong=1; }
else
  for size in '-DWORKERS=1 -DFAULTS=2' '-DTASKS=2' '-DFAULTS=2 -DEARLY=0'; do
    # shellcheck disable=SC2086  # one word a definition
    look safety $size && holds $size
  done
  look end -DEARLY=0 && holds -DEARLY=0
fi
exit $wrong
