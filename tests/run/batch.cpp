// SPDX-License-Identifier: MIT
#include <taskmgr/run/batch.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <latch>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <taskmgr/manager/task_manager.hpp>

#include "support/build.hpp"
#include "support/crowd.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/random.hpp"
#include "support/wait.hpp"

using support::Crowd;
using support::Manager;
using support::numbers;
using support::Sink;
using taskmgr::Context;
using taskmgr::Duplicates;
using taskmgr::Mode;
using taskmgr::Options;
using taskmgr::State;
using namespace std::chrono_literals;

namespace {

/// What `on_worker_start` leaves behind on a thread: the run and the worker that it was last made ready for.
struct Readiness {
  int run = 0;
  std::size_t worker = 0;
};
thread_local Readiness ready_for;

}  // namespace

// --- order

TEST_CASE("serial mode runs the tasks in order, on the thread that starts them") {
  std::vector<int> order;
  std::set<std::thread::id> threads;
  Manager manager{[&](Context& context, int x) {
    order.push_back(x);
    threads.insert(std::this_thread::get_id());
    return static_cast<int>(context.worker());
  }};
  const auto report = manager.start(numbers(1000));
  CHECK(order == numbers(1000));
  CHECK(threads == std::set{std::this_thread::get_id()});
  for (const auto& outcome : report.outcomes()) CHECK(outcome.value() == 0);
}

TEST_CASE("a report is in the order of the source, whatever ran first") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) {
                      if (x % 7 == 3) throw std::runtime_error("fails");
                      return 2 * x;
                    },
                    {.mode = mode, .workers = 3}};
    std::vector<int> tasks = numbers(5000);
    std::reverse(tasks.begin(), tasks.end());
    const auto report = manager.start(tasks);
    CHECK(support::adds_up(report));
    std::vector<int> seen;
    for (const auto& outcome : report.outcomes()) {
      seen.push_back(outcome.task());
      if (outcome.state() == State::succeeded) CHECK(outcome.value() == 2 * outcome.task());
    }
    CHECK(seen == tasks);
  }
}

// --- workers

TEST_CASE("no more attempts run at a time than there are workers, and each has its worker to itself") {
  for (const std::size_t workers : {1U, 2U, 3U, 8U}) {
    CAPTURE(workers);
    Crowd crowd;
    std::atomic<int> ran{0};
    Manager manager{[&](Context& context, int x) {
                      const auto stay = crowd.enter(context);
                      ++ran;
                      if (x % 16 == 0) std::this_thread::yield();
                      if (x % 50 == 0 && context.attempt() == 1) throw std::runtime_error("again");
                      return x;
                    },
                    {.mode = Mode::thread, .workers = workers, .retry = {.max_retries = 1, .base_delay = 20us}}};
    for (int round = 0; round < 5; ++round) {
      CHECK(manager.start(numbers(1000)).ok());
      CHECK(crowd.fits(workers));
      auto run = manager.launch(numbers(1000));
      CHECK(run.wait().ok());  // helps
      CHECK(crowd.fits(workers));
    }
    CHECK(ran == 10 * 1020);
  }
}

TEST_CASE("as many tasks as there are workers can wait for each other") {
  for (const int workers : {2, 3, 4, 9}) {
    CAPTURE(workers);
    for (int round = 0; round < support::times(40); ++round) {
      std::latch met{workers};
      Manager manager{[&](Context&, int x) {
                        met.arrive_and_wait();
                        return x;
                      },
                      {.mode = Mode::thread, .workers = static_cast<std::size_t>(workers)}};
      CHECK(manager.start(numbers(workers)).ok());
    }
  }
}

TEST_CASE("tasks can wait for each other also where the runs before were too short for a helper") {
  constexpr int workers = 4;
  std::latch* met = nullptr;
  Manager manager{[&](Context&, int x) {
                    if (met != nullptr) met->arrive_and_wait();
                    return x;
                  },
                  {.mode = Mode::thread, .workers = workers}};
  for (int round = 0; round < support::times(300); ++round) {
    met = nullptr;
    for (int k = 0; k <= round % 8; ++k) CHECK(manager.start(numbers(workers)).ok());
    std::latch meeting{workers};
    met = &meeting;
    CHECK(manager.start(numbers(workers)).ok());
    std::latch again{workers};
    met = &again;
    auto run = manager.launch(numbers(workers));
    CHECK(run.report().ok());
  }
}

