// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One stage in one run of a tree: what it takes, its flow, and where what it makes goes.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <exception>
#include <limits>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "../core/options.hpp"
#include "../core/outcome.hpp"
#include "../manager/state.hpp"
#include "../observe/progress_bar.hpp"
#include "../run/flow.hpp"
#include "channel.hpp"
#include "feed.hpp"
#include "ledger.hpp"
#include "report.hpp"
#include "trace.hpp"

namespace taskmgr::detail {

/// What the stages of a run have in common.
struct TreeTerms {
  const TreeOptions& options;
  const Hub::Observers& observers;  // of the tree
  TreeTrace<Hop>* trace;                // null: nobody asks
  bool keeps;  // distinct values, so that stages can share duplicates
  AnyLedger& ledger;
  FirstException& thrown;
  Job halt;  // nothing more is begun in any stage
  std::stop_token stop;
  Clock::time_point began;
};

/// A stage in a run, whatever its types are. What comes in and goes out is of the types that its stage names.
class AnyStageRun {
 public:
  AnyStageRun() = default;
  AnyStageRun(const AnyStageRun&) = delete;
  AnyStageRun& operator=(const AnyStageRun&) = delete;
  virtual ~AnyStageRun() = default;

  /// Of the first stage: an `Initial<In>`.
  virtual void begin_with(void* initial) noexcept = 0;
  /// There are initial tasks, or their end, where there were none.
  virtual void nudge() noexcept = 0;
  /// To the next stage.
  virtual void lead_to(AnyStageRun& next) noexcept = 0;
  /// Of the last stage: a `Results<Out>`.
  virtual void end_in(void* results) noexcept = 0;
  /// The channel that it takes from, a `Channel<In>`, whose other side calls `putter`.
  [[nodiscard]] virtual void* input(Job putter) noexcept = 0;

  /// There is room for all that the stage before it makes.
  virtual void take_all() noexcept = 0;
  /// Runs it, on the calling thread and what its mode has beside that, until nothing comes any more and all has gone on.
  virtual void drive() noexcept = 0;
  /// After `drive`, the last touch of the manager: the run may be kept longer, for what it tells of its progress.
  virtual void leave_manager() noexcept = 0;
  virtual void halt() noexcept = 0;
  [[nodiscard]] virtual Progress progress() const noexcept = 0;
  /// After `drive`.
  [[nodiscard]] virtual StageSummary summary() const = 0;
  /// Has a thread of the stage's manager do a job; false if there is none.
  [[nodiscard]] virtual bool post(Job job) noexcept = 0;
};

/// A flow from a feed to a channel.
template <class F, class T, class R>
class StageRun final : public AnyStageRun {
 public:
  StageRun(ManagerState<F>& manager, StagePlace place, const TreeTerms& terms)
      : ledger_(terms.ledger),
        thrown_(terms.thrown),
        halt_(terms.halt),
        workshop_(manager.workshop()),
        running_(workshop_.runs),
        place_(std::move(place)),
        options_(options_of(manager.options, terms.options)),
        trace_(terms.trace != nullptr ? &terms.trace->add(place_.name, place_.index) : nullptr),
        observers_(observers_of(manager.observers, terms)),
        feed_(capacity_of(terms.options), terms.keeps && Keyed<T> && manager.options.duplicates == Duplicates::share, ledger_, place_),
        flow_(terms_of(terms), manager.function, workshop_, feed_, {.window = window_of(terms.options)}) {
    if (trace_ != nullptr) feed_.trace(*trace_);
  }

  void begin_with(void* initial) noexcept override { feed_.begin_with(*static_cast<Initial<T>*>(initial)); }
  void nudge() noexcept override { flow_.nudge(); }
  void lead_to(AnyStageRun& next) noexcept override {
    next_ = static_cast<Channel<R>*>(next.input(job_of<&StageRun::nudge>(*this)));
  }
  void end_in(void* results) noexcept override { results_ = static_cast<Results<R>*>(results); }
  [[nodiscard]] void* input(Job putter) noexcept override {
    feed_.channel().connect(putter, job_of<&StageRun::nudge>(*this));
    return &feed_.channel();
  }

  void take_all() noexcept override { feed_.channel().open_wide(); }
  void drive() noexcept override;
  void leave_manager() noexcept override { running_.end(); }
  void halt() noexcept override { flow_.halt(); }
  [[nodiscard]] Progress progress() const noexcept override { return flow_.progress(); }
  [[nodiscard]] StageSummary summary() const override {
    return {place_.name, options_.mode, worker_count(options_), flow_.progress(), running_for_};
  }
  [[nodiscard]] bool post(Job job) noexcept override { return workshop_.pool.post(job); }

 private:
  /// Results that may wait between two stages, if nobody says.
  static constexpr std::size_t usual_capacity = 1024;
  /// Of those that are done, so many go on together at most.
  static constexpr std::size_t together = 256;

