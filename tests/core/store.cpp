// SPDX-License-Identifier: MIT
#include <taskmgr/core/store.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <initializer_list>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/fragile.hpp"
#include "support/random.hpp"
#include "support/ranges.hpp"

using namespace std::chrono_literals;
using support::Fragile;
using taskmgr::State;

namespace store_test {

template <class Task>
using Store = taskmgr::detail::Store<Task, int>;

constexpr std::size_t npos = taskmgr::detail::HashIndex::npos;

/// The tasks of a store that was filled with these, in the order of their slots.
template <class Tasks>
auto kept(Tasks&& tasks, bool share = true) {
  using Task = std::ranges::range_value_t<Tasks>;
  Store<Task> store;
  const std::exception_ptr thrown = store.fill(std::forward<Tasks>(tasks), share);
  CHECK(thrown == nullptr);
  std::vector<Task> all;
  for (std::size_t slot = 0; slot < store.size(); ++slot) all.push_back(std::move(store.task(slot)));
  return all;
}

/// Gives each task of a store a result that tells its slot.
template <class Task>
void settle(Store<Task>& store) {
  store.make_slots(false);
  for (std::size_t slot = 0; slot < store.size(); ++slot) {
    store.slot(slot).succeed(1, [slot] { return static_cast<int>(slot); });
  }
}

/// What a store of `tasks` should be: what is distinct, and where each task of the source went.
template <class Task, class Same>
struct Model {
  Model(const std::vector<Task>& tasks, bool share, const Same& same) {
    for (std::size_t number = 0; number < tasks.size(); ++number) {
      const auto known = std::find_if(firsts.begin(), firsts.end(),
                                      [&](std::size_t first) { return share && same(tasks[first], tasks[number]); });
      slots.push_back(static_cast<std::size_t>(known - firsts.begin()));
      if (known == firsts.end()) firsts.push_back(number);
      else duplicates.push_back(number);
    }
  }
  std::vector<std::size_t> firsts;      // by slot: the number of its task in the source
  std::vector<std::size_t> slots;       // by number in the source: its slot
  std::vector<std::size_t> duplicates;  // numbers
};

/// Whether a store agrees with the model of what it was filled with.
template <class Task, class Same>
void agree(const Store<Task>& store, const std::vector<Task>& tasks, bool share, const Same& same) {
  const Model<Task, Same> model{tasks, share, same};
  REQUIRE(store.size() == model.firsts.size());
  REQUIRE(store.duplicates() == model.duplicates.size());
  bool right = true;
  for (std::size_t slot = 0; slot < model.firsts.size(); ++slot) {
    right = right && same(store.task(slot), tasks[model.firsts[slot]]) && store.number(slot) == model.firsts[slot];
  }
  for (std::size_t number = 0; number < tasks.size(); ++number) right = right && store.slot_of(number) == model.slots[number];
  for (std::size_t k = 0; k < model.duplicates.size(); ++k) right = right && store.duplicate(k) == model.duplicates[k];
  CHECK(right);
}

/// A range over what belongs to another, as libraries have them that know nothing of std::ranges.
struct Borrowed {
  std::vector<std::string>* owner;
  [[nodiscard]] auto begin() const { return owner->begin(); }
  [[nodiscard]] auto end() const { return owner->end(); }
};

/// Can be copied, but not assigned.
struct Fixed {
  const int number;
  bool operator==(const Fixed&) const = default;
};

/// Has no hash and no equality.
class Opaque {
 public:
  explicit Opaque(int number) : number_(number) {}
  [[nodiscard]] int number() const { return number_; }

 private:
  int number_;
};

/// All hashes are equal, but few values are.
struct Colliding {
  int number;
  bool operator==(const Colliding&) const = default;
};

/// Can be moved, but not copied; to the compiler it is nothing but bytes.
struct Handle {
  explicit Handle(int n) : number(n) {}
  Handle(Handle&&) = default;
  Handle& operator=(Handle&&) = default;
  int number;
};

}  // namespace store_test

template <>
struct taskmgr::hash<store_test::Colliding> {
  std::size_t operator()(const store_test::Colliding&) const { return 42; }
};

using namespace store_test;

