// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A run over tasks that are all known: serial mode with one seat, thread and process mode with several.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <type_traits>
#include <utility>

#include "../core/report.hpp"
#include "../core/task_text.hpp"
#include "pace.hpp"
#include "remote_attempt.hpp"
#include "thread.hpp"

namespace taskmgr::detail {

/// The sink of a run that has none.
struct NoSink {};

/// What a manager keeps between its runs.
struct Workshop {
  std::atomic<std::size_t> runs{0};
  std::atomic<std::int64_t> per_task{-1};  // ns that a task of the last run took, waits included; -1: not known
  Watchdog watchdog;
  Pool pool;  // last: its threads end before what they use
};

/// A run over the tasks of a store.
///
/// Workers take tasks in source order from a common counter, a chunk at a time, and steal from each other's chunks when
/// that has run out. When the run is stopped they go on taking, but only to mark what they take as cancelled: so every
/// task is settled by the same way.
template <class F, class Task, class R, class Sink = NoSink>
class Batch final : public RemoteAttempts<Batch<F, Task, R, Sink>, F, Task, R> {
  using Base = RemoteAttempts<Batch, F, Task, R>;
  friend Base;
  friend AsyncAttempts<Batch, F, Task, R>;
  friend Attempts<Batch, F, Task, R>;

 public:
  Batch(Crew::Terms terms, const F& function, Store<Task, R>& store, Workshop& workshop, Sink* sink)
      : Base(std::move(terms), function),
        store_(store),
        workshop_(workshop),
        sink_(sink),
        size_(store.size()),
        shares_(this->seats().size() > 1),
        steals_(shares_ && this->options().chunk == 0) {
    this->task_writer = &write_task<Task>;
    this->expect_first(size_);
    store.make_slots(this->measures());
  }

  /// Runs it all, on the calling thread and whoever helps; returns when every task has its outcome and nobody is left.
  void drive();

  /// Has its coroutines driven by `loop`, which whoever waits for what this gives goes on using. Of a function that gives some.
  [[nodiscard]] auto take_off(EventLoop& loop) {
    tell_duplicates();
    return this->flight_on(loop);
  }

  /// What a task of this run took, waits included, helps to guess what one of the next will.
  void remember(std::chrono::nanoseconds elapsed) noexcept {
    if (size_ == 0) return;
    workshop_.per_task.store(elapsed.count() / static_cast<std::int64_t>(size_), std::memory_order_relaxed);
  }

  [[nodiscard]] bool has_work() const noexcept override;

 private:
  using typename Crew::About;
  static constexpr bool has_sink = !std::is_same_v<Sink, NoSink>;

