// SPDX-License-Identifier: MIT
// expect: the function cannot be called with such a task: its parameters must take a const Task&
#include <taskmgr/taskmgr.hpp>

#include <string>
#include <vector>

int main() {
#ifdef ALLOWED
  const std::vector<std::string> tasks{"a", "b"};
#else
  const std::vector<int> tasks{1, 2};
#endif
  const taskmgr::TaskManager manager{[](const std::string& text) { return text.size(); }};
  static_cast<void>(manager.start(tasks));
}
