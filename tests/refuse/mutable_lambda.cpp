// SPDX-License-Identifier: MIT
// expect: a mutable lambda or a non-const operator() cannot be a task function
#include <taskmgr/taskmgr.hpp>

#include <vector>

int main() {
#ifdef ALLOWED
  const taskmgr::TaskManager manager{[](int x) { return x; }};
#else
  const taskmgr::TaskManager manager{[seen = 0](int x) mutable { return seen += x; }};
#endif
  static_cast<void>(manager.start(std::vector{1, 2, 3}));
}
