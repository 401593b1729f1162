// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A run over tasks that come one after the other, in serial mode: a task is run when its outcome is asked for.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <utility>

#include "../core/outcome.hpp"
#include "../core/task_text.hpp"
#include "attempt.hpp"
#include "pace.hpp"
#include "source.hpp"

namespace taskmgr::detail {

/// What a `Flow` is that is fed, for serial mode: one task is on its way at a time, so it needs no places and no queues.
///
/// Thread safety: one thread walks it; `nudge`, `halt` and `cancel` are for any.
template <class F, class Task, class R, class Source>
class SerialFlow final : public Attempts<SerialFlow<F, Task, R, Source>, F, Task, R> {
  using Base = Attempts<SerialFlow, F, Task, R>;
  friend Base;

 public:
  SerialFlow(Crew::Terms terms, const F& function, Source& source) : Base(std::move(terms), function), source_(source) {
    this->task_writer = &write_task<Task>;
    this->open();
  }
  ~SerialFlow() override {
    give_up_current();
    if (!ended_) this->close();
  }

  /// The next outcome. The one before is given up. Null at the end, while the source has nothing, and from time to time, when
  /// what was done is worth telling of: `get_on` goes on. Throws, once, at the end, what an observer or the worker's start threw.
  [[nodiscard]] Outcome<Task, R>* next_now();
  /// Nothing has to be known of a task but its result: `run_on` does for all that succeed at once.
  [[nodiscard]] bool can_run_on() const noexcept { return !this->careful() && source_.is_plain(); }
  /// Runs one task after the other, as long as there are tasks and room for their results: `places()` is asked for some, which
  /// has `room()` for so many, and `put(origin, make)`, that makes one of what `make()` returns or throws. The outcome of a task
  /// whose first attempt failed, or null: then `next_now` goes on.
  template <class Places>
  [[nodiscard]] Outcome<Task, R>* run_on(const Places& places);
  /// Nothing comes any more.
  [[nodiscard]] bool is_over() const noexcept { return ended_; }
  /// What the source calls the task of the current outcome.
  [[nodiscard]] std::size_t current() const noexcept { return source_.origin(); }
  /// What a task took lately, in ns; negative: not known.
  [[nodiscard]] std::int64_t per_task() const noexcept { return pace_.per_task().count() != 0 ? pace_.per_task().count() : -1; }
  /// Waits until there is a task, or the end is known.
  void get_on() noexcept {
    get_on([this] { return source_.has_news() || this->stopping(); });
  }
  /// Waits for `news`, and may return before there are any: it looks by itself as well, now and then. Who puts tells of many
  /// at a time, and may be inside of a long task with some untold.
  template <class News>
  void get_on(const News& news) noexcept;
  /// Has whoever walks the flow look for news: from any thread, after they came.
  void nudge() noexcept { this->wake_resting_driver(); }

  [[nodiscard]] bool has_work() const noexcept override { return false; }  // for others

