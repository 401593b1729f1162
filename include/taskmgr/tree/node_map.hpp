// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The results of a node of a tree with branches, by initial task.

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "../core/error.hpp"
#include "../core/hash_index.hpp"
#include "../core/report.hpp"
#include "../core/store.hpp"
#include "branch_record.hpp"
#include "node.hpp"
#include "report.hpp"
#include "trace.hpp"

namespace taskmgr {

/// From initial tasks to the results that they have at a node, in source order. It owns what it shows.
///
/// Of a task that stands in the source several times, none of which is a duplicate, `at` and `find` show the last. Thread safety:
/// any number of threads may read.
template <class In, class T>
class NodeMap {
  struct Show;

 public:
  using key_type = In;
  using mapped_type = NodeResults<T>;
  using value_type = std::pair<const In&, NodeResults<T>>;
  using iterator = detail::SlotIterator<Show>;
  using const_iterator = iterator;
  using Store = detail::Store<In, Branches>;

  /// Throws `std::out_of_range` where the run had no such task. O(1) expected, and O(what it shows); O(size) for tasks without a
  /// hash, and where duplicates were run.
  [[nodiscard]] NodeResults<T> at(const In& task) const {
    if (const std::size_t slot = slot_of(task); slot != size()) return show()(slot).second;
    throw std::out_of_range("taskmgr: results().at(): the run had no such task");
  }
  [[nodiscard]] iterator find(const In& task) const { return {show(), slot_of(task)}; }
  [[nodiscard]] bool contains(const In& task) const { return slot_of(task) != size(); }

  /// Of initial tasks that were no duplicates.
  [[nodiscard]] std::size_t size() const noexcept { return store_->size(); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] iterator begin() const noexcept { return {show(), 0}; }
  [[nodiscard]] iterator end() const noexcept { return {show(), size()}; }

  /// For the library.
  NodeMap(std::shared_ptr<Store> store, std::shared_ptr<const detail::BranchRecord> record, const Node<T>& node)
      : place_(std::make_shared<Place>(Place{detail::NodePlace<T>{*record, node}, std::move(store), record})),
        store_(place_->store.get()) {}

 private:
  struct Place {
    detail::NodePlace<T> node;
    std::shared_ptr<Store> store;
    std::shared_ptr<const detail::BranchRecord> record;
  };
  struct Show {
    using value_type = std::pair<const In&, NodeResults<T>>;
    std::shared_ptr<const Place> place = nullptr;
    [[nodiscard]] std::size_t next(std::size_t slot) const noexcept { return slot; }
    [[nodiscard]] value_type operator()(std::size_t slot) const {
      return {std::as_const(*place->store).task(slot), NodeResults<T>{place->node.results(slot), place}};
    }
  };
  [[nodiscard]] Show show() const noexcept { return {place_}; }
  [[nodiscard]] std::size_t slot_of(const In& task) const {
    const std::size_t slot = detail::slot_of(*store_, task);
    return slot != detail::HashIndex::npos ? slot : size();
  }

  std::shared_ptr<const Place> place_;
  const Store* store_;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class In, class Out>
template <class T>
  requires std::is_same_v<Out, Branches>
NodeMap<In, T> TreeReport<In, Out>::results(const Node<T>& node) const {
  if (record_.record == nullptr) throw UsageError("taskmgr: results() of a report of no run");
  return {detail::ReportAccess::share_store(*this), record_.record, node};
}

}  // namespace taskmgr
