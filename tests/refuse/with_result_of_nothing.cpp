// SPDX-License-Identifier: MIT
// expect: with_result: the function gives nothing, so the second takes the task alone
#include <taskmgr/manager/task_manager.hpp>
#include <taskmgr/manager/with_args.hpp>

int main() {
#ifdef ALLOWED
  const auto g = [](int task) { return task; };
#else
  const auto g = [](int task, int result) { return task + result; };
#endif
  const taskmgr::TaskManager manager{taskmgr::with_result([](int) {}, g)};
  static_cast<void>(manager.start({1, 2}));
}
