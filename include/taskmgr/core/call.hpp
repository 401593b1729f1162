// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How a task meets a callable: which of the four calls is made, what comes of it, and what a list of tasks is made of.
///
/// Tried in this order: `f(task)`; `f(unpacked task...)`, of a tuple, pair or array; `f(context, task)`;
/// `f(context, unpacked task...)`. The task is always passed as `const Task&`, and `f` is called as a const object.

#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace taskmgr {

class Context;

namespace detail {

template <class T>
concept TupleLike = requires { std::tuple_size<T>::value; };

/// A string task on its way into a `const char*` parameter.
struct Characters {
  const std::string& text;
  operator const char*() const noexcept { return text.c_str(); }         // NOLINT: converting is its purpose
  operator const std::string&() const noexcept { return text; }          // NOLINT
  operator std::string_view() const noexcept { return text; }            // NOLINT
};

template <class T>
using AsCharacters = std::conditional_t<std::is_same_v<T, std::string>, Characters, const T&>;

/// The same question for a whole tuple, in one place: does `F`, given `Before...`, take the elements of `Task`?
template <class F, class Task, class... Before>
inline constexpr bool takes_unpacked = false;

template <class F, TupleLike Task, class... Before>
inline constexpr bool takes_unpacked<F, Task, Before...> = []<std::size_t... I>(std::index_sequence<I...>) {
  return std::is_invocable_v<const F&, Before..., const std::tuple_element_t<I, Task>&...>;
}(std::make_index_sequence<std::tuple_size_v<Task>>{});

/// As `takes_unpacked`, with strings as `const char*` where need be.
template <class F, class Task, class... Before>
inline constexpr bool takes_characters = std::is_invocable_v<const F&, Before..., AsCharacters<Task>>;

template <class F, TupleLike Task, class... Before>
inline constexpr bool takes_characters<F, Task, Before...> = []<std::size_t... I>(std::index_sequence<I...>) {
  return std::is_invocable_v<const F&, Before..., AsCharacters<std::tuple_element_t<I, Task>>...>;
}(std::make_index_sequence<std::tuple_size_v<Task>>{});

enum class CallKind { none, whole, unpacked, context_whole, context_unpacked, characters, context_characters };

// Each step is looked at only if the one before did not fit: asking a generic lambda a question that it would not have
// been asked can be a hard error in its body.
template <class F, class Task>
constexpr CallKind call_kind() {
  if constexpr (std::is_invocable_v<const F&, const Task&>) return CallKind::whole;
  else if constexpr (takes_unpacked<F, Task>) return CallKind::unpacked;
  else if constexpr (std::is_invocable_v<const F&, Context&, const Task&>) return CallKind::context_whole;
  else if constexpr (takes_unpacked<F, Task, Context&>) return CallKind::context_unpacked;
  else if constexpr (takes_characters<F, Task>) return CallKind::characters;
  else if constexpr (takes_characters<F, Task, Context&>) return CallKind::context_characters;
  else return CallKind::none;
}

/// `F` can be called with a `Task`, in one of the ways above.
template <class F, class Task>
concept CallableWith = call_kind<F, Task>() != CallKind::none;

/// `F` looks at its `Context`.
template <class F, class Task>
inline constexpr bool wants_context = call_kind<F, Task>() == CallKind::context_whole ||
                                      call_kind<F, Task>() == CallKind::context_unpacked ||
                                      call_kind<F, Task>() == CallKind::context_characters;

/// Calls `f` with `task`; returns what `f` returns, by the same kind of reference.
template <class F, class Task>
  requires CallableWith<F, Task>
decltype(auto) call(const F& f, Context& context, const Task& task);

template <class F, class Task>
using CallResult = decltype(call(std::declval<const F&>(), std::declval<Context&>(), std::declval<const Task&>()));

/// What a result is stored as: decayed, and `monostate` for void.
template <class T>
using Stored = std::conditional_t<std::is_void_v<T>, std::monostate, std::decay_t<T>>;

/// Whether `T` is a coroutine of which something comes later, and then `type`, what that is.
template <class T>
struct Awaited : std::false_type {
  using type = T;
};

/// `F` returns a coroutine.
template <class F, class Task>
inline constexpr bool gives_coroutine = Awaited<CallResult<F, Task>>::value;

template <class F, class Task>
using ResultOf = Stored<typename Awaited<CallResult<F, Task>>::type>;

/// Fails to compile, with one sentence, where `F` cannot be called with a `Task`. Its type is deduced so that it is
/// instantiated on the spot: the sentence then comes before the errors that follow from it.
template <class F, class Task>
constexpr auto require_callable();

/// The parameters of a callable with one signature, a leading `Context&` left out; `void` for a generic one.
template <class F>
struct Signature;

/// The task type of an initializer list for `F`: of one parameter its decayed type, of several a tuple; owning, so that no
/// key dangles: `string_view` and `const char*` become `std::string`, a `span<T>` a `vector<T>`.
template <class F>
using ListTask = typename Signature<F>::Task;

/// Stands in for the task type of a generic callable, to take any braces and give a readable error.
struct AnyTask {
  template <class... T>
  AnyTask(T&&...) {}  // NOLINT: converting is its purpose
};

}  // namespace detail

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

