// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The manager that most tests use, of one type, so that a test file compiles the library's run once: for a function, and for
/// the coroutine that coroutine mode needs in its place.

#include <taskmgr/core/context.hpp>
#include <taskmgr/core/report.hpp>
#include <taskmgr/manager/task_manager.hpp>
#include <taskmgr/run/async.hpp>

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <numeric>
#include <stop_token>
#include <utility>
#include <variant>
#include <vector>

namespace support {

using Function = std::function<int(taskmgr::Context&, int)>;
using Report = taskmgr::Report<int, int>;
using Outcome = taskmgr::Outcome<int, int>;
using Sink = std::function<void(Outcome&)>;

/// A function as a coroutine that never waits.
struct Coroutine {
  Function function;

  taskmgr::Async<int> operator()(taskmgr::Context& context, int x) const { co_return function(context, x); }
};

/// `taskmgr::TaskManager<Function>`, also in coroutine mode.
class Manager {
 public:
  explicit Manager(Function function, taskmgr::Options options = {}) : manager_(made(std::move(function), std::move(options))) {}

  template <class... More>
  Report start(std::initializer_list<int> tasks, More&&... more) const {
    return start<const std::initializer_list<int>&>(tasks, std::forward<More>(more)...);
  }
  template <class Tasks, class... More>
  Report start(Tasks&& tasks, More&&... more) const {
    return std::visit([&](auto& m) { return m.start(std::forward<Tasks>(tasks), std::forward<More>(more)...); }, manager_);
  }
  template <class... More>
  taskmgr::Run<int, int> launch(std::initializer_list<int> tasks, More&&... more) const {
    return launch<const std::initializer_list<int>&>(tasks, std::forward<More>(more)...);
  }
  template <class Tasks, class... More>
  taskmgr::Run<int, int> launch(Tasks&& tasks, More&&... more) const {
    return std::visit([&](auto& m) { return m.launch(std::forward<Tasks>(tasks), std::forward<More>(more)...); }, manager_);
  }
  taskmgr::Stream<int, int> stream(std::initializer_list<int> tasks, taskmgr::StreamOptions how = {},
                                   std::stop_token stop = {}) const {
    return stream(std::vector<int>(tasks), how, std::move(stop));
  }
  template <class Tasks>
  taskmgr::Stream<int, int> stream(Tasks&& tasks, taskmgr::StreamOptions how = {}, std::stop_token stop = {}) const {
    return std::visit([&](auto& m) { return m.stream(std::forward<Tasks>(tasks), how, std::move(stop)); }, manager_);
  }
  template <class Observer>
  Manager& observe(Observer&& observer) {
    std::visit([&](auto& m) { m.observe(std::forward<Observer>(observer)); }, manager_);
    return *this;
  }
  [[nodiscard]] const taskmgr::Options& options() const {
    return std::visit([](auto& m) -> const taskmgr::Options& { return m.options(); }, manager_);
  }

 private:
  using Either = std::variant<taskmgr::TaskManager<Function>, taskmgr::TaskManager<Coroutine>>;
  static Either made(Function function, taskmgr::Options options) {
    if (options.mode == taskmgr::Mode::coroutine) return taskmgr::TaskManager{Coroutine{std::move(function)}, std::move(options)};
    return taskmgr::TaskManager<Function>{std::move(function), std::move(options)};
  }

  Either manager_;
};

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
