// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Finds the position of a key in a sequence that somebody else keeps.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "hash.hpp"
#include "large.hpp"
#include "list.hpp"

namespace taskmgr::detail {

/// The entries of an open-addressing table, which somebody else keeps: positions and a part of their hashes, searched entry by
/// entry. No key is looked at unless its part of the hash agrees, if parts are kept. A handle, to be copied: who looks up in a
/// loop holds it in registers.
///
/// An entry is a position in the low bits, hash bits above, if there are more; all ones: empty. The highest bits of a hash say
/// where its search begins, its home; an entry keeps those that follow. If the table `mixes`, the hash is mixed once more before.
///
/// What a look-up costs is its waits for memory, divided by how many of them the processor has under way at once. It looks
/// ahead by so many instructions, not by so many look-ups, and can set aside but a few that wait for an entry: so each of
/// these counts, also beside a wait as long as a hundred.
template <class Entry, unsigned PositionBits>
class HashEntries {
 public:
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);
  static constexpr std::size_t most_positions = (std::size_t{1} << PositionBits) - 1;

  /// None.
  HashEntries() = default;
  HashEntries(Entry* entries, std::size_t capacity, bool mixes) noexcept
      : entries_(entries),
        mask_(capacity - 1),
        home_shift_(static_cast<unsigned>(std::countl_zero(mask_))),
        part_shift_(home_shift_ - std::min(home_shift_, part_bits)),
        mixes_(mixes) {}

  [[nodiscard]] bool mixes() const noexcept { return mixes_; }

  /// The position of the key; where there is none, `npos`, and `at_end` is called with where the search ended.
  template <class Equals, class AtEnd>
  [[nodiscard]] std::size_t find(std::uint64_t hash, const Equals& equals, const AtEnd& at_end) const {
    const std::uint64_t bits = spread(hash);
    const Entry part = part_of(bits);
    for (std::size_t at = home_of(bits);; at = after(at)) {
      const Entry entry = entries_[at];
      // without the part that agrees: the position; too large for one where a part meets what is empty
      if (const std::size_t position = entry ^ part; position < most_positions) {
        if (equals(position)) return position;
      } else if (entry == empty) {
        at_end(at);
        return npos;
      }
    }
  }
  template <class Equals>
  [[nodiscard]] std::size_t find(std::uint64_t hash, const Equals& equals) const {
    return find(hash, equals, [](std::size_t) {});
  }

 protected:
  static constexpr Entry empty = static_cast<Entry>(-1);
  static constexpr unsigned part_bits = 8 * sizeof(Entry) - PositionBits;

  [[nodiscard]] std::uint64_t spread(std::uint64_t hash) const noexcept { return mixes_ ? mix(hash) : hash; }
  static std::size_t position_of(Entry entry) noexcept { return entry & static_cast<Entry>(most_positions); }
  [[nodiscard]] Entry part_of(std::uint64_t bits) const noexcept {
    if constexpr (part_bits == 0) return 0;
    else return static_cast<Entry>(static_cast<Entry>(bits >> part_shift_) << PositionBits);
  }
  [[nodiscard]] std::size_t home_of(std::uint64_t bits) const noexcept { return bits >> home_shift_; }
  [[nodiscard]] std::size_t after(std::size_t at) const noexcept { return (at + 1) & mask_; }
  [[nodiscard]] std::size_t distance(std::size_t from, std::size_t to) const noexcept { return (to - from) & mask_; }

  static inline Entry none_[2] = {empty, empty};

  Entry* entries_ = none_;
  std::size_t mask_ = 1;
  unsigned home_shift_ = 63;
  unsigned part_shift_ = 63;
  bool mixes_ = false;
};

/// A table of positions, at most two thirds full. Hashes have to be spread well by their highest bits.
template <class Entry, unsigned PositionBits>
class HashTable : public HashEntries<Entry, PositionBits> {
 public:
  HashTable() = default;
  /// Room for so many entries, a power of two above 1.
  HashTable(std::size_t capacity, bool mixes)
      : HashTable(Array<Entry>(new (large) Entry[capacity]), capacity, mixes) {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return memory_ ? this->mask_ + 1 : 0; }

  /// Keys are much farther from their homes, on the average, than chance has it (1, at two thirds full).
  [[nodiscard]] bool is_crowded() const noexcept { return strays_ > 4 * size_ + 256; }

  void prefetch(std::uint64_t hash) const noexcept {
    __builtin_prefetch(&this->entries_[this->home_of(this->spread(hash))], 1);
  }

  template <class Equals>
  std::size_t find_or_insert(std::uint64_t hash, std::size_t position, const Equals& equals) {
    return this->find(hash, equals, [&](std::size_t at) { put(at, this->spread(hash), position); });
  }

  /// A key that is not in.
  void insert(std::uint64_t hash, std::size_t position) noexcept {
    const std::uint64_t bits = this->spread(hash);
    std::size_t at = this->home_of(bits);
    while (this->entries_[at] != this->empty) at = this->after(at);
    put(at, bits, position);
  }

  template <class HashOf>
  void erase(std::uint64_t hash, std::size_t position, const HashOf& hash_of) noexcept;

