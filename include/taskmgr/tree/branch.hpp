// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A node of a tree with branches while nothing runs.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "../core/list.hpp"
#include "branch_record.hpp"
#include "node_run.hpp"
#include "tree_run.hpp"

namespace taskmgr::detail {

/// Where a node takes from.
struct Source {
  std::size_t node;
  std::size_t outlet;
  [[nodiscard]] bool operator==(const Source&) const = default;
};

template <class... From>
[[nodiscard]] List<Source> sources(const From&... from) {
  List<Source> all;
  (all.push_back(from), ...);
  return all;
}

/// A node, whatever its types are: how it is made for a run. Its stage is kept beside it.
///
/// Thread safety: immutable.
class AnyBranch {
 public:
  AnyBranch(List<Source> sources, std::size_t rank) noexcept : sources_(std::move(sources)), rank_(rank) {}
  AnyBranch(const AnyBranch&) = delete;
  AnyBranch& operator=(const AnyBranch&) = delete;
  virtual ~AnyBranch() = default;

  [[nodiscard]] const List<Source>& sources() const noexcept { return sources_; }
  /// How many merges lie before it, one behind the other, itself among them.
  [[nodiscard]] std::size_t rank() const noexcept { return rank_; }
  [[nodiscard]] virtual bool merges() const noexcept { return false; }
  /// `tasks` is the store of the initial ones.
  [[nodiscard]] virtual Owner<AnyNodeRun> run(NodeTerms terms, const BranchRecord& before, const void* tasks) const = 0;

 private:
  const List<Source> sources_;
  const std::size_t rank_;
};

template <class In, class Yield>
class RootBranch final : public AnyBranch {
 public:
  using Handle = typename Yield::Handle;
  static constexpr std::size_t outlet = Yield::of_handle;
  using AnyBranch::AnyBranch;
  [[nodiscard]] Owner<AnyNodeRun> run(NodeTerms terms, const BranchRecord&, const void* tasks) const override {
    return Owner<AnyNodeRun>{
        new NodeRun<RootIntake<In>, Yield>(std::move(terms), *static_cast<const Store<In, Branches>*>(tasks))};
  }
};

template <class T, class Yield>
class ItemBranch final : public AnyBranch {
 public:
  using Handle = typename Yield::Handle;
  static constexpr std::size_t outlet = Yield::of_handle;
  using AnyBranch::AnyBranch;
  [[nodiscard]] Owner<AnyNodeRun> run(NodeTerms terms, const BranchRecord& before, const void*) const override {
    const Source& source = this->sources()[0];
    return Owner<AnyNodeRun>{new NodeRun<ItemIntake<T>, Yield>(std::move(terms), before.outlet<T>(source.node, source.outlet))};
  }
};

template <class Yield, class... T>
class MergeBranch final : public AnyBranch {
 public:
  using Handle = typename Yield::Handle;
  static constexpr std::size_t outlet = Yield::of_handle;
  using AnyBranch::AnyBranch;
  [[nodiscard]] bool merges() const noexcept override { return true; }
  [[nodiscard]] Owner<AnyNodeRun> run(NodeTerms terms, const BranchRecord& before, const void*) const override {
    return make(std::move(terms), before, std::index_sequence_for<T...>{});
  }

 private:
  template <std::size_t... I>
  [[nodiscard]] Owner<AnyNodeRun> make(NodeTerms terms, const BranchRecord& before, std::index_sequence<I...>) const {
    const List<Source>& from = this->sources();
    return Owner<AnyNodeRun>{
        new NodeRun<MergeIntake<T...>, Yield>(std::move(terms), before.outlet<T>(from[I].node, from[I].outlet)...)};
  }
};

/// The inside of a tree with branches: a node for each stage.
struct BranchState : TreeState {
  List<Owner<const AnyBranch>> nodes;
  const std::uint64_t number = next_number();  // of this tree alone: its address may be another's later on

  /// The stages that a stage takes from.
  template <class Indices = std::vector<std::size_t>>
  [[nodiscard]] Indices before(std::size_t k) const {
    Indices all;
    for (const Source& source : nodes[k]->sources()) {
      if (std::find(all.begin(), all.end(), source.node) == all.end()) all.push_back(source.node);
    }
    return all;
  }

 private:
  static std::uint64_t next_number() noexcept {
    static std::atomic<std::uint64_t> last{0};
    return ++last;
  }
};

}  // namespace taskmgr::detail
