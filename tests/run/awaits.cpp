// SPDX-License-Identifier: MIT
#include <taskmgr/run/awaits.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <climits>
#include <coroutine>
#include <cstddef>
#include <functional>
#include <memory>
#include <ratio>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "support/build.hpp"
#include "support/coroutines.hpp"
#include "support/random.hpp"
#include "support/sockets.hpp"

using support::Counted, support::CountedCheck, support::Foreign, support::OnLoop, support::Sockets;
using taskmgr::Async, taskmgr::Cancelled, taskmgr::EventLoop, taskmgr::UsageError;
using taskmgr::readable, taskmgr::sleep_for, taskmgr::sleep_until, taskmgr::when_all, taskmgr::writable, taskmgr::yield;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

Async<int> give_after(std::chrono::nanoseconds span, int x) {
  co_await sleep_for(span);
  co_return x;
}
Async<int> fails_after(std::chrono::nanoseconds span, const char* message) {
  co_await sleep_for(span);
  throw std::runtime_error(message);
}
Async<> nothing() { co_return; }

/// Each waits for the next by `when_all`; the last sleeps.
Async<int> nested(int depth, bool& asleep, Counted counted) {
  if (depth == 0) {
    asleep = true;
    co_await sleep_for(1h);
    co_return 0;
  }
  auto pending = when_all(nested(depth - 1, asleep, counted));
  const auto results = co_await pending;
  co_return 1 + std::get<0>(results);
}

}  // namespace

