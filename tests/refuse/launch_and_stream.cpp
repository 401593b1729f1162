// SPDX-License-Identifier: MIT
// The same mistakes as with start, each at another of its sisters.
// expect: the function is generic, so a list in braces has no task type: pass a std::vector of the tasks
// expect: the tasks must be an input range (a container, a view, a std::span) or a list in braces
// expect: these tasks cannot be copied: give the range away, start(std::move(tasks))
// expect: a sink is called with an Outcome<Task, R>&: take it by auto& or const auto&
#include <taskmgr/manager/task_manager.hpp>

#include <memory>
#include <utility>
#include <vector>

int main() {
  const taskmgr::TaskManager generic{[](auto x) { return x; }};
  const taskmgr::TaskManager manager{[](int x) { return x; }};
  const taskmgr::TaskManager of_pointers{[](const std::unique_ptr<int>& x) { return *x; }};
  std::vector<std::unique_ptr<int>> tasks;
#ifdef ALLOWED
  static_cast<void>(generic.stream(std::vector{1, 2, 3}));
  static_cast<void>(manager.launch({42}));
  static_cast<void>(of_pointers.stream(std::move(tasks)));
  static_cast<void>(manager.launch(std::vector{1, 2, 3}, [](const taskmgr::Outcome<int, int>&) {}));
#else
  static_cast<void>(generic.stream({1, 2, 3}));
  static_cast<void>(manager.launch(42));
  static_cast<void>(of_pointers.stream(tasks));
  static_cast<void>(manager.launch(std::vector{1, 2, 3}, [](int, int) {}));
#endif
}
