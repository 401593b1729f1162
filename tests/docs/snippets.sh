#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compiles all ```cpp blocks of README.md and docs/, and runs those that are programs with a ```text block after them: it is
# what they print, where … stands for whatever there may be on that line. How a block is recognised: see snippets.awk.
# usage: CXX=compiler snippets.sh INCLUDE [ARGUMENT]...       the folder of taskmgr's headers; more for the compiler, -lfmt say
set -u -o pipefail
export LC_ALL=C
include=$(cd "${1:?the folder of the headers is missing}" && pwd) || exit 1
shift
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
read -ra compile <<<"${CXX:-g++}"  # ccache may stand before it
link=("${compile[@]: -1}" -pthread)
compile+=(-std=c++20 -O0 -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Werror -pthread "-I$include")
for argument; do
  case $argument in
    -[ID]*) compile+=("$argument") ;;
    *) link+=("$argument") ;;
  esac
done

pages=$(cd "$top" && ls README.md && find docs -name '*.md' | sort) || exit 1
: >"$work/fragments.includes"
for page in $pages; do
  awk -v page="$(tr -c 'a-zA-Z0-9\n' _ <<<"${page%.md}")" -v out="$work" -f "$top/tests/docs/snippets.awk" "$top/$page" || exit 1
done

# Programs are compiled together, in as many units as there are processors: each in a namespace, its main a function that the
# program of the unit runs if it is asked for its name. A program with a specialisation cannot be put there, and one with
# another library should not: each has its own unit, and the latter is left out if the library is missing.
units=$(nproc)
units=$((units > 4 ? 4 : units))
declare -A unit_of
next=0
for program in "$work"/*.cpp; do
  name=$(basename "$program" .cpp)
  [ "$(grep -c '[^[:space:]]' "$program")" != 0 ] && [ "$(grep '[^[:space:]]' "$program" | tail -n 1)" = '}' ] ||
    { echo "$name: the last line of a program must be the } of its main"; exit 1; }
  others=$(grep -E '^#include <[a-z0-9]+/' "$program" | grep -vE '<(fmt|sys|taskmgr)/')
  if [ -n "$others" ] && ! "${compile[@]}" -E -x c++ - <<<"$others" >/dev/null 2>&1; then
    echo "$name: left out, for want of" $others
    rm -f "$work/$name.expected"
    continue
  fi
  if [ -n "$others" ] || grep -q '^template <>' "$program"; then
    unit_of[$name]=alone_$name
    cp "$program" "$work/alone_$name.cc"
    continue
  fi
  unit=unit_$((next++ % units))
  unit_of[$name]=$unit
  sed -n '/^#include/p' "$program" >>"$work/$unit.includes"
  {
    echo "namespace $name {"
    sed -e '/^#include/d' -e 's/^int main()/int run()/' -e '$s/^}/  return 0;\n}/' "$program"
    echo "}  // namespace"
  } >>"$work/$unit.body"
  echo "  if (asked == \"$name\") return $name::run();" >>"$work/$unit.main"
done
for unit in $(printf '%s\n' "${unit_of[@]}" | sort -u | grep ^unit_); do
  {
    sort -u "$work/$unit.includes"
    echo '#include <string_view>'
    cat "$work/$unit.body"
    echo 'int main(int, char** argv) {'
    echo '  const std::string_view asked = argv[1];'
    cat "$work/$unit.main"
    echo '  return 99;'
    echo '}'
  } >"$work/$unit.cc"
done
{
  { cat "$work/fragments.includes"; echo '#include <taskmgr/taskmgr.hpp>'; } | sort -u
  echo 'using namespace taskmgr;'
  echo 'using namespace std::chrono_literals;'
  cat "$work"/*.fragments 2>/dev/null
} >"$work/fragments.cc"

# Relative paths, and compiling apart from linking, are for ccache.
compile_one() {
  local fragments=()
  [ "$1" != fragments ] || fragments=(-Wno-unused)
  cd "$work" || return
  "${compile[@]}" "${fragments[@]}" -c "$1.cc" -o "$1.o" >"$1.log" 2>&1 || return
  [ "$1" = fragments ] || "${link[0]}" "$1.o" -o "$1" "${link[@]:1}" >"$1.log" 2>&1 || return
  touch "$1.ok"
}
all=$(cd "$work" && ls ./*.cc | sed -e 's|^./||' -e 's/.cc$//')
for unit in $all; do
  while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
  compile_one "$unit" &
done
wait
failed=0
for unit in $all; do
  [ -e "$work/$unit.ok" ] || { grep -m 10 -E 'error|undefined' "$work/$unit.log" || head "$work/$unit.log"; failed=1; }
done
[ $failed = 0 ] || { echo "not all blocks compile"; exit 1; }

run_one() {
  local name=$1 wanted got same k pattern
  mkdir "$work/$name" && cd "$work/$name" || return
  timeout 30 "$work/${unit_of[$name]}" "$name" >"$work/$name.out" 2>"$work/$name.err" ||
    { echo "$name: exit code $?"; tail -n 3 "$work/$name.err"; return; }
  mapfile -t wanted <"$work/$name.expected"
  mapfile -t got <"$work/$name.out"
  same=$((${#wanted[@]} == ${#got[@]}))
  for k in "${!wanted[@]}"; do
    pattern=$(sed -e 's/[][\\*?]/\\&/g' -e 's/…/*/g' <<<"${wanted[k]}")
    [[ ${got[k]-} == $pattern ]] || same=0
  done
  [ $same = 1 ] || { echo "$name prints (>) something else than the page says (<):"; diff "$work/$name.expected" "$work/$name.out"; return; }
  touch "$work/$name.right"
}
programs=$(cd "$work" && find . -name '*.expected' | sed -e 's|^./||' -e 's/.expected$//')
for name in $programs; do
  while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
  run_one "$name" >"$work/$name.said" 2>&1 &
done
wait
ran=0
for name in $programs; do
  [ -e "$work/$name.right" ] || { cat "$work/$name.said"; echo "$name: not as its page says"; failed=1; }
  ran=$((ran + 1))
done
[ "$ran" -gt 0 ] || { echo "found no program to run"; exit 1; }
[ $failed = 0 ] || exit 1
echo "$(ls "$work"/*.cpp | wc -l) programs and $(cat "$work"/*.fragments 2>/dev/null | grep -c '^void fragment') fragments compile, $ran programs print what their page says"
