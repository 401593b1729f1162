// SPDX-License-Identifier: MIT
#include <taskmgr/manager/task_manager.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <forward_list>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include <taskmgr/manager/with_args.hpp>

#include "support/build.hpp"
#include "support/fragile.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/random.hpp"
#include "support/source.hpp"

using support::Broken;
using support::Fragile;
using support::Manager;
using support::numbers;
using support::Sink;
using support::Source;
using taskmgr::Context;
using taskmgr::Duplicates;
using taskmgr::Mode;
using taskmgr::Options;
using taskmgr::State;
using taskmgr::TaskManager;
using namespace std::chrono_literals;

static_assert(std::is_nothrow_move_constructible_v<TaskManager<support::Function>>);
static_assert(std::is_nothrow_move_assignable_v<TaskManager<support::Function>>);
static_assert(!std::is_copy_constructible_v<TaskManager<support::Function>>);

namespace {

int twice(int x) { return 2 * x; }

struct Word {
  std::string text;
  [[nodiscard]] std::size_t length() const { return text.size(); }
};

/// A result that has no default, and whose copies and moves can be made to throw.
class Guarded {
 public:
  static inline std::atomic<int> alive{0};
  static inline std::atomic<bool> copies_throw{false};
  explicit Guarded(int number) : number_(number) { ++alive; }
  Guarded(const Guarded& other) : number_(other.number_) {
    if (copies_throw && number_ % 3 == 0) throw Broken("the copy of a result");
    ++alive;
  }
  Guarded& operator=(const Guarded&) = delete;
  ~Guarded() { --alive; }
  [[nodiscard]] int number() const { return number_; }

 private:
  int number_;
};

}  // namespace

template <>
struct taskmgr::Codec<Guarded> {
  static void encode(Writer& writer, const Guarded& guarded) { Codec<int>::encode(writer, guarded.number()); }
  static Guarded decode(Reader& reader) { return Guarded{Codec<int>::decode(reader)}; }
};

// --- what can be run

TEST_CASE("a list in braces gives the function its arguments") {
  for (const Mode mode : support::modes_of_functions) {
    INFO("mode: ", support::name(mode));
    TaskManager add{[](int x, int y) { return x + y; }, {.mode = mode, .workers = 2}};
    const auto report = add.start({{1, 2}, {3, 4}, {5, 6}});
    static_assert(std::is_same_v<decltype(report)::task_type, std::tuple<int, int>>);
    CHECK(report.success_map().at({3, 4}) == 7);
    TaskManager length{[](std::string_view text) { return text.size(); }, {.mode = mode}};
    CHECK(length.start({"a", "four"}).success_map().at("four") == 4);
    auto run = length.launch({"one", "seven"});
    CHECK(run.wait().success_map().at("seven") == 5);
    std::size_t sum = 0;
    for (const auto& outcome : length.stream({"one", "seven"})) sum += outcome.value();
    CHECK(sum == 8);
  }
}

TEST_CASE("functions, members and functors are all functions") {
  for (const Mode mode : support::modes_of_functions) {
    INFO("mode: ", support::name(mode));
    CHECK(TaskManager{twice, {.mode = mode}}.start({1, 2}).success_map().at(2) == 4);
    CHECK(TaskManager{&twice, {.mode = mode}}.start(std::array{3}).success_map().at(3) == 6);
    const std::vector<Word> words{{"a"}, {"bcd"}};
    CHECK(TaskManager{&Word::length, {.mode = mode}}.start(words)[1].value() == 3);
    CHECK(TaskManager{&Word::text, {.mode = mode}}.start(words)[1].value() == "bcd");
    CHECK(TaskManager{std::plus<int>{}, {.mode = mode}}.start(std::vector<std::pair<int, int>>{{1, 2}})[0].value() == 3);
    CHECK(TaskManager{[](const auto& x) { return x + x; }, {.mode = mode}}.start(std::vector<std::string>{"ab"})[0].value() ==
          "abab");
  }
}

