// SPDX-License-Identifier: MIT
// expect: a node of a tree with branches is one stage: add those of a tree one by one
#include <taskmgr/taskmgr.hpp>

int main() {
  taskmgr::TaskTree<int> tree;
  const auto root = tree.root([](int x) { return x; });
#ifdef ALLOWED
  tree.then(tree.then(root, [](int x) { return x; }), [](int x) { return x; });
#else
  const taskmgr::TaskTree chain{[](int x) { return x; }, [](int x) { return x; }};
  tree.then(root, chain);
#endif
}
