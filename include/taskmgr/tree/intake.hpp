// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How a node of a tree with branches comes to its tasks: the initial ones, what another node gives on, or what several have
/// made of an initial task.

#include <algorithm>
#include <cstddef>
#include <exception>
#include <limits>
#include <mutex>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "../core/error.hpp"
#include "../core/hash_index.hpp"
#include "../core/list.hpp"
#include "../core/store.hpp"
#include "copying.hpp"
#include "feed.hpp"
#include "item_state.hpp"
#include "ledger.hpp"
#include "node.hpp"
#include "segments.hpp"

namespace taskmgr::detail {

/// What a node is made with, for a run.
struct NodeTerms {
  AnyTrunk& trunk;
  std::size_t index;
  std::size_t rank;
  std::size_t initials;  // distinct initial tasks
  std::size_t capacity;  // of items that may wait for a node
  bool shares;           // equal items are one
  StagePlace place;      // the node's, for what is told of errors
};

/// The items of one type at an outlet.
template <class T>
class Outlet final : public AnyOutlet {
 public:
  using AnyOutlet::AnyOutlet;

  // --- the node that gives

  /// One more item, for the time being: what is not shown can be taken back. `value` stays where it is.
  void add(const T& value, std::size_t maker) {
    values_.grow_to(size_ + 1);
    makers_.grow_to(size_ + 1);
    values_[size_] = &value;
    makers_[size_++] = maker;
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  void take_back_to(std::size_t size) noexcept { size_ = size; }

  [[nodiscard]] std::size_t not_shown() const noexcept { return size_ - shown_.load(std::memory_order_relaxed); }
  /// What was added can be taken, by one who looks.
  void show() noexcept {
    const std::size_t more = not_shown();
    if (more == 0) return;
    for (AnyNodeRun* taker : takers_) taker->expect(more);
    shown_.store(size_, std::memory_order_release);
  }
  /// Tells those who take of what was shown.
  void tell() noexcept {
    shown_.store(size_);  // again, in one order with their rest: see `Crew::rest_for`
    for (AnyNodeRun* taker : takers_) taker->nudge();
  }
  void close() noexcept {
    closed_.store(true);
    for (AnyNodeRun* taker : takers_) taker->nudge();
  }
  /// The most that wait for one of those who take.
  [[nodiscard]] std::size_t waiting() const noexcept {
    std::size_t most = 0;
    for (const AnyNodeRun* taker : takers_) most = std::max(most, taker->waiting());
    return most;
  }

  // --- for those who take

  [[nodiscard]] const T& value(std::size_t item) const noexcept { return *values_[item]; }
  /// For a merge that takes away what cannot be copied: of an item that it `has`.
  [[nodiscard]] T* give_away(std::size_t item) noexcept { return const_cast<T*>(std::exchange(values_[item], nullptr)); }
  [[nodiscard]] const T* find(std::size_t item) const noexcept { return values_[item]; }
  [[nodiscard]] bool has(std::size_t item) const noexcept override { return values_[item] != nullptr; }

 private:
  Segments<const T*> values_;
};

/// The nodes from one that has no node before it to another.
using NodePath = List<AnyNodeRun*>;

[[nodiscard]] inline NodePath path_to(AnyNodeRun& node) {
  NodePath backwards;
  AnyNodeRun* at = &node;
  for (; at->inlet() != nullptr; at = &at->inlet()->node()) backwards.push_back(at);
  NodePath path;
  path.push_back(at);
  for (std::size_t k = backwards.size(); k-- > 0;) path.push_back(backwards[k]);
  return path;
}

/// Calls `visit(depth, item)` for an item of a path's node and all that was made of it along the path, in split order, until
/// that says no.
template <class Visit>
bool walk(const NodePath& path, std::size_t depth, std::size_t k, const Visit& visit) {
  k = path[depth]->leader(k);
  if (!visit(depth, k)) return false;
  const ItemState& item = path[depth]->item(k);
  if (depth + 1 == path.size() || item.count == 0 || path[depth + 1]->inlet() != &path[depth]->outlet(item.outlet)) return true;
  for (std::size_t made = item.first; made != item.first + item.count; ++made) {
    if (path[depth + 1]->has(made) && !walk(path, depth + 1, made, visit)) return false;
  }
  return true;
}

/// What an initial task has at an outlet, in split order: `take(item)` for each.
template <class Take>
void walk_to(const NodePath& path, const AnyOutlet& outlet, std::size_t initial, const Take& take) {
  walk(path, 0, initial, [&](std::size_t depth, std::size_t k) {
    if (depth + 1 != path.size()) return true;
    const ItemState& item = path[depth]->item(k);
    if (item.count == 0 || &path[depth]->outlet(item.outlet) != &outlet) return true;
    for (std::size_t made = item.first; made != item.first + item.count; ++made) take(made);
    return true;
  });
}

/// The root's tasks.
template <class In>
class RootIntake : public AnyNodeRun, public Initial<In> {
 public:
  using Task = In;

