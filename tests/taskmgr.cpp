// SPDX-License-Identifier: MIT
#include <taskmgr/taskmgr.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "support/fragile.hpp"
#include "support/modes.hpp"
#include "support/random.hpp"
#include "support/ranges.hpp"

// What users type: the vocabulary of core/ as it meets a manager.

using namespace std::chrono_literals;
using support::Fragile;
using taskmgr::Context, taskmgr::Duplicates, taskmgr::Mode, taskmgr::State, taskmgr::TaskManager;

namespace umbrella_test {

struct Job {
  int width = 0;
  int height = 0;
};

/// A result whose every third throws when it is moved, and which counts its objects.
struct Slippery {
  static inline std::atomic<int> alive = 0;
  explicit Slippery(int n) : number(n) { ++alive; }
  Slippery(Slippery&& other) noexcept(false) : number(other.number) {
    if (number % 3 == 0) throw std::runtime_error("slipped");
    ++alive;
  }
  ~Slippery() { --alive; }
  int number;
};

int half(int x) {
  if (x % 2 != 0) throw std::invalid_argument("odd: " + std::to_string(x));
  return x / 2;
}

/// One type of managers for most tests: each further type costs a second of compilation.
using Ints = TaskManager<std::function<int(int)>>;
using IntSink = std::function<void(taskmgr::Outcome<int, int>&)>;

Ints halving(Mode mode, Duplicates duplicates = Duplicates::share) {
  return Ints{&half, {.mode = mode, .workers = 3, .duplicates = duplicates}};
}

/// Runs a test in every mode whose tasks see the test's variables.
template <class Test>
void in_each_mode(const Test& test) {
  for (const Mode mode : support::modes_that_block) {
    INFO("mode: ", support::name(mode));
    test(mode);
  }
}

template <class Task, class R>
void adds_up(const taskmgr::Report<Task, R>& report) {
  CHECK(report.total == report.succeeded + report.failed + report.cancelled + report.duplicates);
  CHECK(report.outcomes().size() == report.total - report.duplicates);
}

}  // namespace umbrella_test
using namespace umbrella_test;

TEST_CASE("the program at the top of the reference does what it says") {
  TaskManager add{[](int x, int y) { return x + y; },
                  {.mode = Mode::thread,
                   .workers = 5,
                   .retry = {.max_retries = 3, .base_delay = 100ms},
                   .name = "add",
                   .show_progress = true}};
  auto report = add.start({{1, 2}, {3, 4}, {5, 6}, {7, 8}});
  CHECK(report.success_map().at({3, 4}) == 7);
  std::string errors;
  for (const auto& [task, error] : report.error_map()) errors += error.message();
  CHECK(errors.empty());
  CHECK(report.ok());
  CHECK(add.options().name == "add");
}

TEST_CASE("the umbrella brings every part of the core") {
  static_assert(std::is_base_of_v<taskmgr::Observer, taskmgr::ProgressBar>);
  static_assert(std::is_base_of_v<taskmgr::Observer, taskmgr::Log>);
  static_assert(std::is_class_v<taskmgr::Run<int, int>> && std::is_class_v<taskmgr::Stream<int, int>>);
  static_assert(std::is_class_v<taskmgr::StreamOptions> && std::is_class_v<taskmgr::Progress>);
  static_assert(taskmgr::Hashable<Job>);
  CHECK(taskmgr::hash<int>{}(1) != taskmgr::hash<int>{}(2));
  CHECK(fmt::format("{}", State::succeeded) == "succeeded");
}

TEST_CASE("options that cannot be are refused by the constructor") {
  const auto make = [](taskmgr::Options options) { return TaskManager{[](int x) { return x; }, std::move(options)}; };
  CHECK_THROWS_WITH_AS(make({.retry = {.max_retries = -1}}),
                       "taskmgr: Options::retry.max_retries must not be negative, but is -1", std::invalid_argument);
  CHECK_THROWS_AS(make({.retry = {.base_delay = -1ns}}), std::invalid_argument);
  CHECK_THROWS_AS(make({.retry = {.multiplier = 0.99}}), std::invalid_argument);
  CHECK_THROWS_AS(make({.retry = {.max_delay = -1ns}}), std::invalid_argument);
  CHECK_THROWS_AS(make({.retry = {.jitter = std::numeric_limits<double>::quiet_NaN()}}), std::invalid_argument);
  CHECK_THROWS_AS(make({.timeout = -1ns}), std::invalid_argument);
  CHECK_THROWS_AS(make({.halt = {.failure_ratio = 1.01}}), std::invalid_argument);
  CHECK_NOTHROW(make({.retry = {.max_retries = 1}}));
}

