// SPDX-License-Identifier: MIT
// expect: these tasks cannot be copied: give the range away, start(std::move(tasks))
#include <taskmgr/manager/task_manager.hpp>

#include <memory>
#include <utility>
#include <vector>

int main() {
  const taskmgr::TaskManager manager{[](const std::unique_ptr<int>& x) { return *x; }};
  auto report = manager.start(std::vector<std::unique_ptr<int>>(2));
#ifdef ALLOWED
  static_cast<void>(manager.start(std::move(report).failed_tasks()));
#else
  static_cast<void>(manager.start(report.failed_tasks()));  // they belong to the report
#endif
}
