// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Asks attempts to stop at their deadline.

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "job.hpp"

namespace taskmgr::detail {

/// A thread that requests stop of attempts whose time is up; started with the first of them, idle while there is none.
///
/// All deadlines of one watchdog are the same span after their start, so they are kept in the order in which they were
/// armed, and a new one never comes before those that the thread waits for. Where the thread cannot be started, attempts
/// are not asked to stop, but see their deadline in `Context::stop_requested()` all the same; the next one tries again.
///
/// Thread safety: any number of threads may call; one `Alarm` belongs to one attempt at a time. Complexity: O(1).
class Watchdog {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// The deadline of one attempt after another of one worker.
  class Alarm {
   public:
    /// Stops at the deadline, of the attempt that is armed.
    [[nodiscard]] std::stop_token token() const noexcept { return source_.get_token(); }
    void request_stop() noexcept { source_.request_stop(); }

   private:
    friend Watchdog;
    Alarm* before_ = nullptr;
    Alarm* after_ = nullptr;
    TimePoint deadline_{};
    std::stop_source source_{std::nostopstate};
    bool armed_ = false;
    bool used_ = true;  // its source has, or may have, been asked to stop
  };

  Watchdog() = default;
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

  /// Gives the alarm a stop state that nobody has asked to stop, and watches it. Throws `std::bad_alloc`.
  void arm(Alarm& alarm, TimePoint deadline);

  /// The attempt is over.
  void disarm(Alarm& alarm) noexcept;

 private:
  void watch();
  void unlink(Alarm& alarm) noexcept;

  std::mutex mutex_;
  std::condition_variable changed_;
  Alarm* first_ = nullptr;  // a list through the alarms themselves, earliest deadline first
  Alarm* last_ = nullptr;
  bool dozing_ = false;  // the thread waits without an end: a new alarm has to wake it
  bool ending_ = false;
  Thread thread_;
};

// ---------------------------------------------------------------------------------------------------------------------

inline Watchdog::~Watchdog() {
  {
    const std::scoped_lock lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

inline void Watchdog::arm(Alarm& alarm, TimePoint deadline) {
  if (alarm.used_ || alarm.source_.stop_requested()) alarm.source_ = std::stop_source{};
  bool wake = false;
  {
    const std::scoped_lock lock(mutex_);
    alarm.used_ = false;
    alarm.armed_ = true;
    alarm.deadline_ = deadline;
    alarm.before_ = last_;
    alarm.after_ = nullptr;
    (last_ != nullptr ? last_->after_ : first_) = &alarm;
    last_ = &alarm;
    wake = std::exchange(dozing_, false);
    if (!thread_.joinable()) {
      try {
        thread_ = Thread{job_of<&Watchdog::watch>(*this)};
      } catch (const std::exception&) {  // no thread, or no memory for one
      }
    }
  }
  if (wake) changed_.notify_one();
}

inline void Watchdog::disarm(Alarm& alarm) noexcept {
  const std::scoped_lock lock(mutex_);
  if (alarm.armed_) unlink(alarm);
}

inline void Watchdog::unlink(Alarm& alarm) noexcept {
  (alarm.before_ != nullptr ? alarm.before_->after_ : first_) = alarm.after_;
  (alarm.after_ != nullptr ? alarm.after_->before_ : last_) = alarm.before_;
  alarm.armed_ = false;
}

inline void Watchdog::watch() {
  std::unique_lock lock(mutex_);
  while (!ending_) {
    if (first_ == nullptr) {
      dozing_ = true;
      while (!ending_ && dozing_) changed_.wait(lock);
      continue;
    }
    const TimePoint next = first_->deadline_;
    if (std::chrono::steady_clock::now() < next) {
      changed_.wait_until(lock, next);  // on time: what was disarmed meanwhile is gone
      continue;
    }
    Alarm& alarm = *first_;
    unlink(alarm);
    alarm.used_ = true;  // its next attempt gets a stop state of its own, so a late request cannot hit it
    std::stop_source source = alarm.source_;
    lock.unlock();
    source.request_stop();  // runs callbacks of the user
    lock.lock();
  }
}

}  // namespace taskmgr::detail
