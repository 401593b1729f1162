// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A run of a tree with branches. It ends by counting: of each initial task the items that are not final yet.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <stop_token>
#include <utility>
#include <vector>

#include "../core/list.hpp"
#include "branch.hpp"
#include "branch_record.hpp"
#include "ledger.hpp"
#include "tree_run.hpp"

namespace taskmgr::detail {

template <class In, class Sink>
class BranchRun;

template <class In>
struct TreeParts<In, Branches> {
  using State = BranchState;
  template <class Sink>
  using Run = BranchRun<In, Sink>;
};

/// `TreeRun`, of nodes.
///
/// An initial task goes through ranks: when all that came of the root is final, the merges that take from there are due; when they
/// and all that came of them are final, those of the next rank; after the last, its outcome is known.
template <class In, class Sink>
class BranchRun final : private AnyTrunk, private AnyTreeRun<In, Branches, Sink> {
  using Base = AnyTreeRun<In, Branches, Sink>;

 public:
  BranchRun(const BranchState& tree, std::shared_ptr<Store<In, Branches>> store, std::exception_ptr source, Sink* sink,
            std::stop_token stop, Clock::time_point began)
      : Base(tree, std::move(store), std::move(source), sink, job_of<&BranchRun::halt>(*this), false, began),
        record_(std::make_shared<BranchRecord>(tree.number)),
        counts_(new Count[store_->size()]()) {
    if (this->options_.trace) trace_ = std::make_shared<BranchTrace<Hop>>(record_);
    for (std::size_t k = 0; k != this->stages_.size(); ++k) add(tree, k, stop);
    for (std::size_t rank = 0; rank != ranks_.size(); ++rank) {  // a node of a lower rank may have been added later
      for (std::size_t k = 0; k != this->stages_.size(); ++k) {
        if (tree.nodes[k]->rank() == rank) runs_.next_in_order(k);
      }
    }
    runs_.connected();
  }

  void drive() noexcept { runs_.drive(this->at_once()); }
  /// After `drive`; `thrown` is what is to be rethrown.
  [[nodiscard]] TreeReport<In, Branches> finish(std::exception_ptr& thrown) noexcept;
  [[nodiscard]] Progress progress() const noexcept;

 private:
  using Base::ledger_;
  using Base::store_;

  struct Count {
    std::atomic<std::size_t> open{1};  // of this rank: those that belong to the initial task as a whole
    std::size_t rank = 0;
  };
  struct Rank {
    List<AnyNodeRun*> begins;           // the root, or merges
    std::atomic<std::size_t> alive{0};  // nodes that may still give on something
  };
  static constexpr std::size_t usual_capacity = 1024;  // as between the stages of a chain

  void add(const BranchState& tree, std::size_t k, const std::stop_token& stop);
  void halt() noexcept { runs_.halt(); }

  // --- AnyTrunk
  void settled(std::size_t initial) noexcept override {
    if (counts_[initial].open.fetch_sub(1, std::memory_order_acq_rel) == 1) next_rank(initial);
  }
  void ended(const AnyNodeRun& node) noexcept override;
  [[nodiscard]] ErrorList& errors() noexcept override { return store_->errors(); }
  [[nodiscard]] std::uint64_t number(std::size_t initial) const noexcept override { return store_->number(initial); }
  void add_duration(std::size_t initial, std::chrono::nanoseconds duration) noexcept override {
    const std::scoped_lock lock(durations_);
    ledger_.add_duration(initial, duration);
  }

  void next_rank(std::size_t initial) noexcept;
  void settle(std::size_t initial) noexcept;

