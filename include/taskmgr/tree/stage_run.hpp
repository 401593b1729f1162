// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// One stage in one run of a tree, whichever way the tree runs: what it knows of the whole, and what it takes from its manager.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <stop_token>
#include <utility>

#include "../core/options.hpp"
#include "../manager/state.hpp"
#include "../observe/progress_bar.hpp"
#include "ledger.hpp"
#include "report.hpp"
#include "trace.hpp"

namespace taskmgr::detail {

/// What the stages of a run have in common.
struct TreeTerms {
  const TreeOptions& options;
  const Hub::Observers& observers;  // of the tree
  TreeTrace<Hop>* trace;            // null: nobody asks
  bool keeps;                       // distinct values, so that stages can share duplicates
  bool in_batches;                  // each stage is one, when the stage before it has ended
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
  /// To the next stage, which runs in the same way.
  virtual void lead_to(AnyStageRun& next) noexcept = 0;
  /// Of the last stage: a `Results<Out>`.
  virtual void end_in(void* results) noexcept = 0;
  /// Where the stage before puts what it makes. That one is called by `putter` when there is room again.
  [[nodiscard]] virtual void* input(Job putter) noexcept = 0;

  /// It looks for what it is to take, now and then, without being nudged.
  [[nodiscard]] virtual bool looks() const noexcept { return false; }
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

/// What both ways to run a stage of `F`, from `T` to `R`, have in common.
template <class F, class T, class R>
class StageRun : public AnyStageRun {
 public:
  void end_in(void* results) noexcept override { results_ = static_cast<Results<R>*>(results); }
  void leave_manager() noexcept override { running_.end(); }
  [[nodiscard]] StageSummary summary() const override {
    return {place_.name, options_.mode, worker_count(options_), this->progress(), running_for_};
  }
  [[nodiscard]] bool post(Job job) noexcept override { return workshop_.pool.post(job); }

 protected:
  StageRun(ManagerState<F>& manager, StagePlace place, const TreeTerms& terms)
      : function_(manager.function),
        ledger_(terms.ledger),
        thrown_(terms.thrown),
        halt_(terms.halt),
        stop_(terms.stop),
        workshop_(manager.workshop()),
        running_(workshop_.runs),
        place_(std::move(place)),
        shares_(terms.keeps && Keyed<T> && manager.options.duplicates == Duplicates::share),
        options_(options_of(manager.options, terms.options)),
        trace_(terms.trace != nullptr ? &terms.trace->add(place_.name, place_.index) : nullptr),
        observers_(observers_of(manager.observers, terms)) {}

  /// For a run of so many tasks at most, `total` of which are known.
  [[nodiscard]] Crew::Terms terms(std::size_t tasks, std::size_t total, Clock::time_point began) const {
    return {.options = options_,
            .observers = observers_,
            .ticker = observers_.empty() ? Shared<Ticker>{} : Ticker::instance(),
            .watchdog = workshop_.watchdog,
            .stop = stop_,
            .seats = seat_count<F, T>(options_, observers_, std::min(worker_count(options_), tasks)),
            .began = began,
            .total = total,
            .duplicates = 0,
            .stage = place_.name};
  }
  void note_duration(std::size_t origin, std::chrono::nanoseconds took) noexcept {
    if (took.count() == 0) return;
    ledger_.add_duration(origin, took);
    running_for_ += took;
  }

  const F& function_;
  AnyLedger& ledger_;
  FirstException& thrown_;
  const Job halt_;
  const std::stop_token stop_;
  Workshop& workshop_;
  Running running_;
  const StagePlace place_;
  const bool shares_;  // equal values are one from here on
  const Options options_;
  StageTrace<Hop>* const trace_;
  const Hub::Observers observers_;
  Results<R>* results_ = nullptr;
  std::chrono::nanoseconds running_for_{0};

 private:
  [[nodiscard]] Options options_of(const Options& manager, const TreeOptions& tree) const;
  [[nodiscard]] Hub::Observers observers_of(const Hub::Observers& manager, const TreeTerms& terms) const;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class F, class T, class R>
Options StageRun<F, T, R>::options_of(const Options& manager, const TreeOptions& tree) const {
  Options options = manager;
  options.duplicates = Duplicates::run;  // whoever feeds the stage sees to those
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

}  // namespace taskmgr::detail
