// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Where the outcomes of a tree's initial tasks come together, whichever stage settles them.

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>

#include "../core/error.hpp"
#include "../core/list.hpp"
#include "../core/options.hpp"
#include "../core/report.hpp"
#include "../run/batch.hpp"
#include "../run/hub.hpp"
#include "../run/job.hpp"
#include "../run/source.hpp"
#include "copying.hpp"

namespace taskmgr::detail {

/// Where a stage stands in its tree.
struct StagePlace {
  std::string name;
  std::size_t index;
};

/// What a stage says of initial tasks that go no further, whatever their type is. An initial task is known by its *origin*,
/// the number of its slot in the report.
///
/// Tasks that reach an equal value in a stage that shares duplicates are one from there on: all but the first have *joined* it,
/// and it alone goes on, as the origin of all.
class AnyLedger {
 public:
  AnyLedger() = default;
  AnyLedger(const AnyLedger&) = delete;
  AnyLedger& operator=(const AnyLedger&) = delete;
  virtual ~AnyLedger() = default;

  /// In the stage of this name and number.
  virtual void fail(std::size_t origin, const TaskError& error, const std::string& stage, std::size_t index) noexcept = 0;
  virtual void cancel(std::size_t origin, int attempts) noexcept = 0;
  /// `origin` shares the outcome of `first` from now on, which went this way before it.
  virtual void join(std::size_t origin, std::size_t first) noexcept = 0;
  virtual void add_duration(std::size_t origin, std::chrono::nanoseconds duration) noexcept = 0;

  /// The index in the source of an initial task.
  [[nodiscard]] virtual std::uint64_t number(std::size_t origin) const noexcept = 0;
};

/// A value has thrown when it was moved, hashed or compared: that task alone has failed. To be called in a handler.
template <class Ledger, class Place>
void fail_by_exception(Ledger& ledger, std::size_t origin, int attempts, const Place& place) noexcept {
  try {
    ledger.fail(origin, TaskError{TaskError::Kind::exception, std::current_exception(), attempts}, place.name, place.index);
  } catch (...) {  // no memory to say so
    ledger.fail(origin, unrecorded_error(), place.name, place.index);
  }
}

/// Where the results of a stage end that is not followed by another in a chain.
template <class Out>
class Results {
 public:
  Results() = default;
  Results(const Results&) = delete;
  Results& operator=(const Results&) = delete;
  virtual ~Results() = default;
  /// The origin has this result. Throws what a move of it does; then it has none yet.
  virtual void succeed(std::size_t origin, Out&& value, int attempts) = 0;

  // Where results go on from here, those who take them may be told of some at a time, by `hand_on`: at the latest when nothing else
  // is to be done, or when enough has been kept back; `may_last`: before it can tell again. Whoever drives the stage waits for room.
  [[nodiscard]] virtual bool keeps_back() const noexcept { return false; }
  [[nodiscard]] virtual bool keeps_enough([[maybe_unused]] bool may_last) const noexcept { return false; }
  virtual void hand_on() noexcept {}
  [[nodiscard]] virtual bool has_room() const noexcept { return true; }
  /// There is always room from now on.
  virtual void open_wide() noexcept {}
  /// By origin, where results may be made in their places and nobody is to be told; else null.
  [[nodiscard]] virtual SlotsAt<Out> slots() const noexcept { return {}; }
  /// Nothing more comes.
  virtual void no_more() noexcept {}
};

/// Tasks that a stage takes as they lie: the initial ones, for the first of a chain.
template <class In>
class Initial {
 public:
  Initial() = default;
  Initial(const Initial&) = delete;
  Initial& operator=(const Initial&) = delete;
  virtual ~Initial() = default;
  [[nodiscard]] virtual const In& task(std::size_t origin) const noexcept = 0;

  // --- for the thread that drives the stage

  /// Is there a task to take? There may be none after all: see `advance`.
  [[nodiscard]] virtual Next peek() const noexcept = 0;
  /// The same, for sure.
  [[nodiscard]] virtual Next advance() { return peek(); }
  /// The next one's origin.
  [[nodiscard]] virtual std::size_t take() noexcept = 0;