  /// Of work in a chunk. To take one costs about 0.7 us, in which cache lines come over from another core: the counter's, and
  /// those of the slots on which two chunks meet. Nobody has to wait for a chunk to end, for its rear can be stolen.
  static constexpr std::chrono::nanoseconds chunk_goal{400'000};

  // --- Home
  static constexpr bool sends_tasks = false;  // a worker process has inherited them
  [[nodiscard]] const Task& task(std::size_t id) const noexcept { return std::as_const(store_).task(id); }
  [[nodiscard]] Slot<R> slot(std::size_t id) const noexcept { return store_.slot(id); }
  [[nodiscard]] std::uint64_t number(std::size_t id) const noexcept { return store_.number(id); }
  const TaskError& fail(std::size_t id, const Failure& failure, int attempts) noexcept {
    const std::uint32_t error = store_.errors().add(failure.kind, failure.exception, attempts);
    store_.slot(id).fail(attempts, error);
    return store_.errors()[error];
  }
  void add_duration(std::size_t id, std::chrono::nanoseconds d) noexcept { store_.add_duration(id, d); }
  void retry_later(std::size_t id, int attempt, Clock::time_point due);
  void finished(std::size_t id, [[maybe_unused]] Seat& seat) noexcept;

  // --- Remote
  void next_errands(List<Errand>& errands, std::size_t most) override;
  [[nodiscard]] std::size_t left() const noexcept override { return size_ - std::min(next_.load(std::memory_order_relaxed), size_); }
  void publish_all(Items<const std::size_t> ids, Seat& seat) noexcept override;
  [[nodiscard]] bool goes_on() const noexcept override { return !this->settled(); }

  std::size_t work(Seat& seat) noexcept override;
  [[nodiscard]] Span take(Seat& seat, Pace& pace) noexcept;
  [[nodiscard]] std::size_t run_all(Span span, Seat& seat) noexcept;
  [[nodiscard]] std::size_t run_plainly(Span span, Seat& seat) noexcept;
  [[nodiscard]] bool run_due(Seat& seat, std::size_t& settled) noexcept;
  void drive_from(Seat& seat) noexcept;
  void hand_over() noexcept;
  void call_helpers(const Pace& pace) noexcept;
  void tell_duplicates() noexcept;

  /// What was begun on a worker while the sink was not called yet.
  static constexpr std::size_t most_unsunk = Pace::longest_stride;
  struct Unsunk {
    std::array<std::size_t, most_unsunk> ids;
    std::size_t count = 0;
  };
  void sink_all(Seat& seat) noexcept;

  Store<Task, R>& store_;
  Workshop& workshop_;
  Sink* sink_;
  const std::size_t size_;
  const bool shares_;
  const bool steals_;
  bool offered_ = false;
  std::mutex sink_turn_;
  bool sink_threw_ = false;
  Array<Unsunk> unsunk_{has_sink ? new Unsunk[this->seats().size()] : nullptr};
  alignas(64) std::atomic<std::size_t> next_{0};
};

// ---------------------------------------------------------------------------------------------------------------------

template <class F, class Task, class R, class Sink>
void Batch<F, Task, R, Sink>::drive() {
  tell_duplicates();
  if (size_ == 0) return;
  const Mode mode = this->options().mode;
  if (mode == Mode::process || mode == Mode::coroutine) {
    if (mode == Mode::process) this->employ();
    else this->fly();
    this->publish_quietly(work(this->seats()[0]));  // what could not be begun is cancelled
    return;
  }
  Seat& seat = this->sit_down();  // nobody else is here yet
  if (shares_) {
    const std::int64_t per_task = workshop_.per_task.load(std::memory_order_relaxed);
    const bool call = per_task < 0 || per_task * static_cast<std::int64_t>(size_) > worth_a_call;
    offered_ = true;
    workshop_.pool.offer(*this, call);  // if it cannot, the driver does it alone
  }
  drive_from(seat);
  if (offered_) workshop_.pool.withdraw(*this);
}

template <class F, class Task, class R, class Sink>
void Batch<F, Task, R, Sink>::drive_from(Seat& seat) noexcept {
  if (!this->ready(seat)) hand_over();
  if (this->settled()) return;
  for (;;) {
    this->publish_quietly(work(seat));
    if (this->settled()) return;
    this->rest_until(this->next_due());
  }
}

template <class F, class Task, class R, class Sink>
void Batch<F, Task, R, Sink>::next_errands(List<Errand>& errands, std::size_t most) {
  errands.reserve(errands.size() + most);
  for (; most != 0; --most) {
    const auto due = this->pop_due();
    if (due) {
      errands.push_back({due.id, due.attempt, false});
    } else {
      const std::size_t first = next_.load(std::memory_order_relaxed);
      const std::size_t last = first + std::min(most, left());
      for (std::size_t id = first; id != last; ++id) errands.push_back({id, 1, false});
      next_.store(last, std::memory_order_relaxed);
      return;
    }
  }
}

template <class F, class Task, class R, class Sink>
void Batch<F, Task, R, Sink>::publish_all(Items<const std::size_t> ids, [[maybe_unused]] Seat& seat) noexcept {
  if constexpr (has_sink) sink_all(seat);
  this->publish_quietly(ids.size());
}

/// The driver may run no task: another thread drives, from another seat. If there is none, no task is begun any more.
template <class F, class Task, class R, class Sink>
void Batch<F, Task, R, Sink>::hand_over() noexcept {
  Pool& pool = workshop_.pool;
  this->tells_leaving.store(true, std::memory_order_relaxed);  // before the first look at the seats
  while (!this->settled()) {
    std::mutex mutex;
    std::condition_variable changed;
    bool done = false;
    auto from_another_seat = [&] {
      if (Seat* other = pool.seat_in(*this)) {
        drive_from(*other);
        pool.leave(*this, *other);
      }
      const std::scoped_lock lock(mutex);
      done = true;
      changed.notify_one();  // with the lock held: the one who waits ends this object's life
    };
    switch (pool.post_for(*this, job_for(from_another_seat))) {
      case Pool::Posted::yes: {
        std::unique_lock lock(mutex);
        while (!done) changed.wait(lock);
        break;
      }
      case Pool::Posted::helped_instead:
        this->rest_until(RetryQueue::never);  // a helper that leaves wakes us
        break;
      case Pool::Posted::no:
        this->halt();
        return;
    }
  }
}

template <class F, class Task, class R, class Sink>
bool Batch<F, Task, R, Sink>::has_work() const noexcept {
  if (next_.load(std::memory_order_relaxed) < size_) return true;
  const RetryQueue::TimePoint due = this->next_due();
  if (due != RetryQueue::never && (this->stopping() || due <= Clock::now())) return true;
  if (!steals_) return false;
  for (const Seat& seat : this->seats()) {
    if (!seat.share.empty()) return true;
  }
  return false;
}

template <class F, class Task, class R, class Sink>
std::size_t Batch<F, Task, R, Sink>::work(Seat& seat) noexcept {
  Pace pace{this->options().chunk, chunk_goal};
  std::size_t settled = 0;
  std::size_t since = 0;  // tasks since the clock was last read
  const bool paced = size_ > this->seats().size();  // else each worker has one task: there is no pace to be learnt
  Clock::time_point read = paced ? Clock::now() : Clock::time_point{};
  for (;;) {
    const bool ran = run_due(seat, settled);  // one between two spans: neither keeps the other from its turn
    if (paced && since >= pace.chunk() && next_.load(std::memory_order_relaxed) + 1 < size_) {
      const Clock::time_point now = Clock::now();
      pace.measured(since, now - read);
      read = now;
      since = 0;
      call_helpers(pace);
    }
    const Span span = take(seat, pace);
    if (span.empty()) {
      if (ran) continue;
      break;
    }
    settled += run_all(span, seat);
    if constexpr (has_sink) sink_all(seat);
    since += span.size();
  }
  return settled;
}

template <class F, class Task, class R, class Sink>
Span Batch<F, Task, R, Sink>::take(Seat& seat, Pace& pace) noexcept {
  const auto begin_with = [&](Span taken) {
    const Span first{taken.first, std::min(taken.first + pace.stride(), taken.last)};
    seat.share.put({first.last, taken.last});
    return first;
  };
  if (shares_ || has_sink) {
    if (const Span own = seat.share.take(pace.stride()); !own.empty()) return own;
  }
  const std::size_t begun = next_.load(std::memory_order_relaxed);
  if (begun < size_) {
    std::size_t count = pace.chunk();
    if (count != 1 && this->options().chunk == 0) {  // near the end smaller, so that all workers end together
      count = std::min(count, (size_ - begun) / (2 * this->seats().size()) + 1);
    }
    const std::size_t first = next_.fetch_add(count, std::memory_order_relaxed);
    if (first < size_) {
      const Span taken{first, std::min(first + count, size_)};
      return shares_ || has_sink ? begin_with(taken) : taken;
    }
  }
  if (!steals_) return {};
  const std::size_t seats = this->seats().size();
  for (std::size_t k = 1, victim = seat.number; k < seats; ++k) {
    if (++victim == seats) victim = 0;
    if (const Span stolen = this->seats()[victim].share.steal(); !stolen.empty()) {
      const Span first = begin_with(stolen);
      if (first.last != stolen.last) this->wake_resting_driver();  // it looked when this was still in nobody's share
      return first;
    }
  }
  return {};
}

template <class F, class Task, class R, class Sink>
std::size_t Batch<F, Task, R, Sink>::run_all(Span span, Seat& seat) noexcept {
  if (!this->careful() && !has_sink) return run_plainly(span, seat);
  std::size_t settled = 0;
  for (std::size_t id = span.first; id != span.last; ++id) {
    if (this->stopping()) {
      this->cancel_task(id, 0, seat);
      ++settled;
    } else {
      settled += this->run(id, 1, seat) == Step::settled ? 1U : 0U;
    }
  }
  return settled;
}

template <class F, class Task, class R, class Sink>
std::size_t Batch<F, Task, R, Sink>::run_plainly(Span span, Seat& seat) noexcept {
  std::size_t settled = 0;
  std::size_t succeeded = 0;
  std::size_t id = span.first;
  seat.started.add(span.size());
  const SlotsAt<R> slots = store_.slots();  // each task's own
  while (id != span.last) {
    const std::size_t from = id;
    try {
      for (; id != span.last && !this->stopping(); ++id) {
        this->succeed_plainly(id, slots[id], std::as_const(store_).task(id), seat);
      }
      succeeded += id - from;
      if (id == span.last) break;
    } catch (...) {
      succeeded += id - from;
      settled += this->failed_plainly(id, seat) == Step::settled ? 1U : 0U;
      ++id;
      continue;
    }
    seat.started.add(id - span.last);  // stopped: these are not begun (wraps around to a subtraction)
    for (; id != span.last; ++id) {
      this->cancel_task(id, 0, seat);
      ++settled;
    }
  }
  seat.succeeded.add(succeeded);
  return settled + succeeded;
}

template <class F, class Task, class R, class Sink>
bool Batch<F, Task, R, Sink>::run_due(Seat& seat, std::size_t& settled) noexcept {
  const auto waiting = this->pop_due();
  if (!waiting) return false;
  if (this->stopping()) {
    this->cancel_task(waiting.id, waiting.attempt - 1, seat);
    ++settled;
  } else {
    settled += this->run(waiting.id, waiting.attempt, seat) == Step::settled ? 1U : 0U;
  }
  if constexpr (has_sink) sink_all(seat);
  return true;
}

template <class F, class Task, class R, class Sink>
void Batch<F, Task, R, Sink>::retry_later(std::size_t id, int attempt, Clock::time_point due) {
  if (!this->retries().push(id, attempt, due)) return;
  this->wake_driver();
  if (offered_) workshop_.pool.note_retry(*this);
}

template <class F, class Task, class R, class Sink>
void Batch<F, Task, R, Sink>::finished([[maybe_unused]] std::size_t id, [[maybe_unused]] Seat& seat) noexcept {
  if constexpr (has_sink) {
    Unsunk& unsunk = unsunk_[seat.number];
    unsunk.ids[unsunk.count++] = id;
    if (unsunk.count == most_unsunk) sink_all(seat);
  }
}

template <class F, class Task, class R, class Sink>
void Batch<F, Task, R, Sink>::sink_all(Seat& seat) noexcept {
  Unsunk& unsunk = unsunk_[seat.number];
  if (unsunk.count == 0) return;
  const std::scoped_lock lock(sink_turn_);
  for (std::size_t k = 0; k < unsunk.count && !sink_threw_; ++k) {
    try {
      auto outcome = store_.outcome(unsunk.ids[k]);
      (*sink_)(outcome);
    } catch (...) {
      sink_threw_ = true;
      this->thrown().keep(std::current_exception());
    }
  }
  unsunk.count = 0;
}

template <class F, class Task, class R, class Sink>
void Batch<F, Task, R, Sink>::call_helpers(const Pace& pace) noexcept {
  if (!offered_ || this->called.load(std::memory_order_relaxed)) return;
  const std::size_t begun = std::min(next_.load(std::memory_order_relaxed), size_);
  if (pace.per_task().count() * static_cast<std::int64_t>(size_ - begun) <= worth_a_call) return;
  if (!this->called.exchange(true, std::memory_order_relaxed)) workshop_.pool.call_for(*this, true);
}

template <class F, class Task, class R, class Sink>
void Batch<F, Task, R, Sink>::tell_duplicates() noexcept {
  if (!this->hub().wants(EventKind::task_duplicate)) return;
  for (std::size_t k = 0; k < store_.duplicates(); ++k) {
    const std::uint64_t number = store_.duplicate(k);
    this->tell(EventKind::task_duplicate, {.number = number, .task = &task(store_.slot_of(number))});
  }
}

}  // namespace taskmgr::detail
