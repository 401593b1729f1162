// SPDX-License-Identifier: MIT
#include <taskmgr/run/async.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/coroutines.hpp"

using support::Counted, support::CountedCheck, support::Foreign, support::OnLoop;
using taskmgr::Async, taskmgr::Cancelled, taskmgr::EventLoop, taskmgr::UsageError;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

static_assert(!std::is_copy_constructible_v<Async<int>> && std::is_nothrow_move_constructible_v<Async<int>>);

namespace {

Async<int> give(int x) { co_return x; }
Async<> nothing() { co_return; }
Async<int> fails() {
  throw std::runtime_error("it fails");
  co_return 1;
}
Async<> sleeps_with(bool& asleep, Counted) {
  const Counted local;
  asleep = true;
  co_await taskmgr::sleep_for(1h);
}

Async<> tells_then_sleeps(bool& asleep) {
  asleep = true;
  co_await taskmgr::sleep_for(1h);
}

}  // namespace

TEST_CASE("a coroutine gives a value, or nothing, to ordinary code and to others") {
  CHECK(taskmgr::run(give(3)) == 3);
  taskmgr::run(nothing());
  const auto outer = []() -> Async<std::string> {
    co_await nothing();
    const int temporary = co_await give(1);
    auto pending = give(2);
    const int named = co_await pending;
    co_return std::to_string(temporary + named);
  };
  CHECK(taskmgr::run(outer()) == "3");
}

TEST_CASE("results may be move-only, or have no default, or be made of what is returned") {
  struct Plain {
    int a;
    int b;
  };
  struct NoDefault {
    explicit NoDefault(int n) : x(n) {}
    int x;
  };
  const auto pointer = []() -> Async<std::unique_ptr<int>> {
    auto local = std::make_unique<int>(5);
    co_return local;
  };
  const auto text = []() -> Async<std::string> { co_return "text"; };
  const auto braces = []() -> Async<Plain> { co_return {1, 2}; };
  const auto no_default = []() -> Async<NoDefault> { co_return NoDefault{7}; };
  const auto maybe = []() -> Async<std::optional<int>> { co_return std::nullopt; };
  CHECK(*taskmgr::run(pointer()) == 5);
  CHECK(taskmgr::run(text()) == "text");
  CHECK(taskmgr::run(braces()).b == 2);
  CHECK(taskmgr::run(no_default()).x == 7);
  CHECK(!taskmgr::run(maybe()).has_value());
}

TEST_CASE("a result may have a stricter alignment than a frame has") {
  struct alignas(64) Wide {
    Wide() { wrong += reinterpret_cast<std::uintptr_t>(this) % 64 != 0 ? 1 : 0; }
    Wide(const Wide& other) noexcept : x(other.x) { wrong += reinterpret_cast<std::uintptr_t>(this) % 64 != 0 ? 1 : 0; }
    int x = 3;
    int wrong = 0;
  };
  const auto wide = []() -> Async<Wide> { co_return {}; };
  const auto broken = []() -> Async<Wide> {
    throw std::runtime_error("broken");
    co_return {};
  };
  const Wide result = taskmgr::run(wide());
  CHECK(result.x == 3);
  CHECK(result.wrong == 0);
  CHECK_THROWS_AS(taskmgr::run(broken()), std::runtime_error);
  const auto longest = []() -> Async<long double> { co_return 1.5L; };
  CHECK(taskmgr::run(longest()) == 1.5L);
}

TEST_CASE("what a coroutine throws is thrown where it is awaited") {
  CHECK_THROWS_WITH_AS(taskmgr::run(fails()), "it fails", std::runtime_error);
  const auto catches = []() -> Async<int> {
    int caught = 0;
    for (int k = 0; k < 3; ++k) {
      try {
        co_await fails();
      } catch (const std::runtime_error&) {
        ++caught;
      }
    }
    caught += co_await give(10);
    co_return caught;
  };
  CHECK(taskmgr::run(catches()) == 13);
  const auto no_exception = []() -> Async<> {
    throw 42;
    co_return;
  };
  CHECK_THROWS_AS(taskmgr::run(no_exception()), int);
}

TEST_CASE("what the making, the moving or the end of a result throws is thrown in place of it") {
  struct Stubborn {
    Stubborn() = default;
    Stubborn(Stubborn&&) { throw std::runtime_error("cannot be moved"); }
  };
  const auto stubborn = []() -> Async<Stubborn> { co_return Stubborn{}; };
  CHECK_THROWS_WITH(taskmgr::run(stubborn()), "cannot be moved");

  struct Loud {
    ~Loud() noexcept(false) { throw std::runtime_error("a loud end"); }
  };
  const CountedCheck check;
  const auto loud = []() -> Async<Counted> {
    const Loud local;
    co_return Counted{1};
  };
  CHECK_THROWS_WITH(taskmgr::run(loud()), "a loud end");
  CHECK(check.balanced());
}

