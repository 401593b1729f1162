// SPDX-License-Identifier: MIT
#include <taskmgr/tree/task_tree.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <taskmgr/run/awaits.hpp>

#include "support/branches.hpp"
#include "support/build.hpp"
#include "support/folder.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/processes.hpp"
#include "support/random.hpp"
#include "support/recorder.hpp"
#include "support/source.hpp"
#include "support/wait.hpp"

using support::Function;
using support::name;
using support::numbers;
using support::tree_modes;
using support::tree_modes_in_memory;
using taskmgr::Context;
using taskmgr::Duplicates;
using taskmgr::Mode;
using taskmgr::Options;
using taskmgr::State;
using taskmgr::StageMismatch;
using taskmgr::TaskManager;
using taskmgr::TaskTree;
using taskmgr::TreeMode;
using taskmgr::TreeOptions;
using taskmgr::UsageError;
using namespace std::chrono_literals;

static_assert(std::is_nothrow_move_constructible_v<TaskTree<int, int>>);
static_assert(!std::is_copy_constructible_v<TaskTree<int, int>>);

namespace {

using Tree = TaskTree<int, int>;
using support::Sink;
using support::branches::Coroutine;

/// One more stage, in whichever mode.
void add(Tree& tree, Function function, Options options = {}) {
  if (options.mode == Mode::coroutine) tree.add_stage(TaskManager{Coroutine{std::move(function)}, std::move(options)});
  else tree.add_stage(TaskManager<Function>{std::move(function), std::move(options)});
}

/// A tree of these alone.
Tree tree_of(std::vector<std::pair<Function, Options>> stages) {
  Tree tree{TaskManager<Function>{[](Context&, int x) { return x; }}};
  for (auto& [function, options] : stages) add(tree, std::move(function), std::move(options));
  tree.remove_stage(0);
  return tree;
}

const Function halve = [](Context&, int x) { return x / 2; };

struct Half {
  double operator()(double x) const { return x / 2; }
};

Function plus(int n) {
  return [n](Context&, int x) { return x + n; };
}

}  // namespace

TEST_CASE("every two and three modes work together, in every way to run") {
  for (const TreeMode how : tree_modes) {
    for (const Mode first : support::modes) {
      for (const Mode second : support::modes) {
        INFO(name(how), ": ", support::name(first), ", ", support::name(second));
        Tree two = tree_of({{plus(1), {.mode = first, .workers = 2}}, {[](Context&, int x) { return x / 2; }, {.mode = second, .workers = 2}}});
        two.set_mode(how);
        const auto report = two.start(numbers(50));
        REQUIRE(report.succeeded == 50);
        for (const auto& outcome : report.outcomes()) CHECK(outcome.value() == (outcome.task() + 1) / 2);
        for (const Mode third : support::modes) {
          CAPTURE(support::name(third));
          Tree three = tree_of({{plus(1), {.mode = first, .workers = 2}},
                                {[](Context&, int x) {
                                   if (x % 7 == 3) throw std::runtime_error("seven");
                                   return x / 2;
                                 },
                                 {.mode = second, .workers = 2}},
                                {[](Context&, int x) { return x * 3; }, {.mode = third, .workers = 3, .name = "third"}}});
          three.set_mode(how);
          const auto of_three = three.start(numbers(40));
          REQUIRE(of_three.outcomes().size() == 40);
          for (const auto& outcome : of_three.outcomes()) {
            if ((outcome.task() + 1) % 7 == 3) {
              REQUIRE(outcome.state() == State::failed);
              CHECK(outcome.error().message() == "seven");
              CHECK(outcome.error().stage() == "stage 1");
              CHECK(outcome.error().stage_index() == 1);
            } else {
              CHECK(outcome.value() == (outcome.task() + 1) / 2 * 3);
            }
          }
        }
      }
    }
  }
}

TEST_CASE("random chains come to what their functions come to, whoever runs them") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  for (int round = 0; round < support::times(60); ++round) {
    CAPTURE(round);
    struct Step {
      int divide, add, bad, modulus;
    };
    std::vector<Step> steps;
    std::vector<std::pair<Function, Options>> stages;
    const std::size_t length = 1 + random.below(5);
    for (std::size_t k = 0; k < length; ++k) {
      const Step step{1 + random.number(3), random.number(10), random.number(12), 5 + random.number(7)};
      const auto mode = support::modes[random.below(std::size(support::modes))];
      const int flaky = random.number(4);
      steps.push_back(step);
      stages.push_back({[step, flaky](Context& context, int x) {
                          if (flaky == 0 && context.attempt() == 1 && x % 3 == 0) throw std::runtime_error("again");
                          if (x % step.modulus == step.bad) throw std::logic_error("bad");
                          return x / step.divide + step.add;
                        },
                        {.mode = mode,
                         .workers = 1 + random.below(4),
                         .retry = {.max_retries = 1, .base_delay = 10us},
                         .duplicates = random.below(2) == 0 ? Duplicates::share : Duplicates::run}});
    }
    Tree tree = tree_of(std::move(stages));
    const TreeMode how = tree_modes[random.below(std::size(tree_modes))];
    tree.set_options({.mode = how, .capacity = random.below(3) == 0 ? 1 + random.below(5) : 0});
    std::vector<int> tasks(random.below(300));
    for (int& task : tasks) task = random.number(200);
    CAPTURE(name(how));

    std::size_t called = 0;
    const auto report = tree.start(tasks, Sink{[&](auto& outcome) {
      ++called;
      CHECK(outcome.state() != State::cancelled);
    }});
    CHECK(report.total == tasks.size());
    CHECK(called == report.outcomes().size());
    CHECK(report.succeeded + report.failed + report.duplicates == tasks.size());
    for (std::size_t k = 0; k < tasks.size(); ++k) {
      int x = tasks[k];
      std::optional<std::size_t> failed;
      for (std::size_t s = 0; s < steps.size() && !failed; ++s) {
        if (x % steps[s].modulus == steps[s].bad) failed = s;
        else x = x / steps[s].divide + steps[s].add;
      }
      if (failed) {
        REQUIRE(report[k].state() == State::failed);
        CHECK(report[k].error().stage_index() == *failed);
        CHECK(report.error_map().contains(tasks[k]));
      } else {
        REQUIRE(report[k].state() == State::succeeded);
        CHECK(report[k].value() == x);
        CHECK(report.success_map().at(tasks[k]) == x);
      }
    }
  }
}

