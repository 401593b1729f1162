// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What came of a whole run: counts, an outcome for each task, and maps from tasks to results and to errors.

#include <chrono>
#include <cstddef>
#include <iterator>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "outcome.hpp"
#include "store.hpp"

namespace taskmgr {

namespace detail {

/// What an `Outcomes` view shows of a slot.
template <class Task, class R>
struct ShowOutcome {
  using value_type = Outcome<Task, R>;
  Store<Task, R>* store = nullptr;

  [[nodiscard]] std::size_t next(std::size_t slot) const noexcept { return slot; }
  [[nodiscard]] value_type operator()(std::size_t slot) const { return store->outcome(slot); }
};

/// What a `TaskMap` shows of a slot.
template <class Task, class R, class Value, State state_>
struct ShowEntry {
  using value_type = std::pair<const Task&, Value&>;
  static constexpr State state = state_;
  static constexpr bool of_errors = state == State::failed;
  Store<Task, R>* store = nullptr;

  /// The first slot from `slot` on that the map shows.
  [[nodiscard]] std::size_t next(std::size_t slot) const {
    while (slot < store->size() && !store->shown(slot, state)) ++slot;
    return slot;
  }
  [[nodiscard]] Value& value(std::size_t slot) const {
    if constexpr (of_errors) return store->errors()[store->slot(slot).error()];
    else return store->slot(slot).value();
  }
  [[nodiscard]] value_type operator()(std::size_t slot) const { return {store->task(slot), value(slot)}; }
};

/// Walks the slots of a store that `Show` shows. It refers to the store, not to the view that it came from.
///
/// What it shows is a handle, given by value: hence an input iterator to the classic algorithms, though it can be walked many
/// times. The handle is const, so that `for (auto& [task, value] : map)` binds.
template <class Show>
class SlotIterator {
 public:
  using iterator_concept = std::forward_iterator_tag;
  using iterator_category = std::input_iterator_tag;
  using value_type = typename Show::value_type;
  using difference_type = std::ptrdiff_t;
  using reference = const value_type;  // NOLINT: see above

  /// What `->` goes through.
  class pointer {
   public:
    explicit pointer(const Show& show, std::size_t slot) : shown_(show(slot)) {}
    [[nodiscard]] const value_type* operator->() const noexcept { return &shown_; }

   private:
    value_type shown_;
  };

  SlotIterator() = default;
  SlotIterator(Show show, std::size_t slot) noexcept : show_(show), slot_(slot) {}

  [[nodiscard]] reference operator*() const { return show_(slot_); }
  [[nodiscard]] pointer operator->() const { return pointer{show_, slot_}; }
  SlotIterator& operator++() {
    slot_ = show_.next(slot_ + 1);
    return *this;
  }
  SlotIterator operator++(int) {
    SlotIterator before = *this;
    ++*this;
    return before;
  }
  [[nodiscard]] bool operator==(const SlotIterator& other) const noexcept { return slot_ == other.slot_; }

 private:
  Show show_{};
  std::size_t slot_ = 0;
};

/// What all views of a report share: the store, and, if the report was a temporary, a share in its life.
template <class Task, class R>
class StoreView {
 public:
  StoreView(std::shared_ptr<Store<Task, R>> owner, Store<Task, R>* store) noexcept
      : owner_(std::move(owner)), store_(store) {}

 protected:
  std::shared_ptr<Store<Task, R>> owner_;
  Store<Task, R>* store_;
};

}  // namespace detail

/// The outcomes of a report, in source order, one for each task that was no duplicate.
template <class Task, class R>
class Outcomes : detail::StoreView<Task, R> {
 public:
  using value_type = Outcome<Task, R>;
  using iterator = detail::SlotIterator<detail::ShowOutcome<Task, R>>;
  using detail::StoreView<Task, R>::StoreView;

