// SPDX-License-Identifier: MIT
#include <taskmgr/tree/branch_run.hpp>

#include <taskmgr/tree/branches.hpp>

#include <doctest/doctest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/branches.hpp"
#include "support/build.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/random.hpp"
#include "support/random_tree.hpp"
#include "support/wait.hpp"

using support::name;
using support::numbers;
using support::tree_modes;
using support::tree_modes_in_memory;
using taskmgr::Context;
using taskmgr::Duplicates;
using taskmgr::Mode;
using taskmgr::Options;
using taskmgr::State;
using taskmgr::TaskManager;
using taskmgr::TaskTree;
using taskmgr::TreeMode;
using taskmgr::UsageError;
using namespace support::branches;
using namespace std::chrono_literals;

TEST_CASE("random trees come to what their functions come to, whoever runs them") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  for (int round = 0; round < support::times(80); ++round) {
    CAPTURE(round);
    struct Fault {
      int bad, modulus;
      [[nodiscard]] bool fails(int x) const { return x % modulus == bad; }
    };
    std::vector<Fault> faults;
    const int least_modulus = random.below(2) == 0 ? 3 : 11;  // in some trees much fails
    const auto options = [&](std::size_t k) {
      return Options{.mode = support::modes[random.below(std::size(support::modes))],
                     .workers = 1 + random.below(3),
                     .retry = {.max_retries = 1, .base_delay = 10us},
                     .duplicates = random.below(3) != 0 ? Duplicates::share : Duplicates::run,
                     .name = std::to_string(k)};
    };
    const auto before = [&](std::size_t) {
      const int modulus = least_modulus + random.number(3 * least_modulus);
      const Fault fault{random.number(modulus * 3 / 2), modulus};  // two nodes of three may fail
      faults.push_back(fault);
      return [fault, flaky = random.below(4) == 0](Context& context, int x) {
        if (flaky && context.attempt() == 1 && x % 3 == 0) throw std::runtime_error("again");
        if (fault.fails(x)) throw std::logic_error(std::to_string(x));
      };
    };
    SteppedTree made = random_tree(random, 1 + random.below(8), 50, options, before);
    const TreeMode how = tree_modes[random.below(std::size(tree_modes))];
    made.tree.set_options({.mode = how, .capacity = random.below(3) == 0 ? 1 + random.below(5) : 0});
    std::vector<int> tasks(random.below(150));
    for (int& task : tasks) task = random.number(100);
    CAPTURE(name(how));
    const auto model_of = [&](int task) {
      Model model{made.steps, [&](std::size_t k, int x) { return faults[k].fails(x); }};
      model.run(task);
      return model;
    };

    std::size_t called = 0;
    const auto report = made.tree.start(tasks, [&](auto& outcome) {
      ++called;
      if (outcome.state() != State::succeeded) return;
      CHECK(outcome.value().results(made.nodes.back()) == model_of(outcome.task()).results.back());
    });
    REQUIRE(report.total == tasks.size());
    CHECK(called == report.outcomes().size());
    CHECK(report.cancelled == 0);
    for (std::size_t k = 0; k != tasks.size(); ++k) {
      const Model model = model_of(tasks[k]);
      CAPTURE(tasks[k]);
      REQUIRE(report[k].state() == (model.failures.empty() ? State::succeeded : State::failed));
      if (!model.failures.empty()) {
        CHECK(report[k].error().stage() == std::to_string(model.failures[0].node));
        CHECK(report[k].error().message() == std::to_string(model.failures[0].x));
      }
      for (std::size_t node = 0; node != made.nodes.size(); ++node) {
        CAPTURE(node);
        REQUIRE(report.results(made.nodes[node]).at(tasks[k]) == model.results[node]);
      }
    }
  }
}

TEST_CASE("one task becomes a million items, and a million tasks become one each") {
  const int size = support::times(1'000'000);
  for (const TreeMode how : tree_modes_in_memory) {
    CAPTURE(name(how));
    TaskTree<int> tree;
    const auto root = tree.root(same);
    const auto each = tree.split(root, up_to);
    const auto next = tree.then(each, TaskManager{One{plus(1)}, {.duplicates = Duplicates::run}});
    const auto count = tree.merge(Join{[](Context&, const std::vector<int>& all) { return static_cast<int>(all.size()); }}, next);
    tree.set_mode(how);
    const auto one = tree.start({size});
    REQUIRE(one.ok());
    CHECK(one.results(count).at(size).front() == size);
    CHECK(one.results(next).at(size).back() == size + 1);

    TaskTree<int> line;
    const auto end = line.merge(sum_up, line.then(line.root(same), plus(1)));
    line.set_mode(how);
    const auto many = line.start(numbers(size));
    REQUIRE(many.succeeded == static_cast<std::size_t>(size));
    int wrong = 0;
    for (const auto& [task, results] : many.results(end)) wrong += results.size() == 1 && results[0] == task + 1 ? 0 : 1;
    CHECK(wrong == 0);
  }
}

