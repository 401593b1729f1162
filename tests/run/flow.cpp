// SPDX-License-Identifier: MIT
#include <taskmgr/run/flow.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <latch>
#include <mutex>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <taskmgr/manager/task_manager.hpp>

#include "support/build.hpp"
#include "support/crowd.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/random.hpp"
#include "support/source.hpp"
#include "support/wait.hpp"

using support::Crowd;
using support::Manager;
using support::numbers;
using support::Source;
using taskmgr::Context;
using taskmgr::Duplicates;
using taskmgr::Mode;
using taskmgr::State;
using taskmgr::detail::Ring;
using namespace std::chrono_literals;

namespace {

/// Tasks and results that are counted.
struct Counted {
  static inline std::atomic<int> alive{0};
  static inline std::atomic<int> most{0};
  static void come() {
    const int now = ++alive;
    for (int seen = most; seen < now && !most.compare_exchange_weak(seen, now);) {
    }
  }
  explicit Counted(int n = 0) : number(n) { come(); }
  Counted(const Counted& other) : number(other.number) { come(); }
  Counted& operator=(const Counted&) = default;
  ~Counted() { --alive; }
  friend bool operator==(const Counted& a, const Counted& b) { return a.number == b.number; }
  int number;
};

/// Counts what is pulled from it.
Source counting(std::atomic<int>& pulled, int n = Source::endless) {
  return Source{n, [&pulled](Source::Step step, int) {
                  if (step == Source::Step::read) ++pulled;
                }};
}

}  // namespace

template <>
struct std::hash<Counted> {
  std::size_t operator()(const Counted& counted) const { return static_cast<std::size_t>(counted.number); }
};

TEST_CASE("a ring gives back what was put in, in order, around and around") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  Ring ring{5};
  std::size_t in = 0;
  std::size_t out = 0;
  for (int k = 0; k < 1000; ++k) {
    REQUIRE(ring.size() == in - out);
    REQUIRE(ring.empty() == (in == out));
    if (ring.size() < 5 && (ring.empty() || random.below(2) == 0)) {
      ring.push(in++);
    } else {
      REQUIRE(ring.pop() == out++);
    }
  }
}

// --- how much is pulled

TEST_CASE("nothing is pulled before the stream is walked") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::atomic<int> pulled{0};
    std::atomic<int> ran{0};
    Manager manager{[&](Context&, int x) {
                      ++ran;
                      return x;
                    },
                    {.mode = mode, .workers = 2}};
    { const auto unused = manager.stream(counting(pulled)); }
    CHECK(pulled == 0);
    CHECK(ran == 0);
  }
}

TEST_CASE("serial mode pulls one task at a time") {
  int pulled = 0;
  int ran = 0;
  Manager manager{[&](Context&, int x) {
    CHECK(pulled == ran + 1);
    ++ran;
    return x;
  }};
  int walked = 0;
  for (const auto& outcome : manager.stream(Source{100, [&](Source::Step step, int) {
                                                     if (step == Source::Step::read) ++pulled;
                                                   }})) {
    CHECK(outcome.task() == walked);
    ++walked;
    CHECK(pulled == walked);
    CHECK(ran == walked);
  }
  CHECK(walked == 100);
}

TEST_CASE("never more than a window is pulled and not handed out") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    for (const std::size_t window : {1U, 2U, 5U, 100U}) {
      for (const bool ordered : {false, true}) {
        CAPTURE(window);
        CAPTURE(ordered);
        std::atomic<int> pulled{0};
        Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 3}};
        int walked = 0;
        bool bounded = true;
        for (const auto& outcome : manager.stream(counting(pulled, 3000), {.ordered = ordered, .window = window})) {
          bounded = bounded && pulled - walked <= static_cast<int>(window) && outcome.value() == outcome.task();
          ++walked;
        }
        CHECK(bounded);
        CHECK(walked == 3000);
        CHECK(pulled == 3000);
      }
    }
  }
}

