// SPDX-License-Identifier: MIT
// expect: a tree with branches is no stage of a chain
// expect nothing else
#include <taskmgr/taskmgr.hpp>

int main() {
#ifdef ALLOWED
  taskmgr::TaskTree first{[](int x) { return x; }};
#else
  taskmgr::TaskTree<int> first;
  first.root([](int x) { return x; });
#endif
  const taskmgr::TaskTree tree{first, [](int x) { return x; }};
  static_cast<void>(tree.start({1}));
}