  [[nodiscard]] std::size_t size() const noexcept { return this->store_->size(); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] value_type operator[](std::size_t k) const { return this->store_->outcome(k, this->owner_); }
  [[nodiscard]] iterator begin() const noexcept { return {{this->store_}, 0}; }
  [[nodiscard]] iterator end() const noexcept { return {{this->store_}, size()}; }
};

/// A map of a report from tasks to `Value`: of the succeeded to `const R`, or `R` where the report was a temporary, of the
/// failed to `const TaskError`. In source order. The index behind `find` is built once; any number of threads may read.
template <class Task, class R, class Value, State state>
class TaskMap : detail::StoreView<Task, R> {
 public:
  using key_type = Task;
  using mapped_type = std::remove_const_t<Value>;
  using value_type = std::pair<const Task&, Value&>;
  using iterator = detail::SlotIterator<detail::ShowEntry<Task, R, Value, state>>;
  using const_iterator = iterator;

  TaskMap(std::shared_ptr<detail::Store<Task, R>> owner, detail::Store<Task, R>* store, std::size_t counted) noexcept
      : detail::StoreView<Task, R>(std::move(owner), store),
        counted_(counted) {
    if (counted == store->size()) finder_ = store->finder();
  }

  /// Throws `std::out_of_range` where there is no such key. O(1) expected; O(size) for tasks without a hash.
  [[nodiscard]] Value& at(const Task& task) const;
  [[nodiscard]] iterator find(const Task& task) const { return {show(), position(task)}; }
  [[nodiscard]] bool contains(const Task& task) const { return position(task) != this->store_->size(); }

  /// Of distinct keys.
  [[nodiscard]] std::size_t size() const { return this->store_->count_shown(Show::state, counted_); }
  [[nodiscard]] bool empty() const { return counted_ == 0; }

  [[nodiscard]] iterator begin() const { return empty() ? end() : iterator{show(), show().next(0)}; }
  [[nodiscard]] iterator end() const noexcept { return {show(), this->store_->size()}; }

  /// A container of one's own, `to<std::unordered_map<int, std::string>>()` say. Copies; of a temporary report it moves the
  /// values.
  template <class Container>
  [[nodiscard]] Container to() const;

 private:
  using Show = detail::ShowEntry<Task, R, Value, state>;
  [[nodiscard]] Show show() const noexcept { return {this->store_}; }
  [[nodiscard]] std::size_t position(const Task& task) const {
    const std::size_t slot = slot_of(task);
    return slot != detail::HashIndex::npos ? slot : this->store_->size();
  }
  [[nodiscard]] std::size_t slot_of(const Task& task) const {
    if constexpr (detail::Keyed<Task>) {
      if (finder_) return finder_.find(task);
    }
    return this->store_->find(task, Show::state);
  }

  /// Apart, for `at` is to be short enough to be compiled into its caller's loop.
  [[nodiscard, gnu::noinline]] Value& value_of(std::size_t slot) const;

  std::size_t counted_;
  typename detail::Store<Task, R>::Finder finder_;  // if whatever is found is shown
};

/// The tasks of a report that ended in one state, in source order: a range to start again.
///
/// `Item` is `const Task` for a view into a report; `Task` for what was a temporary's, whose tasks may be moved on.
template <class Task, class R, class Item>
class TaskRange : detail::StoreView<Task, R> {
 public:
  class iterator {
   public:
    using iterator_concept = std::forward_iterator_tag;
    using iterator_category = std::forward_iterator_tag;
    using value_type = Task;
    using difference_type = std::ptrdiff_t;
    using reference = Item&;
    using pointer = Item*;

    iterator() = default;
    iterator(detail::Store<Task, R>* store, State state, std::size_t slot) noexcept
        : store_(store), slot_(slot), state_(state) {
      skip();
    }
    [[nodiscard]] reference operator*() const noexcept { return store_->task(slot_); }
    [[nodiscard]] pointer operator->() const noexcept { return &store_->task(slot_); }
    iterator& operator++() noexcept {
      ++slot_;
      skip();
      return *this;
    }
    iterator operator++(int) noexcept {
      iterator before = *this;
      ++*this;
      return before;
    }
    [[nodiscard]] bool operator==(const iterator& other) const noexcept { return slot_ == other.slot_; }

   private:
    void skip() noexcept {
      while (slot_ < store_->size() && store_->slot(slot_).state() != state_) ++slot_;
    }
    detail::Store<Task, R>* store_ = nullptr;
    std::size_t slot_ = 0;
    State state_ = State::pending;
  };

