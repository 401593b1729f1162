// SPDX-License-Identifier: MIT
#include <taskmgr/tree/branches.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <taskmgr/run/awaits.hpp>

#include "support/branches.hpp"
#include "support/fragile.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/source.hpp"

using support::name;
using support::numbers;
using support::tree_modes;
using support::tree_modes_in_memory;
using taskmgr::Branches;
using taskmgr::Context;
using taskmgr::Duplicates;
using taskmgr::Mode;
using taskmgr::Node;
using taskmgr::State;
using taskmgr::TaskManager;
using taskmgr::TaskTree;
using taskmgr::TreeMode;
using taskmgr::TreeReport;
using taskmgr::UsageError;
using namespace support::branches;
using namespace std::chrono_literals;

static_assert(std::is_nothrow_move_constructible_v<TaskTree<int>>);
static_assert(!std::is_copy_constructible_v<TaskTree<int>>);
static_assert(std::random_access_iterator<taskmgr::NodeResults<int>::iterator>);

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

TEST_CASE("of the failures of an initial task the first counts: item by item with all that came of each, node by node, then merges") {
  std::set<std::string> bad;  // "stage item"
  const auto meet = [&bad](const std::string& stage, int x) {
    const std::string here = stage + ' ' + std::to_string(x);
    if (bad.contains(here)) throw std::runtime_error(here);
    return x;
  };
  const auto then = [&](const std::string& stage) {
    return TaskManager{One{[meet, stage](Context&, int x) { return meet(stage, x); }}, {.mode = Mode::thread, .workers = 2, .name = stage}};
  };
  const auto merge = [&](const std::string& stage) {
    return TaskManager{Join{[meet, stage](Context&, const std::vector<int>& all) { return meet(stage, sum(all)); }}, {.name = stage}};
  };
  for (const TreeMode how : tree_modes) {
    CAPTURE(name(how));
    TaskTree<int> tree;
    const auto each = tree.split(tree.root(same), up_to);
    const auto total = tree.merge(merge("total"), each);
    const auto left = tree.then(each, then("left"));
    const auto right = tree.then(each, then("right"));
    const auto parts = tree.split(left, Many{[](Context&, int x) { return std::vector{10 * x, 10 * x + 1}; }});
    tree.then(parts, then("part"));
    tree.merge(merge("sum"), right);
    tree.then(total, then("last"));
    tree.set_mode(how);
    const std::vector<std::vector<std::string>> failures{  // of task 3: the first has to be shown
        {"left 2", "left 3", "right 2"}, {"right 1", "left 2"},           {"part 20", "part 21"}, {"part 11", "right 1", "left 2"},
        {"right 2", "part 30"},          {"part 31", "total 6", "sum 6"}, {"total 6", "sum 6"},   {"last 6", "sum 6"}};
    for (const auto& these : failures) {
      CAPTURE(these[0]);
      bad = {these.begin(), these.end()};
      const auto report = tree.start({0, 3});
      REQUIRE(report.failed == 1);
      CHECK(report[1].error().message() == these[0]);
      CHECK(report[1].error().stage() == these[0].substr(0, these[0].find(' ')));
    }
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
    const auto evens = tree.then(kinds.get<Even>(), of_even);
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
    const auto second = tree.merge(JoinTwo{[](Context&, const std::vector<int>& a, const std::vector<int>& b) { return sum(a) * 100 + sum(b); }}, again, root);
    tree.set_mode(how);
    const auto report = tree.start({2, 3});
    CHECK(report.ok());
    CHECK(report.results(second).at(2) == std::vector{602});
    CHECK(report.results(second).at(3) == std::vector{2103});
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
    const auto pointed = tree.then(owned, unbox);
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
    const Box box = [](int x) { return std::make_unique<int>(x); };
    const std::function<int(const std::vector<std::unique_ptr<int>>&)> sum_boxes = [](const auto& all) {
      int sum = 0;
      for (const auto& one : all) sum += *one;
      return sum;
    };
    const auto boxed = tree.then(each, TaskManager{box, {.duplicates = Duplicates::run}});
    const auto total = tree.merge(sum_boxes, boxed);
    CHECK_THROWS_WITH_AS(static_cast<void>(tree.then(boxed, unbox)),
                         "taskmgr: then() of \"movers\" with what a merge takes, and which cannot be copied", UsageError);
    CHECK_THROWS_AS(static_cast<void>(tree.merge(sum_boxes, boxed)), UsageError);
    const auto report = tree.start({3, 4});
    CHECK(report.results(total).at(3) == std::vector{6});
    CHECK(report.results(total).at(4) == std::vector{10});
    CHECK_THROWS_AS(static_cast<void>(report.results(boxed).at(4)), UsageError);

    TaskTree<int> routed;
    routed.set_mode(how);
    const auto kinds = routed.route(routed.root(same), [](int n) {
      return n % 2 == 0 ? std::variant<std::unique_ptr<int>, int>(std::make_unique<int>(n)) : std::variant<std::unique_ptr<int>, int>(n);
    });
    const auto boxes = kinds.get<std::unique_ptr<int>>();
    const auto both = [](const auto& a, const auto& b) { return a.size() + b.size(); };
    CHECK_THROWS_AS(static_cast<void>(routed.merge(both, boxes, boxes)), UsageError);
    routed.merge(sum_boxes, boxes);
    const auto of_routed = routed.start({3, 4});
    CHECK(std::get<int>(of_routed.results(kinds).at(3)[0]) == 3);
    CHECK_THROWS_AS(static_cast<void>(of_routed.results(kinds).at(4)), UsageError);

    TaskTree<int> sharing;
    sharing.set_mode(how);
    const auto shared = sharing.then(sharing.split(sharing.root(same), up_to), box);
    sharing.merge(sum_boxes, shared);
    const auto of_shared = sharing.start({3, 4});
    CHECK(of_shared.failed == 1);
    for (const auto& [task, error] : of_shared.error_map()) CHECK(error.message().find("cannot be copied") != std::string::npos);
  }
}