TEST_CASE("a run whose helper is taken away by another is helped by the next") {
  for (int round = 0; round < support::times(60); ++round) {
    std::latch met{3};
    std::atomic<bool> warm{true};
    Manager manager{[&](Context&, int x) {
                      if (!warm) met.arrive_and_wait();
                      return x;
                    },
                    {.mode = Mode::thread, .workers = 2}};
    for (int k = 0; k < 20; ++k) CHECK(manager.start(numbers(2)).ok());
    warm = false;
    std::jthread starter{[&] { static_cast<void>(manager.start(numbers(2))); }};
    auto run = manager.launch(numbers(1));
    CHECK(run.report().ok());
  }
}

TEST_CASE("neighbours can wait for each other along a list that is taken one by one") {
  for (const std::size_t workers : {2U, 3U}) {
    CAPTURE(workers);
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<int> arrived(1000 / workers + 1);
    Manager manager{[&](Context&, int x) {
                      std::unique_lock lock(mutex);
                      int& count = arrived[static_cast<std::size_t>(x) / workers];
                      ++count;
                      changed.notify_all();
                      changed.wait(lock, [&] { return count == static_cast<int>(workers); });
                      return x;
                    },
                    {.mode = Mode::thread, .workers = workers, .chunk = 1}};
    CHECK(manager.start(numbers(static_cast<int>(workers) * support::times(300))).ok());
  }
}

TEST_CASE("the calling thread is one of the workers") {
  const auto self = std::this_thread::get_id();
  std::set<std::thread::id> threads;
  std::mutex mutex;
  std::latch met{3};
  Manager manager{[&](Context&, int x) {
                    met.arrive_and_wait();
                    const std::scoped_lock lock(mutex);
                    threads.insert(std::this_thread::get_id());
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 3}};
  CHECK(manager.start(numbers(3)).ok());
  CHECK(threads.size() == 3);
  CHECK(threads.contains(self));
}

TEST_CASE("a calling thread runs only tasks of its own run") {
  static thread_local int of_run = -1;
  std::atomic<int> strangers{0};
  Manager manager{[&](Context&, int x) {
                    if (of_run != -1 && of_run != x / 1000) ++strangers;
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 3}};
  {
    std::vector<std::jthread> starters;
    for (int run = 0; run < 4; ++run) {
      starters.emplace_back([&, run] {
        of_run = run;
        std::vector<int> tasks = numbers(1000);
        for (int& task : tasks) task += 1000 * run;
        for (int round = 0; round < support::times(50); ++round) static_cast<void>(manager.start(tasks));
      });
    }
  }
  CHECK(strangers == 0);
}

TEST_CASE("threads are kept between runs") {
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::latch* met = nullptr;
  Manager manager{[&](Context&, int x) {
                    met->arrive_and_wait();
                    const std::scoped_lock lock(mutex);
                    threads.insert(std::this_thread::get_id());
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 4}};
  for (int round = 0; round < 200; ++round) {
    std::latch meeting{4};
    met = &meeting;
    CHECK(manager.start(numbers(4)).ok());
  }
  CHECK(threads.size() <= 20);  // without, it would be 601
}

