// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Managers chained into stages: what one makes, the next takes.

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "../core/error.hpp"
#include "../core/options.hpp"
#include "../manager/stream.hpp"
#include "../manager/task_manager.hpp"
#include "report.hpp"
#include "stage.hpp"
#include "tree_calls.hpp"
#include "tree_run.hpp"
#include "tree_stream.hpp"

namespace taskmgr {

namespace detail {

/// Of a chain: its stages.
template <class In, class Out>
struct StageOf<TaskTree<In, Out>> {
  using Task = In;
  template <class T>
  using Result = Out;
  template <class T>
  static constexpr bool takes = std::is_same_v<T, In>;
  template <class T, class Given>
  static void append(Stages& stages, Given&& given) {
    for (const auto& stage : given.stages()) stages.push_back(stage);
  }
};

/// Of a tree with branches, which ends in several places: it is none.
template <class In>
struct StageOf<TaskTree<In, Branches>> {
  using Task = In;
  template <class T>
  using Result = T;
  template <class T>
  static constexpr bool takes = true;
  template <class T, class Given>
  static void append(Stages&, Given&&) {
    static_assert(std::is_void_v<Given>, "taskmgr: a tree with branches is no stage of a chain, for it ends in several places: add the "
                                         "stages of the chain to it by then()");
  }
};

/// The tasks that a chain takes, by its first stage; `AnyTask` where that is generic.
template <class First>
using FirstTask = typename StageFor<First>::Task;

}  // namespace detail

/// Runs tasks through stages, each a manager, a function or another tree.
///
///     TaskTree tree{fetch, parse, save};
///     tree.set_mode(TreeMode::pipeline);
///     auto report = tree.start(urls);
///     report.success_map().at(url);    // what `save` returned for it
///
/// A manager that is an lvalue is borrowed, and must outlive the tree; one that is an rvalue is moved in, a function is
/// copied. Of a tree the stages are taken as they are now. A stage is called with what the one before returns, as a
/// `const T&`, by the same rules as a manager's function.
///
/// A task that fails in a stage goes no further. Tasks that reach an equal value in a stage that shares duplicates share what
/// becomes of it. All ways to run give the same report.
///
/// Thread safety: as `TaskManager`; `set_mode`, `set_options`, `observe` and edits while nothing runs.
template <class In, class Out>
class TaskTree : public detail::TreeCalls<TaskTree<In, Out>, In, Out> {
  using Calls = detail::TreeCalls<TaskTree, In, Out>;
  using Calls::check;
  using Calls::require_rest;
  using Calls::state_;

 public:
  /// Of at least one stage. Where a stage does not fit the one before it, this does not compile.
  template <class... S>
    requires(sizeof...(S) != 0 && !(sizeof...(S) == 1 && (std::is_same_v<std::remove_cvref_t<S>, TaskTree> && ...)))
  explicit TaskTree(S&&... stages) : Calls(detail::Owner<detail::TreeState>{new detail::TreeState}) {
    static_assert(!std::is_same_v<In, detail::AnyTask>,
                  "taskmgr: the first stage is generic, so the tree has no task type: write TaskTree<In, Out>{...}");
    static_cast<void>(detail::unrecorded_error());  // made while there is memory
    detail::append_stages<In>(state_->stages, std::forward<S>(stages)...);
    using Way = detail::Through<In, S...>;
    static_assert(std::is_same_v<typename Way::type, Out> || !Way::fits,
                  "taskmgr: the last stage of this tree returns another type than TaskTree<In, Out> names");
  }

  /// Movable, not copyable.
  TaskTree(TaskTree&&) noexcept = default;
  TaskTree& operator=(TaskTree&&) noexcept = default;
  /// Waits for its runs.
  ~TaskTree() = default;

  using Calls::size;

  /// The outcomes as they complete, an input range (`Stream<In, Out>`); see `TaskManager::stream`. The stages run as a pipeline,
  /// also in serial mode, and share nothing: of what has been handed out nothing is kept.
  template <class Tasks>
  Stream<In, Out> stream(Tasks&& tasks, StreamOptions how = {}, std::stop_token stop = {}) const;
  Stream<In, Out> stream(std::initializer_list<In> tasks, StreamOptions how = {}, std::stop_token stop = {}) const {
    return stream(std::vector<In>(tasks), how, std::move(stop));
  }

  // --- edits: each changes all or nothing

  /// One more stage, at the end; before the `index`-th; in its place. The types must be exactly those that its neighbours, or
  /// the tree, have: the stage's function must have one signature. Throws `StageMismatch` where they are not, and
  /// `std::out_of_range`; `UsageError` while a run lasts.
  template <class S>
  TaskTree& add_stage(S&& stage);
  template <class S>
  TaskTree& insert_stage(std::size_t index, S&& stage);
  template <class S>
  TaskTree& replace_stage(std::size_t index, S&& stage);
  /// Also throws `UsageError` for the last one.
  TaskTree& remove_stage(std::size_t index);

  /// A longer chain, which may end in another type: this one's stages, options and observers, and one more stage. Where it does
  /// not fit, this does not compile.
  template <class S>
  auto then(S&& stage) &&;

  /// For the library: a tree of what another was made of, and its stages.
  explicit TaskTree(detail::Owner<detail::TreeState> state) noexcept : Calls(std::move(state)) {}
  [[nodiscard]] const detail::Stages& stages() const noexcept { return state_->stages; }

