// SPDX-License-Identifier: MIT
#include <taskmgr/core/hash_index.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "support/random.hpp"

using taskmgr::detail::HashIndex;
using WordIndex = taskmgr::detail::BasicHashIndex<false>;

namespace {

using Hash = std::function<std::size_t(std::uint64_t)>;

std::size_t spread(std::uint64_t key) { return taskmgr::detail::KeyHash<std::uint64_t>{}(key); }

/// As `REQUIRE`, for millions of times.
void must(bool so, const char* what) {
  if (!so) FAIL(what);
}

/// Keys at positions from `first` on, an index of them, and the map that it should agree with.
template <class Index>
class Indexed {
 public:
  explicit Indexed(Hash hash, std::size_t positions, std::size_t first)
      : hash_(std::move(hash)), first_(first), keys_(positions), used_(positions) {}

  void insert(std::uint64_t key, std::size_t position) {
    positions_ = std::max(positions_, first_ + position + 1);
    index_.make_room(index_.size() + 1, positions_, [&](std::size_t at) { return hash_at(at); });
    const std::size_t found =
        index_.find_or_insert(hash_(key), first_ + position, [&](std::size_t at) { return same(at, key); });
    const auto [entry, is_new] = model_.try_emplace(key, position);
    if (is_new) {
      must(found == HashIndex::npos, "a new key is not in");
      keys_[position] = key;
      used_[position] = true;
    } else {
      must(found == first_ + entry->second, "a key that is in is found at its position");
    }
  }
  void erase(std::uint64_t key) {
    const auto entry = model_.find(key);
    if (entry == model_.end()) return;
    index_.erase(hash_(key), first_ + entry->second, [&](std::size_t at) { return hash_at(at); });
    used_[entry->second] = false;
    model_.erase(entry);
  }
  void look_up(std::uint64_t key) {
    const auto entry = model_.find(key);
    const std::size_t found = index_.find(hash_(key), [&](std::size_t at) { return same(at, key); });
    must(found == (entry == model_.end() ? HashIndex::npos : first_ + entry->second), "a key is found where it is");
    must(index_.size() == model_.size(), "the size is the number of keys");
  }
  [[nodiscard]] bool is_free(std::size_t position) const { return !used_[position]; }

 private:
  bool same(std::size_t at, std::uint64_t key) const {
    must(at >= first_ && at - first_ < keys_.size() && used_[at - first_], "only keys that are in are compared");
    return keys_[at - first_] == key;
  }
  [[nodiscard]] std::size_t hash_at(std::size_t at) const { return hash_(keys_[at - first_]); }

  Hash hash_;
  std::size_t first_;
  std::size_t positions_ = 0;
  std::vector<std::uint64_t> keys_;
  std::vector<bool> used_;
  std::unordered_map<std::uint64_t, std::size_t> model_;
  Index index_;
};

const std::vector<std::pair<const char*, Hash>>& hashes() {
  static const std::vector<std::pair<const char*, Hash>> all{
      {"the key itself", [](std::uint64_t key) { return static_cast<std::size_t>(key); }},
      {"all equal", [](std::uint64_t) { return std::size_t{0}; }},
      {"all ones", [](std::uint64_t) { return ~std::size_t{0}; }},
      {"four values", [](std::uint64_t key) { return static_cast<std::size_t>(key % 4); }},
      {"high bits only", [](std::uint64_t key) { return static_cast<std::size_t>(key << 48U); }},
      {"multiples of a large power of two", [](std::uint64_t key) { return static_cast<std::size_t>(key << 20U); }},
      {"numbers in a row, spread", [](std::uint64_t key) { return spread(key); }},
      {"steps that crowd, spread", [](std::uint64_t key) { return spread(987 * key); }},
  };
  return all;
}

}  // namespace

