// SPDX-License-Identifier: MIT
// expect: a stage of this tree cannot be called with what the stage before it returns
#include <taskmgr/taskmgr.hpp>

#include <string>

int main() {
  taskmgr::TaskTree<int> tree;
  const auto root = tree.root([](int x) { return x; });
#ifdef ALLOWED
  tree.then(root, [](double x) { return x; });
#else
  tree.then(root, [](const std::string& x) { return x; });
#endif
}
