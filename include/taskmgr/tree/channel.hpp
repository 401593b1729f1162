// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What waits between two stages of a tree: at most so many results, from the stage that makes them to the one that takes them.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <utility>

#include "../core/large.hpp"
#include "../core/outcome.hpp"
#include "../run/job.hpp"

namespace taskmgr::detail {

/// A value on its way through a tree, and the initial task that it came of: the slot of that in the report.
template <class T>
struct Item {
  std::size_t origin;
  T value;
};

/// A bounded queue from one thread to another. An item is made in its place and stays there until it is taken.
///
/// Nobody waits in here, and there is no lock. The two sides wait in their own ways, and are called by the jobs given: the one
/// who takes when he is told that there is something for him, or the end; the one who puts when there is room again. What is
/// put can be taken before it is told of, by one who looks.
template <class T>
class Channel {
 public:
  /// For at most `capacity` items, at least 1.
  explicit Channel(std::size_t capacity) noexcept : release_(std::clamp<std::size_t>(capacity / 4, 1, 64)), capacity_(capacity) {}
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel();

  /// Before the first use. `taker_looks`: now and then, without being told. Either job may be called by the other side's thread, at
  /// any time, and must not throw.
  void connect(Job putter, Job taker, bool taker_looks) noexcept {
    putter_ = putter;
    taker_ = taker;
    taker_looks_ = taker_looks;
  }

  // --- the side that puts

  [[nodiscard]] bool taker_looks() const noexcept { return taker_looks_; }
  /// More, or fewer, from now on; no fewer than at first.
  void set_capacity(std::size_t capacity) noexcept { capacity_ = capacity; }
  /// For one item. Where there was none, there is when half of it is free: for one item it is not worth to be called.
  [[nodiscard]] bool has_room() noexcept { return put_ != limit_ || look_for_room(); }
  /// There is room: makes an item of what `make` returns. Throws what that does, or `std::bad_alloc`; then there is none.
  template <class Make>
  void put(std::size_t origin, const Make& make);
  /// Several, one after the other: see below.
  class Putting;
  [[nodiscard]] std::size_t untold() const noexcept { return put_ - told_; }
  /// Tells who takes of what was put.
  void announce() noexcept {
    if (std::exchange(told_, put_) == put_) return;
    shown_.store(put_);  // again, in one order with his rest: see `Crew::rest_for`
    taker_();
  }
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
  [[nodiscard]] bool has_news() const noexcept { return shown_.load() != taken_ || closed_.load(); }
  /// Nothing is left and nothing comes.
  [[nodiscard]] bool ended() const noexcept { return closed_.load() && shown_.load() == taken_; }

  /// The item whose turn it is, or null if there is none now. It stays until it is taken.
  [[nodiscard]] Item<T>* front() noexcept {
    if (taken_ == seen_ && !look()) return nullptr;
    if (take_at_ == take_room_) next_block();
    return &take_cells_[take_at_].value;
  }
  /// The one in front has been taken: ends it.
  void pop() noexcept;
  /// Several, one after the other: see below.
  class Taking;

 private:
  struct Link {
    Link* next = nullptr;
  };
  struct Block : Link {
    explicit Block(std::size_t items) : cells(new (large) Cell<Item<T>>[items]), room(items) {}
    const Array<Cell<Item<T>>> cells;
    const std::size_t room;
  };
  static constexpr std::size_t in_block = std::clamp<std::size_t>(4096 / sizeof(Item<T>), 1, 256);
  static constexpr std::size_t in_large_block = std::max<std::size_t>((std::size_t{64} << 10U) / sizeof(Item<T>), in_block);
  static constexpr std::size_t nowhere = std::numeric_limits<std::size_t>::max();

  [[nodiscard]] bool look_for_room() noexcept;
  void add_block();
  void next_block() noexcept;
  [[nodiscard]] bool look() noexcept;
  void make_room() noexcept;
  void release() noexcept {
    if (taken_ - released_.load(std::memory_order_relaxed) >= release_) make_room();
  }

  // each of the numbers counts items from the first on
  const std::size_t release_;  // items that are taken until there is room for as many
  Job putter_{nullptr, nullptr};
  Job taker_{nullptr, nullptr};
  bool taker_looks_ = false;
  Link root_;  // before the first block
  std::atomic<bool> closed_{false};
  std::atomic<bool> open_{false};

  // written by who puts
  alignas(64) std::atomic<std::size_t> shown_{0};
  std::atomic<std::size_t> room_at_{nowhere};  // that are to be taken until he is called
  std::size_t capacity_;
  std::size_t put_ = 0;
  std::size_t told_ = 0;
  std::size_t limit_ = 0;  // he looks again for room when so many were put
  Link* last_ = &root_;
  Cell<Item<T>>* put_cells_ = nullptr;  // of that
  std::size_t put_at_ = 0;
  std::size_t put_room_ = 0;

  // written by who takes
  alignas(64) std::atomic<std::size_t> released_{0};
  std::size_t taken_ = 0;
  std::size_t seen_ = 0;
  Link* first_ = &root_;
  Cell<Item<T>>* take_cells_ = nullptr;  // of that
  std::size_t take_at_ = 0;
  std::size_t take_room_ = 0;

