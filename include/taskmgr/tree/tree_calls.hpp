// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What chains and trees with branches have in common: options, observers, the ways to run, and drawings.

#include <cstddef>
#include <exception>
#include <initializer_list>
#include <memory>
#include <ranges>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>

#include "../core/error.hpp"
#include "../core/options.hpp"
#include "../manager/awaited.hpp"
#include "../manager/run.hpp"
#include "../manager/task_manager.hpp"
#include "drawing.hpp"
#include "report.hpp"
#include "stage.hpp"
#include "tree_run.hpp"

namespace taskmgr::detail {

/// Of a `Tree` from `In` to `Out`. What it does is documented there.
template <class Tree, class In, class Out>
class TreeCalls {
  using Parts = TreeParts<In, Out>;

 public:
  /// Throws `UsageError` while a run lasts, as the next two.
  Tree& set_mode(TreeMode mode);
  /// Throws `std::invalid_argument`, naming the member and the value, for options that cannot be.
  Tree& set_options(TreeOptions options);
  /// Attaches a listener to every stage of all runs from now on.
  Tree& observe(std::shared_ptr<Observer> observer);
  /// The same, not owned: it must outlive the tree.
  Tree& observe(Observer& observer) { return observe(std::shared_ptr<Observer>(std::shared_ptr<void>{}, &observer)); }

  [[nodiscard]] const TreeOptions& options() const noexcept { return state_->options; }

  // --- running

  /// Runs the tasks of any input range, and returns when each has its outcome; see `TaskManager::start`. `sink` is called with
  /// each finished `Outcome<In, Out>&`. Throws `UsageError` before anything runs if a stage cannot run in its mode.
  template <class Tasks, class Sink = NoSink>
    requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
  TreeReport<In, Out> start(Tasks&& tasks, Sink&& sink = {}, std::stop_token stop = {}) const;
  template <class Tasks>
  TreeReport<In, Out> start(Tasks&& tasks, std::stop_token stop) const {
    return start(std::forward<Tasks>(tasks), NoSink{}, std::move(stop));
  }
  template <class Sink = NoSink>
    requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
  TreeReport<In, Out> start(std::initializer_list<In> tasks, Sink&& sink = {}, std::stop_token stop = {}) const {
    return start<const std::initializer_list<In>&>(tasks, std::forward<Sink>(sink), std::move(stop));
  }
  TreeReport<In, Out> start(std::initializer_list<In> tasks, std::stop_token stop) const {
    return start<const std::initializer_list<In>&>(tasks, NoSink{}, std::move(stop));
  }

  /// The same in the background: takes the tasks, then returns. Where no thread can be started, the run is over by then.
  template <class Tasks, class Sink = NoSink>
    requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
  Run<In, Out, TreeReport<In, Out>> launch(Tasks&& tasks, Sink&& sink = {}, std::stop_token stop = {}) const;
  template <class Tasks>
  Run<In, Out, TreeReport<In, Out>> launch(Tasks&& tasks, std::stop_token stop) const {
    return launch(std::forward<Tasks>(tasks), NoSink{}, std::move(stop));
  }
  template <class Sink = NoSink>
    requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
  Run<In, Out, TreeReport<In, Out>> launch(std::initializer_list<In> tasks, Sink&& sink = {}, std::stop_token stop = {}) const {
    return launch<const std::initializer_list<In>&>(tasks, std::forward<Sink>(sink), std::move(stop));
  }
  Run<In, Out, TreeReport<In, Out>> launch(std::initializer_list<In> tasks, std::stop_token stop) const {
    return launch<const std::initializer_list<In>&>(tasks, NoSink{}, std::move(stop));
  }