template <class T>
const T& as_characters(const T& value) noexcept {
  return value;
}
inline Characters as_characters(const std::string& value) noexcept { return Characters{value}; }

template <class Task, class Take>
decltype(auto) unpack(const Task& task, const Take& take) {
  return [&]<std::size_t... I>(std::index_sequence<I...>) -> decltype(auto) {
    using std::get;  // or that of the class
    return take(get<I>(task)...);
  }(std::make_index_sequence<std::tuple_size_v<Task>>{});
}

template <class F, class Task>
  requires CallableWith<F, Task>
decltype(auto) call(const F& f, [[maybe_unused]] Context& context, const Task& task) {
  constexpr CallKind kind = call_kind<F, Task>();
  if constexpr (kind == CallKind::whole) {
    return std::invoke(f, task);
  } else if constexpr (kind == CallKind::unpacked) {
    return unpack(task, [&f](const auto&... part) -> decltype(auto) { return std::invoke(f, part...); });
  } else if constexpr (kind == CallKind::context_whole) {
    return std::invoke(f, context, task);
  } else if constexpr (kind == CallKind::context_unpacked) {
    return unpack(task, [&](const auto&... part) -> decltype(auto) { return std::invoke(f, context, part...); });
  } else if constexpr (TupleLike<Task>) {
    return unpack(task, [&](const auto&... part) -> decltype(auto) {
      if constexpr (kind == CallKind::characters) return std::invoke(f, as_characters(part)...);
      else return std::invoke(f, context, as_characters(part)...);
    });
  } else if constexpr (kind == CallKind::characters) {
    return std::invoke(f, as_characters(task));
  } else {
    return std::invoke(f, context, as_characters(task));
  }
}

template <class F, class Task>
inline constexpr bool callable_if_mutable =
    std::is_invocable_v<F&, const Task&> || std::is_invocable_v<F&, Context&, const Task&> || [] {
      if constexpr (TupleLike<Task>) {
        return []<std::size_t... I>(std::index_sequence<I...>) {
          return std::is_invocable_v<F&, const std::tuple_element_t<I, Task>&...> ||
                 std::is_invocable_v<F&, Context&, const std::tuple_element_t<I, Task>&...>;
        }(std::make_index_sequence<std::tuple_size_v<Task>>{});
      } else {
        return false;
      }
    }();

