// SPDX-License-Identifier: MIT
#include <taskmgr/core/outcome.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using taskmgr::Outcome, taskmgr::State, taskmgr::TaskError;
using taskmgr::detail::Cell, taskmgr::detail::ErrorList, taskmgr::detail::Slot, taskmgr::detail::Slots;

namespace {

/// Counts its objects, and can only be moved.
struct Counted {
  static inline int alive = 0;
  explicit Counted(int n) : number(n) { ++alive; }
  Counted(Counted&& other) noexcept : number(std::exchange(other.number, -1)) { ++alive; }
  Counted& operator=(Counted&&) = delete;
  ~Counted() { --alive; }
  int number;
};

/// Can neither be copied nor moved.
struct Pinned {
  explicit Pinned(int n) : number(n) {}
  Pinned(Pinned&&) = delete;
  int number;
};

TaskError error_of(const std::string& message, int attempts = 1) {
  return {TaskError::Kind::exception, std::make_exception_ptr(std::runtime_error(message)), attempts};
}

}  // namespace

// The cell of a small result is as small as can be: a report of a million tasks is mostly cells.
static_assert(sizeof(Cell<int>) == 4);
static_assert(sizeof(Cell<char>) == 4);
static_assert(sizeof(Cell<double>) == 8);
static_assert(sizeof(Cell<std::string>) == sizeof(std::string));
static_assert(std::is_copy_constructible_v<Outcome<int, Counted>>);

TEST_CASE("an outcome shows its task, its state, its attempts and its result") {
  const std::string task = "task";
  const Slots<int, 1> place;
  const Slot<int> slot = place[0];
  slot.succeed(3, [] { return 42; });
  const Outcome<std::string, int> outcome{task, slot, nullptr, 5ms};
  CHECK(&outcome.task() == &task);
  CHECK(outcome.state() == State::succeeded);
  CHECK(outcome.attempts() == 3);
  CHECK(outcome.duration() == 5ms);
  CHECK(outcome.value() == 42);
  CHECK_THROWS_AS(static_cast<void>(outcome.error()), taskmgr::UsageError);
}

TEST_CASE("the value of a failed task rethrows its error") {
  const int task = 1;
  const TaskError error = error_of("down", 2);
  const Slots<std::string, 1> place;
  const Slot<std::string> slot = place[0];
  slot.fail(2, 0);
  Outcome<int, std::string> outcome{task, slot, &error, 0ns};
  CHECK(outcome.state() == State::failed);
  CHECK(outcome.attempts() == 2);
  CHECK(&outcome.error() == &error);
  CHECK_THROWS_WITH_AS(static_cast<void>(outcome.value()), "down", std::runtime_error);
  CHECK_THROWS_WITH_AS(static_cast<void>(outcome.take()), "down", std::runtime_error);
}

TEST_CASE("the value of a task that never ended is a Cancelled") {
  const int task = 1;
  const Slots<int, 1> place;
  const Slot<int> slot = place[0];
  for (const State state : {State::cancelled, State::pending, State::running}) {
    slot.mark(state, 0);
    Outcome<int, int> outcome{task, slot, nullptr, 0ns};
    CHECK(outcome.state() == state);
    CHECK(outcome.attempts() == 0);
    CHECK_THROWS_AS(static_cast<void>(outcome.value()), taskmgr::Cancelled);
    CHECK_THROWS_AS(static_cast<void>(outcome.take()), taskmgr::Cancelled);
    CHECK_THROWS_AS(static_cast<void>(outcome.error()), taskmgr::UsageError);
  }
}

TEST_CASE("taking a result moves it out, and copies of the outcome show what is left") {
  const int task = 1;
  const Slots<Counted, 1> place;
  const Slot<Counted> slot = place[0];
  slot.succeed(1, [] { return Counted{7}; });
  Outcome<int, Counted> outcome{task, slot, nullptr, 0ns};
  const Outcome<int, Counted> copy = outcome;
  CHECK(copy.value().number == 7);
  CHECK(outcome.take().number == 7);
  CHECK(copy.state() == State::succeeded);
  CHECK(copy.value().number == -1);
}

TEST_CASE("an outcome can own what it shows") {
  struct Both {
    std::string task = "task";
    Slots<std::string, 1> place{};
  };
  auto both = std::make_shared<Both>();
  both->place[0].succeed(1, [] { return std::string(100, 'x'); });
  Outcome<std::string, std::string> outcome{both->task, both->place[0], nullptr, 0ns, both};
  const std::weak_ptr<Both> watched = both;
  both.reset();
  CHECK(outcome.task() == "task");
  CHECK(outcome.take() == std::string(100, 'x'));
  {
    const auto moved = std::move(outcome);
    CHECK(moved.task() == "task");
    CHECK_FALSE(watched.expired());
  }
  CHECK(watched.expired());
}

