// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A run of a tree: its stages, who drives them, and what comes of it.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <stop_token>
#include <utility>
#include <vector>

#include "../core/list.hpp"
#include "../core/options.hpp"
#include "../manager/run.hpp"
#include "../manager/state.hpp"
#include "ledger.hpp"
#include "report.hpp"
#include "stage.hpp"
#include "stage_run.hpp"
#include "trace.hpp"

namespace taskmgr::detail {

template <class In, class Out, class Sink>
class TreeRun;

/// The inside of a tree, which stays where it is when the tree is moved.
struct TreeState {
  Stages stages;
  TreeOptions options;
  Hub::Observers observers;
  std::atomic<std::size_t> runs{0};

  TreeState() = default;
  TreeState(const TreeState&) = delete;
  TreeState& operator=(const TreeState&) = delete;
  /// Waits for the runs in the background, which still need the stages, and what those borrow.
  ~TreeState() {
    std::unique_lock lock(mutex);
    while (in_background != 0) left.wait(lock);
  }

  /// Attempts are timed in some stage.
  [[nodiscard]] bool measures() const noexcept {
    for (const auto& stage : stages) {
      if (stage->may_measure()) return true;
    }
    return !observers.empty() || options.trace;
  }
  /// The stages that a stage takes from.
  template <class Indices = std::vector<std::size_t>>
  [[nodiscard]] Indices before(std::size_t k) const {
    return k != 0 ? Indices{k - 1} : Indices{};
  }

  std::mutex mutex;
  std::condition_variable left;
  std::size_t in_background = 0;  // guarded by `mutex`
};

/// What a tree is made of, and runs by, if its report has this type.
template <class In, class Out>
struct TreeParts {
  using State = TreeState;
  template <class Sink>
  using Run = TreeRun<In, Out, Sink>;
};

/// Counts a run in the background, from its making until nobody drives it any more.
class InBackground {
 public:
  explicit InBackground(TreeState& tree) noexcept : running_(tree.runs), tree_(&tree) {
    const std::scoped_lock lock(tree.mutex);
    ++tree.in_background;
  }
  InBackground(const InBackground&) = delete;
  InBackground& operator=(const InBackground&) = delete;
  ~InBackground() { end(); }

  /// The last touch of the tree.
  void end() noexcept {
    if (tree_ == nullptr) return;
    running_.end();
    TreeState& tree = *std::exchange(tree_, nullptr);
    const std::scoped_lock lock(tree.mutex);
    if (--tree.in_background == 0) tree.left.notify_all();  // with the lock held: who waits ends the tree's life
  }

 private:
  Running running_;
  TreeState* tree_;
};

template <class List>
[[nodiscard]] List copy_of(const List& stages) {
  List same;
  for (const auto& stage : stages) same.push_back(stage);
  return same;
}

/// The stages of one run, and the threads that drive them. A template, so that a program without trees does not compile it.
///
/// What they run on must outlive it; the tree's stages are kept.
template <class Run>
class StageRuns {
 public:
  StageRuns() = default;
  StageRuns(const StageRuns&) = delete;
  StageRuns& operator=(const StageRuns&) = delete;

  /// One after the other, in a chain.
  void make(const Stages& stages, const TreeTerms& terms);
  /// One by one. All of them must be connected then, and put into an order: each after those that it waits for in series.
  void add(Owner<Run> run) { runs_.push_back(std::move(run)); }
  void connected() { drivers_ = Array<Driver>(new Driver[runs_.size()]); }
  void next_in_order(std::size_t k) { in_order_.push_back(runs_[k].get()); }

  [[nodiscard]] Run& first() noexcept { return *runs_[0]; }
  [[nodiscard]] Run& last() noexcept { return *runs_.back(); }
  [[nodiscard]] std::vector<StageSummary> summaries() const;

  /// Runs all stages, one after the other or at once.
  void drive(bool at_once) noexcept;

  /// Has threads run them all at once; false if there are not enough: then nothing has been run.
  [[nodiscard]] bool begin() noexcept { return post(0); }
  void join() noexcept;
  /// After `join`: the last touch of the stages' managers.
  void leave_managers() noexcept {
    for (const auto& run : runs_) run->leave_manager();
  }
  /// Before `begin`: is called when the last of them has ended, and must not throw.
  void when_ended(Job ended) noexcept { ended_ = ended; }

  void halt() noexcept {
    for (const auto& run : runs_) run->halt();
  }
  /// In terms of initial tasks; `total` and `duplicates` of them. A task that shares another's outcome counts when that is
  /// over.
  [[nodiscard]] Progress progress(std::size_t total, std::size_t duplicates, Clock::time_point began) const noexcept;

 private:
  /// A thread that drives a stage. It waits until it is known whether all stages have one.
  struct Driver {
    StageRuns* all = nullptr;
    Run* run = nullptr;
    void drive() noexcept;
  };
  enum class Gate { shut, open, given_up };

  [[nodiscard]] bool post(std::size_t from) noexcept;

