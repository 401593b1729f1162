// SPDX-License-Identifier: MIT
#include <taskmgr/manager/stream.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <latch>
#include <limits>
#include <list>
#include <memory>
#include <optional>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <taskmgr/manager/task_manager.hpp>

#include "support/build.hpp"
#include "support/fragile.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/random.hpp"
#include "support/recorder.hpp"
#include "support/source.hpp"
#include "support/wait.hpp"

using support::Fragile;
using support::Manager;
using support::numbers;
using support::Source;
using taskmgr::Context;
using taskmgr::Duplicates;
using taskmgr::Mode;
using taskmgr::Outcome;
using taskmgr::State;
using taskmgr::Stream;
using taskmgr::TaskManager;
using namespace std::chrono_literals;

static_assert(std::ranges::input_range<Stream<int, std::string>>);
static_assert(!std::ranges::forward_range<Stream<int, std::string>>);
static_assert(std::is_same_v<std::ranges::range_value_t<Stream<int, std::string>>, Outcome<int, std::string>>);
static_assert(std::is_nothrow_move_constructible_v<Stream<int, std::string>>);
static_assert(!std::is_copy_constructible_v<Stream<int, std::string>>);

TEST_CASE("a stream shows the outcome of every task") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) {
                      if (x % 5 == 2) throw std::runtime_error("fails");
                      return x * x;
                    },
                    {.mode = mode, .workers = 3}};
    std::set<int> seen;
    for (auto&& outcome : manager.stream(numbers(1000))) {
      CHECK(seen.insert(outcome.task()).second);
      if (outcome.task() % 5 == 2) {
        CHECK(outcome.state() == State::failed);
        CHECK(outcome.error().message() == "fails");
        CHECK_THROWS_AS(static_cast<void>(outcome.value()), std::runtime_error);
      } else {
        CHECK(outcome.value() == outcome.task() * outcome.task());
        CHECK_THROWS_AS(static_cast<void>(outcome.error()), taskmgr::UsageError);
      }
      CHECK(outcome.attempts() == 1);
    }
    CHECK(seen.size() == 1000);
  }
}

TEST_CASE("an ordered stream is in the order of the source") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      if (x % 11 == 3 && context.attempt() < 3) throw std::runtime_error("again");
                      if (x % 13 == 5) std::this_thread::yield();
                      return x;
                    },
                    {.mode = mode, .workers = 4, .retry = {.max_retries = 2, .base_delay = 10us}}};
    for (const std::size_t window : {0U, 1U, 3U, 5000U}) {
      int next = 0;
      for (const auto& outcome : manager.stream(numbers(2000), {.ordered = true, .window = window})) {
        if (outcome.value() != next++) CHECK_MESSAGE(false, "task ", outcome.task());
      }
      CHECK(next == 2000);
    }
  }
}

TEST_CASE("a stream without an order shows first what is done first") {
  support::Counter others;
  Manager manager{[&](Context&, int x) {
                    if (x == 0) others.wait_for(9);
                    else others.add();
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 2, .chunk = 1}};
  std::vector<int> order;
  for (const auto& outcome : manager.stream(numbers(10))) order.push_back(outcome.task());
  REQUIRE(order.size() == 10);
  CHECK((order[8] == 0 || order[9] == 0));  // the ninth of the others may still be on its way
}

TEST_CASE("a number without bound, of workers or of tasks in the window, takes no more memory than others") {
  constexpr std::size_t unbounded = std::numeric_limits<std::size_t>::max();
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    for (const std::size_t workers : {unbounded, unbounded / 2 + 1, std::size_t{3'000'000'000}}) {
      const Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = workers}};
      CHECK(manager.start(numbers(5)).ok());
      int sum = 0;
      for (const auto& outcome : manager.stream(numbers(5))) sum += outcome.value();
      for (const auto& outcome : manager.stream(Source{5}, {.window = workers})) sum += outcome.value();
      CHECK(sum == 20);
    }
  }
}

TEST_CASE("a stream of nothing is empty") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode}};
    auto stream = manager.stream(std::vector<int>{});
    CHECK(stream.begin() == stream.end());
  }
}

TEST_CASE("a stream reads any input range, and refers to what it does not own") {
  for (const Mode mode : support::modes_of_functions) {
    INFO("mode: ", support::name(mode));
    TaskManager manager{[](int x) { return 2 * x; }, {.mode = mode, .workers = 2}};
    const auto sum = [](auto&& stream) {
      long total = 0;
      for (const auto& outcome : stream) total += outcome.value();
      return total;
    };
    CHECK(sum(manager.stream(Source{5})) == 20);
    const std::list<int> list{1, 2, 3};
    CHECK(sum(manager.stream(list)) == 12);
    std::vector<int> growing{1, 2, 3};
    auto stream = manager.stream(growing);  // an lvalue is referred to
    growing.assign({10, 20});
    CHECK(sum(stream) == 60);
    CHECK(sum(manager.stream({1, 2, 3})) == 12);
    CHECK(sum(manager.stream(std::vector{1, 2, 3})) == 12);
  }
}