TEST_CASE("every task runs once, however long some of them take") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  for (const std::size_t chunk : {0U, 1U, 7U, 1000U}) {
    for (const std::size_t workers : {1U, 2U, 4U, 16U}) {
      CAPTURE(chunk);
      CAPTURE(workers);
      const int tasks = support::times(20'000);
      std::vector<std::atomic<int>> ran(static_cast<std::size_t>(tasks));
      std::vector<int> loops(static_cast<std::size_t>(tasks));
      for (int& count : loops) count = random.below(100) == 0 ? random.number(20'000) : random.number(20);
      Manager manager{[&](Context&, int x) {
                        for (volatile int k = loops[static_cast<std::size_t>(x)]; k > 0;) k = k - 1;
                        ++ran[static_cast<std::size_t>(x)];
                        return x;
                      },
                      {.mode = Mode::thread, .workers = workers, .duplicates = Duplicates::run, .chunk = chunk}};
      const auto report = manager.start(numbers(tasks));
      CHECK(report.succeeded == static_cast<std::size_t>(tasks));
      CHECK(support::adds_up(report));
      CHECK(std::all_of(ran.begin(), ran.end(), [](const auto& count) { return count == 1; }));
    }
  }
}

TEST_CASE("tasks that are taken together stay on one worker") {
  for (const std::size_t chunk : {2U, 7U, 100U}) {
    CAPTURE(chunk);
    const int tasks = 2000;
    std::vector<std::pair<std::size_t, std::thread::id>> ran_on(static_cast<std::size_t>(tasks));
    Manager manager{[&](Context& context, int x) {
                      if (x % 5 == 0) std::this_thread::yield();
                      ran_on[static_cast<std::size_t>(x)] = {context.worker(), std::this_thread::get_id()};
                      return x;
                    },
                    {.mode = Mode::thread, .workers = 4, .chunk = chunk}};
    CHECK(manager.start(numbers(tasks)).ok());
    bool together = true;
    for (std::size_t k = 0; k < ran_on.size(); ++k) together = together && ran_on[k] == ran_on[k / chunk * chunk];
    CHECK(together);
  }
}

// --- the start of workers

TEST_CASE("a worker is made ready before its first task, on its thread") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    static std::atomic<int> runs{0};
    int run = 0;
    std::atomic<int> starts{0};
    std::atomic<int> unready{0};
    Manager manager{[&](Context& context, int x) {
                      if (ready_for.run != run || ready_for.worker != context.worker()) ++unready;
                      return x;
                    },
                    {.mode = mode, .workers = 4, .on_worker_start = [&](std::size_t worker) {
                       ++starts;
                       ready_for = {run, worker};
                     }}};
    for (int round = 0; round < 30; ++round) {
      run = ++runs;
      starts = 0;
      CHECK(manager.start(numbers(500)).ok());
      CHECK(starts >= 1);
      if (mode == Mode::serial) CHECK(starts == 1);
      run = ++runs;
      auto launched = manager.launch(numbers(500));
      CHECK(launched.wait().ok());
      run = ++runs;
      int count = 0;
      for (const auto& outcome : manager.stream(numbers(500))) count += outcome.value() >= 0 ? 1 : 0;
      CHECK(count == 500);
    }
    CHECK(unready == 0);
  }
}

TEST_CASE("each worker is made ready once") {
  std::mutex mutex;
  std::multiset<std::size_t> started;
  std::latch met{4};
  Manager manager{[&](Context&, int x) {
                    met.arrive_and_wait();  // all four are there
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 4, .on_worker_start = [&](std::size_t worker) {
                     const std::scoped_lock lock(mutex);
                     started.insert(worker);
                   }}};
  CHECK(manager.start(numbers(4)).ok());
  CHECK(started == std::multiset<std::size_t>{0, 1, 2, 3});
}

TEST_CASE("where no worker can be made ready, no task runs, and what was thrown comes out") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    for (const std::size_t workers : {1U, 2U, 5U}) {
      CAPTURE(workers);
      for (int round = 0; round < support::times(50); ++round) {
        std::atomic<int> ran{0};
        Manager manager{[&](Context&, int x) {
                          ++ran;
                          return x;
                        },
                        {.mode = mode, .workers = workers, .on_worker_start = [](std::size_t) {
                           throw std::runtime_error("no database");
                         }}};
        std::size_t sunk = 0;
        CHECK_THROWS_WITH_AS(static_cast<void>(manager.start(numbers(100), Sink{[&](auto& outcome) {
                                             sunk += outcome.state() == State::cancelled ? 1U : 0U;
                                           }})),
                             "no database", std::runtime_error);
        CHECK(sunk == 100);
        auto run = manager.launch(numbers(100));
        const auto& report = run.report();
        CHECK(support::adds_up(report));
        CHECK(report.cancelled == 100);
        CHECK_THROWS_WITH_AS(static_cast<void>(run.wait()), "no database", std::runtime_error);
        CHECK(ran == 0);
      }
    }
  }
}