TEST_CASE("a coroutine is lazy: dropped before it is awaited, it never runs") {
  const CountedCheck check;
  bool begun = false;
  {
    const auto never = [](bool& flag, Counted) -> Async<> {
      flag = true;
      co_return;
    };
    const Async<> dropped = never(begun, Counted{});
    Async<> moved = never(begun, Counted{});
    const Async<> to = std::move(moved);
    Async<> assigned = never(begun, Counted{});
    Async<> other = never(begun, Counted{});
    const int alive = Counted::alive;
    assigned = std::move(other);
    CHECK(Counted::alive == alive - 1);
    CHECK_THROWS_AS(taskmgr::run(std::move(other)), UsageError);  // NOLINT: that is the test
    Async<>& self = assigned;
    assigned = std::move(self);
    CHECK(Counted::alive == alive - 1);
  }
  CHECK(!begun);
  CHECK(check.balanced());
}

TEST_CASE("a coroutine that was used up says so") {
  const auto twice = []() -> Async<int> {
    auto once = give(4);
    int sum = co_await once;
    try {
      sum += co_await once;
    } catch (const UsageError& error) {
      CHECK(std::string(error.what()) == "taskmgr: this Async was used up: it can be awaited or run once");
      sum += 10;
    }
    co_return sum;
  };
  CHECK(taskmgr::run(twice()) == 14);

  auto moved = give(1);
  auto to = std::move(moved);
  CHECK_THROWS_AS(taskmgr::run(std::move(moved)), UsageError);  // NOLINT: that is the test
  CHECK(taskmgr::run(std::move(to)) == 1);
  CHECK_THROWS_AS(taskmgr::run(std::move(to)), UsageError);  // NOLINT
}

TEST_CASE("a coroutine that another one awaits already is used up") {
  const auto sleepy = []() -> Async<int> {
    co_await taskmgr::sleep_for(5ms);
    co_return 1;
  };
  const auto awaits = [](Async<int>& shared) -> Async<int> { co_return co_await shared; };
  const auto both = [&]() -> Async<int> {
    auto shared = sleepy();
    auto pending = taskmgr::when_all(awaits(shared), awaits(shared));
    const auto results = co_await pending;
    co_return std::get<0>(results) + std::get<1>(results);
  };
  CHECK_THROWS_AS(taskmgr::run(both()), UsageError);
}

TEST_CASE("a coroutine that is dropped where it waits ends all that it has, from the inside to the outside") {
  struct Logs {
    std::string* log;
    char name;
    ~Logs() { *log += name; }
  };
  std::string log;
  bool asleep = false;
  {
    const auto inner = [&]() -> Async<> {
      const Logs last{&log, 'i'};
      auto pending = tells_then_sleeps(asleep);
      co_await pending;
    };
    const auto outer = [&]() -> Async<> {
      const Logs last{&log, 'o'};
      auto pending = inner();
      co_await pending;
    };
    OnLoop<void> chain{outer()};
    chain.turn_until([&] { return asleep; });
    CHECK(log.empty());
  }
  CHECK(log == "io");
}

TEST_CASE("a coroutine is dropped wherever it is: not begun, ready, asleep, in foreign hands, at its end") {
  const CountedCheck check;
  { const OnLoop<int> not_begun{give(1)}; }
  {
    bool asleep = false;
    OnLoop<void> sleeping{sleeps_with(asleep, Counted{})};
    sleeping.turn_until([&] { return asleep; });
  }
  {
    bool asleep = false;
    OnLoop<void> ready{sleeps_with(asleep, Counted{})};
    ready.turn_until([&] { return asleep; });
    ready.stop();  // and is not resumed any more
  }
  {
    std::coroutine_handle<> taken;
    const auto given = [&](Counted) -> Async<> {
      const Foreign foreign{[&](std::coroutine_handle<> waiting) { taken = waiting; }};
      co_await foreign;
    };
    OnLoop<void> away{given(Counted{})};
    away.turn_until([&] { return taken != nullptr; });
  }
  {
    const auto ends = []() -> Async<Counted> { co_return Counted{3}; };
    OnLoop<Counted> ended{ends()};
    ended.turn_to_end();
    CHECK(ended.done());
  }
  CHECK(check.balanced());
}

TEST_CASE("a coroutine that is asked to stop before it begins runs to its first await") {
  std::stop_source source;
  source.request_stop();
  bool begun = false;
  bool beyond = false;
  const auto task = [&]() -> Async<> {
    begun = true;
    co_await taskmgr::sleep_for(1h);
    beyond = true;
  };
  CHECK_THROWS_AS(taskmgr::run(task(), source.get_token()), Cancelled);
  CHECK(begun);
  CHECK(!beyond);
}