  /// The same for a coroutine, which goes on when the run has ended; see `TaskManager::start_async`. The stages run on workers
  /// of their own, those of coroutine mode as well.
  template <class Tasks, class Sink = NoSink>
    requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
  Async<TreeReport<In, Out>> start_async(Tasks&& tasks, Sink&& sink = {}, std::stop_token stop = {}) const;
  template <class Tasks>
  Async<TreeReport<In, Out>> start_async(Tasks&& tasks, std::stop_token stop) const {
    return start_async(std::forward<Tasks>(tasks), NoSink{}, std::move(stop));
  }
  template <class Sink = NoSink>
    requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
  Async<TreeReport<In, Out>> start_async(std::initializer_list<In> tasks, Sink&& sink = {}, std::stop_token stop = {}) const {
    return start_async<const std::initializer_list<In>&>(tasks, std::forward<Sink>(sink), std::move(stop));
  }
  Async<TreeReport<In, Out>> start_async(std::initializer_list<In> tasks, std::stop_token stop) const {
    return start_async<const std::initializer_list<In>&>(tasks, NoSink{}, std::move(stop));
  }

  // --- drawings, with what a run has made of each stage if that is given

  /// For Graphviz: `dot -Tsvg`.
  [[nodiscard]] std::string to_dot() const { return detail::to_dot(drawing(nullptr)); }
  [[nodiscard]] std::string to_dot(const TreeReport<In, Out>& report) const { return detail::to_dot(drawing(&report)); }
  /// For Markdown: a flowchart.
  [[nodiscard]] std::string to_mermaid() const { return detail::to_mermaid(drawing(nullptr)); }
  [[nodiscard]] std::string to_mermaid(const TreeReport<In, Out>& report) const { return detail::to_mermaid(drawing(&report)); }
  /// For a terminal: a line a stage.
  [[nodiscard]] std::string to_text() const { return detail::to_text(drawing(nullptr)); }
  [[nodiscard]] std::string to_text(const TreeReport<In, Out>& report) const { return detail::to_text(drawing(&report)); }

  /// Of stages.
  [[nodiscard]] std::size_t size() const noexcept { return state_->stages.size(); }

 protected:
  using State = typename Parts::State;
  explicit TreeCalls(Owner<State> state) noexcept : state_(std::move(state)) {}

  /// Throws `UsageError` while a run lasts.
  void require_rest(const char* call) const;
  [[nodiscard]] Drawing drawing(const TreeReport<In, Out>* report) const;
  /// Throws where a run may not begin.
  void check() const { check(*state_); }
  static void check(const State& tree);
  /// Initial tasks that are equal are one, as with the first stage's manager.
  [[nodiscard]] bool shares_tasks() const noexcept { return state_->stages[0]->options().duplicates == Duplicates::share; }

