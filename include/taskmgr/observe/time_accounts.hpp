// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Adds up what became of the time of workers, out of the events of their runs.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/event.hpp"
#include "../core/list.hpp"
#include "insights_table.hpp"
#include "timeline.hpp"

namespace taskmgr::detail {

/// What `Insights` does.
///
/// A template for one type, `Event`: so only programs that use it compile it, and not all that include it.
template <class E>
class TimeAccounts : public Observer {
 public:
  static constexpr std::size_t slowest_kept = 10;

  [[nodiscard]] std::vector<WorkerTime> workers() const;
  [[nodiscard]] TimeSpent total() const;
  [[nodiscard]] std::vector<SlowTask> slowest() const;
  [[nodiscard]] std::string text() const;

  [[nodiscard]] bool wants(EventKind kind) const override {
    return kind != EventKind::task_duplicate && kind != EventKind::task_progress && kind != EventKind::task_log;
  }
  void on_event(const E& event) override;

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Gap = typename Timeline<E>::Gap;
  using Ended = typename Timeline<E>::Ended;

  struct Run {
    std::uint64_t batch;
    std::size_t group;
    TimePoint began;
    Timeline<E> times;
  };

  void tell(const E& event);
  [[nodiscard]] Run& begin(const E& event);
  void end(Run& run, const E& event) noexcept;
  [[nodiscard]] std::size_t group_for(const E& event);
  void make_room(Run& run, std::size_t workers);
  void note_attempt(Run& run, const E& event);
  void note_slow(const E& event, std::chrono::nanoseconds duration);
  static void add(TimeSpent& to, const Gap& gap) noexcept;
  /// What a worker has done of a run up to `now`, and was not counted yet.
  static void add_open(TimeSpent& to, const Run& run, std::size_t worker, TimePoint now) noexcept;

