// SPDX-License-Identifier: MIT
#include <taskmgr/run/thread.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <latch>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/crowd.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/wait.hpp"

using support::Crowd;
using support::Manager;
using support::numbers;
using taskmgr::Context;
using taskmgr::Duplicates;
using taskmgr::Mode;
using taskmgr::Options;
using taskmgr::detail::Job, taskmgr::detail::job_for, taskmgr::detail::Pool;
using namespace std::chrono_literals;

namespace {

/// A crew in which there is nothing to do, unless it is said that there is.
class Idle : public taskmgr::detail::Crew {
 public:
  struct Setting {
    Options options{};
    taskmgr::detail::Hub::Observers observers{};
    taskmgr::detail::Watchdog watchdog{};
  };
  Idle(Setting& on, std::size_t seats)
      : Crew({.options = on.options,
              .observers = on.observers,
              .ticker = {},
              .watchdog = on.watchdog,
              .stop = {},
              .seats = seats,
              .began = taskmgr::detail::Clock::now(),
              .total = 0,
              .duplicates = 0}) {}
  std::size_t work(taskmgr::detail::Seat&) noexcept override { return 0; }
  [[nodiscard]] bool has_work() const noexcept override { return busy; }

  bool busy = false;
};

/// The job of one call of a function that is kept until then.
template <class Function>
Job once(Function function) {
  return {[](void* kept) -> void* {
            (*std::unique_ptr<Function>(static_cast<Function*>(kept)))();
            return nullptr;
          },
          new Function(std::move(function))};
}

}  // namespace

// --- Pool

TEST_CASE("a pool that was never used ends") {
  const Pool pool;
  CHECK(pool.threads() == 0);
}

TEST_CASE("a job runs on another thread") {
  std::latch ran{1};
  std::thread::id on;
  Pool pool;
  REQUIRE(pool.post(once([&] {
    on = std::this_thread::get_id();
    ran.count_down();
  })));
  ran.wait();
  CHECK(on != std::this_thread::get_id());
  CHECK(pool.threads() == 1);
}

TEST_CASE("jobs do not wait for each other") {
  constexpr int jobs = 8;
  std::latch all{jobs};
  {
    Pool pool;
    for (int k = 0; k < jobs; ++k) REQUIRE(pool.post(once([&] { all.arrive_and_wait(); })));
    all.wait();
  }
  CHECK(all.try_wait());
}

TEST_CASE("whoever is on the way is called once, however many runs come meanwhile") {
  Idle::Setting setting;
  Pool pool;
  for (int round = 0; round < support::times(2000); ++round) {
    Idle crew{setting, 2};
    CHECK(pool.offer(crew, true));
    CHECK(pool.call_for(crew, true) == Pool::Help::not_wanted);
    pool.withdraw(crew);
  }
  CHECK(pool.threads() == 1);
}

TEST_CASE("who calls for help knows whether any is wanted, and whether somebody comes") {
  Idle::Setting setting;
  Idle crew{setting, 1};  // not offered: nobody comes by himself
  Pool pool;
  CHECK(pool.call_for(crew, true) == Pool::Help::not_wanted);
  crew.busy = true;
  taskmgr::detail::Seat* const seat = pool.seat_in(crew);
  CHECK(pool.call_for(crew, true) == Pool::Help::not_wanted);
  pool.leave(crew, *seat);
  CHECK(pool.threads() == 0);
  CHECK(pool.call_for(crew, true) == Pool::Help::comes);
  CHECK(pool.threads() == 1);
}

TEST_CASE("a job for a run is posted as long as a seat is free, and else it is known whether anybody helps there") {
  Idle::Setting setting;
  Idle crew{setting, 2};
  Pool pool;
  std::latch ran{1};
  auto count_down = [&] { ran.count_down(); };
  auto nothing = [] {};
  CHECK(pool.post_for(crew, job_for(count_down)) == Pool::Posted::yes);
  ran.wait();
  taskmgr::detail::Seat* const seats[] = {pool.seat_in(crew), pool.seat_in(crew)};
  CHECK(pool.seat_in(crew) == nullptr);
  CHECK(pool.post_for(crew, job_for(nothing)) == Pool::Posted::no);
  crew.helpers = 1;
  CHECK(pool.post_for(crew, job_for(nothing)) == Pool::Posted::helped_instead);
  crew.helpers = 0;
  for (taskmgr::detail::Seat* seat : seats) pool.leave(crew, *seat);
  CHECK(pool.post_for(crew, job_for(nothing)) == Pool::Posted::yes);
}

