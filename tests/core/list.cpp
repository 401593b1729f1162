// SPDX-License-Identifier: MIT
#include <taskmgr/core/list.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using taskmgr::detail::Array;
using taskmgr::detail::List;
using taskmgr::detail::Owner;
using taskmgr::detail::Shared;

static_assert(!std::is_copy_constructible_v<List<int>> && !std::is_copy_assignable_v<List<int>>);
static_assert(!std::is_copy_constructible_v<Owner<int>> && !std::is_copy_assignable_v<Owner<int>>);
static_assert(!std::is_copy_constructible_v<Array<int>> && !std::is_copy_assignable_v<Array<int>>);
static_assert(std::is_nothrow_move_constructible_v<List<std::string>>);

/// Counts those that live.
struct Counted {
  explicit Counted(int& alive) : alive_(&alive) { ++*alive_; }
  Counted(Counted&& other) noexcept : alive_(other.alive_) { ++*alive_; }
  Counted& operator=(Counted&&) noexcept = default;
  ~Counted() { --*alive_; }

 private:
  int* alive_;
};

/// The same, shared.
struct CountedTogether : taskmgr::detail::Sharers, Counted {
  using Counted::Counted;
};

std::vector<std::string> all_of(const List<std::string>& list) { return {list.begin(), list.end()}; }

}  // namespace

TEST_CASE("a list keeps what was pushed, in order, however often it grows") {
  List<std::string> list;
  std::vector<std::string> expected;
  CHECK(list.empty());
  for (int k = 0; k < 1000; ++k) {
    const std::string item = "a text that is longer than a short string: " + std::to_string(k);
    list.push_back(item);
    expected.push_back(item);
    REQUIRE(list.back() == item);
  }
  CHECK(list.size() == 1000);
  CHECK(all_of(list) == expected);
  CHECK(list[500] == expected[500]);
}

TEST_CASE("an item of a list can be pushed to it while it grows") {
  List<std::string> list;
  list.push_back("a text that is longer than a short string");
  for (int k = 0; k < 100; ++k) list.push_back(list[0]);
  CHECK(list.back() == list[0]);
}

TEST_CASE("what is behind an erased item of a list moves up") {
  List<std::string> list;
  for (const char* item : {"a", "b", "c", "d"}) list.push_back(item);
  list.erase(&list[1]);
  CHECK(all_of(list) == std::vector<std::string>{"a", "c", "d"});
  list.erase(&list.back());
  list.erase(list.begin());
  CHECK(all_of(list) == std::vector<std::string>{"c"});
  list.erase(list.begin());
  CHECK(list.empty());
}

TEST_CASE("a list ends the life of each of its items once") {
  int alive = 0;
  {
    List<Counted> list;
    for (int k = 0; k < 20; ++k) list.push_back(Counted{alive});
    CHECK(alive == 20);
    list.erase(&list[3]);
    list.pop_back();
    CHECK(alive == 18);
    List<Counted> other = std::move(list);
    CHECK(alive == 18);
    CHECK(other.size() == 18);
    List<Counted> third;
    third.push_back(Counted{alive});
    third = std::move(other);
    CHECK(third.size() == 18);
    third.clear();
    CHECK(third.empty());
  }
  CHECK(alive == 0);
}

TEST_CASE("a list does not move its items while there is the room that was reserved") {
  List<int> list;
  list.reserve(100);
  list.push_back(0);
  const int* const first = list.begin();
  for (int k = 1; k < 100; ++k) list.push_back(k);
  CHECK(list.begin() == first);
}

TEST_CASE("an owner ends what it owns once, and hands it over") {
  int alive = 0;
  {
    Owner<Counted> one{new Counted{alive}};
    CHECK(static_cast<bool>(one));
    Owner<Counted> two = std::move(one);
    CHECK(!one);  // NOLINT: what is left is empty
    CHECK(alive == 1);
    Counted* const object = two.get();
    two = Owner<Counted>{new Counted{alive}};
    CHECK(two.get() != object);
    CHECK(alive == 1);
    two = {};
    CHECK(alive == 0);
    CHECK(!two);
    Owner<Counted> three{new Counted{alive}};
    const std::unique_ptr<Counted> mine{three.release()};
    CHECK(!three);
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}

TEST_CASE("an array ends each of its items once, and is handed over") {
  static int alive = 0;
  struct Item {
    Item() { ++alive; }
    ~Item() { --alive; }
    int value = 7;
  };
  {
    Array<Item> none;
    CHECK(!none);
    Array<Item> items{new Item[5]};
    CHECK(alive == 5);
    items[4].value = 8;
    none = std::move(items);
    CHECK(!items);  // NOLINT: what is left is empty
    CHECK(alive == 5);
    CHECK(none[3].value == 7);
    CHECK(none.get()[4].value == 8);
    none = Array<Item>{new Item[2]};
    CHECK(alive == 2);
  }
  CHECK(alive == 0);
}

TEST_CASE("what is shared ends with the last who has it") {
  int alive = 0;
  {
    Shared<CountedTogether> first{new CountedTogether(alive)};
    Shared<CountedTogether> second = first;
    CHECK(first.get() == second.get());
    Shared<CountedTogether> third = std::move(first);
    CHECK(!first);
    second = {};
    CHECK(alive == 1);
    Shared<CountedTogether> other{new CountedTogether(alive)};
    CHECK(alive == 2);
    third = other;
    CHECK(alive == 1);
    const Shared<CountedTogether>& same = third;
    third = same;
    CHECK(alive == 1);
    const Shared<CountedTogether> again{other.release()};
    third = {};
    CHECK(alive == 1);
    CHECK(Shared<CountedTogether>::join(*again.get()));
    const Shared<CountedTogether> joined{again.get()};
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}

TEST_CASE("what is about to end cannot be joined") {
  struct Ending : taskmgr::detail::Sharers {
    explicit Ending(bool& joined) : joined_(joined) {}
    ~Ending() { joined_ = Shared<Ending>::join(*this); }
    bool& joined_;
  };
  bool joined = true;
  Shared<Ending>{new Ending(joined)} = {};
  CHECK(!joined);
}

TEST_CASE("copies may be made and given up on many threads") {
  int alive = 0;
  {
    const Shared<CountedTogether> shared{new CountedTogether(alive)};
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([shared] {
        for (int k = 0; k < 10'000; ++k) const Shared<CountedTogether> copy = shared;
      });
    }
  }
  CHECK(alive == 0);
}
