// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A tree with branches over tasks that come one after the other: runs over some of them at a time, two at once.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

#include "../core/list.hpp"
#include "../core/outcome.hpp"
#include "../core/store.hpp"
#include "../manager/run.hpp"
#include "../run/flow.hpp"
#include "../run/source.hpp"
#include "branch.hpp"
#include "branch_run.hpp"
#include "node.hpp"
#include "report.hpp"
#include "tree_calls.hpp"

namespace taskmgr::detail {

/// The run behind a stream of a tree with branches. Whoever walks it pulls the initial tasks, and launches a run over as many as
/// come within a moment, at most half a window of them. What such a run has made goes when all of its outcomes have been handed
/// out.
template <class In, class Tasks>
class BranchStreamed final : public AnyFlow<In, Branches> {
 public:
  BranchStreamed(BranchState& tree, Tasks&& tasks, StreamOptions how, std::stop_token stop)
      : tree_(tree),
        running_(tree.runs),
        source_(std::forward<Tasks>(tasks)),
        ordered_(how.ordered),
        together_(std::max<std::size_t>(1, (how.window != 0 ? how.window : usual_window) / 2)),
        stop_(std::move(stop)),
        of_stages_(new Progress[tree.stages.size()]),
        halt_count_(tree.options.halt) {}
  ~BranchStreamed() override;

  [[nodiscard]] Outcome<In, Branches>* next() override;

 private:
  using Report = TreeReport<In, Branches>;

  /// Some initial tasks, and a run over them.
  struct Batch {
    std::shared_ptr<Store<In, Branches>> store;
    std::optional<Run<In, Branches, Report>> run{};
    std::size_t handed_out = 0;
    List<std::size_t> done{};  // and not handed out; guarded by the stream's lock, as the next
    Array<bool> is_done{};     // by slot, where the order counts
  };
  /// What a run tells.
  struct Teller {
    using hears_origins = void;
    BranchStreamed* stream;
    Batch* batch;
    bool operator()(std::size_t slot) const noexcept { return stream->note(*batch, slot); }
  };

  static constexpr std::size_t usual_window = 1024;
  static constexpr std::chrono::nanoseconds moment{1'000'000};
  static constexpr std::size_t npos = HashIndex::npos;

  void launch_more();
  [[nodiscard]] TaskListOf<In> pull();
  [[nodiscard]] bool note(Batch& batch, std::size_t slot) noexcept;
  [[nodiscard]] bool halted() noexcept {
    const std::scoped_lock lock(mutex_);
    return halted_;
  }
  [[nodiscard]] std::size_t take_done(Batch& batch) noexcept;
  void drop_front() noexcept;
  void look_at(const Report& report) noexcept;
  void end();

  BranchState& tree_;
  Running running_;
  RangeSource<Tasks, In> source_;
  const bool ordered_;
  const std::size_t together_;
  const std::stop_token stop_;
  const Array<Progress> of_stages_;  // in the runs that have ended
  std::deque<std::shared_ptr<Batch>> batches_;  // one or two
  std::optional<Outcome<In, Branches>> current_;
  std::uint64_t pulled_ = 0;
  bool over_ = false;  // nothing more is pulled
  std::exception_ptr thrown_;