  List<Owner<Run>> runs_;
  List<Run*> in_order_;
  Array<Driver> drivers_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Gate gate_ = Gate::shut;
  std::size_t here_ = 0;  // drivers that were posted and have not left
  Job ended_{nullptr, nullptr};
};

/// What runs of chains and of trees with branches have in common. Who derives from it has the stages, which end before it.
template <class In, class Out, class Sink>
class AnyTreeRun {
 protected:
  using Runs = StageRuns<AnyStageRun>;

  /// `halt`: nothing more is begun in any stage. `may_join`: different initial tasks may come to one outcome.
  AnyTreeRun(const TreeState& tree, std::shared_ptr<Store<In, Out>> store, std::exception_ptr source, Sink* sink, Job halt,
             bool may_join, Clock::time_point began)
      : stages_(copy_of(tree.stages)),
        options_(tree.options),
        began_(began),
        halt_(halt),
        store_(std::move(store)),
        total_(store_->size() + store_->duplicates()),
        ledger_(*store_, options_.halt, tree.measures(), may_join, sink, halt) {
    if (source != nullptr) thrown_.keep(std::move(source));
  }

  [[nodiscard]] TreeTerms terms(const Hub::Observers& observers, AnyLedger& ledger, std::stop_token stop) {
    return {.options = options_,
            .observers = observers,
            .trace = nullptr,
            .keeps = false,
            .in_batches = false,
            .ledger = ledger,
            .thrown = thrown_,
            .halt = halt_,
            .stop = std::move(stop),
            .began = began_};
  }
  [[nodiscard]] bool at_once() const noexcept { return options_.mode != TreeMode::serial; }
  [[nodiscard]] Progress progress_of(const Runs& runs) const noexcept {
    return runs.progress(total_, store_->duplicates(), began_);
  }
  /// When nothing runs any more. `thrown` is what is to be rethrown; `settle_rest` sees to tasks that have no outcome by then.
  template <class SettleRest>
  [[nodiscard]] TreeReport<In, Out> finish(Runs& runs, std::exception_ptr& thrown, const SettleRest& settle_rest) noexcept;

  const Stages stages_;
  const TreeOptions options_;
  const Clock::time_point began_;
  const Job halt_;
  std::shared_ptr<Store<In, Out>> store_;
  const std::size_t total_;  // kept, for the store may have lent its tasks
  FirstException thrown_;
  Ledger<In, Out, Sink> ledger_;
};

/// A run of a chain.
template <class In, class Out, class Sink>
class TreeRun final : private AnyTreeRun<In, Out, Sink> {
  using Base = AnyTreeRun<In, Out, Sink>;

 public:
  TreeRun(const TreeState& tree, std::shared_ptr<Store<In, Out>> store, std::exception_ptr source, Sink* sink,
          std::stop_token stop, Clock::time_point began)
      : Base(tree, std::move(store), std::move(source), sink, job_of<&TreeRun::halt>(*this), shares(tree), began) {
    if (this->options_.trace) trace_ = std::make_shared<TreeTrace<Hop>>();
    TreeTerms terms = this->terms(tree.observers, this->ledger_, std::move(stop));
    terms.in_batches = !this->at_once() && !this->ledger_.tells_each() && gains_by_batches(tree);
    terms.trace = trace_.get();
    terms.keeps = true;
    runs_.make(this->stages_, terms);
    runs_.first().begin_with(static_cast<Initial<In>*>(&this->ledger_));
    runs_.last().end_in(static_cast<Results<Out>*>(&this->ledger_));
  }

  void drive() noexcept { runs_.drive(this->at_once()); }
  /// After `drive`; `thrown` is what is to be rethrown.
  [[nodiscard]] TreeReport<In, Out> finish(std::exception_ptr& thrown) noexcept {
    auto report = Base::finish(runs_, thrown, [] {});
    report.set_trace(std::move(trace_));
    return report;
  }
  [[nodiscard]] Progress progress() const noexcept { return this->progress_of(runs_); }

 private:
  static bool shares(const TreeState& tree) noexcept {
    for (std::size_t k = 1; k < tree.stages.size(); ++k) {
      if (tree.stages[k]->shares()) return true;
    }
    return false;
  }
  /// A batch uses all workers to its end, and knows how many tasks it has. If there is one worker, and nobody asks, a stage can as
  /// well take what the one before has left.
  static bool gains_by_batches(const TreeState& tree) noexcept {
    for (const auto& stage : tree.stages) {
      if (stage->options().mode != Mode::serial || stage->may_measure() || stage->options().show_progress) return true;
    }
    return tree.options.show_progress || tree.options.trace || !tree.observers.empty();
  }
  void halt() noexcept { runs_.halt(); }

  std::shared_ptr<TreeTrace<Hop>> trace_;
  typename Base::Runs runs_;
};

/// A launched run of a tree.
template <class In, class Out, class Sink>
class TreeLaunched final : public Background<TreeReport<In, Out>> {
 public:
  TreeLaunched(typename TreeParts<In, Out>::State& tree, std::shared_ptr<Store<In, Out>> store, std::exception_ptr source,
               Sink sink, std::stop_token stop)
      : running_(tree),
        sink_(std::move(sink)),
        run_(tree, std::move(store), std::move(source), &sink_, this->token(), Clock::now()),
        with_outer_(std::move(stop), job_of<&TreeLaunched::cancel>(*this)) {}