 private:
  /// Of work that is told of at once: to wake who waits for it costs 15 us, and he is there 50 us later.
  static constexpr Pace::Duration goal{100'000};
  /// The first look, from which they become rarer while there is little to do. Whenever a processor has nothing to do, the
  /// system may move a thread there that waits for another one: it does so too seldom where stages outnumber processors, if this
  /// one sleeps through.
  static constexpr Pace::Duration first_nap{200'000};
  static constexpr Pace::Duration longest_nap{256'000'000};

  // --- Home
  [[nodiscard]] const Task& task(std::size_t) const noexcept { return *task_; }
  [[nodiscard]] Slot<R> slot(std::size_t) noexcept { return slots_[0]; }
  [[nodiscard]] std::uint64_t number(std::size_t) const noexcept { return source_.number(); }
  const TaskError& fail(std::size_t, const Failure& failure, int attempts) noexcept;
  void add_duration(std::size_t, std::chrono::nanoseconds d) noexcept { duration_ += d; }
  void retry_later(std::size_t, int, Clock::time_point) noexcept {}  // it is tried again in its place
  void finished(std::size_t, Seat&) noexcept {}

  std::size_t work(Seat&) noexcept override { return 0; }
  void give_up_current() noexcept;
  [[nodiscard]] const Task* take();
  [[nodiscard]] bool make_ready() noexcept;
  void run_it(Seat& seat) noexcept;
  void end();

  Source& source_;
  std::optional<Task> room_;  // for the task, unless its source keeps it
  const Task* task_ = nullptr;
  Slots<R, 1> slots_;
  std::optional<TaskError> error_room_;
  const TaskError* error_ = nullptr;
  std::chrono::nanoseconds duration_{0};
  std::optional<Outcome<Task, R>> current_;
  bool in_front_ = false;  // of its source, where the task still is
  bool ready_ = false;
  bool ended_ = false;

  Pace pace_{0, goal};
  std::size_t together_ = 0;  // tasks that are told of at once,
  std::size_t left_ = 0;      // of which so many are still to be run
  Clock::time_point read_{};
  Pace::Duration nap_ = first_nap;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class F, class Task, class R, class Source>
Outcome<Task, R>* SerialFlow<F, Task, R, Source>::next_now() {
  give_up_current();
  if (this->stopping()) {
    end();
    return nullptr;
  }
  if (left_ == 0) return nullptr;
  const Task* const task = take();
  if (task == nullptr) return nullptr;
  --left_;
  run_it(this->seats()[0]);
  return &current_.emplace(*task, slots_[0], error_, duration_);
}

/// Null if there is no task now.
template <class F, class Task, class R, class Source>
const Task* SerialFlow<F, Task, R, Source>::take() {
  for (;;) {
    const Next next = source_.advance();
    if (next != Next::task) {
      if (next == Next::end) end();
      return nullptr;
    }
    if (!make_ready()) return nullptr;
    try {
      task_ = &source_.take(room_);
      this->note_tasks(1);
      return task_;
    } catch (...) {
      source_.drop();
    }
  }
}

/// False if no task can be run.
template <class F, class Task, class R, class Source>
bool SerialFlow<F, Task, R, Source>::make_ready() noexcept {
  if (!ready_ && !(ready_ = this->ready(this->seats()[0]))) this->halt();
  return ready_;
}

template <class F, class Task, class R, class Source>
template <class Places>
Outcome<Task, R>* SerialFlow<F, Task, R, Source>::run_on(const Places& places) {
  give_up_current();
  Seat& seat = this->seats()[0];
  std::size_t done = 0;  // and not counted
  const auto count = [&](std::size_t begun) {
    this->note_tasks(begun);
    seat.started.add(begun);
    seat.succeeded.add(std::exchange(done, 0));
    left_ -= begun;
  };
  try {
    bool goes_on = true;
    while (goes_on && left_ != 0) {
      source_.take_some([&](auto&& tasks) {
        if (tasks.size() == 0 || this->stopping() || !make_ready()) return;
        const auto begin = [&] {
          task_ = &tasks.task();
          source_.is_at(tasks.origin());
        };
        begin();  // it fails if there is no memory for a place
        auto results = places();
        const std::size_t most = std::min({pace_.stride(), left_, tasks.size(), results.room()});
        for (; done != most && !this->stopping(); ++done) {
          begin();
          results.put(tasks.origin(), [&]() -> R { return this->made_plainly(0, *task_, seat); });
          tasks.pop();
        }
      });
      goes_on = done != 0;
      count(done);
    }
    return nullptr;
  } catch (...) {
    count(done + 1);
    in_front_ = true;
    slots_[0].mark(State::pending, 0);
    static_cast<void>(this->failed_plainly(0, seat));
  }
  return &current_.emplace(*task_, slots_[0], error_, duration_);
}

template <class F, class Task, class R, class Source>
void SerialFlow<F, Task, R, Source>::run_it(Seat& seat) noexcept {
  slots_[0].mark(State::pending, 0);
  if (this->careful()) {
    this->run(0, 1, seat);
    return;
  }
  seat.started.add(1);
  try {
    this->succeed_plainly(0, slots_[0], *task_, seat);
    seat.succeeded.add(1);
  } catch (...) {
    static_cast<void>(this->failed_plainly(0, seat));
  }
}

template <class F, class Task, class R, class Source>
void SerialFlow<F, Task, R, Source>::give_up_current() noexcept {
  if (!current_) return;
  current_.reset();
  if (std::exchange(in_front_, false)) source_.take_some([](auto&& tasks) { tasks.pop(); });
  if (slots_[0].state() == State::succeeded) slots_[0].discard();
  room_.reset();
  error_room_.reset();
  error_ = nullptr;
  duration_ = std::chrono::nanoseconds{0};
}

template <class F, class Task, class R, class Source>
void SerialFlow<F, Task, R, Source>::end() {
  if (std::exchange(ended_, true)) return;
  this->close();
  if (const std::exception_ptr thrown = this->thrown().take()) std::rethrow_exception(thrown);
}

template <class F, class Task, class R, class Source>
template <class News>
void SerialFlow<F, Task, R, Source>::get_on(const News& news) noexcept {
  const Clock::time_point now = Clock::now();
  if (together_ != left_) {
    pace_.measured(together_ - left_, now - read_);
    if (4 * (now - read_) > nap_) nap_ = first_nap;
  }
  read_ = now;
  if (!news()) {
    this->rest_for(now + nap_, news);
    nap_ = std::min(nap_ + nap_ / 8, longest_nap);
    read_ = Clock::now();
  }
  together_ = left_ = pace_.chunk();
}

template <class F, class Task, class R, class Source>
const TaskError& SerialFlow<F, Task, R, Source>::fail(std::size_t, const Failure& failure, int attempts) noexcept {
  try {
    error_ = &error_room_.emplace(failure.kind, failure.exception, attempts);
  } catch (...) {
    error_ = &unrecorded_error();
  }
  slots_[0].fail(attempts, 0);
  return *error_;
}

}  // namespace taskmgr::detail
