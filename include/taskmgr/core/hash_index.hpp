// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Finds the position of a key in a sequence that somebody else keeps.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace taskmgr::detail {

/// An open-addressing table with linear probing, of positions and a part of their hashes: 8 bytes an entry, at most two
/// thirds full. It never looks at a key unless 24 further bits of its hash agree.
///
/// Thread safety: as a container. Complexity: every operation O(1) expected.
class HashIndex {
 public:
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// The position of the key with this hash for which `equals(position)` holds, or `npos`.
  template <class Equals>
  [[nodiscard]] std::size_t find(std::size_t hash, Equals&& equals) const;

  /// The same; where there is none, `position` is kept for that key and `npos` returned. There must be room.
  template <class Equals>
  std::size_t find_or_insert(std::size_t hash, std::size_t position, Equals&& equals);

  /// Forgets the key at `position`, which is in, and has this hash. `hash_of(position)` is asked for some that follow it, and
  /// must not throw.
  template <class HashOf>
  void erase(std::size_t hash, std::size_t position, HashOf&& hash_of) noexcept;

  /// Makes room for `size` keys; `hash_of(position)` is asked for those that are in already. If it throws, nothing has
  /// changed.
  template <class HashOf>
  void make_room(std::size_t size, HashOf&& hash_of);

  /// Brings the place of a hash into the cache, for many insertions in a row.
  void prefetch(std::size_t hash) const noexcept {
    if (entries_ != nullptr) __builtin_prefetch(&entries_[scramble(hash) & mask_], 1);
  }

 private:
  using Entry = std::uint64_t;  // position + 1 in the low bits, part of the hash above; 0: empty
  static constexpr unsigned position_bits = 40;
  static constexpr Entry position_mask = (Entry{1} << position_bits) - 1;

  /// Hashes of users may be poor: multiply by 2^64 / golden ratio and fold the 128 bits (Fibonacci hashing).
  static std::uint64_t scramble(std::size_t hash) noexcept {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(hash) * 0x9E3779B97F4A7C15U;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
  }

  std::unique_ptr<Entry[]> entries_;
  std::size_t mask_ = 0;
  std::size_t size_ = 0;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class Equals>
std::size_t HashIndex::find(std::size_t hash, Equals&& equals) const {
  if (size_ == 0) return npos;
  const std::uint64_t mixed = scramble(hash);
  for (std::size_t place = mixed & mask_;; place = (place + 1) & mask_) {
    const Entry entry = entries_[place];
    if (entry == 0) return npos;
    if ((entry ^ mixed) >> position_bits != 0) continue;
    const auto position = static_cast<std::size_t>((entry & position_mask) - 1);
    if (equals(position)) return position;
  }
}

template <class Equals>
std::size_t HashIndex::find_or_insert(std::size_t hash, std::size_t position, Equals&& equals) {
  const std::uint64_t mixed = scramble(hash);
  for (std::size_t place = mixed & mask_;; place = (place + 1) & mask_) {
    const Entry entry = entries_[place];
    if (entry == 0) {
      entries_[place] = (mixed & ~position_mask) | (position + 1);
      ++size_;
      return npos;
    }
    if ((entry ^ mixed) >> position_bits != 0) continue;
    const auto found = static_cast<std::size_t>((entry & position_mask) - 1);
    if (equals(found)) return found;
  }
}

template <class HashOf>
void HashIndex::erase(std::size_t hash, std::size_t position, HashOf&& hash_of) noexcept {
  std::size_t gap = scramble(hash) & mask_;
  while ((entries_[gap] & position_mask) != position + 1) gap = (gap + 1) & mask_;
  // move up what would not be found across the gap (Knuth, TAOCP vol. 3, 6.4, algorithm R)
  for (std::size_t place = (gap + 1) & mask_; entries_[place] != 0; place = (place + 1) & mask_) {
    const std::size_t home = scramble(hash_of((entries_[place] & position_mask) - 1)) & mask_;
    if (((place - home) & mask_) < ((place - gap) & mask_)) continue;
    entries_[gap] = entries_[place];
    gap = place;
  }
  entries_[gap] = 0;
  --size_;
}

template <class HashOf>
void HashIndex::make_room(std::size_t size, HashOf&& hash_of) {
  const std::size_t wanted = std::bit_ceil(size + size / 2 + 2);
  if (entries_ != nullptr && wanted <= mask_ + 1) return;
  HashIndex larger;
  larger.entries_ = std::make_unique<Entry[]>(wanted);
  larger.mask_ = wanted - 1;
  if (size_ != 0) {
    for (std::size_t place = 0; place <= mask_; ++place) {
      if (entries_[place] == 0) continue;
      const auto position = static_cast<std::size_t>((entries_[place] & position_mask) - 1);
      larger.find_or_insert(hash_of(position), position, [](std::size_t) { return false; });
    }
  }
  *this = std::move(larger);
}

}  // namespace taskmgr::detail