TEST_CASE("a manager can be moved, not copied") {
  static_assert(std::is_nothrow_move_constructible_v<Ints> && std::is_nothrow_move_assignable_v<Ints>);
  static_assert(!std::is_copy_constructible_v<Ints> && !std::is_copy_assignable_v<Ints>);
  Ints first = halving(Mode::thread);
  CHECK(first.start({2}).ok());
  const Ints second = std::move(first);
  CHECK(second.start({4}).success_map().at(4) == 2);
}

TEST_CASE("tasks come as a list, with a sink, a token, or nothing in it") {
  in_each_mode([](Mode mode) {
    const Ints manager = halving(mode);
    CHECK(manager.start({}).total == 0);
    CHECK(manager.start({2, 4, 2}).duplicates == 1);
    int sum = 0;
    int cancelled = 0;
    IntSink sink = [&](auto& outcome) {
      if (outcome.state() == State::cancelled) ++cancelled;
      else sum += outcome.value();
    };
    static_cast<void>(manager.start({2, 4}, sink));
    CHECK(sum == 3);
    CHECK(manager.start({2, 4}, std::stop_token{}).succeeded == 2);
    std::stop_source stop;
    stop.request_stop();
    CHECK(manager.start({2, 4}, stop.get_token()).cancelled == 2);
    CHECK(manager.start({2, 4}, sink, stop.get_token()).cancelled == 2);
    CHECK(cancelled == 2);
  });
}

TEST_CASE("the keys of a list own their characters and numbers") {
  in_each_mode([](Mode mode) {
    const TaskManager manager{[](const char* first, std::string_view second, std::span<const int> numbers) {
                                return (std::string_view(first).size() + second.size()) * numbers.size();
                              },
                              {.mode = mode}};
    char word[] = "word";
    const auto report = manager.start({{word, "and", {1, 2, 3}}, {"another", word, {}}, {"word", "and", {1, 2, 3}}});
    word[0] = 'x';
    static_assert(std::is_same_v<decltype(report)::task_type, std::tuple<std::string, std::string, std::vector<int>>>);
    CHECK(report.success_map().at({"word", "and", {1, 2, 3}}) == 21);
    CHECK(report.success_map().at({"another", "word", {}}) == 0);
    CHECK(report.duplicates == 1);
  });
}

TEST_CASE("tasks come out of containers, views and sources of all kinds") {
  in_each_mode([](Mode mode) {
    const Ints manager = halving(mode);
    const std::vector<int> vector{2, 4, 6};
    CHECK(manager.start(vector).succeeded == 3);
    CHECK(manager.start(std::span(vector).subspan(1)).succeeded == 2);
    CHECK(manager.start(support::InputOnly{4, [](int at) { return 2 * at; }}).succeeded == 4);
    CHECK(manager.start(support::Own<std::vector<int>>{{2, 2, 3}}).failed == 1);

    const TaskManager line{[](Context& context, const std::string& key, int value) {
                             return key + "=" + std::to_string(value) + " at " + std::to_string(context.number());
                           },
                           {.mode = mode}};
    const std::map<std::string, int> map{{"one", 1}, {"two", 2}};
    const auto lines = line.start(map);
    CHECK(lines.success_map().at({"two", 2}) == "two=2 at 1");
    CHECK(lines[0].value() == "one=1 at 0");
    // the number of a task is its place in the source, duplicates counted
    const std::vector<std::pair<const std::string, int>> entries{{"a", 1}, {"a", 1}, {"b", 2}, {"a", 1}, {"c", 3}};
    const auto numbered = line.start(entries);
    CHECK(numbered[4].value() == "c=3 at 4");
    CHECK(numbered[3].value() == "a=1 at 0");
  });
}