TEST_CASE("a pool runs all jobs before it ends") {
  for (int round = 0; round < support::times(500); ++round) {
    std::atomic<int> ran{0};
    {
      Pool pool;
      for (int k = 0; k < 4; ++k) REQUIRE(pool.post(once([&] { ++ran; })));
    }
    CHECK(ran == 4);
  }
}

TEST_CASE("a job may post jobs, also while the pool ends") {
  for (int round = 0; round < support::times(300); ++round) {
    std::atomic<int> ran{0};
    std::function<void(Pool&, int)> work = [&](Pool& pool, int depth) {
      ++ran;
      if (depth == 0) return;
      for (int k = 0; k < 2; ++k) {
        if (!pool.post(once([&, depth] { work(pool, depth - 1); }))) ran += 1000;
      }
    };
    {
      Pool pool;
      REQUIRE(pool.post(once([&] { work(pool, 3); })));
      if (round % 2 == 0) std::this_thread::yield();
    }
    CHECK(ran == 15);
  }
}

TEST_CASE("many threads post to one pool") {
  std::atomic<int> ran{0};
  {
    Pool pool;
    {
      std::vector<std::jthread> threads;
      for (int k = 0; k < 8; ++k) {
        threads.emplace_back([&] {
          for (int job = 0; job < support::times(300); ++job) static_cast<void>(pool.post(once([&] { ++ran; })));
        });
      }
    }
  }
  CHECK(ran == 8 * support::times(300));
}

// --- managers within managers

TEST_CASE("a manager may be started from its own tasks, to any depth, with any number of workers") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    for (const std::size_t workers : {1U, 2U, 3U, 7U}) {
      CAPTURE(workers);
      Manager* self = nullptr;
      Manager manager{[&](Context&, int depth) -> int {
                        if (depth == 0) return 1;
                        int sum = 1;
                        const auto report = self->start(std::vector<int>(3, depth - 1));
                        for (const auto& outcome : report.outcomes()) sum += outcome.value();
                        return sum;
                      },
                      {.mode = mode, .workers = workers, .duplicates = Duplicates::run}};
      self = &manager;
      CHECK(manager.start({5})[0].value() == 364);  // 1 + 3 + 9 + ... + 243
      auto run = manager.launch({5});
      CHECK(run.wait()[0].value() == 364);
    }
  }
}

TEST_CASE("launches, waits and streams nest as well") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    for (const std::size_t workers : {1U, 2U, 4U}) {
      CAPTURE(workers);
      Manager* self = nullptr;
      Manager manager{[&](Context& context, int depth) -> int {
                        if (depth == 0) return 1;
                        int sum = 1;
                        const std::vector<int> tasks(2, depth - 1);
                        if (context.number() % 2 == 0) {
                          auto run = self->launch(tasks);
                          const auto report = run.wait();
                          for (const auto& outcome : report.outcomes()) sum += outcome.value();
                        } else {
                          for (const auto& outcome : self->stream(tasks)) sum += outcome.value();
                        }
                        return sum;
                      },
                      {.mode = mode, .workers = workers, .duplicates = Duplicates::run}};
      self = &manager;
      for (int round = 0; round < support::times(10); ++round) {
        const auto report = manager.start(std::vector<int>(4, 4));
        for (const auto& outcome : report.outcomes()) CHECK(outcome.value() == 31);
      }
    }
  }
}

TEST_CASE("managers nest in each other with one worker each") {
  for (const Mode inner_mode : support::modes) {
    for (const Mode outer_mode : support::modes) {
      Manager innermost{[](Context&, int x) { return x + 1; }, {.mode = inner_mode, .workers = 1}};
      Manager inner{[&](Context&, int x) { return innermost.start({x, x + 1})[1].value(); }, {.mode = outer_mode, .workers = 1}};
      Manager outer{[&](Context&, int x) { return inner.start({x, x + 1})[1].value(); }, {.mode = inner_mode, .workers = 1}};
      CHECK(outer.start({1, 10, 100}).success_map().at(10) == 13);
    }
  }
}

// --- managers side by side

