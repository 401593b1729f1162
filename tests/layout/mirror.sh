#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Each public header has its test: that of include/taskmgr/core/hash.hpp is tests/core/hash.cpp. Each test of a header
# includes it first, and so compiles it alone. Public is a header that declares something in namespace taskmgr itself, and
# those that stand above the folders; a header that only has namespace taskmgr::detail serves others, which test it.
# usage: mirror.sh CHECKOUT
set -u
export LC_ALL=C
cd "$1" || exit 1

wrong=0
say() { echo "$*"; wrong=1; }

headers=$(cd include/taskmgr && { ls ./*.hpp; grep -rlE --include='*.hpp' '^namespace taskmgr( |$)' .; } | sed 's|^\./||' | sort -u)
[ -n "$headers" ] || say "no public header found below include/taskmgr"
for header in $headers; do
  test=tests/${header%.hpp}.cpp
  [ -f "$test" ] || say "include/taskmgr/$header has no test: $test is missing"
done
for header in $(cd include/taskmgr && find . -name '*.hpp' | sed 's|^\./||'); do
  test=tests/${header%.hpp}.cpp
  if [ -f "$test" ] && [ "$(sed -nE 's/^#include (.*)/\1/p' "$test" | head -n 1)" != "<taskmgr/$header>" ]; then
    say "$test does not include <taskmgr/$header> first"
  fi
done
exit $wrong
