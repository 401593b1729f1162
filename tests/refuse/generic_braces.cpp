// SPDX-License-Identifier: MIT
// expect: the function is generic, so a list in braces has no task type: pass a std::vector of the tasks
#include <taskmgr/taskmgr.hpp>

#include <vector>

int main() {
  const taskmgr::TaskManager manager{[](auto x) { return x; }};
#ifdef ALLOWED
  static_cast<void>(manager.start(std::vector{1, 2, 3}));
#else
  static_cast<void>(manager.start({1, 2, 3}));
#endif
}
