// SPDX-License-Identifier: MIT
// expect: a mutable lambda or a non-const operator() cannot be a task function
#include <taskmgr/manager/task_manager.hpp>
#include <taskmgr/manager/with_args.hpp>

struct Job {
  int width = 1;
};

int main() {
#ifdef ALLOWED
  const auto f = [](int x) { return x; };
#else
  const auto f = [seen = 0](int x) mutable { return seen += x; };
#endif
  const taskmgr::TaskManager manager{taskmgr::with_args(f, &Job::width)};
  static_cast<void>(manager.start({Job{}}));
}
