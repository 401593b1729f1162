// SPDX-License-Identifier: MIT
// expect: the function returns a reference to what cannot be copied: return a value or a pointer
#include <taskmgr/manager/task_manager.hpp>

#include <memory>
#include <utility>
#include <vector>

struct Job {
  std::unique_ptr<int> result = std::make_unique<int>(1);
};

int main() {
#ifdef ALLOWED
  const taskmgr::TaskManager manager{[](const Job& job) { return job.result.get(); }};
#else
  const taskmgr::TaskManager manager{&Job::result};
#endif
  std::vector<Job> jobs(2);
  static_cast<void>(manager.start(std::move(jobs)));
}
