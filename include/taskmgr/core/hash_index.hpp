// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Finds the position of a key in a sequence that somebody else keeps.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "list.hpp"

namespace taskmgr::detail {

/// Hashes of users may be poor: multiplied by 2^64 / golden ratio (Fibonacci hashing), and the 128 bits folded.
[[nodiscard]] inline std::uint64_t scramble(std::size_t hash) noexcept {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(hash) * 0x9E3779B97F4A7C15U;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

/// An open-addressing table with linear probing, of positions and a part of their hashes, at most two thirds full. It never
/// looks at a key unless that part of its hash agrees.
///
/// An entry is position + 1 in the low bits, hash bits above; 0: empty. The place of an entry comes from the low bits of the
/// hash, the part that it keeps from the high ones.
template <class Entry, unsigned PositionBits>
class HashTable {
 public:
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);
  static constexpr std::size_t most_positions = (std::size_t{1} << PositionBits) - 1;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return entries_ ? mask_ + 1 : 0; }

  void allocate(std::size_t capacity) {
    entries_ = Array<Entry>(new Entry[capacity]());
    mask_ = capacity - 1;
    size_ = 0;
  }

  void prefetch(std::size_t hash) const noexcept { __builtin_prefetch(&entries_[scramble(hash) & mask_], 1); }

  template <class Equals>
  [[nodiscard]] std::size_t find(std::size_t hash, const Equals& equals) const {
    if (size_ == 0) return npos;
    return entry_to_position(entries_[place_of(hash, equals)]);
  }

  template <class Equals>
  std::size_t find_or_insert(std::size_t hash, std::size_t position, const Equals& equals) {
    Entry& entry = entries_[place_of(hash, equals)];
    if (entry != 0) return entry_to_position(entry);
    entry = static_cast<Entry>(part_of(scramble(hash)) | (position + 1));
    ++size_;
    return npos;
  }

  template <class HashOf>
  void erase(std::size_t hash, std::size_t position, const HashOf& hash_of) noexcept {
    std::size_t gap = place_of(hash, [position](std::size_t other) { return other == position; });
    // move up what would not be found across the gap (Knuth, TAOCP vol. 3, 6.4, algorithm R)
    for (std::size_t place = (gap + 1) & mask_; entries_[place] != 0; place = (place + 1) & mask_) {
      const std::size_t home = scramble(hash_of(entry_to_position(entries_[place]))) & mask_;
      if (((place - home) & mask_) < ((place - gap) & mask_)) continue;
      entries_[gap] = entries_[place];
      gap = place;
    }
    entries_[gap] = 0;
    --size_;
  }

  /// Calls `visit(position)` for every key.
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (std::size_t place = 0; place < capacity(); ++place) {
      if (entries_[place] != 0) visit(entry_to_position(entries_[place]));
    }
  }

 private:
  static constexpr Entry position_mask = static_cast<Entry>(most_positions);

  static std::size_t entry_to_position(Entry entry) noexcept {
    return static_cast<std::size_t>(entry & position_mask) - 1;  // of an empty one: npos
  }
  static std::uint64_t part_of(std::uint64_t mixed) noexcept {
    constexpr unsigned entry_bits = 8 * sizeof(Entry);
    return mixed >> (64 - entry_bits) & ~std::uint64_t{position_mask};
  }

  /// Where the key is, or else the empty entry where it would be.
  template <class Equals>
  [[nodiscard]] std::size_t place_of(std::size_t hash, const Equals& equals) const {
    const std::uint64_t mixed = scramble(hash);
    const std::uint64_t part = part_of(mixed);
    for (std::size_t place = mixed & mask_;; place = (place + 1) & mask_) {
      const Entry entry = entries_[place];
      if (entry == 0) return place;
      if ((entry & ~std::uint64_t{position_mask}) == part && equals(entry_to_position(entry))) return place;
    }
  }

  Array<Entry> entries_;
  std::size_t mask_ = 0;
  std::size_t size_ = 0;
};

/// From hashes to positions: with entries of 4 bytes (8 of them hash) up to 16 million positions, of 8 bytes (24 hash)
/// beyond.
///
/// Thread safety: as a container. Complexity: every operation O(1) expected.
class HashIndex {
 public:
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);

  [[nodiscard]] std::size_t size() const noexcept { return wide_ ? large_.size() : small_.size(); }

  /// The position of the key with this hash for which `equals(position)` holds, or `npos`.
  template <class Equals>
  [[nodiscard]] std::size_t find(std::size_t hash, const Equals& equals) const {
    return wide_ ? large_.find(hash, equals) : small_.find(hash, equals);
  }

  /// The same; where there is none, `position` is kept for that key and `npos` returned. There must be room.
  template <class Equals>
  std::size_t find_or_insert(std::size_t hash, std::size_t position, const Equals& equals) {
    return wide_ ? large_.find_or_insert(hash, position, equals) : small_.find_or_insert(hash, position, equals);
  }

  /// Forgets the key at `position`, which is in, and has this hash. `hash_of(position)` is asked for some that follow it, and
  /// must not throw.
  template <class HashOf>
  void erase(std::size_t hash, std::size_t position, const HashOf& hash_of) noexcept {
    wide_ ? large_.erase(hash, position, hash_of) : small_.erase(hash, position, hash_of);
  }

  /// Makes room for `keys` keys at positions below `positions`; `hash_of(position)` is asked for those that are in already.
  /// If it throws, nothing has changed.
  template <class HashOf>
  void make_room(std::size_t keys, std::size_t positions, const HashOf& hash_of);

  /// Brings the place of a hash into the cache, for many insertions in a row. There must be room for one.
  void prefetch(std::size_t hash) const noexcept { wide_ ? large_.prefetch(hash) : small_.prefetch(hash); }

 private:
  HashTable<std::uint32_t, 24> small_;
  HashTable<std::uint64_t, 40> large_;
  bool wide_ = false;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class HashOf>
void HashIndex::make_room(std::size_t keys, std::size_t positions, const HashOf& hash_of) {
  const bool wide = wide_ || positions >= small_.most_positions;
  const std::size_t capacity = std::bit_ceil(keys + keys / 2 + 2);
  if (wide == wide_ && capacity <= (wide_ ? large_.capacity() : small_.capacity())) return;
  HashIndex larger;
  larger.wide_ = wide;
  wide ? larger.large_.allocate(capacity) : larger.small_.allocate(capacity);
  const auto move_over = [&](std::size_t position) {
    larger.find_or_insert(hash_of(position), position, [](std::size_t) { return false; });
  };
  wide_ ? large_.for_each(move_over) : small_.for_each(move_over);
  *this = std::move(larger);
}

}  // namespace taskmgr::detail
