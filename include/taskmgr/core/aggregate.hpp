// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The members of an aggregate, found out by the compiler: how many there are, their types, and references to them. So
/// a `struct Job { int id; std::string url; };` can be hashed, compared and sent with no line of the user's code.

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace taskmgr::detail {

/// A list of types, as a value that costs nothing to make.
template <class... T>
struct Types {
  static constexpr std::size_t size = sizeof...(T);
};

/// The most members that an aggregate may have to be taken apart.
inline constexpr std::size_t max_members = 32;

/// What the compiler found out about the members of a class; `member_types` is `void` where it cannot tell.
template <class T>
struct Reflection;

/// A class that can be taken apart: an aggregate of 0 to `max_members` members.
///
/// These may be C arrays, other aggregates, the class itself in a container, what can be neither copied nor moved, what
/// has no default constructor, const, and have default initialisers. Not taken apart are
/// * unions, C arrays, and what has a `std::tuple_size` (`std::array`): they are no structs;
/// * a struct with a base class, a reference, a bit-field, or a union, named or anonymous, among its members;
/// * one whose C arrays have more than some 8,000 elements in all, in the innermost of nested arrays: to count them
///   would take the compiler seconds (a `std::array` is one member, however long);
/// * one in which more than 64 initialisers are needed before the rest may be left out.
///
/// `T` has to be complete where this is asked first. A struct with an anonymous struct in it, which is no standard C++,
/// does not compile here.
template <class T>
concept Aggregate = std::is_class_v<T> && !std::is_const_v<T> && !std::is_volatile_v<T> && std::is_aggregate_v<T> &&
                    !requires { std::tuple_size<T>::value; } && !std::is_void_v<typename Reflection<T>::member_types>;

/// The number of members; a C array counts as one.
template <Aggregate T>
inline constexpr std::size_t member_count = Reflection<T>::member_types::size;

/// The types of the members, without `const`: `Types<int, std::string, char[16]>`.
template <Aggregate T>
using member_types = typename Reflection<T>::member_types;

/// Calls `f(first, second, ...)` with the members as lvalues, const where the object is, and returns its result.
template <Aggregate T, class F>
constexpr auto visit_members(T& object, F&& f);
template <Aggregate T, class F>
constexpr auto visit_members(const T& object, F&& f);

/// References to the members in the order of their declaration: a `std::tuple<int&, const std::string&, char(&)[16]>`.
template <Aggregate T>
[[nodiscard]] constexpr auto members(T& object);
template <Aggregate T>
[[nodiscard]] constexpr auto members(const T& object);
template <Aggregate T>
void members(const T&& object) = delete;  // the references would dangle

// ---------------------------------------------------------------------------------------------------------------------
// Counting. `T{any, any, any}` compiles for as many initialisers as T takes; `any` converts to whatever the member is.
// With brace elision a C array takes an initialiser for each of its elements, so each position is tried again in
// braces: if `T{any, {}, any...}` takes fewer initialisers than `T{any, any, any...}`, an array begins there.

/// Never called, but defined: some compilers instantiate the constructors of a library class that would call it.
struct AnyValue {
  explicit constexpr AnyValue(std::size_t) noexcept {}
  AnyValue(const AnyValue&) = delete;  // so that std::any, made from whatever is copied, takes the conversion
  template <class U>
  operator U() const noexcept {
    __builtin_unreachable();
  }
};

/// As `AnyValue`, but the conversion to a union may throw: `noexcept` tells whether one was needed.
struct NoUnion {
  explicit constexpr NoUnion(std::size_t) noexcept {}
  NoUnion(const NoUnion&) = delete;
  template <class U>
  operator U() const noexcept(!std::is_union_v<U>) {
    __builtin_unreachable();
  }
};

/// Converts to a base class of `T` and to nothing else.
template <class T>
struct BaseOf {
  template <class U>
    requires(std::is_base_of_v<U, T> && !std::is_same_v<U, T>)
  operator U() const noexcept {
    __builtin_unreachable();
  }
};

struct Nothing {};

template <class T, class Sequence>
inline constexpr bool takes_values = false;
template <class T, std::size_t... I>
inline constexpr bool takes_values<T, std::index_sequence<I...>> = requires { T{AnyValue{I}...}; };

/// `T{any × N}`.
template <class T, std::size_t N>
inline constexpr bool takes = takes_values<T, std::make_index_sequence<N>>;

template <class T, std::size_t... I>
constexpr bool has_union(std::index_sequence<I...>) {
  constexpr bool never_throws = requires {
    { T{AnyValue{I}...} } noexcept;
  };
  constexpr bool never_throws_without_union = requires {
    { T{NoUnion{I}...} } noexcept;
  };
  return never_throws && !never_throws_without_union;
}

template <class T, class Before, class Inside, class After>
inline constexpr bool takes_nested = false;
template <class T, std::size_t... I, std::size_t... J, std::size_t... K>
inline constexpr bool
    takes_nested<T, std::index_sequence<I...>, std::index_sequence<J...>, std::index_sequence<K...>> =
        requires { T{AnyValue{I}..., {AnyValue{J}...}, AnyValue{K}...}; };

/// `T{any × Before, {any × Inside}, any × After}`.
template <class T, std::size_t Before, std::size_t Inside, std::size_t After>
inline constexpr bool takes_braces = takes_nested<T, std::make_index_sequence<Before>, std::make_index_sequence<Inside>,
                                                  std::make_index_sequence<After>>;

template <class T, class First, class Sequence>
inline constexpr bool starts_with = false;
template <class T, class First, std::size_t... I>
inline constexpr bool starts_with<T, First, std::index_sequence<I...>> = requires { T{First{}, AnyValue{I}...}; };

inline constexpr std::size_t unknown_count = static_cast<std::size_t>(-1);
inline constexpr std::size_t max_initialisers = 8192;
inline constexpr std::size_t max_required = 64;

/// The fewest initialisers: 0, unless a member has no default.
template <class T, std::size_t N = 0>
constexpr std::size_t fewest_initialisers() {
  if constexpr (N > max_required) return unknown_count;
  else if constexpr (takes<T, N>) return N;
  else return fewest_initialisers<T, N + 1>();
}

/// The most initialisers, where `Good` are taken and `Bad` are too many: bisection.
template <class T, std::size_t Good, std::size_t Bad>
constexpr std::size_t most_between() {
  if constexpr (Good + 1 == Bad) return Good;
  else if constexpr (takes<T, (Good + Bad) / 2>) return most_between<T, (Good + Bad) / 2, Bad>();
  else return most_between<T, Good, (Good + Bad) / 2>();
}

/// The same where only `Good` is known: doubles the step first, so that small structs need few and short trials.
template <class T, std::size_t Good, std::size_t Step = 1>
constexpr std::size_t most_initialisers() {
  if constexpr (Good + Step > max_initialisers) return unknown_count;
  else if constexpr (takes<T, Good + Step>) return most_initialisers<T, Good + Step, 2 * Step>();
  else return most_between<T, Good, Good + Step>();
}

/// With `{}` at position `I`, the most initialisers that may follow it: more than `Good` or as many, fewer than `Bad`.
template <class T, std::size_t I, std::size_t Good, std::size_t Bad>
constexpr std::size_t most_after() {
  if constexpr (Good + 1 == Bad) return Good;
  else if constexpr (takes_braces<T, I, 0, (Good + Bad) / 2>) return most_after<T, I, (Good + Bad) / 2, Bad>();
  else return most_after<T, I, Good, (Good + Bad) / 2>();
}

/// The initialisers that the member at position `I` of `Total` takes, tried one by one from `N`: for arrays whose
/// elements have no default, or with such members behind them.
template <class T, std::size_t I, std::size_t Total, std::size_t N = 2>
constexpr std::size_t initialisers_by_trial() {
  if constexpr (I + N > Total || N > max_required) return 1;
  else if constexpr (takes_braces<T, I, N, Total - I - N> && !takes_braces<T, I, N, Total - I - 1>) return N;
  else return initialisers_by_trial<T, I, Total, N + 1>();
}

/// The initialisers that the member at position `I` of `Total` takes: the number of its elements if it is a C array.
template <class T, std::size_t I, std::size_t Total>
constexpr std::size_t initialisers_at() {
  if constexpr (I + 1 == Total) return 1;
  else if constexpr (takes_braces<T, I, 0, Total - I - 1>) return 1;
  else if constexpr (takes_braces<T, I, 0, 0>) return Total - I - most_after<T, I, 0, Total - I - 1>();
  else return initialisers_by_trial<T, I, Total>();
}

template <class T, std::size_t Total, std::size_t I = 0, std::size_t Found = 0>
constexpr std::size_t count_from() {
  if constexpr (I == Total) return Found;
  else if constexpr (Found == max_members) return unknown_count;
  else return count_from<T, Total, I + initialisers_at<T, I, Total>(), Found + 1>();
}

template <class T, std::size_t Total>
constexpr bool has_base() {
  using Rest = std::make_index_sequence<Total - 1>;
  return starts_with<T, BaseOf<T>, Rest> && !starts_with<T, Nothing, Rest>;  // a member may swallow anything: std::any
}

/// The number of members, or `unknown_count`.
template <class T>
constexpr std::size_t count_members() {
  constexpr std::size_t fewest = fewest_initialisers<T>();
  if constexpr (fewest == unknown_count) {
    return unknown_count;
  } else {
    constexpr std::size_t total = most_initialisers<T, fewest>();
    if constexpr (total == 0 || total == unknown_count) return total;
    else if constexpr (has_base<T, total>()) return unknown_count;
    else if constexpr (has_union<T>(std::make_index_sequence<total>{})) return unknown_count;
    else return count_from<T, total>();
  }
}

// Taking apart. A structured binding cannot have a number of names that depends on a parameter, hence the ladder.

template <std::size_t N, class T, class F>
constexpr auto visit_counted([[maybe_unused]] T& object, F&& f) {
#define TASKMGR_MEMBERS(count, ...) \
  else if constexpr (N == count) {  \
    auto& [__VA_ARGS__] = object;   \
    return f(__VA_ARGS__);          \
  }
  if constexpr (N == 0) { return f(); }
  TASKMGR_MEMBERS(1, a)
  TASKMGR_MEMBERS(2, a, b)
  TASKMGR_MEMBERS(3, a, b, c)
  TASKMGR_MEMBERS(4, a, b, c, d)
  TASKMGR_MEMBERS(5, a, b, c, d, e)
  TASKMGR_MEMBERS(6, a, b, c, d, e, g)
  TASKMGR_MEMBERS(7, a, b, c, d, e, g, h)
  TASKMGR_MEMBERS(8, a, b, c, d, e, g, h, i)
  TASKMGR_MEMBERS(9, a, b, c, d, e, g, h, i, j)
  TASKMGR_MEMBERS(10, a, b, c, d, e, g, h, i, j, k)
  TASKMGR_MEMBERS(11, a, b, c, d, e, g, h, i, j, k, l)
  TASKMGR_MEMBERS(12, a, b, c, d, e, g, h, i, j, k, l, m)
  TASKMGR_MEMBERS(13, a, b, c, d, e, g, h, i, j, k, l, m, n)
  TASKMGR_MEMBERS(14, a, b, c, d, e, g, h, i, j, k, l, m, n, o)
  TASKMGR_MEMBERS(15, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p)
  TASKMGR_MEMBERS(16, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q)
  TASKMGR_MEMBERS(17, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r)
  TASKMGR_MEMBERS(18, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s)
  TASKMGR_MEMBERS(19, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s, t)
  TASKMGR_MEMBERS(20, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u)
  TASKMGR_MEMBERS(21, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v)
  TASKMGR_MEMBERS(22, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w)
  TASKMGR_MEMBERS(23, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x)
  TASKMGR_MEMBERS(24, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y)
  TASKMGR_MEMBERS(25, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z)
  TASKMGR_MEMBERS(26, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, A)
  TASKMGR_MEMBERS(27, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, A, B)
  TASKMGR_MEMBERS(28, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, A, B, C)
  TASKMGR_MEMBERS(29, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, A, B, C, D)
  TASKMGR_MEMBERS(30, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, A, B, C, D, E)
  TASKMGR_MEMBERS(31, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, A, B, C, D, E, G)
  TASKMGR_MEMBERS(32, a, b, c, d, e, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, A, B, C, D, E, G, H)
#undef TASKMGR_MEMBERS
}

/// Takes references to const, since those bind to a bit-field, too: to a copy of it.
struct ListTypes {
  template <class... M>
  constexpr Types<M...> operator()(const M&...) const noexcept {
    return {};
  }
};

struct ListReferences {
  template <class... M>
  constexpr std::tuple<M&...> operator()(M&... member) const noexcept {
    return std::tuple<M&...>{member...};
  }
};

/// Room for a `T` in which there is none: the compiler knows where its members would be, and nothing that they hold.
template <class T>
union Room {
  char none = 0;
  T object;
  constexpr Room() noexcept {}
  constexpr ~Room() {}
};

#ifdef __clang__  // whose version 14 evaluates no local variable of a non-literal type, even if it holds none
template <class T>
inline Room<T> room;
#endif

/// A constant expression, unless there is a bit-field, which has to be read to make a reference (to a copy of it), or a
/// member that is a reference, which has to be read as well.
template <class T, std::size_t Count>
constexpr auto list_types() {
#ifdef __clang__
  return visit_counted<Count>(room<T>.object, ListTypes{});
#else  // g++ would put the global variable into the program
  Room<T> room;
  return visit_counted<Count>(room.object, ListTypes{});
#endif
}

template <class T, std::size_t Count = count_members<T>()>
struct ReflectionOf {
  using member_types = void;
};
template <class T, std::size_t Count>
  requires requires { typename std::bool_constant<(list_types<T, Count>(), true)>; }
struct ReflectionOf<T, Count> {
  using member_types = decltype(list_types<T, Count>());
};
template <class T>
struct ReflectionOf<T, unknown_count> {
  using member_types = void;
};

template <class T>
struct Reflection : ReflectionOf<T> {};

template <Aggregate T, class F>
constexpr auto visit_members(T& object, F&& f) {
  return visit_counted<member_count<T>>(object, f);
}

template <Aggregate T, class F>
constexpr auto visit_members(const T& object, F&& f) {
  return visit_counted<member_count<T>>(object, f);
}

template <Aggregate T>
constexpr auto members(T& object) {
  return visit_members(object, ListReferences{});
}

template <Aggregate T>
constexpr auto members(const T& object) {
  return visit_members(object, ListReferences{});
}

}  // namespace taskmgr::detail
