// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How a run of a tree with branches counts its live items, and knows when all that came of one is final.
///
/// A node takes *items*, its tasks, and gives on what it makes of them at its *outlets*: one for all results, or one for each
/// type. An outlet's items are numbered as they come to be; each node that takes from it takes all of them, so an item has the
/// same number in all of those.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "../core/error.hpp"
#include "../core/list.hpp"
#include "../core/outcome.hpp"
#include "../run/job.hpp"
#include "ledger.hpp"
#include "segments.hpp"

namespace taskmgr::detail {

/// What one item has come to in one node, and all that was made of it there.
struct ItemState {
  static constexpr std::size_t nobody = std::numeric_limits<std::size_t>::max();
  static constexpr std::size_t nobody_any_more = nobody - 1;

  std::atomic<std::size_t> open{1};             // itself, until it has its outcome, and what was made of it and is not final
  std::atomic<std::size_t> followers{nobody};   // items that share its outcome, the first of a list; until it is final
  std::atomic<unsigned> below{0};               // `bit_of` of what was made of it and has not succeeded
  std::size_t next = nobody;                    // of those who follow the same
  std::size_t leader = nobody;                  // whom it follows: an equal item came before it
  std::size_t first = 0;                        // what was made of it: so many items from this one on, at this outlet
  std::size_t count = 0;
  std::size_t outlet = 0;
  int attempts = 0;
  std::uint32_t error = 0;                      // of the first that failed, it or what was made of it
  State state = State::pending;                 // its own
  State sum = State::pending;                   // of it and of all that was made of it, once that is final

  static constexpr unsigned bit_of(State state) noexcept {
    return state == State::failed ? 2U : state == State::succeeded ? 0U : 1U;
  }
  /// A failure counts most, then a cancel.
  [[nodiscard]] State summed_up() const noexcept {
    const unsigned all = bit_of(state) | below.load(std::memory_order_relaxed);
    return (all & 2U) != 0 ? State::failed : all != 0 ? State::cancelled : State::succeeded;
  }
};

class AnyNodeRun;

/// Where a node gives its items on.
class AnyOutlet {
 public:
  explicit AnyOutlet(AnyNodeRun& node) noexcept : node_(node) {}
  AnyOutlet(const AnyOutlet&) = delete;
  AnyOutlet& operator=(const AnyOutlet&) = delete;

  [[nodiscard]] AnyNodeRun& node() const noexcept { return node_; }
  /// What the node made this of.
  [[nodiscard]] std::size_t maker(std::size_t item) const noexcept { return makers_[item]; }
  [[nodiscard]] const List<AnyNodeRun*>& takers() const noexcept { return takers_; }
  void lead_to(AnyNodeRun& taker) { takers_.push_back(&taker); }

  // --- for those who take

  // Both are news to one who may rest, so they are of the one order that `Crew::rest_for` asks for.

  /// So many items are there to be taken.
  [[nodiscard]] std::size_t shown() const noexcept { return shown_.load(); }
  /// No more come than are shown now.
  [[nodiscard]] bool closed() const noexcept { return closed_.load(); }

  /// No merge has taken the item away.
  [[nodiscard]] virtual bool has(std::size_t item) const noexcept = 0;

 protected:
  ~AnyOutlet() = default;

  AnyNodeRun& node_;
  List<AnyNodeRun*> takers_;
  Segments<std::size_t> makers_;
  std::size_t size_ = 0;
  std::atomic<std::size_t> shown_{0};
  std::atomic<bool> closed_{false};
};

/// What all nodes of a run have in common.
class AnyTrunk {
 public:
  AnyTrunk() = default;
  AnyTrunk(const AnyTrunk&) = delete;
  AnyTrunk& operator=(const AnyTrunk&) = delete;
  virtual ~AnyTrunk() = default;

  /// An item that came of no other, the root's or a merge's, is final, and so is all that was made of it.
  virtual void settled(std::size_t initial) noexcept = 0;
  /// A node has given on all that it will.
  virtual void ended(const AnyNodeRun& node) noexcept = 0;