TEST_CASE_TEMPLATE("an index does as a map does, however keys come and go, and whatever their hashes are", Index, HashIndex,
                   WordIndex) {
  INFO("TASKMGR_SEED=" << support::seed());
  support::Random random;
  for (const auto& named : hashes()) {
    CAPTURE(named.first);
    for (int round = 0; round < 9; ++round) {
      // positions that fit into a small entry, such as do not, and such as come to be too large on the way
      constexpr std::size_t border = Index::Entries::most_positions + 1;
      const std::size_t first = round % 3 == 0 ? 0 : round % 3 == 1 ? 3 * border : border - 60;
      const std::size_t positions = 40 + random.below(200);
      const std::size_t keys = 1 + random.below(2 * positions);
      const std::size_t inserts = 1 + random.below(9);  // of ten: the index fills, or stays almost empty
      Indexed<Index> indexed{named.second, positions, first};
      for (int step = 0; step < 3'000; ++step) {
        const std::uint64_t key = random.below(keys);
        if (random.below(10) >= inserts) {
          indexed.erase(key);
        } else if (const std::size_t position = random.below(positions); indexed.is_free(position)) {
          indexed.insert(key, position);
        }
        indexed.look_up(key);
        indexed.look_up(random.below(2 * keys));
      }
      for (std::uint64_t key = 0; key < 2 * keys; ++key) indexed.look_up(key);
    }
  }
}

TEST_CASE("an empty index finds nothing, and asks nobody") {
  const HashIndex index;
  CHECK(index.size() == 0);
  CHECK(index.find(42, [](std::size_t) -> bool { throw std::logic_error("asked"); }) == HashIndex::npos);
}

TEST_CASE("room that is there already is kept, and asked for no hash") {
  HashIndex index;
  index.make_room(100, 100, [](std::size_t) -> std::size_t { throw std::logic_error("asked"); });
  for (std::size_t k = 0; k < 100; ++k) {
    index.prefetch(spread(k));
    CHECK(index.find_or_insert(spread(k), k, [](std::size_t) { return false; }) == HashIndex::npos);
  }
  index.make_room(100, 100, [](std::size_t) -> std::size_t { throw std::logic_error("asked"); });
  CHECK(index.size() == 100);
}

TEST_CASE("numbers in a row never meet in an index") {
  constexpr std::size_t capacity = std::size_t{1} << 16U;
  constexpr unsigned home_bits = 16;
  for (const std::uint64_t from : {std::uint64_t{0}, std::uint64_t{1} << 40U, ~std::uint64_t{0} - 7}) {
    CAPTURE(from);
    std::vector<std::uint32_t> table(capacity, ~std::uint32_t{0});
    const HashIndex::Entries entries{table.data(), capacity, false};
    for (std::size_t k = 0; k < capacity / 3; ++k) {
      std::size_t end = capacity;
      const auto never_same = [](std::size_t) { return false; };
      must(entries.find(spread(from + k), never_same, [&](std::size_t at) { end = at; }) == HashIndex::npos, "a new key");
      must(end == spread(from + k) >> (64 - home_bits), "its place is free");
      table[end] = 0;
    }
  }
}

TEST_CASE("keys whose hashes crowd are spread anew") {
  constexpr std::size_t keys = 100'000;
  int crowded = 0;
  for (const std::uint64_t step : {1U, 2U, 10U, 64U, 100U, 987U, 1000U, 1024U, 2584U, 3600U, 4096U, 10946U, 46368U}) {
    CAPTURE(step);
    const auto hash_of = [=](std::size_t at) { return spread(step * at); };
    HashIndex index;
    for (std::size_t k = 0; k < keys; ++k) {
      index.make_room(keys, keys, hash_of);
      must(index.find_or_insert(hash_of(k), k, [=](std::size_t at) { return at == k; }) == HashIndex::npos, "a new key");
    }
    for (std::size_t k = 0; k < keys; ++k) {
      must(index.find(hash_of(k), [=](std::size_t at) { return at == k; }) == k, "a key is found");
    }
    taskmgr::detail::HashTable<std::uint32_t, 24> mixed(std::size_t{1} << 18U, true);
    for (std::size_t k = 0; k < keys; ++k) mixed.insert(hash_of(k), k);
    CHECK_FALSE(mixed.is_crowded());
    crowded += index.entries()->mixes() ? 1 : 0;
  }
  CHECK(crowded > 0);
}

