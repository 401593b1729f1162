// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What came of a run of a tree.

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../core/event.hpp"
#include "../core/format.hpp"
#include "../core/options.hpp"
#include "../core/report.hpp"
#include "node.hpp"

namespace taskmgr {

/// What a run made of one stage.
struct StageSummary {
  std::string name;
  Mode mode = Mode::serial;
  std::size_t workers = 0;
  /// Of the stage's own tasks: `total` came in, and those that share a value with an earlier one are not among them.
  Progress progress{};
  /// Of all attempts together, on all workers; zero where they were not measured: see `Outcome::duration`.
  std::chrono::nanoseconds running{0};

  /// What each worker ran on average: the stage with the most is what the others wait for.
  [[nodiscard]] std::chrono::nanoseconds per_worker() const noexcept {
    return running / static_cast<std::chrono::nanoseconds::rep>(workers != 0 ? workers : 1);
  }
};

/// What one stage has done with an initial task, or with the one whose way that shares.
struct Hop {
  std::string stage;
  std::size_t stage_index = 0;
  std::string task_text;  ///< what the stage was called with; the number of the initial task where fmt cannot write that
  State state = State::pending;
  int attempts = 0;
  std::size_t worker = 0;  ///< of the last attempt
  /// When the stage before had it, or the last that a merge waits for; of the first stage, when the run began.
  std::chrono::steady_clock::time_point queued{};
  std::chrono::steady_clock::time_point started{};   ///< its first attempt
  std::chrono::steady_clock::time_point finished{};
};

namespace detail {
template <class Hop>
class AnyTrace;
class BranchRecord;

/// What the report of a tree keeps beside the outcomes: of branches, all that the nodes have made.
template <class Out>
struct RecordOf {};
template <>
struct RecordOf<Branches> {
  std::shared_ptr<const BranchRecord> record;
};
}  // namespace detail

template <class In, class T>
class NodeMap;

/// The report of a tree: of each initial task the last stage's result, or the error of the stage in which it failed.
///
///     for (const auto& [url, error] : report.error_map()) fmt::print("{}: {}: {}\n", url, error.stage(), error.message());
///
/// Tasks that have come to an equal value in a stage that shares duplicates have one result; see `Outcome::take`.
template <class In, class Out>
class [[nodiscard]] TreeReport : public Report<In, Out> {
 public:
  using Report<In, Out>::Report;

  /// What each stage has done, in their order.
  [[nodiscard]] const std::vector<StageSummary>& stages() const noexcept { return stages_; }

  /// The way of an initial task through the stages, as far as it came. Where duplicates are run, that of the last such task.
  /// Throws `std::out_of_range` if there was no such task, and `UsageError` if the run had no `TreeOptions::trace`.
  [[nodiscard]] std::vector<Hop> trace(const In& task) const;

  /// Of a tree that branches: from each initial task to the results that it has at a node, in split order; of a merge that is one,
  /// unless one of the task's items failed. Throws `UsageError` for a node of another tree, or one that was added later.
  ///
  ///     for (const auto& [url, links] : report.results(found)) fmt::print("{}: {} links\n", url, links.size());
  template <class T>
    requires std::is_same_v<Out, Branches>
  [[nodiscard]] NodeMap<In, T> results(const Node<T>& node) const;

  /// For the library.
  void set_record(detail::RecordOf<Out> record) noexcept { record_ = std::move(record); }
  void set_trace(std::shared_ptr<const detail::AnyTrace<Hop>> trace) noexcept { trace_ = std::move(trace); }
  void set_stages(std::vector<StageSummary> stages) noexcept { stages_ = std::move(stages); }

  TreeReport() = default;
  TreeReport(TreeReport&&) noexcept = default;
  TreeReport& operator=(TreeReport&&) noexcept = default;

 private:
  friend struct detail::ReportAccess;
  TreeReport(const TreeReport&) = default;
  std::vector<StageSummary> stages_;
  [[no_unique_address]] detail::RecordOf<Out> record_;
  std::shared_ptr<const detail::AnyTrace<Hop>> trace_;
};

}  // namespace taskmgr

template <class In, class Out>
struct fmt::formatter<taskmgr::TreeReport<In, Out>> : fmt::formatter<taskmgr::Report<In, Out>> {};
