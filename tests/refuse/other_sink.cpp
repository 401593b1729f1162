// SPDX-License-Identifier: MIT
// expect: a sink is called with an Outcome<Task, R>&: take it by auto& or const auto&
#include <taskmgr/taskmgr.hpp>

#include <vector>

int main() {
  const taskmgr::TaskManager manager{[](int x) { return x; }};
#ifdef ALLOWED
  const auto sink = [](const auto&) {};
#else
  const auto sink = [](const char*) {};
#endif
  static_cast<void>(manager.start(std::vector{1, 2, 3}, sink));
}