TEST_CASE("where nothing is set, a stream keeps a bounded number in flight") {
  for (const bool ordered : {false, true}) {
    std::atomic<int> pulled{0};
    Manager manager{[](Context&, int x) { return x; }, {.mode = Mode::thread, .workers = 2}};
    int walked = 0;
    int most = 0;
    for (const auto& outcome : manager.stream(counting(pulled), {.ordered = ordered})) {
      most = std::max(most, pulled - walked);
      if (outcome.value() >= 0 && ++walked == support::times(50'000)) break;
    }
    CHECK(most <= 2000);
    CHECK(most >= 2);
  }
}

TEST_CASE("a walker that waits lets the workers fill the window, and no more") {
  std::atomic<int> pulled{0};
  support::Counter ran;
  Manager manager{[&](Context&, int x) {
                    ran.add();
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 2}};
  auto stream = manager.stream(counting(pulled), {.window = 10});
  auto at = stream.begin();
  ran.wait_for(pulled);
  CHECK(pulled <= 10);
  CHECK(ran.value() == pulled);
  ++at;
  CHECK(pulled <= 11);
}

TEST_CASE("nothing is pulled and nothing begun once the stream was left") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    for (const int leave_after : {0, 1, 7, 500}) {
      CAPTURE(leave_after);
      std::atomic<int> pulled{0};
      std::atomic<int> ran{0};
      Manager manager{[&](Context& context, int x) {
                        ++ran;
                        if (x % 10 == 9 && context.attempt() == 1) throw std::runtime_error("again");
                        return x;
                      },
                      {.mode = mode, .workers = 3, .retry = {.max_retries = 1, .base_delay = 100us}}};
      int walked = 0;
      for (auto& outcome : manager.stream(counting(pulled))) {
        static_cast<void>(outcome);
        if (walked++ == leave_after) break;
      }
      const int pulled_then = pulled;
      const int ran_then = ran;
      CHECK(manager.start(numbers(50)).ok());  // it is as good as before
      CHECK(pulled == pulled_then);
      CHECK(ran == ran_then + 55);
    }
  }
}

TEST_CASE("to leave a stream asks the tasks that run to stop, and waits for them") {
  const auto self = std::this_thread::get_id();
  for (int round = 0; round < support::times(50); ++round) {
    std::atomic<int> inside{0};
    std::atomic<int> to_wait{2};
    std::atomic<int> waiting{0};
    Manager manager{[&](Context& context, int x) {
                      ++inside;
                      if (std::this_thread::get_id() != self && to_wait.fetch_sub(1) > 0) {
                        ++waiting;
                        support::wait_for_stop(context.stop_token());
                      }
                      --inside;
                      return x;
                    },
                    {.mode = Mode::thread, .workers = 3}};
    for (auto& outcome : manager.stream(Source{Source::endless})) {
      CHECK(outcome.state() == State::succeeded);
      if (waiting == 2) break;
    }
    CHECK(inside == 0);
    CHECK(waiting == 2);
  }
}