  [[nodiscard]] static std::size_t capacity_of(const TreeOptions& tree) noexcept {
    if (tree.mode == TreeMode::serial) return std::numeric_limits<std::size_t>::max();
    return tree.capacity != 0 ? tree.capacity : usual_capacity;
  }
  /// A stage that may have little before it takes no more than its workers are at.
  [[nodiscard]] std::size_t window_of(const TreeOptions& tree) const noexcept {
    return tree.capacity != 0 && tree.mode != TreeMode::serial ? worker_count(options_) : 0;
  }
  [[nodiscard]] Options options_of(const Options& manager, const TreeOptions& tree) const;
  [[nodiscard]] Hub::Observers observers_of(const Hub::Observers& manager, const TreeTerms& terms) const;
  [[nodiscard]] Crew::Terms terms_of(const TreeTerms& terms) {
    return {.options = options_,
            .observers = observers_,
            .ticker = observers_.empty() ? Shared<Ticker>{} : Ticker::instance(),
            .watchdog = workshop_.watchdog,
            .stop = terms.stop,
            .seats = seat_count<F, T>(options_, observers_, worker_count(options_)),
            .began = terms.began,
            .total = 0,
            .duplicates = 0,
            .stage = place_.name};
  }

  void pass(Outcome<T, R>& outcome) noexcept;
  void hand_on() noexcept;

  AnyLedger& ledger_;
  FirstException& thrown_;
  const Job halt_;
  Workshop& workshop_;
  Running running_;
  const StagePlace place_;
  const Options options_;
  StageTrace<Hop>* const trace_;
  const Hub::Observers observers_;
  Feed<T> feed_;
  Flow<F, T, R, Feed<T>&> flow_;
  Channel<R>* next_ = nullptr;
  Results<R>* results_ = nullptr;
  List<Item<R>> made_;  // to be handed on
  std::chrono::nanoseconds running_for_{0};
};

// ---------------------------------------------------------------------------------------------------------------------

template <class F, class T, class R>
Options StageRun<F, T, R>::options_of(const Options& manager, const TreeOptions& tree) const {
  Options options = manager;
  options.duplicates = Duplicates::run;  // the feed sees to those
  options.name = place_.name;
  if (tree.mode == TreeMode::process && options.mode != Mode::process) {
    if (options.mode == Mode::coroutine) options.workers = 0;  // so many were to be in flight
    if (options.mode == Mode::serial) options.workers = 1;
    options.mode = Mode::process;
  }
  return options;
}

template <class F, class T, class R>
Hub::Observers StageRun<F, T, R>::observers_of(const Hub::Observers& manager, const TreeTerms& terms) const {
  Hub::Observers all;
  for (const Hub::Observers* some : {&manager, &terms.observers}) {
    for (const std::shared_ptr<Observer>& observer : *some) {
      if (std::find(all.begin(), all.end(), observer) == all.end()) all.push_back(observer);
    }
  }
  if (trace_ != nullptr) all.push_back(terms.trace->stage(place_.index));
  if (terms.options.show_progress && !options_.show_progress) all.push_back(std::shared_ptr<Observer>(new ProgressBar));
  return all;
}

template <class F, class T, class R>
void StageRun<F, T, R>::drive() noexcept {
  try {
    while (!flow_.is_over()) {
      if (Outcome<T, R>* const outcome = flow_.next_now()) {
        pass(*outcome);
        // what is kept here waits as well
        if (made_.size() >= together || (!made_.empty() && made_.size() >= next_->room())) hand_on();
      } else if (!made_.empty()) {
        hand_on();
      } else if (!flow_.is_over()) {
        flow_.get_on();
      }
    }
  } catch (...) {
    thrown_.keep(std::current_exception());
  }
  hand_on();
  if (!feed_.ended()) halt_();  // what is left will not be taken any more, and nothing should wait for that
  feed_.channel().open_wide();
  if (next_ != nullptr) next_->close();
}

/// What a task of this stage has come to.
template <class F, class T, class R>
void StageRun<F, T, R>::pass(Outcome<T, R>& outcome) noexcept {
  const std::size_t origin = flow_.current();
  if (outcome.duration().count() != 0) {
    ledger_.add_duration(origin, outcome.duration());
    running_for_ += outcome.duration();
  }
  switch (outcome.state()) {
    case State::succeeded:
      try {
        if (results_ != nullptr) results_->succeed(origin, outcome.take(), outcome.attempts());
        else made_.push_back({origin, Parcel<R>(outcome.take())});
      } catch (...) {
        fail_by_exception(ledger_, origin, outcome.attempts(), place_);
      }
      return;
    case State::failed: return ledger_.fail(origin, outcome.error(), place_.name, place_.index);
    default: return ledger_.cancel(origin, outcome.attempts());
  }
}

/// Waits where the next stage has no room, and has this one's workers go on meanwhile.
template <class F, class T, class R>
void StageRun<F, T, R>::hand_on() noexcept {
  std::size_t first = 0;
  while (first != made_.size() && !flow_.stopping()) {
    try {
      first += next_->put(made_, first);
    } catch (...) {
      thrown_.keep(std::current_exception());
      halt_();
    }
    if (first != made_.size()) flow_.get_on([this] { return next_->has_room() || flow_.stopping(); });
  }
  for (; first != made_.size(); ++first) ledger_.cancel(made_[first].origin, 1);
  made_.clear();
}

}  // namespace taskmgr::detail
