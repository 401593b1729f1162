// SPDX-License-Identifier: MIT
#include <taskmgr/tree/branches.hpp>

#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <taskmgr/run/awaits.hpp>

#include "support/build.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/random.hpp"
#include "support/source.hpp"
#include "support/wait.hpp"

using support::numbers;
using taskmgr::Branches;
using taskmgr::Context;
using taskmgr::Duplicates;
using taskmgr::Mode;
using taskmgr::Node;
using taskmgr::Options;
using taskmgr::State;
using taskmgr::TaskManager;
using taskmgr::TaskTree;
using taskmgr::TreeMode;
using taskmgr::UsageError;
using namespace std::chrono_literals;

static_assert(std::is_nothrow_move_constructible_v<TaskTree<int>>);
static_assert(!std::is_copy_constructible_v<TaskTree<int>>);
static_assert(std::random_access_iterator<taskmgr::NodeResults<int>::iterator>);

namespace {

#ifdef TASKMGR_TEST_SANITIZED
constexpr TreeMode tree_modes[] = {TreeMode::serial, TreeMode::pipeline};
#else
constexpr TreeMode tree_modes[] = {TreeMode::serial, TreeMode::pipeline, TreeMode::process};
#endif
constexpr TreeMode tree_modes_in_memory[] = {TreeMode::serial, TreeMode::pipeline};

std::string name(TreeMode mode) {
  switch (mode) {
    case TreeMode::serial: return "serial";
    case TreeMode::pipeline: return "pipeline";
    case TreeMode::process: return "process";
  }
  return "unknown";
}

// Few types of functions, so that few stages are compiled.
using One = std::function<int(Context&, int)>;
using Many = std::function<std::vector<int>(Context&, int)>;
struct Even {
  int n;
};
struct Odd {
  int n;
};
using Kind = std::variant<Even, Odd>;
using Sort = std::function<Kind(Context&, int)>;
using Join = std::function<int(const std::vector<int>&)>;
using JoinTwo = std::function<int(const std::vector<int>&, const std::vector<int>&)>;

struct Coroutine {
  One function;
  taskmgr::Async<int> operator()(Context& context, int x) const { co_return function(context, x); }
};

const One same = [](Context&, int x) { return x; };
One plus(int n) {
  return [n](Context&, int x) { return x + n; };
}
const Many up_to = [](Context&, int n) {
  std::vector<int> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 1);
  return all;
};
const Sort by_parity = [](Context&, int n) -> Kind {
  if (n % 2 == 0) return Even{n};
  return Odd{n};
};
int sum(const std::vector<int>& all) { return std::accumulate(all.begin(), all.end(), 0); }
const Join sum_up = [](const std::vector<int>& all) { return sum(all); };
const JoinTwo sum_of_both = [](const std::vector<int>& a, const std::vector<int>& b) { return sum(a) + sum(b); };
/// Tells orders apart.
int digest(const std::vector<int>& all) {
  unsigned word = 17;
  for (const int x : all) word = word * 31 + static_cast<unsigned>(x);
  return static_cast<int>(word % 1000);
}

/// One node of a random tree, and what it is to do.
struct Step {
  enum class Kind { one, many, route, merge, merge_two } kind;
  std::size_t from = 0;
  std::size_t and_from = 0;
  int bad = 0;
  int modulus = 1;
  int shift = 0;

  [[nodiscard]] bool fails(int x) const { return x % modulus == bad; }
  [[nodiscard]] std::size_t count(int x) const { return static_cast<std::size_t>((x + shift) % 4); }
};

/// What a random tree makes of one initial task: by plain loops.
class Model {
 public:
  explicit Model(const std::vector<Step>& steps) : steps_(steps), results(steps.size()), failed_(steps.size()) {}

  void run(int x) {
    visit(0, x);
    for (std::size_t rank = 1; rank <= steps_.size(); ++rank) {
      for (std::size_t k = 0; k != steps_.size(); ++k) {
        const Step& step = steps_[k];
        if (!merges(step) || this->rank(k) != rank) continue;
        if (failed_on_way(step.from) || (step.kind == Step::Kind::merge_two && failed_on_way(step.and_from))) {
          failed_[k] = true;
          continue;
        }
        int merged = digest(results[step.from]);
        if (step.kind == Step::Kind::merge_two) merged = (merged * 7 + digest(results[step.and_from])) % 1000;
        made(k, merged);
      }
    }
  }

