// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A stage that runs when the one before it has ended: a batch over all that this has made.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>

#include "../core/hash_index.hpp"
#include "../core/store.hpp"
#include "../run/batch.hpp"
#include "stage_run.hpp"

namespace taskmgr::detail {

/// What waits for a stage: of equal values, where the stage shares duplicates, the first alone.
template <class T>
class Inbox {
 public:
  Inbox(bool shares, AnyLedger& ledger, const StagePlace& place, StageTrace<Hop>* trace) noexcept
      : shares_(shares), ledger_(ledger), place_(place), trace_(trace) {}

  void reserve(std::size_t values) {
    if constexpr (requires { values_.reserve(values); }) values_.reserve(values);
    origins_.reserve(values);
  }
  /// A value whose move, hash or equality throws fails its task.
  void put(std::size_t origin, T&& value) noexcept {
    try {
      if (shares_ && joins(origin, value)) return;
      origins_.push_back(origin);
      values_.push_back(std::move(value));
      if (shares_) keep();
    } catch (...) {
      if (origins_.size() != values_.size()) origins_.pop_back();
      fail_by_exception(ledger_, origin, 1, place_);
    }
  }

  [[nodiscard]] TaskListOf<T> take() noexcept { return std::move(values_); }
  /// Of the k-th value.
  [[nodiscard]] std::size_t origin(std::size_t k) const noexcept { return origins_[k]; }

 private:
  [[nodiscard]] bool joins([[maybe_unused]] std::size_t origin, [[maybe_unused]] const T& value);
  void keep();

  const bool shares_;
  AnyLedger& ledger_;
  const StagePlace& place_;
  StageTrace<Hop>* const trace_;
  TaskListOf<T> values_;
  std::vector<std::size_t> origins_;
  std::vector<std::size_t> hashes_;  // of the values, where they are shared
  std::size_t hash_ = 0;             // of the one that was looked for last
  HashIndex index_;
};

template <class F, class T, class R>
class SerialStage final : public StageRun<F, T, R> {
  using Base = StageRun<F, T, R>;

 public:
  SerialStage(ManagerState<F>& manager, StagePlace place, const TreeTerms& terms)
      : Base(manager, std::move(place), terms), inbox_(this->shares_, this->ledger_, this->place_, this->trace_) {}

  void begin_with(void* initial) noexcept override { initial_ = static_cast<Initial<T>*>(initial); }
  void nudge() noexcept override {}
  void lead_to(AnyStageRun& next) noexcept override { next_ = static_cast<Inbox<R>*>(next.input({nullptr, nullptr})); }
  [[nodiscard]] void* input(Job) noexcept override { return &inbox_; }

  void take_all() noexcept override {}
  void drive() noexcept override;
  void halt() noexcept override {
    const std::scoped_lock lock(mutex_);
    halted_ = true;
    if (batch_ != nullptr) batch_->halt();
  }
  [[nodiscard]] Progress progress() const noexcept override {
    const std::scoped_lock lock(mutex_);
    return batch_ != nullptr ? batch_->progress() : progress_;
  }

 private:
  [[nodiscard]] std::size_t origin(std::size_t slot) const noexcept { return initial_ != nullptr ? slot : inbox_.origin(slot); }
  void run(Store<T, R>& store);
  void hand_on(Store<T, R>& store) noexcept;

  Inbox<T> inbox_;
  Initial<T>* initial_ = nullptr;
  Inbox<R>* next_ = nullptr;

  mutable std::mutex mutex_;
  Crew* batch_ = nullptr;  // while it runs
  Progress progress_{};    // before and after
  bool halted_ = false;
};

// ---------------------------------------------------------------------------------------------------------------------

/// An equal value was here before: then the origin joins that one's.
template <class T>
bool Inbox<T>::joins([[maybe_unused]] std::size_t origin, [[maybe_unused]] const T& value) {
  if constexpr (Keyed<T>) {
    hash_ = KeyHash<T>{}(value);
    const std::size_t first = index_.find(hash_, [&](std::size_t k) { return detail::equal(values_[k], value); });
    if (first == HashIndex::npos) return false;
    if (trace_ != nullptr) trace_->join(ledger_.number(origin), ledger_.number(origins_[first]));
    ledger_.join(origin, origins_[first]);
    return true;
  } else {
    return false;
  }
}

/// The last value is to be found from now on.
template <class T>
void Inbox<T>::keep() {
  hashes_.push_back(hash_);
  index_.make_room(values_.size(), values_.size(), [this](std::size_t k) { return hashes_[k]; });
  index_.find_or_insert(hash_, values_.size() - 1, [](std::size_t) { return false; });
}

template <class F, class T, class R>
void SerialStage<F, T, R>::drive() noexcept {
  Store<T, R> store;
  store.adopt(initial_ != nullptr ? initial_->lend() : inbox_.take());
  try {
    run(store);
  } catch (...) {
    this->thrown_.keep(std::current_exception());
    this->halt_();
  }
  hand_on(store);
}

template <class F, class T, class R>
void SerialStage<F, T, R>::run(Store<T, R>& store) {
  const std::size_t size = store.size();
  if (wants_context<F, T> || !this->observers_.empty()) {  // who asks for numbers means those of the source
    Array<std::uint64_t> numbers{new std::uint64_t[size]};
    for (std::size_t slot = 0; slot < size; ++slot) numbers[slot] = this->ledger_.number(origin(slot));
    store.set_numbers(std::move(numbers));
  }
  Batch<F, T, R> batch{this->terms(size, size, Clock::now()), this->function_, store, this->workshop_, nullptr};
  {
    const std::scoped_lock lock(mutex_);
    batch_ = &batch;
    if (halted_) batch.halt();
  }
  begin(batch, nullptr);
  batch.drive();
  batch.close();
  batch.remember(batch.progress().elapsed);
  if (std::exception_ptr thrown = batch.thrown().take()) this->thrown_.keep(std::move(thrown));
  {
    const std::scoped_lock lock(mutex_);
    progress_ = batch.progress();
    batch_ = nullptr;
  }
  if (batch.stopping()) this->halt_();  // what it has made is not taken any more
}

/// All of it, to the next stage or the ledger. If it could not be run, it stays without an outcome.
template <class F, class T, class R>
void SerialStage<F, T, R>::hand_on(Store<T, R>& store) noexcept {
  const std::size_t size = store.size();
  const std::size_t settled = progress_.finished();
  if (initial_ != nullptr) initial_->take_back(store.lend());
  if (settled != size) return;
  try {
    if (next_ != nullptr) next_->reserve(progress_.succeeded);
  } catch (...) {
    this->thrown_.keep(std::current_exception());
    return this->halt_();
  }
  for (std::size_t k = 0; k < size; ++k) {
    const Slot<R> slot = store.slot(k);
    const std::size_t origin = this->origin(k);
    this->note_duration(origin, store.duration(k));
    switch (slot.state()) {
      case State::succeeded:
        if (next_ != nullptr) {
          next_->put(origin, std::move(slot.value()));
          continue;
        }
        try {
          this->results_->succeed(origin, std::move(slot.value()), slot.attempts());
        } catch (...) {
          fail_by_exception(this->ledger_, origin, slot.attempts(), this->place_);
        }
        break;
      case State::failed:
        this->ledger_.fail(origin, store.errors()[slot.error()], this->place_.name, this->place_.index);
        break;
      default: this->ledger_.cancel(origin, slot.attempts()); break;
    }
  }
}

}  // namespace taskmgr::detail
