#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The README's first program says what the README says that it does.
. "$(dirname "$0")/check.bash"

said=$("$programs/hello" 2>errors)
same 'hello succeeds' 0 $?
same 'hello tells results in the order of the tasks, the error, and the counts' 'root of 1 is 1
root of 2.25 is 1.5
root of 9 is 3
root of -4: no root of a negative number
5 tasks: 3 succeeded, 1 failed, 1 duplicate' "$said"
same 'hello complains of nothing' '' "$(<errors)"
finish