  TaskRange(std::shared_ptr<detail::Store<Task, R>> owner, detail::Store<Task, R>* store, State state) noexcept
      : detail::StoreView<Task, R>(std::move(owner), store), state_(state) {}

  [[nodiscard]] iterator begin() const noexcept { return {this->store_, state_, 0}; }
  [[nodiscard]] iterator end() const noexcept { return {this->store_, state_, this->store_->size()}; }
  [[nodiscard]] bool empty() const noexcept { return begin() == end(); }

 private:
  State state_;
};

namespace detail {
struct ReportAccess;
}

/// What came of a run: a value, which owns tasks, results and errors. Outcomes and maps are views of it; of a temporary
/// report they own what they show.
///
///     for (const auto& [task, error] : report.error_map()) fmt::print("{}: {}\n", task, error.message());
///
/// Always `total == succeeded + failed + cancelled + duplicates`. `fmt::print("{}", report)` prints one line; `{:#}` adds
/// the errors, grouped. Thread safety: any number of threads may read.
template <class Task, class R>
class [[nodiscard]] Report {
 public:
  using task_type = Task;
  using result_type = R;

  std::size_t total = 0;
  std::size_t succeeded = 0;
  std::size_t failed = 0;
  std::size_t cancelled = 0;
  std::size_t duplicates = 0;
  std::size_t retries = 0;
  std::chrono::nanoseconds elapsed{0};

  /// Of no task.
  Report() : Report(std::shared_ptr<detail::Store<Task, R>>(new detail::Store<Task, R>)) {}
  /// Leaves a report of no task.
  Report(Report&& other) noexcept : Report(std::as_const(other)) { other.forget(); }
  Report& operator=(Report&& other) noexcept {
    if (this == &other) return *this;
    *this = std::as_const(other);
    other.forget();
    return *this;
  }
  ~Report() = default;

  /// Nothing failed, nothing was cancelled.
  [[nodiscard]] bool ok() const noexcept { return failed == 0 && cancelled == 0; }

  /// Rethrows the first error in task order, if there is one.
  void throw_if_failed() const;

  [[nodiscard]] Outcomes<Task, R> outcomes() const& { return {nullptr, store_.get()}; }
  [[nodiscard]] Outcomes<Task, R> outcomes() && { return {store_, store_.get()}; }

  /// The outcome of the i-th task of the source; of a duplicate, the one that it shares. Throws `std::out_of_range`.
  [[nodiscard]] Outcome<Task, R> operator[](std::size_t i) const&;
  [[nodiscard]] Outcome<Task, R> operator[](std::size_t i) &&;

  /// From tasks to results.
  [[nodiscard]] TaskMap<Task, R, const R, State::succeeded> success_map() const& {
    return {nullptr, store_.get(), succeeded};
  }
  [[nodiscard]] TaskMap<Task, R, R, State::succeeded> success_map() && { return {store_, store_.get(), succeeded}; }

  /// From tasks to errors.
  [[nodiscard]] TaskMap<Task, R, const TaskError, State::failed> error_map() const& {
    return {nullptr, store_.get(), failed};
  }
  [[nodiscard]] TaskMap<Task, R, const TaskError, State::failed> error_map() && { return {store_, store_.get(), failed}; }

  [[nodiscard]] TaskRange<Task, R, const Task> failed_tasks() const& { return {nullptr, store_.get(), State::failed}; }
  [[nodiscard]] TaskRange<Task, R, Task> failed_tasks() && { return {store_, store_.get(), State::failed}; }

  /// The cancelled ones.
  [[nodiscard]] TaskRange<Task, R, const Task> unfinished_tasks() const& {
    return {nullptr, store_.get(), State::cancelled};
  }
  [[nodiscard]] TaskRange<Task, R, Task> unfinished_tasks() && { return {store_, store_.get(), State::cancelled}; }

  /// For the library: a report over a store whose slots are all settled.
  explicit Report(std::shared_ptr<detail::Store<Task, R>> store) noexcept : store_(std::move(store)) {}