template <class F, class Task>
constexpr auto require_callable() {
  if constexpr (!CallableWith<F, Task>) {
    if constexpr (callable_if_mutable<F, Task>) {
      static_assert(CallableWith<F, Task>,
                    "taskmgr: the function is called as a const object from several workers: a mutable lambda or a "
                    "non-const operator() cannot be a task function");
    } else {
      static_assert(CallableWith<F, Task>,
                    "taskmgr: the function cannot be called with such a task: its parameters must take a const Task&, or "
                    "the elements of a tuple, pair or array, after an optional taskmgr::Context&");
    }
  } else if constexpr (std::is_reference_v<CallResult<F, Task>>) {
    static_assert(std::is_constructible_v<ResultOf<F, Task>, CallResult<F, Task>>,
                  "taskmgr: the function returns a reference to what cannot be copied: return a value or a pointer");
  }
}

// --- signatures

template <class T>
struct ListElement {
  using type = T;
};
template <>
struct ListElement<std::string_view> {
  using type = std::string;
};
template <>
struct ListElement<const char*> {
  using type = std::string;
};
template <class T, std::size_t N>
struct ListElement<std::span<T, N>> {
  using type = std::vector<std::remove_cv_t<T>>;
};

template <class... Parameters>
struct TaskOf {
  using Task = std::tuple<typename ListElement<std::decay_t<Parameters>>::type...>;
};
template <class One>
struct TaskOf<One> {
  using Task = typename ListElement<std::decay_t<One>>::type;
};
template <class... Parameters>
struct ParameterList : TaskOf<Parameters...> {};  // a list of parameter types, as they are declared
template <class... Rest>
struct ParameterList<Context&, Rest...> : TaskOf<Rest...> {};
template <class... Rest>
struct ParameterList<const Context&, Rest...> : TaskOf<Rest...> {};

template <class T>
struct SignatureOfCall {
  using Task = AnyTask;
};
// The operator() of a functor, and functions: each with and without noexcept.
template <class C, class R, class... P>
struct SignatureOfCall<R (C::*)(P...) const> : ParameterList<P...> {};
template <class C, class R, class... P>
struct SignatureOfCall<R (C::*)(P...) const noexcept> : ParameterList<P...> {};
template <class C, class R, class... P>
struct SignatureOfCall<R (C::*)(P...) const&> : ParameterList<P...> {};
template <class C, class R, class... P>
struct SignatureOfCall<R (C::*)(P...) const & noexcept> : ParameterList<P...> {};
template <class C, class R, class... P>
struct SignatureOfCall<R (C::*)(P...)> : ParameterList<P...> {};
template <class C, class R, class... P>
struct SignatureOfCall<R (C::*)(P...) noexcept> : ParameterList<P...> {};
template <class R, class... P>
struct SignatureOfCall<R (*)(P...)> : ParameterList<P...> {};
template <class R, class... P>
struct SignatureOfCall<R (*)(P...) noexcept> : ParameterList<P...> {};

template <class T>
struct SignatureOfMember {
  using Task = AnyTask;
};
// A pointer to a member takes its object first.
template <class C, class M>
struct SignatureOfMember<M C::*> : ParameterList<C> {};
template <class C, class R, class... P>
struct SignatureOfMember<R (C::*)(P...) const> : ParameterList<C, P...> {};
template <class C, class R, class... P>
struct SignatureOfMember<R (C::*)(P...) const noexcept> : ParameterList<C, P...> {};

template <class F>
concept HasOneCallOperator = requires { &F::operator(); };
template <class F>
concept NamesItsTask = requires { typename F::taskmgr_task; };

template <class F>
constexpr auto signature() {
  if constexpr (NamesItsTask<F>) return std::type_identity<ParameterList<typename F::taskmgr_task>>{};
  else if constexpr (std::is_member_pointer_v<F>) return std::type_identity<SignatureOfMember<F>>{};
  else if constexpr (HasOneCallOperator<F>) return std::type_identity<SignatureOfCall<decltype(&F::operator())>>{};
  else return std::type_identity<SignatureOfCall<F>>{};
}

template <class F>
struct Signature : decltype(signature<F>())::type {};

}  // namespace detail

}  // namespace taskmgr