  Owner<State> state_;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class Tasks, class In>
constexpr auto require_tree_tasks() {
  require_tasks<Tasks>();
  static_assert(std::is_constructible_v<In, std::ranges::range_reference_t<Tasks>> ||
                    std::is_constructible_v<In, std::ranges::range_rvalue_reference_t<Tasks>>,
                "taskmgr: the tasks are not of the type that the first stage of the tree takes, nor can that be made of them");
}

template <class In, class Out, class Sink>
Run<In, Out, TreeReport<In, Out>> launch_tree(typename TreeParts<In, Out>::State& tree, std::shared_ptr<Store<In, Out>> store,
                                              std::exception_ptr source, Sink sink, std::stop_token stop) {
  using Launched = TreeLaunched<In, Out, Sink>;
  auto run = std::make_unique<Launched>(tree, std::move(store), std::move(source), std::move(sink), std::move(stop));
  if (!tree.stages[0]->pool().post(job_of<&Launched::drive>(*run))) run->drive();
  return Run<In, Out, TreeReport<In, Out>>{std::move(run)};
}

template <class Tree, class In, class Out>
void TreeCalls<Tree, In, Out>::require_rest(const char* call) const {
  if (state_->runs.load() == 0) return;
  throw UsageError(std::string("taskmgr: ") + call + "() while \"" + state_->options.name + "\" runs: wait for the run");
}

template <class Tree, class In, class Out>
Tree& TreeCalls<Tree, In, Out>::set_mode(TreeMode mode) {
  TreeOptions options = state_->options;
  options.mode = mode;
  return set_options(std::move(options));
}

template <class Tree, class In, class Out>
Tree& TreeCalls<Tree, In, Out>::set_options(TreeOptions options) {
  require_rest("set_options");
  validate(options);
  state_->options = std::move(options);
  return static_cast<Tree&>(*this);
}

template <class Tree, class In, class Out>
Tree& TreeCalls<Tree, In, Out>::observe(std::shared_ptr<Observer> observer) {
  if (observer == nullptr) throw UsageError("taskmgr: observe() of a null pointer: pass an observer");
  require_rest("observe");
  state_->observers.push_back(std::move(observer));
  return static_cast<Tree&>(*this);
}

template <class Tree, class In, class Out>
Drawing TreeCalls<Tree, In, Out>::drawing(const TreeReport<In, Out>* report) const {
  Drawing drawing{.name = state_->options.name};
  for (std::size_t k = 0; k != size(); ++k) {
    Drawing::Box box{.name = stage_name(*state_->stages[k], k), .note = {}};
    box.from = state_->before(k);
    if (report != nullptr && k < report->stages().size()) {
      box.note = note_of(report->stages()[k]);
      box.marked = bottleneck(report->stages()) == k;
    }
    drawing.boxes.push_back(std::move(box));
  }
  return drawing;
}

template <class Tree, class In, class Out>
void TreeCalls<Tree, In, Out>::check(const State& tree) {
  if (tree.stages.size() == 0) throw UsageError("taskmgr: \"" + tree.options.name + "\" has no stages: begin with root()");
  for (const auto& stage : tree.stages) stage->check(tree.options.mode);
}

template <class Tree, class In, class Out>
template <class Tasks, class Sink>
  requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
TreeReport<In, Out> TreeCalls<Tree, In, Out>::start(Tasks&& tasks, Sink&& sink, std::stop_token stop) const {
  require_tree_tasks<Tasks, In>();
  using Callee = std::remove_reference_t<Sink>;
  require_sink<Callee, In, Out>();
  const auto began = Clock::now();
  check();
  auto store = std::make_shared<Store<In, Out>>();
  const Running running{state_->runs};
  std::exception_ptr thrown = store->fill(std::forward<Tasks>(tasks), shares_tasks());
  typename Parts::template Run<Callee> run{*state_, std::move(store), std::move(thrown), &sink, std::move(stop), began};
  run.drive();
  TreeReport<In, Out> report = run.finish(thrown);
  if (thrown != nullptr) std::rethrow_exception(thrown);
  return report;
}

template <class Tree, class In, class Out>
template <class Tasks, class Sink>
  requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
Run<In, Out, TreeReport<In, Out>> TreeCalls<Tree, In, Out>::launch(Tasks&& tasks, Sink&& sink, std::stop_token stop) const {
  require_tree_tasks<Tasks, In>();
  using Callee = std::decay_t<Sink>;
  require_sink<Callee, In, Out>();
  check();
  auto store = std::make_shared<Store<In, Out>>();
  std::exception_ptr source = store->fill(std::forward<Tasks>(tasks), shares_tasks());
  return launch_tree<In, Out>(*state_, std::move(store), std::move(source), Callee(std::forward<Sink>(sink)), std::move(stop));
}

template <class Tree, class In, class Out>
template <class Tasks, class Sink>
  requires(!std::is_same_v<std::remove_cvref_t<Sink>, std::stop_token>)
Async<TreeReport<In, Out>> TreeCalls<Tree, In, Out>::start_async(Tasks&& tasks, Sink&& sink, std::stop_token stop) const {
  require_tree_tasks<Tasks, In>();
  using Callee = std::decay_t<Sink>;
  require_sink<Callee, In, Out>();
  check();
  auto store = std::make_shared<Store<In, Out>>();
  std::exception_ptr source = store->fill(std::forward<Tasks>(tasks), shares_tasks());
  return await_elsewhere<In, Out>(
      state_->stages[0]->pool(), [&state = *state_, store = std::move(store), source = std::move(source),
                                  callee = Callee(std::forward<Sink>(sink)), stop = std::move(stop)]() mutable {
        check(state);  // it may have been changed since
        return std::make_unique<TreeLaunched<In, Out, Callee>>(state, std::move(store), std::move(source), std::move(callee),
                                                               std::move(stop));
      });
}

}  // namespace taskmgr::detail