 private:
  void require_index(std::size_t index, std::size_t most, const std::string& call) const;
  template <class S>
  TaskTree& edit(std::size_t index, std::size_t left_out, S&& stage, const std::string& call);
  TaskTree& put(detail::Stages stages, const std::string& call);
  template <class S>
  static void append(detail::Stages& stages, S&& stage);
};

template <class First, class... Rest>
TaskTree(First&&, Rest&&...)
    -> TaskTree<detail::FirstTask<First>, detail::ThroughAll<detail::FirstTask<First>, First, Rest...>>;

// ---------------------------------------------------------------------------------------------------------------------

template <class In, class Out>
template <class Tasks>
Stream<In, Out> TaskTree<In, Out>::stream(Tasks&& tasks, StreamOptions how, std::stop_token stop) const {
  detail::require_tree_tasks<Tasks, In>();
  check();
  return Stream<In, Out>{
      std::make_unique<detail::TreeStreamed<In, Out, Tasks>>(*state_, std::forward<Tasks>(tasks), how, std::move(stop))};
}

template <class In, class Out>
template <class S>
void TaskTree<In, Out>::append(detail::Stages& stages, S&& stage) {
  using Task = typename detail::StageFor<S>::Task;
  static_assert(!std::is_same_v<Task, detail::AnyTask>,
                "taskmgr: this stage is generic, so its types cannot be compared with its neighbours': give its function one "
                "signature, or use then()");
  detail::append_stages<Task>(stages, std::forward<S>(stage));
}

template <class In, class Out>
void TaskTree<In, Out>::require_index(std::size_t index, std::size_t most, const std::string& call) const {
  if (index <= most) return;
  throw std::out_of_range("taskmgr: " + call + "() at " + std::to_string(index) + ": the tree has " + std::to_string(size()) +
                          " stages");
}

template <class In, class Out>
template <class S>
TaskTree<In, Out>& TaskTree<In, Out>::edit(std::size_t index, std::size_t left_out, S&& stage, const std::string& call) {
  detail::Stages stages;
  for (std::size_t k = 0; k <= size(); ++k) {
    if (k == index) append(stages, std::forward<S>(stage));
    if (k != left_out && k != size()) stages.push_back(state_->stages[k]);
  }
  return put(std::move(stages), call);
}

template <class In, class Out>
template <class S>
TaskTree<In, Out>& TaskTree<In, Out>::add_stage(S&& stage) {
  return edit(size(), size(), std::forward<S>(stage), "add_stage");
}

template <class In, class Out>
template <class S>
TaskTree<In, Out>& TaskTree<In, Out>::insert_stage(std::size_t index, S&& stage) {
  require_index(index, size(), "insert_stage");
  return edit(index, size(), std::forward<S>(stage), "insert_stage");
}

template <class In, class Out>
template <class S>
TaskTree<In, Out>& TaskTree<In, Out>::replace_stage(std::size_t index, S&& stage) {
  require_index(index, size() - 1, "replace_stage");
  return edit(index, index, std::forward<S>(stage), "replace_stage");
}

template <class In, class Out>
TaskTree<In, Out>& TaskTree<In, Out>::remove_stage(std::size_t index) {
  require_index(index, size() - 1, "remove_stage");
  if (size() == 1) throw UsageError("taskmgr: remove_stage() of the last stage: a tree has at least one");
  detail::Stages stages;
  for (std::size_t k = 0; k != size(); ++k) {
    if (k != index) stages.push_back(state_->stages[k]);
  }
  return put(std::move(stages), "remove_stage");
}

/// Takes these stages if each fits its neighbours, and the first and the last the tree.
template <class In, class Out>
TaskTree<In, Out>& TaskTree<In, Out>::put(detail::Stages stages, const std::string& call) {
  require_rest(call.c_str());
  const std::type_info* given = &typeid(In);
  for (std::size_t k = 0; k != stages.size(); ++k) {
    auto fitting = stages[k]->taking(*given, stages[k]);
    if (fitting == nullptr) {
      const std::string giver = k == 0 ? "the tree is given " : detail::quoted_name(*stages[k - 1], k - 1) + " returns ";
      throw StageMismatch("taskmgr: " + call + "(): " + detail::quoted_name(*stages[k], k) + " takes " +
                          detail::type_name(stages[k]->in()) + ", but " + giver + detail::type_name(*given));
    }
    stages[k] = std::move(fitting);
    given = &stages[k]->out();
  }
  if (*given != typeid(Out)) {
    throw StageMismatch("taskmgr: " + call + "(): " + detail::quoted_name(*stages.back(), stages.size() - 1) +
                        " would be the last stage and returns " + detail::type_name(*given) + ", but the tree returns " +
                        detail::type_name(typeid(Out)));
  }
  state_->stages = std::move(stages);
  return *this;
}

template <class In, class Out>
template <class S>
auto TaskTree<In, Out>::then(S&& stage) && {
  require_rest("then");
  using Longer = TaskTree<In, detail::ThroughAll<Out, S>>;
  detail::Stages more;
  detail::append_stages<Out>(more, std::forward<S>(stage));
  for (auto& added : more) state_->stages.push_back(std::move(added));
  return Longer{std::move(state_)};
}

}  // namespace taskmgr
