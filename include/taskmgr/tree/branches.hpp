// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Trees whose stages split tasks, route them, and merge what came of them.

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <ranges>
#include <stop_token>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "../core/error.hpp"
#include "../core/options.hpp"
#include "../manager/stream.hpp"
#include "branch.hpp"
#include "branch_record.hpp"
#include "branch_run.hpp"
#include "branch_stream.hpp"
#include "copying.hpp"
#include "node.hpp"
#include "node_map.hpp"
#include "stage.hpp"
#include "tree_calls.hpp"

namespace taskmgr {

/// Runs tasks through nodes that branch and come together again. What is said of chains holds here: stages are managers,
/// borrowed or owned, or functions; the modes, observers, and the ways to run.
///
///     TaskTree<Url> crawl{"crawl"};
///     auto pages = crawl.root(fetch);                        // Url -> Page
///     auto links = crawl.split(pages, extract_links);        // Page -> range of Link: each one a task of its own
///     auto kinds = crawl.route(links, classify);             // Link -> std::variant<Html, Image>
///     auto texts = crawl.then(kinds.get<Html>(), read_text);
///     auto sizes = crawl.then(kinds.get<Image>(), measure);
///     auto total = crawl.merge(summarise, texts, sizes);     // summarise(std::vector<Text>, std::vector<Size>), once for each url
///     auto report = crawl.start(urls);
///     for (const auto& [url, summaries] : report.results(total)) ...
///
/// Any number of nodes may take from one; each is called with the same `const T&`. An initial task has failed if any item that
/// came of it has: with the error of the first, in split order. What its other items came to is in the report all the same.
///
/// A run keeps what all nodes make until its report ends. Thread safety: as a chain; nodes are added while nothing runs.
template <class In>
class TaskTree<In, Branches> : public detail::TreeCalls<TaskTree<In, Branches>, In, Branches> {
  using Calls = detail::TreeCalls<TaskTree, In, Branches>;
  using Calls::require_rest;
  using Calls::state_;

 public:
  explicit TaskTree(std::string name = TreeOptions{}.name) : Calls(detail::Owner<detail::BranchState>{new detail::BranchState}) {
    static_cast<void>(detail::unrecorded_error());  // made while there is memory
    state_->options.name = std::move(name);
  }

  TaskTree(TaskTree&&) noexcept = default;
  TaskTree& operator=(TaskTree&&) noexcept = default;
  /// Waits for its runs.
  ~TaskTree() = default;

  /// As that of a chain. The tree's name stays, unless these give it another.
  TaskTree& set_options(TreeOptions options) {
    if (options.name == TreeOptions{}.name) options.name = state_->options.name;
    return Calls::set_options(std::move(options));
  }

  /// The outcomes as they complete, an input range (`Stream<In, Branches>`); see `TaskManager::stream`. What initial tasks came to
  /// is in the value of their outcome. Tasks are run some at a time, each some a run of its own for observers; of what has been
  /// handed out nothing is kept.
  template <class Tasks>
  Stream<In, Branches> stream(Tasks&& tasks, StreamOptions how = {}, std::stop_token stop = {}) const;
  Stream<In, Branches> stream(std::initializer_list<In> tasks, StreamOptions how = {}, std::stop_token stop = {}) const {
    return stream(std::vector<In>(tasks), how, std::move(stop));
  }

  // --- nodes. All throw `UsageError` while a run lasts, and for nodes of another tree. Where a stage does not fit, they do not
  // compile. Each changes all or nothing.

  /// Where initial tasks begin: first, and once.
  template <class S>
  auto root(S&& stage);

  /// A stage that takes the results of another.
  template <class T, class S>
  auto then(const Node<T>& node, S&& stage);

  /// A stage that returns a range: each element goes on as a task of its own. An empty one ends there.
  template <class T, class S>
  auto split(const Node<T>& node, S&& stage);

  /// A stage that returns a `std::variant`: each result goes on where its type does, `get<T>()` of the node.
  template <class T, class S>
  auto route(const Node<T>& node, S&& stage);

