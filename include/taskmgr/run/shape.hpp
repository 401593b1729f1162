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

#include "../core/aggregate.hpp"
#include "../core/equal.hpp"
#include "wire.hpp"

namespace taskmgr::detail {

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
concept Insertable =
    requires(T& range, typename T::value_type&& value) { range.push_back(std::move(value)); } ||
    requires(T& range, typename T::value_type&& value) { range.insert(range.end(), std::move(value)); } ||
    requires(T& range, typename T::value_type&& value) { range.insert_after(range.before_begin(), std::move(value)); };

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

}  // namespace taskmgr::detail
