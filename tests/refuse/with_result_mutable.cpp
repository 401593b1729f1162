// SPDX-License-Identifier: MIT
// expect: a mutable lambda or a non-const operator() cannot be a task function
#include <taskmgr/manager/task_manager.hpp>
#include <taskmgr/manager/with_args.hpp>

int main() {
#ifdef ALLOWED
  const auto f = [](int x) { return x; };
#else
  const auto f = [seen = 0](int x) mutable { return seen += x; };
#endif
  const taskmgr::TaskManager manager{taskmgr::with_result(f, [](int task, int result) { return task + result; })};
  static_cast<void>(manager.start({1, 2}));
}
