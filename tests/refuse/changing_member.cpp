// SPDX-License-Identifier: MIT
// expect: the function cannot be called with such a task: its parameters must take a const Task&
#include <taskmgr/manager/task_manager.hpp>

#include <vector>

struct Job {
  int work() { return 1; }
  int look() const { return 2; }
};

int main() {
#ifdef ALLOWED
  const taskmgr::TaskManager manager{&Job::look};
#else
  const taskmgr::TaskManager manager{&Job::work};
#endif
  static_cast<void>(manager.start(std::vector<Job>(2)));
}
