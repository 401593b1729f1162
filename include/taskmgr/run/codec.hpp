// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How values cross from one process to another: as bytes, by `Codec<T>`, which most types have with no line of code.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <taskmgr/core/aggregate.hpp>
#include <taskmgr/run/shape.hpp>
#include <taskmgr/run/wire.hpp>

namespace taskmgr {

/// Writes a `T` as bytes, and makes a `T` of them again, in this program or a fork of it: the bytes are those of this
/// machine and of this version of the library, and are not for a disk.
///
/// | a value | crosses as |
/// | --- | --- |
/// | of a type for which this template is specialised | that says |
/// | of a type marked by `taskmgr::as_bytes`, `std::complex`, a calendar date | its bytes |
/// | an arithmetic type, an enum | its bytes |
/// | a pair, tuple, `std::array`, optional, variant, duration, time point | its parts |
/// | a `std::unique_ptr` | nothing, or what it owns |
/// | a `std::bitset`, a path | its bits, its text |
/// | a container: what has `begin`, `end`, and `push_back`, `insert` or `insert_after` | its elements, inserted in order |
/// | an aggregate of at most 32 members (`detail::Aggregate` says which), C arrays among them | its members |
///
/// Parts, elements and members by this template again; a type may contain itself in a container or a `unique_ptr`.
/// They may be move-only, and need no default constructor.
///
/// A class with private members needs a codec of its own:
///
///     template <> struct taskmgr::Codec<Url> {
///       static void encode(Writer& writer, const Url& url) { Codec<std::string>::encode(writer, url.text()); }
///       static Url decode(Reader& reader) { return Url{Codec<std::string>::decode(reader)}; }
///     };
///
/// What means nothing elsewhere has none, and to ask for it does not compile: pointers, references, views, functions.
///
/// Throws `CodecError`: `encode` for what is nested deeper than `max_nesting`, and for a variant without a value;
/// `decode` for bytes that are no `T`. Whatever the bytes are, `decode` reads only those that are there, takes no more
/// memory than what it finds in them can fill, and nests no deeper. And what a constructor or an allocation throws.
///
/// Thread safety: as reading the value. Complexity: linear in its size; numbers in a row are copied at once.
template <class T>
struct Codec {
  using default_for = T;  // which tells a specialisation from this template

