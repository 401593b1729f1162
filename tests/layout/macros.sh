#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The headers define no macro but TASKMGR_...: the macros after <taskmgr/taskmgr.hpp> are compared with those after the
# headers of the system and of fmt that it includes.
# usage: macros.sh CHECKOUT COMPILER...
set -u -o pipefail
export LC_ALL=C
checkout=$1
shift
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT

echo '#include <taskmgr/taskmgr.hpp>' >"$work/ours.cpp"
bash "$checkout/tests/layout/std_includes.sh" "$checkout" "$work/ours.cpp" "$@" >"$work/theirs.cpp" || exit 1
for side in ours theirs; do
  "$@" -E -dM "$work/$side.cpp" >"$work/$side.out" || exit 1
  awk '{ sub(/\(.*/, "", $2); print $2 }' "$work/$side.out" | sort -u >"$work/$side"
done
grep -q '^TASKMGR_VERSION$' "$work/ours" || { echo "taskmgr.hpp does not define TASKMGR_VERSION"; exit 1; }
leaked=$(comm -23 "$work/ours" "$work/theirs" | grep -v '^TASKMGR_')
[ -z "$leaked" ] || { echo "taskmgr.hpp leaks these macros:" $leaked; exit 1; }
