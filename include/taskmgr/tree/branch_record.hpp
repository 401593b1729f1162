// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a run of a tree with branches has made, as its report shows it: results by node, and the ways of initial tasks.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../core/error.hpp"
#include "../core/hash.hpp"
#include "../core/hash_index.hpp"
#include "../core/list.hpp"
#include "../core/report.hpp"
#include "../core/store.hpp"
#include "intake.hpp"
#include "item_state.hpp"
#include "node.hpp"
#include "report.hpp"
#include "trace.hpp"

namespace taskmgr::detail {

/// The nodes of a run, in the order in which they were added to their tree: each comes after those that it takes from.
///
/// Thread safety: once the run is over, or of what is final, any number of threads may read.
class BranchRecord {
 public:
  explicit BranchRecord(std::uint64_t tree) noexcept : tree_(tree) {}
  BranchRecord(const BranchRecord&) = delete;
  BranchRecord& operator=(const BranchRecord&) = delete;

  void add(Owner<AnyNodeRun> node) { nodes_.push_back(std::move(node)); }
  [[nodiscard]] std::size_t size() const noexcept { return nodes_.size(); }
  [[nodiscard]] AnyNodeRun& node(std::size_t k) const noexcept { return *nodes_[k]; }
  template <class T>
  [[nodiscard]] Outlet<T>& outlet(std::size_t node, std::size_t k) const noexcept {
    return static_cast<Outlet<T>&>(nodes_[node]->outlet(k));
  }

  /// Throws `UsageError` if this run had no such node.
  template <class T>
  void require(const Node<T>& node) const;

 private:
  const std::uint64_t tree_;
  List<Owner<AnyNodeRun>> nodes_;
};

/// Where the results of a node are.
template <class T>
class NodePlace {
 public:
  NodePlace(const BranchRecord& record, const Node<T>& node) {
    record.require(node);
    const std::size_t index = NodeAccess::index(node);
    path_ = path_to(record.node(index));
    if (const std::size_t k = NodeAccess::outlet(node); k != NodeAccess::whole) outlet_ = &record.outlet<T>(index, k);
  }
  /// Those of one initial task. Throws `UsageError` if a merge has taken them away.
  [[nodiscard]] std::vector<const T*> results(std::size_t initial) const;

 private:
  NodePath path_;
  const Outlet<T>* outlet_ = nullptr;  // null: what all of them give
};

/// Finds what a node has done with a task by where that lies; what belongs to an initial task as a whole, by the number of that.
template <class Key>
class LyingTasks {
 public:
  explicit LyingTasks(bool numbered) noexcept : numbered_(numbered) {}
  std::size_t& place(const Event& event) {
    const Key key = numbered_ ? event.task : reinterpret_cast<std::uintptr_t>(event.subject);
    known_.make_room(1);
    index_.make_room(known_.size() + 1, known_.size() + 1, [this](std::size_t k) { return KeyHash<Key>{}(known_[k].key); });
    const std::size_t found =
        index_.find_or_insert(KeyHash<Key>{}(key), known_.size(), [&](std::size_t k) { return known_[k].key == key; });
    if (found != HashIndex::npos) return known_[found].place;
    known_.push_back({key, 0});
    return known_.back().place;
  }
  [[nodiscard]] std::size_t find(Key key) const noexcept {
    const std::size_t found = index_.find(KeyHash<Key>{}(key), [&](std::size_t k) { return known_[k].key == key; });
    return found != HashIndex::npos ? known_[found].place : 0;
  }

 private:
  struct Known {
    Key key;
    std::size_t place;
  };
  const bool numbered_;
  List<Known> known_;
  HashIndex index_;
};

/// The ways through all nodes of a run.
template <class Hop>
class BranchTrace final : public AnyTrace<Hop> {
 public:
  using NodeTrace = HopList<Hop, LyingTasks<std::uint64_t>>;