TEST_CASE("tasks come from whatever can be walked") {
  const std::vector<int> expected{3, 1, 2};
  std::vector<int> vector{3, 1, 2};
  CHECK(kept(vector) == expected);
  CHECK(kept(std::as_const(vector)) == expected);
  CHECK(kept(std::span<const int>(vector)) == expected);
  CHECK(kept(std::vector<int>{3, 1, 2}) == expected);
  CHECK(kept(std::array<int, 3>{3, 1, 2}) == expected);
  CHECK(kept(std::list<int>{3, 1, 2}) == expected);
  CHECK(kept(std::deque<int>{3, 1, 2}) == expected);
  CHECK(kept(std::initializer_list<int>{3, 1, 2}) == expected);
  const int array[] = {3, 1, 2};
  CHECK(kept(array) == expected);
  CHECK(kept(std::set<int>{3, 1, 2}) == std::vector<int>{1, 2, 3});
  CHECK(kept(support::InputOnly{3, [](int at) { return at * at; }}) == std::vector<int>{0, 1, 4});
  CHECK(kept(support::Own<std::vector<int>>{{3, 1, 2}}) == expected);
  CHECK(kept(std::string("abca")) == std::vector<char>{'a', 'b', 'c'});
  CHECK(kept(std::vector<int>{}).empty());
  CHECK(kept(support::InputOnly{0, [](int at) { return at; }}).empty());
}

TEST_CASE("tasks may be bool, and the entries of a map") {
  const std::vector<bool> bits{true, false, true, true};
  CHECK(kept(bits) == std::vector<bool>{true, false});
  CHECK(kept(bits, false) == bits);
  CHECK(kept(std::vector<bool>(bits), false) == bits);

  const std::map<std::string, int> map{{"one", 1}, {"two", 2}};
  Store<std::pair<const std::string, int>> store;
  CHECK(store.fill(map, true) == nullptr);
  settle(store);
  REQUIRE(store.size() == 2);
  CHECK(store.task(1).first == "two");
  CHECK(store.find({"two", 2}, State::succeeded) == 1);
  CHECK(store.find({"two", 3}, State::succeeded) == npos);
}

TEST_CASE("only what was given away is moved from") {
  const std::string long_text(100, 'x');
  const std::vector<std::string> texts(1, long_text);
  for (const bool share : {true, false}) {
    std::vector<std::string> source = texts;
    CHECK(kept(source, share) == texts);
    CHECK(kept(std::span<std::string>(source), share) == texts);  // a view is no owner
    CHECK(kept(Borrowed{&source}, share) == texts);               // nor is this, though it does not say so
    CHECK(source == texts);
    std::list<std::string> list(texts.begin(), texts.end());
    CHECK(kept(list, share) == texts);
    CHECK(list.front() == long_text);
    const void* characters = list.front().data();
    Store<std::string> store;
    CHECK(store.fill(std::move(list), share) == nullptr);
    CHECK(static_cast<const void*>(store.task(0).data()) == characters);
  }
}

TEST_CASE("a vector that is given away is taken over as it is") {
  std::vector<std::string> source(3, std::string(100, 'x'));
  source[1].assign(1, 'y');
  const void* first = source.data();
  Store<std::string> store;
  CHECK(store.fill(std::move(source), true) == nullptr);
  CHECK(store.size() == 2);
  CHECK(static_cast<const void*>(&store.task(0)) == first);
}

TEST_CASE("move-only tasks are taken from all that gives them away") {
  const auto made = [](int n) { return std::make_unique<int>(n); };
  std::vector<std::unique_ptr<int>> vector;
  std::list<std::unique_ptr<int>> list;
  for (const int n : {1, 2}) {
    vector.push_back(made(n));
    list.push_back(made(n));
  }
  CHECK(*kept(std::move(vector)).at(1) == 2);
  CHECK(*kept(std::move(list)).at(1) == 2);
  CHECK(*kept(support::InputOnly{3, made}).at(2) == 2);
  support::InputOnly lvalue{3, made};
  CHECK(*kept(lvalue).at(2) == 2);
  CHECK(kept(std::array<Handle, 2>{Handle{1}, Handle{2}}).at(1).number == 2);
}