TEST_CASE("tasks that are objects of one's own are adapted, and need neither a hash nor an equality") {
  in_each_mode([](Mode mode) {
    const auto area = taskmgr::with_args([](int w, int h) { return w * h; }, &Job::width, &Job::height);
    const auto text = [](const Job& job, int result) { return std::to_string(job.width) + ": " + std::to_string(result); };
    const TaskManager manager{taskmgr::with_result(area, text), {.mode = mode}};
    const auto report = manager.start({{2, 3}, {4, 5}, {2, 3}});
    CHECK(report.duplicates == 1);
    CHECK(report.success_map().at({4, 5}) == "4: 20");
  });
}

TEST_CASE("results may be nothing, move-only, or not to be made without arguments") {
  in_each_mode([](Mode mode) {
    const TaskManager nothing{[](int x) { static_cast<void>(half(x)); }, {.mode = mode}};
    const auto report = nothing.start({2, 3});
    static_assert(std::is_same_v<decltype(report)::result_type, std::monostate>);
    CHECK(report.success_map().contains(2));
    CHECK(report.error_map().at(3).message() == "odd: 3");

    const TaskManager make{[](int x) { return std::make_unique<int>(x); }, {.mode = mode}};
    int sum = 0;
    for (auto& [task, result] : make.start({1, 2, 3}).success_map()) sum += *std::unique_ptr<int>(std::move(result));
    CHECK(sum == 6);
    const auto map = make.start({1, 2, 3}).success_map().to<std::map<int, std::unique_ptr<int>>>();
    CHECK(*map.at(3) == 3);
  });
}

TEST_CASE("a result whose move throws fails its own task, and leaks nothing") {
  in_each_mode([](Mode mode) {
    const TaskManager manager{[](int x) {
                                Slippery first{x};
                                return Slippery{std::move(first)};
                              },
                              {.mode = mode}};
    {
      auto report = manager.start({1, 2, 3, 4, 6});
      CHECK(report.succeeded == 3);
      CHECK(report.failed == 2);
      CHECK(report.error_map().at(3).message() == "slipped");
      CHECK(report.success_map().at(4).number == 4);
      CHECK(Slippery::alive == 3);
    }
    CHECK(Slippery::alive == 0);
  });
}

TEST_CASE("failed and unfinished tasks are started again, from a report and from a temporary") {
  in_each_mode([](Mode mode) {
    bool broken = true;
    const Ints manager{[&broken](int x) { return broken ? half(x) : x; }, {.mode = mode, .workers = 3}};
    const auto report = manager.start({1, 2, 3, 4, 3});
    CHECK(report.failed == 2);
    broken = false;
    CHECK(manager.start(report.failed_tasks()).success_map().at(3) == 3);
    broken = true;
    auto failed = manager.start({1, 2, 3}).failed_tasks();
    broken = false;
    CHECK(manager.start(std::move(failed)).succeeded == 2);

    std::stop_source stop;
    const auto stopped = manager.start({8, 9, 10, 11}, IntSink{[&](auto&) { stop.request_stop(); }}, stop.get_token());
    CHECK(stopped.cancelled + stopped.succeeded == 4);
    CHECK(manager.start(stopped.unfinished_tasks()).succeeded == stopped.cancelled);
  });
}

TEST_CASE("move-only tasks are run, fail, and are started again") {
  using Task = std::unique_ptr<int>;
  in_each_mode([](Mode mode) {
    const TaskManager manager{[](const Task& task) { return half(*task); }, {.mode = mode}};
    const auto tasks = [](std::initializer_list<int> numbers) {
      std::vector<Task> all;
      for (const int n : numbers) all.push_back(std::make_unique<int>(n));
      return all;
    };
    const auto report = manager.start(manager.start(tasks({1, 2, 3})).failed_tasks());
    CHECK(report.failed == 2);
    CHECK(*report[1].task() == 3);
    auto rest = manager.start(tasks({5, 6})).failed_tasks();
    CHECK(*manager.start(std::move(rest))[0].task() == 5);
    std::stop_source stop;
    stop.request_stop();
    CHECK(manager.start(manager.start(tasks({2, 4}), stop.get_token()).unfinished_tasks()).succeeded == 2);
  });
}

