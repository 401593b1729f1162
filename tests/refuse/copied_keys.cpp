// SPDX-License-Identifier: MIT
// expect: to() copies the tasks, which cannot be copied
#include <taskmgr/core/report.hpp>

#include <map>
#include <memory>

int main() {
#ifdef ALLOWED
  using Task = std::shared_ptr<int>;
#else
  using Task = std::unique_ptr<int>;
#endif
  const taskmgr::Report<Task, int> report;
  static_cast<void>(report.success_map().to<std::map<Task, int>>());
}