  [[nodiscard]] virtual ErrorList& errors() noexcept = 0;
  /// The index in the source of an initial task.
  [[nodiscard]] virtual std::uint64_t number(std::size_t initial) const noexcept = 0;
  virtual void add_duration(std::size_t initial, std::chrono::nanoseconds duration) noexcept = 0;
};

/// A node in a run, whatever its types are. It stays with the report, for what it has made.
///
/// Thread safety: items are grown and get their outcomes by the thread that drives the node's stage; what is said of final
/// items comes from any.
class AnyNodeRun : public AnyLedger {
 public:
  AnyNodeRun(AnyTrunk& trunk, std::size_t index, std::size_t rank, AnyOutlet* inlet) noexcept
      : trunk_(trunk), index_(index), rank_(rank), inlet_(inlet) {}

  [[nodiscard]] std::size_t index() const noexcept { return index_; }
  /// How many merges lie before it, one behind the other.
  [[nodiscard]] std::size_t rank() const noexcept { return rank_; }
  /// Where its items come from; null: each belongs to the initial task of its own number.
  [[nodiscard]] AnyOutlet* inlet() const noexcept { return inlet_; }
  [[nodiscard]] virtual AnyOutlet& outlet(std::size_t k) noexcept = 0;
  /// The result of an item that has succeeded, whatever its type is.
  [[nodiscard]] virtual const void* value(std::size_t item) const noexcept = 0;
  /// Where the item lies; null for one that belongs to the initial task as a whole.
  [[nodiscard]] virtual const void* task_of([[maybe_unused]] std::size_t item) const noexcept { return nullptr; }

  /// So many of its items have been looked at.
  [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
  [[nodiscard]] ItemState& item(std::size_t k) const noexcept { return items_[k]; }
  /// It has looked for items as far as this one: there is none of those behind it, if the run ended first.
  [[nodiscard]] bool has(std::size_t k) const noexcept { return items_.has(k); }
  /// Whose outcome an item has.
  [[nodiscard]] std::size_t leader(std::size_t k) const noexcept {
    return items_[k].leader != ItemState::nobody ? items_[k].leader : k;
  }
  [[nodiscard]] std::size_t initial(std::size_t k) const noexcept;

  // --- the stage that runs it

  virtual void run_by(class AnyStageRun& run) noexcept = 0;
  /// It looks for items now and then, without being nudged.
  [[nodiscard]] bool looks() const noexcept { return looks_; }
  /// There are items to take, or their end, or room to give on.
  void nudge() noexcept { nudge_(); }
  /// By the node before: so many more items wait.
  void expect(std::size_t items) noexcept { waiting_.fetch_add(items); }
  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.load(); }
  /// A merge: all that belongs to an initial task is final.
  virtual void gather(std::size_t) noexcept {}
  /// A merge: nothing more is to be gathered.
  virtual void end_gathering() noexcept {}

  // --- AnyLedger
  void fail(std::size_t k, const TaskError& error, const std::string& stage, std::size_t index) noexcept override {
    fail_by(k, trunk_.errors().add(error, stage, index), error.attempts());
  }
  void cancel(std::size_t k, int attempts) noexcept override {
    items_[k].state = State::cancelled;
    items_[k].attempts = attempts;
    close_one(k);
  }
  // `inline` already here: else every file that includes this header compiles the class, used or not
  inline void join(std::size_t k, std::size_t leader) noexcept override;
  void add_duration(std::size_t k, std::chrono::nanoseconds duration) noexcept override {
    trunk_.add_duration(initial(k), duration);
  }
  [[nodiscard]] std::uint64_t number(std::size_t k) const noexcept override { return trunk_.number(initial(k)); }

  /// The run is over, and all nodes behind this one have been closed: what is not final was cancelled.
  void close() noexcept;

 protected:
  void fail_by(std::size_t k, std::uint32_t error, int attempts) noexcept {
    items_[k].state = State::failed;
    items_[k].attempts = attempts;
    items_[k].error = error;
    close_one(k);
  }
  /// It has its outcome, or one that was made of it is final.
  void close_one(std::size_t k) noexcept {
    if (items_[k].open.fetch_sub(1, std::memory_order_acq_rel) == 1) finish(k);
  }

