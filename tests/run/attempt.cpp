// SPDX-License-Identifier: MIT
#include <taskmgr/run/attempt.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <latch>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <taskmgr/core/error.hpp>
#include <taskmgr/manager/task_manager.hpp>

#include "support/build.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/random.hpp"
#include "support/recorder.hpp"
#include "support/wait.hpp"

using support::Manager;
using support::numbers;
using support::Recorder;
using support::wait_for_stop;
using taskmgr::Cancelled;
using taskmgr::Context;
using taskmgr::EventKind;
using taskmgr::Mode;
using taskmgr::Options;
using taskmgr::State;
using taskmgr::TaskError;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

struct Flaky : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What one attempt of the model does.
enum class Move { succeed, flaky, logic, number };

/// Decided by the seed, the task and the attempt alone.
Move move_of(std::uint64_t seed, int task, int attempt) {
  std::uint64_t z = seed + static_cast<std::uint64_t>(task) * 0x9E3779B97F4A7C15U + static_cast<std::uint64_t>(attempt);
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  switch ((z ^ (z >> 31U)) % 8) {
    case 0:
    case 1:
    case 2:
    case 3: return Move::flaky;
    case 4: return Move::logic;
    case 5: return Move::number;
    default: return Move::succeed;
  }
}

int act(std::uint64_t seed, int task, int attempt) {
  switch (move_of(seed, task, attempt)) {
    case Move::flaky: throw Flaky("flaky");
    case Move::logic: throw std::logic_error("logic");
    case Move::number: throw attempt;
    case Move::succeed: break;
  }
  return 1000 * task + attempt;
}

/// What is to become of a task: logic errors are not retried, all else is.
struct Expected {
  State state = State::failed;
  int attempts = 0;
};
Expected expected(std::uint64_t seed, int task, int max_retries) {
  for (int attempt = 1;; ++attempt) {
    const Move move = move_of(seed, task, attempt);
    if (move == Move::succeed) return {State::succeeded, attempt};
    if (move == Move::logic || attempt > max_retries) return {State::failed, attempt};
  }
}

/// A result whose objects are counted.
struct Counted {
  static inline std::atomic<int> alive{0};
  Counted() { ++alive; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --alive; }
};

void busy(std::chrono::nanoseconds span) {
  for (const auto end = Clock::now() + span; Clock::now() < end;) {
  }
}

}  // namespace

template <>
struct taskmgr::Codec<Counted> {
  static void encode(Writer&, const Counted&) {}
  static Counted decode(Reader&) { return {}; }
};

// --- retries

TEST_CASE("a task that fails is tried again until it succeeds") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      if (context.attempt() < 3) throw Flaky("not yet");
                      return x;
                    },
                    {.mode = mode, .retry = {.max_retries = 5, .base_delay = 10us}}};
    const auto report = manager.start(numbers(20));
    CHECK(report.ok());
    CHECK(report.retries == 40);
    CHECK(support::adds_up(report));
    for (const auto& outcome : report.outcomes()) CHECK(outcome.attempts() == 3);
  }
}

TEST_CASE("a task has one attempt more than it has retries") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    for (const int retries : {0, 1, 4}) {
      Manager manager{[](Context& context, int) -> int { throw Flaky("attempt " + std::to_string(context.attempt())); },
                      {.mode = mode, .retry = {.max_retries = retries, .base_delay = 10us}}};
      const auto report = manager.start({7});
      REQUIRE(report.failed == 1);
      CHECK(report.error_map().at(7).attempts() == retries + 1);
      CHECK(report.error_map().at(7).message() == "attempt " + std::to_string(retries + 1));  // the last one's
      CHECK(report.retries == static_cast<std::size_t>(retries));
    }
  }
}

