// SPDX-License-Identifier: MIT
// expect: the tasks are not of the type that the first stage of the tree takes, nor can that be made of them
#include <taskmgr/taskmgr.hpp>

#include <string>
#include <vector>

int main() {
  const taskmgr::TaskTree tree{[](int x) { return x; }};
#ifdef ALLOWED
  static_cast<void>(tree.start(std::vector<short>{1}));
#else
  static_cast<void>(tree.start(std::vector<std::string>{"1"}));
#endif
}
