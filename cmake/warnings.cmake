# SPDX-License-Identifier: MIT
# The warnings under which taskmgr's own tests, examples and benchmarks are built. They link this target privately; it is
# neither exported nor part of taskmgr::taskmgr, so no user inherits a flag.
add_library(taskmgr_warnings INTERFACE)
target_compile_options(taskmgr_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow $<$<BOOL:${TASKMGR_WERROR}>:-Werror>)
