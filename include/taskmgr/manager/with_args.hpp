// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Adapters: a function for tasks that are objects of the user's own, and one that looks at the result on the spot.

#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "../core/call.hpp"
#include "../run/async.hpp"

namespace taskmgr {

namespace detail {

/// The class that all of these pointers to members belong to; nothing if one is no such pointer, or they differ.
template <class... P>
struct ClassOfMembers {};
template <class C, class M>
struct ClassOfMembers<M C::*> {
  using taskmgr_task = C;
};
template <class C, class M, class... Rest>
  requires std::is_same_v<typename ClassOfMembers<Rest...>::taskmgr_task, C>
struct ClassOfMembers<M C::*, Rest...> {
  using taskmgr_task = C;
};

/// `use(value)`. If that is a coroutine, the value lives until it has ended.
template <class Value, class Use>
auto held_for(Value&& value, const Use& use) {
  using Used = std::invoke_result_t<const Use&, const std::remove_reference_t<Value>&>;
  if constexpr (!Awaited<Used>::value) {
    return static_cast<std::decay_t<Used>>(use(value));
  } else {
    constexpr auto held = [](Value kept, Use used) -> Async<typename Awaited<Used>::type> {
      auto pending = Awaited<Used>::async(used(kept));
      co_return co_await pending;
    };
    return held(std::forward<Value>(value), use);
  }
}

/// `f` of what the projections make of a task: one projection gives a value, or a tuple that is unpacked where `f` wants it
/// so; several give an argument each.
template <class F, class... P>
class WithArgs : public ClassOfMembers<P...> {
 public:
  WithArgs(F f, P... projections) : f_(std::move(f)), projections_(std::move(projections)...) {}

  // Returns a value, also where `f` returns a reference: it may be one into what a projection made for this call.
  template <class Task>
    requires(std::is_invocable_v<const P&, const Task&> && ...)
  auto operator()(Context& context, const Task& task) const {
    return std::apply([&](const auto&... projection) { return apply(context, task, projection...); }, projections_);
  }

 private:
  template <class Task, class Projection>
  auto apply(Context& context, const Task& task, const Projection& projection) const {
    using Value = std::invoke_result_t<const Projection&, const Task&>;  // a projection to a member refers to it
    require_callable<F, std::remove_cvref_t<Value>>();
    return held_for<Value>(std::invoke(projection, task),
                           [this, &context](const auto& value) -> decltype(auto) { return call(f_, context, value); });
  }
  template <class Task, class... Projections>
  auto apply(Context& context, const Task& task, const Projections&... projections) const {
    using Values = std::tuple<std::invoke_result_t<const Projections&, const Task&>...>;
    return held_for<Values>(Values{std::invoke(projections, task)...},
                            [this, &context](const auto& values) { return this->call_unpacked(context, values); });
  }

  template <class Values>
  auto call_unpacked(Context& context, const Values& values) const {
    return std::apply(
        [&](const auto&... value) {
          if constexpr (std::is_invocable_v<const F&, const decltype(value)&...>) {
            return std::invoke(f_, value...);
          } else {
            static_assert(std::is_invocable_v<const F&, Context&, const decltype(value)&...>,
                          "taskmgr: with_args: the function does not take what the projections give");
            return std::invoke(f_, context, value...);
          }
        },
        values);
  }

  F f_;
  std::tuple<P...> projections_;
};

/// `g(task, f(task))`, called where `f` ran.
template <class F, class G>
class WithResult {
 public:
  WithResult(F f, G g) : f_(std::move(f)), g_(std::move(g)) {}

  // Returns a value, also where `g` returns a reference: it may be one into the result of `f`.
  template <class Task>
  auto operator()(Context& context, const Task& task) const {
    require_callable<F, Task>();
    if constexpr (gives_coroutine<F, Task>) {
      return later(context, task);
    } else if constexpr (std::is_void_v<CallResult<F, Task>>) {
      call(f_, context, task);
      static_assert(std::is_invocable_v<const G&, const Task&>,
                    "taskmgr: with_result: the function gives nothing, so the second takes the task alone");
      return std::invoke(g_, task);
    } else {
      static_assert(std::is_invocable_v<const G&, const Task&, CallResult<F, Task>>,
                    "taskmgr: with_result: the second function takes the task and the result");
      return std::invoke(g_, task, call(f_, context, task));
    }
  }

 private:
  template <class Task>
  auto later([[maybe_unused]] Context& context, const Task& task) const {
    using Value = typename Awaited<CallResult<F, Task>>::type;
    if constexpr (std::is_void_v<Value>) {
      static_assert(std::is_invocable_v<const G&, const Task&>,
                    "taskmgr: with_result: the function gives nothing, so the second takes the task alone");
      return with_nothing<std::decay_t<std::invoke_result_t<const G&, const Task&>>>(context, task);
    } else {
      static_assert(std::is_invocable_v<const G&, const Task&, Value>,
                    "taskmgr: with_result: the second function takes the task and the result");
      return with_value<Value, std::decay_t<std::invoke_result_t<const G&, const Task&, Value>>>(context, task);
    }
  }
  template <class R, class Task>
  Async<R> with_nothing(Context& context, const Task& task) const {
    auto pending = Awaited<CallResult<F, Task>>::async(call(f_, context, task));
    co_await pending;
    co_return std::invoke(g_, task);
  }
  template <class Value, class R, class Task>
  Async<R> with_value(Context& context, const Task& task) const {
    auto pending = Awaited<CallResult<F, Task>>::async(call(f_, context, task));
    Value value = co_await pending;
    co_return std::invoke(g_, task, std::move(value));
  }

  F f_;
  G g_;
};

template <NamesItsTask F, class G>
struct Signature<WithResult<F, G>> : ParameterList<typename F::taskmgr_task> {};
template <class F, class G>
struct Signature<WithResult<F, G>> : Signature<F> {};

}  // namespace detail

/// A function for tasks that are objects of the user's own: `f` is called with what the projections make of the task.
///
///     with_args(area, &Job::width, &Job::height)                                          // area(job.width, job.height)
///     with_args(area, [](const Job& job) { return std::tuple{job.width, job.height}; })   // the same
///
/// `f` may take a `Context&` first. What a projection throws is the task's error.
template <class F, class... P>
  requires(sizeof...(P) > 0)
[[nodiscard]] auto with_args(F f, P... projections) {
  return detail::WithArgs<F, P...>{std::move(f), std::move(projections)...};
}

/// A function whose result is `g(task, f(task))`, called where `f` ran; what `g` throws is the task's error too.
template <class F, class G>
[[nodiscard]] auto with_result(F f, G g) {
  return detail::WithResult<F, G>{std::move(f), std::move(g)};
}

}  // namespace taskmgr