  explicit BranchTrace(std::shared_ptr<const BranchRecord> record) noexcept : record_(std::move(record)) {}
  /// Of the next node.
  std::shared_ptr<NodeTrace> add(const std::string& stage) {
    const std::size_t index = nodes_.size();
    nodes_.push_back(std::make_shared<NodeTrace>(stage, index, LyingTasks<std::uint64_t>{record_->node(index).inlet() == nullptr}));
    return nodes_.back();
  }

  /// The root, then each item with all that was made of it, in split order, then the merges.
  [[nodiscard]] std::vector<Hop> way(std::size_t slot, std::uint64_t number) const override {
    std::vector<Hop> way;
    std::vector<std::size_t> merged;  // where those of merges stand
    for (std::size_t k = 0; k != record_->size(); ++k) {
      if (record_->node(k).inlet() != nullptr) continue;
      const std::size_t before = way.size();
      follow(record_->node(k), slot, number, way);
      if (before != 0 && way.size() != before) merged.push_back(before);
    }
    for (const std::size_t at : merged) {  // it is queued when all of the lower ranks is final
      for (const Hop& hop : way) {
        const bool is_before = record_->node(hop.stage_index).rank() < record_->node(way[at].stage_index).rank();
        if (is_before) way[at].queued = std::max(way[at].queued, hop.finished);
      }
    }
    return way;
  }

 private:
  void follow(AnyNodeRun& node, std::size_t item, std::uint64_t key, std::vector<Hop>& way) const;

  std::shared_ptr<const BranchRecord> record_;
  std::vector<std::shared_ptr<NodeTrace>> nodes_;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class T>
void BranchRecord::require(const Node<T>& node) const {
  if (NodeAccess::tree(node) != tree_) throw UsageError("taskmgr: results() at a node of another tree: pass one that this tree gave");
  if (NodeAccess::index(node) >= size()) throw UsageError("taskmgr: results() at a node that was added after this run");
}

template <class T>
std::vector<const T*> NodePlace<T>::results(std::size_t initial) const {
  std::vector<const T*> all;
  const auto require_there = [](bool is_there) {
    if (!is_there) throw UsageError("taskmgr: results() of what a merge has taken, for it cannot be copied: ask for the merge's");
  };
  if (outlet_ == nullptr) {
    walk(path_, 0, initial, [&](std::size_t depth, std::size_t k) {
      const ItemState& item = path_[depth]->item(k);
      if (depth + 1 != path_.size() || item.state != State::succeeded) return true;
      require_there(path_[depth]->outlet(item.outlet).has(item.first));
      all.push_back(static_cast<const T*>(path_[depth]->value(k)));
      return true;
    });
    return all;
  }
  walk_to(path_, *outlet_, initial, [&](std::size_t item) {
    require_there(outlet_->has(item));
    all.push_back(outlet_->find(item));
  });
  return all;
}

template <class Hop>
void BranchTrace<Hop>::follow(AnyNodeRun& node, std::size_t k, std::uint64_t key, std::vector<Hop>& way) const {
  k = node.leader(k);
  if (node.inlet() != nullptr) key = reinterpret_cast<std::uintptr_t>(node.task_of(k));
  const Hop* const hop = nodes_[node.index()]->hop(key);
  if (hop == nullptr) return;
  way.push_back(*hop);
  const ItemState& item = node.item(k);
  for (std::size_t made = item.first; made != item.first + item.count; ++made) {
    for (AnyNodeRun* taker : node.outlet(item.outlet).takers()) {
      if (!taker->has(made)) continue;
      const std::size_t before = way.size();
      follow(*taker, made, 0, way);
      if (way.size() != before) way[before].queued = std::min(hop->finished, way[before].started);  // who made it hands it on
    }
  }
}

}  // namespace taskmgr::detail

template <class T>
taskmgr::NodeResults<T> taskmgr::Branches::results(const Node<T>& node) const {
  return {detail::NodePlace<T>{*record_, node}.results(slot_), record_};
}