TEST_CASE("a stop from another thread wakes a coroutine that sleeps, at once") {
  std::stop_source source;
  std::atomic<bool> asleep{false};
  std::jthread stopper([&] {
    while (!asleep) std::this_thread::yield();
    source.request_stop();
  });
  const auto task = [&]() -> Async<> {
    asleep = true;
    co_await taskmgr::sleep_for(1h);
  };
  const auto begin = Clock::now();
  CHECK_THROWS_AS(taskmgr::run(task(), source.get_token()), Cancelled);
  CHECK(Clock::now() - begin < 1min);
}

TEST_CASE("whoever catches the cancellation may clean up and return, but not wait any more") {
  std::stop_source source;
  const auto task = [&]() -> Async<int> {
    int refused = 0;
    source.request_stop();
    for (int k = 0; k < 3; ++k) {
      try {
        co_await taskmgr::sleep_for(1h);
      } catch (const Cancelled&) {
        ++refused;
      }
    }
    refused += co_await give(10);  // to await what needs not wait is no wait
    co_return refused;
  };
  CHECK(taskmgr::run(task(), source.get_token()) == 13);
}

TEST_CASE("a stop that comes about when the coroutine ends") {
  for (int k = 0; k < support::times(2000); ++k) {
    std::stop_source source;
    std::jthread stopper([source]() mutable { source.request_stop(); });
    const auto task = [k]() -> Async<int> {
      for (int n = 0; n < k % 7; ++n) co_await taskmgr::yield();
      co_return 1;
    };
    try {
      const int one = taskmgr::run(task(), source.get_token());
      CHECK(one == 1);
    } catch (const Cancelled&) {
    }
  }
}

TEST_CASE("a coroutine may run another to its end on a loop of its own") {
  const auto outer = []() -> Async<int> {
    EventLoop* const mine = EventLoop::current();
    co_await taskmgr::sleep_for(1ms);
    const int inner = taskmgr::run([]() -> Async<int> {
      co_await taskmgr::sleep_for(1ms);
      co_return 5;
    }());
    CHECK(EventLoop::current() == mine);
    co_await taskmgr::yield();
    co_return inner;
  };
  CHECK(taskmgr::run(outer()) == 5);
  CHECK(EventLoop::current() == nullptr);
}

TEST_CASE("a foreign awaitable has its coroutine resumed from another thread") {
  constexpr int n = support::sanitized ? 300 : 3000;
  const auto task = []() -> Async<int> {
    int here = 0;
    const auto self = std::this_thread::get_id();
    std::jthread other;
    for (int k = 0; k < n; ++k) {
      const Foreign foreign{[&, loop = EventLoop::current()](std::coroutine_handle<> waiting) {
        other = std::jthread([waiting, loop] { loop->post(waiting); });
      }};
      co_await foreign;
      here += std::this_thread::get_id() == self ? 1 : 0;
      here += co_await give(0);
    }
    co_return here;
  };
  CHECK(taskmgr::run(task()) == n);
}

TEST_CASE("a foreign awaitable may resume at once, from within") {
  const auto task = []() -> Async<int> {
    const Foreign at_once{[](std::coroutine_handle<> waiting) { waiting.resume(); }};
    co_await at_once;
    co_await taskmgr::yield();
    co_await at_once;
    const int inner = co_await give(2);
    co_await at_once;
    co_return inner;
  };
  const auto outer = [&]() -> Async<int> {
    auto pending = task();
    co_return 1 + co_await pending;
  };
  CHECK(taskmgr::run(outer()) == 3);
}

TEST_CASE("a stop does not wake what waits for something foreign, but its next await") {
  std::stop_source source;
  std::coroutine_handle<> taken;
  bool went_on = false;
  const auto task = [&]() -> Async<> {
    const Foreign foreign{[&](std::coroutine_handle<> waiting) { taken = waiting; }};
    co_await foreign;
    went_on = true;
    co_await taskmgr::sleep_for(1h);
  };
  OnLoop<void> chain{task()};
  chain.turn_until([&] { return taken != nullptr; });
  chain.stop();
  int turns = 0;
  struct Turn final : taskmgr::detail::Entry {
    void fire() noexcept override { ++*count; }
    int* count = nullptr;
  } turn;
  turn.count = &turns;
  chain.loop().soon(turn);
  chain.turn_until([&] { return turns == 1; });
  CHECK(!went_on);
  chain.loop().post(taken);
  chain.turn_to_end();
  CHECK(went_on);
  CHECK_THROWS_AS(chain.take(), Cancelled);
}

