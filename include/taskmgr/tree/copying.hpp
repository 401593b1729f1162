// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Which results can be copied where several tasks of a tree have one.

#include <cstddef>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "../core/aggregate.hpp"
#include "../core/call.hpp"

namespace taskmgr::detail {

/// A `T` can be copied, and so can what it holds, as far as that can be seen from outside: a `std::vector<std::unique_ptr<int>>`
/// says of itself that it can, as does a struct with such a member. `Outer` are those that `T` was found in.
template <class T, class... Outer>
constexpr bool can_be_copied();

// ---------------------------------------------------------------------------------------------------------------------

template <class Whole, class Parts, class... Outer>
inline constexpr bool parts_can_be_copied = false;
template <class Whole, template <class...> class Parts, class... Part, class... Outer>
inline constexpr bool parts_can_be_copied<Whole, Parts<Part...>, Outer...> = (can_be_copied<Part, Whole, Outer...>() && ...);

template <class T>
inline constexpr bool is_choice = false;
template <class T>
inline constexpr bool is_choice<std::optional<T>> = true;
template <class... T>
inline constexpr bool is_choice<std::variant<T...>> = true;
template <class... T>
inline constexpr bool is_choice<std::pair<T...>> = true;
template <class... T>
inline constexpr bool is_choice<std::tuple<T...>> = true;

template <class T, class... Outer>
constexpr bool can_be_copied() {
  if constexpr ((std::is_same_v<T, Outer> || ...)) {
    return true;  // a tree of some kind: the rest of it decides
  } else if constexpr (std::is_array_v<T>) {
    return can_be_copied<std::remove_all_extents_t<T>, Outer...>();
  } else if constexpr (!std::is_copy_constructible_v<T>) {
    return false;
  } else if constexpr (is_choice<T>) {
    return parts_can_be_copied<T, T, Outer...>;
  } else if constexpr (std::ranges::range<T> && !std::ranges::view<T>) {
    return can_be_copied<std::ranges::range_value_t<T>, T, Outer...>();
  } else if constexpr (Aggregate<T>) {
    return parts_can_be_copied<T, member_types<T>, Outer...>;
  } else {
    return true;
  }
}

/// For `Store`: how a result is copied; null if it cannot be.
template <class T>
constexpr auto copier() -> T (*)(const T&) {
  if constexpr (can_be_copied<T>()) return [](const T& value) { return value; };
  else return nullptr;
}

}  // namespace taskmgr::detail