  RootIntake(const NodeTerms& terms, const Store<In, Branches>& tasks)
      : AnyNodeRun(terms.trunk, terms.index, terms.rank, nullptr), tasks_(tasks) {
    items_.grow_to(tasks.size());
  }
  [[nodiscard]] const In& task(std::size_t k) const noexcept override { return tasks_.task(k); }
  [[nodiscard]] Next peek() const noexcept override { return next_ != size() ? Next::task : Next::end; }
  [[nodiscard]] std::size_t take() noexcept override { return next_++; }

 protected:
  void forget(std::size_t) noexcept {}

 private:
  const Store<In, Branches>& tasks_;
  std::size_t next_ = 0;
};

/// What one outlet gives. Of equal items, where the node shares duplicates, the first is taken alone.
template <class T>
class ItemIntake : public AnyNodeRun, public Initial<T> {
 public:
  using Task = T;

  ItemIntake(NodeTerms terms, Outlet<T>& inlet)
      : AnyNodeRun(terms.trunk, terms.index, terms.rank, &inlet),
        from_(inlet),
        place_(std::move(terms.place)),
        capacity_(terms.capacity),
        release_(std::max<std::size_t>(1, terms.capacity / 4)),
        shares_(terms.shares) {
    inlet.lead_to(*this);
  }

  [[nodiscard]] const T& task(std::size_t k) const noexcept override { return from_.value(k); }
  [[nodiscard]] Next peek() const noexcept override {
    if (next_ != known_) return Next::task;
    const bool closed = from_.closed();  // first: then all has been shown
    return next_ != from_.shown() ? Next::task : closed ? Next::end : Next::nothing;
  }
  [[nodiscard]] Next advance() override;
  [[nodiscard]] std::size_t take() noexcept override {
    const std::size_t k = next_;
    pass_by();
    return k;
  }
  [[nodiscard]] const void* task_of(std::size_t k) const noexcept override { return &from_.value(k); }

 protected:
  void forget(std::size_t) noexcept {}

 private:
  struct Kept {
    std::size_t item;
    std::size_t hash;
  };
  void pass_by() noexcept {
    ++next_;
    if (++taken_ < release_ && next_ != known_) return;
    const std::size_t taken = std::exchange(taken_, 0);
    if (waiting_.fetch_sub(taken) >= capacity_) from_.node().nudge();  // it may have found no room
  }
  [[nodiscard]] bool joins(std::size_t k);