  static void encode(Writer& writer, const T& value);
  [[nodiscard]] static T decode(Reader& reader);
};

/// Whether there is a `Codec<T>`, one for each part of a `T` included. To ask never fails to compile.
template <class T>
concept Encodable = detail::has_codec<T>;

// ---------------------------------------------------------------------------------------------------------------------

template <class T>
  requires(std::is_void_v<T> || std::is_function_v<T> || std::is_array_v<T>)
struct Codec<T> {
  static_assert(!std::is_void_v<T>, "taskmgr::Codec: void has no value: send a std::monostate");
  static_assert(!std::is_function_v<T>, "taskmgr::Codec: a function cannot be sent to another process: send data");
  static_assert(!std::is_array_v<T>, "taskmgr::Codec: a C array cannot be returned: send a std::array, or a struct with the array in it");
};

namespace detail {

// Saying no, about the innermost part that is to blame.

template <class T>
[[noreturn]] void blame();

template <class... Part>
void blame_parts(Types<Part...>) {
  ([] {
    if constexpr (!codec_exists<Part>()) detail::blame<Part>();
  }(), ...);
}

/// Does not compile.
template <class T>
[[noreturn]] void blame() {
  constexpr Shape shape = shape_of<T>();
  static_assert(shape != Shape::pointer,
                "taskmgr::Codec: a pointer means nothing in another process: send the value, or a std::unique_ptr that owns one object");
  static_assert(shape != Shape::reference,
                "taskmgr::Codec: a reference means nothing in another process: send a value");
  static_assert(shape != Shape::view,
                "taskmgr::Codec: a view owns nothing that could be sent: send a container, a std::string for a std::string_view, "
                "a std::vector for a std::span (a container that nothing can be inserted into needs a taskmgr::Codec of its own)");
  static_assert(shape != Shape::function, "taskmgr::Codec: a function cannot be sent to another process: send data");
  static_assert(shape != Shape::half_own,
                "taskmgr::Codec is specialised for this type, but has not both of "
                "`static void encode(Writer&, const T&)` and `static T decode(Reader&)`");
  static_assert(shape != Shape::no_bytes, "taskmgr::as_bytes is for trivially copyable types");
  static_assert(shape != Shape::heir,
                "taskmgr::Codec: a class that inherits from a container and has members besides needs a taskmgr::Codec of its own");
  static_assert(shape != Shape::unknown,
                "taskmgr::Codec does not know how to take this type apart: make it an aggregate (all members public, no "
                "constructor, no base class), specialise taskmgr::Codec for it, or set taskmgr::as_bytes if its bytes are all of it");
  if constexpr (shape < Shape::pointer) {
    static_assert(!all_have_codec<parts_of<T>, T> || can_rebuild<T>(),
                  "taskmgr::Codec cannot make a value of this type from its parts: these must be movable");
    detail::blame_parts(parts_of<T>{});
  }
}

// Writing.

/// As `Codec<T>::encode`, for C arrays too, and guarded where a user's codec may call itself through others.
template <class T>
void encode_part(Writer& writer, const T& value);

/// Elements of no certain size take a byte more, so that a number of them can be believed.
template <class Element>
void encode_element(Writer& writer, const Element& element) {
  detail::encode_part(writer, element);
  if constexpr (least_size<Element>() == 0) {
    const std::byte none{};
    writer.write(&none, 1);
  }
}

template <class Range>
std::size_t size_of(const Range& range) {
  if constexpr (requires { static_cast<std::size_t>(range.size()); }) return static_cast<std::size_t>(range.size());
  else return static_cast<std::size_t>(std::distance(range.begin(), range.end()));
}

template <class T>
void encode_range(Writer& writer, const T& range) {
  using Element = std::remove_cv_t<typename T::value_type>;
  const std::size_t size = detail::size_of(range);
  writer.write_size(size);
  if constexpr (shape_of<T>() == Shape::map) {
    const auto level = writer.nest(sizeof(Element));
    for (const auto& [key, mapped] : range) {
      detail::encode_part(writer, key);
      detail::encode_element(writer, mapped);
    }
  } else if constexpr (flat<Element>() && std::contiguous_iterator<decltype(range.begin())>) {
    writer.write(std::to_address(range.begin()), size * sizeof(Element));
  } else {
    const auto level = writer.nest(sizeof(Element));
    for (const Element& element : range) detail::encode_element(writer, element);
  }
}

template <class Bits>
void encode_bits(Writer& writer, const Bits& bits) {
  for (std::size_t i = 0; i < bits.size(); i += 8) {
    unsigned byte = 0;
    for (std::size_t k = 0; k < 8 && i + k < bits.size(); ++k) byte |= (bits.test(i + k) ? 1U : 0U) << k;
    const auto written = static_cast<std::uint8_t>(byte);
    writer.write(&written, 1);
  }
}

template <class... A>
void encode_variant(Writer& writer, const std::variant<A...>& value) {
  if (value.valueless_by_exception()) throw CodecError("a std::variant that holds no value cannot be sent");
  writer.write_size(value.index());
  std::visit([&writer](const auto& held) { detail::encode_part(writer, held); }, value);
}

inline void encode_flag(Writer& writer, bool value) {
  const std::uint8_t written = value ? 1 : 0;
  writer.write(&written, 1);
}

/// Of an optional or an owner.
template <class T>
void encode_maybe(Writer& writer, const T& value) {
  detail::encode_flag(writer, static_cast<bool>(value));
  if (value) detail::encode_part(writer, *value);
}

template <class T>
void encode_value(Writer& writer, const T& value) {
  constexpr Shape shape = shape_of<T>();
  if constexpr (flat<T>()) {
    writer.write(std::addressof(value), sizeof(T));
  } else if constexpr (shape == Shape::boolean) {
    detail::encode_flag(writer, value);
  } else if constexpr (shape == Shape::enumeration) {
    detail::encode_part(writer, static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (shape == Shape::c_array || shape == Shape::array) {
    for (const auto& element : value) detail::encode_part(writer, element);
  } else if constexpr (shape == Shape::bits) {
    detail::encode_bits(writer, value);
  } else if constexpr (shape == Shape::product) {
    std::apply([&writer](const auto&... part) { (detail::encode_part(writer, part), ...); }, value);
  } else if constexpr (shape == Shape::optional) {
    detail::encode_maybe(writer, value);
  } else if constexpr (shape == Shape::owner) {
    const auto level = writer.nest(sizeof(typename T::element_type));
    detail::encode_maybe(writer, value);
  } else if constexpr (shape == Shape::variant) {
    detail::encode_variant(writer, value);
  } else if constexpr (shape == Shape::duration) {
    detail::encode_part(writer, value.count());
  } else if constexpr (shape == Shape::time_point) {
    detail::encode_part(writer, value.time_since_epoch());
  } else if constexpr (shape == Shape::path) {
    detail::encode_part(writer, value.native());
  } else if constexpr (shape == Shape::members) {
    detail::visit_members(value, [&writer](const auto&... member) { (detail::encode_part(writer, member), ...); });
  } else if constexpr (shape != Shape::null) {
    detail::encode_range(writer, value);
  }
}

template <class T>
void encode_part(Writer& writer, const T& value) {
  if constexpr (shape_of<T>() == Shape::own) {
    const auto level = writer.nest(sizeof(T));
    Codec<T>::encode(writer, value);
  } else {
    detail::encode_value(writer, value);
  }
}

// Reading.

/// As `Codec<T>::decode`, guarded as `encode_part`.
template <class T>
T decode_part(Reader& reader);

template <class Element>
Element decode_element(Reader& reader) {
  if constexpr (least_size<Element>() == 0) {
    Element element = detail::decode_part<Element>(reader);
    std::byte none{};
    reader.read(&none, 1);
    if (none != std::byte{}) throw CodecError("the bytes are damaged, or were written as another type");
    return element;
  } else {
    return detail::decode_part<Element>(reader);
  }
}

[[noreturn]] inline void fail_damaged(const char* what) {
  throw CodecError(std::string{"the bytes hold "} + what + ": they are damaged, or were written as another type");
}

inline bool decode_flag(Reader& reader) {
  std::uint8_t read = 0;
  reader.read(&read, 1);
  if (read > 1) detail::fail_damaged("a bool that is neither 0 nor 1");
  return read == 1;
}

/// By a detour over bytes, for it may have no default constructor.
template <class T>
T decode_flat(Reader& reader) {
  struct Bytes {
    std::byte bytes[sizeof(T)];
  } read;
  reader.read(&read, sizeof read);
  return std::bit_cast<T>(read);
}

/// Through a small buffer: the bytes may not be aligned, and a container of all the size needs not be zeroed first.
template <class T>
void decode_flat_range(Reader& reader, T& range, std::size_t size) {
  using Element = typename T::value_type;
  std::span<const std::byte> bytes = reader.take(size * sizeof(Element));
  if constexpr (sizeof(Element) == 1) {
    const auto* const first = reinterpret_cast<const unsigned char*>(bytes.data());
    if constexpr (std::is_integral_v<Element>) range.insert(range.end(), first, first + size);
    else range.insert(range.end(), reinterpret_cast<const Element*>(first), reinterpret_cast<const Element*>(first) + size);
  } else {
    constexpr std::size_t most = sizeof(Element) > 4096 ? 1 : 4096 / sizeof(Element);
    alignas(Element) std::byte room[most * sizeof(Element)];
    while (!bytes.empty()) {
      const std::size_t taken = bytes.size() < sizeof room ? bytes.size() : sizeof room;
      std::memcpy(room, bytes.data(), taken);
      const auto* const first = std::launder(reinterpret_cast<const Element*>(room));
      range.insert(range.end(), first, first + taken / sizeof(Element));
      bytes = bytes.subspan(taken);
    }
  }
}

template <class T>
concept FlatRange = flat<typename T::value_type>() && std::is_copy_assignable_v<typename T::value_type> &&
                    requires(T& range, const typename T::value_type* first) {
                      range.push_back(*first);
                      range.insert(range.end(), first, first);
                    };

template <class T>
T decode_range(Reader& reader) {
  using Element = std::remove_cv_t<typename T::value_type>;
  constexpr bool is_map = shape_of<T>() == Shape::map;
  constexpr std::size_t least = least_sum<parts_of<T>>;
  const std::size_t size = reader.read_size(least);
  T range;
  if constexpr (requires { range.reserve(size); }) {  // for what surely comes: an element may be larger than its bytes
    range.reserve(std::min(size, reader.remaining() / sizeof(Element) + 1));
  }
  if constexpr (!is_map && FlatRange<T>) {
    detail::decode_flat_range(reader, range, size);
    return range;
  }
  const auto level = reader.nest(sizeof(Element));
  if constexpr (is_map) {
    for (std::size_t i = 0; i < size; ++i) {
      auto key = detail::decode_part<typename T::key_type>(reader);
      range.emplace_hint(range.end(), std::move(key), detail::decode_element<typename T::mapped_type>(reader));
    }
  } else if constexpr (requires(Element&& element) { range.push_back(std::move(element)); }) {
    for (std::size_t i = 0; i < size; ++i) range.push_back(detail::decode_element<Element>(reader));
  } else if constexpr (requires(Element&& element) { range.insert(range.end(), std::move(element)); }) {
    for (std::size_t i = 0; i < size; ++i) range.insert(range.end(), detail::decode_element<Element>(reader));
  } else {
    auto last = range.before_begin();
    for (std::size_t i = 0; i < size; ++i) last = range.insert_after(last, detail::decode_element<Element>(reader));
  }
  if constexpr (requires { range.size(); }) {
    if (static_cast<std::size_t>(range.size()) != size) detail::fail_damaged("a key of a set or map twice");
  }
  return range;
}

template <class Bits>
Bits decode_bits(Reader& reader) {
  Bits bits;
  for (std::size_t i = 0; i < bits.size(); i += 8) {
    std::uint8_t byte = 0;
    reader.read(&byte, 1);
    for (std::size_t k = 0; k < 8 && i + k < bits.size(); ++k) bits.set(i + k, (byte >> k & 1U) != 0);
  }
  return bits;
}

template <class T, std::size_t I>
T decode_alternative(Reader& reader) {
  return T(std::in_place_index<I>, detail::decode_part<std::remove_const_t<std::variant_alternative_t<I, T>>>(reader));
}

template <class T, std::size_t... I>
T decode_variant(Reader& reader, std::index_sequence<I...>) {
  constexpr T (*decoders[])(Reader&) = {&detail::decode_alternative<T, I>...};
  const std::size_t index = reader.read_index();
  if (index >= sizeof...(I)) detail::fail_damaged("a variant of an unknown alternative");
  return decoders[index](reader);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-braces"  // the elements of C arrays stand among the members
/// In braces, which are evaluated from left to right.
template <class T, class... Part>
T decode_product(Reader& reader, Types<Part...>) {
  return T{detail::decode_part<Part>(reader)...};
}
#pragma GCC diagnostic pop

/// A member or element of an object that was made before.
template <class T>
void decode_into(Reader& reader, T& part) {
  if constexpr (flat<T>()) reader.read(std::addressof(part), sizeof(T));
  else if constexpr (std::is_array_v<T>) {
    for (auto& element : part) detail::decode_into(reader, element);
  } else {
    part = detail::decode_part<T>(reader);
  }
}

template <class T, std::size_t... I>
T decode_array(Reader& reader, std::index_sequence<I...>) {
  return T{{(static_cast<void>(I), detail::decode_part<typename T::value_type>(reader))...}};
}

template <class T>
T decode_parts(Reader& reader) {
  if constexpr (is_filled<T>()) {
    T result{};
    if constexpr (shape_of<T>() == Shape::array) {
      for (auto& element : result) detail::decode_into(reader, element);
    } else {
      detail::visit_members(result, [&reader](auto&... member) { (detail::decode_into(reader, member), ...); });
    }
    return result;
  } else if constexpr (shape_of<T>() == Shape::array) {
    return detail::decode_array<T>(reader, std::make_index_sequence<std::tuple_size_v<T>>{});
  } else {
    return detail::decode_product<T>(reader, typename LeavesOf<parts_of<T>>::type{});
  }
}

template <class T>
T decode_value(Reader& reader) {
  constexpr Shape shape = shape_of<T>();
  using Parts = parts_of<T>;
  if constexpr (flat<T>()) {
    return detail::decode_flat<T>(reader);
  } else if constexpr (shape == Shape::boolean) {
    return detail::decode_flag(reader);
  } else if constexpr (shape == Shape::enumeration) {
    return static_cast<T>(detail::decode_part<std::underlying_type_t<T>>(reader));
  } else if constexpr (shape == Shape::bits) {
    return detail::decode_bits<T>(reader);
  } else if constexpr (shape == Shape::null) {
    return nullptr;
  } else if constexpr (shape == Shape::optional) {
    if (!detail::decode_flag(reader)) return std::nullopt;
    return T(std::in_place, detail::decode_part<std::remove_const_t<typename T::value_type>>(reader));
  } else if constexpr (shape == Shape::owner) {
    using Owned = typename T::element_type;
    const auto level = reader.nest(sizeof(Owned));
    if (!detail::decode_flag(reader)) return nullptr;
    return T(new Owned(detail::decode_part<std::remove_const_t<Owned>>(reader)));
  } else if constexpr (shape == Shape::variant) {
    return detail::decode_variant<T>(reader, std::make_index_sequence<Parts::size>{});
  } else if constexpr (shape == Shape::array || shape == Shape::members) {
    return detail::decode_parts<T>(reader);
  } else if constexpr (shape == Shape::map || shape == Shape::range) {
    return detail::decode_range<T>(reader);
  } else {  // product, duration, time point, path
    return detail::decode_product<T>(reader, Parts{});
  }
}

template <class T>
T decode_part(Reader& reader) {
  if constexpr (shape_of<T>() == Shape::own) {
    const auto level = reader.nest(sizeof(T));
    return Codec<T>::decode(reader);
  } else {
    return detail::decode_value<T>(reader);
  }
}

}  // namespace detail

template <class T>
void Codec<T>::encode([[maybe_unused]] Writer& writer, [[maybe_unused]] const T& value) {
  if constexpr (detail::has_codec<T>) detail::encode_value(writer, value);
  else detail::blame<T>();
}

template <class T>
T Codec<T>::decode([[maybe_unused]] Reader& reader) {
  if constexpr (detail::has_codec<T>) return detail::decode_value<T>(reader);
  else detail::blame<T>();
}

}  // namespace taskmgr
