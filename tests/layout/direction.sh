#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Includes point one way: core <- run <- manager <- tree, and core <- observe <- manager. core/ knows the standard library
# only: it starts no thread and makes no system call (but for large, which gives an advice about memory), and has no fmt
# (but for context, format and task_text, which make text). Optional headers stand above the folders; nothing includes them.
# usage: direction.sh CHECKOUT
set -u
export LC_ALL=C
cd "$1/include" || exit 1

declare -A may=(
  [core]="core"
  [run]="core run"
  [observe]="core observe"
  [manager]="core run observe manager"
  [tree]="core run observe manager tree"
)
wrong=0
say() { echo "$*"; wrong=1; }

headers=$(find taskmgr -name '*.hpp' | sort)
[ -n "$headers" ] || say "no header found below include/taskmgr"
for header in $headers; do
  room=$(cut -d/ -f2 <<<"$header")
  grep -q '^#pragma once$' "$header" || say "$header: has no #pragma once"
  grep -q '^/// \\file$' "$header" || say "$header: does not say what it is for, in a /// \\file comment"
  if [ "$header" = "taskmgr/$room" ]; then             # taskmgr.hpp, version.hpp and optional headers stand above the rooms
    grep -nE '^ *# *include *"(asio|taskmgr)\.hpp"' "$header" && say "$header: includes the umbrella, or an optional header"
    continue
  fi
  [ -n "${may[$room]-}" ] || { say "$header: direction.sh has no rule for the folder $room"; continue; }
  for included in $(sed -nE 's/^ *# *include *([<"][^>"]+).*/\1/p' "$header"); do
    case $included in
      '"'*) included=$(realpath -m --relative-to=. "$(dirname "$header")/${included#?}") ;;
      *) included=${included#?} ;;
    esac
    case $included in
      taskmgr/version.hpp) continue ;;
      taskmgr/*/*)
        other=$(cut -d/ -f2 <<<"$included")
        [[ " ${may[$room]} " == *" $other "* ]] || say "$header: includes $included, but $room/ may only know: ${may[$room]}"
        ;;
      taskmgr/*) say "$header: includes $included: a header of a room includes what it uses, not the umbrella" ;;
      fmt/*)
        case $header in
          taskmgr/core/context.hpp | taskmgr/core/format.hpp | taskmgr/core/task_text.hpp) ;;
          taskmgr/core/*) say "$header: includes $included, but in core/ only context, format and task_text make text" ;;
        esac
        ;;
      unistd.h | pthread.h | poll.h | fcntl.h | signal.h | csignal | sys/*)
        [ "$room" != core ] || [ "$header" = taskmgr/core/large.hpp ] || say "$header: includes $included, but core/ makes no system call" ;;
    esac
  done
  if [ "$room" = core ]; then
    grep -nE 'std::j?thread([^:]|$)' "$header" && say "$header: core/ starts no thread"
  fi
done
exit $wrong