TEST_CASE("a hash that throws while an index grows leaves it as it was") {
  HashIndex index;
  const auto never_same = [](std::size_t) { return false; };
  index.make_room(50, 50, [](std::size_t at) { return at; });
  for (std::size_t k = 0; k < 50; ++k) REQUIRE(index.find_or_insert(k, k, never_same) == HashIndex::npos);
  const auto throws_at_30 = [](std::size_t at) {
    if (at == 30) throw std::runtime_error("no hash");
    return at;
  };
  CHECK_THROWS_AS(index.make_room(10'000, 10'000, throws_at_30), std::runtime_error);
  CHECK(index.size() == 50);
  for (std::size_t k = 0; k < 50; ++k) {
    CHECK(index.find(k, [k](std::size_t at) { return at == k; }) == k);
  }
}

TEST_CASE("an equality that throws leaves an index as it was") {
  HashIndex index;
  index.make_room(10, 10, [](std::size_t at) { return at; });
  REQUIRE(index.find_or_insert(1, 0, [](std::size_t) { return true; }) == HashIndex::npos);
  const auto throws = [](std::size_t) -> bool { throw std::runtime_error("no equality"); };
  CHECK_THROWS_AS(index.find_or_insert(1, 1, throws), std::runtime_error);
  CHECK_THROWS_AS(static_cast<void>(index.find(1, throws)), std::runtime_error);
  CHECK(index.size() == 1);
  CHECK(index.find(1, [](std::size_t) { return true; }) == 0);
}

TEST_CASE("positions beyond sixteen million are told apart") {
  constexpr std::size_t far = (std::size_t{1} << 24U) + 5;
  HashIndex index;
  index.make_room(2, 10, [](std::size_t at) { return at; });
  REQUIRE(index.find_or_insert(spread(7), 3, [](std::size_t) { return false; }) == HashIndex::npos);
  index.make_room(3, far + 1, [](std::size_t) { return spread(7); });
  REQUIRE(index.find_or_insert(spread(7), far, [](std::size_t at) { return at == far; }) == HashIndex::npos);
  REQUIRE(index.find_or_insert(spread(8), far - 1, [](std::size_t at) { return at == far - 1; }) == HashIndex::npos);
  CHECK(index.size() == 3);
  CHECK(index.find(spread(7), [](std::size_t at) { return at == 3; }) == 3);
  CHECK(index.find(spread(7), [](std::size_t at) { return at == far; }) == far);
  CHECK(index.find(spread(8), [](std::size_t) { return true; }) == far - 1);
  index.erase(spread(7), 3, [](std::size_t at) -> std::size_t { return spread(at == far - 1 ? 8 : 7); });
  CHECK(index.find(spread(7), [](std::size_t at) { return at == 3; }) == HashIndex::npos);
  CHECK(index.find(spread(7), [](std::size_t) { return true; }) == far);
  CHECK(index.find(spread(8), [](std::size_t) { return true; }) == far - 1);
}

TEST_CASE_TEMPLATE("the last positions that a narrow index can hold, and the first that it cannot", Index, HashIndex, WordIndex) {
  constexpr std::size_t edge = Index::Entries::most_positions;
  for (const std::size_t last : {edge - 2, edge - 1, edge, edge + 1}) {
    CAPTURE(last);
    Index index;
    index.make_room(2, last + 1, [](std::size_t at) { return at; });
    REQUIRE(index.find_or_insert(spread(1), last, [](std::size_t) { return false; }) == HashIndex::npos);
    CHECK(index.find(spread(1), [](std::size_t) { return true; }) == last);
    // whose part of the hash is another is not even asked
    const auto same = [](std::size_t) { return std::is_same_v<Index, HashIndex>; };
    CHECK(index.find(spread(2), same) == HashIndex::npos);
    CHECK((index.entries() == nullptr) == (last >= edge));
  }
}