TEST_CASE("any input range can be run") {
  for (const Mode mode : support::modes_of_functions) {
    INFO("mode: ", support::name(mode));
    TaskManager manager{[](int x) { return 2 * x; }, {.mode = mode, .workers = 2}};
    const auto sum = [](const auto& report) {
      int total = 0;
      for (const auto& outcome : report.outcomes()) total += outcome.value();
      return total;
    };
    CHECK(sum(manager.start(std::vector{1, 2, 3})) == 12);
    CHECK(sum(manager.start(std::forward_list{1, 2, 3})) == 12);
    CHECK(sum(manager.start(std::set{1, 2, 3})) == 12);
    const int array[] = {1, 2, 3};
    CHECK(sum(manager.start(array)) == 12);
    CHECK(sum(manager.start(std::span{array})) == 12);
    CHECK(sum(manager.start(Source{4})) == 12);
    std::array<int, 3> fixed{1, 2, 3};
    CHECK(sum(manager.start(fixed)) == 12);
    CHECK(sum(manager.start(std::vector<int>{})) == 0);
    auto run = manager.launch(std::forward_list{1, 2, 3});
    CHECK(sum(run.wait()) == 12);
  }
}

TEST_CASE("results may be void, move-only, references, or without a default") {
  for (const Mode mode : support::modes_of_functions) {
    INFO("mode: ", support::name(mode));
    {
      const auto report = TaskManager{[](int) {}, {.mode = mode}}.start({1, 2});
      CHECK(report.succeeded == 2);
      static_assert(std::is_same_v<std::remove_cvref_t<decltype(report[0].value())>, std::monostate>);
    }
    auto moved = TaskManager{[](int x) { return std::make_unique<int>(x); }, {.mode = mode}}.start({1, 2});
    CHECK(*moved[1].take() == 2);
    {
      const auto report = TaskManager{[](int x) { return Guarded{x}; }, {.mode = mode}}.start({1, 2});
      CHECK(report.success_map().at(2).number() == 2);
    }
    CHECK(Guarded::alive == 0);
    TaskManager reference{[](const std::string& text) -> const std::string& { return text; }, {.mode = mode}};
    CHECK(reference.start({"kept"})[0].value() == "kept");
    const auto flags = TaskManager{[](bool b) { return !b; }, {.mode = mode}}.start(std::vector{true, false, true});
    CHECK(flags.duplicates == 1);
    CHECK(flags[2].value() == false);
  }
}

TEST_CASE("tasks may be move-only, and come back to be started again") {
  for (const Mode mode : support::modes_of_functions) {
    INFO("mode: ", support::name(mode));
    TaskManager manager{[](Context& context, const std::unique_ptr<int>& x) {
                          if (*x % 2 == 0 && context.stop_token().stop_possible()) throw std::runtime_error("even");
                          return *x;
                        },
                        {.mode = mode, .workers = 2}};
    std::vector<std::unique_ptr<int>> tasks;
    for (int k = 0; k < 10; ++k) tasks.push_back(std::make_unique<int>(k));
    const std::stop_source stop;
    auto report = manager.start(std::move(tasks), stop.get_token());
    CHECK(report.failed == 5);
    const auto again = manager.start(std::move(report).failed_tasks());
    CHECK(again.ok());
    CHECK(again[4].value() == 8);
  }
}

TEST_CASE("a lambda that captures owns what it captures") {
  for (const Mode mode : support::modes_of_functions) {
    INFO("mode: ", support::name(mode));
    std::optional<taskmgr::Report<int, int>> report;
    const auto counted = std::make_shared<int>(40);
    {
      TaskManager manager{[counted](int x) { return *counted + x; }, {.mode = mode, .workers = 2}};
      CHECK(counted.use_count() == 2);
      TaskManager moved{std::move(manager)};
      report.emplace(moved.start({1, 2}));
      CHECK(counted.use_count() == 2);
    }
    CHECK(counted.use_count() == 1);
    CHECK(report->success_map().at(2) == 42);
  }
}

// --- options