TEST_CASE("an endless source, in flat memory") {
  for (const Mode mode : support::modes_that_block) {
    INFO("mode: ", support::name(mode));
    for (const bool ordered : {false, true}) {
      CAPTURE(ordered);
      Counted::most = 0;
      const int before = Counted::alive;
      {
        taskmgr::TaskManager manager{[](const Counted& counted) { return Counted{counted.number + 1}; },
                                     {.mode = mode, .workers = 3}};
        struct Numbers {
          struct iterator {
            using iterator_concept = std::input_iterator_tag;
            using value_type = Counted;
            using difference_type = std::ptrdiff_t;
            Counted operator*() const { return Counted{n}; }
            iterator& operator++() {
              ++n;
              return *this;
            }
            void operator++(int) { ++n; }
            bool operator==(std::default_sentinel_t) const { return false; }
            int n = 0;
          };
          [[nodiscard]] iterator begin() const { return {}; }
          [[nodiscard]] std::default_sentinel_t end() const { return {}; }
        };
        int walked = 0;
        for (const auto& outcome : manager.stream(Numbers{}, {.ordered = ordered})) {
          if (outcome.value().number != outcome.task().number + 1) CHECK_MESSAGE(false, outcome.task().number);
          if (++walked == support::times(100'000)) break;
        }
      }
      CHECK(Counted::alive == before);
      CHECK(Counted::most <= 4000);
    }
  }
}

// --- workers

TEST_CASE("a stream's attempts are bound by its workers, the walker included") {
  for (const std::size_t workers : {1U, 2U, 5U}) {
    CAPTURE(workers);
    Crowd crowd;
    Manager manager{[&](Context& context, int x) {
                      const auto stay = crowd.enter(context);
                      if (x % 8 == 0) std::this_thread::yield();
                      if (x % 50 == 0 && context.attempt() == 1) throw std::runtime_error("again");
                      return x;
                    },
                    {.mode = Mode::thread, .workers = workers, .retry = {.max_retries = 1, .base_delay = 20us}}};
    for (int round = 0; round < 5; ++round) {
      int walked = 0;
      for (const auto& outcome : manager.stream(numbers(1000))) walked += outcome.state() == State::succeeded ? 1 : 0;
      CHECK(walked == 1000);
    }
    CHECK(crowd.fits(workers));
  }
}

TEST_CASE("as many tasks of a stream as it has workers can wait for each other") {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  for (const int workers : {1, 2, 4}) {
    CAPTURE(workers);
    for (int round = 0; round < support::times(50); ++round) {
      threads.clear();
      std::latch met{workers};
      Manager manager{[&](Context&, int x) {
                        {
                          const std::scoped_lock lock(mutex);
                          threads.insert(std::this_thread::get_id());
                        }
                        met.arrive_and_wait();
                        return x;
                      },
                      {.mode = Mode::thread, .workers = static_cast<std::size_t>(workers), .chunk = 1}};
      int walked = 0;
      for (const auto& outcome : manager.stream(numbers(workers))) walked += outcome.value() >= 0 ? 1 : 0;
      CHECK(walked == workers);
      CHECK(threads.size() == static_cast<std::size_t>(workers));
    }
  }
}

TEST_CASE("a retry is made when it is due, also where the walker leaves long tasks to others") {
  support::Counter retried;
  support::Counter failed;
  std::atomic<bool> in_time{true};
  Manager manager{[&](Context& context, int x) {
                    if (x == 0) {  // long, as those before
                      failed.wait_for(1);
                      for (const auto end = std::chrono::steady_clock::now() + 5ms; std::chrono::steady_clock::now() < end;) {
                      }
                    } else if (x == 1) {
                      if (context.attempt() == 1) {
                        failed.add();
                        throw std::runtime_error("again");
                      }
                      retried.add();
                    } else {
                      in_time = retried.wait_for(1, 20s);
                    }
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 2, .retry = {.max_retries = 1, .base_delay = 50ms}, .chunk = 1}};
  int walked = 0;
  for (const auto& outcome : manager.stream(numbers(3), {.window = 2})) walked += outcome.value() >= 0 ? 1 : 0;
  CHECK(walked == 3);
  CHECK(in_time);
}

TEST_CASE("where no worker can be made ready, a stream shows all that it pulled as cancelled, then throws") {
  const auto self = std::this_thread::get_id();
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    for (const std::size_t workers : {1U, 2U, 4U}) {
      for (int round = 0; round < support::times(30); ++round) {
        CAPTURE(workers);
        std::atomic<int> pulled{0};
        std::atomic<int> ran{0};
        Manager manager{[&](Context&, int x) {
                          ++ran;
                          return x;
                        },
                        {.mode = mode, .workers = workers, .on_worker_start = [&](std::size_t) {
                           // the helper comes late, when the walker is asleep
                           if (round % 2 == 0 && std::this_thread::get_id() != self) std::this_thread::sleep_for(2ms);
                           throw std::runtime_error("no database");
                         }}};
        int cancelled = 0;
        std::string thrown;
        try {
          for (const auto& outcome : manager.stream(counting(pulled))) cancelled += outcome.state() == State::cancelled ? 1 : 0;
        } catch (const std::runtime_error& error) {
          thrown = error.what();
        }
        CHECK(thrown == "no database");
        CHECK(cancelled == pulled);
        CHECK(ran == 0);
      }
    }
  }
}

TEST_CASE("a worker that cannot be made ready leaves a stream's tasks to the others") {
  const auto self = std::this_thread::get_id();
  for (const bool walker_fails : {true, false}) {
    CAPTURE(walker_fails);
    for (int round = 0; round < support::times(40); ++round) {
      std::atomic<int> failing{0};
      Manager manager{[](Context& context, int x) {
                        if (x % 10 == 0 && context.attempt() == 1) throw std::runtime_error("again");
                        return x;
                      },
                      {.mode = Mode::thread,
                       .workers = 3,
                       .retry = {.max_retries = 1, .base_delay = 50us},
                       .on_worker_start = [&](std::size_t) {  // fails once
                         if ((std::this_thread::get_id() == self) != walker_fails) return;
                         if (failing.fetch_add(1) == 0) throw std::runtime_error("no database");
                       }}};
      int succeeded = 0;
      try {
        for (const auto& outcome : manager.stream(numbers(200))) succeeded += outcome.state() == State::succeeded ? 1 : 0;
      } catch (const std::runtime_error&) {
      }
      CHECK(succeeded == 200);
    }
  }
}

// --- the ends of a stream

TEST_CASE("a stream whose token was stopped before pulls nothing") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::atomic<int> pulled{0};
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 2}};
    std::stop_source stop;
    stop.request_stop();
    int walked = 0;
    for (auto& outcome : manager.stream(counting(pulled), {}, stop.get_token())) {
      static_cast<void>(outcome);
      ++walked;
    }
    CHECK(walked == 0);
    CHECK(pulled == 0);
  }
}