TEST_CASE("a result is made where it is kept, and lives as long as its slot") {
  REQUIRE(Counted::alive == 0);
  {
    Slots<Counted, 2> slots;
    slots.make(3);
    CHECK(slots[0].state() == State::pending);
    slots[0].succeed(1, [] { return Counted{1}; });
    slots[1].fail(1, 9);
    slots[2].succeed(1, [] { return Counted{3}; });
    CHECK(Counted::alive == 2);
    CHECK(slots[2].value().number == 3);
    CHECK(slots[1].error() == 9);
    slots[0].discard();  // it came too late
    CHECK(Counted::alive == 1);
    CHECK(slots[0].state() == State::pending);
    slots[0].fail(2, 4);
    CHECK(slots[0].state() == State::failed);
    CHECK(slots[0].attempts() == 2);
    CHECK(slots[0].error() == 4);
  }
  CHECK(Counted::alive == 0);
  const Slots<Pinned, 1> place;
  const Slot<Pinned> pinned = place[0];
  pinned.succeed(1, [] { return Pinned{5}; });
  CHECK(pinned.value().number == 5);
}

TEST_CASE("a result that cannot be made leaves its slot as it was") {
  const Slots<std::string, 1> place;
  const Slot<std::string> slot = place[0];
  slot.mark(State::pending, 4);
  CHECK_THROWS_AS(slot.succeed(5, []() -> std::string { throw 42; }), int);
  CHECK(slot.state() == State::pending);
  CHECK(slot.attempts() == 4);
}

TEST_CASE("a slot counts attempts as far as it can, and never wrongly small") {
  const Slots<int, 1> place;
  const Slot<int> slot = place[0];
  constexpr int most = (1 << 28) - 1;
  slot.fail(most, 1);
  CHECK(slot.attempts() == most);
  CHECK(slot.state() == State::failed);
  slot.fail(2'000'000'000, 1);
  CHECK(slot.attempts() == most);
  CHECK(slot.state() == State::failed);
}

TEST_CASE("a result that several tasks share is copied when it is taken") {
  const Slots<std::string, 1> place;
  const Slot<std::string> slot = place[0];
  slot.succeed(3, [] { return std::string("shared"); });
  slot.mark_shared(true);
  CHECK(slot.shared());
  CHECK(slot.attempts() == 3);
  CHECK(slot.state() == State::succeeded);
  const int task = 1;
  const auto copy = [](const std::string& result) { return result; };
  taskmgr::Outcome<int, std::string> outcome{task, slot, nullptr, std::chrono::nanoseconds{0}, nullptr, copy};
  CHECK(outcome.take() == "shared");
  CHECK(outcome.value() == "shared");
  taskmgr::Outcome<int, std::string> only_seen{task, slot, nullptr, std::chrono::nanoseconds{0}};
  CHECK_THROWS_AS(static_cast<void>(only_seen.take()), taskmgr::UsageError);
  CHECK(only_seen.value() == "shared");
  slot.mark_shared(false);
  CHECK(outcome.take() == "shared");
  CHECK(outcome.value().empty());
}

TEST_CASE("errors are found by their numbers, also while others are added") {
  ErrorList errors;
  constexpr int threads = 4;
  constexpr int each = 300;
  std::vector<std::thread> running;
  std::vector<int> wrong(threads);
  for (int t = 0; t < threads; ++t) {
    running.emplace_back([&errors, &wrong, t] {
      std::vector<std::uint32_t> numbers;
      for (int k = 0; k < each; ++k) {
        numbers.push_back(errors.add(TaskError::Kind::exception, std::make_exception_ptr(t * each + k), k));
        const auto last = static_cast<std::size_t>(k);
        wrong[static_cast<std::size_t>(t)] += errors[numbers[last / 2]].attempts() != static_cast<int>(last / 2) ? 1 : 0;
        wrong[static_cast<std::size_t>(t)] += errors[numbers[last]].message() != std::to_string(t * each + k) ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : running) thread.join();
  CHECK(wrong == std::vector<int>(threads));
}

TEST_CASE("an error that there was no memory for says so") {
  const ErrorList errors;
  const TaskError& error = errors[0xFFFFFFFF];
  CHECK(error.type() == "std::bad_alloc");
  CHECK_THROWS_AS(error.rethrow(), std::bad_alloc);
}