// --- outcomes that outlive the stream

TEST_CASE("an outcome that was copied or moved out owns what it shows") {
  for (const Mode mode : support::modes_of_functions) {
    INFO("mode: ", support::name(mode));
    std::vector<Outcome<std::string, std::string>> kept;
    {
      TaskManager manager{[](const std::string& text) {
                            if (text.size() % 3 == 0) throw std::runtime_error("no threes: " + text);
                            return text + text;
                          },
                          {.mode = mode, .workers = 3}};
      std::vector<std::string> tasks;
      for (std::size_t k = 1; k <= 300; ++k) tasks.emplace_back(k, 'x');
      int walked = 0;
      for (auto& outcome : manager.stream(tasks)) {
        if (++walked % 2 == 0) kept.push_back(outcome);
        else kept.push_back(std::move(outcome));
      }
    }
    CHECK(kept.size() == 300);
    std::set<std::string> tasks;
    for (const auto& outcome : kept) {
      tasks.insert(outcome.task());
      if (outcome.task().size() % 3 == 0) {
        CHECK(outcome.error().message() == "no threes: " + outcome.task());
      } else {
        CHECK(outcome.value() == outcome.task() + outcome.task());
      }
    }
    CHECK(tasks.size() == 300);
  }
}

TEST_CASE("outcomes may be read on other threads while the stream goes on") {
  for (const Mode mode : support::modes_that_block) {
    INFO("mode: ", support::name(mode));
    TaskManager manager{[](int x) { return std::string(static_cast<std::size_t>(20 + x % 50), 'y'); },
                        {.mode = mode, .workers = 2}};
    std::atomic<int> wrong{0};
    std::vector<std::jthread> readers;
    int walked = 0;
    for (const auto& outcome : manager.stream(numbers(support::times(2000)))) {
      if (walked++ % 50 == 0) {
        readers.emplace_back([&wrong, copy = outcome] {
          if (copy.value().size() != static_cast<std::size_t>(20 + copy.task() % 50)) ++wrong;
        });
      }
    }
    readers.clear();
    CHECK(wrong == 0);
  }
}

TEST_CASE("a result can be taken out of a stream") {
  for (const Mode mode : support::modes_of_functions) {
    INFO("mode: ", support::name(mode));
    TaskManager manager{[](int x) { return std::make_unique<int>(x); }, {.mode = mode, .workers = 2}};
    std::vector<std::unique_ptr<int>> taken;
    for (auto& outcome : manager.stream(numbers(100), {.ordered = true})) taken.push_back(outcome.take());
    for (int k = 0; k < 100; ++k) CHECK(*taken[static_cast<std::size_t>(k)] == k);
  }
}

TEST_CASE("a stream may be moved before and between its steps") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 2}};
    auto first = manager.stream(numbers(100), {.ordered = true});
    auto second = std::move(first);
    auto at = second.begin();
    CHECK(at->task() == 0);
    const auto third = std::move(second);
    ++at;
    CHECK(at->task() == 1);
    at++;
    CHECK((*at).task() == 2);
    CHECK(at != third.end());
  }
}

TEST_CASE("tasks that can only be moved are moved") {
  for (const Mode mode : support::modes_of_functions) {
    INFO("mode: ", support::name(mode));
    TaskManager manager{[](const std::unique_ptr<int>& x) { return *x; }, {.mode = mode, .workers = 2}};
    std::vector<std::unique_ptr<int>> tasks;
    for (int k = 0; k < 100; ++k) tasks.push_back(std::make_unique<int>(k));
    int sum = 0;
    for (const auto& outcome : manager.stream(std::move(tasks))) sum += outcome.value();
    CHECK(sum == 4950);
  }
}

// --- duplicates

TEST_CASE("a task that equals one in flight is not run, and yields no outcome") {
  std::atomic<int> ran{0};
  std::latch all_pulled{1};
  Manager manager{[&](Context&, int x) {
                    all_pulled.wait();
                    ++ran;
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 2}};
  support::Recorder recorder;
  manager.observe(recorder);
  const Source source{40,
                      [&](Source::Step step, int at) {
                        if (step == Source::Step::end && at == 40) all_pulled.count_down();
                      },
                      10};
  int walked = 0;
  // two workers wait for the last pull: all 40 are in the window
  for (const auto& outcome : manager.stream(source, {.window = 50})) {
    CHECK(outcome.value() == outcome.task());
    ++walked;
  }
  CHECK(walked == 10);
  CHECK(ran == 10);
  CHECK(recorder.count(taskmgr::EventKind::task_duplicate) == 30);
  const taskmgr::Progress sum = recorder.all().back().progress;
  CHECK(sum.duplicates == 30);
  CHECK(sum.succeeded == 10);
}

TEST_CASE("a task that equals one that was handed out runs again") {
  std::atomic<int> ran{0};
  Manager manager{[&](Context&, int x) {
    ++ran;
    return x;
  }};
  int walked = 0;
  for (const auto& outcome : manager.stream({1, 1, 2, 1, 1})) walked += outcome.value() > 0 ? 1 : 0;
  CHECK(walked == 5);  // in serial mode each is handed out before the next is pulled
  CHECK(ran == 5);
}