TEST_CASE("a worker that cannot be made ready leaves its tasks to the others") {
  const auto self = std::this_thread::get_id();
  for (const bool caller_fails : {true, false}) {
    CAPTURE(caller_fails);
    for (int round = 0; round < support::times(40); ++round) {
      std::atomic<int> ran{0};
      std::atomic<int> in_barred{0};
      std::atomic<int> failing{0};
      static thread_local bool barred = false;
      barred = false;
      Manager manager{[&](Context&, int x) {
                        if (barred) ++in_barred;
                        ++ran;
                        return x;
                      },
                      {.mode = Mode::thread, .workers = 3, .chunk = 1, .on_worker_start = [&](std::size_t) {
                         barred = false;
                         const bool caller = std::this_thread::get_id() == self;
                         if (caller != caller_fails) return;
                         if (failing.fetch_add(1) != 0) return;  // one of them
                         if (caller && round % 2 == 0) {
                           while (ran < 3) std::this_thread::yield();  // the others are at it
                         }
                         barred = true;
                         throw std::runtime_error("no database");
                       }}};
      std::size_t succeeded = 0;
      bool threw = false;
      try {
        static_cast<void>(manager.start(numbers(200), Sink{[&](auto& outcome) {
                                          succeeded += outcome.state() == State::succeeded ? 1U : 0U;
                                        }}));
      } catch (const std::runtime_error&) {
        threw = true;
      }
      CHECK(threw == (failing != 0));  // the helpers may come too late to be called at all
      CHECK(succeeded == 200);
      CHECK(ran == 200);
      CHECK(in_barred == 0);
    }
  }
}

TEST_CASE("the last worker that is ready does all, retries included") {
  for (int round = 0; round < support::times(40); ++round) {
    std::atomic<int> starts{0};
    Manager manager{[&](Context& context, int x) {
                      if (x % 10 == 0 && context.attempt() < 3) throw std::runtime_error("again");
                      return x;
                    },
                    {.mode = Mode::thread,
                     .workers = 4,
                     .retry = {.max_retries = 3, .base_delay = 100us},
                     .on_worker_start = [&](std::size_t) {
                       if (starts.fetch_add(1) < 3) throw std::runtime_error("no database");
                     }}};
    auto run = manager.launch(numbers(100));
    const auto& report = run.report();
    CHECK(support::adds_up(report));
    CHECK(report.succeeded == 100);
    CHECK(starts >= 4);
    CHECK_THROWS_AS(static_cast<void>(run.wait()), std::runtime_error);
  }
}

// --- the sink

TEST_CASE("a sink is called once for each task that is no duplicate, never two at a time") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    for (const std::size_t chunk : {0U, 1U, 50U}) {
      Manager manager{[](Context& context, int x) {
                        if (x % 10 == 3) throw std::runtime_error("fails");
                        if (x % 10 == 4 && context.attempt() == 1) throw std::runtime_error("again");
                        return 3 * x;
                      },
                      {.mode = mode, .workers = 4, .retry = {.max_retries = 1, .base_delay = 5us}, .chunk = chunk}};
      std::vector<int> tasks = numbers(2000);
      for (int k = 0; k < 500; ++k) tasks.push_back(k);
      std::atomic<bool> inside{false};
      bool overlapped = false;
      std::vector<int> seen(2000);
      std::size_t right = 0;
      const auto report = manager.start(tasks, Sink{[&](auto& outcome) {
                                          if (inside.exchange(true)) overlapped = true;
                                          ++seen[static_cast<std::size_t>(outcome.task())];
                                          const bool fails = outcome.task() % 10 == 3;
                                          right += fails ? (outcome.state() == State::failed && outcome.attempts() == 2 ? 1U : 0U)
                                                         : (outcome.value() == 3 * outcome.task() ? 1U : 0U);
                                          inside = false;
                                        }});
      CHECK(!overlapped);
      CHECK(right == 2000);
      CHECK(std::all_of(seen.begin(), seen.end(), [](int count) { return count == 1; }));
      CHECK(report.duplicates == 500);
      CHECK(support::adds_up(report));
    }
  }
}

TEST_CASE("a sink hears of each worker's tasks in the order in which they finished") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::atomic<int> clock{0};
    std::vector<std::pair<std::size_t, int>> finished(3000);  // worker and time
    Manager manager{[&](Context& context, int x) {
                      finished[static_cast<std::size_t>(x)] = {context.worker(), clock.fetch_add(1)};
                      return x;
                    },
                    {.mode = mode, .workers = 3}};
    std::vector<int> latest(3, -1);
    bool in_order = true;
    CHECK(manager
              .start(numbers(3000), Sink{[&](auto& outcome) {
                       const auto [worker, time] = finished[static_cast<std::size_t>(outcome.task())];
                       in_order = in_order && time > latest[worker];
                       latest[worker] = time;
                     }})
              .ok());
    CHECK(in_order);
  }
}