  /// A stage that is called once for each initial task, when all that came of that before the merge is final: with a vector for
  /// each node, in split order, empty if there is nothing. If an item on the way to one of these nodes failed, it is not called.
  /// What cannot be copied is moved, so that only one merge and no other node may take it.
  template <class S, class... T>
  auto merge(S&& stage, const Node<T>&... nodes);

 private:
  using Access = detail::NodeAccess;

  void require_root(const char* call) const;
  template <class T>
  [[nodiscard]] detail::Source source(const Node<T>& node, const char* call) const;
  template <class T>
  void require_whole(const Node<T>& node, const detail::List<detail::Source>& all) const;
  [[nodiscard]] bool is_taken(const detail::Source& from, bool by_merges) const;

  template <class Yield, class T, class S>
  auto take(const detail::Source& from, S&& stage);
  template <class Branch, class Task, class S>
  auto add(S&& stage, detail::List<detail::Source> from, std::size_t rank);
};

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

/// What comes of a stage when it is given a `T`.
template <class S, class T>
constexpr auto made_by() {
  require_fit<S, T>();
  if constexpr (StageFor<S>::template takes<T>) return std::type_identity<typename StageFor<S>::template Result<T>>{};
  else return std::type_identity<T>{};  // which has been said
}
template <class S, class T>
using MadeBy = typename decltype(made_by<S, T>())::type;

template <class S, class Task>
constexpr auto merged_by() {
  static_assert(StageFor<S>::template takes<Task>,
                "taskmgr: what merge() is given cannot be called with a std::vector of results for each of these nodes");
  if constexpr (StageFor<S>::template takes<Task>) return std::type_identity<typename StageFor<S>::template Result<Task>>{};
  else return std::type_identity<Task>{};
}
template <class S, class Task>
using MergedBy = typename decltype(merged_by<S, Task>())::type;

template <class S>
constexpr bool is_tree = false;
template <class In, class Out>
constexpr bool is_tree<TaskTree<In, Out>> = true;

template <class R>
inline constexpr bool is_variant = false;
template <class... A>
inline constexpr bool is_variant<std::variant<A...>> = true;

template <class R>
constexpr auto split_of() {
  static_assert(std::ranges::input_range<R>, "taskmgr: what split() is given must return a range, a std::vector say: each element "
                                             "is a task of its own");
  if constexpr (std::ranges::input_range<R>) return std::type_identity<GiveElements<R>>{};
  else return std::type_identity<GiveWhole<R>>{};
}
template <class R>
constexpr auto route_of() {
  static_assert(is_variant<R>, "taskmgr: what route() is given must return a std::variant: each result goes on where its type does");
  if constexpr (is_variant<R>) return std::type_identity<GiveAlternatives<R>>{};
  else return std::type_identity<GiveWhole<R>>{};
}

}  // namespace detail

template <class In>
template <class Tasks>
Stream<In, Branches> TaskTree<In, Branches>::stream(Tasks&& tasks, StreamOptions how, std::stop_token stop) const {
  detail::require_tree_tasks<Tasks, In>();
  this->check();
  return Stream<In, Branches>{
      std::make_unique<detail::BranchStreamed<In, Tasks>>(*state_, std::forward<Tasks>(tasks), how, std::move(stop))};
}

template <class In>
template <class S>
auto TaskTree<In, Branches>::root(S&& stage) {
  if (!state_->nodes.empty()) throw UsageError("taskmgr: root() of \"" + state_->options.name + "\", which has one: use then()");
  using Branch = detail::RootBranch<In, detail::GiveWhole<detail::MadeBy<S, In>>>;
  return add<Branch, In>(std::forward<S>(stage), detail::sources(), 0);
}

template <class In>
template <class T, class S>
auto TaskTree<In, Branches>::then(const Node<T>& node, S&& stage) {
  return take<detail::GiveWhole<detail::MadeBy<S, T>>, T>(source(node, "then"), std::forward<S>(stage));
}

template <class In>
template <class T, class S>
auto TaskTree<In, Branches>::split(const Node<T>& node, S&& stage) {
  using Yield = typename decltype(detail::split_of<detail::MadeBy<S, T>>())::type;
  return take<Yield, T>(source(node, "split"), std::forward<S>(stage));
}

