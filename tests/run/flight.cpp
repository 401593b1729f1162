// SPDX-License-Identifier: MIT
#include <taskmgr/run/flight.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <latch>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <taskmgr/manager/task_manager.hpp>

#include "support/build.hpp"
#include "support/coroutines.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/random.hpp"
#include "support/recorder.hpp"
#include "support/source.hpp"

using support::Counted, support::CountedCheck, support::Manager, support::numbers;
using taskmgr::Async, taskmgr::Cancelled, taskmgr::Context, taskmgr::EventKind, taskmgr::Mode, taskmgr::Options, taskmgr::State,
    taskmgr::TaskError;
using taskmgr::sleep_for, taskmgr::yield;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

using PlainFunction = std::function<Async<int>(int)>;  // no place has to be told from another
using PlainManager = taskmgr::TaskManager<PlainFunction>;

taskmgr::Retry no_wait(int retries) { return {.max_retries = retries, .base_delay = 0ns}; }

/// The number of tasks that run, and the most that ever did.
struct InFlight {
  struct Here {
    explicit Here(InFlight& f) : in(f) { in.most = std::max(in.most, ++in.now); }
    Here(const Here&) = delete;
    Here& operator=(const Here&) = delete;
    ~Here() { --in.now; }
    InFlight& in;
  };
  std::size_t now = 0;
  std::size_t most = 0;
};

}  // namespace

TEST_CASE("as many coroutines are in flight as there are workers, and no more") {
  for (const std::size_t workers : {1U, 2U, 63U, 64U, 65U, 500U}) {
    InFlight flying;
    const PlainFunction task = [&](int x) -> Async<int> {
      const InFlight::Here here{flying};
      co_await sleep_for(1ms);
      co_return x;
    };
    const auto report = PlainManager{task, {.mode = Mode::coroutine, .workers = workers}}.start(numbers(1000));
    CHECK(report.succeeded == 1000);
    CHECK(flying.most == workers);
    CHECK(flying.now == 0);
  }
  InFlight flying;
  const PlainManager unbounded{[&](int x) -> Async<int> {
                                 const InFlight::Here here{flying};
                                 co_await sleep_for(50ms);
                                 co_return x;
                               },
                               {.mode = Mode::coroutine}};
  CHECK(unbounded.start(numbers(3000)).ok());
  CHECK(flying.most == 1024);
}

TEST_CASE("all of it happens on the calling thread, on one loop") {
  const auto self = std::this_thread::get_id();
  std::set<taskmgr::EventLoop*> loops;
  const PlainManager manager{[&](int x) -> Async<int> {
                               co_await yield();
                               CHECK(std::this_thread::get_id() == self);
                               loops.insert(taskmgr::EventLoop::current());
                               co_return x;
                             },
                             {.mode = Mode::coroutine}};
  CHECK(manager.start(numbers(100)).ok());
  CHECK(loops.size() == 1);
  CHECK(!loops.contains(nullptr));
}

TEST_CASE("a coroutine knows its worker, which no other in flight has") {
  std::set<std::size_t> taken;
  bool shared = false;
  const Manager manager{[&](Context& context, int x) -> Async<int> {
                          const std::size_t worker = context.worker();
                          shared = shared || worker >= 100 || !taken.insert(worker).second;
                          for (int k = 0; k < x % 5; ++k) co_await sleep_for(1us * (x % 50));
                          CHECK(context.worker() == worker);
                          CHECK(context.number() == static_cast<std::uint64_t>(x));
                          taken.erase(worker);
                          if (x % 7 == 0 && context.attempt() == 1) throw std::runtime_error("again");
                          co_return x;
                        },
                        {.mode = Mode::coroutine, .workers = 100, .retry = no_wait(1)}};
  const auto report = manager.start(numbers(5000));
  CHECK(report.succeeded == 5000);
  CHECK(support::adds_up(report));
  CHECK(!shared);
}

