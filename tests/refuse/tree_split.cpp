// SPDX-License-Identifier: MIT
// expect: what split() is given must return a range, a std::vector say: each element is a task of its own
#include <taskmgr/taskmgr.hpp>

#include <vector>

int main() {
  taskmgr::TaskTree<int> tree;
  const auto root = tree.root([](int x) { return x; });
#ifdef ALLOWED
  tree.split(root, [](int x) { return std::vector{x}; });
#else
  tree.split(root, [](int x) { return x; });
#endif
}