  std::shared_ptr<BranchRecord> record_;
  std::shared_ptr<BranchTrace<Hop>> trace_;
  Array<Count> counts_;      // by initial task
  Segments<Rank> ranks_;
  std::mutex durations_;
  std::atomic<std::size_t> ended_[3]{};  // initial tasks that have succeeded, failed, been cancelled
  typename Base::Runs runs_;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class In, class Sink>
void BranchRun<In, Sink>::add(const BranchState& tree, std::size_t k, const std::stop_token& stop) {
  const AnyStage& stage = *this->stages_[k];
  const AnyBranch& branch = *tree.nodes[k];
  const std::size_t capacity = this->options_.capacity != 0 ? this->options_.capacity : usual_capacity;
  StagePlace place{stage_name(stage, k), k};
  Owner<AnyNodeRun> made = branch.run({.trunk = *this,
                                       .index = k,
                                       .rank = branch.rank(),
                                       .initials = store_->size(),
                                       .capacity = this->at_once() ? capacity : std::numeric_limits<std::size_t>::max(),
                                       .shares = stage.shares(),
                                       .place = place},
                                      *record_, store_.get());
  AnyNodeRun& node = *made;
  record_->add(std::move(made));
  ranks_.grow_to(node.rank() + 1);
  Rank& rank = ranks_[node.rank()];
  if (node.inlet() == nullptr) rank.begins.push_back(&node);
  rank.alive.fetch_add(1);
  Hub::Observers observers = copy_of(tree.observers);
  if (trace_ != nullptr) observers.push_back(trace_->add(place.name));
  Owner<AnyStageRun> run = stage.run(std::move(place), this->terms(observers, node, stop));
  node.run_by(*run);
  runs_.add(std::move(run));
}

template <class In, class Sink>
void BranchRun<In, Sink>::ended(const AnyNodeRun& node) noexcept {
  if (ranks_[node.rank()].alive.fetch_sub(1) != 1 || node.rank() + 1 == ranks_.size()) return;
  for (AnyNodeRun* merge : ranks_[node.rank() + 1].begins) merge->end_gathering();
}

template <class In, class Sink>
void BranchRun<In, Sink>::next_rank(std::size_t initial) noexcept {
  Count& count = counts_[initial];
  if (++count.rank == ranks_.size()) return settle(initial);
  const List<AnyNodeRun*>& merges = ranks_[count.rank].begins;
  count.open.store(merges.size(), std::memory_order_relaxed);
  for (AnyNodeRun* merge : merges) merge->gather(initial);
}

/// All that came of an initial task is final.
template <class In, class Sink>
void BranchRun<In, Sink>::settle(std::size_t initial) noexcept {
  State sum = State::succeeded;
  std::uint32_t error = 0;
  for (std::size_t rank = 0; rank != ranks_.size() && sum != State::failed; ++rank) {
    for (const AnyNodeRun* node : ranks_[rank].begins) {
      const ItemState& item = node->item(initial);
      if (item.sum == State::succeeded) continue;
      sum = item.sum;
      error = item.error;
      if (sum == State::failed) break;
    }
  }
  const int attempts = record_->node(0).item(initial).attempts;
  ended_[sum == State::succeeded ? 0 : sum == State::failed ? 1 : 2].fetch_add(1, std::memory_order_relaxed);
  switch (sum) {
    case State::succeeded: return ledger_.succeed(initial, Branches{record_, initial}, attempts);
    case State::failed: return ledger_.fail_by(initial, error, store_->errors()[error].attempts());
    default: return ledger_.cancel(initial, attempts);
  }
}

template <class In, class Sink>
TreeReport<In, Branches> BranchRun<In, Sink>::finish(std::exception_ptr& thrown) noexcept {
  auto report = Base::finish(runs_, thrown, [this] {
    for (std::size_t k = record_->size(); k-- > 0;) record_->node(k).close();
    for (std::size_t slot = 0; slot != store_->size(); ++slot) {
      if (store_->slot(slot).state() == State::pending) settle(slot);
    }
  });
  report.set_record({record_});
  report.set_trace(std::move(trace_));
  return report;
}

template <class In, class Sink>
Progress BranchRun<In, Sink>::progress() const noexcept {
  Progress now = this->progress_of(runs_);
  now.succeeded = ended_[0].load(std::memory_order_relaxed);
  now.failed = ended_[1].load(std::memory_order_relaxed);
  now.cancelled = ended_[2].load(std::memory_order_relaxed);
  return now;
}

}  // namespace taskmgr::detail
