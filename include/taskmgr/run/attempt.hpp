// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One attempt at one task: called, caught, timed, judged and settled. Whoever schedules attempts calls this.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "../core/call.hpp"
#include "../core/outcome.hpp"
#include "crew.hpp"

namespace taskmgr::detail {

/// What became of an attempt.
enum class Step {
  settled,  ///< the task has its outcome
  waiting   ///< the task waits for its next attempt
};

/// Watches an attempt while it lives: the token in the context of its seat stops at the deadline, and when the run is cancelled.
class AttemptDeadline {
 public:
  AttemptDeadline(Crew& crew, Seat& seat, Clock::time_point at)
      : armed_(crew, seat, at), with_run_(crew.token(), job_of<&Watchdog::Alarm::request_stop>(seat.alarm)) {}

  /// Its deadline has come, and the watchdog may be late.
  void request_stop() noexcept { armed_.alarm.request_stop(); }

 private:
  struct Armed {
    Armed(Crew& crew, Seat& seat, Clock::time_point at) : watchdog(crew.watchdog()), alarm(seat.alarm) {
      watchdog.arm(alarm, at);
      ContextAccess::deadline(seat.context, at, alarm.token());
    }
    ~Armed() { watchdog.disarm(alarm); }
    Armed(const Armed&) = delete;
    Armed& operator=(const Armed&) = delete;
    Watchdog& watchdog;
    Watchdog::Alarm& alarm;
  };
  Armed armed_;
  OnStop with_run_;
};

/// Runs attempts of `F` at tasks that `Home` keeps.
///
/// `Home` derives from it and says where a task with some `id` lives: `task(id)`, `slot(id)`, `number(id)`, `add_duration(id, d)`;
/// `fail(id, failure, attempts)` keeps its error and gives it back; `finished(id, seat)` is called when a task has its
/// outcome, `retry_later(id, attempt, due)` when it is to be tried again (that one may throw `std::bad_alloc`).
template <class Home, class F, class Task, class R>
class Attempts : public Crew {
 protected:
  static constexpr bool in_context = wants_context<F, Task>;

  Attempts(Terms terms, const F& function) : Crew(std::move(terms)), function_(function) {
    careful_ = measures() || tells_tasks() || options().timeout.count() != 0 || watches_ratio();
    in_place_ = options().mode == Mode::serial;
  }

  /// Nothing has to be known of an attempt but its result: no clock is read, nobody is told.
  [[nodiscard]] bool careful() const noexcept { return careful_; }

  /// The first attempt at a task, where nobody is told and nothing is measured. It does not count a success: whoever
  /// calls it does that for many at once.
  void succeed_plainly(std::size_t id, Slot<R> slot, const Task& task, Seat& seat) {
    slot.succeed(1, [&]() -> R { return made_plainly(id, task, seat); });
  }
  [[nodiscard]] R made_plainly(std::size_t id, const Task& task, Seat& seat) {
    if constexpr (in_context) ContextAccess::task(seat.context, home().number(id), 1, &task);
    return made(seat, task);
  }

  /// The same, for the one that has just thrown; called where that is caught.
  [[nodiscard]] Step failed_plainly(std::size_t id, Seat& seat) noexcept {
    Failure failure{TaskError::Kind::exception, std::current_exception()};
    const Step step = settle_failure(id, 1, failure, std::chrono::nanoseconds{0}, seat, Asked::no);
    return step == Step::settled || !in_place_ ? step : again_in_place(id, 2, seat);
  }

  /// One attempt, with all that the options and observers ask for; in serial mode, also those that follow it.
  Step run(std::size_t id, int attempt, Seat& seat) noexcept {
    const Step step = run_once(id, attempt, seat);
    return step == Step::settled || !in_place_ ? step : again_in_place(id, attempt + 1, seat);
  }

  /// The task gets no further attempt; it had `attempts`.
  void cancel_task(std::size_t id, int attempts, Seat& seat) noexcept {
    home().slot(id).mark(State::cancelled, attempts);
    seat.cancelled.add(1);
    if (hub().wants(EventKind::task_cancelled)) {
      tell(EventKind::task_cancelled, {.seat = &seat, .number = home().number(id), .attempt = attempts, .task = &home().task(id)});
    }
    home().finished(id, seat);
  }

  // --- the parts of it, for who makes attempts elsewhere

  [[nodiscard]] Home& home() noexcept { return static_cast<Home&>(*this); }

  [[nodiscard]] const F& function() const noexcept { return function_; }

  /// What the function makes of a task. A coroutine is driven to its end.
  R made(Seat& seat, const Task& task) {
    if constexpr (gives_coroutine<F, Task>) {
      return Awaited<CallResult<F, Task>>::drive(call(function_, seat.context, task), seat.context.stop_token());
    } else if constexpr (std::is_void_v<CallResult<F, Task>>) {
      call(function_, seat.context, task);
      return {};
    } else {
      return call(function_, seat.context, task);
    }
  }

