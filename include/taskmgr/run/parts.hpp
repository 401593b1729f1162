// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What can be sent at all, in how few bytes, and how it is made again of its parts.

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include "../core/aggregate.hpp"
#include "shape.hpp"

namespace taskmgr::detail {

/// Whether there is a `Codec<T>` that can be used, for all parts of a `T` as well. Never a compile error. What is in
/// `Seen` is being decided on already, and counts as having one: a struct that holds a vector of itself has one if all
/// the rest of it has.
template <class T, class... Seen>
constexpr bool codec_exists();

template <class T>
inline constexpr bool has_codec = !std::is_array_v<T> && codec_exists<T>();  // an array only as a member

/// Whether the bytes of a `T` are its value, any bytes are one, and none is padding: so it is copied as a whole.
template <class T>
constexpr bool flat();

/// The bytes that each `T` takes at least when it is written; 0 of what may take none.
template <class T>
constexpr std::size_t least_size();

// ---------------------------------------------------------------------------------------------------------------------
template <class T, class Parts = parts_of<T>>
inline constexpr bool all_flat = false;
template <class T, class... Part>
inline constexpr bool all_flat<T, Types<Part...>> = (flat<Part>() && ...) && (sizeof(Part) + ... + 0) == sizeof(T);

template <class T>
constexpr bool flat() {
  constexpr Shape shape = shape_of<T>();
  if constexpr (!std::is_trivially_copyable_v<T>) return false;
  else if constexpr (shape == Shape::bytes || shape == Shape::number) return true;
  else if constexpr (shape == Shape::enumeration) return !std::is_same_v<std::underlying_type_t<T>, bool>;
  else if constexpr (shape == Shape::c_array) return flat<std::remove_const_t<std::remove_all_extents_t<T>>>();
  else if constexpr (shape == Shape::array) return std::tuple_size_v<T> != 0 && flat<typename T::value_type>();
  else if constexpr (shape == Shape::duration || shape == Shape::time_point || shape == Shape::members)
    return all_flat<T>;
  else return false;
}

template <class Parts>
inline constexpr std::size_t least_sum = 0;
template <class... Part>
inline constexpr std::size_t least_sum<Types<Part...>> = (least_size<Part>() + ... + 0);

template <class T>
constexpr std::size_t least_size() {
  constexpr Shape shape = shape_of<T>();
  if constexpr (flat<T>()) return sizeof(T);
  else if constexpr (shape == Shape::c_array) return std::extent_v<T> * least_sum<parts_of<T>>;
  else if constexpr (shape == Shape::array) return std::tuple_size_v<T> * least_sum<parts_of<T>>;
  else if constexpr (shape == Shape::bits) return (T{}.size() + 7) / 8;
  else if constexpr (shape == Shape::own || shape == Shape::null) return 0;
  else if constexpr (shape == Shape::product || shape == Shape::members || shape == Shape::duration ||
                     shape == Shape::time_point || shape == Shape::path)
    return least_sum<parts_of<T>>;
  else return 1;  // of the others a flag, an index, a size
}

// Rebuilding: an aggregate or an array is made of its members in braces, which need not be default-constructible then,
// nor movable. C arrays among them would have to be given element by element, so where it can be done the object is
// made first and its members are assigned.

/// The most elements that are given in braces.
inline constexpr std::size_t max_braces = 256;

template <class T>
inline constexpr bool can_fill = std::is_move_assignable_v<T> || (flat<T>() && !std::is_const_v<T>);
template <class E, std::size_t size>
inline constexpr bool can_fill<E[size]> = can_fill<E>;

struct ListMembers {
  template <class... M>
  constexpr Types<M...> operator()(M&...) const noexcept {  // const where they are
    return {};
  }
};

template <class Members>
inline constexpr bool all_can_fill = false;
template <class... M>
inline constexpr bool all_can_fill<Types<M...>> = (std::is_array_v<M> || ...) && (can_fill<M> && ...);

/// Whether a `T` is default-constructed and then filled.
template <class T>
constexpr bool is_filled() {
  if constexpr (!std::is_default_constructible_v<T> || !std::is_move_constructible_v<T>) return false;
  else if constexpr (shape_of<T>() == Shape::array) return can_fill<typename T::value_type>;
  else return all_can_fill<decltype(detail::visit_members(std::declval<T&>(), ListMembers{}))>;
}

template <class M>
inline constexpr std::size_t leaf_count = sizeof(M) / sizeof(std::remove_all_extents_t<M>);

template <class... List>
struct Joined {
  using type = Types<>;
};
template <class... A>
struct Joined<Types<A...>> {
  using type = Types<A...>;
};
template <class... A, class... B, class... Rest>
struct Joined<Types<A...>, Types<B...>, Rest...> : Joined<Types<A..., B...>, Rest...> {};

template <class E, std::size_t... I>
Types<std::enable_if_t<(I + 1 > 0), E>...> repeat(std::index_sequence<I...>);

/// The members, with each C array replaced by its elements.
template <class Members>
struct LeavesOf;
template <class... M>
struct LeavesOf<Types<M...>> {
  static constexpr std::size_t size = (leaf_count<M> + ... + 0);
  template <class One>
  using Expanded = decltype(detail::repeat<std::remove_const_t<std::remove_all_extents_t<One>>>(
      std::make_index_sequence<leaf_count<One>>{}));
  using type = typename Joined<Expanded<M>...>::type;
};

template <class Members>
inline constexpr bool fits_braces = false;
template <class... M>
inline constexpr bool fits_braces<Types<M...>> =
    !(std::is_array_v<M> || ...) ||
    ((leaf_count<M> + ... + 0) <= max_braces &&
     ((!std::is_array_v<M> || std::is_move_constructible_v<std::remove_all_extents_t<M>>) && ...));

template <class T, class Parts>
inline constexpr bool takes_parts = false;
template <class T, class... Part>
inline constexpr bool takes_parts<T, Types<Part...>> = std::is_constructible_v<T, Part...>;

template <class Parts>
inline constexpr bool all_movable = false;
template <class... Part>
inline constexpr bool all_movable<Types<Part...>> = (std::is_move_constructible_v<Part> && ...);

/// Whether a `T` can be made of its parts, if these can be made.
template <class T>
constexpr bool can_rebuild() {
  constexpr Shape shape = shape_of<T>();
  if constexpr (shape == Shape::product) return takes_parts<T, parts_of<T>>;
  else if constexpr (shape == Shape::array)
    return is_filled<T>() || (std::tuple_size_v<T> <= max_braces && all_movable<parts_of<T>>);
  else if constexpr (shape == Shape::members) return is_filled<T>() || fits_braces<member_types<T>>;
  else if constexpr (shape == Shape::optional || shape == Shape::variant || shape == Shape::map ||
                     shape == Shape::range)
    return all_movable<parts_of<T>>;
  else return true;
}

template <class T, class... Seen>
constexpr bool codec_within() {
  if constexpr ((std::is_same_v<T, Seen> || ...)) return true;
  else return codec_exists<T, Seen...>();
}

template <class Parts, class... Seen>
inline constexpr bool all_have_codec = false;
template <class... Part, class... Seen>
inline constexpr bool all_have_codec<Types<Part...>, Seen...> = (codec_within<Part, Seen...>() && ...);

template <class T, class... Seen>
constexpr bool codec_exists() {
  if constexpr (shape_of<T>() >= Shape::pointer) return false;
  else if constexpr (!all_have_codec<parts_of<T>, T, Seen...>) return false;
  else return can_rebuild<T>();
}

}  // namespace taskmgr::detail