  /// Calls `visit(position)` for every key.
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (std::size_t at = 0; at < capacity(); ++at) {
      if (this->entries_[at] != this->empty) visit(this->position_of(this->entries_[at]));
    }
  }

 private:
  HashTable(Array<Entry> memory, std::size_t capacity, bool mixes) noexcept
      : HashEntries<Entry, PositionBits>(memory.get(), capacity, mixes), memory_(std::move(memory)) {
    std::fill_n(this->entries_, capacity, this->empty);
  }

  void put(std::size_t at, std::uint64_t bits, std::size_t position) noexcept {
    this->entries_[at] = this->part_of(bits) | static_cast<Entry>(position);
    strays_ += this->distance(this->home_of(bits), at);
    ++size_;
  }

  Array<Entry> memory_;
  std::size_t size_ = 0;
  std::size_t strays_ = 0;  // how far all keys are from their homes, together
};

/// From hashes to positions: with entries of 4 bytes (8 bits of them hash) up to 16 million positions, of 8 bytes (24 hash)
/// beyond. Without parts of hashes, for keys that are as quick to compare, with entries of 4 bytes up to 4 billion.
///
/// Hashes that leave keys crowded are mixed once more.
///
/// Thread safety: as a container. Complexity: every operation O(1) expected.
template <bool keeps_parts>
class BasicHashIndex {
 public:
  using Entries = HashEntries<std::uint32_t, keeps_parts ? 24 : 32>;
  static constexpr std::size_t npos = Entries::npos;

  [[nodiscard]] std::size_t size() const noexcept { return wide_ ? large_.size() : small_.size(); }

  /// The entries, to look up in until something is inserted or erased; null if there are too many for entries of 4 bytes.
  [[nodiscard]] const Entries* entries() const noexcept { return wide_ ? nullptr : &small_; }

  /// The position of the key with this hash for which `equals(position)` holds, or `npos`.
  template <class Equals>
  [[nodiscard]] std::size_t find(std::uint64_t hash, const Equals& equals) const {
    return wide_ ? large_.find(hash, equals) : small_.find(hash, equals);
  }

  /// The same; where there is none, `position` is kept for that key and `npos` returned. There must be room.
  template <class Equals>
  std::size_t find_or_insert(std::uint64_t hash, std::size_t position, const Equals& equals) {
    return wide_ ? large_.find_or_insert(hash, position, equals) : small_.find_or_insert(hash, position, equals);
  }

  /// Forgets the key at `position`, which is in, and has this hash. `hash_of(position)` is asked for some that follow it, and
  /// must not throw.
  template <class HashOf>
  void erase(std::uint64_t hash, std::size_t position, const HashOf& hash_of) noexcept {
    wide_ ? large_.erase(hash, position, hash_of) : small_.erase(hash, position, hash_of);
  }

  /// Makes room for `keys` keys at positions below `positions`; `hash_of(position)` is asked for those that are in already.
  /// If it throws, nothing has changed. Before each few insertions, also where there is room: it looks whether keys crowd.
  template <class HashOf>
  void make_room(std::size_t keys, std::size_t positions, const HashOf& hash_of);

  /// Brings the place of a hash into the cache, for many insertions in a row. There must be room for one.
  void prefetch(std::uint64_t hash) const noexcept { wide_ ? large_.prefetch(hash) : small_.prefetch(hash); }

 private:
  using Small = HashTable<std::uint32_t, keeps_parts ? 24 : 32>;
  using Large = HashTable<std::uint64_t, 40>;

  Small small_;
  Large large_;
  bool wide_ = false;
};

using HashIndex = BasicHashIndex<true>;

// ---------------------------------------------------------------------------------------------------------------------

template <class Entry, unsigned PositionBits>
template <class HashOf>
void HashTable<Entry, PositionBits>::erase(std::uint64_t hash, std::size_t position, const HashOf& hash_of) noexcept {
  Entry* const entries = this->entries_;
  const std::size_t first = this->home_of(this->spread(hash));
  std::size_t gap = first;
  while (entries[gap] == this->empty || this->position_of(entries[gap]) != position) gap = this->after(gap);
  strays_ -= this->distance(first, gap);
  // A search ends at what is empty: an entry behind the gap whose search begins before it moves up into it, and leaves
  // another (after Knuth, TAOCP vol. 3, 6.4, algorithm R).
  for (std::size_t at = this->after(gap); entries[at] != this->empty; at = this->after(at)) {
    const std::size_t home = this->home_of(this->spread(hash_of(this->position_of(entries[at]))));
    if (this->distance(home, at) < this->distance(gap, at)) continue;
    strays_ -= this->distance(gap, at);
    entries[gap] = entries[at];
    gap = at;
  }
  entries[gap] = this->empty;
  --size_;
}

template <bool keeps_parts>
template <class HashOf>
void BasicHashIndex<keeps_parts>::make_room(std::size_t keys, std::size_t positions, const HashOf& hash_of) {
  const auto is_to_mix = [](const auto& table) { return table.mixes() || table.is_crowded(); };
  const bool wide = wide_ || positions > Entries::most_positions;
  const bool mixes = wide_ ? is_to_mix(large_) : is_to_mix(small_);
  const std::size_t capacity = wide_ ? large_.capacity() : small_.capacity();
  const std::size_t wanted = std::max(std::bit_ceil(keys + keys / 2 + 2), capacity);
  if (wide == wide_ && mixes == (wide_ ? large_.mixes() : small_.mixes()) && wanted == capacity) return;
  BasicHashIndex larger;
  larger.wide_ = wide;
  wide ? void(larger.large_ = Large(wanted, mixes)) : void(larger.small_ = Small(wanted, mixes));
  const auto move_over = [&](std::size_t position) {
    const std::uint64_t hash = hash_of(position);
    wide ? larger.large_.insert(hash, position) : larger.small_.insert(hash, position);
  };
  wide_ ? large_.for_each(move_over) : small_.for_each(move_over);
  *this = std::move(larger);
}

}  // namespace taskmgr::detail