  mutable std::mutex mutex_;  // those who read come from any thread
  List<TimeGroup> groups_{};
  List<Owner<Run>> runs_{};  // that last
  List<SlowTask> slowest_{};         // the longest first
};

// ---------------------------------------------------------------------------------------------------------------------

template <class E>
void TimeAccounts<E>::on_event(const E& event) {
  const std::scoped_lock lock(mutex_);
  try {
    tell(event);
  } catch (const std::exception&) {  // no memory: this is not counted
  }
}

template <class E>
void TimeAccounts<E>::tell(const E& event) {
  Run* run = run_of(runs_, event.batch);
  if (run == nullptr) run = &begin(event);
  switch (event.kind) {
    case EventKind::batch_finished: end(*run, event); break;
    case EventKind::task_started:
      make_room(*run, event.worker + 1);
      add(groups_[run->group].workers[event.worker], run->times.begin(event));
      break;
    case EventKind::task_retrying:
    case EventKind::task_succeeded:
    case EventKind::task_failed:
    case EventKind::task_cancelled: note_attempt(*run, event); break;
    default: break;
  }
}

template <class E>
auto TimeAccounts<E>::begin(const E& event) -> Run& {
  const std::size_t group = group_for(event);
  Owner run{new Run{event.batch, group, event.time, Timeline<E>{event.time}}};
  make_room(*run, event.workers);
  runs_.push_back(std::move(run));
  return *runs_.back();
}

template <class E>
std::size_t TimeAccounts<E>::group_for(const E& event) {
  for (std::size_t k = 0; k < groups_.size(); ++k) {
    if (groups_[k].manager == event.manager && groups_[k].stage == event.stage) return k;
  }
  groups_.push_back({std::string(event.manager), std::string(event.stage)});
  return groups_.size() - 1;
}

template <class E>
void TimeAccounts<E>::make_room(Run& run, std::size_t workers) {
  List<TimeSpent>& known = groups_[run.group].workers;
  while (known.size() < workers) known.push_back({});
  run.times.make_room(workers);
}

template <class E>
void TimeAccounts<E>::add(TimeSpent& to, const Gap& gap) noexcept {
  to.between_processes += gap.between;
  to.waiting_to_retry += gap.to_retry;
  to.waiting_for_work += gap.end - gap.begin - gap.between - gap.to_retry;
}

template <class E>
void TimeAccounts<E>::note_attempt(Run& run, const E& event) {
  make_room(run, event.worker + 1);
  const Ended ended = run.times.end(event);
  if (!ended.ran) return;
  TimeSpent& spent = groups_[run.group].workers[event.worker];
  add(spent, ended.before);
  spent.running += ended.end - ended.begin;
  ++spent.attempts;
  note_slow(event, ended.end - ended.begin);
}

template <class E>
void TimeAccounts<E>::note_slow(const E& event, std::chrono::nanoseconds duration) {
  const bool full = slowest_.size() == slowest_kept;
  if (full && duration <= slowest_.back().duration) return;
  for (SlowTask& known : slowest_) {  // by an earlier attempt
    if (known.batch != event.batch || known.task != event.task) continue;
    if (duration <= known.duration) return;
    slowest_.erase(&known);
    break;
  }
  SlowTask slow{std::string(event.manager), std::string(event.stage), event.batch, event.task, {}, event.attempt, event.worker,
                duration};
  try {
    slow.text = event.task_text();
  } catch (...) {  // by the user's own formatter
  }
  if (slowest_.size() == slowest_kept) slowest_.pop_back();
  slowest_.push_back(std::move(slow));
  for (std::size_t k = slowest_.size() - 1; k > 0 && slowest_[k - 1].duration < slowest_[k].duration; --k) {
    std::swap(slowest_[k - 1], slowest_[k]);
  }
}

template <class E>
void TimeAccounts<E>::add_open(TimeSpent& to, const Run& run, std::size_t worker, TimePoint now) noexcept {
  if (!run.times.busy(worker)) return add(to, run.times.gap_until(worker, now));
  to.running += std::max(TimePoint::duration{0}, now - run.times.begin_of_attempt(worker));
}

template <class E>
void TimeAccounts<E>::end(Run& run, const E& event) noexcept {
  // A run's duration counts from before its first event.
  const std::chrono::nanoseconds untold = event.duration - (event.time - run.began);
  for (std::size_t worker = 0; worker < run.times.workers(); ++worker) {
    TimeSpent& spent = groups_[run.group].workers[worker];
    if (run.times.busy(worker)) run.times.forget_attempt(worker, event.time);
    add(spent, run.times.gap_until(worker, event.time));
    spent.waiting_for_work += std::max(untold, std::chrono::nanoseconds{0});
  }
  for (auto& known : runs_) {
    if (known.get() == &run) return runs_.erase(&known);
  }
}

template <class E>
std::vector<WorkerTime> TimeAccounts<E>::workers() const {
  const std::scoped_lock lock(mutex_);
  const TimePoint now = std::chrono::steady_clock::now();
  std::vector<WorkerTime> all;
  for (std::size_t group = 0; group < groups_.size(); ++group) {
    const TimeGroup& known = groups_[group];
    for (std::size_t worker = 0; worker < known.workers.size(); ++worker) {
      WorkerTime time{known.workers[worker], known.manager, known.stage, worker};
      for (const auto& run : runs_) {
        if (run->group == group && worker < run->times.workers()) add_open(time, *run, worker, now);
      }
      all.push_back(std::move(time));
    }
  }
  return all;
}

template <class E>
TimeSpent TimeAccounts<E>::total() const {
  TimeSpent sum;
  for (const WorkerTime& worker : workers()) sum += worker;
  return sum;
}

template <class E>
std::vector<SlowTask> TimeAccounts<E>::slowest() const {
  const std::scoped_lock lock(mutex_);
  return {slowest_.begin(), slowest_.end()};
}

template <class E>
std::string TimeAccounts<E>::text() const {
  const std::vector<WorkerTime> all = workers();
  const std::vector<SlowTask> slow = slowest();
  return insights_text(all, slow);
}

}  // namespace taskmgr::detail
