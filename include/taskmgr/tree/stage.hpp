// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A stage of a tree while nothing runs: a manager, and the types that it has there.

#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "../core/call.hpp"
#include "../core/error.hpp"
#include "../core/list.hpp"
#include "../core/options.hpp"
#include "../manager/task_manager.hpp"
#include "pipelined_stage.hpp"
#include "serial_stage.hpp"
#include "stage_run.hpp"

namespace taskmgr::detail {

/// A stage, whatever its function and its types are. It may stand in several trees.
///
/// Thread safety: immutable.
class AnyStage {
 public:
  AnyStage() = default;
  AnyStage(const AnyStage&) = delete;
  AnyStage& operator=(const AnyStage&) = delete;
  virtual ~AnyStage() = default;

  [[nodiscard]] virtual const std::type_info& in() const noexcept = 0;
  [[nodiscard]] virtual const std::type_info& out() const noexcept = 0;
  [[nodiscard]] virtual const Options& options() const noexcept = 0;

  /// The same stage, `self`, for tasks of another type, if its function's one signature has that, or it was made for that; else
  /// null.
  using Pointer = std::shared_ptr<const AnyStage>;
  [[nodiscard]] virtual Pointer taking(const std::type_info& in, Pointer self) const = 0;

  /// Equal values that reach it are one from there on.
  [[nodiscard]] virtual bool shares() const noexcept = 0;

  /// Its attempts may be timed.
  [[nodiscard]] virtual bool may_measure() const noexcept = 0;

  /// Throws `UsageError` if it cannot run in this way.
  virtual void check(TreeMode mode) const = 0;

  [[nodiscard]] virtual Owner<AnyStageRun> run(StagePlace place, const TreeTerms& terms) const = 0;

  /// The threads of its manager.
  [[nodiscard]] virtual Pool& pool() const = 0;
};

using Stages = List<std::shared_ptr<const AnyStage>>;

/// The name of the `index`-th stage: its manager's, unless nobody has given it one.
template <class Named>
[[nodiscard]] std::string stage_name(const Named& stage, std::size_t index) {
  static const Options usual;
  return stage.options().name != usual.name ? stage.options().name : "stage " + std::to_string(index);
}

template <class Named>
[[nodiscard]] std::string quoted_name(const Named& stage, std::size_t index) {
  return '"' + stage_name(stage, index) + '"';
}

/// A manager that takes `T`: borrowed, or its own. What is never run by itself, one stage after the other, need not be compiled
/// for that.
template <class F, class T, bool in_series = true>
class Stage final : public AnyStage {
 public:
  using R = ResultOf<F, T>;
  static_assert(std::is_move_constructible_v<R>, "taskmgr: a result moves on to the next stage of a tree: it must be movable");

  Stage(ManagerState<F>& manager, std::shared_ptr<const TaskManager<F>> own, Pointer before = nullptr) noexcept
      : manager_(manager), own_(std::move(own)), before_(std::move(before)) {}

  [[nodiscard]] const std::type_info& in() const noexcept override { return typeid(T); }
  [[nodiscard]] const std::type_info& out() const noexcept override { return typeid(R); }
  [[nodiscard]] const Options& options() const noexcept override { return manager_.options; }
  [[nodiscard]] bool shares() const noexcept override { return Keyed<T> && manager_.options.duplicates == Duplicates::share; }
  [[nodiscard]] bool may_measure() const noexcept override { return manager_.options.timings || !manager_.observers.empty(); }
  [[nodiscard]] Pointer taking(const std::type_info& in, Pointer self) const override {
    using Named = ListTask<F>;
    if (in == typeid(T)) return self;
    if constexpr (in_series && !std::is_same_v<Named, AnyTask> && !std::is_same_v<Named, T>) {
      if (in == typeid(Named)) return std::make_shared<Stage<F, Named>>(manager_, own_, std::move(self));
    }
    return before_ != nullptr && before_->in() == in ? before_ : nullptr;
  }
  void check(TreeMode mode) const override {
    const Mode own = mode == TreeMode::process ? Mode::process : manager_.options.mode;
    if (own == Mode::process) require_codec<T>("the tasks of a stage", "to");
    require_mode<F, T>(own);
  }
  [[nodiscard]] Owner<AnyStageRun> run(StagePlace place, const TreeTerms& terms) const override {
    if constexpr (in_series) {
      if (terms.in_batches) return Owner<AnyStageRun>{new SerialStage<F, T, R>(manager_, std::move(place), terms)};
    }
    if (terms.options.mode != TreeMode::process && manager_.options.mode == Mode::serial) {
      return Owner<AnyStageRun>{new PipelinedStage<F, T, R, SerialFlow<F, T, R, Feed<T>>, in_series>(manager_, std::move(place), terms)};
    }
    return Owner<AnyStageRun>{new PipelinedStage<F, T, R, Flow<F, T, R, Feed<T>&>, in_series>(manager_, std::move(place), terms)};
  }
  [[nodiscard]] Pool& pool() const override { return manager_.workshop().pool; }