TEST_CASE("options are checked at construction, and can be read") {
  const auto construct = [](Options options) { static_cast<void>(Manager{[](Context&, int x) { return x; }, std::move(options)}); };
  CHECK_THROWS_AS(construct({.retry = {.max_retries = -1}}), std::invalid_argument);
  CHECK_THROWS_AS(construct({.timeout = -1ns}), std::invalid_argument);
  CHECK_THROWS_AS(construct({.halt = {.failure_ratio = 2}}), std::invalid_argument);
  const Manager manager{[](Context&, int x) { return x; }, {.mode = Mode::thread, .workers = 3, .name = "mine"}};
  CHECK(manager.options().name == "mine");
  CHECK(manager.options().workers == 3);
}

TEST_CASE("coroutine mode says what it wants, where a function is none") {
  std::atomic<int> ran{0};
  const TaskManager manager{[&](int x) { return ran += x; }, {.mode = Mode::coroutine}};
  const auto wants = [](const auto& call) {
    CHECK_THROWS_WITH_AS(call(),
                         "taskmgr: Mode::coroutine runs functions that return a taskmgr::Async, and this one returns int: make it "
                         "a coroutine, or use Mode::thread",
                         taskmgr::UsageError);
  };
  wants([&] { static_cast<void>(manager.start({1})); });
  wants([&] { static_cast<void>(manager.launch({1})); });
  wants([&] { static_cast<void>(manager.stream({1})); });
  wants([&] { static_cast<void>(manager.start_async({1})); });
  CHECK(ran == 0);
}

TEST_CASE("nobody observes through a null pointer") {
  Manager manager{[](Context&, int x) { return x; }};
  CHECK_THROWS_AS(manager.observe(std::shared_ptr<taskmgr::Observer>{}), taskmgr::UsageError);
}

TEST_CASE("sinks and tokens may be given in every combination") {
  for (const Mode mode : support::modes_that_block) {
    INFO("mode: ", support::name(mode));
    TaskManager manager{[](int x) { return x; }, {.mode = mode, .workers = 2}};
    int sunk = 0;
    auto sink = [&](const auto&) { ++sunk; };
    const std::stop_source stop;
    const std::vector tasks{1, 2};
    CHECK(manager.start(tasks, sink).ok());
    CHECK(manager.start(tasks, stop.get_token()).ok());
    CHECK(manager.start(tasks, sink, stop.get_token()).ok());
    CHECK(manager.start({1, 2}, sink).ok());
    CHECK(manager.start({1, 2}, stop.get_token()).ok());
    CHECK(manager.start({1, 2}, sink, stop.get_token()).ok());
    CHECK(manager.launch(tasks, sink).wait().ok());
    CHECK(manager.launch(tasks, stop.get_token()).wait().ok());
    CHECK(manager.launch(tasks, sink, stop.get_token()).wait().ok());
    CHECK(manager.launch({1, 2}, sink).wait().ok());
    CHECK(manager.launch({1, 2}, stop.get_token()).wait().ok());
    CHECK(manager.launch({1, 2}, sink, stop.get_token()).wait().ok());
    CHECK(sunk == 16);
    struct Mutable {
      void operator()(taskmgr::Outcome<int, int>&) { ++calls; }
      int calls = 0;
    } mine;
    CHECK(manager.start(tasks, mine).ok());
    CHECK(mine.calls == 2);  // it is not copied
    CHECK(manager.launch(tasks, std::move(mine)).wait().ok());
    CHECK(manager.launch(tasks, [kept = std::make_unique<int>(1)](auto&) { CHECK(*kept == 1); }).wait().ok());
  }
}

// --- the same in every mode

