// SPDX-License-Identifier: MIT
// expect: the first stage is generic, so the tree has no task type: write TaskTree<In, Out>{...}
#include <taskmgr/taskmgr.hpp>

int main() {
#ifdef ALLOWED
  const taskmgr::TaskTree<int, int> tree{[](auto x) { return x; }};
#else
  const taskmgr::TaskTree tree{[](auto x) { return x; }};
#endif
}