TEST_CASE("of equal tasks the first is kept, and each knows whose place it shares") {
  INFO("TASKMGR_SEED=" << support::seed());
  support::Random random;
  const auto same = [](const auto& a, const auto& b) { return a == b; };
  for (int round = 0; round < 300; ++round) {
    const std::size_t size = random.below(round < 200 ? 40 : 600);
    const int values = 1 + random.number(static_cast<int>(2 * size + 2));
    std::vector<int> tasks(size);
    for (int& task : tasks) task = random.number(values);
    CAPTURE(size);
    CAPTURE(values);
    for (const bool share : {true, false}) {
      Store<int> of_lvalue;
      CHECK(of_lvalue.fill(tasks, share) == nullptr);
      agree(of_lvalue, tasks, share, same);
      Store<int> of_rvalue;
      CHECK(of_rvalue.fill(std::vector<int>(tasks), share) == nullptr);
      agree(of_rvalue, tasks, share, same);
      Store<int> of_input;
      CHECK(of_input.fill(support::InputOnly{static_cast<int>(size), [&](int at) { return tasks[static_cast<std::size_t>(at)]; }},
                          share) == nullptr);
      agree(of_input, tasks, share, same);
    }
  }
}

TEST_CASE("tasks that cannot be assigned keep their places too") {
  INFO("TASKMGR_SEED=" << support::seed());
  support::Random random;
  const auto same = [](const Fixed& a, const Fixed& b) { return a == b; };
  for (int round = 0; round < 50; ++round) {
    std::vector<Fixed> tasks;
    for (std::size_t left = random.below(90); left > 0; --left) tasks.push_back({random.number(30)});
    for (const bool share : {true, false}) {
      Store<Fixed> of_lvalue;
      CHECK(of_lvalue.fill(tasks, share) == nullptr);
      agree(of_lvalue, tasks, share, same);
      Store<Fixed> of_rvalue;
      CHECK(of_rvalue.fill(std::vector<Fixed>(tasks), share) == nullptr);
      agree(of_rvalue, tasks, share, same);
    }
  }
}