TEST_CASE("random runs agree with std::map, duplicates shared or run") {
  INFO("TASKMGR_SEED=" << support::seed());
  support::Random random;
  in_each_mode([&random](Mode mode) {
    for (const Duplicates duplicates : {Duplicates::share, Duplicates::run}) {
      const Ints manager = halving(mode, duplicates);
      for (int round = 0; round < 30; ++round) {
        std::vector<int> tasks(random.below(200));
        const int values = 1 + random.number(150);
        std::map<int, int> good;
        std::map<int, std::string> bad;
        for (int& task : tasks) {
          task = random.number(values);
          if (task % 2 == 0) good[task] = task / 2;
          else bad[task] = "odd: " + std::to_string(task);
        }
        const auto report = manager.start(tasks);
        adds_up(report);
        CHECK(report.total == tasks.size());
        CHECK(report.duplicates == (duplicates == Duplicates::share ? tasks.size() - good.size() - bad.size() : 0));
        CHECK(report.success_map().to<std::map<int, int>>() == good);
        std::map<int, std::string> errors;
        for (const auto& [task, error] : report.error_map()) errors[task] = error.message();
        CHECK(errors == bad);
        CHECK(report.error_map().size() == bad.size());
        bool right = true;
        for (std::size_t i = 0; i < tasks.size(); ++i) {
          right = right && report[i].task() == tasks[i] && report[i].state() == (tasks[i] % 2 == 0 ? State::succeeded : State::failed);
        }
        CHECK(right);
      }
    }
  });
}

TEST_CASE("a source that throws in the middle: what was taken is run") {
  in_each_mode([](Mode mode) {
    std::atomic<int> ran{0};
    const Ints manager{[&ran](int x) {
                         ++ran;
                         return half(x);
                       },
                       {.mode = mode, .workers = 3}};
    const auto source = [] { return support::InputOnly{10, [](int at) { return at / 2; }, 7}; };
    CHECK_THROWS_WITH_AS(static_cast<void>(manager.start(source())), "the source is broken", std::runtime_error);
    CHECK(ran == 4);
  });
}

TEST_CASE("whatever operation on a task throws, all counts add up and nothing leaks or is lost") {
  in_each_mode([](Mode mode) {
    const long alive = Fragile::alive;
    {
      const TaskManager manager{[](const Fragile& task) { return Fragile{task}; }, {.mode = mode, .workers = 2}};
      const std::vector<Fragile> source = [] {
        std::vector<Fragile> all;
        for (int k = 0; k < 40; ++k) all.emplace_back(k % 12 + k / 10);
        return all;
      }();
      int broken_sources = 0;
      int broken_tasks = 0;
      for (const bool given_away : {false, true}) {
        bool threw = true;
        for (long n = 0; threw; ++n) {
          CAPTURE(given_away);
          CAPTURE(n);
          std::vector<Fragile> tasks = source;
          Fragile::light(n);
          auto run = given_away ? manager.launch(std::move(tasks)) : manager.launch(tasks);
          bool source_threw = false;
          try {
            static_cast<void>(run.wait());
          } catch (const support::Broken&) {
            source_threw = true;
          }
          Fragile::put_out();
          const auto& report = run.report();
          adds_up(report);
          CHECK(report.cancelled == 0);
          CHECK(report.failed <= 1);
          REQUIRE(report.total <= source.size());
          CHECK((report.total == source.size()) == !source_threw);
          for (std::size_t i = 0; i < report.total; ++i) REQUIRE(report[i].task().number() == source[i].number());
          for (const auto& [task, result] : report.success_map()) REQUIRE(task.number() == result.number());
          for (const auto& [task, error] : report.error_map()) REQUIRE(error.type() == "support::Broken");
          broken_sources += source_threw ? 1 : 0;
          broken_tasks += report.failed != 0 ? 1 : 0;
          threw = source_threw || report.failed != 0;
        }
      }
      CHECK(broken_sources > 80);
      CHECK(broken_tasks == 2 * 15);  // that is how many are distinct
    }
    CHECK(Fragile::alive == alive);
  });
}
