// SPDX-License-Identifier: MIT
#include <taskmgr/manager/run.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <latch>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <taskmgr/core/error.hpp>

#include "support/build.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/random.hpp"
#include "support/source.hpp"
#include "support/wait.hpp"

using support::Manager;
using support::numbers;
using support::Sink;
using support::Source;
using taskmgr::Context;
using taskmgr::Mode;
using taskmgr::Progress;
using taskmgr::Run;
using taskmgr::State;
using namespace std::chrono_literals;

static_assert(std::is_nothrow_move_constructible_v<Run<int, int>>);
static_assert(std::is_move_assignable_v<Run<int, int>>);
static_assert(!std::is_copy_constructible_v<Run<int, int>>);

namespace {

/// A manager whose tasks wait until they are let go.
struct Held {
  explicit Held(Mode mode, std::size_t workers = 2)
      : manager{[this](Context& context, int x) {
                  begun.add();
                  if (stops) support::wait_for_stop(context.stop_token());
                  else gate.wait();
                  ended.add();
                  return x;
                },
                {.mode = mode, .workers = workers}} {}
  support::Counter begun;
  support::Counter ended;
  std::latch gate{1};
  std::atomic<bool> stops{false};  // rather than at the gate, wait for a stop
  Manager manager;
};

}  // namespace

TEST_CASE("a launched run gives the report that a started one does") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      if (x % 5 == 3) throw std::runtime_error("fails");
                      if (x % 5 == 4 && context.attempt() == 1) throw std::runtime_error("again");
                      return x + 1;
                    },
                    {.mode = mode, .workers = 3, .retry = {.max_retries = 1, .base_delay = 1us}}};
    auto run = manager.launch(numbers(1000));
    const auto report = run.wait();
    CHECK(support::adds_up(report));
    CHECK(report.total == 1000);
    CHECK(report.failed == 200);
    CHECK(report.retries == 400);
    CHECK(report.success_map().at(4) == 5);
    CHECK(run.done());
    CHECK(run.report().succeeded == 800);
    CHECK(run.report()[4].attempts() == 2);
    CHECK(run.wait().succeeded == 800);
  }
}

TEST_CASE("a run in the background does not hold its caller up") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Held held{mode};
    auto run = held.manager.launch(numbers(10));
    CHECK(!run.done());
    CHECK(!run.wait_for(0ns));
    CHECK(!run.wait_for(1ms));
    CHECK(!run.wait_for(-1h));
    held.begun.wait_for(1);
    held.gate.count_down();
    CHECK(run.wait_for(1h));
    CHECK(run.wait_for(std::chrono::nanoseconds::max()));
    CHECK(run.done());
    CHECK(run.report().ok());
  }
}

TEST_CASE("a serial run in the background goes in order, on one thread that is not the caller's") {
  std::vector<int> order;
  std::set<std::thread::id> threads;
  Manager manager{[&](Context&, int x) {
    order.push_back(x);
    threads.insert(std::this_thread::get_id());
    return x;
  }};
  auto run = manager.launch(numbers(500));
  CHECK(run.wait().ok());
  CHECK(order == numbers(500));
  CHECK(threads.size() == 1);
  CHECK(!threads.contains(std::this_thread::get_id()));
}

TEST_CASE("tasks are taken before launch returns") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::atomic<int> touched{0};
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 2}};
    auto run = manager.launch(Source{100, [&](Source::Step, int) { ++touched; }});
    const int then = touched;
    CHECK(run.report().total == 100);
    CHECK(touched == then);
    std::optional<std::vector<int>> tasks{numbers(10)};
    auto other = manager.launch(*tasks);
    tasks.reset();
    CHECK(other.wait().success_map().at(9) == 9);
  }
}

TEST_CASE("the progress of a run can be watched") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Held held{mode};
    std::vector<int> tasks = numbers(10);
    tasks.push_back(3);
    auto run = held.manager.launch(tasks);
    held.begun.wait_for(support::one_at_a_time(mode) ? 1 : 2);
    const Progress during = run.progress();
    CHECK(during.total == 11);
    CHECK(during.duplicates == 1);
    CHECK(during.started >= 1);
    CHECK(during.started <= 10);
    CHECK(during.finished() == 1);
    held.gate.count_down();
    static_cast<void>(run.report());
    const Progress after = run.progress();
    CHECK(after.started == 10);
    CHECK(after.succeeded == 10);
    CHECK(after.finished() == 11);
    CHECK(after.elapsed == run.report().elapsed);
    CHECK(run.progress().elapsed == after.elapsed);
  }
}