  std::optional<std::size_t> error;  // the node of the first

 private:
  const std::vector<Step>& steps_;

 public:
  std::vector<std::vector<int>> results;

 private:
  static bool merges(const Step& step) { return step.kind == Step::Kind::merge || step.kind == Step::Kind::merge_two; }
  [[nodiscard]] std::size_t rank(std::size_t k) const {
    const Step& step = steps_[k];
    if (k == 0) return 0;
    if (!merges(step)) return rank(step.from);
    return 1 + (step.kind == Step::Kind::merge_two ? std::max(rank(step.from), rank(step.and_from)) : rank(step.from));
  }
  [[nodiscard]] bool failed_on_way(std::size_t k) const {
    for (;; k = steps_[k].from) {
      if (failed_[k]) return true;
      if (k == 0 || merges(steps_[k])) return false;
    }
  }
  void visit(std::size_t k, int x) {
    const Step& step = steps_[k];
    if (step.fails(x)) {
      failed_[k] = true;
      if (!error) error = k;
      return;
    }
    if (step.kind == Step::Kind::many) {
      for (std::size_t n = 0; n != step.count(x); ++n) made(k, x + static_cast<int>(n) % 2);
    } else if (step.kind == Step::Kind::route) {
      if (x % 2 == 0) made(k, x);
    } else {
      made(k, (x * 3 + step.shift) % 50);
    }
  }
  void made(std::size_t k, int value) {
    results[k].push_back(value);
    for (std::size_t next = k + 1; next < steps_.size(); ++next) {
      if (steps_[next].from == k && !merges(steps_[next])) visit(next, value);
    }
  }
  std::vector<bool> failed_;
};

}  // namespace