TEST_CASE("a value that several tasks come to is run once, and is the result of all") {
  for (const TreeMode how : tree_modes_in_memory) {
    CAPTURE(name(how));
    std::atomic<int> calls{0};
    const auto make = [&](Duplicates duplicates) {
      Tree tree = tree_of({{[](Context&, int x) { return x / 10; }, {}},
                           {[&](Context&, int x) {
                              ++calls;
                              if (x == 3) throw std::runtime_error("three");
                              return x * x;
                            },
                            {.mode = Mode::thread, .workers = 2, .duplicates = duplicates}}});
      tree.set_mode(how);
      return tree;
    };
    const auto shared = make(Duplicates::share).start(numbers(100));
    CHECK(calls == 10);
    CHECK(shared.succeeded == 90);
    CHECK(shared.failed == 10);
    for (const auto& outcome : shared.outcomes()) {
      if (outcome.task() / 10 == 3) CHECK(outcome.error().message() == "three");
      else CHECK(outcome.value() == (outcome.task() / 10) * (outcome.task() / 10));
    }
    CHECK(shared.error_map().size() == 10);
    CHECK(shared.success_map().size() == 90);

    calls = 0;
    const auto single = make(Duplicates::run).start(numbers(100));
    CHECK(calls == 100);
    CHECK(single.succeeded == 90);
    CHECK(single.success_map().at(99) == 81);
  }
}

TEST_CASE("a shared result is copied by take, and a result of one's own is moved") {
  const TaskTree texts{halve, [](int x) { return std::string(100, static_cast<char>('a' + x)); }};
  auto report = texts.start({0, 1, 2});
  auto outcomes = report.outcomes();
  CHECK(outcomes[0].take() == std::string(100, 'a'));
  CHECK(outcomes[0].value() == std::string(100, 'a'));
  CHECK(outcomes[1].value() == std::string(100, 'a'));
  CHECK(outcomes[2].take() == std::string(100, 'b'));
  CHECK(outcomes[2].value().empty());
  const auto all = texts.start({0, 1, 2}).success_map().to<std::map<int, std::string>>();
  CHECK(all.at(0) == all.at(1));
  CHECK(all.at(1) == std::string(100, 'a'));

  const TaskTree owners{halve, [](int x) { return std::make_unique<int>(x); }};
  auto owned = owners.start({0, 1, 2});
  CHECK(*owned.success_map().at(1) == 0);
  CHECK_THROWS_AS(static_cast<void>(owned.outcomes()[0].take()), UsageError);
  CHECK(*owned.outcomes()[2].take() == 1);
}

TEST_CASE("a sink hears of each initial task once, of those that share a result as well") {
  for (const TreeMode how : tree_modes) {
    CAPTURE(name(how));
    Tree tree = tree_of({{[](Context&, int x) { return x % 7; }, {}}, {[](Context&, int x) { return x % 3; }, {}}, {plus(5), {}}});
    tree.set_mode(how);
    std::map<int, int> heard;
    const auto report = tree.start(numbers(200), Sink{[&](auto& outcome) {
      CHECK(heard.emplace(outcome.task(), outcome.take()).second);
    }});
    CHECK(heard.size() == 200);
    for (const auto& [task, value] : heard) CHECK(value == task % 7 % 3 + 5);
    CHECK(report.success_map().at(199) == 199 % 7 % 3 + 5);
  }
}

TEST_CASE("what a sink or the source throws comes out at the end, and the rest is run") {
  for (const TreeMode how : tree_modes_in_memory) {
    std::atomic<int> calls{0};
    Tree tree = tree_of({{plus(1), {}}, {[&](Context&, int x) {
                                           ++calls;
                                           return x;
                                         },
                                         {}}});
    tree.set_mode(how);
    CHECK_THROWS_WITH_AS(static_cast<void>(tree.start(numbers(20), Sink{[](auto&) { throw std::runtime_error("sink"); }})), "sink", std::runtime_error);
    CHECK(calls == 20);
    const support::Source source{30, [](support::Source::Step step, int at) {
                                   if (step == support::Source::Step::next && at == 9) throw std::runtime_error("source");
                                 }};
    CHECK_THROWS_WITH_AS(static_cast<void>(tree.start(source)), "source", std::runtime_error);
    CHECK(calls == 30);
  }
}

TEST_CASE("what cannot be copied, or throws when it is moved, goes through a tree") {
  struct Thrower {
    explicit Thrower(int number) : n(number) {}
    Thrower(Thrower&& other) : n(other.n) {
      if (n == 3 && --left == 0) throw std::runtime_error("moved once too often");
    }
    Thrower& operator=(Thrower&&) = delete;
    int n;
    int left = 1000;
  };
  for (const TreeMode how : tree_modes_in_memory) {
    CAPTURE(name(how));
    TaskTree tree{[](const std::unique_ptr<int>& x) { return std::make_unique<int>(*x + 1); },
                  [](const std::unique_ptr<int>& x) { return Thrower{*x}; },
                  [](const Thrower& x) { return std::make_unique<int>(x.n); }};
    tree.set_mode(how);
    std::vector<std::unique_ptr<int>> tasks;
    for (int k = 0; k < 20; ++k) tasks.push_back(std::make_unique<int>(k));
    auto report = tree.start(std::move(tasks));
    CHECK(report.ok());
    for (auto&& outcome : report.outcomes()) CHECK(*outcome.take() == *outcome.task() + 1);
  }
}

