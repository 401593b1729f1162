// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// When two tasks are the same one: a hash and an equality for whatever a task may be made of.

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "aggregate.hpp"
#include "equal.hpp"

namespace taskmgr {

namespace detail {

/// How the values of a type are hashed.
enum class HashBy { nothing, specialisation, word, real, text, parts, std_hash, range, unordered, members };

/// The way for `T`, or `nothing`. What is in `Seen` is being decided on already, and counts as hashable here: a struct
/// that holds a vector of itself is hashable if all the rest of it is.
template <class T, class... Seen>
constexpr HashBy hash_by();

template <class T>
std::uint64_t hash_of(const T& value);

}  // namespace detail

/// The hash of a `T`. It can be called if there is a way to hash a `T`: the first of these that fits.
///
/// | a value | is hashed by |
/// | --- | --- |
/// | of a type for which this template is specialised | that |
/// | an integer, enum, pointer (to characters, too: the address), `float` or `double` | its bits; `-0.0` as `0.0` |
/// | a `std::basic_string` or `std::basic_string_view` with standard traits | its characters; both types alike |
/// | a pair, tuple, optional, variant, C array, duration or time point | its parts |
/// | of a type that has a `std::hash` | that, mixed |
/// | an unordered container | its elements, whatever their order |
/// | a range with members `begin` and `end`, more than once readable | its elements in order |
/// | an aggregate of at most 32 members (`detail::Aggregate` says which) | its members |
///
/// Parts, elements and members are hashed by this template again. A type may contain itself in a container.
///
/// Equal values have equal hashes, as long as an `==` compares all that is hashed. One that takes more for equal
/// (ignores a member, or the case of letters) needs a hash of its own. So does a class with private members:
///
///     template <> struct taskmgr::hash<Url> {
///       std::size_t operator()(const Url& url) const { return taskmgr::hash<std::string>{}(url.normalised()); }
///     };
///
/// or a `std::hash` in the same way. A specialisation without a call operator switches hashing off for its type.
///
/// All bits of a result are mixed well, also for small integers; a specialisation's own result is taken as it is.
/// Results are neither secret (they do not help against inputs made to collide) nor stable (they may differ between
/// versions of the library and between machines). Whether values are the same is always decided by equality.
///
/// Throws what a user's hash or iterator throws. Thread safety: as reading the value. Complexity: linear in its size.
template <class T>
struct hash {
  using default_for = T;  // which tells a specialisation from this template

