// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Waiting for what happens, rather than for time to pass.

#include <chrono>
#include <condition_variable>
#include <latch>
#include <mutex>
#include <stop_token>

namespace support {

/// Returns once stop is requested of `token`.
inline void wait_for_stop(const std::stop_token& token) {
  std::latch stopped{1};
  const std::stop_callback callback{token, [&] { stopped.count_down(); }};
  stopped.wait();
}

/// A number that threads change and wait for.
class Counter {
 public:
  void add(int n = 1) {
    const std::scoped_lock lock(mutex_);
    value_ += n;
    changed_.notify_all();
  }
  void wait_for(int at_least) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return value_ >= at_least; });
  }
  /// The same, but no longer than `most`: says whether it came to that.
  [[nodiscard]] bool wait_for(int at_least, std::chrono::nanoseconds most) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, most, [&] { return value_ >= at_least; });
  }
  [[nodiscard]] int value() const {
    const std::scoped_lock lock(mutex_);
    return value_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int value_ = 0;
};

}  // namespace support
