// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Reads a value and makes it of its parts.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "../core/aggregate.hpp"
#include "parts.hpp"
#include "shape.hpp"
#include "wire.hpp"

namespace taskmgr::detail {

/// What `Codec<T>::decode` does where the user has not said it.
template <class T>
T decode_value(Reader& reader);

/// The same for a part of a value: by the user's codec where there is one, guarded as `encode_part`.
template <class T>
T decode_part(Reader& reader);

/// Throws `CodecError`: "the bytes hold ...: they are damaged, or were written as another type".
[[noreturn]] void fail_damaged(const char* what);

// ---------------------------------------------------------------------------------------------------------------------

template <class Element>
Element decode_element(Reader& reader) {
  if constexpr (least_size<Element>() == 0) {
    Element element = detail::decode_part<Element>(reader);
    std::byte none{};
    reader.read(&none, 1);
    if (none != std::byte{}) detail::fail_damaged("something between elements");
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
  const std::byte* bytes = reader.skip(size * sizeof(Element));
  if constexpr (is_one_of<Element, char, unsigned char, std::byte>) {  // which may lie anywhere
    const auto* const first = reinterpret_cast<const Element*>(bytes);
    range.insert(range.end(), first, first + size);
  } else {
    constexpr std::size_t most = sizeof(Element) > 4096 ? 1 : 4096 / sizeof(Element);
    alignas(Element) std::byte room[most * sizeof(Element)];
    while (size != 0) {
      const std::size_t count = size < most ? size : most;
      std::memcpy(room, bytes, count * sizeof(Element));
      const auto* const first = std::launder(reinterpret_cast<const Element*>(room));
      range.insert(range.end(), first, first + count);
      bytes += count * sizeof(Element);
      size -= count;
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
    T result = T();  // clang 14 crashes on `T result{}` for some
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

}  // namespace taskmgr::detail
