// SPDX-License-Identifier: MIT
#include <taskmgr/run/timer_wheel.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "support/build.hpp"
#include "support/random.hpp"

using taskmgr::detail::Entry, taskmgr::detail::EntryList, taskmgr::detail::TimerWheel;

namespace {

struct Numbered final : Entry {
  explicit Numbered(int n = 0) noexcept : number(n) {}
  void fire() noexcept override { ++fired; }
  int number;
  int fired = 0;
};

Numbered& at(TimerWheel& wheel, Numbered& entry, std::uint64_t due) {
  entry.due = due;
  wheel.add(entry);
  return entry;
}

std::vector<int> numbers_of(EntryList& list) {
  std::vector<int> numbers;
  while (!list.empty()) numbers.push_back(static_cast<Numbered&>(list.pop_front()).number);
  return numbers;
}

std::vector<int> turned(TimerWheel& wheel, std::uint64_t now) {
  EntryList due;
  wheel.turn_to(now, due);
  return numbers_of(due);
}

}  // namespace

TEST_CASE("a list gives its entries in the order in which they came") {
  EntryList list;
  EntryList other;
  Numbered a{1}, b{2}, c{3}, d{4};
  CHECK(list.empty());
  list.append(other);
  CHECK(list.empty());
  list.push_back(a);
  other.push_back(b);
  other.push_back(c);
  list.append(other);
  CHECK(other.empty());
  list.push_back(d);
  CHECK(numbers_of(list) == std::vector{1, 2, 3, 4});
  CHECK(!a.linked());
  CHECK(!d.linked());
}

TEST_CASE("an entry leaves its list by itself, and when it ends") {
  EntryList list;
  Numbered a{1}, b{2};
  {
    Numbered c{3};
    list.push_back(a);
    list.push_back(c);
    list.push_back(b);
  }
  a.unlink();
  a.unlink();
  CHECK(!a.linked());
  CHECK(numbers_of(list) == std::vector{2});
}

TEST_CASE("a list that ends lets go of its entries") {
  Numbered a{1};
  {
    EntryList list;
    list.push_back(a);
    CHECK(a.linked());
  }
  CHECK(!a.linked());
  EntryList list;
  list.push_back(a);
  CHECK(numbers_of(list) == std::vector{1});
}

TEST_CASE("an empty wheel is never due") {
  TimerWheel wheel;
  CHECK(wheel.next() == TimerWheel::never);
  CHECK(turned(wheel, 1'000'000).empty());
  CHECK(wheel.now() == 1'000'000);
  CHECK(wheel.next() == TimerWheel::never);
}

TEST_CASE("an entry comes out at its tick, not before") {
  for (const std::uint64_t start : {std::uint64_t{0}, std::uint64_t{63}, std::uint64_t{4095}, std::uint64_t{123'456'789'012}}) {
    for (const std::uint64_t wait : {1U, 2U, 63U, 64U, 65U, 4095U, 4096U, 4097U, 262'144U, 1'000'000'000U}) {
      INFO("from ", start, " for ", wait);
      TimerWheel wheel;
      wheel.start(start);
      Numbered a{1};
      at(wheel, a, start + wait);
      CHECK(wheel.next() <= start + wait);
      CHECK(wheel.next() > start);
      CHECK(turned(wheel, start + wait - 1).empty());
      CHECK(turned(wheel, start + wait) == std::vector{1});
      CHECK(wheel.next() == TimerWheel::never);
    }
  }
}

TEST_CASE("entries of the same tick come out in the order in which they came in, from however far away") {
  TimerWheel wheel;
  Numbered a{1}, b{2}, c{3}, d{4};
  at(wheel, a, 5000);
  CHECK(turned(wheel, 4000).empty());
  at(wheel, b, 5000);
  CHECK(turned(wheel, 4990).empty());
  at(wheel, c, 5000);
  CHECK(turned(wheel, 4999).empty());
  at(wheel, d, 5000);
  CHECK(turned(wheel, 9000) == std::vector{1, 2, 3, 4});
}

TEST_CASE("what is due comes out by time, whichever wheels it lay in") {
  TimerWheel wheel;
  Numbered a{1}, b{2}, c{3}, d{4}, e{5};
  at(wheel, e, 300'000);
  at(wheel, d, 4096);
  at(wheel, c, 4095);
  at(wheel, b, 64);
  at(wheel, a, 3);
  CHECK(turned(wheel, 1'000'000) == std::vector{1, 2, 3, 4, 5});
}

TEST_CASE("an entry of the end of time keeps the wheel from nothing") {
  TimerWheel wheel;
  Numbered a{1}, b{2};
  at(wheel, a, TimerWheel::never);
  CHECK(wheel.next() != TimerWheel::never);
  CHECK(turned(wheel, 1'000).empty());
  at(wheel, b, 2'000);
  CHECK(turned(wheel, 3'000) == std::vector{2});
  CHECK(turned(wheel, TimerWheel::never - 1).empty() == false);
  CHECK(wheel.next() == TimerWheel::never);
}

TEST_CASE("an entry that was taken out, also one that is due next, is not missed by the others") {
  TimerWheel wheel;
  Numbered a{1}, b{2}, c{3};
  at(wheel, a, 10);
  at(wheel, b, 10);
  at(wheel, c, 5000);
  a.unlink();
  CHECK(wheel.next() == 10);
  b.unlink();
  CHECK(wheel.next() <= 5000);
  CHECK(wheel.next() > 10);
  CHECK(turned(wheel, 4990).empty());
  at(wheel, a, 4995);
  a.unlink();
  CHECK(turned(wheel, 5000) == std::vector{3});
}

TEST_CASE("a wheel does what a sorted map does") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  constexpr std::size_t entries = 300;
  TimerWheel wheel;
  std::uint64_t now = random.word() >> 20U;
  wheel.start(now);
  std::vector<std::unique_ptr<Numbered>> all;
  for (std::size_t k = 0; k < entries; ++k) all.push_back(std::make_unique<Numbered>(static_cast<int>(k)));
  std::multimap<std::uint64_t, int> model;  // of equal keys the first that came in is first
  const auto forget = [&](const Numbered& entry) {
    for (auto [k, last] = model.equal_range(entry.due); k != last; ++k) {
      if (k->second != entry.number) continue;
      model.erase(k);
      return;
    }
  };
  for (int step = 0; step < support::times(200'000); ++step) {
    Numbered& entry = *all[random.below(entries)];
    const std::size_t kind = random.below(8);
    if (kind < 5) {  // in or again in, near or far
      if (entry.linked()) forget(entry);
      entry.unlink();
      at(wheel, entry, now + 1 + random.below(std::uint64_t{1} << (1 + random.below(30))));
      model.emplace(entry.due, entry.number);
    } else if (kind == 5) {
      if (entry.linked()) forget(entry);
      entry.unlink();
    } else {
      const std::uint64_t next = wheel.next();
      if (model.empty()) REQUIRE(next == TimerWheel::never);
      else REQUIRE(next <= model.begin()->first);
      REQUIRE(next > now);
      now = kind == 6 && next != TimerWheel::never ? next : now + random.below(std::uint64_t{1} << random.below(24));
      std::vector<int> expected;
      const auto last = model.upper_bound(now);
      for (auto k = model.begin(); k != last; ++k) expected.push_back(k->second);
      model.erase(model.begin(), last);
      REQUIRE(turned(wheel, now) == expected);
      REQUIRE(wheel.now() == now);
    }
  }
}
