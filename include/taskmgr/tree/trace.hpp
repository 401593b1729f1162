// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The ways of initial tasks through a tree, for who asks for them.
///
/// Templates of `Hop`, so that a program without trees does not compile them.

#include <algorithm>
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

/// Finds what a stage has done with a task by the number of the initial task: in a chain a stage has one for each.
class NumberedTasks {
 public:
  std::size_t& place(const Event& event) { return place(event.task); }
  std::size_t& place(std::uint64_t number) {
    if (number >= places_.size()) places_.resize(number + 1 + number / 2);
    return places_[number];
  }
  [[nodiscard]] std::size_t find(std::uint64_t number) const noexcept { return number < places_.size() ? places_[number] : 0; }

 private:
  std::vector<std::size_t> places_;  // 0: none
};

/// What one stage has done with each task that it took. One stage's events fill it.
template <class Hop, class Tasks>
class HopList : public Observer {
 public:
  HopList(std::string stage, std::size_t index, Tasks tasks = {})
      : stage_(std::move(stage)), index_(index), tasks_(std::move(tasks)) {}

  void on_event(const Event& event) override;
  [[nodiscard]] bool wants(EventKind kind) const override {
    return kind == EventKind::batch_started || kind == EventKind::task_started || kind == EventKind::task_succeeded ||
           kind == EventKind::task_failed || kind == EventKind::task_cancelled;
  }

  /// What the stage has done with a task; null: it never came here, or was not begun.
  template <class Key>
  [[nodiscard]] const Hop* hop(const Key& key) const noexcept {
    const std::size_t place = tasks_.find(key);
    return place != 0 ? &hops_[place - 1] : nullptr;
  }

 private:
  const std::string stage_;
  const std::size_t index_;
  std::chrono::steady_clock::time_point began_{};
  std::vector<Hop> hops_;
  Tasks tasks_;  // the number of its hop + 1
};

template <class Hop, class Tasks>
void HopList<Hop, Tasks>::on_event(const Event& event) {
  if (event.kind == EventKind::batch_started) {
    began_ = event.time;
    return;
  }
  std::size_t& at = tasks_.place(event);
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

/// A stage of a chain.
template <class Hop>
class StageTrace final : public HopList<Hop, NumberedTasks> {
 public:
  using HopList<Hop, NumberedTasks>::HopList;

  /// The stage's feed: a task is one with another from here on.
  void join(std::uint64_t number, std::uint64_t first) { joined_.place(number) = first + 1; }
  /// Whose way a task goes on in this stage.
  [[nodiscard]] std::uint64_t after(std::uint64_t number) const noexcept {
    const std::size_t first = joined_.find(number);
    return first != 0 ? first - 1 : number;
  }

 private:
  NumberedTasks joined_;  // the number of the first + 1
};

/// The ways of a run's initial tasks.
template <class Hop>
class AnyTrace {
 public:
  AnyTrace() = default;
  AnyTrace(const AnyTrace&) = delete;
  AnyTrace& operator=(const AnyTrace&) = delete;
  virtual ~AnyTrace() = default;
  /// Of the task in a slot of the report, whose index in the source is `number`.
  [[nodiscard]] virtual std::vector<Hop> way(std::size_t slot, std::uint64_t number) const = 0;
};

/// The traces of all stages of a run.
template <class Hop>
class TreeTrace final : public AnyTrace<Hop> {
 public:
  StageTrace<Hop>& add(const std::string& stage, std::size_t index) {
    stages_.push_back(std::make_shared<StageTrace<Hop>>(stage, index));
    return *stages_.back();
  }
  [[nodiscard]] const std::shared_ptr<StageTrace<Hop>>& stage(std::size_t index) const noexcept { return stages_[index]; }

  /// The way of one initial task. A hop's task waits from the end of the one before, which hands it on at once.
  [[nodiscard]] std::vector<Hop> way(std::size_t, std::uint64_t number) const override {
    std::vector<Hop> way;
    for (const auto& stage : stages_) {
      number = stage->after(number);
      const Hop* const hop = stage->hop(number);
      if (hop == nullptr) break;
      way.push_back(*hop);
      if (way.size() > 1) way.back().queued = std::min(way[way.size() - 2].finished, hop->started);
    }
    return way;
  }

 private:
  std::vector<std::shared_ptr<StageTrace<Hop>>> stages_;
};

/// The slot of a task, the last one if it has several; `npos` if the run had none such.
template <class In, class Out>
[[nodiscard]] std::size_t slot_of(const Store<In, Out>& store, const In& task) {
  if constexpr (Keyed<In>) {
    if (store.shared()) return store.find(task);
  }
  for (std::size_t slot = store.size(); slot-- > 0;) {
    if (equal(store.task(slot), task)) return slot;
  }
  return HashIndex::npos;
}

}  // namespace taskmgr::detail

template <class In, class Out>
std::vector<taskmgr::Hop> taskmgr::TreeReport<In, Out>::trace(const In& task) const {
  if (trace_ == nullptr) throw UsageError("taskmgr: trace() of a run that was not traced: set TreeOptions::trace");
  const auto& store = detail::ReportAccess::store(*this);
  const std::size_t slot = detail::slot_of(store, task);
  if (slot == detail::HashIndex::npos) throw std::out_of_range("taskmgr: trace(): the run had no such task");
  return trace_->way(slot, store.number(slot));
}