TEST_CASE("64 threads start one manager") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::atomic<int> wrong{0};
    Manager manager{[](Context& context, int x) {
                      if (x % 100 == 7 && context.attempt() == 1) throw std::runtime_error("again");
                      return x + 1;
                    },
                    {.mode = mode, .workers = 3, .retry = {.max_retries = 1, .base_delay = 10us}}};
    std::latch together{64};
    {
      std::vector<std::jthread> threads;
      for (int k = 0; k < 64; ++k) {
        threads.emplace_back([&, k] {
          together.arrive_and_wait();
          for (int round = 0; round < support::times(30); ++round) {
            std::vector<int> tasks = numbers(100);
            for (int& task : tasks) task += 1000 * k;
            int sum = 0;
            if ((round + k) % 3 == 0) {
              const auto report = manager.start(tasks);
              if (!report.ok() || report.retries != 1) ++wrong;
              for (const auto& [task, value] : report.success_map()) sum += value - task;
            } else if ((round + k) % 3 == 1) {
              auto run = manager.launch(tasks);
              const auto report = run.wait();
              if (!report.ok() || report.retries != 1) ++wrong;
              for (const auto& [task, value] : report.success_map()) sum += value - task;
            } else {
              for (const auto& outcome : manager.stream(tasks)) sum += outcome.value() - outcome.task();
            }
            if (sum != 100) ++wrong;
          }
        });
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("runs of one manager at the same time each have their own workers") {
  constexpr std::size_t workers = 3;
  Crowd crowds[4];
  Manager manager{[&](Context& context, int x) {
                    const auto stay = crowds[x % 4].enter(context);
                    if (x % 8 < 4) std::this_thread::yield();
                    return x;
                  },
                  {.mode = Mode::thread, .workers = workers}};
  {
    std::vector<std::jthread> threads;
    for (int run = 0; run < 4; ++run) {
      threads.emplace_back([&, run] {
        std::vector<int> tasks = numbers(500);
        for (int& task : tasks) task = 4 * task + run;
        for (int round = 0; round < support::times(20); ++round) {
          static_cast<void>(manager.start(tasks));
          auto launched = manager.launch(tasks);
          static_cast<void>(launched.wait());
          for (auto& outcome : manager.stream(tasks)) static_cast<void>(outcome);
        }
      });
    }
  }
  for (const Crowd& crowd : crowds) CHECK(crowd.fits(workers));
}

TEST_CASE("ten thousand times constructed, started and destroyed") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::size_t sum = 0;
    for (int round = 0; round < support::times(10'000); ++round) {
      Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 2}};
      sum += manager.start(numbers(4)).succeeded;
    }
    CHECK(sum == 4U * static_cast<std::size_t>(support::times(10'000)));
  }
}

TEST_CASE("a manager that ends waits for the runs that it launched") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    for (const std::chrono::nanoseconds timeout : {0ns, std::chrono::nanoseconds{1h}}) {
      for (int round = 0; round < support::times(200); ++round) {
        auto manager = std::make_unique<Manager>(
            [](Context& context, int x) {
              if (x % 100 == 50 && context.attempt() == 1) throw std::runtime_error("again");
              return x;
            },
            Options{.mode = mode, .workers = 6, .retry = {.max_retries = 1, .base_delay = 100us}, .timeout = timeout});
        auto first = manager->launch(numbers(500));
        auto second = manager->launch(numbers(500));
        if (round % 2 == 0) *manager = Manager{[](Context&, int x) { return x; }};  // ends the old one
        manager.reset();
        CHECK(first.done());
        CHECK(second.done());
        CHECK(first.wait().ok());
        CHECK(second.wait().ok());
        CHECK(first.progress().succeeded == 500);
      }
    }
  }
}

TEST_CASE("a manager may end while another thread waits for its run") {
  for (int round = 0; round < support::times(500); ++round) {
    auto manager = std::make_unique<Manager>([](Context&, int x) { return x; }, Options{.mode = Mode::thread, .workers = 3});
    auto run = manager->launch(numbers(20));
    std::size_t succeeded = 0;
    {
      const std::jthread waiter{[&] { succeeded = run.wait().succeeded; }};
      manager.reset();
    }
    CHECK(succeeded == 20);
  }
}

TEST_CASE("a manager that is moved while it runs goes on") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    support::Counter go_on;
    Manager manager{[&](Context&, int x) {
                      go_on.wait_for(1);
                      return x;
                    },
                    {.mode = mode, .workers = 2}};
    auto run = manager.launch(numbers(100));
    Manager moved{std::move(manager)};
    go_on.add();
    CHECK(run.wait().ok());
    CHECK(moved.start(numbers(3)).ok());
  }
}