 protected:
  Report(const Report&) = default;
  Report& operator=(const Report&) = default;

 private:
  friend struct detail::ReportAccess;
  [[nodiscard]] std::size_t slot_of(std::size_t i) const;
  void forget() noexcept;
  std::shared_ptr<detail::Store<Task, R>> store_;
};

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

struct ReportAccess {
  /// A second report over the same store: for a run that has handed one out and still shows it.
  template <class Gives>
  static Gives share(const Gives& report) {
    return report;
  }
  template <class Task, class R>
  static const Store<Task, R>& store(const Report<Task, R>& report) noexcept {
    return *report.store_;
  }
  template <class Task, class R>
  static std::shared_ptr<Store<Task, R>> share_store(const Report<Task, R>& report) noexcept {
    return report.store_;
  }
};

}  // namespace detail

template <class Task, class R>
void Report<Task, R>::forget() noexcept {
  static detail::Store<Task, R> none;
  total = succeeded = failed = cancelled = duplicates = retries = 0;
  elapsed = {};
  store_ = {std::shared_ptr<void>{}, &none};
}

template <class Task, class R, class Value, State state>
Value& TaskMap<Task, R, Value, state>::at(const Task& task) const {
  if constexpr (detail::Keyed<Task> && !Show::of_errors) {
    if (R* const result = finder_ ? finder_.result_of(task) : nullptr; result != nullptr) return *result;
  }
  return value_of(this->store_->find(task, Show::state));
}

template <class Task, class R, class Value, State state>
Value& TaskMap<Task, R, Value, state>::value_of(std::size_t slot) const {
  if (slot == detail::HashIndex::npos) {
    throw std::out_of_range(Show::of_errors ? "taskmgr: error_map().at(): no such task failed"
                                            : "taskmgr: success_map().at(): no such task succeeded");
  }
  return show().value(slot);
}

template <class Task, class R, class Value, State state>
template <class Container>
Container TaskMap<Task, R, Value, state>::to() const {
  static_assert(std::is_copy_constructible_v<Task>, "taskmgr: to() copies the tasks, which cannot be copied");
  static_assert(!std::is_const_v<Value> || std::is_copy_constructible_v<mapped_type>,
                "taskmgr: to() copies these results, which cannot be copied: std::move(report).success_map().to<Map>() moves them");
  Container all;
  if constexpr (requires { all.reserve(size()); }) all.reserve(size());
  for (std::size_t slot = show().next(0); slot < this->store_->size(); slot = show().next(slot + 1)) {
    if constexpr (std::is_const_v<Value>) all.emplace(std::as_const(*this->store_).task(slot), show().value(slot));
    else all.emplace(std::as_const(*this->store_).task(slot), this->store_->outcome(slot).take());
  }
  return all;
}

template <class Task, class R>
void Report<Task, R>::throw_if_failed() const {
  for (std::size_t slot = 0; failed != 0 && slot < store_->size(); ++slot) {
    if (store_->slot(slot).state() == State::failed) store_->errors()[store_->slot(slot).error()].rethrow();
  }
}

template <class Task, class R>
std::size_t Report<Task, R>::slot_of(std::size_t i) const {
  if (i >= total) throw std::out_of_range("taskmgr: report[i]: the run had no task with that number");
  return store_->slot_of(i);
}

template <class Task, class R>
Outcome<Task, R> Report<Task, R>::operator[](std::size_t i) const& {
  return store_->outcome(slot_of(i));
}

template <class Task, class R>
Outcome<Task, R> Report<Task, R>::operator[](std::size_t i) && {
  return store_->outcome(slot_of(i), store_);
}

}  // namespace taskmgr

template <class Task, class R>
inline constexpr bool taskmgr::detail::refers_to_elements<taskmgr::TaskRange<Task, R, Task>> = false;  // it owns them
template <class Task, class R>
inline constexpr bool std::ranges::enable_view<taskmgr::TaskRange<Task, R, const Task>> = true;
template <class Task, class R>
inline constexpr bool std::ranges::enable_borrowed_range<taskmgr::TaskRange<Task, R, const Task>> = true;