TEST_CASE("random trees come to what their functions come to, whoever runs them") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  for (int round = 0; round < support::times(80); ++round) {
    CAPTURE(round);
    TaskTree<int> tree{"random"};
    std::vector<Step> steps;
    std::vector<Node<int>> nodes;
    const auto options = [&] {
      return Options{.mode = support::modes_of_functions[random.below(support::modes_of_functions.size())],
                     .workers = 1 + random.below(3),
                     .retry = {.max_retries = 1, .base_delay = 10us},
                     .duplicates = random.below(3) != 0 ? Duplicates::share : Duplicates::run};
    };
    const std::size_t size = 1 + random.below(8);
    for (std::size_t k = 0; k != size; ++k) {
      Step step{Step::Kind::one, k != 0 ? random.below(k) : 0, 0, random.number(40), 11 + random.number(30), random.number(9)};
      const bool flaky = random.below(4) == 0;
      const auto check = [step, flaky](Context& context, int x) {
        if (flaky && context.attempt() == 1 && x % 3 == 0) throw std::runtime_error("again");
        if (step.fails(x)) throw std::logic_error("bad");
      };
      const One one = [step, check](Context& context, int x) {
        check(context, x);
        return (x * 3 + step.shift) % 50;
      };
      if (k == 0) {
        nodes.push_back(tree.root(TaskManager{one, options()}));
      } else {
        step.kind = static_cast<Step::Kind>(random.below(5));
        const Node<int> from = nodes[step.from];
        switch (step.kind) {
          case Step::Kind::one:
            if (random.below(4) == 0) nodes.push_back(tree.then(from, TaskManager{Coroutine{one}, {.mode = Mode::coroutine, .retry = {.max_retries = 1, .base_delay = 10us}}}));
            else nodes.push_back(tree.then(from, TaskManager{one, options()}));
            break;
          case Step::Kind::many:
            nodes.push_back(tree.split(from, TaskManager{Many{[step, check](Context& context, int x) {
                                                           check(context, x);
                                                           std::vector<int> all;
                                                           for (std::size_t n = 0; n != step.count(x); ++n) all.push_back(x + static_cast<int>(n) % 2);
                                                           return all;
                                                         }},
                                                         options()}));
            break;
          case Step::Kind::route: {
            const auto kinds = tree.route(from, TaskManager{Sort{[check](Context& context, int x) -> Kind {
                                                              check(context, x);
                                                              return by_parity(context, x);
                                                            }},
                                                            options()});
            nodes.push_back(tree.then(kinds.get<Even>(), [](Even even) { return even.n; }));
            break;
          }
          case Step::Kind::merge: nodes.push_back(tree.merge(TaskManager{Join{digest}, options()}, from)); break;
          case Step::Kind::merge_two:
            step.and_from = random.below(k);
            nodes.push_back(tree.merge(TaskManager{JoinTwo{[](const std::vector<int>& a, const std::vector<int>& b) {
                                                     return (digest(a) * 7 + digest(b)) % 1000;
                                                   }},
                                                   options()},
                                       from, nodes[step.and_from]));
            break;
        }
      }
      steps.push_back(step);
    }
    const TreeMode how = tree_modes[random.below(std::size(tree_modes))];
    tree.set_options({.mode = how, .capacity = random.below(3) == 0 ? 1 + random.below(5) : 0});
    std::vector<int> tasks(random.below(150));
    for (int& task : tasks) task = random.number(100);
    CAPTURE(name(how));

    std::size_t called = 0;
    const auto report = tree.start(tasks, [&](auto& outcome) {
      ++called;
      if (outcome.state() != State::succeeded) return;
      Model model{steps};
      model.run(outcome.task());
      CHECK(outcome.value().results(nodes.back()) == model.results.back());
    });
    REQUIRE(report.total == tasks.size());
    CHECK(called == report.outcomes().size());
    CHECK(report.cancelled == 0);
    for (std::size_t k = 0; k != tasks.size(); ++k) {
      Model model{steps};
      model.run(tasks[k]);
      CAPTURE(tasks[k]);
      REQUIRE(report[k].state() == (model.error ? State::failed : State::succeeded));
      if (model.error) CHECK(report[k].error().message() == "bad");
      for (std::size_t node = 0; node != nodes.size(); ++node) {
        CAPTURE(node);
        REQUIRE(report.results(nodes[node]).at(tasks[k]) == model.results[node]);
      }
    }
  }
}

TEST_CASE("an initial task has the error of its first item that failed, in split order, and of that stage") {
  for (const TreeMode how : tree_modes) {
    CAPTURE(name(how));
    TaskTree<int> tree;
    const auto root = tree.root(same);
    const auto each = tree.split(root, up_to);
    const One fails_late = [](Context&, int x) {
      if (x == 2) std::this_thread::sleep_for(20ms);
      if (x >= 2) throw std::runtime_error(std::to_string(x));
      return x;
    };
    const auto checked = tree.then(each, TaskManager{fails_late, {.mode = Mode::thread, .workers = 4, .name = "checked"}});
    const auto merged = tree.merge(sum_up, checked);
    const auto others = tree.merge(sum_up, each);
    tree.set_mode(how);
    const auto report = tree.start({4, 1, 3});
    CHECK(report.failed == 2);
    CHECK(report.error_map().at(4).message() == "2");
    CHECK(report.error_map().at(4).stage() == "checked");
    CHECK(report.error_map().at(4).stage_index() == 2);
    CHECK(report.results(merged).at(4).empty());
    CHECK(report.results(merged).at(1).front() == 1);
    CHECK(report.results(others).at(4) == std::vector{10});  // nothing on its way failed
    CHECK(report.results(checked).at(4) == std::vector{1});
    CHECK_THROWS_WITH(report.throw_if_failed(), "2");
  }
}