  alignas(64) std::atomic<Block*> spare_{nullptr};  // to be used again
};

/// Puts items in a row while it lives. Each can be taken at once by one who looks. Where who takes does not, it is for one item, of
/// which he is told at its end.
template <class T>
class Channel<T>::Putting {
 public:
  /// Throws `std::bad_alloc`.
  explicit Putting(Channel& channel) : channel_(channel) {
    if (!channel.has_room()) return;
    if (channel.put_at_ == channel.put_room_) channel.add_block();
    room_ = channel.taker_looks_ ? std::min(channel.limit_ - channel.put_, channel.put_room_ - channel.put_at_) : 1;
    cells_ = channel.put_cells_ + channel.put_at_;
    before_ = channel.put_;
  }
  Putting(const Putting&) = delete;
  Putting& operator=(const Putting&) = delete;
  ~Putting() {
    channel_.put_at_ += count_;
    channel_.put_ += count_;
    if (!channel_.taker_looks_) channel_.announce();
  }

  /// Items that there is room for here, as it began.
  [[nodiscard]] std::size_t room() const noexcept { return room_; }
  template <class Make>
  void put(std::size_t origin, const Make& make) {
    ::new (static_cast<void*>(std::addressof(cells_[count_].value))) Item<T>{origin, make()};
    channel_.shown_.store(before_ + ++count_, std::memory_order_release);
  }

 private:
  Channel& channel_;
  Cell<Item<T>>* cells_ = nullptr;
  std::size_t room_ = 0;
  std::size_t before_ = 0;
  std::size_t count_ = 0;
};

/// Takes items in a row while it lives, and makes room for others at its end.
template <class T>
class Channel<T>::Taking {
 public:
  explicit Taking(Channel& channel) noexcept : channel_(channel) {
    if (channel.front() == nullptr) return;
    cells_ = channel.take_cells_ + channel.take_at_;
    size_ = std::min({channel.seen_ - channel.taken_, channel.take_room_ - channel.take_at_, channel.release_});
  }
  Taking(const Taking&) = delete;
  Taking& operator=(const Taking&) = delete;
  ~Taking() {
    channel_.take_at_ += count_;
    channel_.taken_ += count_;
    channel_.release();
  }

  /// Items that there are here, as it began.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t origin() const noexcept { return cells_[count_].value.origin; }
  [[nodiscard]] const T& task() const noexcept { return cells_[count_].value.value; }
  void pop() noexcept { cells_[count_++].value.~Item<T>(); }

 private:
  Channel& channel_;
  Cell<Item<T>>* cells_ = nullptr;
  std::size_t size_ = 0;
  std::size_t count_ = 0;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class T>
Channel<T>::~Channel() {
  while (front() != nullptr) pop();
  for (Link* left = first_; left != nullptr;) {
    Link* const block = std::exchange(left, left->next);
    if (block != &root_) delete static_cast<Block*>(block);
  }
  delete spare_.load();
}

template <class T>
template <class Make>
void Channel<T>::put(std::size_t origin, const Make& make) {
  if (put_at_ == put_room_) add_block();
  ::new (static_cast<void*>(std::addressof(put_cells_[put_at_].value))) Item<T>{origin, make()};
  ++put_at_;
  shown_.store(++put_, std::memory_order_release);
}

/// All of the same size, so that one can be used again. Where there is no bound, they grow, but not beyond what the allocator gives
/// again while it is in the caches: what one stage has taken becomes room for what it makes.
template <class T>
void Channel<T>::add_block() {
  Block* block = nullptr;
  if (limit_ == nowhere && put_room_ != 0) {
    block = new Block(std::min(8 * put_room_, in_large_block));
  } else if (block = spare_.exchange(nullptr); block == nullptr) {
    block = new Block(in_block);
  }
  block->next = nullptr;
  last_->next = block;  // seen by who takes with the first item in it
  last_ = block;
  put_cells_ = block->cells.get();
  put_room_ = block->room;
  put_at_ = 0;
}

template <class T>
bool Channel<T>::look_for_room() noexcept {
  const std::size_t waiting = put_ - released_.load();
  const bool called = room_at_.load(std::memory_order_relaxed) != nowhere;
  if (open_.load()) {
    limit_ = nowhere;
  } else if (waiting <= (called ? capacity_ / 2 : capacity_ - 1)) {
    limit_ = put_ + capacity_ - waiting;
  } else if (called) {
    return false;
  } else {
    room_at_.store(put_ - capacity_ / 2);
    return look_for_room();  // it may have been taken meanwhile, by one who did not know
  }
  room_at_.store(nowhere, std::memory_order_relaxed);
  return true;
}

template <class T>
bool Channel<T>::look() noexcept {
  seen_ = shown_.load();
  if (taken_ == seen_) make_room();
  return taken_ != seen_;
}

template <class T>
void Channel<T>::pop() noexcept {
  take_cells_[take_at_++].value.~Item<T>();
  ++taken_;
  release();
}

template <class T>
void Channel<T>::next_block() noexcept {
  Link* const old = std::exchange(first_, first_->next);
  if (old != &root_) delete spare_.exchange(static_cast<Block*>(old));
  const Block& block = *static_cast<Block*>(first_);
  take_cells_ = block.cells.get();
  take_room_ = block.room;
  take_at_ = 0;
}

/// For as many as were taken.
template <class T>
void Channel<T>::make_room() noexcept {
  if (released_.load(std::memory_order_relaxed) == taken_) return;
  released_.store(taken_);
  if (taken_ >= room_at_.load()) putter_();
}

}  // namespace taskmgr::detail