TEST_CASE("a retried task keeps its place") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      if (x % 2 == 0 && context.attempt() == 1) throw Flaky("again");
                      return static_cast<int>(context.number());
                    },
                    {.mode = mode, .workers = 3, .retry = {.max_retries = 1, .base_delay = 10us}}};
    const auto report = manager.start({4, 4, 2, 1, 2, 0});
    REQUIRE(report.ok());
    std::vector<std::pair<int, int>> seen;
    for (const auto& [task, value] : report.success_map()) seen.emplace_back(task, value);
    CHECK(seen == std::vector<std::pair<int, int>>{{4, 0}, {2, 2}, {1, 3}, {0, 5}});
  }
}

TEST_CASE("retries agree with a model, whatever fails") {
  const std::uint64_t seed = support::seed();
  INFO("TASKMGR_SEED=", seed);
  const int tasks = support::times(1000);
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    for (const int retries : {0, 2, 6}) {
      Manager manager{[seed](Context& context, int x) { return act(seed, x, context.attempt()); },
                      {.mode = mode, .workers = 4, .retry = {.max_retries = retries, .base_delay = 1us, .max_delay = 20us}}};
      const auto check = [&](const auto& outcome) {
        const Expected right = expected(seed, outcome.task(), retries);
        if (outcome.state() != right.state || outcome.attempts() != right.attempts ||
            (right.state == State::succeeded && outcome.value() != 1000 * outcome.task() + right.attempts)) {
          CHECK_MESSAGE(false, "task ", outcome.task(), " had ", outcome.attempts(), " attempts, not ", right.attempts);
        }
      };
      const auto started = manager.start(numbers(tasks));
      CHECK(support::adds_up(started));
      for (const auto& outcome : started.outcomes()) check(outcome);
      auto run = manager.launch(numbers(tasks));
      const auto launched = run.wait();
      CHECK(support::adds_up(launched));
      for (const auto& outcome : launched.outcomes()) check(outcome);
      CHECK(launched.retries == started.retries);
      int streamed = 0;
      for (const bool ordered : {false, true}) {
        for (const auto& outcome : manager.stream(numbers(tasks), {.ordered = ordered})) {
          check(outcome);
          ++streamed;
        }
      }
      CHECK(streamed == 2 * tasks);
    }
  }
}

TEST_CASE("a task that waits for its retry occupies no worker") {
  std::vector<int> order;
  Manager manager{[&](Context& context, int x) {
                    if (x == 0 && context.attempt() == 1) throw Flaky("wait");
                    order.push_back(x);  // there is one worker
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 1, .retry = {.max_retries = 1, .base_delay = 50ms}}};
  const auto begin = Clock::now();
  CHECK(manager.start(numbers(5)).ok());
  CHECK(Clock::now() - begin >= 45ms);
  CHECK(order == std::vector<int>{1, 2, 3, 4, 0});
}

TEST_CASE("many tasks wait for their retries at the same time") {
  Manager manager{[](Context& context, int x) {
                    if (context.attempt() == 1) throw Flaky("wait");
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 2, .retry = {.max_retries = 1, .base_delay = 100ms}}};
  const auto begin = Clock::now();
  CHECK(manager.start(numbers(500)).ok());
  CHECK(Clock::now() - begin >= 90ms);
  CHECK(Clock::now() - begin < 25s);  // one after the other it would be 50 s, or 25 on two workers
}

TEST_CASE("serial mode retries in place") {
  std::vector<int> order;
  Manager manager{[&](Context& context, int x) {
                    order.push_back(x);
                    if (x == 1 && context.attempt() < 3) throw Flaky("again");
                    return x;
                  },
                  {.retry = {.max_retries = 2, .base_delay = 1ms}}};
  CHECK(manager.start(numbers(3)).ok());
  CHECK(order == std::vector<int>{0, 1, 1, 1, 2});
}

