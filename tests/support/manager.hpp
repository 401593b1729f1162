// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The manager that most tests use: of one type, whose runs manager.cpp compiles once for all of them.

#include <taskmgr/core/context.hpp>
#include <taskmgr/core/event.hpp>
#include <taskmgr/core/options.hpp>
#include <taskmgr/core/report.hpp>
#include <taskmgr/manager/run.hpp>
#include <taskmgr/manager/stream.hpp>
#include <taskmgr/run/async.hpp>

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <numeric>
#include <stop_token>
#include <utility>
#include <variant>
#include <vector>

#include "source.hpp"

namespace support {

using Function = std::function<int(taskmgr::Context&, int)>;
using AsyncFunction = std::function<taskmgr::Async<int>(taskmgr::Context&, int)>;
using Report = taskmgr::Report<int, int>;
using Outcome = taskmgr::Outcome<int, int>;
using Sink = std::function<void(Outcome&)>;

/// The tasks of a run, in the ways in which tests give them. A vector that is an lvalue is referred to.
struct Tasks {
  Tasks(std::initializer_list<int> list) : given(std::vector<int>(list)) {}
  Tasks(std::vector<int>&& away) : given(std::move(away)) {}
  Tasks(const std::vector<int>& kept) : given(&kept) {}
  Tasks(Source source) : given(std::move(source)) {}
  Tasks(taskmgr::TaskRange<int, int, const int> rest) : given(std::move(rest)) {}

  std::variant<std::vector<int>, const std::vector<int>*, Source, taskmgr::TaskRange<int, int, const int>> given;
};

/// A `taskmgr::TaskManager<Function>`, which in coroutine mode runs a coroutine that never waits, or one of an `AsyncFunction`.
class Manager {
 public:
  explicit Manager(Function function, taskmgr::Options options = {});
  explicit Manager(AsyncFunction function, taskmgr::Options options = {});
  Manager(Manager&&) noexcept;
  Manager& operator=(Manager&&) noexcept;
  ~Manager();

  Report start(Tasks tasks, Sink sink = nullptr, std::stop_token stop = {}) const;
  Report start(Tasks tasks, std::stop_token stop) const { return start(std::move(tasks), nullptr, std::move(stop)); }
  taskmgr::Run<int, int> launch(Tasks tasks, Sink sink = nullptr, std::stop_token stop = {}) const;
  taskmgr::Run<int, int> launch(Tasks tasks, std::stop_token stop) const { return launch(std::move(tasks), nullptr, std::move(stop)); }
  taskmgr::Async<Report> start_async(Tasks tasks, Sink sink = nullptr, std::stop_token stop = {}) const;
  taskmgr::Async<Report> start_async(Tasks tasks, std::stop_token stop) const {
    return start_async(std::move(tasks), nullptr, std::move(stop));
  }
  taskmgr::Stream<int, int> stream(std::initializer_list<int> tasks, taskmgr::StreamOptions how = {}) const {
    return stream(std::vector<int>(tasks), how);
  }
  taskmgr::Stream<int, int> stream(std::vector<int>&& tasks, taskmgr::StreamOptions how = {}, std::stop_token stop = {}) const;
  taskmgr::Stream<int, int> stream(const std::vector<int>& tasks, taskmgr::StreamOptions how = {}, std::stop_token stop = {}) const;
  taskmgr::Stream<int, int> stream(Source tasks, taskmgr::StreamOptions how = {}, std::stop_token stop = {}) const;

  Manager& observe(std::shared_ptr<taskmgr::Observer> observer);
  Manager& observe(taskmgr::Observer& observer);
  [[nodiscard]] const taskmgr::Options& options() const;

 private:
  struct Either;
  std::unique_ptr<Either> either_;
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
