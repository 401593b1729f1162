// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Takes a value apart and writes it.

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <tuple>
#include <type_traits>
#include <variant>

#include "../core/aggregate.hpp"
#include "parts.hpp"
#include "shape.hpp"
#include "wire.hpp"

namespace taskmgr::detail {

/// What `Codec<T>::encode` does where the user has not said it.
template <class T>
void encode_value(Writer& writer, const T& value);

/// As `Codec<T>::encode`, for C arrays too, and guarded where a user's codec may call itself through others.
template <class T>
void encode_part(Writer& writer, const T& value);

// ---------------------------------------------------------------------------------------------------------------------

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

}  // namespace taskmgr::detail
