// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The manager that most tests use, of one type, so that a test file compiles the library's run once.

#include <taskmgr/core/context.hpp>
#include <taskmgr/core/report.hpp>
#include <taskmgr/manager/task_manager.hpp>

#include <cstddef>
#include <functional>
#include <numeric>
#include <vector>

namespace support {

using Function = std::function<int(taskmgr::Context&, int)>;
using Manager = taskmgr::TaskManager<Function>;
using Report = taskmgr::Report<int, int>;
using Outcome = taskmgr::Outcome<int, int>;
using Sink = std::function<void(Outcome&)>;

/// 0, 1, ..., n - 1.
inline std::vector<int> numbers(int n) {
  std::vector<int> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

/// The tasks of any range of tasks or outcomes, for comparisons.
template <class Tasks>
std::vector<int> listed(Tasks&& tasks) {
  std::vector<int> all;
  for (const int task : tasks) all.push_back(task);
  return all;
}

/// Do the counts of a report add up, and agree with its outcomes?
template <class Task, class R>
bool adds_up(const taskmgr::Report<Task, R>& report) {
  std::size_t succeeded = 0;
  std::size_t failed = 0;
  std::size_t cancelled = 0;
  std::size_t retries = 0;
  for (const auto& outcome : report.outcomes()) {
    succeeded += outcome.state() == taskmgr::State::succeeded ? 1U : 0U;
    failed += outcome.state() == taskmgr::State::failed ? 1U : 0U;
    cancelled += outcome.state() == taskmgr::State::cancelled ? 1U : 0U;
    if (outcome.attempts() > 1) retries += static_cast<std::size_t>(outcome.attempts() - 1);
  }
  return report.total == report.succeeded + report.failed + report.cancelled + report.duplicates &&
         report.succeeded == succeeded && report.failed == failed && report.cancelled == cancelled &&
         report.retries == retries && report.outcomes().size() == report.total - report.duplicates;
}

}  // namespace support
