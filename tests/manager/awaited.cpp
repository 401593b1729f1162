// SPDX-License-Identifier: MIT
#include <taskmgr/manager/awaited.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/coroutines.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/recorder.hpp"
#include "support/wait.hpp"

using support::Counted, support::CountedCheck, support::Manager, support::numbers, support::OnLoop, support::Sink;
using taskmgr::Async, taskmgr::Cancelled, taskmgr::Context, taskmgr::EventKind, taskmgr::Mode;
using taskmgr::sleep_for, taskmgr::yield;
using namespace std::chrono_literals;

namespace {

Async<int> doubled(Context&, int x) {
  co_await sleep_for(1ms);
  co_return 2 * x;
}

}  // namespace

TEST_CASE("a coroutine awaits a run, and its loop goes on meanwhile") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    const Manager manager{doubled, {.mode = mode, .workers = 3}};
    bool over = false;
    int ticks = 0;
    const auto runs = [&]() -> Async<support::Report> {
      auto pending = manager.start_async(numbers(30));
      auto report = co_await pending;
      over = true;
      co_return report;
    };
    const auto others = [&]() -> Async<> {
      while (!over) {
        co_await sleep_for(100us);
        ++ticks;
      }
    };
    const auto both = [&]() -> Async<support::Report> {
      auto pending = taskmgr::when_all(runs(), others());
      auto results = co_await pending;
      co_return std::get<0>(std::move(results));
    };
    const support::Report report = taskmgr::run(both());
    CHECK(report.ok());
    CHECK(support::adds_up(report));
    CHECK(report.success_map().at(7) == 14);
    CHECK(ticks > 1);
  }
}

TEST_CASE("the tasks are taken at once, the run begins when it is awaited, and never if it is not") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::atomic<int> begun{0};
    const Manager manager{[&](Context&, int x) -> Async<int> {
                            ++begun;
                            co_return x;
                          },
                          {.mode = mode}};
    std::vector<int> tasks = numbers(3);
    auto pending = manager.start_async(tasks);
    tasks.clear();
    { const auto dropped = manager.start_async(numbers(5)); }
    CHECK(begun == 0);
    CHECK(taskmgr::run(std::move(pending)).succeeded == 3);
    CHECK(begun == 3);
  }
}

TEST_CASE("several runs are awaited at once by when_all") {
  const Manager here{doubled, {.mode = Mode::coroutine}};
  const Manager there{doubled, {.mode = Mode::thread, .workers = 2}};
  const auto task = [&]() -> Async<std::size_t> {
    auto pending = taskmgr::when_all(here.start_async(numbers(10)), there.start_async(numbers(20)), here.start_async(numbers(0)),
                                     here.start_async(numbers(30)));
    const auto [a, b, c, d] = co_await pending;
    co_return a.succeeded + b.succeeded + c.succeeded + d.succeeded;
  };
  CHECK(taskmgr::run(task()) == 60);
}

TEST_CASE("a coroutine that is asked to stop cancels the run that it awaits, whose tasks see it, and is cancelled") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    support::Recorder recorder;
    support::Counter begun;
    std::atomic<int> saw{0};
    Manager manager{[&](Context& context, int x) -> Async<int> {
                      begun.add();
                      try {
                        co_await sleep_for(1h);
                      } catch (const Cancelled&) {
                        saw += context.stop_requested() && context.stop_token().stop_requested() ? 1 : 0;
                        throw;
                      }
                      co_return x;
                    },
                    {.mode = mode, .workers = 2}};
    manager.observe(recorder);
    std::stop_source source;
    std::jthread stopper([&] {
      begun.wait_for(mode == Mode::serial ? 1 : 2);
      source.request_stop();
    });
    bool went_on = false;
    const auto task = [&]() -> Async<> {
      auto pending = manager.start_async(numbers(10));
      went_on = (co_await pending).total != 0;
    };
    CHECK_THROWS_AS(taskmgr::run(task(), source.get_token()), Cancelled);
    CHECK(!went_on);
    CHECK(saw == begun.value());
    CHECK(recorder.count(EventKind::task_cancelled) == 10);
    CHECK(recorder.all().back().kind == EventKind::batch_finished);
  }
}

