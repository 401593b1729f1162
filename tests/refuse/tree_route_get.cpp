// SPDX-License-Identifier: MIT
// expect: get<T>() of a route: T must be one of the types of its variant, and stand there once
#include <taskmgr/taskmgr.hpp>

#include <variant>

int main() {
  taskmgr::TaskTree<int> tree;
  const auto kinds = tree.route(tree.root([](int x) { return x; }), [](int x) { return std::variant<int, char>{x}; });
#ifdef ALLOWED
  static_cast<void>(kinds.get<char>());
#else
  static_cast<void>(kinds.get<long>());
#endif
}
