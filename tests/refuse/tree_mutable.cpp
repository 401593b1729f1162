// SPDX-License-Identifier: MIT
// expect: a mutable lambda or a non-const operator() cannot be a task function
// expect nothing else
#include <taskmgr/taskmgr.hpp>

int main() {
#ifdef ALLOWED
  const taskmgr::TaskTree tree{[n = 0](int x) { return x + n; }};
#else
  const taskmgr::TaskTree tree{[n = 0](int x) mutable { return x + n++; }};
#endif
  static_cast<void>(tree.start({1}));
}