TEST_CASE("a program gives the same in every mode") {
  const std::uint64_t seed = support::seed();
  INFO("TASKMGR_SEED=", seed);
  support::Random random;
  for (int round = 0; round < support::times(60); ++round) {
    std::vector<int> tasks;
    for (int k = random.number(300); k > 0; --k) tasks.push_back(random.number(150));
    const Options options{.workers = 1 + random.below(5),
                          .retry = {.max_retries = random.number(3), .base_delay = 0ns},
                          .duplicates = random.below(2) == 0 ? Duplicates::share : Duplicates::run,
                          .chunk = random.below(3) * 3};
    std::vector<std::string> seen;
    for (const Mode mode : support::modes) {
      Options here = options;
      here.mode = mode;
      Manager manager{[](Context& context, int x) -> int {
                        if (x % 7 == 3) throw std::invalid_argument("bad " + std::to_string(x));
                        if (x % 7 == 4) throw x;
                        if (context.attempt() <= x % 4) throw std::runtime_error("again " + std::to_string(x));
                        return x * 10 + context.attempt();
                      },
                      here};
      const auto report = manager.start(tasks);
      CHECK(support::adds_up(report));
      std::string text = fmt::format("{} {} {} {} {} {};", report.total, report.succeeded, report.failed, report.cancelled,
                                     report.duplicates, report.retries);
      for (const auto& outcome : report.outcomes()) {
        text += fmt::format("{} {} {} ", outcome.task(), static_cast<int>(outcome.state()), outcome.attempts());
        if (outcome.state() == State::succeeded) text += fmt::format("{},", outcome.value());
        else text += fmt::format("{} {} {},", outcome.error().message(), outcome.error().type(), outcome.error().attempts());
      }
      for (std::size_t k = 0; k < report.total; ++k) text += fmt::format("{} ", report[k].task());
      for (const auto& [task, value] : report.success_map()) text += fmt::format("{}={} ", task, value);
      for (const auto& [task, error] : report.error_map()) text += fmt::format("{}={} ", task, error.message());
      seen.push_back(text);
    }
    for (const std::string& text : seen) CHECK(text == seen.front());
  }
}

TEST_CASE("duplicates share an outcome, whichever way it went") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) -> int {
                      if (x == 2) throw std::runtime_error("fails");
                      return static_cast<int>(context.number());
                    },
                    {.mode = mode, .workers = 3}};
    const auto report = manager.start({5, 2, 5, 2, 9, 5});
    CHECK(support::adds_up(report));
    CHECK(report.duplicates == 3);
    CHECK(report.succeeded == 2);
    CHECK(report.failed == 1);
    CHECK(report[2].value() == 0);
    CHECK(report[5].value() == 0);
    CHECK(report[4].value() == 4);
    CHECK(report[3].error().message() == "fails");
  }
}

TEST_CASE("a task that equals one in flight is not run a second time") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::vector<std::atomic<int>> ran(10);
    Manager manager{[&](Context&, int x) {
                      ++ran[static_cast<std::size_t>(x)];
                      return x;
                    },
                    {.mode = mode, .workers = 4, .chunk = 1}};
    std::vector<int> tasks;
    for (int k = 0; k < 1000; ++k) tasks.push_back(k % 10);
    CHECK(manager.start(tasks).duplicates == 990);
    for (const auto& count : ran) CHECK(count == 1);
  }
}

// --- what the user's parts throw

TEST_CASE("what the source throws comes out of start, once what was taken has finished") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    for (const auto step : {Source::Step::begin, Source::Step::read, Source::Step::next, Source::Step::end}) {
      for (const int where : {0, 1, 63, 64, 99}) {
        if (step == Source::Step::begin && where != 0) continue;
        CAPTURE(static_cast<int>(step));
        CAPTURE(where);
        std::atomic<int> ran{0};
        bool threw = false;
        int touched_after = 0;
        Manager manager{[&](Context& context, int x) {
                          ++ran;
                          if (x % 10 == 5 && context.attempt() == 1) throw std::runtime_error("again");
                          return x;
                        },
                        {.mode = mode, .workers = 3, .retry = {.max_retries = 1, .base_delay = 10us}}};
        std::set<int> sunk;
        CHECK_THROWS_WITH_AS(static_cast<void>(manager.start(Source{100,
                                                                    [&](Source::Step now, int at) {
                                                                      touched_after += threw ? 1 : 0;
                                                                      if (now != step || at != where) return;
                                                                      threw = true;
                                                                      throw std::runtime_error("the source");
                                                                    }},
                                                             Sink{[&](auto& outcome) { sunk.insert(outcome.value()); }})),
                             "the source", std::runtime_error);
        const int taken = step == Source::Step::begin ? 0 : step == Source::Step::next ? where + 1 : where;
        CHECK(sunk.size() == static_cast<std::size_t>(taken));
        CHECK(ran >= taken);
        CHECK(touched_after == 0);
      }
    }
  }
}