TEST_CASE("who cannot have all that a merge is to take leaves what there is to the next") {
  const Box box = [](int x) { return std::make_unique<int>(x); };
  const auto count = [](const std::vector<std::unique_ptr<int>>& all) { return all.size(); };
  TaskTree<std::vector<int>> tree;
  const auto merged = tree.merge(count, tree.then(tree.split(tree.root([](const std::vector<int>& all) { return all; }),
                                                             [](const std::vector<int>& all) { return all; }),
                                                  box));
  const auto report = tree.start({{1, 2}, {3, 2}, {3}, {7, 7}});
  CHECK(report.results(merged).at({1, 2}) == std::vector<std::size_t>{2});
  CHECK(report.results(merged).at({3}) == std::vector<std::size_t>{1});
  for (const std::vector<int>& sharing : {std::vector{3, 2}, std::vector{7, 7}}) {
    CHECK(report.error_map().at(sharing).message().find("merges what cannot be copied and equal items share") != std::string::npos);
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

TEST_CASE("outcomes and maps of a temporary report own what the nodes have made, as does a result that was taken") {
  TaskTree<int> tree;
  const auto root = tree.root(One{plus(1)});
  for (auto& outcome : tree.start({1, 2}).outcomes()) CHECK(outcome.value().results(root) == std::vector{outcome.task() + 1});
  for (const auto& [task, value] : tree.start({1, 2}).success_map()) CHECK(value.results(root) == std::vector{task + 1});
  const auto taken = tree.start({4}).outcomes()[0].take().results(root);
  CHECK(taken == std::vector{5});
}

TEST_CASE("a handle of a tree that has ended is no other tree's") {
  std::optional<Node<std::vector<int>>> old;
  std::optional<TreeReport<int, Branches>> report;
  {
    TaskTree<int> first;
    old = first.root(up_to);
    report = first.start({1});
  }
  TaskTree<int> second;  // most likely where the first was
  const auto root = second.root(same);
  CHECK_THROWS_AS(static_cast<void>(report->results(root)), UsageError);
  CHECK_THROWS_AS(static_cast<void>(second.then(*old, [](const std::vector<int>& all) { return static_cast<int>(all.size()); })), UsageError);
  CHECK(report->results(*old).at(1)[0] == std::vector{1});
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

TEST_CASE("what a task's copy, hash or equality throws fails what came of that initial task, and nothing is lost") {
  using support::Fragile;
  const auto make = [](int n) {
    std::vector<Fragile> all;
    for (int k = 0; k < n; ++k) all.emplace_back(k % 3);
    return all;
  };
  for (const TreeMode how : tree_modes_in_memory) {
    CAPTURE(name(how));
    TaskTree<int> tree;
    tree.set_mode(how);
    const auto each = tree.split(tree.root(same), make);
    const auto numbered = tree.then(each, [](const Fragile& fragile) { return fragile.number(); });
    const auto total = tree.merge([](const std::vector<Fragile>& all, const std::vector<int>& some) { return all.size() + some.size(); },
                                  each, numbered);
    std::set<std::string> thrown;
    bool burnt = true;
    for (long n = 0; burnt; ++n) {
      CAPTURE(n);
      Fragile::light(n);
      {
        const auto report = tree.start({7, 3});
        burnt = Fragile::fuse == Fragile::never;
        Fragile::put_out();
        CHECK(report.succeeded + report.failed == 2);
        CHECK((report.failed != 0) == burnt);
        for (const auto& [task, error] : report.error_map()) thrown.insert(error.message());
        for (const auto& [task, merged] : report.results(total)) {
          if (report.success_map().contains(task)) CHECK(merged.front() == 2 * static_cast<std::size_t>(task));
          else CHECK(merged.empty());
        }
      }
      CHECK(Fragile::alive == 0);
    }
    CHECK(thrown == std::set<std::string>{"copy", "equality", "hash"});
  }
}

TEST_CASE("what a source or a sink throws comes out at the end, and the rest is run") {
  for (const TreeMode how : tree_modes_in_memory) {
    TaskTree<int> tree;
    tree.set_mode(how);
    std::atomic<int> calls{0};
    tree.split(tree.root(One{[&calls](Context&, int x) { return x + 0 * ++calls; }}), up_to);
    int heard = 0;
    CHECK_THROWS_WITH(static_cast<void>(tree.start({1, 2}, [&](auto&) {
      ++heard;
      throw std::runtime_error("sink");
    })), "sink");
    CHECK(heard == 1);
    CHECK(calls == 2);
    CHECK_THROWS_WITH(static_cast<void>(tree.start(support::Source(9, [](support::Source::Step step, int at) {
                        if (step == support::Source::Step::read && at == 3) throw std::runtime_error("source");
                      }))),
                      "source");
    CHECK(calls == 5);
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
    const auto evens = tree.then(kinds.get<Even>(), TaskManager{of_even, {.name = "even"}});
    const auto odds = tree.then(kinds.get<Odd>(), TaskManager{of_odd, {.name = "odd"}});
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
      const auto way = report.trace(task);
      CHECK(way.back().finished == last);
      auto gathered = std::chrono::steady_clock::time_point{};
      for (std::size_t k = 0; k + 1 != way.size(); ++k) gathered = std::max(gathered, way[k].finished);
      CHECK(way.back().queued == gathered);
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


TEST_CASE("a stream through branches halts, however few of its tasks are run together") {
  for (const TreeMode how : tree_modes_in_memory) {
    for (const int kind : {0, 1, 2, 3}) {
      CAPTURE(name(how));
      CAPTURE(kind);
      const taskmgr::Halt never{};
      const taskmgr::Halt three{.failures = 3};
      const taskmgr::Halt half{.failure_ratio = 0.5};
      TaskTree<int> tree;
      const auto root = tree.root(TaskManager{One{[](Context&, int x) -> int {
                                                if (x % 2 == 0) throw std::runtime_error("even");
                                                return x;
                                              }},
                                              {.halt = kind == 2 ? three : kind == 3 ? half : never}});
      static_cast<void>(tree.then(root, plus(1)));
      tree.set_options({.mode = how, .halt = kind == 0 ? three : kind == 1 ? half : never});
      using Step = support::Source::Step;
      const support::Source slow{support::Source::endless, [](Step step, int) {
                                   if (step == Step::next) std::this_thread::sleep_for(2ms);  // each in a run of its own
                                 }};
      std::size_t failed = 0;
      std::size_t all = 0;
      for (auto&& outcome : tree.stream(slow)) {
        failed += outcome.state() == State::failed ? 1U : 0U;
        ++all;
      }
      CHECK(failed >= (kind % 2 == 0 ? 3 : 10));
      CHECK(all <= (kind % 2 == 0 ? 12 : 30));
    }
  }
}

TEST_CASE("a stream through branches: any order or the source's, from a source without an end") {
  for (const TreeMode how : tree_modes_in_memory) {
    CAPTURE(name(how));
    TaskTree<int> tree;
    const auto each = tree.split(tree.root(TaskManager{[](Context& context, int x) -> int {
      if (x % 10 == 9) throw std::runtime_error("nine");
      return static_cast<int>(context.number());
    }, {.mode = Mode::thread, .workers = 2}}), Many{[](Context&, int x) { return std::vector{x, x + 1}; }});
    const auto total = tree.merge(sum_up, each);
    tree.set_mode(how);
    for (const bool ordered : {true, false}) {
      std::vector<int> seen;
      for (auto&& outcome : tree.stream(support::Source(support::Source::endless), {.ordered = ordered, .window = 16})) {
        seen.push_back(outcome.task());
        if (outcome.task() % 10 == 9) CHECK(outcome.error().message() == "nine");
        else CHECK(outcome.value().results(total) == std::vector{2 * outcome.task() + 1});
        if (seen.size() == 200) break;
      }
      if (!ordered) std::sort(seen.begin(), seen.end());
      CHECK(std::adjacent_find(seen.begin(), seen.end()) == seen.end());
      if (ordered) CHECK(seen == support::numbers(200));
      CHECK(seen.back() < 250);
    }
    CHECK_NOTHROW(tree.set_mode(how));  // nothing runs any more

    std::size_t count = 0;
    CHECK_THROWS_WITH(
        [&] {
          for (auto&& outcome : tree.stream(support::Source(50, [](support::Source::Step step, int at) {
                 if (step == support::Source::Step::read && at == 33) throw std::runtime_error("source");
               }))) {
            count += outcome.state() == State::pending ? 0U : 1U;
          }
        }(),
        "source");
    CHECK(count == 33);

    std::optional<taskmgr::Outcome<int, Branches>> kept;
    for (auto&& outcome : tree.stream({4})) kept.emplace(outcome);
    CHECK(kept->value().results(each) == std::vector{0, 1});
  }
}