TEST_CASE("items that are equal are run once, and are the result of all who wait for them") {
  for (const TreeMode how : tree_modes_in_memory) {
    CAPTURE(name(how));
    std::atomic<int> calls{0};
    TaskTree<int> tree;
    const auto each = tree.split(tree.root(same), up_to);
    const One slow = [&calls](Context&, int x) {
      ++calls;
      std::this_thread::sleep_for(1ms);
      if (x == 5) throw std::runtime_error("five");
      return 10 * x;
    };
    const auto tens = tree.then(each, TaskManager{slow, {.mode = Mode::thread, .workers = 3}});
    const auto deeper = tree.split(tens, Many{[](Context&, int x) { return std::vector{x, x, x + 1}; }});
    const auto last = tree.then(deeper, plus(1));
    const auto total = tree.merge(sum_up, last);
    tree.set_mode(how);
    const auto report = tree.start(numbers(8));
    CHECK(calls == 7);
    CHECK(report.succeeded == 5);
    CHECK(report.failed == 3);
    for (int n = 0; n < 5; ++n) {
      std::vector<int> expected;
      for (int x = 1; x <= n; ++x) expected.insert(expected.end(), {10 * x + 1, 10 * x + 1, 10 * x + 2});
      CHECK(report.results(last).at(n) == expected);
      CHECK(report.results(total).at(n).front() == sum(expected));
    }
    for (int n = 5; n < 8; ++n) CHECK(report.error_map().at(n).message() == "five");
    CHECK(report.stages()[2].progress.total == 7);
  }
}

TEST_CASE("equal items keep their number and order where they are run each by itself") {
  std::atomic<int> calls{0};
  TaskTree<int> tree;
  const auto each = tree.split(tree.root(same), Many{[](Context&, int n) { return std::vector<int>(static_cast<std::size_t>(n), 7); }});
  const auto counted = tree.then(each, TaskManager{One{[&calls](Context&, int x) { return x + 0 * ++calls; }}, {.duplicates = Duplicates::run}});
  const auto total = tree.merge(sum_up, counted);
  const auto report = tree.start({3, 4});
  CHECK(calls == 7);
  CHECK(report.results(total).at(3).front() == 21);
  CHECK(report.results(counted).at(4) == std::vector{7, 7, 7, 7});
}

TEST_CASE("a route may lead nowhere, and no item may come by one") {
  for (const TreeMode how : tree_modes) {
    CAPTURE(name(how));
    TaskTree<int> tree;
    const auto kinds = tree.route(tree.split(tree.root(same), up_to), by_parity);
    const auto evens = tree.then(kinds.get<Even>(), [](Even even) { return even.n; });
    const auto total = tree.merge(sum_up, evens);
    tree.set_mode(how);
    const auto report = tree.start({0, 1, 4});
    CHECK(report.ok());
    CHECK(report.results(total).at(0) == std::vector{0});
    CHECK(report.results(total).at(1) == std::vector{0});
    CHECK(report.results(total).at(4) == std::vector{6});
    CHECK(report.results(kinds).at(4).size() == 4);
    CHECK(std::get<Odd>(report.results(kinds).at(4)[2]).n == 3);
    CHECK(report.results(kinds.get<Odd>()).at(4)[1].n == 3);
    CHECK(report.results(kinds.get<Odd>()).at(0).empty());
  }
}

