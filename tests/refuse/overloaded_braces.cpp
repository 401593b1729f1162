// SPDX-License-Identifier: MIT
// expect: the function is generic, so a list in braces has no task type: pass a std::vector of the tasks
#include <taskmgr/manager/task_manager.hpp>

#include <vector>

struct Overloaded {
  int operator()(int x) const { return x; }
  int operator()(int x, int y) const { return x + y; }
};

int main() {
  const taskmgr::TaskManager manager{Overloaded{}};
#ifdef ALLOWED
  static_cast<void>(manager.start(std::vector{1, 2, 3}));
#else
  static_cast<void>(manager.start({1, 2, 3}));
#endif
}
