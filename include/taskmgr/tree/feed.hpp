// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a stage of a tree takes: the initial tasks, or what the stage before it makes.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <optional>
#include <utility>

#include "../core/error.hpp"
#include "../core/hash_index.hpp"
#include "../core/store.hpp"
#include "../run/source.hpp"
#include "channel.hpp"
#include "ledger.hpp"
#include "trace.hpp"

namespace taskmgr::detail {

/// The source of a stage's flow. Of equal values that reach a stage which shares duplicates it gives the first alone.
///
/// Thread safety: all but the channel's other side is for the thread that drives the stage.
template <class T>
class Feed {
 public:
  using Task = T;

  /// `shares`: equal values are one from here on, and the first of each is kept.
  Feed(std::size_t capacity, bool shares, AnyLedger& ledger, const StagePlace& place)
      : channel_(capacity), shares_(shares), ledger_(ledger), place_(place) {}

  /// It is the first stage's: what the initial tasks share has been found already.
  void begin_with(Initial<T>& initial) noexcept { initial_ = &initial; }
  [[nodiscard]] Channel<T>& channel() noexcept { return channel_; }
  /// Is told who joins whom.
  void trace(StageTrace<Hop>& trace) noexcept { trace_ = &trace; }

  // --- Fed
  [[nodiscard]] Next advance();
  [[nodiscard]] const T& take(std::optional<T>& room);
  /// `take` has thrown, inside a `catch`: that task alone has failed.
  void drop() noexcept {
    fail_by_exception(ledger_, item_->origin, 1, place_);
    channel_.pop();
  }
  [[nodiscard]] std::uint64_t number() const noexcept { return ledger_.number(origin_); }
  [[nodiscard]] std::size_t origin() const noexcept { return origin_; }
  [[nodiscard]] bool has_news() const noexcept {
    return initial_ != nullptr ? initial_->peek() != Next::nothing : channel_.has_news();
  }

  // --- for who needs to know of a task no more than what it is

  /// Tasks are to be taken as they come: `take_some` does for `advance` and `take`.
  [[nodiscard]] bool is_plain() const noexcept { return initial_ != nullptr ? initial_->is_list() : !shares_; }
  /// Calls `use(taking)`, with the tasks that are there in a row: `size()` of them, and of the first `origin()` and `task()`, which
  /// `pop()` takes away.
  template <class Use>
  void take_some(const Use& use) {
    if (initial_ != nullptr) use(typename Initial<T>::Taking{*initial_});
    else use(typename Channel<T>::Taking{channel_});
  }
  /// A task of this origin is being run.
  void is_at(std::size_t origin) noexcept { origin_ = origin; }

  /// All has been taken, and nothing comes.
  [[nodiscard]] bool ended() const noexcept {
    return initial_ != nullptr ? initial_->peek() == Next::end : channel_.ended();
  }

 private:
  struct Kept {
    std::size_t origin;
    std::size_t hash;
    T value;
  };

  [[nodiscard]] bool joins(Item<T>& item);

  Channel<T> channel_;
  const bool shares_;
  AnyLedger& ledger_;
  const StagePlace& place_;
  Initial<T>* initial_ = nullptr;
  StageTrace<Hop>* trace_ = nullptr;
  Item<T>* item_ = nullptr;  // that it is at
  std::size_t origin_ = 0;   // of what was taken last
  bool is_kept_ = false;     // the item that it is at is the last one that was kept
  std::deque<Kept> kept_;
  HashIndex index_;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class T>
Next Feed<T>::advance() {
  if (initial_ != nullptr) return initial_->advance();
  for (;;) {
    item_ = channel_.front();
    if (item_ == nullptr) return channel_.ended() ? Next::end : Next::nothing;
    try {
      if (is_kept_ || !shares_ || !joins(*item_)) return Next::task;
      channel_.pop();
    } catch (...) {  // its move, hash or equality did
      drop();
    }
  }
}

template <class T>
const T& Feed<T>::take(std::optional<T>& room) {
  if (initial_ != nullptr) return initial_->task(origin_ = initial_->take());
  origin_ = item_->origin;
  const T* task = nullptr;
  if (std::exchange(is_kept_, false)) task = &kept_.back().value;
  else task = &room.emplace(std::move(item_->value));
  channel_.pop();
  return *task;
}

/// An equal value was here before: then the item's origin joins that one's. Else it is kept.
template <class T>
bool Feed<T>::joins([[maybe_unused]] Item<T>& item) {
  if constexpr (Keyed<T>) {
    const std::size_t hash = KeyHash<T>{}(item.value);
    const auto hash_at = [this](std::size_t k) { return kept_[k].hash; };
    const auto same = [&](std::size_t k) { return detail::equal(kept_[k].value, item.value); };
    index_.make_room(kept_.size() + 1, kept_.size() + 1, hash_at);
    if (const std::size_t first = index_.find(hash, same); first != HashIndex::npos) {
      if (trace_ != nullptr) trace_->join(ledger_.number(item.origin), ledger_.number(kept_[first].origin));
      ledger_.join(item.origin, kept_[first].origin);
      return true;
    }
    kept_.push_back({item.origin, hash, std::move(item.value)});
    index_.find_or_insert(hash, kept_.size() - 1, [](std::size_t) { return false; });
    is_kept_ = true;
  }
  return false;
}

}  // namespace taskmgr::detail
