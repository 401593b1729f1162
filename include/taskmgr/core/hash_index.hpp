// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Finds the position of a key in a sequence that somebody else keeps.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "large.hpp"
#include "list.hpp"

namespace taskmgr::detail {

/// Four entries, compared at once and without a branch: what it takes to find a key is one wait for memory, and no guess of
/// the processor's, which would often cost another.
template <class Entry>
struct alignas(4 * sizeof(Entry)) Group {
  static constexpr std::size_t size = 4;
  Entry entries[size];

  /// A bit for each entry that equals `wanted` in the bits of `mask`.
  [[nodiscard, gnu::always_inline]] unsigned matches(Entry wanted, Entry mask) const noexcept {
#ifdef __SSE2__
    if constexpr (sizeof(Entry) == sizeof(int)) {
      using Ints [[gnu::vector_size(16)]] = int;
      using Floats [[gnu::vector_size(16)]] = float;
      Ints all;
      __builtin_memcpy(&all, entries, sizeof all);
      const Ints equal = (all & static_cast<int>(mask)) == static_cast<int>(wanted);
      return static_cast<unsigned>(__builtin_ia32_movmskps(reinterpret_cast<Floats>(equal)));
    }
#endif
    unsigned bits = 0;
    for (std::size_t k = 0; k < size; ++k) bits |= static_cast<unsigned>((entries[k] & mask) == wanted) << k;
    return bits;
  }
};

/// An open-addressing table of positions and a part of their hashes, at most two thirds full. A key is in the group that its
/// hash names, or, if that is full, in the next that is not. No key is looked at unless its part of the hash agrees. Hashes
/// have to be mixed well, in all bits.
///
/// An entry is position + 1 in the low bits, hash bits above; 0: empty. The group of an entry comes from the low bits of the
/// hash, the part that it keeps from the high ones.
template <class Entry, unsigned PositionBits>
class HashTable {
 public:
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);
  static constexpr std::size_t most_positions = (std::size_t{1} << PositionBits) - 1;

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return groups_ ? (mask_ + 1) * Line::size : 0; }

  /// Room for so many entries, a power of two, and for no fewer than a group has.
  void allocate(std::size_t capacity) {
    const std::size_t groups = capacity > Line::size ? capacity / Line::size : 1;
    groups_ = Array<Line>(new (large) Line[groups]());
    mask_ = groups - 1;
    size_ = 0;
  }

  void prefetch(std::size_t hash) const noexcept { __builtin_prefetch(&groups_[hash & mask_], 1); }

  template <class Equals>
  [[nodiscard]] std::size_t find(std::size_t hash, const Equals& equals) const {
    return size_ == 0 ? npos : look_up(hash, equals, [](Entry&) {});
  }

  template <class Equals>
  std::size_t find_or_insert(std::size_t hash, std::size_t position, const Equals& equals) {
    return look_up(hash, equals, [&](Entry& empty) { put(empty, hash, position); });
  }

  /// A key that is not in.
  void insert(std::size_t hash, std::size_t position) noexcept {
    std::size_t g = hash & mask_;
    unsigned empty = 0;
    while ((empty = groups_[g].matches(0, all_bits)) == 0) g = (g + 1) & mask_;
    put(groups_[g].entries[std::countr_zero(empty)], hash, position);
  }

  template <class HashOf>
  void erase(std::size_t hash, std::size_t position, const HashOf& hash_of) noexcept;

  /// Calls `visit(position)` for every key.
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (std::size_t g = 0; g * Line::size < capacity(); ++g) {
      for (const Entry entry : groups_[g].entries) {
        if (entry != 0) visit(position_of(entry));
      }
    }
  }

 private:
  using Line = Group<Entry>;
  static constexpr Entry position_mask = static_cast<Entry>(most_positions);
  static constexpr Entry all_bits = static_cast<Entry>(-1);

  static std::size_t position_of(Entry entry) noexcept { return static_cast<std::size_t>(entry & position_mask) - 1; }
  static Entry part_of(std::uint64_t hash) noexcept {
    return static_cast<Entry>(hash >> (64 - 8 * sizeof(Entry))) & static_cast<Entry>(~position_mask);
  }
  void put(Entry& empty, std::size_t hash, std::size_t position) noexcept {
    empty = part_of(hash) | static_cast<Entry>(position + 1);
    ++size_;
  }

  /// The position of the key; where there is none, `npos`, and `at_empty` is called with the entry where it would be.
  template <class Equals, class AtEmpty>
  [[nodiscard]] std::size_t look_up(std::size_t hash, const Equals& equals, const AtEmpty& at_empty) const {
    const Entry part = part_of(hash);
    for (std::size_t g = hash & mask_;; g = (g + 1) & mask_) {
      Line& group = groups_[g];
      for (unsigned hits = group.matches(part, static_cast<Entry>(~position_mask)); hits != 0; hits &= hits - 1) {
        // a part of 0 matches what is empty as well, whose position is `npos`
        const std::size_t position = position_of(group.entries[std::countr_zero(hits)]);
        if (position != npos && equals(position)) return position;
      }
      if (const unsigned empty = group.matches(0, all_bits); empty != 0) {
        at_empty(group.entries[std::countr_zero(empty)]);
        return npos;
      }
    }
  }

  Array<Line> groups_;
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

template <class Entry, unsigned PositionBits>
template <class HashOf>
void HashTable<Entry, PositionBits>::erase(std::size_t hash, std::size_t position, const HashOf& hash_of) noexcept {
  const auto is_full = [this](std::size_t g) { return groups_[g].matches(0, all_bits) == 0; };
  const auto gap_in = [this](std::size_t g, auto&& wanted) -> Entry* {
    for (Entry& entry : groups_[g].entries) {
      if (entry != 0 && wanted(position_of(entry))) return &entry;
    }
    return nullptr;
  };
  std::size_t g = hash & mask_;
  Entry* gap = nullptr;
  for (;; g = (g + 1) & mask_) {
    gap = gap_in(g, [position](std::size_t other) { return other == position; });
    if (gap != nullptr) break;
  }
  // A full group sends searches on to the next: what came there for want of room moves up into the gap (after Knuth, TAOCP
  // vol. 3, 6.4, algorithm R), and leaves another.
  bool sends_on = is_full(g);
  for (std::size_t next = (g + 1) & mask_; sends_on && next != g; next = (next + 1) & mask_) {
    sends_on = is_full(next);
    Entry* const stray = gap_in(next, [&](std::size_t other) {
      const std::size_t home = hash_of(other) & mask_;
      return ((next - home) & mask_) >= ((next - g) & mask_);
    });
    if (stray == nullptr) continue;
    *std::exchange(gap, stray) = *stray;
    g = next;
  }
  *gap = 0;
  --size_;
}

template <class HashOf>
void HashIndex::make_room(std::size_t keys, std::size_t positions, const HashOf& hash_of) {
  const bool wide = wide_ || positions >= small_.most_positions;
  const std::size_t capacity = std::bit_ceil(keys + keys / 2 + 2);
  if (wide == wide_ && capacity <= (wide_ ? large_.capacity() : small_.capacity())) return;
  HashIndex larger;
  larger.wide_ = wide;
  wide ? larger.large_.allocate(capacity) : larger.small_.allocate(capacity);
  const auto move_over = [&](std::size_t position) {
    const std::size_t hash = hash_of(position);
    wide ? larger.large_.insert(hash, position) : larger.small_.insert(hash, position);
  };
  wide_ ? large_.for_each(move_over) : small_.for_each(move_over);
  *this = std::move(larger);
}

}  // namespace taskmgr::detail