TEST_CASE("a run with branches is cancelled at any moment, and every task has an outcome") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  for (const TreeMode how : tree_modes) {
    for (int round = 0; round < support::times(40); ++round) {
      CAPTURE(name(how));
      TaskTree<int> tree;
      const auto mode = [&] { return support::modes_of_functions[random.below(support::modes_of_functions.size())]; };
      const One slow = [](Context& context, int x) {
        for (int n = 0; n < x % 5 && !context.stop_requested(); ++n) std::this_thread::sleep_for(20us);
        return x;
      };
      const auto each = tree.split(tree.root(TaskManager{slow, {.mode = mode(), .workers = 2}}), Many{[](Context&, int x) { return std::vector{x, x + 1000, x % 10}; }});
      const auto more = tree.then(each, TaskManager{slow, {.mode = mode(), .workers = 1 + random.below(3)}});
      const auto total = tree.merge(TaskManager{sum_of_both, {.mode = mode(), .workers = 2}}, more, each);
      tree.set_options({.mode = how, .capacity = random.below(2) * 3});
      std::size_t heard = 0;
      {
        auto run = tree.launch(numbers(200), [&](auto&) { ++heard; });
        std::this_thread::sleep_for(std::chrono::microseconds(random.below(5000)));
        CHECK_THROWS_AS(static_cast<void>(tree.then(each, same)), UsageError);
        switch (random.below(3)) {
          case 0:
            run.cancel();
            {
              const auto report = run.wait();
              CHECK(report.succeeded + report.cancelled == 200);
              for (const auto& [task, results] : report.results(total)) {
                const auto state = report[static_cast<std::size_t>(task)].state();
                if (state == State::succeeded) CHECK(results == std::vector{2 * (task + task + 1000 + task % 10)});
              }
              CHECK(run.progress().succeeded == report.succeeded);
            }
            break;
          case 1: CHECK(run.wait().ok()); break;
          default: break;  // its end cancels it
        }
      }
      CHECK(heard == 200);
    }
  }
}

TEST_CASE("a tree with branches halts, and fails where a stage has no workers") {
  for (const TreeMode how : tree_modes) {
    CAPTURE(name(how));
    TaskTree<int> tree;
    const auto each = tree.split(tree.root(same), Many{[](Context&, int x) { return std::vector{x, x + 1}; }});
    const auto odd = tree.then(each, One{[](Context&, int x) -> int {
                                 if (x % 4 == 1) throw std::runtime_error("one");
                                 return x;
                               }});
    tree.merge(sum_up, odd);
    tree.set_options({.mode = how, .halt = {.failures = 3}});
    const auto report = tree.start(numbers(20'000));
    CHECK(report.failed >= 3);
    CHECK(report.cancelled > 0);
    CHECK(report.total == report.succeeded + report.failed + report.cancelled);

    for (int bad = 0; bad < 3; ++bad) {
      const auto options = [&](int k) {
        Options some{.mode = Mode::thread, .workers = 2};
        if (k == bad) some.on_worker_start = [](std::size_t) { throw std::runtime_error("not today"); };
        return some;
      };
      TaskTree<int> broken;
      const auto parts = broken.split(broken.root(TaskManager{same, options(0)}), TaskManager{up_to, options(1)});
      broken.merge(TaskManager{sum_up, options(2)}, parts);
      broken.set_options({.mode = how, .capacity = 2});
      CHECK_THROWS_WITH_AS(static_cast<void>(broken.start(numbers(100))), "not today", std::runtime_error);
    }
  }
}

#ifndef TASKMGR_TEST_SANITIZED
TEST_CASE("a worker that dies costs one item an attempt") {
  for (const TreeMode how : tree_modes) {
    CAPTURE(name(how));
    TaskTree<int> tree;
    const auto each = tree.split(tree.root(same), up_to);
    const One deadly = [](Context& context, int x) {
      if (x % 10 == 3 && context.attempt() == 1) ::raise(SIGKILL);
      if (x == 8) ::raise(SIGKILL);
      return x;
    };
    const auto risen = tree.then(each, TaskManager{deadly, {.mode = Mode::process, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1ms}, .name = "deadly"}});
    const auto total = tree.merge(sum_up, risen);
    tree.set_mode(how);
    const auto report = tree.start({7, 9, 2});
    CHECK(report.succeeded == 2);
    CHECK(report.results(total).at(7) == std::vector{28});
    CHECK(report.error_map().at(9).kind() == taskmgr::TaskError::Kind::crash);
    CHECK(report.error_map().at(9).stage() == "deadly");
  }
}
#endif

TEST_CASE("a slow node holds the earlier ones back") {
  std::atomic<int> begun{0};
  std::atomic<int> ended{0};
  std::atomic<int> most{0};
  TaskTree<int> tree;
  const auto root = tree.root(One{[&](Context&, int x) {
    const int ahead = ++begun - ended;
    for (int seen = most; ahead > seen && !most.compare_exchange_weak(seen, ahead);) {
    }
    return x;
  }});
  tree.then(tree.then(root, same), One{[&](Context&, int x) {
    std::this_thread::sleep_for(50us);
    ++ended;
    return x;
  }});
  tree.set_options({.mode = TreeMode::pipeline, .capacity = 8});
  CHECK(tree.start(numbers(2000)).ok());
  CHECK(most < 100);  // of 2000: what may wait between the nodes, and what they are at
}

TEST_CASE("each item goes on at once, whichever modes the nodes have") {
  for (const int tiny : {0, 500}) {
    for (const Mode first : support::modes_that_block) {
      for (const Mode second : support::modes_that_block) {
        CAPTURE(tiny);
        CAPTURE(support::name(first));
        CAPTURE(support::name(second));
        support::Counter seen;
        std::atomic<bool> in_time{true};
        TaskTree<int> tree;
        const auto root = tree.root(TaskManager{One{[&](Context&, int x) {  // after so many, each waits for all before it to be through
                                                  if (x >= tiny && !seen.wait_for(x, 20s)) in_time = false;
                                                  return x;
                                                }},
                                                {.mode = first, .workers = 1}});
        tree.then(tree.then(root, same), TaskManager{One{[&](Context&, int x) {
                                                       seen.add();
                                                       return x;
                                                     }},
                                                     {.mode = second, .workers = 1}});
        tree.set_mode(TreeMode::pipeline);
        CHECK(tree.start(numbers(tiny + 20)).ok());
        CHECK(in_time);
      }
    }
  }
}