TEST_CASE("a stream that is stopped shows what it had pulled, and ends") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    for (const bool ordered : {false, true}) {
      std::atomic<int> pulled{0};
      std::stop_source stop;
      Manager manager{[&](Context& context, int x) {
                        if (x == 50) stop.request_stop();
                        if (x % 10 == 0 && context.attempt() == 1 && x < 50) throw std::runtime_error("again");
                        return x;
                      },
                      {.mode = mode, .workers = 3, .retry = {.max_retries = 1, .base_delay = 1us}}};
      int succeeded = 0;
      int cancelled = 0;
      int failed = 0;
      for (const auto& outcome : manager.stream(counting(pulled), {.ordered = ordered}, stop.get_token())) {
        succeeded += outcome.state() == State::succeeded ? 1 : 0;
        cancelled += outcome.state() == State::cancelled ? 1 : 0;
        failed += outcome.state() == State::failed ? 1 : 0;
      }
      CHECK(succeeded + cancelled + failed == pulled);
      CHECK(succeeded >= 1);
      CHECK(failed <= 2);
      if (mode == Mode::serial) CHECK(succeeded == 51);
    }
  }
}

TEST_CASE("a stream is stopped from outside while everybody waits for a retry") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    for (int round = 0; round < support::times(50); ++round) {
      std::stop_source stop;
      support::Counter failures;
      Manager manager{[&](Context&, int) -> int {
                        failures.add();
                        throw std::runtime_error("wait");
                      },
                      {.mode = mode, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1h, .max_delay = 1h}}};
      const std::jthread stopper{[&] {
        failures.wait_for(mode == Mode::serial ? 1 : 8);
        stop.request_stop();
      }};
      int cancelled = 0;
      for (const auto& outcome : manager.stream(Source{8}, {}, stop.get_token())) {
        cancelled += outcome.state() == State::cancelled || outcome.state() == State::failed ? 1 : 0;
      }
      CHECK(cancelled == (mode == Mode::serial ? 1 : 8));
    }
  }
}

TEST_CASE("a stream that is halted ends") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::atomic<int> pulled{0};
    Manager manager{[](Context&, int x) -> int {
                      if (x >= 10) throw std::runtime_error("down");
                      return x;
                    },
                    {.mode = mode, .workers = 3, .halt = {.failures = 4}}};
    int counts[5] = {};
    for (const auto& outcome : manager.stream(counting(pulled))) ++counts[static_cast<int>(outcome.state())];
    CHECK(counts[static_cast<int>(State::failed)] >= 4);
    CHECK(counts[static_cast<int>(State::failed)] <= 6);
    CHECK(counts[static_cast<int>(State::succeeded)] <= 10);
    CHECK(counts[static_cast<int>(State::succeeded)] + counts[static_cast<int>(State::failed)] +
              counts[static_cast<int>(State::cancelled)] == pulled);
  }
}

TEST_CASE("streams that are left at random, with retries") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      if (x % 7 == 0 && context.attempt() <= x % 3) throw std::runtime_error("again");
                      return x;
                    },
                    {.mode = mode, .workers = 3, .retry = {.max_retries = 2, .base_delay = 2us}}};
    for (int round = 0; round < support::times(200); ++round) {
      const int leave_after = random.number(150);
      const bool ordered = random.below(2) == 0;
      const std::size_t window = random.below(20);
      std::set<int> seen;
      int last = -1;
      for (const auto& outcome : manager.stream(Source{100}, {.ordered = ordered, .window = window})) {
        const bool fresh = seen.insert(outcome.task()).second;
        if (!fresh || outcome.state() != State::succeeded) CHECK_MESSAGE(false, "task ", outcome.task());
        if ((ordered || mode == Mode::serial) && outcome.task() != last + 1) CHECK_MESSAGE(false, "order ", outcome.task());
        last = outcome.task();
        if (static_cast<int>(seen.size()) > leave_after) break;
      }
      CHECK(seen.size() == static_cast<std::size_t>(std::min(leave_after + 1, 100)));
    }
  }
}
