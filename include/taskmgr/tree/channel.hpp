// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What waits between two stages of a tree: at most so many results, from the stage that makes them to the one that takes them.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <limits>
#include <mutex>
#include <type_traits>
#include <utility>

#include "../core/list.hpp"
#include "../run/job.hpp"

namespace taskmgr::detail {

/// A value that can be moved about without an exception; what cannot by itself lies on the heap.
template <class T>
class Parcel {
 public:
  explicit Parcel(T&& value) : value_(pack(std::move(value))) {}
  [[nodiscard]] T& operator*() noexcept {
    if constexpr (as_it_is) return value_;
    else return *value_;
  }

 private:
  static constexpr bool as_it_is = std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
                                   alignof(T) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__;
  using Packed = std::conditional_t<as_it_is, T, Owner<T>>;
  static Packed pack(T&& value) {
    if constexpr (as_it_is) return std::move(value);
    else return Owner{new T(std::move(value))};
  }
  Packed value_;
};

/// A value on its way through a tree, and the initial task that it came of: the slot of that in the report.
template <class T>
struct Item {
  std::size_t origin;
  Parcel<T> value;
};

/// A bounded queue from one thread to another. Items cross some at a time: however many there are.
///
/// Nobody waits in here. The two sides wait in their own ways, and are called by the jobs given: the one who takes when there
/// is something for him, or the end; the one who puts when there is room again.
template <class T>
class Channel {
 public:
  /// At most `capacity` items, at least 1.
  explicit Channel(std::size_t capacity) noexcept : capacity_(capacity) {}

  /// Before the first use. Either may be called by the other side's thread, at any time, and must not throw.
  void connect(Job putter, Job taker) noexcept {
    putter_ = putter;
    taker_ = taker;
  }

  // --- the side that puts

  [[nodiscard]] bool has_room() const noexcept { return room() != 0; }
  /// For so many items.
  [[nodiscard]] std::size_t room() const noexcept {
    return open_.load() ? std::numeric_limits<std::size_t>::max() : capacity_ - std::min(size_.load(), capacity_);
  }

  /// Takes from the front of `items` as many as there is room for; says how many. Throws `std::bad_alloc`: then none.
  [[nodiscard]] std::size_t put(List<Item<T>>& items, std::size_t first);

  /// Nothing more is put.
  void close() noexcept {
    closed_.store(true);
    taker_();
  }

  /// There is always room from now on: whoever takes has given up, or begins when all is there.
  void open_wide() noexcept {
    open_.store(true);
    if (putter_.run != nullptr) putter_();
  }

  // --- the side that takes

  /// There is something to take, or the end.
  [[nodiscard]] bool has_news() const noexcept { return ready_.load() || closed_.load(); }

  /// Exchanges all that waits with `items`, which is empty; false if there is nothing.
  [[nodiscard]] bool take(List<Item<T>>& items) noexcept;

  /// So many of those that were taken wait no longer: there is room for others.
  void done_with(std::size_t items) noexcept {
    if (size_.fetch_sub(items) >= capacity_) putter_();  // it may have found no room
  }

  /// Nothing is left and nothing comes. After `take` has given nothing.
  [[nodiscard]] bool ended() const noexcept { return closed_.load() && !ready_.load(); }

 private:
  const std::size_t capacity_;
  Job putter_{nullptr, nullptr};
  Job taker_{nullptr, nullptr};
  std::mutex mutex_;
  List<Item<T>> waiting_;
  std::atomic<std::size_t> size_{0};  // of what was put and is not done with
  std::atomic<bool> ready_{false};    // something waits
  std::atomic<bool> closed_{false};
  std::atomic<bool> open_{false};
};

// ---------------------------------------------------------------------------------------------------------------------

template <class T>
std::size_t Channel<T>::put(List<Item<T>>& items, std::size_t first) {
  const std::size_t count = std::min(room(), items.size() - first);
  if (count == 0) return 0;
  {
    const std::scoped_lock lock(mutex_);
    waiting_.make_room(count);
    for (std::size_t k = first; k != first + count; ++k) waiting_.push_back(std::move(items[k]));
    size_.fetch_add(count, std::memory_order_relaxed);
    ready_.store(true);
  }
  taker_();
  return count;
}

template <class T>
bool Channel<T>::take(List<Item<T>>& items) noexcept {
  if (!ready_.load()) return false;
  const std::scoped_lock lock(mutex_);
  std::swap(items, waiting_);
  ready_.store(false);
  return true;
}

}  // namespace taskmgr::detail
