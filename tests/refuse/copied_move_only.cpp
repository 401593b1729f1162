// SPDX-License-Identifier: MIT
// expect: these tasks cannot be copied: give the range away, start(std::move(tasks))
#include <taskmgr/taskmgr.hpp>

#include <memory>
#include <utility>
#include <vector>

int main() {
  const taskmgr::TaskManager manager{[](const std::unique_ptr<int>& x) { return *x; }};
  std::vector<std::unique_ptr<int>> tasks;
  tasks.push_back(std::make_unique<int>(1));
#ifdef ALLOWED
  static_cast<void>(manager.start(std::move(tasks)));
#else
  static_cast<void>(manager.start(tasks));
#endif
}