TEST_CASE("the counts of a progress only grow") {
  Manager manager{[](Context& context, int x) {
                    if (x % 3 == 0 && context.attempt() == 1) throw std::runtime_error("again");
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1us}}};
  for (int round = 0; round < support::times(50); ++round) {
    auto run = manager.launch(numbers(2000));
    Progress last;
    bool grows = true;
    while (!run.done()) {
      const Progress now = run.progress();
      grows = grows && now.total == 2000 && now.started >= last.started && now.succeeded >= last.succeeded &&
              now.retries >= last.retries && now.succeeded <= 2000 && now.started <= 2000;
      last = now;
    }
    CHECK(grows);
    CHECK(run.wait().retries == 667);
  }
}

// --- cancelling

TEST_CASE("a cancelled run starts no more, and its tasks see the stop") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Held held{mode};
    held.stops = true;
    auto run = held.manager.launch(numbers(100));
    const int at_a_time = support::one_at_a_time(mode) ? 1 : 2;
    held.begun.wait_for(at_a_time);
    run.cancel();
    run.cancel();
    const auto report = run.wait();
    CHECK(support::adds_up(report));
    CHECK(report.succeeded == static_cast<std::size_t>(at_a_time));
    CHECK(report.cancelled == static_cast<std::size_t>(100 - at_a_time));
    held.stops = false;
    held.gate.count_down();
    CHECK(held.manager.start(report.unfinished_tasks()).succeeded == report.cancelled);
  }
}

TEST_CASE("a run that is cancelled at once, or after its end") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 2}};
    for (int round = 0; round < support::times(200); ++round) {
      auto run = manager.launch(numbers(100));
      run.cancel();
      CHECK(support::adds_up(run.report()));
      CHECK(run.report().failed == 0);
      run.cancel();
      auto other = manager.launch(numbers(100));
      CHECK(other.wait().ok());
      other.cancel();
      CHECK(other.report().ok());
    }
  }
}

TEST_CASE("a token given to launch cancels as well") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Held held{mode};
    held.stops = true;
    std::stop_source stop;
    auto run = held.manager.launch(numbers(50), stop.get_token());
    held.begun.wait_for(1);
    stop.request_stop();
    CHECK(run.report().cancelled >= 48);
    // it may stop after the run has ended, and after its handle is gone
    std::stop_source late;
    {
      held.stops = false;
      held.gate.count_down();
      auto done = held.manager.launch(numbers(5), late.get_token());
      CHECK(done.wait().ok());
    }
    late.request_stop();
  }
}

TEST_CASE("cancels from several threads, while the run ends by itself") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      if (x % 10 == 0 && context.attempt() == 1) throw std::runtime_error("again");
                      return x;
                    },
                    {.mode = mode, .workers = 3, .retry = {.max_retries = 1, .base_delay = 5us}}};
    for (int round = 0; round < support::times(200); ++round) {
      std::stop_source stop;
      auto run = manager.launch(numbers(200), stop.get_token());
      {
        const std::jthread one{[&] { run.cancel(); }};
        const std::jthread two{[&] { stop.request_stop(); }};
        const std::jthread three{[&] { static_cast<void>(run.progress()); }};
        if (round % 2 == 0) static_cast<void>(run.wait_for(1h));
      }
      CHECK(support::adds_up(run.report()));
    }
  }
}

TEST_CASE("the end of a handle cancels its run, and waits for the attempts that are made") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    for (int round = 0; round < support::times(100); ++round) {
      Held held{mode};
      held.stops = true;
      {
        const auto run = held.manager.launch(numbers(1000));
        held.begun.wait_for(1);
      }
      CHECK(held.begun.value() == held.ended.value());
      CHECK(held.begun.value() <= 2);
      const int then = held.begun.value();
      {
        const auto never_begun = held.manager.launch(numbers(1000));
      }
      CHECK(held.begun.value() == held.ended.value());
      CHECK(held.begun.value() <= then + 2);
    }
  }
}