  Outlet<T>& from_;
  const StagePlace place_;
  const std::size_t capacity_;
  const std::size_t release_;  // items that are taken until the other side is told
  const bool shares_;
  std::size_t next_ = 0;      // to be taken
  std::size_t known_ = 0;     // that are shown
  std::size_t distinct_ = 0;  // those before it are known not to join others
  std::size_t taken_ = 0;     // and not told yet
  List<Kept> kept_;
  HashIndex index_;
};

/// What a merge is called with: a vector for each of its nodes, in a tuple unless it is the only one.
template <class... T>
struct MergedOf {
  using Task = std::tuple<std::vector<T>...>;
};
template <class T>
struct MergedOf<T> {
  using Task = std::vector<T>;
};

/// Everything that some outlets have for one initial task, once that is final.
template <class... T>
class MergeIntake : public AnyNodeRun, public Initial<typename MergedOf<T...>::Task> {
 public:
  using Task = typename MergedOf<T...>::Task;

  MergeIntake(NodeTerms terms, Outlet<T>&... from)
      : AnyNodeRun(terms.trunk, terms.index, terms.rank, nullptr),
        place_(std::move(terms.place)),
        from_(from...),
        paths_{path_to(from.node())...} {
    items_.grow_to(terms.initials);
    tasks_.grow_to(terms.initials);
  }

  void gather(std::size_t initial) noexcept override;
  void end_gathering() noexcept override {
    closed_.store(true);
    this->nudge();
  }

  [[nodiscard]] const Task& task(std::size_t k) const noexcept override { return *tasks_[k]; }
  [[nodiscard]] Next peek() const noexcept override {
    if (at_ != taken_.size()) return Next::task;
    const bool closed = closed_.load();
    return is_ready_.load() ? Next::task : closed ? Next::end : Next::nothing;
  }
  [[nodiscard]] Next advance() override;
  [[nodiscard]] std::size_t take() noexcept override { return taken_[at_++]; }

 protected:
  void forget(std::size_t k) noexcept { tasks_[k] = Owner<Task>(); }

 private:
  static constexpr std::size_t parts = sizeof...(T);

  template <std::size_t... I>
  [[nodiscard]] Owner<Task> gathered(std::size_t initial, std::index_sequence<I...>);
  template <class Part>
  void require_all(const NodePath& path, const Outlet<Part>& outlet, std::size_t initial) const;
  template <class Part>
  void collect(const NodePath& path, Outlet<Part>& outlet, std::size_t initial, std::vector<Part>& all);

  const StagePlace place_;
  const std::tuple<Outlet<T>&...> from_;
  const NodePath paths_[parts];
  Segments<Owner<Task>> tasks_;     // while they are needed
  std::vector<std::size_t> taken_;  // from `ready_`; those from `at_` on are to be run
  std::size_t at_ = 0;

