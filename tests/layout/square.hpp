// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The same use of the library for both translation units, so that both hold the same definitions.

#include <taskmgr/taskmgr.hpp>

#include <vector>

inline long square(long x) { return x * x; }

inline long sum_of_squares() {
  long sum = 0;
  for (const auto mode : {taskmgr::Mode::serial, taskmgr::Mode::thread}) {
    const taskmgr::TaskManager manager{square, {.mode = mode, .workers = 2}};
    const auto report = manager.start(std::vector<long>{1, 2, 3, 4});
    sum = 0;
    for (const auto& [task, result] : report.success_map()) sum += result;
  }
  return sum;
}