TEST_CASE("equality decides, however many hashes are equal") {
  std::vector<Colliding> tasks;
  for (int k = 0; k < 1'500; ++k) tasks.push_back({k % 1'000});
  Store<Colliding> store;
  CHECK(store.fill(tasks, true) == nullptr);
  settle(store);
  CHECK(store.size() == 1'000);
  CHECK(store.duplicates() == 500);
  CHECK(store.slot_of(1'250) == 250);
  for (const int k : {0, 499, 999}) CHECK(store.find({k}, State::succeeded) == static_cast<std::size_t>(k));
  CHECK(store.find({1'000}, State::succeeded) == npos);
}

TEST_CASE("what is equal to nothing is no duplicate, and is not found") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  Store<double> store;
  CHECK(store.fill(std::vector{nan, nan, 0.0, -0.0}, true) == nullptr);
  settle(store);
  CHECK(store.size() == 3);
  CHECK(store.duplicates() == 1);
  CHECK(store.find(nan, State::succeeded) == npos);
  CHECK(store.find(-0.0, State::succeeded) == 2);
}

TEST_CASE("a task without a hash is never a duplicate") {
  Store<Opaque> store;
  CHECK(store.fill(std::vector{Opaque{1}, Opaque{1}}, true) == nullptr);
  CHECK(store.size() == 2);
  CHECK(store.duplicates() == 0);
  CHECK_FALSE(store.shared());
  CHECK(store.number(1) == 1);
  CHECK(store.slot_of(1) == 1);
  CHECK(store.task(1).number() == 1);
}

TEST_CASE("a key is found in the state that its task is in, and in no other") {
  Store<int> store;
  CHECK(store.fill(std::vector{5, 6, 7}, true) == nullptr);
  store.make_slots(false);
  store.slot(0).succeed(1, [] { return 1; });
  store.slot(1).fail(2, 0);
  store.slot(2).mark(State::cancelled, 0);
  CHECK(store.find(5, State::succeeded) == 0);
  CHECK(store.find(5, State::failed) == npos);
  CHECK(store.find(6, State::failed) == 1);
  CHECK(store.find(6, State::succeeded) == npos);
  CHECK(store.find(7, State::succeeded) == npos);
  CHECK(store.find(7, State::failed) == npos);
  CHECK(store.find(8, State::succeeded) == npos);
  CHECK(store.find(7) == 2);  // whatever became of it
  CHECK(store.find(8) == npos);
}

TEST_CASE("durations add up where they are measured, and are zero elsewhere") {
  Store<int> plain;
  CHECK(plain.fill(std::vector{1}, true) == nullptr);
  plain.make_slots(false);
  CHECK(plain.duration(0) == 0ns);
  Store<int> measured;
  CHECK(measured.fill(std::vector{1, 2}, true) == nullptr);
  measured.make_slots(true);
  measured.add_duration(1, 3ms);
  measured.add_duration(1, 4ms);
  CHECK(measured.duration(0) == 0ns);
  CHECK(measured.duration(1) == 7ms);
}

TEST_CASE("what was taken before the source broke is kept") {
  const auto same = [](int a, int b) { return a == b; };
  for (int at = 0; at < 80; ++at) {
    CAPTURE(at);
    std::vector<int> before;
    for (int k = 0; k < at; ++k) before.push_back(k % 25);
    for (const bool share : {true, false}) {
      Store<int> store;
      const std::exception_ptr thrown = store.fill(support::InputOnly{80, [](int k) { return k % 25; }, at}, share);
      CHECK_THROWS_WITH_AS(std::rethrow_exception(thrown), "the source is broken", std::runtime_error);
      agree(store, before, share, same);
    }
  }
  Store<int> store;
  CHECK(store.fill(support::Own<std::vector<int>>{{1, 1, 2, 3}, 2}, true) != nullptr);
  agree(store, {1, 1, 2}, true, same);
}

namespace {

/// Fills a store while the n-th operation on a task throws, for every n there is. What is kept must be what a prefix of the
/// source makes, and be found.
template <class Fill>
void fill_with_every_failure(bool share, bool moves_throw, const Fill& fill) {
  CAPTURE(share);
  CAPTURE(moves_throw);
  const auto same = [](const Fragile& a, const Fragile& b) { return a.number() == b.number(); };
  const long alive = Fragile::alive;
  Fragile::moves_throw = moves_throw;
  bool threw = true;
  int failures = 0;
  for (long n = 0; threw; ++n) {
    CAPTURE(n);
    std::vector<Fragile> source;
    for (int k = 0; k < 75; ++k) source.emplace_back(k % 20 + k / 10);
    const std::vector<Fragile> all = source;
    Store<Fragile> store;
    Fragile::light(n);
    const std::exception_ptr thrown = fill(store, source, share);
    Fragile::put_out();
    threw = thrown != nullptr;
    if (threw) {
      ++failures;
      CHECK_THROWS_AS(std::rethrow_exception(thrown), support::Broken);
    }
    const std::size_t taken = store.size() + store.duplicates();
    REQUIRE(taken <= all.size());
    agree(store, std::vector<Fragile>(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(taken)), share, same);
    settle(store);
    for (const Fragile& task : all) {
      const bool is_kept = std::any_of(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(taken),
                                       [&](const Fragile& other) { return same(task, other); });
      const std::size_t slot = store.find(task, State::succeeded);
      REQUIRE((slot != npos) == is_kept);
      if (is_kept) REQUIRE(same(store.task(slot), task));
    }
    if (!threw) CHECK(taken == all.size());
  }
  Fragile::moves_throw = false;
  CHECK(Fragile::alive == alive);
  if (share) CHECK(failures > 75);  // each task is at least hashed
}

}  // namespace

TEST_CASE("whatever throws while tasks are taken, those before it are kept, and nothing leaks") {
  for (const bool share : {true, false}) {
    for (const bool moves_throw : {false, true}) {
      fill_with_every_failure(share, moves_throw, [](auto& store, auto& source, bool s) { return store.fill(source, s); });
      fill_with_every_failure(share, moves_throw,
                              [](auto& store, auto& source, bool s) { return store.fill(std::move(source), s); });
      fill_with_every_failure(share, moves_throw, [](auto& store, auto& source, bool s) {
        const auto make = [&source](int at) { return Fragile{source[static_cast<std::size_t>(at)]}; };
        return store.fill(support::InputOnly{static_cast<int>(source.size()), make}, s);
      });
    }
  }
}

TEST_CASE("a hash that throws while the maps' index is made can be asked again") {
  std::vector<Fragile> source;
  for (int k = 0; k < 12; ++k) source.emplace_back(k % 6);
  Store<Fragile> store;
  CHECK(store.fill(source, false) == nullptr);
  settle(store);
  int failures = 0;
  for (long n = 0;; ++n) {
    Fragile::light(n);
    std::size_t slot = npos;
    try {
      slot = store.find(source[2], State::succeeded);
    } catch (const support::Broken&) {
      ++failures;
      continue;
    }
    Fragile::put_out();
    CHECK(slot == 8);  // the last of them
    break;
  }
  CHECK(failures > 12);
}