  std::mutex mutex_;
  std::vector<std::size_t> ready_;
  std::atomic<bool> is_ready_{false};
  std::atomic<bool> closed_{false};
};

// ---------------------------------------------------------------------------------------------------------------------

template <class T>
Next ItemIntake<T>::advance() {
  for (;;) {
    if (next_ == known_) {
      const bool closed = from_.closed();
      const std::size_t shown = from_.shown();
      if (next_ == shown) return closed ? Next::end : Next::nothing;
      items_.grow_to(shown);
      known_ = shown;
    }
    try {
      if (!shares_ || next_ != distinct_ || !joins(next_)) {
        distinct_ = next_ + 1;
        return Next::task;
      }
    } catch (...) {  // its hash or equality did
      fail_by_exception(*this, next_, 1, place_);
    }
    distinct_ = next_ + 1;
    pass_by();
  }
}

template <class T>
bool ItemIntake<T>::joins([[maybe_unused]] std::size_t k) {
  if constexpr (Keyed<T>) {
    const T& value = from_.value(k);
    const std::size_t hash = KeyHash<T>{}(value);
    kept_.make_room(1);
    index_.make_room(kept_.size() + 1, kept_.size() + 1, [this](std::size_t n) { return kept_[n].hash; });
    const auto same = [&](std::size_t n) { return detail::equal(from_.value(kept_[n].item), value); };
    if (const std::size_t first = index_.find_or_insert(hash, kept_.size(), same); first != HashIndex::npos) {
      this->join(k, kept_[first].item);
      return true;
    }
    kept_.push_back({k, hash});
  }
  return false;
}

/// By whichever thread was the last to settle an item.
template <class... T>
void MergeIntake<T...>::gather(std::size_t initial) noexcept {
  const ItemState* not_there = nullptr;  // the first that has failed, or else that was cancelled
  for (const NodePath& path : paths_) {
    walk(path, 0, initial, [&](std::size_t depth, std::size_t k) {
      const ItemState& item = path[depth]->item(k);
      if (item.state != State::succeeded && (not_there == nullptr || item.state == State::failed)) not_there = &item;
      return not_there == nullptr || not_there->state != State::failed;
    });
    if (not_there != nullptr && not_there->state == State::failed) break;
  }
  if (not_there != nullptr) {
    if (not_there->state == State::failed) this->fail_by(initial, not_there->error, 0);
    else this->cancel(initial, 0);
    return;
  }
  try {
    const std::scoped_lock lock(mutex_);
    ready_.push_back(initial);
    is_ready_.store(true);
  } catch (...) {  // no memory
    return fail_by_exception(*this, initial, 0, place_);
  }
  this->nudge();
}

template <class... T>
Next MergeIntake<T...>::advance() {
  for (;;) {
    if (at_ == taken_.size()) {
      taken_.clear();
      at_ = 0;
      const bool closed = closed_.load();
      const std::scoped_lock lock(mutex_);
      if (ready_.empty()) return closed ? Next::end : Next::nothing;
      std::swap(taken_, ready_);
      is_ready_.store(false);
    }
    const std::size_t initial = taken_[at_];
    if (tasks_[initial]) return Next::task;
    try {
      tasks_[initial] = gathered(initial, std::make_index_sequence<parts>{});
      return Next::task;
    } catch (...) {  // a copy has thrown, or cannot be made
      fail_by_exception(*this, initial, 0, place_);
    }
    ++at_;
  }
}

template <class... T>
template <std::size_t... I>
auto MergeIntake<T...>::gathered(std::size_t initial, std::index_sequence<I...>) -> Owner<Task> {
  Owner<Task> task{new Task};
  (require_all(paths_[I], std::get<I>(from_), initial), ...);
  if constexpr (parts == 1) (collect(paths_[I], std::get<I>(from_), initial, *task), ...);
  else (collect(paths_[I], std::get<I>(from_), initial, std::get<I>(*task)), ...);
  return task;
}

/// What cannot be copied is given away once: before any of it is, all must be there, and each be wanted once.
template <class... T>
template <class Part>
void MergeIntake<T...>::require_all(const NodePath& path, const Outlet<Part>& outlet, std::size_t initial) const {
  if constexpr (!can_be_copied<Part>()) {
    std::vector<std::size_t> items;
    bool all_there = true;
    walk_to(path, outlet, initial, [&](std::size_t item) {
      all_there = all_there && outlet.has(item);
      items.push_back(item);
    });
    std::sort(items.begin(), items.end());
    if (all_there && std::adjacent_find(items.begin(), items.end()) == items.end()) return;
    throw UsageError("taskmgr: \"" + place_.name + "\" merges what cannot be copied and equal items share: make " +
                     type_name(typeid(Part)) + " copyable, or set Options::duplicates to Duplicates::run where it is made");
  }
}

template <class... T>
template <class Part>
void MergeIntake<T...>::collect(const NodePath& path, Outlet<Part>& outlet, std::size_t initial, std::vector<Part>& all) {
  walk_to(path, outlet, initial, [&](std::size_t item) {
    if constexpr (can_be_copied<Part>()) all.push_back(outlet.value(item));
    else all.push_back(std::move(*outlet.give_away(item)));
  });
}

}  // namespace taskmgr::detail
