#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What the pages promise about the checkout: links lead to files and headings that are there; each header of taskmgr.hpp,
# and each optional one, has its page in docs/reference, and the index names it; README.md begins with examples/hello.cpp,
# byte for byte.
# usage: links.sh CHECKOUT
set -u -o pipefail
export LC_ALL=C
cd "${1:?the checkout is missing}" || exit 1
wrong=0
say() { echo "$*"; wrong=1; }

# The anchors of a page, as GitHub makes them of headings: lower case, without punctuation, blanks as hyphens.
anchors() {
  awk '/^```/ { code = !code } !code && /^#+ / { sub(/^#+ /, ""); print tolower($0) }' "$1" | sed -e 's/[^a-z0-9 _-]//g' -e 's/ /-/g'
}

pages=$(ls README.md CHANGELOG.md CONTRIBUTING.md && find docs -name '*.md' | sort) || say "a page is missing"
for page in $pages; do
  links=$(awk '/^```/ { code = !code } /^<!--/ { hidden = 1 } !code && !hidden; /-->/ { hidden = 0 }' "$page" | sed 's/`[^`]*`//g' | grep -oE '\]\([^)]+\)' | sed -e 's/^](//' -e 's/)$//')
  for link in $links; do
    case $link in http://* | https://* | mailto:*) continue ;; esac
    file=${link%%#*}
    [ -n "$file" ] && file=$(dirname "$page")/$file || file=$page
    [ -e "$file" ] || { say "$page: links to $link, which is not there"; continue; }
    [ "$link" = "${link#*#}" ] && continue
    anchors "$file" | grep -qxF -- "${link#*#}" || say "$page: links to $link, but $file has no such heading"
  done
done

for header in $(sed -nE 's/^#include "[a-z]+\/(.*)\.hpp"/\1/p' include/taskmgr/taskmgr.hpp) asio; do
  [ "$header" = aggregate ] && continue  # of use to the library alone; what it can take apart stands in hash.md
  [ -f "docs/reference/$header.md" ] || say "docs/reference/$header.md is missing"
  grep -qF "($header.md)" docs/reference/README.md || say "docs/reference/README.md does not name $header.md"
done

[ "$(wc -l <README.md)" -le 250 ] || say "README.md has more than 250 lines"
awk '/^```cpp$/ { on = 1; next } on && /^```$/ { exit } on' README.md | cmp - examples/hello.cpp ||
  say "README.md: its first program is not examples/hello.cpp"
exit $wrong