  /// They lie in a list, where each is found by its origin: then `Taking` does for `advance` and `take`.
  [[nodiscard]] bool is_list() const noexcept { return list_ != nullptr; }
  /// Takes tasks in a row while it lives.
  class Taking {
   public:
    explicit Taking(Initial& all) noexcept : all_(all), at_(all.taken_) {}
    Taking(const Taking&) = delete;
    Taking& operator=(const Taking&) = delete;
    ~Taking() { all_.taken_ = at_; }
    [[nodiscard]] std::size_t size() const noexcept { return all_.list_->size() - at_; }
    [[nodiscard]] std::size_t origin() const noexcept { return at_; }
    [[nodiscard]] const In& task() const noexcept { return (*all_.list_)[at_]; }
    void pop() noexcept { ++at_; }

   private:
    Initial& all_;
    std::size_t at_;
  };

  /// All of them at once, by origin, to be taken back before anything is settled. For stages that run as one batch.
  [[nodiscard]] virtual TaskListOf<In> lend() noexcept { return {}; }
  virtual void take_back(TaskListOf<In>) noexcept {}

 protected:
  void lies_in(const TaskListOf<In>& list) noexcept { list_ = &list; }
  std::size_t taken_ = 0;

 private:
  const TaskListOf<In>* list_ = nullptr;
};

/// When a run of a tree is to begin nothing more: `Halt` by initial tasks. Thread safety: one at a time.
class HaltCount {
 public:
  explicit HaltCount(const Halt& at) noexcept : at_(at) {}
  [[nodiscard]] bool counts() const noexcept { return at_.failures != 0 || at_.failure_ratio > 0; }

  /// One more is settled, and was not cancelled: is it time?
  [[nodiscard]] bool note(bool failed) noexcept {
    ++finished_;
    if (failed) ++failures_;
    return halts(at_, failures_, finished_);
  }

 private:
  const Halt& at_;
  std::size_t finished_ = 0;
  std::size_t failures_ = 0;
};

/// A sink of the library's own, that wants to know who is settled and looks itself. It does not throw, and says whether the run
/// is to begin nothing more: it counts in place of the run.
template <class Sink>
concept HearsOrigins = requires(Sink& sink, std::size_t origin) {
  typename Sink::hears_origins;
  { sink(origin) } noexcept -> std::same_as<bool>;
};

/// The ledger of a run, which becomes its report. `sink` as that of a manager.
///
/// Thread safety: the drivers of all stages may call; an origin is with one of them at a time.
template <class In, class Out, class Sink>
class Ledger final : public AnyLedger, public Results<Out>, public Initial<In> {
 public:
  /// `halt` is called when the run is to begin nothing more. Throws `std::bad_alloc`.
  Ledger(Store<In, Out>& store, const Halt& halt_at, bool measured, bool may_join, Sink* sink, Job halt)
      : store_(store),
        sink_(sink),
        halt_count_(halt_at),
        halt_(halt),
        tells_each_(!std::is_same_v<Sink, NoSink> || halt_count_.counts()),
        measured_(measured),
        may_join_(may_join) {
    store_.make_slots(measured);
    for (std::size_t k = 0; k < store_.size(); ++k) store_.slot(k).mark(State::pending, 0);
    if (may_join_) store_.make_shares(copier<Out>());
    if (tells_each_) followers_ = Array<Followers>(new Followers[store_.size()]());
    this->lies_in(store_.tasks());
  }

  void fail(std::size_t origin, const TaskError& error, const std::string& stage, std::size_t index) noexcept override {
    fail_by(origin, store_.errors().add(error, stage, index), error.attempts());
  }
  /// By an error that the store has already.
  void fail_by(std::size_t origin, std::uint32_t error, int attempts) noexcept {
    store_.slot(origin).fail(attempts, error);
    settled(origin);
  }
  void cancel(std::size_t origin, int attempts) noexcept override {
    store_.slot(origin).mark(State::cancelled, attempts);
    settled(origin);
  }
  void succeed(std::size_t origin, Out&& value, int attempts) override {
    store_.slot(origin).succeed(attempts, [&]() -> Out { return std::move(value); });
    settled(origin);
  }
  void join(std::size_t origin, std::size_t first) noexcept override;
  void add_duration(std::size_t origin, std::chrono::nanoseconds duration) noexcept override {
    if (measured_) store_.add_duration(origin, duration);
  }

  [[nodiscard]] SlotsAt<Out> slots() const noexcept override { return tells_each_ ? SlotsAt<Out>{} : store_.slots(); }
  [[nodiscard]] std::uint64_t number(std::size_t origin) const noexcept override { return store_.number(origin); }
  [[nodiscard]] const In& task(std::size_t origin) const noexcept override { return std::as_const(store_).task(origin); }
  [[nodiscard]] Next peek() const noexcept override { return this->taken_ != store_.size() ? Next::task : Next::end; }
  [[nodiscard]] std::size_t take() noexcept override { return this->taken_++; }
  [[nodiscard]] TaskListOf<In> lend() noexcept override { return store_.lend(); }
  void take_back(TaskListOf<In> tasks) noexcept override { store_.adopt(std::move(tasks)); }