TEST_CASE("a result whose move throws on the way to the next stage fails its own task") {
  struct Thrower {
    Thrower(int number, int at) : n(number), left(at) {}
    Thrower(Thrower&& other) : n(other.n), left(other.left - 1) {
      if (n == 3 && left == 0) throw std::runtime_error("moved once too often");
    }
    Thrower& operator=(Thrower&&) = delete;
    int n;
    int left;
  };
  for (const TreeMode how : tree_modes_in_memory) {
    for (const bool timed : {false, true}) {
      for (int at = 1; at < 6; ++at) {
        CAPTURE(at);
        CAPTURE(timed);
        TaskTree tree{TaskManager{[at](int x) { return Thrower{x, at}; }, {.timings = timed}},
                      TaskManager{[](const Thrower& x) { return x.n; }, {.timings = timed}}};
        tree.set_mode(how);
        const auto report = tree.start(numbers(20));
        CHECK(report.cancelled == 0);
        // between the stages; what is not looked at is made where the next one finds it, and that one takes it there
        const int moves = !timed ? 0 : how == TreeMode::serial ? 1 : 2;
        CHECK(report.failed == (at <= moves ? 1 : 0));
        CHECK(report.success_map().contains(4));
      }
    }
  }
}

TEST_CASE("tasks of which only the result is asked for: failures, retries, numbers and counts are those of any others") {
  for (const TreeMode how : tree_modes_in_memory) {
    for (const Duplicates duplicates : {Duplicates::run, Duplicates::share}) {
      CAPTURE(name(how));
      const Options options{.retry = {.max_retries = 1, .base_delay = 1us}, .duplicates = duplicates};
      Tree tree = tree_of({{[](Context& context, int x) {
                              if (x % 1000 == 7 && context.attempt() == 1) throw std::runtime_error("again");
                              if (static_cast<int>(context.number()) != x) throw std::logic_error("another's number");
                              return x + 1;
                            },
                            options},
                           {[](Context&, int x) {
                              if (x % 5000 == 0) throw std::runtime_error("never");
                              return x * 2;
                            },
                            options},
                           {[](Context& context, int x) {
                              if (static_cast<int>(context.number()) != x / 2 - 1) throw std::logic_error("another's number");
                              return -x;
                            },
                            options}});
      tree.set_mode(how);
      const auto report = tree.start(numbers(50'000));
      CHECK(report.succeeded == 49'990);
      CHECK(report.failed == 10);
      CHECK(report.retries == 60);
      for (const auto& outcome : report.outcomes()) {
        if ((outcome.task() + 1) % 5000 == 0) {
          REQUIRE(outcome.state() == State::failed);
          CHECK(outcome.error().stage_index() == 1);
          CHECK(outcome.error().attempts() == 2);
        } else {
          REQUIRE(outcome.value() == -2 * (outcome.task() + 1));
          CHECK(outcome.attempts() == 1);
        }
      }
      const std::vector<taskmgr::StageSummary>& stages = report.stages();
      CHECK(stages[0].progress.started == 50'000);
      CHECK(stages[0].progress.retries == 50);
      CHECK(stages[1].progress.total == 50'000);
      CHECK(stages[1].progress.failed == 10);
      CHECK(stages[2].progress.total == 49'990);
      CHECK(stages[2].progress.succeeded == 49'990);
    }
  }
}

TEST_CASE("functions that return nothing, and conversions between stages") {
  const TaskTree tree{plus(1), Half{}, [](const double&) {}};
  static_assert(std::is_same_v<decltype(tree.start({1})), taskmgr::TreeReport<int, std::monostate>>);
  CHECK(tree.start({1, 2, 3}).succeeded == 3);
  const TaskTree pairs{[](int x) { return std::pair{x, x + 1}; }, [](int a, int b) { return a * b; }};
  CHECK(pairs.start({2, 3}).success_map().at(3) == 12);
  const TaskTree<std::string, std::size_t> generic{[](const auto& text) { return 2 * text.size(); }};
  CHECK(generic.start({"ab", "c"}).success_map().at("ab") == 4);
  const std::vector<const char*> views{"abc"};
  CHECK(generic.start(views).success_map().at("abc") == 6);
}

TEST_CASE("a tree may be a stage, and goes on by itself") {
  Tree inner = tree_of({{plus(1), {.name = "one"}}, {plus(2), {.name = "two"}}});
  const TaskTree outer{inner, TaskManager{plus(-2)}};
  CHECK(outer.size() == 3);
  inner.remove_stage(0);
  CHECK(inner.start({1}).success_map().at(1) == 3);
  CHECK(outer.start({1}).success_map().at(1) == 2);
  const TaskTree moved{std::move(inner), plus(7)};
  CHECK(moved.start({1}).success_map().at(1) == 10);
}

TEST_CASE("a slow stage holds the earlier ones back") {
  for (const std::size_t capacity : {std::size_t{1}, std::size_t{8}}) {
    CAPTURE(capacity);
    std::atomic<int> made{0};
    std::atomic<int> done{0};
    std::atomic<int> most{0};
    Tree tree = tree_of({{[&](Context&, int x) {
                            const int ahead = ++made - done.load();
                            int seen = most.load();
                            while (seen < ahead && !most.compare_exchange_weak(seen, ahead)) {
                            }
                            return x;
                          },
                          {.mode = Mode::thread, .workers = 2}},
                         {plus(0), {}},
                         {[&](Context&, int x) {
                            std::this_thread::sleep_for(200us);
                            ++done;
                            return x;
                          },
                          {}}});
    tree.set_options({.mode = TreeMode::pipeline, .capacity = capacity});
    CHECK(tree.start(numbers(300)).ok());
    // between each two stages so many, what the workers are at, and what each has done and not handed on
    CHECK(most <= static_cast<int>(2 * capacity + 2 * (2 + 1 + 1) + 2));
  }
}

TEST_CASE("a pipeline's stages run at the same time, and each result goes on at once") {
  support::Counter through;
  Tree tree = tree_of({{[&](Context&, int x) {
                          if (x == 1) CHECK(through.wait_for(1, 10s));  // of 0, while the first stage is not done
                          return x;
                        },
                        {.mode = Mode::serial}},
                       {[&](Context&, int x) {
                          through.add();
                          return x;
                        },
                        {}}});
  tree.set_mode(TreeMode::pipeline);
  CHECK(tree.start({0, 1}).ok());
}

TEST_CASE("what was quick does not wait for what is slow, however many go on together") {
  for (const Mode second : support::modes_of_functions) {
    for (const Mode third : support::modes_in_memory) {
      for (const std::size_t workers : {1U, 2U}) {
        CAPTURE(support::name(second));
        CAPTURE(support::name(third));
        CAPTURE(workers);
        const support::Shared<std::atomic<int>> through;
        Tree tree = tree_of({{[](Context&, int x) { return x; }, {.mode = Mode::serial}},
                             {[&](Context&, int x) {
                                if (x >= 3000 && !support::comes_to(through.get(), x, 20s)) throw std::runtime_error("too late");
                                return x;
                              },
                              {.mode = second, .workers = workers}},
                             {[&](Context&, int x) {
                                ++through.get();
                                return x;
                              },
                              {.mode = third, .workers = 2}}});
        tree.set_mode(TreeMode::pipeline);
        CHECK(tree.start(numbers(3040)).ok());
      }
    }
  }
}

TEST_CASE("a run is cancelled in any stage, at any moment, and every task has an outcome") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  for (const TreeMode how : tree_modes) {
    for (int round = 0; round < support::times(40); ++round) {
      CAPTURE(name(how));
      std::vector<std::pair<Function, Options>> stages;
      for (int k = 0; k < 3; ++k) {
        stages.push_back({[](Context& context, int x) {
                            for (int n = 0; n < x % 5 && !context.stop_requested(); ++n) std::this_thread::sleep_for(20us);
                            return x / 2;
                          },
                          {.mode = support::modes[random.below(std::size(support::modes))], .workers = 1 + random.below(3)}});
      }
      Tree tree = tree_of(std::move(stages));
      tree.set_options({.mode = how, .capacity = random.below(2) * 3});
      std::size_t heard = 0;
      {
        auto run = tree.launch(numbers(400), Sink{[&](auto&) { ++heard; }});
        std::this_thread::sleep_for(std::chrono::microseconds(random.below(5000)));
        CHECK_THROWS_AS(tree.set_mode(how), UsageError);
        switch (random.below(3)) {
          case 0:
            run.cancel();
            {
              const auto report = run.wait();
              CHECK(report.succeeded + report.cancelled == 400);
              CHECK(report.failed == 0);
              for (const auto& outcome : report.outcomes()) {
                if (outcome.state() == State::succeeded) CHECK(outcome.value() == outcome.task() / 2 / 2 / 2);
              }
            }
            break;
          case 1: CHECK(run.wait().ok()); break;
          default: break;  // its end cancels it
        }
      }
      CHECK(heard == 400);
      tree.set_mode(how);
    }
  }
}

TEST_CASE("a tree halts at so many failures, and so it does with a stage that halts") {
  for (const TreeMode how : tree_modes) {
    CAPTURE(name(how));
    Tree tree = tree_of({{plus(0), {.mode = Mode::thread, .workers = 2}}, {[](Context&, int x) -> int {
                                                                               if (x % 2 == 0) throw std::runtime_error("even");
                                                                               return x;
                                                                             },
                                                                             {}}});
    tree.set_options({.mode = how, .halt = {.failures = 3}});
    const auto report = tree.start(numbers(10000));
    CHECK(report.failed >= 3);
    CHECK(report.cancelled > 0);
    CHECK(report.total == report.succeeded + report.failed + report.cancelled);

    Tree stage_halts = tree_of({{plus(0), {}}, {[](Context&, int) -> int { throw std::runtime_error("no"); }, {.halt = {.failures = 2}}}, {plus(0), {}}});
    stage_halts.set_mode(how);
    const auto halted = stage_halts.start(numbers(5000));
    CHECK(halted.failed >= 2);
    CHECK(halted.cancelled > 0);
    CHECK(halted.succeeded == 0);
  }
}

TEST_CASE("stages one after the other: what has come through one that halts goes no further, whoever runs or watches it") {
  for (const Mode mode : support::modes) {
    for (const bool watched : {false, true}) {
      CAPTURE(support::name(mode));
      CAPTURE(watched);
      int went_on = 0;
      Tree tree = tree_of({{[](Context&, int x) -> int {
                              if (x == 90) throw std::runtime_error("no");
                              return x;
                            },
                            {.mode = mode, .workers = 1, .halt = {.failures = 1}, .chunk = 1}},
                           {[&went_on](Context&, int x) {
                              ++went_on;
                              return x;
                            },
                            {}}});
      support::Recorder recorder;
      if (watched) tree.observe(recorder);
      const auto report = tree.start(numbers(1000));
      CHECK(report.failed == 1);
      CHECK(report.cancelled == 999);
      CHECK(went_on == 0);
    }
  }
}

TEST_CASE("a stage without workers ends the run with an error, in whichever place") {
  for (const TreeMode how : tree_modes) {
    for (std::size_t bad = 0; bad < 3; ++bad) {
      for (const Mode mode : support::modes_of_functions) {
        CAPTURE(name(how));
        CAPTURE(support::name(mode));
        std::vector<std::pair<Function, Options>> stages;
        for (std::size_t k = 0; k < 3; ++k) {
          Options options{.mode = mode, .workers = 2};
          if (k == bad) options.on_worker_start = [](std::size_t) { throw std::runtime_error("not today"); };
          stages.push_back({plus(1), std::move(options)});
        }
        Tree tree = tree_of(std::move(stages));
        tree.set_options({.mode = how, .capacity = 2});
        CHECK_THROWS_WITH_AS(static_cast<void>(tree.start(numbers(3000))), "not today", std::runtime_error);
      }
    }
  }
}

#ifndef TASKMGR_TEST_SANITIZED
TEST_CASE("a stage's worker that dies costs an attempt") {
  for (const TreeMode how : tree_modes) {
    CAPTURE(name(how));
    Tree tree = tree_of({{plus(1), {.mode = Mode::thread, .workers = 2}},
                         {[](Context& context, int x) {
                            if (x % 10 == 3 && context.attempt() == 1) ::raise(SIGKILL);
                            if (x % 10 == 4) ::raise(SIGKILL);
                            return x * 2;
                          },
                          {.mode = Mode::process, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1ms}, .name = "deadly"}},
                         {plus(1), {}}});
    tree.set_mode(how);
    const auto report = tree.start(numbers(60));
    CHECK(report.failed == 6);
    CHECK(report.succeeded == 54);
    CHECK(report.success_map().at(2) == 7);
    CHECK(report.error_map().at(3).kind() == taskmgr::TaskError::Kind::crash);
    CHECK(report.error_map().at(3).stage() == "deadly");
    CHECK(report.retries == 12);
  }
}

TEST_CASE("what no codec can send is refused before anything runs") {
  struct Odd {
    explicit Odd(void* where) : at(where) {}
    void* at;
  };
  int calls = 0;
  TaskTree tree{[&calls](int x) {
                  ++calls;
                  return Odd{&x};
                },
                [](const Odd&) { return 1; }};
  tree.set_mode(TreeMode::process);
  CHECK_THROWS_AS(static_cast<void>(tree.start({1})), UsageError);
  CHECK(calls == 0);
  tree.set_mode(TreeMode::pipeline);
  CHECK(tree.start({1}).ok());
}
#endif

TEST_CASE("edits change all or nothing") {
  Tree tree = tree_of({{plus(1), {.name = "one"}}, {[](Context&, int x) { return x * 2; }, {.name = "twice"}}});
  CHECK(tree.start({1}).success_map().at(1) == 4);
  tree.insert_stage(1, plus(10));
  CHECK(tree.start({1}).success_map().at(1) == 24);
  tree.replace_stage(1, plus(-5));
  CHECK(tree.start({1}).success_map().at(1) == -6);
  tree.remove_stage(1);

  const TaskManager sizes{[](const std::string& text) { return static_cast<int>(text.size()); }, {.name = "sizes"}};
  const TaskManager words{[](int x) { return std::to_string(x); }, {.name = "words"}};
  const auto message = [&](auto&& edit) {
    try {
      edit();
    } catch (const StageMismatch& mismatch) {
      CHECK(tree.size() == 2);
      CHECK(tree.start({1}).success_map().at(1) == 4);
      return std::string(mismatch.what());
    }
    return std::string();
  };
  CHECK(message([&] { tree.insert_stage(1, sizes); }) == "taskmgr: insert_stage(): \"sizes\" takes std::string, but \"one\" returns int");
  CHECK(message([&] { tree.insert_stage(0, sizes); }) == "taskmgr: insert_stage(): \"sizes\" takes std::string, but the tree is given int");
  CHECK(message([&] { tree.replace_stage(0, words); }) == "taskmgr: replace_stage(): \"twice\" takes int, but \"words\" returns std::string");
  CHECK(message([&] { tree.add_stage(words); }) ==
        "taskmgr: add_stage(): \"words\" would be the last stage and returns std::string, but the tree returns int");
  CHECK_THROWS_AS(tree.insert_stage(3, plus(1)), std::out_of_range);
  CHECK_THROWS_AS(tree.replace_stage(2, plus(1)), std::out_of_range);
  CHECK_THROWS_AS(tree.remove_stage(2), std::out_of_range);
  tree.remove_stage(1);
  CHECK_THROWS_AS(tree.remove_stage(0), UsageError);
  CHECK(tree.start({1}).success_map().at(1) == 2);

  // a stage that was given another type than its signature has, by a conversion, fits again by that
  TaskTree converted{plus(0), Half{}};
  converted.insert_stage(1, [](int x) { return x + 0.5; });
  CHECK(converted.start({1}).success_map().at(1) == 0.75);
  converted.remove_stage(1);
  CHECK(converted.start({1}).success_map().at(1) == 0.5);
}

TEST_CASE("a longer chain has the stages, the options and the observers of the shorter one") {
  Tree tree = tree_of({{plus(1), {}}});
  tree.set_options({.mode = TreeMode::pipeline, .name = "long"});
  auto longer = std::move(tree).then(Half{});
  CHECK(longer.options().name == "long");
  CHECK(longer.start({1}).success_map().at(1) == 1.0);
}

TEST_CASE("a tree in the background: progress, and a report at the end") {
  for (const TreeMode how : tree_modes_in_memory) {
    support::Counter begun;
    std::atomic<bool> go{false};
    Tree tree = tree_of({{plus(1), {}}, {[&](Context&, int x) {
                                           begun.add();
                                           while (!go.load()) std::this_thread::sleep_for(100us);
                                           return x;
                                         },
                                         {.mode = Mode::thread, .workers = 2}}});
    tree.set_mode(how);
    auto run = tree.launch(numbers(10), Sink{[](auto&) {}});
    begun.wait_for(2);
    CHECK(!run.done());
    CHECK(run.progress().total == 10);
    CHECK(run.progress().succeeded < 10);
    CHECK_THROWS_AS(tree.add_stage(plus(1)), UsageError);
    go = true;
    CHECK(run.wait().succeeded == 10);
    CHECK(run.progress().succeeded == 10);
    CHECK(run.done());
  }
}

TEST_CASE("a tree waits for its runs, and a run that has ended needs neither its tree nor the managers") {
  std::atomic<int> calls{0};
  std::optional<taskmgr::Run<int, int, taskmgr::TreeReport<int, int>>> run;
  {
    TaskManager<Function> slow{[&](Context&, int x) {
      std::this_thread::sleep_for(1ms);
      ++calls;
      return x;
    }};
    {
      const TaskTree tree{plus(1), slow};
      run = tree.launch(numbers(10));
    }
    CHECK(calls == 10);
    CHECK(run->wait().succeeded == 10);
    slow.observe(std::make_shared<taskmgr::ProgressBar>());
  }
  CHECK(run->progress().succeeded == 10);
  run.reset();
}

TEST_CASE("a coroutine awaits a tree, and to stop it cancels that") {
  Tree tree = tree_of({{plus(1), {.mode = Mode::coroutine}}, {plus(2), {.mode = Mode::thread, .workers = 2}}});
  for (const TreeMode how : tree_modes) {
    tree.set_mode(how);
    const auto outer = [&]() -> taskmgr::Async<int> {
      auto pending = tree.start_async(numbers(10));
      auto report = co_await pending;
      co_return report.success_map().at(9);
    };
    CHECK(taskmgr::run(outer()) == 12);
  }
}

TEST_CASE("a run that is awaited is that of the tree as it is then, which is looked at again") {
  const auto in_two = [](int x) { return std::pair<int, int*>(x, nullptr); };
  TaskTree tree{in_two, [](const std::pair<int, int*>& both) { return both.first; }};
  auto refused = tree.start_async({1, 2, 3});
  auto runs = tree.start_async({1, 2, 3});
  tree.set_mode(TreeMode::process);
  CHECK_THROWS_AS(static_cast<void>(taskmgr::run(std::move(refused))), UsageError);
  tree.set_mode(TreeMode::serial);
  tree.add_stage([](int x) { return 10 * x; });
  CHECK(taskmgr::run(std::move(runs)).success_map().at(3) == 30);
}

TEST_CASE("observers of a tree hear of every stage by its name") {
  struct Names : taskmgr::Observer {
    void on_event(const taskmgr::Event& event) override {
      ++heard[{std::string(event.manager), std::string(event.stage)}][event.kind];
      if (event.kind == taskmgr::EventKind::task_succeeded) numbers_.insert(event.task);
    }
    std::map<std::pair<std::string, std::string>, std::map<taskmgr::EventKind, int>> heard;
    std::set<std::uint64_t> numbers_;
  };
  for (const TreeMode how : tree_modes) {
    Names names;
    Tree tree = tree_of({{plus(1), {.name = "first"}}, {[](Context&, int x) { return x / 2; }, {}}, {plus(1), {}}});
    tree.set_mode(how);
    tree.observe(names);
    CHECK(tree.start({4, 4, 5, 7}).ok());
    using taskmgr::EventKind;
    CHECK(names.heard.size() == 3);
    CHECK(names.heard[{"first", "first"}][EventKind::task_succeeded] == 3);
    CHECK(names.heard[{"stage 1", "stage 1"}][EventKind::task_succeeded] == 3);
    CHECK(names.heard[{"stage 2", "stage 2"}][EventKind::task_succeeded] == 3);
    for (auto& [who, kinds] : names.heard) {
      CHECK(kinds[EventKind::batch_started] == 1);
      CHECK(kinds[EventKind::batch_finished] == 1);
    }
    CHECK(names.numbers_ == std::set<std::uint64_t>{0, 2, 3});  // the numbers of the initial tasks in their source
  }
}

TEST_CASE("a manager that is borrowed serves several stages, trees and threads at once") {
  const TaskManager one{plus(1), {.mode = Mode::thread, .workers = 2}};
  Tree tree{one, one, one};
  tree.set_mode(TreeMode::pipeline);
  std::vector<std::jthread> threads;
  for (int k = 0; k < 4; ++k) {
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round) CHECK(tree.start(numbers(200)).success_map().at(199) == 202);
    });
  }
  threads.clear();
  CHECK(one.start({1}).success_map().at(1) == 2);
}

TEST_CASE("options of a tree that cannot be are refused by their names") {
  Tree tree = tree_of({{plus(1), {}}});
  CHECK_THROWS_WITH_AS(tree.set_options({.halt = {.failure_ratio = 2}}), "taskmgr: TreeOptions::halt.failure_ratio must be in [0, 1], but is 2",
                       std::invalid_argument);
  CHECK(tree.start({}).total == 0);
  for (const TreeMode how : tree_modes) CHECK(tree.set_mode(how).start(std::vector<int>{}).ok());
}

TEST_CASE("the report knows what each stage has done, and drawings say it") {
  const TaskTree tree = [] {
    Tree made = tree_of({{plus(1), {.name = "first"}},
                         {[](Context&, int x) {
                            if (x == 3) throw std::runtime_error("three");
                            std::this_thread::sleep_for(1ms);
                            return x / 2;
                          },
                          {.mode = Mode::thread, .workers = 2, .name = "the \"second\"", .timings = true}},
                         {plus(1), {}}});
    made.set_mode(TreeMode::pipeline);
    return made;
  }();
  const auto report = tree.start(numbers(10));
  REQUIRE(report.stages().size() == 3);
  CHECK(report.stages()[1].name == "the \"second\"");
  CHECK(report.stages()[1].progress.total == 10);
  CHECK(report.stages()[1].progress.failed == 1);
  CHECK(report.stages()[1].running >= 9ms);
  CHECK(report.stages()[2].progress.total == 6);  // two by two they come to one value
  CHECK(tree.to_text() == "tree\n-> first\n  -> the \"second\"\n    -> stage 2\n");
  CHECK(tree.to_text(report).find("  -> the \"second\": 10 in, 9 out, 1 failed, ") != std::string::npos);
  CHECK(tree.to_text(report).find(" ms (the slowest)\n    -> stage 2: 6 in, 6 out\n") != std::string::npos);
  CHECK(tree.to_dot() == "digraph \"tree\" {\n  rankdir=LR;\n  node [shape=box];\n  s0 [label=\"first\"];\n"
                         "  s1 [label=\"the \\\"second\\\"\"];\n  s0 -> s1;\n  s2 [label=\"stage 2\"];\n  s1 -> s2;\n}\n");
  CHECK(tree.to_dot(report).find("style=bold, color=red") != std::string::npos);
  CHECK(tree.to_mermaid() == "flowchart LR\n  s0[\"first\"]\n  s1[\"the #34;second#34;\"]\n  s0 --> s1\n  s2[\"stage 2\"]\n  s1 --> s2\n");
  CHECK(tree.to_mermaid(report).find("10 in, 9 out") != std::string::npos);
}

TEST_CASE("a name disturbs no terminal that a tree is drawn on") {
  TaskTree tree{TaskManager{plus(1), {.name = "one\nline \x1b[31m"}}};
  tree.set_options({.name = "a\ttree"});
  CHECK(tree.to_text() == "a tree\n-> one line \n");
}

TEST_CASE("a stream makes of what its source gives what the first stage takes") {
  const TaskTree lengths{[](const std::string& text) { return text.size(); }, [](std::size_t size) { return size + 1; }};
  std::vector<std::size_t> seen;
  for (auto&& outcome : lengths.stream(std::vector<const char*>{"a", "bc"}, {.ordered = true})) {
    seen.push_back(outcome.value() * 10 + outcome.task().size());
  }
  CHECK(seen == std::vector<std::size_t>{21, 32});
  int sum = 0;
  const TaskTree halves{halve};
  for (auto&& outcome : halves.stream(std::vector<short>{4, 6})) sum += outcome.value();
  CHECK(sum == 5);
}

TEST_CASE("a stream through a tree: any order or the source's, from a source without an end") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  for (const TreeMode how : tree_modes) {
    for (const Mode mode : support::modes) {
      CAPTURE(name(how));
      CAPTURE(support::name(mode));
      Tree tree = tree_of({{plus(1), {.mode = mode, .workers = 2}},
                           {[](Context&, int x) {
                              if (x % 10 == 3) throw std::runtime_error("three");
                              return x / 2;
                            },
                            {.mode = support::modes[random.below(std::size(support::modes))], .workers = 2, .name = "second"}}});
      tree.set_mode(how);
      int next = 0;
      const support::Source endless{support::Source::endless};
      for (const auto& outcome : tree.stream(endless, {.ordered = true, .window = random.below(2) * 7})) {
        REQUIRE(outcome.task() == next++);
        if ((outcome.task() + 1) % 10 == 3) {
          CHECK(outcome.error().stage() == "second");
          CHECK(outcome.error().stage_index() == 1);
        } else {
          CHECK(outcome.value() == (outcome.task() + 1) / 2);
        }
        if (next == 500) break;
      }
      std::vector<int> seen;
      for (auto& outcome : tree.stream({5, 1, 1, 4})) seen.push_back(outcome.take());
      std::sort(seen.begin(), seen.end());
      CHECK(seen == std::vector<int>{1, 1, 2, 3});
    }
  }
}

TEST_CASE("a stream holds its source back while nobody walks on, and ends where it is left or stopped") {
  support::Counter read;
  const support::Source source{support::Source::endless, [&](support::Source::Step step, int) {
                                 if (step == support::Source::Step::read) read.add();
                               }};
  Tree tree = tree_of({{plus(1), {.mode = Mode::thread, .workers = 2}}, {plus(1), {}}});
  {
    auto stream = tree.stream(source, {.window = 20});
    auto at = stream.begin();
    CHECK((*at).value() == (*at).task() + 2);
    std::this_thread::sleep_for(5ms);
    CHECK(read.value() <= 20);
    CHECK_THROWS_AS(tree.set_mode(TreeMode::pipeline), UsageError);
  }
  std::stop_source stop;
  int cancelled = 0;
  int all = 0;
  for (const auto& outcome : tree.stream(source, {.window = 30}, stop.get_token())) {
    if (++all == 50) stop.request_stop();
    cancelled += outcome.state() == State::cancelled ? 1 : 0;
  }
  CHECK(all >= 50);
  CHECK(all <= 50 + 30);
  CHECK(cancelled <= 30);

  const support::Source broken{100, [](support::Source::Step step, int at) {
                                 if (step == support::Source::Step::next && at == 49) throw std::runtime_error("source");
                               }};
  int walked = 0;
  const auto walk = [&](auto&& stream) {
    walked = 0;
    for (const auto& outcome : stream) {
      static_cast<void>(outcome);
      ++walked;
    }
  };
  CHECK_THROWS_WITH_AS(walk(tree.stream(broken)), "source", std::runtime_error);
  CHECK(walked == 50);

  Tree failing = tree_of({{plus(1), {}}, {[](Context&, int) -> int { throw std::runtime_error("no"); }, {}}});
  failing.set_options({.halt = {.failures = 5}});
  walk(failing.stream(support::Source{support::Source::endless}));
  CHECK(walked >= 5);
  Options unready{.mode = Mode::thread, .workers = 2};
  unready.on_worker_start = [](std::size_t) { throw std::runtime_error("not today"); };
  Tree dead = tree_of({{plus(1), {}}, {plus(1), std::move(unready)}});
  CHECK_THROWS_WITH_AS(walk(dead.stream(support::Source{support::Source::endless})), "not today", std::runtime_error);
}

#ifndef TASKMGR_TEST_SANITIZED
TEST_CASE("ten million tasks stream through a slow last stage in flat memory") {
  const auto resident = [] {
    std::ifstream statm("/proc/self/statm");
    std::size_t size = 0;
    std::size_t pages = 0;
    statm >> size >> pages;
    return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  };
  constexpr int count = 10'000'000;
  struct Slow {
    std::uint64_t operator()(int x) const {
      auto word = static_cast<std::uint64_t>(x);
      for (int k = 0; k < 50; ++k) word = word * 6364136223846793005U + 1;
      return word | 1U;
    }
  };
  const TaskTree tree{[](int x) { return x + 1; }, Slow{}};
  int seen = 0;
  std::int64_t numbers = 0;
  std::size_t early = 0;
  std::size_t most = 0;
  for (auto&& outcome : tree.stream(support::Source(count))) {
    numbers += outcome.task();
    if (++seen == 100'000) early = resident();
    if (seen % 1'000'000 == 0) most = std::max(most, resident());
  }
  CHECK(seen == count);
  CHECK(numbers == std::int64_t{count} * (count - 1) / 2);
  CHECK(most < early + (std::size_t{8} << 20U));
}
#endif

TEST_CASE("outcomes that are copied out of a stream of a tree live on") {
  std::optional<taskmgr::Outcome<int, int>> kept;
  {
    Tree tree = tree_of({{plus(1), {}}, {plus(1), {}}});
    for (const auto& outcome : tree.stream({1, 2, 3}, {.ordered = true, .window = 1})) {
      if (outcome.task() == 2) kept = outcome;
    }
  }
  REQUIRE(kept);
  CHECK(kept->task() == 2);
  CHECK(kept->value() == 4);
}

TEST_CASE("the way of each initial task is recorded where that is asked for") {
  for (const TreeMode how : tree_modes) {
    CAPTURE(name(how));
    Tree tree = tree_of({{[](Context&, int x) { return x / 2; }, {.name = "halve"}},
                         {[](Context& context, int x) {
                            if (x == 2 && context.attempt() == 1) throw std::runtime_error("again");
                            if (x == 3) throw std::runtime_error("never");
                            return x / 2;
                          },
                          {.mode = Mode::thread, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1us}}},
                         {plus(1), {.name = "last"}}});
    CHECK_THROWS_AS(static_cast<void>(tree.start({1}).trace(1)), UsageError);
    tree.set_options({.mode = how, .trace = true});
    const auto report = tree.start({4, 4, 5, 6, 2, 9});
    CHECK(report.failed == 1);
    const auto way = report.trace(4);
    REQUIRE(way.size() == 3);
    CHECK(way[0].stage == "halve");
    CHECK(way[0].task_text == "4");
    CHECK(way[0].attempts == 1);
    CHECK(way[1].stage == "stage 1");
    CHECK(way[1].stage_index == 1);
    CHECK(way[1].task_text == "2");
    CHECK(way[1].attempts == 2);
    CHECK(way[1].state == State::succeeded);
    CHECK(way[2].task_text == "1");
    for (std::size_t k = 0; k < 3; ++k) {
      CHECK(way[k].queued <= way[k].started);
      CHECK(way[k].started <= way[k].finished);
      if (k != 0) CHECK(way[k].queued == way[k - 1].finished);
    }
    // 5 is one with 4 from the second stage on; 9 never is
    const auto joined = report.trace(5);
    REQUIRE(joined.size() == 3);
    CHECK(joined[0].task_text == "5");
    CHECK(joined[1].started == way[1].started);
    const auto later = report.trace(9);
    REQUIRE(later.size() == 3);
    CHECK(later[1].task_text == "4");
    CHECK(later[2].task_text == "2");
    const auto failed = report.trace(6);
    REQUIRE(failed.size() == 2);
    CHECK(failed[1].state == State::failed);
    CHECK(report.trace(2).size() == 3);
    CHECK_THROWS_AS(static_cast<void>(report.trace(77)), std::out_of_range);
  }
}

TEST_CASE("a stop token ends every kind of run, given in place of a sink as well") {
  std::stop_source stopped;
  stopped.request_stop();
  const std::stop_token stop = stopped.get_token();
  for (const TreeMode how : tree_modes) {
    CAPTURE(name(how));
    Tree tree = tree_of({{plus(1), {}}, {plus(1), {.mode = Mode::thread, .workers = 2}}});
    tree.set_mode(how);
    CHECK(tree.start({1, 2, 3}, stop).cancelled == 3);
    CHECK(tree.start(numbers(3), stop).cancelled == 3);
    CHECK(tree.launch({1, 2, 3}, stop).wait().cancelled == 3);
    CHECK(tree.launch(numbers(3), stop).wait().cancelled == 3);
    CHECK(taskmgr::run(tree.start_async({1, 2, 3}, stop)).cancelled == 3);
    CHECK(taskmgr::run(tree.start_async(numbers(3), stop)).cancelled == 3);
  }
}

TEST_CASE("each stage has a bar of its own where they are asked for, whose total is what came to it") {
  const support::TemporaryFolder folder;
  const auto path = folder.path() / "stderr";
  const int before = ::dup(STDERR_FILENO);
  REQUIRE(before >= 0);
  for (const TreeMode how : tree_modes) {
    CAPTURE(name(how));
    Tree tree = tree_of({{[](Context&, int x) -> int {
                            if (x == 3) throw std::runtime_error("three");
                            return x;
                          },
                          {.name = "first"}},
                         {plus(1), {.mode = Mode::thread, .workers = 2, .name = "second"}}});
    tree.set_options({.mode = how, .show_progress = true});
    const int file = ::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    REQUIRE(file >= 0);
    ::dup2(file, STDERR_FILENO);
    ::close(file);
    const std::size_t succeeded = tree.start(numbers(10)).succeeded;
    ::dup2(before, STDERR_FILENO);
    CHECK(succeeded == 9);
    const std::string shown = support::contents_of(path);
    CHECK(shown.find("first: 100% 10/10") != std::string::npos);
    CHECK(shown.find("second: 100% 9/9") != std::string::npos);
  }
  ::close(before);
}
