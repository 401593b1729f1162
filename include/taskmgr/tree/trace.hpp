// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The ways of initial tasks through a tree, for who asks for them.
///
/// Templates of `Hop`, so that a program without trees does not compile them.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "../core/event.hpp"
#include "../core/error.hpp"
#include "../core/outcome.hpp"
#include "../core/report.hpp"
#include "report.hpp"

namespace taskmgr::detail {

/// What one stage has done with each task that it took, by the number of the initial task. One stage's events fill it.
template <class Hop>
class StageTrace final : public Observer {
 public:
  StageTrace(std::string stage, std::size_t index) : stage_(std::move(stage)), index_(index) {}

  void on_event(const Event& event) override;
  [[nodiscard]] bool wants(EventKind kind) const override {
    return kind == EventKind::batch_started || kind == EventKind::task_started || kind == EventKind::task_succeeded ||
           kind == EventKind::task_failed || kind == EventKind::task_cancelled;
  }

  /// The stage's feed: a task is one with another from here on.
  void join(std::uint64_t number, std::uint64_t first) { place(joined_, number) = first + 1; }
  /// Whose way a task goes on in this stage.
  [[nodiscard]] std::uint64_t after(std::uint64_t number) const noexcept {
    return number < joined_.size() && joined_[number] != 0 ? joined_[number] - 1 : number;
  }
  /// What the stage has done with it; null: it never came here, or was not begun.
  [[nodiscard]] const Hop* hop(std::uint64_t number) const noexcept {
    return number < hops_of_.size() && hops_of_[number] != 0 ? &hops_[hops_of_[number] - 1] : nullptr;
  }

 private:
  using Numbers = std::vector<std::uint64_t>;  // by the number of the task: a number + 1; 0: none
  static std::uint64_t& place(Numbers& numbers, std::uint64_t number) {
    if (number >= numbers.size()) numbers.resize(number + 1 + numbers.size() / 2);
    return numbers[number];
  }

  const std::string stage_;
  const std::size_t index_;
  std::chrono::steady_clock::time_point began_{};
  std::vector<Hop> hops_;
  Numbers hops_of_;
  Numbers joined_;
};

template <class Hop>
void StageTrace<Hop>::on_event(const Event& event) {
  if (event.kind == EventKind::batch_started) {
    began_ = event.time;
    return;
  }
  std::uint64_t& at = place(hops_of_, event.task);
  if (at == 0) {
    hops_.push_back({.stage = stage_,
                     .stage_index = index_,
                     .task_text = event.task_text(),
                     .state = State::running,
                     .attempts = 0,
                     .worker = event.worker,
                     .queued = began_,
                     .started = event.time,
                     .finished = event.time});
    at = hops_.size();
  }
  Hop& hop = hops_[at - 1];
  hop.attempts = event.attempt;
  hop.worker = event.worker;
  if (event.kind == EventKind::task_started) return;
  hop.finished = event.time;
  hop.state = event.kind == EventKind::task_succeeded ? State::succeeded
              : event.kind == EventKind::task_failed  ? State::failed
                                                      : State::cancelled;
}

/// The traces of all stages of a run.
template <class Hop>
class TreeTrace {
 public:
  StageTrace<Hop>& add(const std::string& stage, std::size_t index) {
    stages_.push_back(std::make_shared<StageTrace<Hop>>(stage, index));
    return *stages_.back();
  }
  [[nodiscard]] const std::shared_ptr<StageTrace<Hop>>& stage(std::size_t index) const noexcept { return stages_[index]; }

  /// The way of one initial task. A hop's task waits from the end of the one before, which hands it on at once.
  [[nodiscard]] std::vector<Hop> way(std::uint64_t number) const {
    std::vector<Hop> way;
    for (const auto& stage : stages_) {
      number = stage->after(number);
      const Hop* const hop = stage->hop(number);
      if (hop == nullptr) break;
      way.push_back(*hop);
      if (way.size() > 1) way.back().queued = way[way.size() - 2].finished;
    }
    return way;
  }

 private:
  std::vector<std::shared_ptr<StageTrace<Hop>>> stages_;
};

}  // namespace taskmgr::detail

template <class In, class Out>
std::vector<taskmgr::Hop> taskmgr::TreeReport<In, Out>::trace(const In& task) const {
  if (trace_ == nullptr) throw UsageError("taskmgr: trace() of a run that was not traced: set TreeOptions::trace");
  const auto& store = detail::ReportAccess::store(*this);
  const auto slot_of = [&] {
    if constexpr (detail::Keyed<In>) {
      if (store.shared()) return store.find(task);
    }
    for (std::size_t slot = store.size(); slot-- > 0;) {
      if (detail::equal(store.task(slot), task)) return slot;
    }
    return detail::HashIndex::npos;
  };
  const std::size_t slot = slot_of();
  if (slot == detail::HashIndex::npos) throw std::out_of_range("taskmgr: trace(): the run had no such task");
  return trace_->way(store.number(slot));
}