TEST_CASE("a sink hears of the tasks that are cancelled") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::stop_source stop;
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 2}};
    std::size_t succeeded = 0;
    std::size_t cancelled = 0;
    const auto report = manager.start(numbers(1000),
                                      Sink{[&](auto& outcome) {
                                        succeeded += outcome.state() == State::succeeded ? 1U : 0U;
                                        cancelled += outcome.state() == State::cancelled ? 1U : 0U;
                                        if (succeeded == 5) stop.request_stop();
                                      }},
                                      stop.get_token());
    CHECK(succeeded == report.succeeded);
    CHECK(cancelled == report.cancelled);
    CHECK(succeeded + cancelled == 1000);
    CHECK(cancelled > 0);
  }
}

TEST_CASE("a sink may take a result out of the run") {
  for (const Mode mode : support::modes_that_block) {
    INFO("mode: ", support::name(mode));
    taskmgr::TaskManager manager{[](int x) { return std::make_unique<int>(x); }, {.mode = mode, .workers = 3}};
    std::vector<std::unique_ptr<int>> taken(500);
    const auto report = manager.start(numbers(500), [&](auto& outcome) {
      const int task = outcome.task();
      if (task % 2 == 0) taken[static_cast<std::size_t>(task)] = outcome.take();
    });
    CHECK(report.ok());
    for (int k = 0; k < 500; ++k) {
      const auto& here = taken[static_cast<std::size_t>(k)];
      const auto& there = report[static_cast<std::size_t>(k)].value();
      CHECK((k % 2 == 0 ? here != nullptr && there == nullptr : here == nullptr && *there == k));
    }
  }
}

TEST_CASE("what a sink throws comes out of the run, which goes on without it") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::atomic<int> ran{0};
    Manager manager{[&](Context&, int x) {
                      ++ran;
                      return x;
                    },
                    {.mode = mode, .workers = 3}};
    int calls = 0;
    const Sink fussy{[&](auto&) {
      if (++calls == 3) throw std::runtime_error("full");
    }};
    CHECK_THROWS_WITH_AS(static_cast<void>(manager.start(numbers(200), fussy)), "full", std::runtime_error);
    CHECK(ran == 200);
    CHECK(calls == 3);

    calls = 0;
    auto run = manager.launch(numbers(200), fussy);
    CHECK_THROWS_WITH_AS(static_cast<void>(run.wait()), "full", std::runtime_error);
    CHECK(run.report().succeeded == 200);
    CHECK(support::adds_up(run.report()));
    CHECK(run.wait().succeeded == 200);  // it throws once
    CHECK(calls == 3);
  }
}

TEST_CASE("a sink may start runs itself") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) { return x + 1; }, {.mode = mode, .workers = 2}};
    int sum = 0;
    CHECK(manager.start(numbers(50), Sink{[&](auto& outcome) { sum += manager.start({outcome.value()})[0].value(); }}).ok());
    CHECK(sum == 49 * 50 / 2 + 100);
  }
}

// --- halting and stopping

TEST_CASE("a serial run is halted right after the failure that was one too many") {
  Manager by_number{[](Context&, int x) {
                      if (x % 3 == 2) throw std::runtime_error("down");
                      return x;
                    },
                    {.halt = {.failures = 4}}};
  const auto report = by_number.start(numbers(100));
  CHECK(report.failed == 4);
  CHECK(report.succeeded == 8);
  CHECK(report.cancelled == 88);
  CHECK(support::adds_up(report));
  CHECK(support::listed(report.unfinished_tasks()).front() == 12);

  Manager by_ratio{[](Context&, int x) {
                     if (x % 2 == 1) throw std::runtime_error("down");
                     return x;
                   },
                   {.halt = {.failure_ratio = 0.5}}};
  CHECK(by_ratio.start(numbers(100)).cancelled == 80);  // the ratio is reached at the second, looked at from the 20th on
  CHECK(by_ratio.start(numbers(19)).cancelled == 0);
}

