// SPDX-License-Identifier: MIT
// expect: with_args: the function does not take what the projections give
#include <taskmgr/manager/task_manager.hpp>
#include <taskmgr/manager/with_args.hpp>

#include <string>

struct Job {
  int width = 1;
  std::string name{};
};

int main() {
#ifdef ALLOWED
  const auto f = [](int width, const std::string& name) { return name.size() + static_cast<std::size_t>(width); };
#else
  const auto f = [](int width, int height) { return width * height; };
#endif
  const taskmgr::TaskManager manager{taskmgr::with_args(f, &Job::width, &Job::name)};
  static_cast<void>(manager.start({Job{}}));
}