TEST_CASE("a task whose copy, move, hash or equality throws: nothing is lost, nothing leaks") {
  for (const Mode mode : support::modes_that_block) {
    for (const bool moves : {false, true}) {
      for (const bool give_away : {false, true}) {
        INFO("mode: ", support::name(mode));
        CAPTURE(moves);
        CAPTURE(give_away);
        std::atomic<int> ran{0};
        TaskManager manager{[&](const Fragile& task) {
                              ++ran;
                              return task.number();
                            },
                            {.mode = mode, .workers = 2}};
        bool ended_well = false;
        for (long burnt = 0; !ended_well; ++burnt) {
          REQUIRE(burnt < 100'000);
          CAPTURE(burnt);
          std::vector<Fragile> tasks;
          for (int k = 0; k < 40; ++k) tasks.emplace_back(k % 25);
          Fragile::moves_throw = moves;
          Fragile::light(burnt);
          ran = 0;
          bool threw = false;
          {
            auto run = give_away ? manager.launch(std::move(tasks)) : manager.launch(tasks);
            try {
              static_cast<void>(run.wait());
            } catch (const Broken&) {
              threw = true;
            }
            ended_well = !threw;
            Fragile::put_out();
            const auto& report = run.report();
            CHECK(support::adds_up(report));
            CHECK(report.succeeded == static_cast<std::size_t>(ran));
            CHECK(report.succeeded + report.duplicates == report.total);
            if (ended_well) CHECK(report.total == 40);
          }
          Fragile::moves_throw = false;
          tasks.clear();
          CHECK(Fragile::alive == 0);
        }
      }
    }
  }
}

TEST_CASE("a result whose making throws fails its own task") {
  for (const Mode mode : support::modes_of_functions) {
    INFO("mode: ", support::name(mode));
    static const std::vector<Guarded> kept = [] {
      std::vector<Guarded> all;
      all.reserve(30);
      for (int k = 0; k < 30; ++k) all.emplace_back(k);
      return all;
    }();
    const int before = Guarded::alive;
    {
      TaskManager manager{[](int x) -> const Guarded& { return kept[static_cast<std::size_t>(x)]; }, {.mode = mode, .workers = 2}};
      Guarded::copies_throw = true;
      const auto report = manager.start(numbers(30));
      Guarded::copies_throw = false;
      CHECK(support::adds_up(report));
      CHECK(report.failed == 10);
      CHECK(report.error_map().at(9).message() == "the copy of a result");
      CHECK(report.success_map().at(10).number() == 10);
      CHECK(Guarded::alive == before + 20);
    }
    CHECK(Guarded::alive == before);
  }
}

TEST_CASE("what a projection or the second function of with_result throws is the task's error") {
  struct Job {
    int id;
    bool operator==(const Job&) const = default;
  };
  for (const Mode mode : support::modes_of_functions) {
    INFO("mode: ", support::name(mode));
    TaskManager projected{taskmgr::with_args([](int x) { return x; },
                                             [](const Job& job) {
                                               if (job.id == 2) throw std::out_of_range("projection");
                                               return job.id;
                                             }),
                          {.mode = mode, .workers = 2}};
    const auto report = projected.start(std::vector<Job>{{1}, {2}, {3}});
    CHECK(report.succeeded == 2);
    CHECK(report[1].error().message() == "projection");
    TaskManager looked_at{taskmgr::with_result([](int x) { return x; },
                                               [](int task, int result) {
                                                 if (task == 2) throw std::out_of_range("look");
                                                 return task + result;
                                               }),
                          {.mode = mode, .workers = 2}};
    const auto second = looked_at.start({1, 2, 3});
    CHECK(second.success_map().at(3) == 6);
    CHECK(second.error_map().at(2).message() == "look");
  }
}

TEST_CASE("whatever fails on the way, every task is counted once") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    for (int round = 0; round < support::times(400); ++round) {
      const int source_fails = random.below(3) == 0 ? random.number(100) : -1;
      const int sink_fails = random.below(3) == 0 ? random.number(100) : -1;
      const int observer_fails = random.below(4) == 0 ? random.number(60) : -1;
      const int stops = random.below(4) == 0 ? random.number(100) : -1;
      const std::size_t worker_fails = random.below(4) == 0 ? random.below(3) : 99;
      const bool observed = random.below(3) == 0;
      std::stop_source stop;
      int heard = 0;
      struct Listener : taskmgr::Observer {
        explicit Listener(std::function<void()> f) : then(std::move(f)) {}
        void on_event(const taskmgr::Event&) override { then(); }
        std::function<void()> then;
      } listener{[&] {
        if (heard++ == observer_fails) throw Broken("observer");
      }};
      Manager manager{[&](Context& context, int x) -> int {
                        if (x == stops) stop.request_stop();
                        if (x % 9 == 1) throw std::logic_error("fails");
                        if (x % 9 == 2 && context.attempt() == 1) throw std::runtime_error("again");
                        if (x % 9 == 3 && context.stop_requested()) throw taskmgr::Cancelled{};
                        return x;
                      },
                      {.mode = mode,
                       .workers = 3,
                       .retry = {.max_retries = 1, .base_delay = 1us},
                       .halt = {.failures = random.below(4) == 0 ? 5U : 0U},
                       .on_worker_start = [&](std::size_t worker) {
                         if (worker == worker_fails) throw Broken("worker");
                       }}};
      if (observed) manager.observe(listener);
      int sunk = 0;
      auto run = manager.launch(Source{100,
                                       [&](Source::Step step, int at) {
                                         if (step == Source::Step::read && at == source_fails) throw Broken("source");
                                       },
                                       70},
                                Sink{[&](auto&) {
                                  if (sunk++ == sink_fails) throw Broken("sink");
                                }},
                                stop.get_token());
      const auto& report = run.report();
      CHECK(support::adds_up(report));
      CHECK(report.total == static_cast<std::size_t>(source_fails >= 0 ? source_fails : 100));
      if (sink_fails < 0 || sunk <= sink_fails) CHECK(static_cast<std::size_t>(sunk) == report.total - report.duplicates);
      else CHECK(sunk == sink_fails + 1);
      const bool thrown = source_fails >= 0 || (sink_fails >= 0 && sunk > sink_fails) ||
                          (observed && observer_fails >= 0 && heard > observer_fails);
      bool threw = false;
      try {
        static_cast<void>(run.wait());
      } catch (const Broken&) {
        threw = true;
      }
      if (thrown) CHECK(threw);
      if (!thrown && worker_fails == 99) CHECK(!threw);
    }
  }
}

TEST_CASE("a report of a temporary owns what it shows") {
  for (const Mode mode : support::modes_of_functions) {
    INFO("mode: ", support::name(mode));
    TaskManager manager{[](const std::string& text) { return text + "!"; }, {.mode = mode, .workers = 2}};
    std::vector<std::string> seen;
    for (auto& [task, value] : manager.start({"one", "two"}).success_map()) seen.push_back(std::move(value));
    CHECK(seen == std::vector<std::string>{"one!", "two!"});
    const auto all = manager.start({"one", "two"}).success_map().to<std::unordered_map<std::string, std::string>>();
    CHECK(all.at("two") == "two!");
    auto run = manager.launch({"three"});
    for (const auto& outcome : run.wait().outcomes()) CHECK(outcome.value() == "three!");
  }
}
