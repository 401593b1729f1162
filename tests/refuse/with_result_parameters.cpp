// SPDX-License-Identifier: MIT
// expect: with_result: the second function takes the task and the result
#include <taskmgr/manager/task_manager.hpp>
#include <taskmgr/manager/with_args.hpp>

int main() {
#ifdef ALLOWED
  const auto g = [](int task, int result) { return task + result; };
#else
  const auto g = [](int result) { return result; };
#endif
  const taskmgr::TaskManager manager{taskmgr::with_result([](int x) { return x; }, g)};
  static_cast<void>(manager.start({1, 2}));
}
