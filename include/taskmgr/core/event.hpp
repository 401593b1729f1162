// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The stream of events that a run tells its observers.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "list.hpp"

namespace taskmgr {

class TaskError;
class Observer;

/// What happened. `batch_started` comes first and `batch_finished` last; `task_started` once for each attempt.
enum class EventKind {
  batch_started,
  task_started,
  task_retrying,
  task_succeeded,
  task_failed,
  task_cancelled,
  task_duplicate,
  task_progress,
  task_log,
  batch_finished
};

enum class Level { debug, info, warning, error };

/// How far a run is: sums of counters that the workers keep, each exact, though not all read in one instant.
struct Progress {
  std::size_t total = 0;    ///< all tasks of the source, duplicates included; 0: unknown
  std::size_t started = 0;  ///< tasks that workers have begun with; of tiny tasks counted some at a time, ahead
  std::size_t succeeded = 0;
  std::size_t failed = 0;
  std::size_t cancelled = 0;
  std::size_t duplicates = 0;
  std::size_t retries = 0;  ///< attempts after the first of a task
  std::chrono::nanoseconds elapsed{0};

  /// Tasks that are settled, in whatever way.
  [[nodiscard]] constexpr std::size_t finished() const noexcept { return succeeded + failed + cancelled + duplicates; }
};

namespace detail {
/// Writes a task as text; made only when somebody asks.
using TaskWriter = std::string (*)(const void* task, std::uint64_t number);
}  // namespace detail

/// One event. What it points to lives as long as the call of `Observer::on_event`: copy what is to be kept.
struct Event {
  EventKind kind = EventKind::batch_started;
  std::string_view manager{};           ///< `Options::name`
  std::uint64_t batch = 0;              ///< a number of the run, unique in this process, from 1
  std::string_view stage{};             ///< of a tree; empty otherwise
  std::uint64_t task = 0;               ///< its index in the source
  std::size_t worker = 0;               ///< in [0, workers)
  std::size_t workers = 0;              ///< with `batch_started` and `batch_finished`: attempts at a time, at most
  int attempt = 0;                      ///< from 1; 0 where there was none
  std::chrono::steady_clock::time_point time{};  ///< of `task_started`: as the worker has it, in another process as well
  std::chrono::nanoseconds duration{0}; ///< of this attempt; of the run with `batch_finished`
  std::chrono::nanoseconds delay{0};    ///< before the next attempt, with `task_retrying`
  const TaskError* error = nullptr;     ///< with `task_retrying` and `task_failed`
  double done = 0;                      ///< with `task_progress`
  double of = 0;
  Level level = Level::info;            ///< with `task_log`
  std::string_view message{};           ///< with `task_log`
  Progress progress{};                  ///< with `batch_started` and `batch_finished`

  /// The task as fmt writes it, or its number where it does not format. Empty for events without a task.
  [[nodiscard]] std::string task_text() const {
    return writer != nullptr ? writer(subject, task) : std::string{};
  }

  const void* subject = nullptr;           ///< for `task_text`
  detail::TaskWriter writer = nullptr;     ///< for `task_text`
};

namespace detail {
struct ObserverAccess;
}

/// Listens to the runs of the managers and trees that it is attached to.
///
///     struct Failures : taskmgr::Observer {
///       void on_event(const taskmgr::Event& event) override { fmt::print("{}\n", event.error->message()); }
///       bool wants(taskmgr::EventKind kind) const override { return kind == taskmgr::EventKind::task_failed; }
///     };
///
/// Thread safety: calls of one observer never overlap, also when it hangs on several managers that run at once; they
/// come from whichever thread. What an observer throws is rethrown from `start` once the run has ended; that run does not
/// call it again. `Run::cancel()` may be called from within; a run with the same observer may not be started there.
class Observer {
 public:
  Observer() = default;
  Observer(const Observer&) noexcept {}  // the lock below belongs to the object, not to its value
  Observer& operator=(const Observer&) noexcept { return *this; }
  virtual ~Observer() = default;

  virtual void on_event(const Event& event) = 0;

  /// Asked once a run for each kind: what nobody wants costs nothing.
  [[nodiscard]] virtual bool wants(EventKind) const { return true; }

  /// At most ten times a second while a run lasts, from a thread that runs no task.
  virtual void on_tick(const Progress&) {}

 private:
  friend struct detail::ObserverAccess;
  /// An event that came up on the very thread that is inside of `on_event`.
  struct Deferred {
    Event event;
    std::string message;
  };

  std::mutex turn_;
  std::atomic<std::thread::id> inside_{};
  detail::List<Deferred> deferred_;  // told when the call under way has returned; of the thread inside
  std::size_t told_ = 0;             // of those
  std::atomic<std::uint64_t> process_{0};  // whose lock this is: twice the number of forks, and 1 while it is made anew
};

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

/// Calls an observer, one call at a time.
struct ObserverAccess {
  /// In a process that came of `forks` forks, before its first call: a thread that is not here may have held the lock.
  static void begin_anew(Observer& observer, std::uint64_t forks) noexcept {
    const std::uint64_t here = 2 * forks;
    std::uint64_t process = observer.process_.load(std::memory_order_acquire);
    while (process != here) {
      if (process == here + 1) {  // another thread is at it
        std::this_thread::yield();
        process = observer.process_.load(std::memory_order_acquire);
      } else if (observer.process_.compare_exchange_weak(process, here + 1, std::memory_order_acquire)) {
        // what was inherited is left alone, and never ended
        ::new (&observer.turn_) std::mutex;
        ::new (&observer.deferred_) List<Observer::Deferred>;
        observer.told_ = 0;
        observer.inside_.store(std::thread::id{}, std::memory_order_relaxed);
        observer.process_.store(process = here, std::memory_order_release);
      }
    }
  }

  /// Of the thread that is inside of a call: the event is told when that call has returned. So it comes about: an observer
  /// cancels a run, a task's stop callback logs.
  static void defer(Observer& observer, const Event& event) {
    observer.deferred_.push_back({event, std::string(event.message)});
  }
  static void tell_deferred(Observer& observer) {
    while (observer.told_ != observer.deferred_.size()) {
      const Observer::Deferred next = std::move(observer.deferred_[observer.told_++]);
      Event event = next.event;
      event.message = next.message;
      observer.on_event(event);
    }
    observer.deferred_.clear();
    observer.told_ = 0;
  }

  template <class Call>
  static void call(Observer& observer, const Call& make) {
    const std::scoped_lock lock(observer.turn_);
    observer.inside_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    struct Leave {
      std::atomic<std::thread::id>& inside;
      ~Leave() { inside.store(std::thread::id{}, std::memory_order_relaxed); }
    } leave{observer.inside_};
    make(observer);
  }

  /// Is the calling thread inside a call of this observer?
  static bool inside(const Observer& observer) noexcept {
    return observer.inside_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }
};

}  // namespace detail

}  // namespace taskmgr
