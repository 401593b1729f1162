// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a value is made of, for a codec to take it apart and to rebuild it: found by what its type can do, so that no
/// header is included for a type that a program may not use.

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <taskmgr/core/aggregate.hpp>
#include <taskmgr/core/equal.hpp>

namespace taskmgr {

class Writer;
class Reader;
template <class T>
struct Codec;

/// Whether a `T` crosses as its bytes, as they are: for a trivially copyable type that has no codec, and in which no
/// address is.
///
///     template <> inline constexpr bool taskmgr::as_bytes<Pixel> = true;
template <class T>
inline constexpr bool as_bytes = false;

namespace detail {

/// How the values of a type are sent. From `pointer` on, they are not.
enum class Shape {
  own,          // by a user's Codec
  bytes,        // as they are
  null,         // std::nullptr_t
  number,
  boolean,
  enumeration,
  c_array,      // as a member only
  array,
  bits,         // std::bitset
  product,      // pair, tuple
  optional,
  variant,
  owner,        // unique_ptr
  duration,
  time_point,
  path,
  map,
  range,        // what can be rebuilt by insertion
  members,      // an aggregate
  pointer,
  reference,
  view,
  function,
  half_own,     // a Codec of the user's without one of its functions
  no_bytes,     // marked by as_bytes, but not trivially copyable
  heir,         // inherits from a container, and has members besides
  unknown
};

/// Looks at `T` itself, not at its parts.
template <class T>
constexpr Shape shape_of();

/// The types of the parts, of elements, members, alternatives: `type` is a `Types<...>`.
template <class T, Shape shape = shape_of<T>()>
struct PartsOf {
  using type = Types<>;
};
template <class T>
using parts_of = typename PartsOf<T>::type;

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
// Types of the standard library, and those made like them.

template <class T, class... U>
inline constexpr bool is_one_of = (std::is_same_v<T, U> || ...);

template <class T>
inline constexpr bool is_calendar =
    is_one_of<T, std::chrono::day, std::chrono::month, std::chrono::year, std::chrono::weekday,
              std::chrono::weekday_indexed, std::chrono::weekday_last, std::chrono::month_day,
              std::chrono::month_day_last, std::chrono::month_weekday, std::chrono::month_weekday_last,
              std::chrono::year_month, std::chrono::year_month_day, std::chrono::year_month_day_last,
              std::chrono::year_month_weekday, std::chrono::year_month_weekday_last>;

/// `std::complex`.
template <class T>
concept Complex = std::is_trivially_copyable_v<T> && requires(const T& number, typename T::value_type part) {
  requires std::is_floating_point_v<decltype(part)> && sizeof(T) == 2 * sizeof(part);
  { number.real() } -> std::same_as<decltype(part)>;
  { number.imag() } -> std::same_as<decltype(part)>;
};

template <class T>
inline constexpr bool is_bitset = false;
template <template <std::size_t> class Bits, std::size_t size>
inline constexpr bool is_bitset<Bits<size>> = requires(Bits<size> bits) {
  { bits.test(0) } -> std::same_as<bool>;
  bits.set(std::size_t{0}, true);
};

/// `std::filesystem::path`, and Boost's: as the system writes it.
template <class T>
concept Path = requires(const T& path, typename T::string_type text) {
  { path.native() } -> std::same_as<const decltype(text)&>;
  T(std::move(text));
};

/// What a `unique_ptr` owns as it is, and not as a base class; its definition may be missing.
template <class T>
concept Owned = !std::is_array_v<T> && requires { sizeof(T); } && (!std::is_polymorphic_v<T> || std::is_final_v<T>);

template <class T>
inline constexpr bool is_owner = false;
template <Owned T>
inline constexpr bool is_owner<std::unique_ptr<T>> = true;

// Containers.

template <class T>
concept Insertable = requires(T& range, typename T::value_type&& value) { range.push_back(std::move(value)); } ||
                     requires(T& range, typename T::value_type&& value) { range.insert(range.end(), std::move(value)); } ||
                     requires(T& range, typename T::value_type&& value) {
                       range.insert_after(range.before_begin(), std::move(value));
                     };

template <class T, class Base>
constexpr bool grows(void (Base::*)()) noexcept {
  return sizeof(T) > sizeof(Base);
}
template <class T, class Base>
constexpr bool inherits(void (Base::*)()) noexcept {
  return !std::is_same_v<T, Base>;
}

/// A class that inherits its `clear` from a container.
template <class T>
concept Heir = requires { requires detail::inherits<T>(&T::clear); };

/// All that it holds are its elements, as far as one can tell: no view (nothing can be inserted). Of the ranges of
/// themselves only those that inherit from a container: others, as JSON libraries have them, may never end.
template <class T>
concept Container = Range<T> && (!std::is_same_v<Element<T>, T> || Heir<T>) && std::is_default_constructible_v<T> &&
                    std::is_move_constructible_v<T> &&
                    std::is_same_v<std::remove_cv_t<typename T::value_type>, Element<T>> && Insertable<T>;

template <class T>
concept MapLike = Container<T> && requires { requires std::is_same_v<typename T::value_type,
                                             std::pair<const typename T::key_type, typename T::mapped_type>>; };

/// An heir that is larger has members besides, which the elements would not tell.
template <class T>
constexpr bool is_larger_heir() {
  if constexpr (Heir<T>) return detail::grows<T>(&T::clear);
  else return false;
}

// What is refused, and how it is called.

template <class T>
concept Refers = requires(const T& wrapper) {  // std::reference_wrapper
  { wrapper.get() } -> std::same_as<typename T::type&>;
};

template <class T>
concept Points = requires(const T& pointer) {  // std::shared_ptr, and a std::unique_ptr with a deleter of its own
  { pointer.get() } -> std::convertible_to<const volatile void*>;
};

template <class T>
inline constexpr bool is_function = false;
template <template <class> class Function, class R, class... A>
inline constexpr bool is_function<Function<R(A...)>> = true;

template <class T>
concept Iterable = requires(T& range) { range.begin() != range.end(); };

// Which shape.

template <class T>
concept CodecSpecialised = !requires { requires std::same_as<typename Codec<T>::default_for, T>; };

template <class T>
concept CodecComplete = requires(Writer& writer, Reader& reader, const T& value) {
  Codec<T>::encode(writer, value);
  { Codec<T>::decode(reader) } -> std::same_as<T>;
};

template <class T>
constexpr Shape shape_of_class() {
  constexpr Form form = Made<T>::form;
  if constexpr (form == Form::product) return Shape::product;
  else if constexpr (form == Form::optional) return Shape::optional;
  else if constexpr (form == Form::variant) return Shape::variant;
  else if constexpr (form == Form::duration) return Shape::duration;
  else if constexpr (form == Form::time_point) return Shape::time_point;
  else if constexpr (is_std_array<T>) return Shape::array;
  else if constexpr (is_owner<T>) return Shape::owner;
  else if constexpr (is_calendar<T> || Complex<T>) return Shape::bytes;
  else if constexpr (is_bitset<T>) return Shape::bits;
  else if constexpr (Path<T>) return Shape::path;
  else if constexpr (Aggregate<T>) return Shape::members;  // before ranges: it may hold more than its elements
  else if constexpr (Container<T>)
    return is_larger_heir<T>() ? Shape::heir : MapLike<T> ? Shape::map : Shape::range;
  else if constexpr (Refers<T>) return Shape::reference;
  else if constexpr (Points<T>) return Shape::pointer;
  else if constexpr (is_function<T>) return Shape::function;
  else if constexpr (Iterable<T>) return Shape::view;
  else return Shape::unknown;
}

template <class T>
constexpr Shape shape_of() {
  if constexpr (std::is_reference_v<T>) return Shape::reference;
  else if constexpr (std::is_pointer_v<T> || std::is_member_pointer_v<T>) return Shape::pointer;
  else if constexpr (std::is_function_v<T>) return Shape::function;
  else if constexpr (std::is_bounded_array_v<T>) return Shape::c_array;
  else if constexpr (!std::is_same_v<T, std::remove_cv_t<T>>) return Shape::unknown;
  else if constexpr (!requires { sizeof(T); }) return Shape::unknown;  // void, or not defined yet
  else if constexpr (CodecSpecialised<T>) return CodecComplete<T> ? Shape::own : Shape::half_own;
  else if constexpr (as_bytes<T>) return std::is_trivially_copyable_v<T> ? Shape::bytes : Shape::no_bytes;
  else if constexpr (std::is_same_v<T, bool>) return Shape::boolean;
  else if constexpr (std::is_arithmetic_v<T>) return Shape::number;
  else if constexpr (std::is_enum_v<T>) return Shape::enumeration;
  else if constexpr (std::is_null_pointer_v<T>) return Shape::null;
  else if constexpr (std::is_class_v<T>) return shape_of_class<T>();
  else return Shape::unknown;
}

// The parts.

template <class... Part>
using Values = Types<std::remove_const_t<Part>...>;

template <template <class...> class Template, class... Part>
Values<Part...> list_arguments(const Template<Part...>&);

template <class E, std::size_t size>
struct PartsOf<E[size], Shape::c_array> {
  using type = Values<E>;
};
template <class T>
struct PartsOf<T, Shape::array> {
  using type = Values<typename T::value_type>;
};
template <class T>
struct PartsOf<T, Shape::product> {
  using type = decltype(detail::list_arguments(std::declval<const T&>()));
};
template <class T>
struct PartsOf<T, Shape::optional> : PartsOf<T, Shape::product> {};
template <class T>
struct PartsOf<T, Shape::variant> : PartsOf<T, Shape::product> {};
template <class T>
struct PartsOf<T, Shape::owner> {
  using type = Values<typename T::element_type>;
};
template <class T>
struct PartsOf<T, Shape::duration> {
  using type = Values<typename T::rep>;
};
template <class T>
struct PartsOf<T, Shape::time_point> {
  using type = Values<typename T::duration>;
};
template <class T>
struct PartsOf<T, Shape::path> {
  using type = Values<typename T::string_type>;
};
template <class T>
struct PartsOf<T, Shape::map> {
  using type = Values<typename T::key_type, typename T::mapped_type>;
};
template <class T>
struct PartsOf<T, Shape::range> {
  using type = Values<typename T::value_type>;
};
template <class T>
struct PartsOf<T, Shape::members> {
  using type = member_types<T>;
};

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
    return is_filled<T>() || (std::tuple_size_v<T> <= max_braces && std::is_move_constructible_v<typename T::value_type>);
  else if constexpr (shape == Shape::members) return is_filled<T>() || fits_braces<member_types<T>>;
  else if constexpr (shape == Shape::optional || shape == Shape::variant || shape == Shape::map || shape == Shape::range)
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

}  // namespace detail
}  // namespace taskmgr