  AnyTrunk& trunk_;
  const std::size_t index_;
  const std::size_t rank_;
  AnyOutlet* const inlet_;
  Segments<ItemState> items_;
  std::atomic<std::size_t> waiting_{0};  // items that are shown and not taken
  Job nudge_{nullptr, nullptr};
  bool looks_ = false;

 private:
  void finish(std::size_t k) noexcept;
  void follow(std::size_t k, std::size_t leader) noexcept;
  void sum_up(std::size_t k) noexcept;
  void tell(std::size_t k) noexcept;
};

// ---------------------------------------------------------------------------------------------------------------------

inline std::size_t AnyNodeRun::initial(std::size_t k) const noexcept {
  const AnyNodeRun* node = this;
  while (node->inlet_ != nullptr) {
    k = node->inlet_->maker(k);
    node = &node->inlet_->node();
  }
  return k;
}

/// An equal item came before this one, and is on its way, or final.
inline void AnyNodeRun::join(std::size_t k, std::size_t leader) noexcept {
  items_[k].leader = leader;
  std::atomic<std::size_t>& followers = items_[leader].followers;
  std::size_t head = followers.load(std::memory_order_acquire);
  do {
    if (head == ItemState::nobody_any_more) return follow(k, leader);
    items_[k].next = head;
  } while (!followers.compare_exchange_weak(head, k, std::memory_order_acq_rel, std::memory_order_acquire));
}

/// It and all that was made of it is final.
inline void AnyNodeRun::finish(std::size_t k) noexcept {
  sum_up(k);
  std::size_t follower = items_[k].followers.exchange(ItemState::nobody_any_more, std::memory_order_acq_rel);
  tell(k);
  while (follower != ItemState::nobody) {
    const std::size_t next = items_[follower].next;  // it may be the last that the run waits for
    follow(follower, k);
    follower = next;
  }
}

inline void AnyNodeRun::follow(std::size_t k, std::size_t leader) noexcept {
  items_[k].state = items_[leader].state;
  items_[k].attempts = items_[leader].attempts;
  items_[k].error = items_[leader].error;
  items_[k].sum = items_[leader].sum;
  tell(k);
}

inline void AnyNodeRun::sum_up(std::size_t k) noexcept {
  ItemState& item = items_[k];
  item.sum = item.summed_up();
  if (item.sum != State::failed || item.state == State::failed) return;
  const List<AnyNodeRun*>& takers = this->outlet(item.outlet).takers();
  for (std::size_t made = item.first; made != item.first + item.count; ++made) {
    for (const AnyNodeRun* taker : takers) {
      if (!taker->has(made) || taker->item(made).sum != State::failed) continue;
      item.error = taker->item(made).error;
      return;
    }
  }
}

inline void AnyNodeRun::tell(std::size_t k) noexcept {
  if (inlet_ == nullptr) return trunk_.settled(k);
  AnyNodeRun& before = inlet_->node();
  const std::size_t maker = inlet_->maker(k);
  if (items_[k].sum != State::succeeded) {
    before.items_[maker].below.fetch_or(ItemState::bit_of(items_[k].sum), std::memory_order_relaxed);
  }
  before.close_one(maker);
}

inline void AnyNodeRun::close() noexcept {
  for (std::size_t k = 0; k != size(); ++k) {
    ItemState& item = items_[k];
    if (item.sum != State::pending) continue;
    if (item.leader != ItemState::nobody) {  // which was closed before: it has a lower number
      item.state = items_[item.leader].state;
      item.error = items_[item.leader].error;
      item.sum = items_[item.leader].sum;
      continue;
    }
    if (item.state == State::pending) item.state = State::cancelled;
    for (std::size_t made = item.first; made != item.first + item.count; ++made) {
      for (const AnyNodeRun* taker : this->outlet(item.outlet).takers()) {
        const State sum = taker->has(made) ? taker->item(made).sum : State::cancelled;
        item.below.fetch_or(ItemState::bit_of(sum), std::memory_order_relaxed);
      }
    }
    sum_up(k);
  }
}

}  // namespace taskmgr::detail
