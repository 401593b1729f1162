// SPDX-License-Identifier: MIT
// expect: a stage of this tree cannot be called with what the stage before it returns
// expect nothing else
#include <taskmgr/taskmgr.hpp>

#include <string>

int main() {
  const taskmgr::TaskManager first{[](int x) { return x + 1; }};
#ifdef ALLOWED
  const taskmgr::TaskManager second{[](double x) { return x; }};
#else
  const taskmgr::TaskManager second{[](const std::string& x) { return x; }};
#endif
  const taskmgr::TaskTree tree{first, second};
  static_cast<void>(tree.start({1}));
}
