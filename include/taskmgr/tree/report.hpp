// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What came of a run of a tree.

#include <utility>
#include <vector>

#include "../core/format.hpp"
#include "../core/report.hpp"
#include "drawing.hpp"

namespace taskmgr {

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

  /// For the library.
  void set_stages(std::vector<StageSummary> stages) noexcept { stages_ = std::move(stages); }

  TreeReport() = default;
  TreeReport(TreeReport&&) noexcept = default;
  TreeReport& operator=(TreeReport&&) noexcept = default;

 private:
  friend struct detail::ReportAccess;
  TreeReport(const TreeReport&) = default;
  std::vector<StageSummary> stages_;
};

}  // namespace taskmgr

template <class In, class Out>
struct fmt::formatter<taskmgr::TreeReport<In, Out>> : fmt::formatter<taskmgr::Report<In, Out>> {};
