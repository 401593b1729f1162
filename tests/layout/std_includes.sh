#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Prints an #include line for each header of the system and of fmt that SOURCE reaches through headers of taskmgr, and
# those that it includes itself.
# usage: std_includes.sh CHECKOUT SOURCE COMPILER...
set -u -o pipefail
export LC_ALL=C
checkout=$1 source=$2
shift 2
reached=$("$@" -M -x c++ "$source") || exit 1
tr -s ' \\' '\n\n' <<<"$reached" | grep "^$checkout/include/taskmgr/" | xargs sed -nE 's/^ *# *include *(<[^>]+>).*/#include \1/p' "$source" |
  grep -v '<taskmgr/' | sort -u
