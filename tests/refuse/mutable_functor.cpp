// SPDX-License-Identifier: MIT
// expect: a mutable lambda or a non-const operator() cannot be a task function
#include <taskmgr/manager/task_manager.hpp>

#include <tuple>
#include <vector>

struct Add {
#ifdef ALLOWED
  int operator()(taskmgr::Context&, int x, int y) const { return x + y; }
#else
  int operator()(taskmgr::Context&, int x, int y) { return x + y; }
#endif
};

int main() {
  const taskmgr::TaskManager manager{Add{}};
  static_cast<void>(manager.stream(std::vector<std::tuple<int, int>>{{1, 2}}));
}
