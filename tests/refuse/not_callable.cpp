// SPDX-License-Identifier: MIT
// expect: the function cannot be called with such a task
#include <taskmgr/manager/task_manager.hpp>

#include <vector>

int main() {
#ifdef ALLOWED
  const taskmgr::TaskManager manager{[] { return 42; }};
  static_cast<void>(manager.start(std::vector<std::tuple<>>(3)));
#else
  const taskmgr::TaskManager manager{42};
  static_cast<void>(manager.start(std::vector{1, 2, 3}));
#endif
}
