// SPDX-License-Identifier: MIT
// expect: the tasks must be an input range (a container, a view, a std::span) or a list in braces
#include <taskmgr/taskmgr.hpp>

#include <vector>

int main() {
  const taskmgr::TaskManager manager{[](int x) { return x; }};
#ifdef ALLOWED
  static_cast<void>(manager.start(std::vector{42}));
#else
  static_cast<void>(manager.start(42));
#endif
}