template <class In>
template <class T, class S>
auto TaskTree<In, Branches>::route(const Node<T>& node, S&& stage) {
  using Yield = typename decltype(detail::route_of<detail::MadeBy<S, T>>())::type;
  return take<Yield, T>(source(node, "route"), std::forward<S>(stage));
}

template <class In>
template <class S, class... T>
auto TaskTree<In, Branches>::merge(S&& stage, const Node<T>&... nodes) {
  static_assert(sizeof...(T) != 0, "taskmgr: merge(stage, nodes...) needs a node to merge");
  detail::List<detail::Source> from = detail::sources(source(nodes, "merge")...);
  std::size_t rank = 0;
  for (const detail::Source& each : from) rank = std::max(rank, state_->nodes[each.node]->rank() + 1);
  (require_whole(nodes, from), ...);
  using Task = typename detail::MergedOf<T...>::Task;
  using Branch = detail::MergeBranch<detail::GiveWhole<detail::MergedBy<S, Task>>, T...>;
  return add<Branch, Task>(std::forward<S>(stage), std::move(from), rank);
}

template <class In>
template <class Yield, class T, class S>
auto TaskTree<In, Branches>::take(const detail::Source& from, S&& stage) {
  return add<detail::ItemBranch<T, Yield>, T>(std::forward<S>(stage), detail::sources(from), state_->nodes[from.node]->rank());
}

template <class In>
template <class T>
detail::Source TaskTree<In, Branches>::source(const Node<T>& node, const char* call) const {
  const std::string what = std::string("taskmgr: ") + call + "() of \"" + state_->options.name + '"';
  if (Access::tree(node) != state_->number) throw UsageError(what + " with a node of another tree: pass one that this tree gave");
  const detail::Source from{Access::index(node), Access::outlet(node)};
  if (from.outlet == Access::whole) throw UsageError(what + " with a route as it is: pass get<T>() of it, for each of its types");
  if constexpr (!detail::can_be_copied<T>()) {
    if (is_taken(from, true)) throw UsageError(what + " with what a merge takes, and which cannot be copied");
  }
  return from;
}

/// What a merge is to take, from `all`, can be copied, or nobody else wants it, nor it itself once more.
template <class In>
template <class T>
void TaskTree<In, Branches>::require_whole(const Node<T>& node, const detail::List<detail::Source>& all) const {
  if constexpr (!detail::can_be_copied<T>()) {
    const detail::Source from{Access::index(node), Access::outlet(node)};
    if (!is_taken(from, false) && std::count(all.begin(), all.end(), from) == 1) return;
    throw UsageError("taskmgr: merge() of \"" + state_->options.name + "\" with what cannot be copied, and would be taken twice");
  }
}

template <class In>
bool TaskTree<In, Branches>::is_taken(const detail::Source& from, bool by_merges) const {
  for (const auto& node : state_->nodes) {
    if (by_merges && !node->merges()) continue;
    for (const detail::Source& source : node->sources()) {
      if (source == from) return true;
    }
  }
  return false;
}

template <class In>
template <class Branch, class Task, class S>
auto TaskTree<In, Branches>::add(S&& stage, detail::List<detail::Source> from, std::size_t rank) {
  require_rest("a new node");
  static_assert(!detail::is_tree<std::decay_t<S>>,
                "taskmgr: a node of a tree with branches is one stage: add those of a tree one by one");
  using Handle = typename Branch::Handle;
  detail::Owner<const detail::AnyBranch> branch{new Branch(std::move(from), rank)};
  detail::Stages stages;
  if constexpr (detail::StageFor<S>::template takes<Task> && !detail::is_tree<std::decay_t<S>>) {
    detail::StageFor<S>::template append<Task, false>(stages, std::forward<S>(stage));
  }
  state_->nodes.make_room(1);
  state_->stages.make_room(1);
  const std::size_t index = state_->nodes.size();
  state_->nodes.push_back(std::move(branch));
  state_->stages.push_back(std::move(stages[0]));
  return Access::make<Handle>(state_->number, index, Branch::outlet);
}

}  // namespace taskmgr