TEST_CASE("what an awaitable throws instead of waiting is thrown into the coroutine, which may go on") {
  const CountedCheck check;
  const auto task = [](Counted) -> Async<int> {
    const Foreign broken{[](std::coroutine_handle<>) { throw std::runtime_error("cannot wait"); }};
    int caught = 0;
    for (int k = 0; k < 2; ++k) {
      try {
        const Counted local;
        co_await broken;
      } catch (const std::runtime_error&) {
        ++caught;
      }
      co_await taskmgr::yield();
    }
    co_return caught;
  };
  CHECK(taskmgr::run(task(Counted{})) == 2);
  CHECK(check.balanced());
}

// What g++ 12 gets wrong, and how to write it instead: docs/reference/async.md. Each of these forms is right with it.

TEST_CASE("arguments of named types, moved or made in place, are ended once") {
  const CountedCheck check;
  const auto takes = [](Counted counted, std::string text) -> Async<std::size_t> {
    co_await taskmgr::yield();
    co_return static_cast<std::size_t>(counted.number) + text.size();
  };
  const auto task = [&]() -> Async<std::size_t> {
    Counted named{1};
    std::size_t sum = co_await takes(named, "a text that is too long to be kept in place");
    sum += co_await takes(Counted{2}, std::string(40, 'x'));
    sum += co_await takes(std::move(named), {});
    co_return sum;
  };
  CHECK(taskmgr::run(task()) == 44 + 42 + 1);
  CHECK(check.balanced());
}

namespace {

struct Request {
  Counted counted;
  std::string url;
};

Async<std::size_t> fetch(Request request) {
  co_await taskmgr::yield();
  co_return request.url.size();
}

}  // namespace

TEST_CASE("an aggregate is made before it is passed") {
  const CountedCheck check;
  const auto task = [&]() -> Async<std::size_t> {
    Request request{Counted{1}, "a text that is too long to be kept in place"};
    auto pending = fetch(std::move(request));
    co_return co_await pending;
  };
  CHECK(taskmgr::run(task()) == 43);
  CHECK(check.balanced());
}

TEST_CASE("an aggregate may be made in the call, if what comes of that is awaited by its name") {
  const CountedCheck check;
  const auto task = [&]() -> Async<std::size_t> {
    auto pending = fetch({Counted{1}, "a text that is too long to be kept in place"});
    co_return co_await pending;
  };
  CHECK(taskmgr::run(task()) == 43);
  CHECK(check.balanced());
}

TEST_CASE("a lambda that captures has a name, and so has what it gives") {
  const CountedCheck check;
  const auto call = [](std::function<int()> f) -> Async<int> {
    co_await taskmgr::yield();
    co_return f();
  };
  const auto task = [&]() -> Async<int> {
    const Counted counted{4};
    auto f = [counted, text = std::string(40, 'x')] { return counted.number + static_cast<int>(text.size()); };
    auto pending = call(f);
    int sum = co_await pending;
    auto made_in_place = call([counted] { return counted.number; });
    sum += co_await made_in_place;
    co_return sum;
  };
  CHECK(taskmgr::run(task()) == 48);
  CHECK(check.balanced());
}

TEST_CASE("a list in braces is a named container") {
  const CountedCheck check;
  const auto sum_of = [](std::vector<Counted> all) -> Async<int> {
    int sum = 0;
    for (const Counted& one : all) {
      co_await taskmgr::yield();
      sum += one.number;
    }
    co_return sum;
  };
  const auto task = [&]() -> Async<int> {
    std::vector<Counted> all{Counted{1}, Counted{2}, Counted{3}};
    auto pending = sum_of(std::move(all));
    int sum = co_await pending;
    auto in_place = sum_of({Counted{4}, Counted{5}});
    sum += co_await in_place;
    co_return sum;
  };
  CHECK(taskmgr::run(task()) == 15);
  CHECK(check.balanced());
}

TEST_CASE("a choice is an if, not a conditional operator") {
  const CountedCheck check;
  const auto give_counted = [](int n) -> Async<Counted> {
    co_await taskmgr::yield();
    co_return Counted{n};
  };
  const auto task = [&](bool which) -> Async<int> {
    Counted chosen;
    if (which) chosen = co_await give_counted(1);
    else chosen = co_await give_counted(2);
    co_return chosen.number;
  };
  CHECK(taskmgr::run(task(true)) == 1);
  CHECK(taskmgr::run(task(false)) == 2);
  CHECK(check.balanced());
}

TEST_CASE("an awaiter that a function refers to is awaited by a name") {
  struct Awaiter {
    Awaiter() = default;
    Awaiter(const Awaiter&) : copied(true) {}
    bool copied = false;
    [[nodiscard]] bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<>) const noexcept {}
    [[nodiscard]] bool await_resume() const noexcept { return copied; }
  };
  const auto task = []() -> Async<bool> {
    Awaiter kept;
    const auto get = [&]() -> Awaiter& { return kept; };
    Awaiter& awaiter = get();
    co_return co_await awaiter;
  };
  CHECK(!taskmgr::run(task()));
}