  /// An attempt is over: its value is in the slot, or there is a failure.
  Step settle(std::size_t id, int attempt, Failure& failure, std::chrono::nanoseconds took, Seat& seat, Asked asked) noexcept {
    const std::chrono::nanoseconds timeout = options().timeout;
    if (measures()) home().add_duration(id, took);
    if (timeout.count() != 0 && took >= timeout) {
      if (failure.exception == nullptr) home().slot(id).discard();  // it came too late
      failure = timed_out(timeout);
      asked = Asked::no;
    }
    if (failure.exception != nullptr) return settle_failure(id, attempt, failure, took, seat, asked);

    seat.succeeded.add(1);
    if (watches_ratio()) note_failure(true);
    tell(EventKind::task_succeeded,
         {.seat = &seat, .number = home().number(id), .attempt = attempt, .task = &home().task(id), .duration = took});
    home().finished(id, seat);
    return Step::settled;
  }

  /// It has no value.
  Step settle_failure(std::size_t id, int attempt, Failure& failure, std::chrono::nanoseconds took, Seat& seat,
                      Asked asked) noexcept {
    Ruling ruling = judge(failure, attempt, asked);
    const About about{.seat = &seat, .number = home().number(id), .attempt = attempt, .task = &home().task(id), .duration = took};
    if (ruling.verdict == Ruling::Verdict::retry) {
      if (hub().wants(EventKind::task_retrying)) tell_retrying(about, failure, ruling.delay);
      home().slot(id).mark(State::pending, attempt);
      try {
        const Clock::time_point due = Clock::now() + ruling.delay;
        if (in_place_) in_place_due_ = due;
        else home().retry_later(id, attempt + 1, due);
        return Step::waiting;
      } catch (...) {
        failure = {TaskError::Kind::exception, std::current_exception()};  // no memory to wait in
      }
    }
    if (ruling.verdict == Ruling::Verdict::cancel) {
      cancel_task(id, attempt, seat);
      return Step::settled;
    }
    fail_for_good(id, failure, about, seat);
    return Step::settled;
  }

  /// The task has failed, and is not tried again.
  void fail_for_good(std::size_t id, const Failure& failure, const About& about, Seat& seat) noexcept {
    const TaskError& error = home().fail(id, failure, about.attempt);
    seat.failed.add(1);
    if (hub().wants(EventKind::task_failed)) {
      About failed = about;
      failed.error = &error;
      tell(EventKind::task_failed, failed);
    }
    note_failure();
    home().finished(id, seat);
  }

  static Failure timed_out(std::chrono::nanoseconds timeout) noexcept {
    const double seconds = std::chrono::duration<double>(timeout).count();
    try {
      throw TimeoutError(fmt::vformat("no result within the timeout of {:g} s", fmt::make_format_args(seconds)));
    } catch (...) {
      return {TaskError::Kind::timeout, std::current_exception()};  // or, without memory, what says that
    }
  }

 private:
  Step run_once(std::size_t id, int attempt, Seat& seat) noexcept {
    const Task& task = home().task(id);
    const Slot<R> slot = home().slot(id);
    const std::chrono::nanoseconds timeout = options().timeout;
    const bool timed = measures() || timeout.count() != 0;
    const Clock::time_point now = timed ? Clock::now() : Clock::time_point{};
    const std::uint64_t number = home().number(id);
    ContextAccess::task(seat.context, number, attempt, &task);
    const Clock::time_point begin = began(seat, number, attempt, &task, now);

    Failure failure{TaskError::Kind::exception, nullptr};
    try {
      const auto make = [&]() -> R { return made(seat, task); };
      if (timeout.count() == 0) {
        slot.succeed(attempt, make);
      } else {
        const AttemptDeadline watched(*this, seat, later(begin, timeout));
        slot.succeed(attempt, make);
      }
    } catch (...) {
      failure.exception = std::current_exception();
    }
    return settle(id, attempt, failure, timed ? Clock::now() - begin : std::chrono::nanoseconds{0}, seat, Asked::no);
  }

  /// A retry holds a worker in serial mode alone: there, nothing else is to be run before it.
  Step again_in_place(std::size_t id, int attempt, Seat& seat) noexcept {
    for (;; ++attempt) {
      if (!pause_until(in_place_due_)) {
        cancel_task(id, attempt - 1, seat);
        return Step::settled;
      }
      if (run_once(id, attempt, seat) == Step::settled) return Step::settled;
    }
  }

  void tell_retrying(About about, const Failure& failure, std::chrono::nanoseconds delay) noexcept {
    try {
      const TaskError error{failure.kind, failure.exception, about.attempt};
      about.error = &error;
      about.delay = delay;
      tell(EventKind::task_retrying, about);
    } catch (...) {
      thrown().keep(std::current_exception());  // no memory to say it
    }
  }

  const F& function_;
  Clock::time_point in_place_due_{};
  bool careful_;
  bool in_place_;
};

}  // namespace taskmgr::detail
