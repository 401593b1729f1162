// SPDX-License-Identifier: MIT
// expect: the function cannot be called with such a task: its parameters must take a const Task&
#include <taskmgr/manager/task_manager.hpp>

#include <string>
#include <vector>

int main() {
#ifdef ALLOWED
  const taskmgr::TaskManager manager{[](const std::string& text) { return text.size(); }};
#else
  const taskmgr::TaskManager manager{[](std::string& text) { return text.size(); }};  // tasks are const
#endif
  static_cast<void>(manager.start(std::vector<std::string>{"a", "b"}));
}