TEST_CASE("the first retry waits for the base delay") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      if (context.attempt() <= 2) throw Flaky("again");
                      return x;
                    },
                    {.mode = mode, .retry = {.max_retries = 2, .base_delay = 10ms, .multiplier = 3, .jitter = 0}}};
    const auto begin = Clock::now();
    CHECK(manager.start({1}).ok());
    CHECK(Clock::now() - begin >= 40ms);
  }
}

TEST_CASE("logic errors are not retried unless the predicate says so") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    const auto function = [](Context& context, int x) -> int {
      if (context.attempt() == 2) return x;
      throw std::logic_error("a bug");
    };
    Manager usual{function, {.mode = mode, .retry = {.max_retries = 3, .base_delay = 10us}}};
    CHECK(usual.start({1}).error_map().at(1).attempts() == 1);
    Manager all{function,
                {.mode = mode, .retry = {.max_retries = 3, .base_delay = 10us, .on = taskmgr::retry_unless<>()}}};
    CHECK(all.start({1}).ok());
  }
}

TEST_CASE("the predicate sees the exception and the attempt") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::mutex mutex;
    std::vector<std::pair<std::string, int>> asked;
    Manager manager{[](Context&, int x) -> int {
                      if (x == 0) throw 42;
                      throw Flaky("flaky");
                    },
                    {.mode = mode,
                     .workers = 1,
                     .retry = {.max_retries = 3,
                               .base_delay = 1us,
                               .on = taskmgr::retry_if([&](const std::exception_ptr& error, int attempt) {
                                 const std::scoped_lock lock(mutex);
                                 asked.emplace_back(TaskError(TaskError::Kind::exception, error, 1).type(), attempt);
                                 return attempt < 2;
                               })}}};
    const auto report = manager.start({0});
    CHECK(report.error_map().at(0).attempts() == 2);
    CHECK(report.error_map().at(0).type() == "int");
    CHECK(asked == std::vector<std::pair<std::string, int>>{{"int", 1}, {"int", 2}});
  }
}

TEST_CASE("a predicate that throws ends the task, and its exception is the task's error") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) -> int {
                      if (x % 2 == 0) throw Flaky("the task");
                      return x;
                    },
                    {.mode = mode,
                     .workers = 3,
                     .retry = {.max_retries = 3, .base_delay = 10us, .on = taskmgr::retry_if([](const std::exception&) -> bool {
                                 throw std::out_of_range("the predicate");
                               })}}};
    const auto report = manager.start(numbers(100));
    CHECK(support::adds_up(report));
    CHECK(report.succeeded == 50);
    for (const auto& [task, error] : report.error_map()) {
      CHECK(error.message() == "the predicate");
      CHECK(error.type() == "std::out_of_range");
      CHECK(error.attempts() == 1);
    }
  }
}

TEST_CASE("whatever is thrown is an error") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) -> int {
                      if (x == 0) throw 42;
                      if (x == 1) throw "text";
                      if (x == 2) throw std::string("string");
                      throw Counted::alive.load() == 0;  // a bool
                    },
                    {.mode = mode, .workers = 2}};
    const auto report = manager.start(numbers(4));
    CHECK(report.failed == 4);
    CHECK(report.error_map().at(0).message() == "42");
    CHECK(report.error_map().at(1).message() == "text");
    CHECK(report.error_map().at(2).message() == "string");
    CHECK(report.error_map().at(3).type() == "bool");
  }
}

// --- cancelling

TEST_CASE("Cancelled is an error like any other where nobody cancelled") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      if (x == 0 || context.attempt() == 1) throw Cancelled{};
                      return x;
                    },
                    {.mode = mode, .retry = {.max_retries = 1, .base_delay = 10us}}};
    const auto report = manager.start({0, 1});
    CHECK(report.cancelled == 0);
    CHECK(report.failed == 1);
    CHECK(report.succeeded == 1);
    CHECK(report.error_map().at(0).attempts() == 2);
    CHECK(report.error_map().at(0).type() == "taskmgr::Cancelled");
  }
}