TEST_CASE("merges of merges, and of what comes after them") {
  for (const TreeMode how : tree_modes) {
    CAPTURE(name(how));
    TaskTree<int> tree;
    const auto root = tree.root(same);
    const auto each = tree.split(root, up_to);
    const auto first = tree.merge(sum_up, each);
    const auto again = tree.split(first, up_to);
    const auto second = tree.merge(JoinTwo{[](const std::vector<int>& a, const std::vector<int>& b) { return sum(a) * 100 + sum(b); }}, again, root);
    tree.set_mode(how);
    const auto report = tree.start({2, 3});
    CHECK(report.ok());
    CHECK(report.results(second).at(2) == std::vector{602});
    CHECK(report.results(second).at(3) == std::vector{2103});
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
    const auto count = tree.merge([](const std::vector<int>& all) { return all.size(); }, next);
    tree.set_mode(how);
    const auto one = tree.start({size});
    REQUIRE(one.ok());
    CHECK(one.results(count).at(size).front() == static_cast<std::size_t>(size));
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

TEST_CASE("what is split: containers, lists, bools, strings, views, ranges that are walked once, and what cannot be copied") {
  for (const TreeMode how : tree_modes_in_memory) {
    TaskTree<int> tree;
    tree.set_mode(how);
    const auto root = tree.root(same);
    const auto bools = tree.split(root, [](int n) { return std::vector<bool>(static_cast<std::size_t>(n), true); });
    const auto flipped = tree.then(bools, [](bool b) { return !b; });
    const auto list = tree.split(root, [](int n) { return std::list<std::string>(static_cast<std::size_t>(n), "x"); });
    const auto letters = tree.split(list, [](const std::string& text) { return text + "y"; });
    const auto map = tree.split(root, [](int n) { return std::map<int, int>{{n, 1}, {n + 1, 2}}; });
    const auto keys = tree.then(map, [](const std::pair<const int, int>& entry) { return entry.first; });
    const auto lines = tree.split(root, [](int n) { return support::Source(n); });
    const auto owned = tree.split(root, [](int n) {
      std::vector<std::unique_ptr<int>> all;
      for (int k = 0; k < n; ++k) all.push_back(std::make_unique<int>(k));
      return all;
    });
    const auto pointed = tree.then(owned, [](const std::unique_ptr<int>& p) { return *p; });
    const auto report = tree.start({3});
    report.throw_if_failed();
    CHECK(report.results(flipped).at(3) == std::vector{false, false, false});
    CHECK(report.results(letters).at(3).size() == 6);
    CHECK(report.results(letters).at(3)[1] == 'y');
    CHECK(report.results(keys).at(3) == std::vector{3, 4});
    CHECK(report.results(lines).at(3).size() == 3);
    CHECK(report.results(pointed).at(3) == std::vector{0, 1, 2});
    CHECK(*report.results(owned).at(3).back() == 2);
  }
}

TEST_CASE("a merge takes what cannot be copied, if nobody else does") {
  for (const TreeMode how : tree_modes_in_memory) {
    TaskTree<int> tree{"movers"};
    tree.set_mode(how);
    const auto each = tree.split(tree.root(same), up_to);
    const auto boxed = tree.then(each, TaskManager{[](int x) { return std::make_unique<int>(x); }, {.duplicates = Duplicates::run}});
    const auto total = tree.merge([](const std::vector<std::unique_ptr<int>>& all) {
      int sum = 0;
      for (const auto& one : all) sum += *one;
      return sum;
    }, boxed);
    CHECK_THROWS_WITH_AS(static_cast<void>(tree.then(boxed, [](const std::unique_ptr<int>& one) { return *one; })),
                         "taskmgr: then() of \"movers\" with what a merge takes, and which cannot be copied", UsageError);
    CHECK_THROWS_AS(static_cast<void>(tree.merge([](const std::vector<std::unique_ptr<int>>&) { return 0; }, boxed)), UsageError);
    const auto report = tree.start({3, 4});
    CHECK(report.results(total).at(3) == std::vector{6});
    CHECK(report.results(total).at(4) == std::vector{10});
    CHECK_THROWS_AS(static_cast<void>(report.results(boxed).at(4)), UsageError);

    TaskTree<int> sharing;
    sharing.set_mode(how);
    const auto shared = sharing.then(sharing.split(sharing.root(same), up_to), [](int x) { return std::make_unique<int>(x); });
    sharing.merge([](const std::vector<std::unique_ptr<int>>& all) { return all.size(); }, shared);
    const auto of_shared = sharing.start({3, 4});
    CHECK(of_shared.failed == 1);
    for (const auto& [task, error] : of_shared.error_map()) CHECK(error.message().find("cannot be copied") != std::string::npos);
  }
}

TEST_CASE("handles belong to their tree, and a tree has one root") {
  TaskTree<int> tree{"mine"};
  TaskTree<int> other{"other"};
  CHECK_THROWS_AS(static_cast<void>(tree.start({1})), UsageError);
  const auto root = tree.root(same);
  CHECK_THROWS_AS(static_cast<void>(tree.root(same)), UsageError);
  CHECK_THROWS_WITH_AS(static_cast<void>(other.then(root, same)),
                       "taskmgr: then() of \"other\" with a node of another tree: pass one that this tree gave", UsageError);
  const auto kinds = tree.route(root, by_parity);
  CHECK_THROWS_AS(static_cast<void>(tree.then(kinds, [](const Kind&) { return 1; })), UsageError);
  const auto report = tree.start({1});
  const auto later = tree.then(root, plus(1));
  CHECK_THROWS_AS(static_cast<void>(report.results(later)), UsageError);
  CHECK_THROWS_AS(static_cast<void>(report.results(other.root(same))), UsageError);
  CHECK_THROWS_AS(static_cast<void>(report.results(root).at(2)), std::out_of_range);
  CHECK_FALSE(report.results(root).contains(2));
  CHECK(report.results(root).find(1) != report.results(root).end());

  TaskTree<int> moved = std::move(tree);
  CHECK(moved.start({1}).results(later).at(1) == std::vector{2});  // of a temporary report
  CHECK(moved.options().name == "mine");
  moved.set_options({.mode = TreeMode::pipeline});
  CHECK(moved.options().name == "mine");
}

TEST_CASE("duplicates among initial tasks, and none") {
  TaskTree<int> sharing;
  const auto root = sharing.root(same);
  const auto shared = sharing.start({1, 2, 1});
  CHECK(shared.duplicates == 1);
  CHECK(shared.results(root).size() == 2);
  TaskTree<int> running;
  const auto numbered = running.root(TaskManager{[](Context& context, int) { return context.number(); }, {.duplicates = Duplicates::run}});
  const auto run = running.start({1, 2, 1});
  CHECK(run.duplicates == 0);
  CHECK(run.results(numbered).size() == 3);
  CHECK(run.results(numbered).at(1).front() == 2);
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

TEST_CASE("what a source, a sink, a copy or an equality throws") {
  struct Fragile {
    int n = 0;
    explicit Fragile(int of) : n(of) {}
    Fragile(const Fragile& other) : n(other.n) {
      if (n == 3) throw std::runtime_error("copied");
    }
    Fragile(Fragile&& other) noexcept : n(other.n) {}
    bool operator==(const Fragile&) const = delete;
  };
  for (const TreeMode how : tree_modes_in_memory) {
    TaskTree<int> tree;
    tree.set_mode(how);
    const auto each = tree.then(tree.split(tree.root(same), up_to), [](int x) { return Fragile{x}; });
    const auto total = tree.merge([](const std::vector<Fragile>& all) { return all.size(); }, each);
    const auto report = tree.start({2, 3, 1});
    CHECK(report.succeeded == 2);
    CHECK(report.error_map().at(3).message() == "copied");
    CHECK(report.error_map().at(3).stage() == "stage 3");
    CHECK(report.results(total).at(2).front() == 2);

    int heard = 0;
    CHECK_THROWS_WITH(static_cast<void>(tree.start({1, 2}, [&](auto&) {
      ++heard;
      throw std::runtime_error("sink");
    })), "sink");
    CHECK(heard == 1);
  }
}

TEST_CASE("branches in the background, for a coroutine, and with a stop token") {
  TaskTree<int> tree;
  const auto total = tree.merge(sum_up, tree.split(tree.root(same), up_to));
  tree.set_mode(TreeMode::pipeline);
  auto run = tree.launch({1, 2, 3});
  const auto launched = run.wait();
  CHECK(launched.results(total).at(3) == std::vector{6});
  CHECK(run.progress().succeeded == 3);
  const auto awaited = taskmgr::run([](const TaskTree<int>& of) -> taskmgr::Async<taskmgr::TreeReport<int, Branches>> {
    auto pending = of.start_async({4, 5});
    auto report = co_await pending;
    co_return report;
  }(tree));
  CHECK(awaited.results(total).at(5) == std::vector{15});
  std::stop_source stop;
  stop.request_stop();
  CHECK(tree.start({1, 2}, stop.get_token()).cancelled == 2);
}

TEST_CASE("the way of an initial task goes through all of its items") {
  for (const TreeMode how : tree_modes) {
    CAPTURE(name(how));
    TaskTree<int> tree;
    const auto kinds = tree.route(tree.split(tree.root(TaskManager{same, {.name = "root"}}), TaskManager{up_to, {.name = "split"}}), TaskManager{by_parity, {.name = "route"}});
    const auto evens = tree.then(kinds.get<Even>(), TaskManager{[](Even even) { return even.n; }, {.name = "even"}});
    const auto odds = tree.then(kinds.get<Odd>(), TaskManager{[](Odd odd) { return odd.n; }, {.name = "odd"}});
    tree.merge(TaskManager{sum_of_both, {.name = "merge"}}, evens, odds);
    tree.set_options({.mode = how, .trace = true});
    const auto report = tree.start({3, 2});
    for (const int task : {3, 2}) {
      std::vector<std::string> stages;
      auto last = std::chrono::steady_clock::time_point{};
      for (const auto& hop : report.trace(task)) {
        stages.push_back(hop.stage);
        CHECK(hop.state == State::succeeded);
        CHECK(hop.attempts == 1);
        CHECK(hop.queued <= hop.started);
        CHECK(hop.started <= hop.finished);
        last = std::max(last, hop.finished);
      }
      std::vector<std::string> expected{"root", "split"};
      for (int n = 1; n <= task; ++n) expected.insert(expected.end(), {"route", n % 2 == 0 ? "even" : "odd"});
      expected.push_back("merge");
      CHECK(stages == expected);
      CHECK(report.trace(task).back().finished == last);
    }
    CHECK(report.trace(3)[2].task_text == "1");
    CHECK_THROWS_AS(static_cast<void>(report.trace(7)), std::out_of_range);
  }
}

TEST_CASE("a drawing shows which nodes take from which, and what a run has made of them") {
  TaskTree<int> tree{"shape"};
  const auto root = tree.root(TaskManager{same, {.name = "root"}});
  const auto left = tree.then(root, TaskManager{plus(1), {.name = "left"}});
  const auto right = tree.split(root, TaskManager{up_to, {.name = "right"}});
  tree.merge(TaskManager{sum_of_both, {.name = "both"}}, left, right);
  const std::string dot = tree.to_dot();
  for (const char* arrow : {"s0 -> s1;", "s0 -> s2;", "s1 -> s3;", "s2 -> s3;"}) CHECK(dot.find(arrow) != std::string::npos);
  CHECK(dot.find("digraph \"shape\"") == 0);
  CHECK(tree.to_mermaid().find("s2 --> s3") != std::string::npos);
  const auto report = tree.start({3, 4});
  CHECK(tree.to_text(report).find("right: 2 in, 2 out") != std::string::npos);
  CHECK(report.stages().size() == 4);
}

TEST_CASE("observers hear of every node, and each item has the number of its initial task") {
  struct Numbers : taskmgr::Observer {
    void on_event(const taskmgr::Event& event) override { heard[std::string(event.stage)].insert(event.task); }
    bool wants(taskmgr::EventKind kind) const override { return kind == taskmgr::EventKind::task_succeeded; }
    std::map<std::string, std::multiset<std::uint64_t>> heard;
  };
  for (const TreeMode how : tree_modes) {
    CAPTURE(name(how));
    Numbers numbers;
    TaskTree<int> tree;
    const auto each = tree.split(tree.root(TaskManager{same, {.name = "root"}}), TaskManager{up_to, {.name = "split"}});
    tree.merge(TaskManager{sum_up, {.name = "merge"}}, tree.then(each, TaskManager{plus(1), {.duplicates = Duplicates::run, .name = "then"}}));
    tree.observe(numbers);
    tree.set_mode(how);
    CHECK(tree.start({2, 2, 3}).ok());
    CHECK(numbers.heard["root"] == std::multiset<std::uint64_t>{0, 2});
    CHECK(numbers.heard["then"] == std::multiset<std::uint64_t>{0, 0, 2, 2, 2});
    CHECK(numbers.heard["merge"] == std::multiset<std::uint64_t>{0, 2});
  }
}

TEST_CASE("nodes hold each other back, and go on at once") {
  // The last node stands still until the first has been held back: it must not run ahead of what may wait.
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
  const auto next = tree.then(root, same);
  tree.then(next, One{[&](Context&, int x) {
    std::this_thread::sleep_for(50us);
    ++ended;
    return x;
  }});
  tree.set_options({.mode = TreeMode::pipeline, .capacity = 8});
  CHECK(tree.start(numbers(2000)).ok());
  CHECK(most < 100);
}
