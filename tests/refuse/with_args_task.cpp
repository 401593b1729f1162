// SPDX-License-Identifier: MIT
// expect: the function cannot be called with such a task
#include <taskmgr/manager/task_manager.hpp>
#include <taskmgr/manager/with_args.hpp>

#include <vector>

struct Job {
  int width = 1;
};

int main() {
  const taskmgr::TaskManager manager{taskmgr::with_args([](int x) { return x; }, &Job::width)};
#ifdef ALLOWED
  static_cast<void>(manager.start(std::vector<Job>(2)));
#else
  static_cast<void>(manager.start(std::vector<int>(2)));
#endif
}