TEST_CASE("of the tasks that run when a run is cancelled, each ends as it pleases") {
  std::stop_source stop;
  std::latch all{4};
  Manager manager{[&](Context& context, int x) {
                    all.arrive_and_wait();
                    if (x == 0) stop.request_stop();
                    wait_for_stop(context.stop_token());
                    if (x == 1) throw Cancelled{};
                    if (x == 2) throw Flaky("not retried");
                    if (x == 3) throw taskmgr::TimeoutError("not retried either");
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 4, .retry = {.max_retries = 9, .base_delay = 10us}}};
  const auto report = manager.start(numbers(100), stop.get_token());
  CHECK(support::adds_up(report));
  CHECK(report[0].state() == State::succeeded);
  CHECK(report[1].state() == State::cancelled);
  CHECK(report[1].attempts() == 1);
  CHECK(report[2].state() == State::failed);
  CHECK(report[2].attempts() == 1);
  CHECK(report[3].state() == State::failed);
  CHECK(report.cancelled == 97);
  for (std::size_t k = 4; k < 100; ++k) CHECK(report[k].attempts() == 0);
  CHECK_THROWS_AS(static_cast<void>(report[1].value()), Cancelled);
  CHECK_THROWS_AS(static_cast<void>(report[50].value()), Cancelled);
}

TEST_CASE("the one task that serial mode runs at a time ends a cancelled run as it pleases") {
  for (const int how : {0, 1, 2}) {
    CAPTURE(how);
    std::stop_source stop;
    Manager manager{[&](Context&, int x) {
                      if (x == 1) {
                        stop.request_stop();
                        if (how == 1) throw Cancelled{};
                        if (how == 2) throw Flaky("not retried");
                      }
                      return x;
                    },
                    {.retry = {.max_retries = 9, .base_delay = 1h}}};
    const auto report = manager.start(numbers(4), stop.get_token());
    CHECK(report.succeeded == (how == 0 ? 2 : 1));
    CHECK(report.failed == (how == 2 ? 1 : 0));
    CHECK(report.cancelled == (how == 1 ? 3 : 2));
    CHECK(report.retries == 0);
  }
}

TEST_CASE("a task that waits for a retry is cancelled with its run") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::stop_source stop;
    Manager manager{[](Context&, int) -> int { throw Flaky("wait"); },
                    {.mode = mode, .workers = 2, .retry = {.max_retries = 9, .base_delay = 1h, .max_delay = 1h}}};
    support::Counter waiting;
    Recorder counter{[&](const taskmgr::Event& event) {
      if (event.kind == EventKind::task_retrying) waiting.add();
    }};
    manager.observe(counter);
    const int wait_for = mode == Mode::serial ? 1 : 3;
    const std::jthread canceller{[&] {
      waiting.wait_for(wait_for);
      stop.request_stop();
    }};
    const auto report = manager.start(numbers(3), stop.get_token());
    CHECK(report.cancelled == 3);
    CHECK(report[0].attempts() == 1);
    CHECK(report[2].attempts() == (mode == Mode::serial ? 0 : 1));
    CHECK(report.retries == 0);
  }
}

// --- deadlines

TEST_CASE("a value that comes after the deadline is a TimeoutError") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      wait_for_stop(context.stop_token());
                      return x;
                    },
                    {.mode = mode, .workers = 2, .timeout = 10ms}};
    const auto report = manager.start({1, 2});
    CHECK(report.failed == 2);
    CHECK(report.cancelled == 0);
    for (const auto& [task, error] : report.error_map()) {
      CHECK(error.kind() == TaskError::Kind::timeout);
      CHECK(error.type() == "taskmgr::TimeoutError");
      CHECK(error.message().find("0.01 s") != std::string::npos);
      CHECK_THROWS_AS(error.rethrow(), taskmgr::TimeoutError);
    }
  }
}