  [[nodiscard]] std::size_t operator()(const T& value) const
    requires(detail::hash_by<T>() != detail::HashBy::nothing)
  {
    return static_cast<std::size_t>(detail::hash_of(value));
  }
};

/// What can be found by its hash: the tasks of which duplicates can be shared.
template <class T>
concept Hashable = requires(const T& value) {
  { hash<T>{}(value) } -> std::convertible_to<std::size_t>;
} && detail::Comparable<T>;

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

// Mixing. The 128-bit product of two words, its halves folded together: the idea of wyhash (Wang Yi). The constants are
// the first digits of pi behind the point, 64 bits each, of which the odd ones are multiplied with.

inline constexpr std::uint64_t pi_digits[] = {0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0,
                                              0x082EFA98EC4E6C89, 0x452821E638D01377, 0xBE5466CF34E90C6C,
                                              0xC0AC29B7C97C50DD, 0x3F84D5B5B5470917};

/// `fold` for machines without 128-bit integers: four products of half words.
constexpr std::uint64_t fold_halves(std::uint64_t a, std::uint64_t b) noexcept {
  const std::uint64_t low_mask = 0xFFFFFFFF;
  const std::uint64_t low = (a & low_mask) * (b & low_mask);
  const std::uint64_t cross = (a >> 32U) * (b & low_mask) + (low >> 32U);
  const std::uint64_t other = (a & low_mask) * (b >> 32U) + (cross & low_mask);
  return (low & low_mask) ^ (other << 32U) ^ ((a >> 32U) * (b >> 32U) + (cross >> 32U) + (other >> 32U));
}

constexpr std::uint64_t fold(std::uint64_t a, std::uint64_t b) noexcept {
#ifdef __SIZEOF_INT128__
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
#else
  return fold_halves(a, b);
#endif
}

/// Of a word that may be a small number or a poor hash.
constexpr std::uint64_t mix(std::uint64_t word) noexcept {
  return fold(fold(word ^ pi_digits[0], pi_digits[6]) ^ pi_digits[4], pi_digits[7]);
}

/// The hash of a sequence whose last part hashes to `part`, and what was before to `before`.
constexpr std::uint64_t combine(std::uint64_t before, std::uint64_t part) noexcept {
  return fold(before ^ pi_digits[3], part ^ pi_digits[6]);
}

template <class Word>
Word load(const unsigned char* from) noexcept {
  Word word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

/// Two words of the beginning and two of the end, which overlap if there are fewer than 32 bytes; 32 bytes a step
/// before that, in two lanes that do not wait for each other.
inline std::uint64_t hash_bytes(const void* data, std::size_t size) noexcept {
  using Word = std::uint64_t;
  const auto* at = static_cast<const unsigned char*>(data);
  if (size <= 16) {
    Word first = 0;
    Word last = 0;
    if (size >= 8) {
      first = load<Word>(at);
      last = load<Word>(at + size - 8);
    } else if (size >= 4) {
      first = load<std::uint32_t>(at);
      last = load<std::uint32_t>(at + size - 4);
    } else if (size > 0) {
      first = Word{at[0]} | Word{at[size / 2]} << 8U | Word{at[size - 1]} << 16U;
    }
    return fold(fold(first ^ pi_digits[0], last ^ pi_digits[1]) ^ size, pi_digits[6]);
  }
  const unsigned char* const end = at + size;
  Word one = pi_digits[1];
  Word two = pi_digits[3];
  for (std::size_t left = size; left > 32; left -= 32, at += 32) {
    one = fold(load<Word>(at) ^ pi_digits[0], load<Word>(at + 8) ^ one);
    two = fold(load<Word>(at + 16) ^ pi_digits[2], load<Word>(at + 24) ^ two);
  }
  if (size > 32) at = end - 32;
  one = fold(load<Word>(at) ^ pi_digits[4], load<Word>(at + 8) ^ one);
  two = fold(load<Word>(end - 16) ^ pi_digits[5], load<Word>(end - 8) ^ two);
  return fold(one ^ two ^ size, pi_digits[6]);
}

// Which way.

/// A string whose `==` asks traits of its own, which may ignore the case of letters.
template <class T>
concept OwnTraits = requires { typename T::traits_type; } &&
                    !std::same_as<typename T::traits_type, std::char_traits<typename T::value_type>>;

template <class T>
concept Word = std::is_integral_v<T> || std::is_enum_v<T> || std::is_pointer_v<T> || std::is_null_pointer_v<T>;

template <class T>
concept HashSpecialised = !requires { requires std::same_as<typename hash<T>::default_for, T>; };

template <class T>
concept StdHashable = requires(const T& value) {
  { std::hash<T>{}(value) } -> std::convertible_to<std::size_t>;
};

template <class T>
inline constexpr bool is_bits = false;
template <class Allocator>
inline constexpr bool is_bits<std::vector<bool, Allocator>> = true;

template <class T, class... Seen>
constexpr bool hashable_within() {
  if constexpr ((std::is_same_v<T, Seen> || ...)) return true;
  else return hash_by<T, Seen...>() != HashBy::nothing;
}

template <class Parts, class... Seen>
inline constexpr bool all_hashable = false;
template <class... Part, class... Seen>
inline constexpr bool all_hashable<Types<Part...>, Seen...> = (hashable_within<Part, Seen...>() && ...);

template <class T, class... Seen>
constexpr bool hashable_parts() {
  if constexpr (Made<T>::form == Form::other) return false;
  else return all_hashable<typename Made<T>::Parts, T, Seen...>;
}

template <class T, class... Seen>
constexpr HashBy hash_by() {
  if constexpr (!std::is_same_v<T, std::remove_cvref_t<T>>) {
    return HashBy::nothing;
  } else if constexpr (HashSpecialised<T>) {
    constexpr bool callable = requires(const T& value) {
      { hash<T>{}(value) } -> std::convertible_to<std::size_t>;
    };
    return callable ? HashBy::specialisation : HashBy::nothing;
  } else if constexpr (Word<T>) {
    return HashBy::word;
  } else if constexpr (std::is_floating_point_v<T> && sizeof(T) <= sizeof(double)) {
    return HashBy::real;
  } else if constexpr (is_text<T>) {
    return HashBy::text;
  } else if constexpr (hashable_parts<T, Seen...>()) {
    return HashBy::parts;
  } else if constexpr (StdHashable<T>) {
    return HashBy::std_hash;
  } else if constexpr (OwnTraits<T>) {
    return HashBy::nothing;
  } else if constexpr (Range<T>) {
    if constexpr (!hashable_within<Element<T>, T, Seen...>()) return HashBy::nothing;
    else return UnorderedRange<T> ? HashBy::unordered : HashBy::range;
  } else if constexpr (Aggregate<T>) {
    return all_hashable<member_types<T>, T, Seen...> ? HashBy::members : HashBy::nothing;
  } else {
    return HashBy::nothing;
  }
}

// Hashing.

template <Word T>
std::uint64_t word_of(const T& value) noexcept {
  if constexpr (std::is_null_pointer_v<T>) return 0;
  else if constexpr (std::is_pointer_v<T>) return reinterpret_cast<std::uintptr_t>(value);
  else return static_cast<std::uint64_t>(value);
}

template <Word T>
std::uint64_t hash_word(const T& value) noexcept {
  if constexpr (sizeof(T) <= sizeof(std::uint64_t)) return mix(word_of(value));
  else return combine(mix(word_of(value)), mix(word_of(value >> 64)));
}

template <class T, std::size_t... I>
std::uint64_t hash_parts(const T& value, std::index_sequence<I...>) {
  constexpr Form form = Made<T>::form;
  std::uint64_t result = pi_digits[2];
  if constexpr (form == Form::product) {
    ((result = combine(result, detail::hash_of(std::get<I>(value)))), ...);
  } else if constexpr (form == Form::optional) {
    if (value.has_value()) result = combine(result, detail::hash_of(*value));
  } else if constexpr (form == Form::variant) {
    result = combine(result, mix(value.index()));
    ((value.index() == I ? void(result = combine(result, detail::hash_of(*std::get_if<I>(&value)))) : void()), ...);
  } else if constexpr (form == Form::duration) {
    result = detail::hash_of(value.count());
  } else {
    result = detail::hash_of(value.time_since_epoch());
  }
  return result;
}

/// [first, last), by its bytes if these are all that there is.
template <class Iterator, class End>
std::uint64_t hash_sequence(Iterator first, const End& last) {
  using Part = std::remove_cvref_t<decltype(*first)>;
  if constexpr (std::contiguous_iterator<Iterator> && std::same_as<Iterator, End> && std::is_integral_v<Part>) {
    if constexpr (hash_by<Part>() == HashBy::word && std::has_unique_object_representations_v<Part>) {
      return first == last ? hash_bytes(nullptr, 0)
                           : hash_bytes(&*first, static_cast<std::size_t>(last - first) * sizeof(Part));
    }
  }
  std::uint64_t result = pi_digits[2];
  for (; first != last; ++first) result = combine(result, detail::hash_of<Part>(*first));
  return result;
}

template <class T>
std::uint64_t hash_of(const T& value) {
  constexpr HashBy by = hash_by<T>();
  if constexpr (by == HashBy::specialisation) {
    return static_cast<std::size_t>(hash<T>{}(value));
  } else if constexpr (by == HashBy::word) {
    return detail::hash_word(value);
  } else if constexpr (by == HashBy::real) {
    const auto bits = std::bit_cast<std::uint64_t>(static_cast<double>(value));
    return mix(bits << 1U == 0 ? 0 : bits);  // the sign of a zero does not count
  } else if constexpr (by == HashBy::text) {
    return hash_bytes(value.data(), value.size() * sizeof(*value.data()));
  } else if constexpr (by == HashBy::parts) {
    if constexpr (Made<T>::form == Form::array) return detail::hash_sequence(std::begin(value), std::end(value));
    else return detail::hash_parts(value, std::make_index_sequence<Made<T>::Parts::size>{});
  } else if constexpr (by == HashBy::std_hash) {
    const std::uint64_t result = mix(static_cast<std::size_t>(std::hash<T>{}(value)));
    if constexpr (is_bits<T>) return combine(result, mix(value.size()));  // libstdc++ hashes whole bytes only
    else return result;
  } else if constexpr (by == HashBy::range) {
    return detail::hash_sequence(value.begin(), value.end());
  } else if constexpr (by == HashBy::unordered) {
    std::uint64_t size = 0;
    std::uint64_t sum = 0;
    for (const auto& element : value) {
      sum += mix(detail::hash_of(element));
      ++size;
    }
    return combine(mix(size), mix(sum));
  } else {
    std::uint64_t result = pi_digits[2];
    detail::visit_members(value, [&result](const auto&... member) {
      ((result = combine(result, detail::hash_of(member))), ...);
    });
    return result;
  }
}

/// Keys that are compared in an instruction.
template <class T>
inline constexpr bool is_word_key = hash_by<T>() == HashBy::word && sizeof(T) <= sizeof(std::uint64_t);

/// The hash of a key for an index of the library's, which goes by the highest bits: a user's own may have put all into the
/// lowest. What is a word is not mixed there but multiplied by the golden ratio, so that numbers in a row, the commonest
/// tasks of all, are spread better than by chance: no two of them come to one place (Knuth, TAOCP vol. 3, 6.4).
template <class T>
struct KeyHash {
  [[nodiscard]] std::uint64_t operator()(const T& key) const {
    if constexpr (is_word_key<T>) return word_of(key) * 0x9E3779B97F4A7C15;
    else if constexpr (hash_by<T>() == HashBy::specialisation) return mix(hash<T>{}(key));
    else return hash<T>{}(key);
  }
};

}  // namespace detail
}  // namespace taskmgr