TEST_CASE("tasks that never wait see as well that the coroutine which awaits their run is asked to stop") {
  for (const Mode mode : support::modes_in_memory) {
    for (const bool nested : {false, true}) {
      INFO("mode: ", support::name(mode), nested ? ", in a task that is in when_all" : "");
      support::Counter begun;
      const Manager inner{[&](Context& context, int x) -> Async<int> {
                            begun.add();
                            while (!context.stop_requested()) std::this_thread::yield();
                            co_return x;
                          },
                          {.mode = mode, .workers = 1}};
      std::size_t reports = 0;
      const auto awaits = [&]() -> Async<> {
        auto pending = inner.start_async(numbers(3));
        reports += (co_await pending).total;
      };
      const Manager outer{[&](Context&, int x) -> Async<int> {
                            auto both = taskmgr::when_all(awaits(), awaits());
                            co_await both;
                            co_return x;
                          },
                          {.mode = Mode::coroutine}};
      std::stop_source source;
      std::jthread stopper([&] {
        begun.wait_for(1);
        source.request_stop();
      });
      if (nested) CHECK(outer.start(numbers(1), source.get_token()).cancelled == 1);
      else CHECK_THROWS_AS(taskmgr::run(awaits(), source.get_token()), Cancelled);
      CHECK(reports == 0);
      CHECK(begun.value() <= 2);  // where two await at once, the other may have begun before
    }
  }
}

TEST_CASE("tasks that never wait see the deadline of the one in which their run is awaited") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    const Manager inner{[](Context& context, int x) -> Async<int> {
                          while (!context.stop_requested()) std::this_thread::yield();
                          co_return x;
                        },
                        {.mode = mode, .workers = 1}};
    const Manager outer{[&](Context&, int x) -> Async<int> {
                          auto pending = inner.start_async(numbers(2));
                          const auto report = co_await pending;
                          co_return report.total == 0 ? x : 0;
                        },
                        {.mode = Mode::coroutine, .timeout = 20ms}};
    const auto report = outer.start(numbers(2));
    CHECK(report.failed == 2);
    for (const auto& [x, error] : report.error_map()) CHECK(error.kind() == taskmgr::TaskError::Kind::timeout);
  }
}

TEST_CASE("a run that is cancelled by its own token gives its report") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::stop_source source;
    const Manager manager{[&](Context& context, int x) -> Async<int> {
                            source.request_stop();
                            CHECK(context.stop_requested());
                            co_await sleep_for(1h);
                            co_return x;
                          },
                          {.mode = mode}};
    const auto report = taskmgr::run(manager.start_async(numbers(10), source.get_token()));
    CHECK(report.cancelled == 10);
  }
}

TEST_CASE("what a sink or an observer throws is thrown where the run is awaited") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    const Manager manager{doubled, {.mode = mode}};
    int got = 0;
    const Sink sink = [&](support::Outcome&) {
      if (++got == 2) throw std::runtime_error("full");
    };
    CHECK_THROWS_WITH(taskmgr::run(manager.start_async(numbers(10), sink)), "full");
    CHECK(got == 2);
  }
}

TEST_CASE("a coroutine that is dropped while it awaits a run ends that run") {
  const CountedCheck check;
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    support::Counter begun;
    const Manager manager{[&](Context& context, int x) -> Async<int> {
                            const Counted local;
                            if (x < 3) co_return x;
                            begun.add();
                            if (mode != Mode::coroutine) support::wait_for_stop(context.stop_token());
                            co_await sleep_for(1h);
                            co_return x;
                          },
                          {.mode = mode, .workers = 2, .retry = {.max_retries = 1}}};
    const auto task = [&]() -> Async<std::size_t> {
      auto pending = manager.start_async(numbers(100));
      const auto report = co_await pending;
      co_return report.succeeded;
    };
    OnLoop<std::size_t> chain{task()};
    if (mode == Mode::coroutine) {
      chain.turn_until([&] { return begun.value() == 2; });
    } else {
      int turns = 0;
      chain.turn_until([&] { return ++turns >= 2; });  // it has begun to wait
      begun.wait_for(1);
    }
  }
  CHECK(check.balanced());
}