  /// Somebody is told of each outcome when it is there, or counts them.
  [[nodiscard]] bool tells_each() const noexcept { return tells_each_; }

  /// The run is over: what has no outcome was cancelled. Counts.
  void close(Report<In, Out>& report) noexcept;

  /// What the sink threw.
  [[nodiscard]] FirstException& thrown() noexcept { return thrown_; }

 private:
  static constexpr std::size_t nobody = static_cast<std::size_t>(-1);

  /// Those who have joined an origin, as a list through all of them, kept where each task is told by itself.
  struct Followers {
    std::size_t first = nobody;
    std::size_t next = nobody;  // of those who follow the same
    bool told = false;
  };

  void settled(std::size_t origin) noexcept {
    if (!tells_each_) return;
    const std::scoped_lock lock(turn_);
    tell(origin, origin);
  }
  void tell(std::size_t origin, std::size_t leader) noexcept;
  void tell_one(std::size_t origin) noexcept;

  Store<In, Out>& store_;
  Sink* sink_;
  HaltCount halt_count_;
  const Job halt_;
  const bool tells_each_;
  const bool measured_;
  const bool may_join_;
  std::mutex turn_;
  Array<Followers> followers_;
  bool sink_threw_ = false;
  FirstException thrown_;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class In, class Out, class Sink>
void Ledger<In, Out, Sink>::join(std::size_t origin, std::size_t first) noexcept {
  if (!tells_each_) return store_.share(origin, first);
  const std::scoped_lock lock(turn_);
  store_.share(origin, first);
  if (followers_[first].told) return tell(origin, store_.shared_with(first));
  followers_[origin].next = std::exchange(followers_[first].first, origin);
}

/// An origin is settled, and so are all who have joined it, those who joined them, and so on: one list, which grows in front.
template <class In, class Out, class Sink>
void Ledger<In, Out, Sink>::tell(std::size_t origin, std::size_t leader) noexcept {
  followers_[origin].next = nobody;
  for (std::size_t next = origin; next != nobody;) {
    const std::size_t now = next;
    Followers& followers = followers_[now];
    next = followers.next;
    if (followers.first != nobody) {
      std::size_t last = followers.first;
      while (followers_[last].next != nobody) last = followers_[last].next;
      followers_[last].next = std::exchange(next, followers.first);
    }
    followers.told = true;
    if (now != leader) store_.share(now, leader);
    tell_one(now);
  }
}

template <class In, class Out, class Sink>
void Ledger<In, Out, Sink>::tell_one(std::size_t origin) noexcept {
  if constexpr (HearsOrigins<Sink>) {
    if ((*sink_)(origin)) halt_();
    return;
  }
  const State state = store_.slot(origin).state();
  if (state != State::cancelled && halt_count_.note(state == State::failed)) halt_();
  if constexpr (!HearsOrigins<Sink> && !std::is_same_v<Sink, NoSink>) {
    if (sink_threw_) return;
    if (may_join_) store_.slot(origin).mark_shared(true);  // others may still come to it, and find it taken away
    try {
      auto outcome = store_.outcome(origin);
      (*sink_)(outcome);
    } catch (...) {
      sink_threw_ = true;
      thrown_.keep(std::current_exception());
    }
  }
}

template <class In, class Out, class Sink>
void Ledger<In, Out, Sink>::close(Report<In, Out>& report) noexcept {
  if (may_join_) {  // who has joined another is as that one
    for (std::size_t origin = 0; origin < store_.size(); ++origin) {
      if (store_.shared_with(origin) == origin && store_.slot(origin).state() == State::pending) cancel(origin, 0);
    }
    store_.find_shares();
  }
  const std::size_t size = store_.size();
  for (std::size_t origin = 0; origin < size; ++origin) {
    const State state = store_.slot(origin).state();
    if (state == State::pending) cancel(origin, 0);
    report.succeeded += state == State::succeeded ? 1U : 0U;
    report.failed += state == State::failed ? 1U : 0U;
  }
  report.cancelled = size - report.succeeded - report.failed;
  report.duplicates = store_.duplicates();
  report.total = size + report.duplicates;
}

}  // namespace taskmgr::detail