TEST_CASE("a sleep is not shorter than it was to be, by whichever clock") {
  const auto task = []() -> Async<> {
    for (const auto span : {1ns, 1'000ns, 2'000'000ns, 15'000'000ns}) {
      const auto begin = Clock::now();
      co_await sleep_for(span);
      CHECK(Clock::now() - begin >= span);
      const auto again = Clock::now();
      co_await sleep_for(std::chrono::duration<double>{span});
      CHECK(Clock::now() - again >= span);
    }
    const auto steady = Clock::now() + 2ms;
    co_await sleep_until(steady);
    CHECK(Clock::now() >= steady);
    const auto system = std::chrono::system_clock::now() + 2ms;
    const auto begin = Clock::now();
    co_await sleep_until(system);
    CHECK(Clock::now() - begin >= 1ms);  // unless somebody sets the clock
  };
  taskmgr::run(task());
}

TEST_CASE("a time that has passed, however long ago, is no wait") {
  const auto task = []() -> Async<> {
    co_await sleep_for(0ns);
    co_await sleep_for(-1h);
    co_await sleep_for(std::chrono::nanoseconds::min());
    co_await sleep_for(std::chrono::duration<double>{-1e300});
    co_await sleep_for(std::chrono::hours::min());
    co_await sleep_until(Clock::time_point::min());
    co_await sleep_until(Clock::time_point{});
    co_await sleep_until(std::chrono::system_clock::time_point::min());
    co_await sleep_until(std::chrono::system_clock::now() - 1h);
  };
  const auto begin = Clock::now();
  taskmgr::run(task());
  CHECK(Clock::now() - begin < 1min);
}

TEST_CASE("a sleep of centuries is woken by a stop") {
  for (const int kind : {0, 1, 2, 3, 4}) {
    const auto task = [kind]() -> Async<> {
      if (kind == 0) co_await sleep_for(std::chrono::nanoseconds::max());
      else if (kind == 1) co_await sleep_until(Clock::time_point::max());
      else if (kind == 2) co_await sleep_for(std::chrono::duration<double>{1e300});
      else if (kind == 3) co_await sleep_for(std::chrono::hours::max());
      else co_await sleep_until(std::chrono::system_clock::time_point::max());
    };
    std::stop_source source;
    std::jthread stopper([&source] {
      std::this_thread::sleep_for(5ms);
      source.request_stop();
    });
    CHECK_THROWS_AS(taskmgr::run(task(), source.get_token()), Cancelled);
  }
}

TEST_CASE("who yields lets all others go first that are ready") {
  std::string order;
  const auto task = [&order](char name) -> Async<> {
    for (int k = 0; k < 3; ++k) {
      order += name;
      co_await yield();
    }
  };
  const auto all = [&]() -> Async<> {
    auto pending = when_all(task('a'), task('b'), task('c'));
    co_await pending;
  };
  taskmgr::run(all());
  CHECK(order == "abcabcabc");
}

TEST_CASE("sleepers wake in the order of their times, if they are not closer than a tick of the loop") {
  std::vector<int> order;
  const auto sleeper = [&order](Clock::time_point time, int number) -> Async<> {
    co_await sleep_until(time);
    order.push_back(number);
  };
  const auto all = [&]() -> Async<> {
    std::vector<Async<>> sleepers;
    const auto begin = Clock::now() + 300ms;  // all of them are asleep before
    for (int k = 0; k < 1000; ++k) sleepers.push_back(sleeper(begin + 100us * ((k * 7919) % 1000), (k * 7919) % 1000));
    auto pending = when_all(std::move(sleepers));
    co_await pending;
  };
  taskmgr::run(all());
  CHECK(order.size() == 1000);
  CHECK(std::is_sorted(order.begin(), order.end()));
}

TEST_CASE("a hundred thousand sleep at once") {
  const CountedCheck check;
  constexpr int n = support::sanitized ? 20'000 : 100'000;
  const auto sleeper = [](Counted, std::chrono::nanoseconds span) -> Async<int> {
    co_await sleep_for(span);
    co_return 1;
  };
  const auto all = [&]() -> Async<int> {
    std::vector<Async<int>> sleepers;
    for (int k = 0; k < n; ++k) sleepers.push_back(sleeper(Counted{k}, 20ms + 1us * (k % 5000)));
    auto pending = when_all(std::move(sleepers));
    int sum = 0;
    for (const int one : co_await pending) sum += one;
    co_return sum;
  };
  CHECK(taskmgr::run(all()) == n);
  CHECK(check.balanced());
}

TEST_CASE("two coroutines talk through a socket, which both read and write") {
  const Sockets sockets;
  constexpr int rounds = support::sanitized ? 500 : 5000;
  const auto write_all = [](int fd) -> Async<> {
    std::array<char, 3000> data{};
    for (int k = 0; k < rounds; ++k) {
      for (std::size_t done = 0; done < data.size();) {
        co_await writable(fd);
        const auto n = ::write(fd, data.data() + done, data.size() - done);
        if (n > 0) done += static_cast<std::size_t>(n);
        else REQUIRE(errno == EAGAIN);
      }
    }
  };
  const auto read_all = [](int fd) -> Async<long> {
    std::array<char, 4096> data{};
    long got = 0;
    while (got < 3000L * rounds) {
      co_await readable(fd);
      const auto n = ::read(fd, data.data(), data.size());
      if (n > 0) got += n;
      else REQUIRE(errno == EAGAIN);
    }
    co_return got;
  };
  const auto both = [&]() -> Async<long> {
    auto pending = when_all(write_all(sockets.here), read_all(sockets.here), write_all(sockets.there), read_all(sockets.there));
    const auto results = co_await pending;
    co_return std::get<1>(results) + std::get<3>(results);
  };
  CHECK(taskmgr::run(both()) == 2 * 3000L * rounds);
}

TEST_CASE("a hang-up wakes who waits to read, and a file never has to be waited for") {
  Sockets sockets;
  const auto waits = [&]() -> Async<long> {
    co_await readable(sockets.here);
    char heard = 0;
    co_return ::read(sockets.here, &heard, 1);
  };
  const auto hangs_up = [&]() -> Async<> {
    co_await yield();
    ::close(std::exchange(sockets.there, -1));
  };
  const auto both = [&]() -> Async<long> {
    auto pending = when_all(waits(), hangs_up());
    co_return std::get<0>(co_await pending);
  };
  CHECK(taskmgr::run(both()) == 0);

  const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  const auto reads = [file]() -> Async<> {
    co_await readable(file);
    co_await writable(file);
  };
  taskmgr::run(reads());
  ::close(file);
}

TEST_CASE("what cannot be waited for is an error of the coroutine, which may go on") {
  const auto task = []() -> Async<int> {
    int refused = 0;
    for (const int fd : {-1, INT_MAX}) {
      try {
        co_await readable(fd);
      } catch (const std::system_error& error) {
        CHECK(error.code() == std::errc::bad_file_descriptor);
        ++refused;
      }
      co_await yield();
    }
    co_return refused;
  };
  CHECK(taskmgr::run(task()) == 2);
}

TEST_CASE("a stop wakes who waits for a descriptor, and the descriptor can be waited for again") {
  const Sockets sockets;
  const auto waits = [&]() -> Async<> { co_await readable(sockets.here); };
  for (int k = 0; k < 3; ++k) {
    std::stop_source source;
    std::jthread stopper([&source] {
      std::this_thread::sleep_for(2ms);
      source.request_stop();
    });
    CHECK_THROWS_AS(taskmgr::run(waits(), source.get_token()), Cancelled);
  }
  CHECK(::write(sockets.there, "x", 1) == 1);
  taskmgr::run(waits());
}

TEST_CASE("when_all gives results in the order of its arguments, nothing for nothing") {
  const auto pointer = []() -> Async<std::unique_ptr<int>> {
    co_await yield();
    co_return std::make_unique<int>(3);
  };
  const auto task = [&]() -> Async<> {
    auto pending = when_all(give_after(3ms, 1), nothing(), pointer(), give_after(0ms, 2));
    auto [one, none, three, two] = co_await pending;
    static_assert(std::is_same_v<decltype(none), std::monostate>);
    CHECK(one == 1);
    CHECK(two == 2);
    CHECK(*three == 3);
    auto empty = when_all();
    const std::tuple<> no_results = co_await empty;
    CHECK(no_results == std::tuple<>{});
    auto single = when_all(give_after(0ms, 4));
    CHECK(std::get<0>(co_await single) == 4);
  };
  taskmgr::run(task());
}

TEST_CASE("when_all of a vector gives a vector") {
  const auto pointer = [](int n) -> Async<std::unique_ptr<int>> {
    co_await sleep_for(1us * (100 - n));
    co_return std::make_unique<int>(n);
  };
  const auto task = [&]() -> Async<> {
    std::vector<Async<std::unique_ptr<int>>> pointers;
    for (int k = 0; k < 100; ++k) pointers.push_back(pointer(k));
    auto pending = when_all(std::move(pointers));
    const std::vector<std::unique_ptr<int>> results = co_await pending;
    REQUIRE(results.size() == 100);
    for (int k = 0; k < 100; ++k) CHECK(*results[static_cast<std::size_t>(k)] == k);

    std::vector<Async<>> nothings;
    nothings.push_back(nothing());
    nothings.push_back(nothing());
    auto pending_nothings = when_all(std::move(nothings));
    const std::vector<std::monostate> none = co_await pending_nothings;
    CHECK(none.size() == 2);

    auto of_none = when_all(std::vector<Async<int>>{});
    CHECK((co_await of_none).empty());
  };
  taskmgr::run(task());
}

TEST_CASE("when_all begins its arguments in their order") {
  std::string order;
  const auto notes = [&order](char name) -> Async<> {
    order += name;
    co_return;
  };
  const auto task = [&]() -> Async<> {
    auto pending = when_all(notes('a'), notes('b'), notes('c'));
    co_await pending;
    std::vector<Async<>> more;
    for (const char name : {'d', 'e', 'f'}) more.push_back(notes(name));
    auto pending_more = when_all(std::move(more));
    co_await pending_more;
  };
  taskmgr::run(task());
  CHECK(order == "abcdef");
}

TEST_CASE("when_all throws the first exception in the order of its arguments, once all have ended") {
  int ended = 0;
  const auto ends = [&ended]() -> Async<> {
    co_await sleep_for(5ms);
    ++ended;
  };
  const auto task = [&]() -> Async<> {
    auto pending = when_all(ends(), fails_after(3ms, "first"), fails_after(0ms, "second"), ends());
    co_await pending;
  };
  CHECK_THROWS_WITH(taskmgr::run(task()), "first");
  CHECK(ended == 2);
}

TEST_CASE("when_all of what was used up says so, and ends the others") {
  const CountedCheck check;
  const auto holds = [](Counted counted) -> Async<int> { co_return counted.number; };
  const auto task = [&]() -> Async<> {
    auto used_up = give_after(0ms, 1);
    co_await used_up;
    auto pending = when_all(holds(Counted{1}), std::move(used_up), holds(Counted{2}));
    co_await pending;
  };
  CHECK_THROWS_AS(taskmgr::run(task()), UsageError);
  CHECK(check.balanced());
}

TEST_CASE("a stop reaches all of when_all, and what one makes of it is its result") {
  const auto gives_up = []() -> Async<int> {
    try {
      co_await sleep_for(1h);
    } catch (const Cancelled&) {
      co_return 7;
    }
    co_return 0;
  };
  const auto obstinate = [&]() -> Async<int> {
    auto inner = when_all(gives_up(), gives_up());
    const auto both = co_await inner;
    co_return std::get<0>(both) + std::get<1>(both);
  };
  const auto task = [&](bool all) -> Async<int> {
    auto pending = when_all(obstinate(), all ? gives_up() : give_after(1h, 0));
    const auto both = co_await pending;
    co_return std::get<0>(both) + std::get<1>(both);
  };
  for (const bool all : {true, false}) {
    std::stop_source source;
    std::jthread stopper([&source] {
      std::this_thread::sleep_for(3ms);
      source.request_stop();
    });
    if (all) CHECK(taskmgr::run(task(all), source.get_token()) == 21);
    else CHECK_THROWS_AS(taskmgr::run(task(all), source.get_token()), Cancelled);
  }
}

TEST_CASE("when_all in when_all, however deep, can be dropped and cancelled") {
  constexpr int depth = support::sanitized ? 20'000 : 100'000;
  const CountedCheck check;
  for (const bool cancelled : {false, true}) {
    bool asleep = false;
    OnLoop<int> chain{nested(cancelled ? depth / 20 : depth, asleep, Counted{})};
    chain.turn_until([&] { return asleep; });
    if (!cancelled) continue;
    chain.stop();
    chain.turn_to_end();
    CHECK_THROWS_AS(chain.take(), Cancelled);
  }
  CHECK(check.balanced());
}

TEST_CASE("when_all is dropped with all that it waits for, from the inside to the outside") {
  struct Logs {
    std::string* log;
    const char* name;
    ~Logs() { *log += name; }
  };
  std::string log;
  int asleep = 0;
  {
    const auto inner = [&](const char* name) -> Async<> {
      const Logs last{&log, name};
      ++asleep;
      co_await sleep_for(1h);
    };
    const auto outer = [&]() -> Async<> {
      const Logs last{&log, "outer "};
      auto pending = when_all(inner("inner "), inner("inner "));
      co_await pending;
    };
    OnLoop<void> chain{outer()};
    chain.turn_until([&] { return asleep == 2; });
  }
  CHECK(log == "inner inner outer ");
}

TEST_CASE("coroutines that wait for all kinds of things, and are stopped at any time, lose nothing") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  const CountedCheck check;
  const Sockets sockets;
  const std::function<Async<int>(int, Counted)> grow = [&](int depth, Counted counted) -> Async<int> {
    switch (random.below(depth == 0 ? 4 : 7)) {
      case 0: co_await sleep_for(1us * random.number(300)); break;
      case 1: co_await yield(); break;
      case 2: co_await writable(sockets.here); break;
      case 3: {
        const Foreign foreign{[](std::coroutine_handle<> waiting) { EventLoop::current()->post(waiting); }};
        co_await foreign;
        break;
      }
      case 4: {
        auto pending = when_all(grow(depth - 1, counted), grow(depth - 1, counted));
        const auto both = co_await pending;
        co_return std::get<0>(both) + std::get<1>(both);
      }
      case 5: {
        auto pending = grow(depth - 1, counted);
        const int below = co_await pending;
        if (random.below(4) == 0) throw std::runtime_error("random");
        co_return below;
      }
      default: {
        std::vector<Async<int>> many;
        for (std::size_t k = random.below(5); k-- != 0;) many.push_back(grow(depth - 1, counted));
        auto pending = when_all(std::move(many));
        int sum = 0;
        for (const int one : co_await pending) sum += one;
        co_return sum;
      }
    }
    co_return 1;
  };
  for (int round = 0; round < support::times(3000); ++round) {
    OnLoop<int> chain{grow(4, Counted{})};
    int asked = 0;
    const int enough = random.number(40);
    chain.turn_until([&] { return ++asked > enough; });
    if (chain.done() || random.below(3) == 0) continue;  // dropped wherever it is
    if (random.below(2) == 0) chain.stop();
    chain.turn_to_end();
    try {
      const int waits = chain.take();
      CHECK(waits >= 0);
    } catch (const Cancelled&) {
    } catch (const std::runtime_error& error) {
      CHECK(std::string(error.what()) == "random");
    }
  }
  CHECK(check.balanced());
}
