// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Tasks that wait for their next attempt, and hold no worker while they do.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include "../core/list.hpp"

namespace taskmgr::detail {

/// A queue by time. It never reads a clock: whoever asks says what time it is.
///
/// Thread safety: any number of threads may call. Complexity: O(log n); to see that nothing is due costs one atomic load.
class RetryQueue {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  static constexpr TimePoint never = TimePoint::max();

  struct Waiting {
    TimePoint due;
    std::uint64_t order;  // of those due at the same time, first come, first served
    std::size_t id;
    int attempt;  // the next one; 0: nothing waits

    [[nodiscard]] explicit operator bool() const noexcept { return attempt != 0; }
  };

  /// Says whether this one is due before all others.
  bool push(std::size_t id, int attempt, TimePoint due) {
    const std::scoped_lock lock(mutex_);
    heap_.push_back({due, pushed_++, id, attempt});
    for (std::size_t k = heap_.size() - 1; k != 0 && later(heap_[(k - 1) / 2], heap_[k]); k = (k - 1) / 2) {
      std::swap(heap_[(k - 1) / 2], heap_[k]);
    }
    const bool earliest = due < next_due();
    note_next();
    return earliest;
  }

  /// One that is due at `now`, the longest due first; false if there is none.
  [[nodiscard]] Waiting pop(TimePoint now) {
    if (next_due() > now) return {};
    const std::scoped_lock lock(mutex_);
    if (heap_.empty() || heap_[0].due > now) return {};
    const Waiting first = heap_[0];
    heap_[0] = heap_.back();
    heap_.pop_back();
    for (std::size_t k = 0, child = 1; child < heap_.size(); child = 2 * k + 1) {
      if (child + 1 < heap_.size() && later(heap_[child], heap_[child + 1])) ++child;
      if (!later(heap_[k], heap_[child])) break;
      std::swap(heap_[k], heap_[child]);
      k = child;
    }
    note_next();
    return first;
  }

  /// When the next one is due; `never` if none waits.
  [[nodiscard]] TimePoint next_due() const noexcept { return next_.load(std::memory_order_acquire); }

 private:
  static bool later(const Waiting& a, const Waiting& b) noexcept {
    return a.due != b.due ? a.due > b.due : a.order > b.order;
  }
  void note_next() noexcept { next_.store(heap_.empty() ? never : heap_[0].due, std::memory_order_release); }

  std::mutex mutex_;
  List<Waiting> heap_;  // the earliest first, each before those at 2k + 1 and 2k + 2
  std::uint64_t pushed_ = 0;
  std::atomic<TimePoint> next_{never};
};

}  // namespace taskmgr::detail