TEST_CASE("tasks that never wait") {
  const PlainManager manager{[](int x) -> Async<int> {
                               if (x % 10 == 3) throw std::runtime_error("fails");
                               co_return 2 * x;
                             },
                             {.mode = Mode::coroutine, .workers = 3}};
  const auto report = manager.start(numbers(10'000));
  CHECK(report.succeeded == 9000);
  CHECK(report.failed == 1000);
  CHECK(support::adds_up(report));
  CHECK(report.success_map().at(8) == 16);
  CHECK(manager.start(numbers(0)).ok());
}

TEST_CASE("a task that waits for its next attempt has no place") {
  std::string order;
  const Manager manager{[&](Context& context, int x) -> Async<int> {
                          order += static_cast<char>('0' + x);
                          co_await yield();
                          if (x == 0 && context.attempt() == 1) throw std::runtime_error("again");
                          co_return x;
                        },
                        {.mode = Mode::coroutine, .workers = 1, .retry = {.max_retries = 1, .base_delay = 100ms}}};
  const auto report = manager.start(numbers(4));
  CHECK(report.ok());
  CHECK(report.retries == 1);
  CHECK(order == "01230");
}

TEST_CASE("many wait for their next attempts at once") {
  constexpr int n = support::sanitized ? 2000 : 20'000;
  const Manager manager{[](Context& context, int x) -> Async<int> {
                          if (context.attempt() < 3) throw std::runtime_error("again");
                          co_return x;
                        },
                        {.mode = Mode::coroutine, .workers = 10, .retry = {.max_retries = 2, .base_delay = 20ms}}};
  const auto report = manager.start(numbers(n));
  CHECK(report.succeeded == n);
  CHECK(report.retries == 2 * n);
  CHECK(support::adds_up(report));
}

TEST_CASE("at its deadline a coroutine is woken, and whatever it makes of that, it has failed") {
  std::atomic<int> stopped{0};
  const support::AsyncFunction task = [&](Context& context, int x) -> Async<int> {
    const std::stop_token token = context.stop_token();
    const std::stop_callback callback{token, [&] { ++stopped; }};
    CHECK(!token.stop_requested());
    try {
      co_await sleep_for(x == 0 ? 0ns : std::chrono::nanoseconds{1h});
    } catch (const Cancelled&) {
      CHECK(token.stop_requested());
      CHECK(context.stop_requested());
      if (x == 2) co_return x;  // too late
      if (x == 3) throw std::logic_error("another error");
      throw;
    }
    co_return x;
  };
  const auto report = Manager{task, {.mode = Mode::coroutine, .timeout = 100ms}}.start(numbers(4));
  CHECK(report.succeeded == 1);
  for (const auto& [x, error] : report.error_map()) {
    CHECK(x != 0);
    CHECK(error.kind() == TaskError::Kind::timeout);
    CHECK(error.message() == "no result within the timeout of 0.1 s");
  }
  CHECK(stopped == 3);
  const PlainManager plain{[](int) -> Async<int> {
                             co_await sleep_for(1h);
                             co_return 1;
                           },
                           {.mode = Mode::coroutine, .retry = no_wait(2), .timeout = 5ms}};
  const auto retried = plain.start(numbers(100));
  CHECK(retried.failed == 100);
  CHECK(retried.retries == 200);
}

TEST_CASE("a coroutine that is woken at its deadline sees that it was asked, however late the watchdog is") {
  using Held = std::stop_callback<std::function<void()>>;
  const auto self = std::this_thread::get_id();
  std::latch gate{1};
  std::unique_ptr<Held> held;
  bool saw = false;
  const Manager manager{[&](Context& context, int x) -> Async<int> {
                          const std::stop_token token = context.stop_token();
                          if (x == 0) {  // keeps the watchdog until the other is through
                            held = std::make_unique<Held>(token, [&] {
                              if (std::this_thread::get_id() != self) gate.wait();
                            });
                          }
                          try {
                            co_await sleep_for(1h);
                          } catch (const Cancelled&) {
                            if (x == 1) {
                              saw = token.stop_requested();
                              gate.count_down();
                            }
                          }
                          co_return x;
                        },
                        {.mode = Mode::coroutine, .timeout = 20ms}};
  CHECK(manager.start(numbers(2)).failed == 2);
  CHECK(saw);
}

TEST_CASE("a cancel wakes ten thousand that sleep, and those that have not begun do not begin") {
  constexpr int n = support::sanitized ? 2000 : 10'000;
  const CountedCheck check;
  std::stop_source source;
  std::atomic<int> begun{0};
  std::jthread stopper([&] {
    while (begun < n) std::this_thread::yield();
    source.request_stop();
  });
  const PlainManager manager{[&](int x) -> Async<int> {
                               const Counted local;
                               ++begun;
                               co_await sleep_for(1h);
                               co_return x;
                             },
                             {.mode = Mode::coroutine, .workers = n, .retry = no_wait(3)}};
  const auto report = manager.start(numbers(n + 1000), source.get_token());
  CHECK(report.cancelled == n + 1000);
  CHECK(report.retries == 0);
  CHECK(begun == n);
  CHECK(support::adds_up(report));
  CHECK(check.balanced());
}

TEST_CASE("after a cancel, what returns has succeeded, what throws something else has failed and is not retried") {
  std::stop_source source;
  const Manager manager{[&](Context& context, int x) -> Async<int> {
                          try {
                            if (x == 3) source.request_stop();
                            co_await sleep_for(1h);
                          } catch (const Cancelled&) {
                            CHECK(context.stop_requested());
                            if (x == 1) co_return 1;
                            if (x == 2) throw std::runtime_error("on the way out");
                            throw;
                          }
                          co_return 0;
                        },
                        {.mode = Mode::coroutine, .retry = no_wait(3)}};
  const auto report = manager.start(numbers(10), source.get_token());
  CHECK(report[0].state() == State::cancelled);
  CHECK(report[1].state() == State::succeeded);
  CHECK(report[2].state() == State::failed);
  CHECK(report[2].attempts() == 1);
  CHECK(report[3].state() == State::cancelled);
  CHECK(report[9].state() == State::cancelled);
  CHECK(support::adds_up(report));
}

TEST_CASE("a halted run lets those in flight end, and begins no others") {
  const PlainManager manager{[](int x) -> Async<int> {
                               if (x == 0) throw std::logic_error("enough");
                               co_await sleep_for(5ms);
                               co_return x;
                             },
                             {.mode = Mode::coroutine, .workers = 4, .halt = {.failures = 1}}};
  const auto report = manager.start(numbers(100));
  CHECK(report.failed == 1);
  CHECK(report.succeeded + report.cancelled == 99);
  CHECK(report.cancelled >= 90);
  CHECK(support::adds_up(report));
}

TEST_CASE("a worker that cannot start runs no task; where none can, none is run") {
  for (const bool all : {false, true}) {
    std::set<std::size_t> started;
    std::set<std::size_t> used;
    const Manager manager{[&](Context& context, int x) -> Async<int> {
                            used.insert(context.worker());
                            co_await yield();
                            co_return x;
                          },
                          {.mode = Mode::coroutine, .workers = 5, .on_worker_start = [&, all](std::size_t worker) {
                             CHECK(started.insert(worker).second);
                             if (all || worker == 0 || worker == 3) throw std::runtime_error("no room");
                           }}};
    CHECK_THROWS_WITH(manager.start(numbers(100)), "no room");
    CHECK(started == std::set<std::size_t>{0, 1, 2, 3, 4});
    CHECK(used == (all ? std::set<std::size_t>{} : std::set<std::size_t>{1, 2, 4}));
    started.clear();
    auto run = manager.launch(numbers(100));
    CHECK(run.report().succeeded == (all ? 0 : 100));
    CHECK(run.report().cancelled == (all ? 100 : 0));
    CHECK_THROWS_WITH(run.wait(), "no room");
  }
}

TEST_CASE("a sink gets each outcome, and is not called again once it has thrown") {
  int got = 0;
  const PlainManager manager{[](int x) -> Async<int> {
                               co_await sleep_for(1us * (x % 10));
                               co_return x;
                             },
                             {.mode = Mode::coroutine, .workers = 20}};
  const std::function<void(taskmgr::Outcome<int, int>&)> count = [&](auto& outcome) { got += outcome.value() == outcome.task() ? 1 : 0; };
  CHECK(manager.start(numbers(1000), count).ok());
  CHECK(got == 1000);
  got = 0;
  const std::function<void(taskmgr::Outcome<int, int>&)> throws = [&](auto&) {
    if (++got == 10) throw std::runtime_error("full");
  };
  auto run = manager.launch(numbers(1000), throws);
  CHECK_THROWS_WITH(run.wait(), "full");
  CHECK(run.report().succeeded == 1000);
  CHECK(got == 10);
}

TEST_CASE("what a source throws is rethrown once what was taken has ended, and duplicates share") {
  int calls = 0;
  using Step = support::Source::Step;
  const PlainManager manager{[&](int x) -> Async<int> {
                               ++calls;
                               co_await yield();
                               co_return x;
                             },
                             {.mode = Mode::coroutine}};
  const std::vector<int> twice{1, 2, 1, 2, 1};
  const auto report = manager.start(twice);
  CHECK(report.duplicates == 3);
  CHECK(calls == 2);
  CHECK(report[4].value() == 1);
  auto run = manager.launch(support::Source{100, [](Step, int at) {
                                              if (at == 7) throw std::runtime_error("torn");
                                            }});
  CHECK_THROWS_WITH(run.wait(), "torn");
  CHECK(run.report().succeeded == 7);
  CHECK(run.report().total == 7);
}

TEST_CASE("observers are told of coroutines what they are told of other tasks") {
  support::Recorder recorder;
  Manager manager{[](Context& context, int x) -> Async<int> {
                    context.progress(1, 2);
                    co_await sleep_for(1us * (x % 100));
                    context.log(taskmgr::Level::info, "task {}", x);
                    if (x % 3 == 0 && context.attempt() == 1) throw std::runtime_error("again");
                    if (x % 3 == 1) throw std::logic_error("fails");
                    co_return x;
                  },
                  {.mode = Mode::coroutine, .workers = 50, .retry = no_wait(1)}};
  manager.observe(recorder);
  const auto report = manager.start(numbers(300));
  CHECK(!recorder.overlapped());
  CHECK(recorder.all().front().kind == EventKind::batch_started);
  CHECK(recorder.all().back().kind == EventKind::batch_finished);
  CHECK(recorder.count(EventKind::task_started) == 400);
  CHECK(recorder.count(EventKind::task_retrying) == 100);
  CHECK(recorder.count(EventKind::task_succeeded) == report.succeeded);
  CHECK(recorder.count(EventKind::task_failed) == report.failed);
  CHECK(recorder.count(EventKind::task_progress) == 400);
  CHECK(recorder.story(3) == std::vector{EventKind::task_started, EventKind::task_progress, EventKind::task_log,
                                         EventKind::task_retrying, EventKind::task_started, EventKind::task_progress,
                                         EventKind::task_log, EventKind::task_succeeded});
  std::map<std::size_t, std::uint64_t> at_work;  // by worker
  bool wrong = false;
  for (const auto& heard : recorder.all()) {
    if (heard.kind == EventKind::batch_started || heard.kind == EventKind::batch_finished) continue;
    wrong = wrong || heard.worker >= 50;
    if (heard.kind == EventKind::task_started) {
      wrong = wrong || !at_work.emplace(heard.worker, heard.task).second;
    } else {
      wrong = wrong || !at_work.contains(heard.worker) || at_work[heard.worker] != heard.task;
      if (heard.kind != EventKind::task_progress && heard.kind != EventKind::task_log) at_work.erase(heard.worker);
    }
    if (heard.kind == EventKind::task_succeeded) CHECK(heard.duration > 0ns);
  }
  CHECK(!wrong);
}

TEST_CASE("a function may throw, or give what was used up, in place of a coroutine") {
  Async<int> kept = [](int x) -> Async<int> { co_return x; }(1);
  const PlainManager manager{[&](int x) -> Async<int> {
                               if (x == 0) throw std::runtime_error("no coroutine");
                               return std::move(kept);
                             },
                             {.mode = Mode::coroutine, .workers = 1, .retry = no_wait(0)}};
  const auto report = manager.start(numbers(3));
  CHECK(report.error_map().at(0).message() == "no coroutine");
  CHECK(report.success_map().at(1) == 1);
  CHECK(report.error_map().at(2).message() == "taskmgr: this Async was used up: it can be awaited or run once");
}

TEST_CASE("a function that gives a coroutine runs in every mode") {
  struct Gives {
    Async<std::string> operator()(int x) const {
      co_await sleep_for(1us);
      auto inner = taskmgr::when_all(one(x), one(x + 1));
      const auto both = co_await inner;
      if (x == 5) throw std::runtime_error("five");
      co_return std::to_string(std::get<0>(both) + std::get<1>(both));
    }
    static Async<int> one(int x) { co_return x; }
  };
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    const taskmgr::TaskManager manager{Gives{}, {.mode = mode, .workers = 3, .retry = no_wait(1)}};
    const auto report = manager.start(numbers(50));
    CHECK(report.succeeded == 49);
    CHECK(report.retries == 1);
    CHECK(report.success_map().at(3) == "7");
    CHECK(report.error_map().at(5).message() == "five");
    CHECK(support::adds_up(report));
  }
}

TEST_CASE("a manager may be used in its own coroutines, on a loop of its own") {
  const PlainManager* self = nullptr;
  const PlainManager manager{[&self](int x) -> Async<int> {
                               co_await yield();
                               if (x < 100) co_return x;
                               const auto inner = self->start(numbers(10));
                               co_await yield();
                               co_return static_cast<int>(inner.succeeded);
                             },
                             {.mode = Mode::coroutine, .workers = 2}};
  self = &manager;
  const auto report = manager.start(std::vector{100, 101, 102, 3});
  CHECK(report.success_map().at(101) == 10);
  CHECK(report.success_map().at(3) == 3);
}

namespace {

/// What a random task does in one of its attempts.
struct Plan {
  enum class End { value, retried, final, timeout } end;
  int waits;
};
Plan plan_of(std::uint64_t seed, int task, int attempt) {
  std::uint64_t z = seed + static_cast<std::uint64_t>(task) * 0x9E3779B97F4A7C15U + static_cast<std::uint64_t>(attempt) * 0xD1B54A32D192ED03U;
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  z ^= z >> 31U;
  const auto end = z % 1000 < 1 && attempt == 1 ? Plan::End::timeout
                   : z % 10 == 2                ? Plan::End::retried
                   : z % 50 == 3                ? Plan::End::final
                                                : Plan::End::value;
  return {end, static_cast<int>((z >> 32U) % 4)};
}

}  // namespace

TEST_CASE("random sleeps, errors, deadlines, retries and cancels come to what a model says") {
  const std::uint64_t seed = support::seed();
  INFO("TASKMGR_SEED=", seed);
  support::Random random;
  constexpr int n = support::sanitized ? 10'000 : 100'000;
  constexpr int max_retries = 2;
  const CountedCheck check;
  const support::AsyncFunction task = [seed](Context& context, int x) -> Async<int> {
    const Counted local;
    const Plan plan = plan_of(seed, x, context.attempt());
    const int attempt = context.attempt();
    for (int k = 0; k < plan.waits; ++k) {
      if (k % 2 == 0) co_await sleep_for(1us * ((x + k) % 500));
      else co_await yield();
    }
    switch (plan.end) {
      case Plan::End::retried: throw std::runtime_error(std::to_string(x));
      case Plan::End::final: throw std::logic_error(std::to_string(x));
      case Plan::End::timeout: co_await sleep_for(1h); break;
      case Plan::End::value: break;
    }
    co_return x * 10 + attempt;
  };
  const Manager manager{task, {.mode = Mode::coroutine, .workers = 500, .retry = {.max_retries = max_retries, .base_delay = 1ms},
                               .timeout = 3s}};
  const auto fits = [&](const auto& outcome, bool cancelled) {
    int attempt = 1;
    while (attempt <= max_retries && (plan_of(seed, outcome.task(), attempt).end == Plan::End::retried ||
                                      plan_of(seed, outcome.task(), attempt).end == Plan::End::timeout)) {
      ++attempt;
    }
    const Plan::End end = plan_of(seed, outcome.task(), attempt).end;
    if (cancelled && outcome.state() == State::cancelled) return outcome.attempts() <= attempt;
    if (cancelled && outcome.state() == State::failed && outcome.attempts() < attempt) return true;  // it failed on the way out
    if (outcome.attempts() != attempt) return false;
    if (end == Plan::End::value) return outcome.state() == State::succeeded && outcome.value() == outcome.task() * 10 + attempt;
    return outcome.state() == State::failed && outcome.error().message() == std::to_string(outcome.task());
  };
  for (const bool cancelled : {false, true}) {
    std::stop_source source;
    std::atomic<bool> over{false};
    const auto until_cancel = 1us * random.number(500'000);
    std::jthread stopper([&] {
      const auto end = Clock::now() + until_cancel;
      while (cancelled && !over && Clock::now() < end) std::this_thread::sleep_for(1ms);
      if (cancelled) source.request_stop();
    });
    const auto report = manager.start(numbers(n), source.get_token());
    over = true;
    CHECK(support::adds_up(report));
    CHECK(report.total == n);
    std::size_t wrong = 0;
    std::size_t retries = 0;
    for (const auto& outcome : report.outcomes()) {
      wrong += fits(outcome, cancelled) ? 0U : 1U;
      retries += static_cast<std::size_t>(std::max(outcome.attempts() - 1, 0));
    }
    CHECK(wrong == 0);
    CHECK(report.retries == retries);
  }
  CHECK(check.balanced());
}