TEST_CASE("what a task throws after its deadline is a TimeoutError as well") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) -> int {
                      wait_for_stop(context.stop_token());
                      if (x == 0) throw Cancelled{};
                      throw Flaky("late");
                    },
                    {.mode = mode, .workers = 2, .timeout = 10ms}};
    const auto report = manager.start({0, 1});
    CHECK(report.failed == 2);
    for (const auto& [task, error] : report.error_map()) CHECK(error.kind() == TaskError::Kind::timeout);
  }
}

TEST_CASE("stop is requested at the deadline, not before") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Clock::time_point stopped;
    Manager manager{[&](Context& context, int x) {
                      wait_for_stop(context.stop_token());
                      stopped = Clock::now();
                      return x;
                    },
                    {.mode = mode, .timeout = 20ms}};
    const auto begin = Clock::now();
    CHECK(manager.start({1}).failed == 1);
    CHECK(stopped - begin >= 20ms);
  }
}

TEST_CASE("a task that asks whether it is to stop needs no token") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      while (!context.stop_requested()) std::this_thread::yield();
                      return x;
                    },
                    {.mode = mode, .workers = 2, .timeout = 10ms}};
    CHECK(manager.start({1, 2}).failed == 2);
  }
}

TEST_CASE("a task in time is not disturbed, however far the deadline") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    for (const std::chrono::nanoseconds timeout : {std::chrono::nanoseconds{1h}, std::chrono::nanoseconds::max()}) {
      Manager manager{[](Context& context, int x) {
                        return context.stop_requested() || context.stop_token().stop_requested() ? -1 : x;
                      },
                      {.mode = mode, .workers = 2, .timeout = timeout}};
      const auto report = manager.start(numbers(100));
      CHECK(report.ok());
      CHECK(report.success_map().at(50) == 50);
    }
  }
}

TEST_CASE("an attempt that timed out is retried, with a token of its own") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      if (context.attempt() == 1) wait_for_stop(context.stop_token());
                      return context.stop_token().stop_requested() && context.attempt() > 1 ? -1 : x;
                    },
                    {.mode = mode, .workers = 2, .retry = {.max_retries = 1000, .base_delay = 10us}, .timeout = 20ms}};
    const auto report = manager.start({5, 6});
    CHECK(report.ok());
    CHECK(report.success_map().at(5) == 5);
    CHECK(report[0].attempts() >= 2);  // more, where a machine is so busy that the second one took 20 ms
    CHECK(report[1].attempts() >= 2);
  }
}

TEST_CASE("a predicate may refuse to retry after a timeout") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      wait_for_stop(context.stop_token());
                      return x;
                    },
                    {.mode = mode,
                     .retry = {.max_retries = 5, .base_delay = 1us, .on = taskmgr::retry_unless<taskmgr::TimeoutError>()},
                     .timeout = 5ms}};
    CHECK(manager.start({1}).error_map().at(1).attempts() == 1);
  }
}

TEST_CASE("a cancel reaches a task that has a deadline") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::stop_source stop;
    Manager manager{[&](Context& context, int x) {
                      if (x == 0) stop.request_stop();
                      wait_for_stop(context.stop_token());
                      return context.stop_requested() ? x : -1;
                    },
                    {.mode = mode, .workers = 2, .timeout = 1h}};
    const auto report = manager.start(numbers(2), stop.get_token());
    CHECK(report.failed == 0);
    CHECK(report[0].value() == 0);
  }
}

TEST_CASE("a late value is destroyed") {
  for (const Mode mode : support::modes_of_functions) {
    INFO("mode: ", support::name(mode));
    {
      taskmgr::TaskManager manager{[](Context& context, int) {
                                     auto made = std::make_unique<Counted>();
                                     wait_for_stop(context.stop_token());
                                     return made;
                                   },
                                   {.mode = mode, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1us}, .timeout = 5ms}};
      const auto report = manager.start({1, 2, 3});
      CHECK(report.failed == 3);
      CHECK(Counted::alive == 0);
      int outcomes = 0;
      for (const auto& outcome : manager.stream({1, 2, 3})) outcomes += outcome.state() == State::failed ? 1 : 0;
      CHECK(outcomes == 3);
    }
    CHECK(Counted::alive == 0);
  }
}