TEST_CASE("a run on several workers is halted soon after") {
  for (const std::size_t chunk : {0U, 1U}) {
    Manager manager{[](Context&, int x) -> int {
                      if (x >= 10) throw std::runtime_error("down");
                      return x;
                    },
                    {.mode = Mode::thread, .workers = 4, .halt = {.failures = 5}, .chunk = chunk}};
    const auto report = manager.start(numbers(1000));
    CHECK(support::adds_up(report));
    CHECK(report.failed >= 5);
    CHECK(report.failed <= 5 + 3);
    CHECK(report.succeeded <= 10);
  }
}

TEST_CASE("a halt leaves the tasks that run alone") {
  std::latch met{2};
  support::Counter failures;
  Manager manager{[&](Context& context, int x) {
                    if (x < 2) met.arrive_and_wait();
                    if (x == 0) throw std::runtime_error("down");
                    if (x == 1) failures.wait_for(1);
                    return context.stop_requested() ? -1 : x;
                  },
                  {.mode = Mode::thread, .workers = 2, .halt = {.failures = 1}}};
  const auto report = manager.start(numbers(10), Sink{[&](auto& outcome) {
                                      if (outcome.state() == State::failed) failures.add();
                                    }});
  CHECK(report[1].value() == 1);
  CHECK(report.cancelled == 8);
}

TEST_CASE("what waits for a retry when a run is halted is cancelled") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) -> int {
                      if (x == 0) throw std::runtime_error("wait");
                      throw std::logic_error("down");
                    },
                    {.mode = mode,
                     .workers = 1,
                     .retry = {.max_retries = 1, .base_delay = mode == Mode::serial ? 1us : std::chrono::nanoseconds{1h},
                               .max_delay = 1h},
                     .halt = {.failures = 1}}};
    const auto report = manager.start(numbers(3));
    CHECK(support::adds_up(report));
    CHECK(report.failed == 1);
    CHECK(report.cancelled == 2);
    CHECK(report[0].attempts() == (mode == Mode::serial ? 2 : 1));
  }
}

TEST_CASE("a run whose token was stopped before runs nothing") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::atomic<int> ran{0};
    Manager manager{[&](Context&, int x) {
                      ++ran;
                      return x;
                    },
                    {.mode = mode, .workers = 3}};
    std::stop_source stop;
    stop.request_stop();
    const auto report = manager.start(numbers(100), stop.get_token());
    CHECK(report.cancelled == 100);
    CHECK(support::adds_up(report));
    CHECK(support::listed(report.unfinished_tasks()) == numbers(100));
    auto run = manager.launch(numbers(100), stop.get_token());
    CHECK(run.report().cancelled == 100);
    CHECK(ran == 0);
  }
}

TEST_CASE("a run that is stopped starts no more, and what did not run can be started again") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    for (const int at : {0, 1, 77, 999}) {
      std::stop_source stop;
      Manager manager{[&](Context&, int x) {
                        if (x == at) stop.request_stop();
                        return x;
                      },
                      {.mode = mode, .workers = 3}};
      const auto report = manager.start(numbers(1000), stop.get_token());
      CHECK(support::adds_up(report));
      CHECK(report.failed == 0);
      CHECK(report[static_cast<std::size_t>(at)].state() == State::succeeded);
      if (mode == Mode::serial) CHECK(report.succeeded == static_cast<std::size_t>(at) + 1);
      const auto rest = manager.start(report.unfinished_tasks());
      CHECK(rest.succeeded == report.cancelled);
    }
  }
}

TEST_CASE("stops from outside, at any time") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      if (x % 20 == 0 && context.attempt() == 1) throw std::runtime_error("again");
                      return x;
                    },
                    {.mode = mode, .workers = 3, .retry = {.max_retries = 2, .base_delay = 3us}}};
    for (int round = 0; round < support::times(300); ++round) {
      std::stop_source stop;
      const auto wait = std::chrono::nanoseconds{random.below(200'000)};
      const std::jthread stopper{[&] {
        for (const auto end = std::chrono::steady_clock::now() + wait; std::chrono::steady_clock::now() < end;) {
        }
        stop.request_stop();
      }};
      const auto report = manager.start(numbers(2000), stop.get_token());
      CHECK(support::adds_up(report));
      CHECK(report.failed <= 3);  // those that ran then are not tried again
    }
  }
}