TEST_CASE("all tasks of a stream run where duplicates are to be run") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 3, .duplicates = Duplicates::run}};
    int walked = 0;
    for (const auto& outcome : manager.stream(std::vector<int>(500, 7))) walked += outcome.value() == 7 ? 1 : 0;
    CHECK(walked == 500);
  }
}

TEST_CASE("duplicates at random: every task is run or shared") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::vector<int> tasks;
    for (int k = 0; k < 5000; ++k) tasks.push_back(random.number(40));
    Manager manager{[](Context&, int x) {
                      if (x % 10 == 0) throw std::runtime_error("fails");
                      return x;
                    },
                    {.mode = mode, .workers = 3}};
    support::Recorder recorder;
    manager.observe(recorder);
    for (const bool ordered : {false, true}) {
      recorder.clear();
      std::size_t walked = 0;
      std::set<int> seen;
      for (const auto& outcome : manager.stream(tasks, {.ordered = ordered})) {
        ++walked;
        seen.insert(outcome.task());
      }
      CHECK(seen.size() == std::set<int>(tasks.begin(), tasks.end()).size());
      CHECK(walked + recorder.count(taskmgr::EventKind::task_duplicate) == 5000);
      const taskmgr::Progress sum = recorder.all().back().progress;
      CHECK(sum.total == 5000);
      CHECK(sum.finished() == 5000);
    }
  }
}

// --- sources that throw

TEST_CASE("where the source throws, the outcomes of what was taken come first") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    for (const auto step : {Source::Step::begin, Source::Step::read, Source::Step::next, Source::Step::end}) {
      for (const int where : {0, 1, 30}) {
        for (const bool ordered : {false, true}) {
          if (step == Source::Step::begin && where != 0) continue;
          CAPTURE(static_cast<int>(step));
          CAPTURE(where);
          bool threw = false;
          int touched_after = 0;
          const Source source{100, [&](Source::Step now, int at) {
                                touched_after += threw ? 1 : 0;
                                if (now != step || at != where) return;
                                threw = true;
                                throw std::runtime_error("the source");
                              }};
          Manager manager{[](Context& context, int x) {
                            if (x % 10 == 5 && context.attempt() == 1) throw std::runtime_error("again");
                            return x;
                          },
                          {.mode = mode, .workers = 3, .retry = {.max_retries = 1, .base_delay = 10us}}};
          const int taken = step == Source::Step::begin ? 0 : step == Source::Step::next ? where + 1 : where;
          std::set<int> seen;
          auto stream = manager.stream(source, {.ordered = ordered});
          std::optional<Stream<int, int>::iterator> at;
          std::string thrown;
          try {
            for (at.emplace(stream.begin()); *at != stream.end(); ++*at) {
              CHECK((*at)->state() == State::succeeded);
              seen.insert((*at)->task());
            }
          } catch (const std::runtime_error& error) {
            thrown = error.what();
          }
          CHECK(thrown == "the source");
          CHECK(seen.size() == static_cast<std::size_t>(taken));
          CHECK(touched_after == 0);
          if (at) CHECK(*at == stream.end());
          CHECK(manager.start(numbers(10)).ok());
        }
      }
    }
  }
}

TEST_CASE("a task whose copy, hash or equality throws ends a stream as a source that throws") {
  for (const Mode mode : support::modes_that_block) {
    INFO("mode: ", support::name(mode));
    TaskManager manager{[](const Fragile& task) { return task.number(); }, {.mode = mode, .workers = 2}};
    std::vector<Fragile> tasks;
    for (int k = 0; k < 25; ++k) tasks.emplace_back(k % 12);
    int ended_well = 0;
    for (long burnt = 0; ended_well == 0; ++burnt) {
      REQUIRE(burnt < 100'000);
      CAPTURE(burnt);
      Fragile::light(burnt);
      int walked = 0;
      bool threw = false;
      try {
        for (const auto& outcome : manager.stream(tasks, {.ordered = burnt % 2 == 0, .window = 8})) {
          walked += outcome.value() >= 0 ? 1 : 0;
        }
      } catch (const support::Broken&) {
        threw = true;
      }
      ended_well += threw ? 0 : 1;
      Fragile::put_out();
      CHECK(walked <= 25);
      CHECK(Fragile::alive == 25);
    }
  }
  CHECK(Fragile::alive == 0);
}

TEST_CASE("what an observer throws comes at the end of the stream") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 2}};
    support::Recorder angry{[](const taskmgr::Event& event) {
      if (event.kind == taskmgr::EventKind::task_succeeded) throw std::runtime_error("angry");
    }};
    manager.observe(angry);
    int walked = 0;
    std::string thrown;
    try {
      for (const auto& outcome : manager.stream(numbers(50))) walked += outcome.value() >= 0 ? 1 : 0;
    } catch (const std::runtime_error& error) {
      thrown = error.what();
    }
    CHECK(walked == 50);
    CHECK(thrown == "angry");
  }
}
