// SPDX-License-Identifier: MIT
// Prints the version of the library if it works in the user's program.
#include <taskmgr/taskmgr.hpp>

#include <fmt/format.h>

#include <vector>

int main() {
  const taskmgr::TaskManager doubled{[](int x) { return 2 * x; }, {.mode = taskmgr::Mode::thread, .workers = 2}};
  const auto report = doubled.start(std::vector{1, 2, 3});
  if (!report.ok() || report.success_map().at(3) != 6) return 1;
  fmt::print("{}.{}.{}\n", TASKMGR_VERSION_MAJOR, TASKMGR_VERSION_MINOR, TASKMGR_VERSION_PATCH);
}
