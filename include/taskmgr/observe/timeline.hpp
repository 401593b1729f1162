// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What each worker of a run did when, out of the run's events.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "../core/error.hpp"
#include "../core/event.hpp"
#include "../core/list.hpp"

namespace taskmgr::detail {

/// The attempts on each worker, and the time between them. Whatever events come, in whatever order: times on a row never go
/// back, and its gaps and attempts follow each other without an overlap and without a hole.
///
/// A template for one type, `Event`: so only programs that use it compile it, and not all that include it.
///
/// Thread safety: none.
template <class E>
class Timeline {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::nanoseconds;

  /// Time in which a worker made no attempt.
  struct Gap {
    TimePoint begin{};
    TimePoint end{};
    Duration between{0};   ///< of it, until the run knew that the attempt before it had ended
    Duration to_retry{0};  ///< of the rest, while a task of the run waited for its next attempt
  };
  /// An attempt, and the gap before it that nobody was told of yet.
  struct Ended {
    bool ran = false;  ///< else there was no attempt: a task was cancelled that was not running
    Gap before{};
    TimePoint begin{};
    TimePoint end{};
  };

  explicit Timeline(TimePoint began) : began_(began) {}

  /// There are at least so many workers. Throws `std::bad_alloc`.
  void make_room(std::size_t workers);
  [[nodiscard]] std::size_t workers() const noexcept { return rows_.size(); }

  /// An attempt has begun: the gap before it.
  Gap begin(const E& event);

  /// An attempt has ended, or a task was cancelled.
  ///
  /// It ends `Event::duration` after it has begun. One that a crash or a cancel has ended has no duration, and lasts until
  /// its event.
  Ended end(const E& event);

  /// Is an attempt under way?
  [[nodiscard]] bool busy(std::size_t worker) const noexcept { return rows_[worker].attempt != 0; }
  [[nodiscard]] TimePoint begin_of_attempt(std::size_t worker) const noexcept { return rows_[worker].begun; }
  /// The gap of a worker without an attempt, until now.
  [[nodiscard]] Gap gap_until(std::size_t worker, TimePoint now) const noexcept;

  /// The attempt under way has been lost with its worker, and the run has ended without a word of it: a gap.
  void forget_attempt(std::size_t worker, TimePoint now) noexcept;

 private:
  struct Row {
    TimePoint free_since;  // the end of the last attempt
    TimePoint known;       // when its end was told
    TimePoint begun{};
    Duration waited{0};  // `waited(known)` as it was then
    std::uint64_t task = 0;
    int attempt = 0;  // under way; 0: none
  };

  [[nodiscard]] Row& row_of(const E& event);
  /// For how long, up to that time, at least one task has waited for its next attempt.
  [[nodiscard]] Duration waited(TimePoint until) const noexcept;

  const TimePoint began_;
  List<Row> rows_{};
  Duration waited_{0};  // before the times that follow
  TimePoint waits_from_{};
  TimePoint waits_until_{};
};

/// The run of that number; null: there is none. A tree's stages are runs of their own.
template <class Run>
[[nodiscard]] Run* run_of(const List<Owner<Run>>& runs, std::uint64_t batch) noexcept {
  for (const Owner<Run>& run : runs) {
    if (run->batch == batch) return run.get();
  }
  return nullptr;
}

// ---------------------------------------------------------------------------------------------------------------------

template <class E>
void Timeline<E>::make_room(std::size_t workers) {
  while (rows_.size() < workers) rows_.push_back({.free_since = began_, .known = began_});
}

template <class E>
auto Timeline<E>::row_of(const E& event) -> Row& {
  make_room(event.worker + 1);
  return rows_[event.worker];
}

template <class E>
auto Timeline<E>::waited(TimePoint until) const noexcept -> Duration {
  return waited_ + std::max(Duration{0}, std::min(until, waits_until_) - waits_from_);
}

template <class E>
auto Timeline<E>::gap_until(std::size_t worker, TimePoint now) const noexcept -> Gap {
  const Row& row = rows_[worker];
  Gap gap{.begin = row.free_since, .end = std::max(row.free_since, now)};
  const Duration all = gap.end - gap.begin;
  gap.between = std::clamp(Duration{row.known - row.free_since}, Duration{0}, all);
  gap.to_retry = std::clamp(waited(gap.end) - row.waited, Duration{0}, all - gap.between);
  return gap;
}

template <class E>
void Timeline<E>::forget_attempt(std::size_t worker, TimePoint now) noexcept {
  Row& row = rows_[worker];
  row.attempt = 0;
  row.free_since = row.begun;
  row.known = std::max(row.begun, now);
  row.waited = waited(row.known);
}

template <class E>
auto Timeline<E>::begin(const E& event) -> Gap {
  Row& row = row_of(event);
  if (row.attempt != 0) forget_attempt(event.worker, event.time);
  const Gap gap = gap_until(event.worker, event.time);
  row.begun = gap.end;
  row.task = event.task;
  row.attempt = event.attempt;
  return gap;
}

template <class E>
auto Timeline<E>::end(const E& event) -> Ended {
  Ended ended;
  Row& row = row_of(event);
  const bool cancelled = event.kind == EventKind::task_cancelled;
  if (row.attempt != 0 && row.task == event.task && row.attempt == event.attempt) {
    ended.begin = row.begun;
    ended.before = {.begin = row.begun, .end = row.begun};
    ended.ran = true;
  } else if (!cancelled) {
    // It was begun by a worker process that has died since, with its result still under way; another has made it anew.
    for (std::size_t k = 0; k < rows_.size(); ++k) {
      if (rows_[k].task == event.task && rows_[k].attempt == event.attempt) forget_attempt(k, event.time);
    }
    if (row.attempt != 0) forget_attempt(event.worker, event.time);
    ended.before = gap_until(event.worker, event.time - event.duration);
    ended.begin = ended.before.end;
    ended.ran = true;
  }
  if (ended.ran) {
    const bool crashed = event.error != nullptr && event.error->kind() == TaskError::Kind::crash;
    const TimePoint latest = std::max(ended.begin, event.time);
    ended.end = crashed || cancelled || event.duration > latest - ended.begin ? latest : ended.begin + event.duration;
    row.attempt = 0;
    row.free_since = ended.end;
    row.known = latest;
    row.waited = waited(latest);
  }
  if (cancelled) {  // the run is being stopped: nobody waits for a retry any more
    waits_until_ = std::max(waits_from_, std::min(waits_until_, event.time));
  } else if (event.kind == EventKind::task_retrying) {
    const TimePoint due = event.delay > TimePoint::max() - event.time ? TimePoint::max() : event.time + event.delay;
    if (event.time >= waits_until_) {
      waited_ = waited(waits_until_);
      waits_from_ = event.time;
      waits_until_ = due;
    } else {
      waits_until_ = std::max(waits_until_, due);
    }
  }
  return ended;
}

}  // namespace taskmgr::detail
