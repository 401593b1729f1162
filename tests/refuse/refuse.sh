#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Compiles SOURCE, which must fail, and looks in the errors for the sentence of each of its `// expect: ` lines; a line
# `// expect nothing else` says that there are no more errors than those. With MENDED=ON in the environment it must also
# compile with -DALLOWED, where it mentions that: the same program without the mistake.
# usage: refuse.sh SOURCE COMPILER...
set -u
export LC_ALL=C
source=$1
shift
sentences=$(sed -n 's|^// expect: ||p' "$source")
[ -n "$sentences" ] || { echo "$source has no line that begins with '// expect: '"; exit 1; }

if output=$("$@" -fsyntax-only "$source" 2>&1); then
  echo "$source compiles, but must be refused with: $sentences"
  exit 1
fi
while IFS= read -r sentence; do
  grep -qF -- "$sentence" <<<"$output" || { echo "$output"; echo "no error says: $sentence"; exit 1; }
done <<<"$sentences"

if grep -q '^// expect nothing else' "$source" && [ "$(grep -c 'error:' <<<"$output")" != "$(wc -l <<<"$sentences")" ]; then
  echo "$output"
  echo "there are more errors than those that $source expects"
  exit 1
fi

if [ "${MENDED-}" = ON ] && grep -q ALLOWED "$source" && ! "$@" -fsyntax-only -DALLOWED "$source"; then
  echo "$source must compile with -DALLOWED"
  exit 1
fi