  std::mutex mutex_;
  std::condition_variable changed_;
  HaltCount halt_count_;
  bool halted_ = false;  // guarded by the lock, as the count
};

// ---------------------------------------------------------------------------------------------------------------------

template <class In, class Tasks>
BranchStreamed<In, Tasks>::~BranchStreamed() {
  current_.reset();
  for (const auto& batch : batches_) {
    if (batch->run) batch->run->cancel();
  }
  while (!batches_.empty()) drop_front();
}

template <class In, class Tasks>
Outcome<In, Branches>* BranchStreamed<In, Tasks>::next() {
  current_.reset();
  for (;;) {
    launch_more();
    if (batches_.empty()) {
      end();
      return nullptr;
    }
    std::unique_lock lock(mutex_);
    for (const auto& batch : batches_) {
      if (const std::size_t slot = take_done(*batch); slot != npos) {
        current_.emplace(batch->store->outcome(slot, batch));
        return &*current_;
      }
      if (ordered_) break;
    }
    if (batches_.front()->handed_out == batches_.front()->store->size()) {
      lock.unlock();
      drop_front();
    } else {
      changed_.wait(lock);
    }
  }
}

/// Has two runs at a time, as long as there are tasks.
template <class In, class Tasks>
void BranchStreamed<In, Tasks>::launch_more() {
  while (batches_.size() < 2 && !over_ && !halted()) {
    TaskListOf<In> tasks = pull();
    if (tasks.empty()) return;
    auto batch = std::make_shared<Batch>();
    batch->store = std::make_shared<Store<In, Branches>>();
    batch->done.reserve(tasks.size());
    if (ordered_) batch->is_done = Array<bool>(new bool[tasks.size()]());
    Array<std::uint64_t> numbers{new std::uint64_t[tasks.size()]};
    for (std::size_t slot = 0; slot != tasks.size(); ++slot) numbers[slot] = pulled_++;
    batch->store->adopt(std::move(tasks));
    batch->store->set_numbers(std::move(numbers));
    batches_.push_back(batch);
    batch->run.emplace(launch_tree<In, Branches>(tree_, batch->store, nullptr, Teller{this, batch.get()}, stop_));
  }
}

template <class In, class Tasks>
TaskListOf<In> BranchStreamed<In, Tasks>::pull() {
  TaskListOf<In> tasks;
  const auto until = Clock::now() + moment;
  try {
    while (tasks.size() != together_ && !over_) {
      over_ = stop_.stop_requested() || halted() || source_.advance() == Next::end;
      if (over_) break;
      std::optional<In> room;
      static_cast<void>(source_.take(room));
      tasks.emplace_back(std::move(*room));
      if (Clock::now() >= until) break;
    }
  } catch (...) {
    thrown_ = std::current_exception();
    over_ = true;
  }
  return tasks;
}

/// Says whether the stream is halted.
template <class In, class Tasks>
bool BranchStreamed<In, Tasks>::note(Batch& batch, std::size_t slot) noexcept {
  const State state = batch.store->slot(slot).state();
  const std::scoped_lock lock(mutex_);
  if (ordered_) batch.is_done[slot] = true;
  else batch.done.push_back(slot);  // there is room for all
  changed_.notify_one();
  if (state != State::cancelled && halt_count_.note(state == State::failed)) halted_ = true;
  return halted_;
}

/// With the lock held.
template <class In, class Tasks>
std::size_t BranchStreamed<In, Tasks>::take_done(Batch& batch) noexcept {
  if (ordered_) {
    if (batch.handed_out == batch.store->size() || !batch.is_done[batch.handed_out]) return npos;
    return batch.handed_out++;
  }
  if (batch.done.empty()) return npos;
  const std::size_t slot = batch.done.back();
  batch.done.pop_back();
  ++batch.handed_out;
  return slot;
}

/// Its run has nothing more to tell.
template <class In, class Tasks>
void BranchStreamed<In, Tasks>::drop_front() noexcept {
  try {
    if (batches_.front()->run) look_at(batches_.front()->run->wait());
  } catch (...) {
    if (thrown_ == nullptr) thrown_ = std::current_exception();
    over_ = true;
  }
  batches_.pop_front();
}

/// What a manager counts, it counts anew in each run: here for all of them.
template <class In, class Tasks>
void BranchStreamed<In, Tasks>::look_at(const Report& report) noexcept {
  bool halts = report.cancelled != 0;  // it was halted, or is to stop
  for (std::size_t k = 0; k != report.stages().size(); ++k) {
    const Progress& more = report.stages()[k].progress;
    Progress& sum = of_stages_[k];
    sum.succeeded += more.succeeded;
    sum.failed += more.failed;
    halts = halts || detail::halts(tree_.stages[k]->options().halt, sum.failed, sum.succeeded + sum.failed);
  }
  const std::scoped_lock lock(mutex_);
  halted_ = halted_ || halts;
}

template <class In, class Tasks>
void BranchStreamed<In, Tasks>::end() {
  running_.end();
  if (const std::exception_ptr thrown = std::exchange(thrown_, nullptr)) std::rethrow_exception(thrown);
}

}  // namespace taskmgr::detail