 private:
  ManagerState<F>& manager_;
  std::shared_ptr<const TaskManager<F>> own_;  // null: borrowed
  std::shared_ptr<const AnyStage> before_;     // for the type that it was made for, if that was another
};

// --- what may be a stage, and what comes of a chain of them

/// What a user gives as a stage: here, a function.
template <class S>
struct StageOf {
  using Function = S;
  using Task = ListTask<S>;
  template <class T>
  using Result = ResultOf<S, T>;
  template <class T>
  static constexpr bool takes = CallableWith<S, T>;
  template <class T, bool in_series = true, class Given>
  static void append(Stages& stages, Given&& given) {
    auto own = std::make_shared<const TaskManager<S>>(S(std::forward<Given>(given)));
    stages.push_back(std::make_shared<Stage<S, T, in_series>>(ManagerAccess::state(*own), own));
  }
};

template <class F>
struct StageOf<TaskManager<F>> : StageOf<F> {
  template <class T, bool in_series = true, class Given>
  static void append(Stages& stages, Given&& given) {
    std::shared_ptr<const TaskManager<F>> own;
    if constexpr (!std::is_lvalue_reference_v<Given>) own = std::make_shared<const TaskManager<F>>(std::move(given));
    ManagerState<F>& state = ManagerAccess::state(own != nullptr ? *own : given);
    stages.push_back(std::make_shared<Stage<F, T, in_series>>(state, std::move(own)));
  }
};

template <class S>
using StageFor = StageOf<std::decay_t<S>>;

template <class S, class T>
constexpr bool takes_if_mutable() {
  if constexpr (requires { typename StageFor<S>::Function; }) return callable_if_mutable<typename StageFor<S>::Function, T>;
  else return false;
}

/// Fails to compile, with one sentence, where a stage cannot take what the one before it gives.
template <class S, class T>
constexpr auto require_fit() {
  if constexpr (!StageFor<S>::template takes<T> && takes_if_mutable<S, T>()) {
    require_callable<typename StageFor<S>::Function, T>();
  } else {
    static_assert(StageFor<S>::template takes<T>,
                  "taskmgr: a stage of this tree cannot be called with what the stage before it returns: its parameter must take "
                  "that, or be convertible from it");
  }
}

/// What a `T` has become at the end of a chain, or before the first stage that does not fit.
template <class T, class... S>
struct Through {
  using type = T;
  static constexpr bool fits = sizeof...(S) == 0;
};
template <class T, class First, class... Rest>
  requires(StageFor<First>::template takes<T>)
struct Through<T, First, Rest...> : Through<typename StageFor<First>::template Result<T>, Rest...> {};
template <class T, class... S>
using ThroughAll = typename Through<T, S...>::type;

template <class T>
void append_stages(Stages&) {}
template <class T, class First, class... Rest>
void append_stages(Stages& stages, First&& first, Rest&&... rest) {
  require_fit<First, T>();
  if constexpr (StageFor<First>::template takes<T>) {
    StageFor<First>::template append<T>(stages, std::forward<First>(first));
    append_stages<typename StageFor<First>::template Result<T>>(stages, std::forward<Rest>(rest)...);
  }
}

}  // namespace taskmgr::detail
