// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Whether two values are the same, also where a type has no `==`: then its parts are compared.

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "aggregate.hpp"

namespace taskmgr::detail {

/// Whether two `T`s can be compared by `equal`. What is in `Seen` is being decided on already, and counts as comparable
/// here: a struct that holds a vector of itself is so if all the rest of it is.
template <class T, class... Seen>
constexpr bool comparable();

template <class T>
concept Comparable = comparable<T>();

/// `a == b` where the type has an `==`, else member by member or element by element: aggregates need no `==`, and may
/// be in containers, pairs, tuples, optionals and variants. NaN follows `==`: it is equal to nothing.
///
/// Which is meant where it is not plain: an aggregate that only converts to a number or a pointer has no `==`; one that
/// is also a range is compared by all of its members; a class that is a range, and neither an aggregate nor a container
/// nor has an `==` (a `std::span`), cannot be compared, for it may hold more than its elements.
///
/// Throws what an `==` throws. Thread safety: as reading the values. Complexity: as `==`; of unordered containers whose
/// elements have no `==`: linear, times the number of elements with the same key.
template <class T>
bool equal(const T& a, const T& b);

// ---------------------------------------------------------------------------------------------------------------------
// What a type is made of; hash.hpp asks the same.

template <class T>
inline constexpr bool is_text = false;
template <class Char, class Allocator>
inline constexpr bool is_text<std::basic_string<Char, std::char_traits<Char>, Allocator>> = std::is_integral_v<Char>;
template <class Char>
inline constexpr bool is_text<std::basic_string_view<Char>> = std::is_integral_v<Char>;

/// Classes of the standard library that are the sum of their parts. `Parts` is a list of their types.
enum class Form { other, product, optional, variant, duration, time_point, array };

template <class T>
struct Made {
  static constexpr Form form = Form::other;
};
template <Form The, class... Part>
struct MadeOf {
  static constexpr Form form = The;
  using Parts = Types<std::remove_cvref_t<Part>...>;
};
template <class A, class B>
struct Made<std::pair<A, B>> : MadeOf<Form::product, A, B> {};
template <class... A>
struct Made<std::tuple<A...>> : MadeOf<Form::product, A...> {};
template <class A>
struct Made<std::optional<A>> : MadeOf<Form::optional, A> {};
template <class... A>
struct Made<std::variant<A...>> : MadeOf<Form::variant, A...> {};
template <class Rep, class Period>
struct Made<std::chrono::duration<Rep, Period>> : MadeOf<Form::duration, Rep> {};
template <class Clock, class Duration>
struct Made<std::chrono::time_point<Clock, Duration>> : MadeOf<Form::time_point, Duration> {};
template <class A, std::size_t size>
struct Made<A[size]> : MadeOf<Form::array, A> {};

template <class T>
concept Range = requires(const T& range) {
  { range.begin() != range.end() } -> std::convertible_to<bool>;
  requires std::derived_from<typename std::iterator_traits<decltype(range.begin())>::iterator_category,
                             std::forward_iterator_tag>;
};

template <Range T>
using Element = std::remove_cvref_t<decltype(*std::declval<const T&>().begin())>;

template <class T>
concept UnorderedRange = Range<T> && requires {
  typename T::hasher;
  typename T::key_equal;
};

// Overload resolution finds an `==` for a vector of anything, and so does not tell whether it would compile. Hence
// `trusted`: where the standard library's `==` compares parts, those are asked.

template <class T>
concept HasEqual = requires(const T& a, const T& b) {
  { a == b } -> std::convertible_to<bool>;
};

/// Converts to `T` and to no base class of it, and no template's `==` can deduce its parameters from it.
template <class T>
struct Only {
  template <std::same_as<T> U>
  operator const U&() const noexcept {
    __builtin_unreachable();
  }
};

/// An `==` for this class: no template, and neither for a base class nor for what the class converts to.
template <class T>
concept HasOwnEqual = requires(const T& value, const Only<T>& other) {
  { value == other } -> std::convertible_to<bool>;
};

/// An aggregate whose `==` may be that of the number or pointer that it converts to: then it has none of its own.
template <class T>
concept MayConvertFirst = std::is_aggregate_v<T> && (std::is_convertible_v<const T&, double> ||
                                                     std::is_convertible_v<const T&, const volatile void*>);

template <class T>
inline constexpr bool is_specialisation = false;
template <template <class...> class Template, class... A>
inline constexpr bool is_specialisation<Template<A...>> = true;
template <template <class, std::size_t, class...> class Template, class A, std::size_t size, class... B>
inline constexpr bool is_specialisation<Template<A, size, B...>> = true;

template <class T>
inline constexpr bool is_std_array = false;
template <class A, std::size_t size>
inline constexpr bool is_std_array<std::array<A, size>> = true;

/// A range that is all in its elements: it has an `==` (which may not compile), or is a container. Of any other range
/// without `==` nobody knows what it holds besides.
template <class T>
concept ComparableByElements = Range<T> && (HasEqual<T> || is_std_array<T> || requires { typename T::allocator_type; });

/// `std::stack`, `std::queue`.
template <class T>
concept Adaptor = requires { typename T::container_type; };

/// Whether the `==` of a range whose elements have none was written for it, and not for all ranges of its family.
template <class T>
inline constexpr bool trusted_range = HasOwnEqual<T> && !is_specialisation<T>;

template <class T, class... Seen>
constexpr bool trusted();

template <class T, class... Seen>
constexpr bool trusted_within() {
  if constexpr ((std::is_same_v<T, Seen> || ...)) return true;
  else return trusted<T, Seen...>();
}

template <class Parts, class... Seen>
inline constexpr bool all_trusted = false;
template <class... Part, class... Seen>
inline constexpr bool all_trusted<Types<Part...>, Seen...> = (trusted_within<Part, Seen...>() && ...);

/// Whether there is an `==` that compiles.
template <class T, class... Seen>
constexpr bool trusted() {
  if constexpr (std::is_array_v<T>) return false;
  else if constexpr (!HasEqual<T>) return false;
  else if constexpr (!std::is_class_v<T> || is_text<T>) return true;
  else if constexpr (Made<T>::form != Form::other) return all_trusted<typename Made<T>::Parts, T, Seen...>;
  else if constexpr (Range<T>) return trusted_within<Element<T>, T, Seen...>() || trusted_range<T>;
  else if constexpr (MayConvertFirst<T>) return HasOwnEqual<T>;
  else if constexpr (Adaptor<T>) return trusted_within<typename T::container_type, T, Seen...>();
  else return true;
}

template <class T, class... Seen>
constexpr bool comparable_within() {
  if constexpr ((std::is_same_v<T, Seen> || ...)) return true;
  else return comparable<T, Seen...>();
}

template <class Parts, class... Seen>
inline constexpr bool all_comparable = false;
template <class... Part, class... Seen>
inline constexpr bool all_comparable<Types<Part...>, Seen...> = (comparable_within<Part, Seen...>() && ...);

template <class T, class... Seen>
constexpr bool comparable() {
  if constexpr (trusted<T>()) {
    return true;
  } else if constexpr (Made<T>::form != Form::other) {
    return all_comparable<typename Made<T>::Parts, T, Seen...>;
  } else if constexpr (Aggregate<T>) {  // before ranges: it may hold more than its elements
    return all_comparable<member_types<T>, T, Seen...>;
  } else if constexpr (ComparableByElements<T>) {
    if constexpr (!comparable_within<Element<T>, T, Seen...>()) return false;
    else if constexpr (!UnorderedRange<T>) return true;
    else return requires(const T& range, const typename T::key_type& key) { range.equal_range(key); };
  } else {
    return false;
  }
}

template <class T, std::size_t... I>
bool equal_parts(const T& a, const T& b, std::index_sequence<I...>) {
  constexpr Form form = Made<T>::form;
  if constexpr (form == Form::product) {
    return (detail::equal(std::get<I>(a), std::get<I>(b)) && ...);
  } else if constexpr (form == Form::optional) {
    return a.has_value() == b.has_value() && (!a.has_value() || detail::equal(*a, *b));
  } else if constexpr (form == Form::variant) {
    return a.index() == b.index() &&
           ((a.index() != I || detail::equal(*std::get_if<I>(&a), *std::get_if<I>(&b))) && ...);
  } else if constexpr (form == Form::duration) {
    return detail::equal(a.count(), b.count());
  } else {
    return detail::equal(a.time_since_epoch(), b.time_since_epoch());
  }
}

template <class Iterator, class End>
bool equal_sequences(Iterator a, const End& a_end, Iterator b, const End& b_end) {
  using Part = std::remove_cvref_t<decltype(*a)>;
  for (; a != a_end && b != b_end; ++a, ++b) {
    if (!detail::equal<Part>(*a, *b)) return false;
  }
  return !(a != a_end) && !(b != b_end);
}

/// As many of each element on both sides, and all equal to themselves.
template <class T>
bool equal_unordered(const T& a, const T& b) {
  const auto count = [](const T& range, const Element<T>& wanted) {
    auto [first, last] = [&] {
      if constexpr (requires { typename T::mapped_type; }) return range.equal_range(wanted.first);
      else return range.equal_range(wanted);
    }();
    std::size_t result = 0;
    for (; first != last; ++first) result += detail::equal<Element<T>>(*first, wanted) ? 1U : 0U;
    return result;
  };
  if (a.size() != b.size()) return false;
  for (const auto& element : a) {
    const std::size_t here = count(a, element);
    if (here == 0 || here != count(b, element)) return false;
  }
  return true;
}

template <class T>
bool equal(const T& a, const T& b) {
  if constexpr (trusted<T>()) {
    return static_cast<bool>(a == b);
  } else if constexpr (Made<T>::form == Form::array) {
    return detail::equal_sequences(std::begin(a), std::end(a), std::begin(b), std::end(b));
  } else if constexpr (Made<T>::form != Form::other) {
    return detail::equal_parts(a, b, std::make_index_sequence<Made<T>::Parts::size>{});
  } else if constexpr (Aggregate<T>) {
    return detail::visit_members(a, [&b](const auto&... one) {
      return detail::visit_members(b, [&one...](const auto&... other) { return (detail::equal(one, other) && ...); });
    });
  } else if constexpr (UnorderedRange<T>) {
    return detail::equal_unordered(a, b);
  } else {
    return detail::equal_sequences(a.begin(), a.end(), b.begin(), b.end());
  }
}

}  // namespace taskmgr::detail