TEST_CASE("attempts that end about their deadline either have a value or timed out") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) {
                      busy(std::chrono::microseconds{180 + x % 5 * 10});
                      return x;
                    },
                    {.mode = mode, .workers = 4, .timeout = 200us}};
    const auto report = manager.start(numbers(support::times(600)));
    CHECK(support::adds_up(report));
    for (const auto& outcome : report.outcomes()) {
      if (outcome.state() == State::succeeded ? outcome.value() != outcome.task()
                                              : outcome.error().kind() != TaskError::Kind::timeout) {
        CHECK_MESSAGE(false, "task ", outcome.task());
      }
    }
  }
}

// --- measuring

TEST_CASE("durations are measured where they were asked for, of all attempts together") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    const auto function = [](Context& context, int x) {
      busy(1ms);
      if (context.attempt() < 3) throw Flaky("again");
      return x;
    };
    const taskmgr::Retry retry{.max_retries = 2, .base_delay = 20ms, .jitter = 0};
    Manager timed{function, {.mode = mode, .retry = retry, .timings = true}};
    const auto report = timed.start({1});
    CHECK(report[0].duration() >= 3ms);
    CHECK(report[0].duration() <= report.elapsed - 55ms);  // the waits do not count
    for (const auto& outcome : timed.stream({1})) CHECK(outcome.duration() >= 3ms);

    Manager untimed{function, {.mode = mode, .retry = retry}};
    CHECK(untimed.start({1})[0].duration() == 0ns);
    for (const auto& outcome : untimed.stream({1})) CHECK(outcome.duration() == 0ns);
  }
}

TEST_CASE("an observer of single tasks has them measured") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) {
                      busy(1ms);
                      return x;
                    },
                    {.mode = mode}};
    Recorder recorder;
    manager.observe(recorder);
    const auto report = manager.start({1});
    CHECK(report[0].duration() >= 1ms);
    REQUIRE(recorder.count(EventKind::task_succeeded) == 1);
    CHECK(recorder.of(EventKind::task_succeeded)[0].duration == report[0].duration());
  }
}

TEST_CASE("what an observer takes is not the attempt's") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    class Slow final : public taskmgr::Observer {
     public:
      [[nodiscard]] bool wants(EventKind kind) const override { return kind == EventKind::task_started; }
      void on_event(const taskmgr::Event&) override { std::this_thread::sleep_for(300ms); }
    };
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 2, .timeout = 250ms}};
    Slow slow;
    manager.observe(slow);
    const auto report = manager.start({1, 2});
    CHECK(report.ok());
    for (const auto& outcome : report.outcomes()) CHECK(outcome.duration() < 250ms);
  }
}

// --- the context

TEST_CASE("a task knows its number in the source and its attempt") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      if (x == 8 && context.attempt() == 1) throw Flaky("again");
                      return static_cast<int>(context.number()) * 10 + context.attempt();
                    },
                    {.mode = mode, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1us}}};
    const auto report = manager.start({9, 9, 8, 9, 7});
    CHECK(report.success_map().at(9) == 1);
    CHECK(report.success_map().at(8) == 22);
    CHECK(report.success_map().at(7) == 41);
    int sum = 0;
    for (const auto& outcome : manager.stream({9, 9, 8, 9, 7}, {.window = 10})) sum += outcome.value();
    CHECK(sum == 64);
  }
}

TEST_CASE("the token of a run that nobody can stop never stops") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) { return context.stop_token().stop_possible() ? -1 : x; }, {.mode = mode}};
    CHECK(manager.start({1}).success_map().at(1) == 1);
  }
}