TEST_CASE("a handle may be moved; the run that it had before is cancelled") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Held held{mode};
    held.stops = true;
    auto run = held.manager.launch(numbers(10));
    auto moved = std::move(run);
    CHECK(!moved.done());
    held.begun.wait_for(1);
    Manager quick{[](Context&, int x) { return x; }, {.mode = mode}};
    moved = quick.launch(numbers(3));
    CHECK(held.begun.value() == held.ended.value());
    CHECK(moved.wait().ok());
    std::vector<Run<int, int>> runs;
    for (int k = 0; k < 20; ++k) runs.push_back(quick.launch(numbers(k)));
    for (int k = 0; k < 20; ++k) CHECK(runs[static_cast<std::size_t>(k)].wait().succeeded == static_cast<std::size_t>(k));
  }
}

TEST_CASE("a handle of nothing has nothing to wait for") {
  Run<int, int> run;
  for (int round = 0; round < 2; ++round) {
    CHECK(run.done());
    CHECK(run.wait_for(1h));
    CHECK(run.progress().total == 0);
    run.cancel();
    CHECK_THROWS_AS(static_cast<void>(run.report()), taskmgr::UsageError);
    CHECK_THROWS_AS(run.wait(), taskmgr::UsageError);
    Manager manager{[](Context&, int x) { return x; }, {.mode = Mode::thread}};
    run = manager.launch(numbers(3));
    while (!run.wait_for(0.5s)) {
    }
    const Run<int, int> moved = std::move(run);
  }
}

// --- waiting

TEST_CASE("as many tasks of a launched run as it has workers can wait for each other") {
  for (int round = 0; round < support::times(50); ++round) {
    std::mutex mutex;
    std::set<std::thread::id> threads;
    std::latch met{3};
    Manager manager{[&](Context&, int x) {
                      {
                        const std::scoped_lock lock(mutex);
                        threads.insert(std::this_thread::get_id());
                      }
                      met.arrive_and_wait();
                      return x;
                    },
                    {.mode = Mode::thread, .workers = 3}};
    auto run = manager.launch(numbers(3));
    CHECK(run.wait().ok());
    CHECK(threads.size() == 3);
  }
}

TEST_CASE("a report outlives its run and its manager") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    std::optional<support::Report> report;
    {
      Manager manager{[](Context&, int x) {
                        if (x == 2) throw std::runtime_error("fails");
                        return x;
                      },
                      {.mode = mode}};
      auto run = manager.launch(numbers(3));
      report.emplace(run.wait());
    }
    CHECK(report->success_map().at(1) == 1);
    CHECK(report->error_map().at(2).message() == "fails");
  }
}

TEST_CASE("what a source throws is thrown by wait, once, and what was taken is in the report") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    for (const auto step : {Source::Step::begin, Source::Step::read, Source::Step::next, Source::Step::end}) {
      CAPTURE(static_cast<int>(step));
      const int where = step == Source::Step::begin ? 0 : 30;
      Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 2}};
      auto run = manager.launch(Source{100, [&](Source::Step now, int at) {
                                         if (now == step && at == where) throw std::runtime_error("the source");
                                       }});
      CHECK_THROWS_WITH_AS(static_cast<void>(run.wait()), "the source", std::runtime_error);
      const std::size_t taken = step == Source::Step::begin ? 0U : step == Source::Step::next ? 31U : 30U;
      CHECK(run.report().succeeded == taken);
      CHECK(run.report().total == taken);
      CHECK(run.report().ok());
      CHECK(run.wait().succeeded == taken);
    }
  }
}

TEST_CASE("runs that are launched and left at random") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      if (x % 9 == 0 && context.attempt() == 1) throw std::runtime_error("again");
                      return x;
                    },
                    {.mode = mode, .workers = 3, .retry = {.max_retries = 1, .base_delay = 3us}}};
    for (int round = 0; round < support::times(300); ++round) {
      std::vector<Run<int, int>> runs;
      for (std::size_t k = random.below(4) + 1; k > 0; --k) {
        runs.push_back(manager.launch(numbers(random.number(200))));
        if (random.below(4) == 0) runs.back().cancel();
        if (random.below(4) == 0) CHECK(support::adds_up(runs.back().wait()));
        if (random.below(8) == 0) runs.erase(runs.begin());
      }
      for (auto& run : runs) {
        if (random.below(2) == 0) CHECK(support::adds_up(run.report()));
      }
    }
  }
}
