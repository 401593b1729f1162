// SPDX-License-Identifier: MIT
// expect: what route() is given must return a std::variant: each result goes on where its type does
#include <taskmgr/taskmgr.hpp>

#include <variant>

int main() {
  taskmgr::TaskTree<int> tree;
  const auto root = tree.root([](int x) { return x; });
#ifdef ALLOWED
  tree.route(root, [](int x) { return std::variant<int, char>{x}; });
#else
  tree.route(root, [](int x) { return x; });
#endif
}