  /// Once, on whichever thread. Afterwards this object may be gone.
  void drive() noexcept {
    run_.drive();
    std::exception_ptr thrown;
    auto report = run_.finish(thrown);
    running_.end();
    this->finish(std::move(report), std::move(thrown));
  }

  [[nodiscard]] Progress progress() const noexcept override {
    Progress sum = run_.progress();
    if (!this->done()) return sum;
    const TreeReport<In, Out>& report = this->report();
    sum.succeeded = report.succeeded;
    sum.failed = report.failed;
    sum.cancelled = report.cancelled;
    sum.elapsed = report.elapsed;
    return sum;
  }

 protected:
  void help() noexcept override {}  // each stage has its own workers

 private:
  InBackground running_;
  Sink sink_;
  typename TreeParts<In, Out>::template Run<Sink> run_;
  OnStop with_outer_;  // last: it may call as soon as it stands
};

// ---------------------------------------------------------------------------------------------------------------------

template <class In, class Out, class Sink>
template <class SettleRest>
TreeReport<In, Out> AnyTreeRun<In, Out, Sink>::finish(Runs& runs, std::exception_ptr& thrown,
                                                      const SettleRest& settle_rest) noexcept {
  TreeReport<In, Out> report{store_};
  runs.leave_managers();
  report.retries = progress_of(runs).retries;
  try {
    report.set_stages(runs.summaries());
  } catch (...) {
    thrown_.keep(std::current_exception());  // no memory for it
  }
  settle_rest();
  ledger_.close(report);
  thrown = thrown_.take();
  if (thrown == nullptr) thrown = ledger_.thrown().take();
  report.elapsed = Clock::now() - began_;
  return report;
}

template <class Run>
void StageRuns<Run>::make(const Stages& stages, const TreeTerms& terms) {
  for (std::size_t k = 0; k < stages.size(); ++k) add(stages[k]->run({stage_name(*stages[k], k), k}, terms));
  for (std::size_t k = 1; k < runs_.size(); ++k) runs_[k - 1]->lead_to(*runs_[k]);
  for (std::size_t k = 0; k < runs_.size(); ++k) next_in_order(k);
  connected();
}

template <class Run>
std::vector<StageSummary> StageRuns<Run>::summaries() const {
  std::vector<StageSummary> all;
  for (const auto& run : runs_) all.push_back(run->summary());
  return all;
}

template <class Run>
void StageRuns<Run>::drive(bool at_once) noexcept {
  if (at_once && runs_.size() > 1 && post(1)) {
    first().drive();
    return join();
  }
  join();
  for (const auto& run : runs_) run->take_all();
  for (Run* run : in_order_) run->drive();
}

/// A thread for each stage from `from` on; false if there are not enough, and none of them is begun.
template <class Run>
bool StageRuns<Run>::post(std::size_t from) noexcept {
  bool all = true;
  for (std::size_t k = from; all && k < runs_.size(); ++k) {
    drivers_[k] = {this, runs_[k].get()};
    {
      const std::scoped_lock lock(mutex_);
      ++here_;
    }
    all = runs_[k]->post(job_of<&Driver::drive>(drivers_[k]));
    if (!all) {
      const std::scoped_lock lock(mutex_);
      --here_;
    }
  }
  {
    const std::scoped_lock lock(mutex_);
    gate_ = all ? Gate::open : Gate::given_up;
  }
  changed_.notify_all();
  return all;
}

template <class Run>
void StageRuns<Run>::join() noexcept {
  std::unique_lock lock(mutex_);
  while (here_ != 0) changed_.wait(lock);
}

template <class Run>
void StageRuns<Run>::Driver::drive() noexcept {
  std::unique_lock lock(all->mutex_);
  while (all->gate_ == Gate::shut) all->changed_.wait(lock);
  if (all->gate_ == Gate::open) {
    lock.unlock();
    run->drive();
    lock.lock();
  }
  if (--all->here_ == 0 && all->ended_.run != nullptr) all->ended_();
  all->changed_.notify_all();  // with the lock held: who waits ends this object's life
}

template <class Run>
Progress StageRuns<Run>::progress(std::size_t total, std::size_t duplicates, Clock::time_point began) const noexcept {
  Progress sum;
  for (const auto& run : runs_) {
    const Progress of_stage = run->progress();
    if (&run == runs_.begin()) sum.started = of_stage.started;
    sum.succeeded = of_stage.succeeded;
    sum.failed += of_stage.failed;
    sum.cancelled += of_stage.cancelled;
    sum.retries += of_stage.retries;
  }
  sum.total = total;
  sum.duplicates = duplicates;
  sum.elapsed = Clock::now() - began;
  return sum;
}

}  // namespace taskmgr::detail
