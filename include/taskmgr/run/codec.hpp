// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How values cross from one process to another: as bytes, by `Codec<T>`, which most types have with no line of code.

#include <type_traits>

#include "decode.hpp"
#include "encode.hpp"
#include "parts.hpp"
#include "shape.hpp"
#include "wire.hpp"

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
/// | a container: has `begin`, `end`, and `push_back`, `insert` or `insert_after` | its elements, inserted in order |
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
  static_assert(!std::is_array_v<T>,
                "taskmgr::Codec: a C array cannot be returned: send a std::array, or a struct with the array in it");
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
                "taskmgr::Codec: a pointer means nothing in another process: send the value, or a std::unique_ptr "
                "that owns one object");
  static_assert(shape != Shape::reference,
                "taskmgr::Codec: a reference means nothing in another process: send a value");
  static_assert(shape != Shape::view,
                "taskmgr::Codec: a view owns nothing that could be sent: send a container, a std::string for a "
                "std::string_view, a std::vector for a std::span (a container that nothing can be inserted into needs "
                "a taskmgr::Codec of its own)");
  static_assert(shape != Shape::function, "taskmgr::Codec: a function cannot be sent to another process: send data");
  static_assert(shape != Shape::half_own,
                "taskmgr::Codec is specialised for this type, but has not both of "
                "`static void encode(Writer&, const T&)` and `static T decode(Reader&)`");
  static_assert(shape != Shape::no_bytes, "taskmgr::as_bytes is for trivially copyable types");
  static_assert(shape != Shape::heir,
                "taskmgr::Codec: a class that inherits from a container and has members besides needs a "
                "taskmgr::Codec of its own");
  static_assert(shape != Shape::unknown,
                "taskmgr::Codec does not know how to take this type apart: make it an aggregate (all members public, "
                "no constructor, no base class), specialise taskmgr::Codec for it, or set taskmgr::as_bytes if its "
                "bytes are all of it");
  if constexpr (shape < Shape::pointer) {
    static_assert(!all_have_codec<parts_of<T>, T> || can_rebuild<T>(),
                  "taskmgr::Codec cannot make a value of this type from its parts: these must be movable");
    detail::blame_parts(parts_of<T>{});
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
