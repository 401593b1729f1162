// SPDX-License-Identifier: MIT
#include <taskmgr/core/report.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "support/made_report.hpp"
#include "support/random.hpp"

using support::CancelThis, support::made_report;
using taskmgr::Report, taskmgr::State, taskmgr::TaskError;

namespace report_test {

/// The report of x -> 10 x: of odd numbers "odd", and of multiples of 7 a cancelled task.
Report<int, int> tenfold(const std::vector<int>& tasks, bool share = true) {
  return made_report<int, int>(tasks, share, [](int x) {
    if (x % 7 == 0) throw CancelThis{};
    if (x % 2 != 0) throw std::runtime_error("odd: " + std::to_string(x));
    return 10 * x;
  });
}

template <class Map>
auto keys(const Map& map) {
  std::vector<typename Map::key_type> all;
  for (const auto& [task, value] : map) all.push_back(task);
  return all;
}

template <class Range>
auto listed(Range&& range) {
  std::vector<std::ranges::range_value_t<Range>> all;
  for (const auto& item : range) all.push_back(item);
  return all;
}

/// Has an equality, but no hash.
class Unhashed {
 public:
  Unhashed(int number, int version) : number_(number), version_(version) {}
  bool operator==(const Unhashed& other) const { return number_ == other.number_; }
  [[nodiscard]] int number() const { return number_; }
  [[nodiscard]] int version() const { return version_; }

 private:
  int number_;
  int version_;
};

/// No default constructor, no copy, no assignment.
struct Result {
  explicit Result(int n) : number(n) {}
  Result(Result&& other) noexcept : number(std::exchange(other.number, -1)) {}
  Result& operator=(Result&&) = delete;
  int number;
};

/// What the maps of a report should show, from what became of each task in turn: the last occurrence in each.
struct Model {
  std::map<int, int> succeeded;           // task -> attempt number of the run that it was
  std::map<int, std::string> failed;
  std::vector<int> success_order;         // keys at their last occurrence
  std::vector<int> failure_order;

  void success(int task, int value) {
    succeeded[task] = value;
    std::erase(success_order, task);
    success_order.push_back(task);
  }
  void failure(int task, const std::string& message) {
    failed[task] = message;
    std::erase(failure_order, task);
    failure_order.push_back(task);
  }
};

}  // namespace report_test
using namespace report_test;

TEST_CASE("a report of nothing is empty, and ok") {
  const Report<int, std::string> report;
  CHECK(report.ok());
  CHECK(report.total == 0);
  CHECK(report.outcomes().empty());
  CHECK(report.success_map().empty());
  CHECK(report.error_map().size() == 0);
  CHECK(report.success_map().begin() == report.success_map().end());
  CHECK_FALSE(report.success_map().contains(1));
  CHECK(report.failed_tasks().empty());
  CHECK(report.unfinished_tasks().empty());
  CHECK_NOTHROW(report.throw_if_failed());
  CHECK_THROWS_AS(static_cast<void>(report[0]), std::out_of_range);
  CHECK_THROWS_AS(static_cast<void>(report.success_map().at(1)), std::out_of_range);
}

TEST_CASE("a report is ok if nothing failed and nothing was cancelled") {
  CHECK(tenfold({2, 4, 2}).ok());
  CHECK_FALSE(tenfold({2, 3}).ok());
  CHECK_FALSE(tenfold({2, 14}).ok());
}

TEST_CASE("a report can be moved, not copied") {
  static_assert(std::is_nothrow_move_constructible_v<Report<int, int>> && std::is_move_assignable_v<Report<int, int>>);
  static_assert(!std::is_copy_constructible_v<Report<int, int>> && !std::is_copy_assignable_v<Report<int, int>>);
  Report<int, int> report = tenfold({2, 3});
  Report<int, int> moved = std::move(report);
  CHECK(moved.success_map().at(2) == 20);
  moved = tenfold({4});
  CHECK(moved.total == 1);
  CHECK(moved.success_map().at(4) == 40);
}

TEST_CASE("the counts of a random run add up, each task counted once") {
  INFO("TASKMGR_SEED=" << support::seed());
  support::Random random;
  for (int round = 0; round < 50; ++round) {
    std::vector<int> tasks(random.below(100));
    for (int& task : tasks) task = random.number(40);
    for (const bool share : {true, false}) {
      const auto report = tenfold(tasks, share);
      CHECK(report.total == tasks.size());
      CHECK(report.total == report.succeeded + report.failed + report.cancelled + report.duplicates);
      const auto outcomes = report.outcomes();
      CHECK(outcomes.size() == report.total - report.duplicates);
      const auto in = [&](State state) {
        return static_cast<std::size_t>(
            std::ranges::count_if(outcomes, [state](const auto& outcome) { return outcome.state() == state; }));
      };
      CHECK(in(State::succeeded) == report.succeeded);
      CHECK(in(State::failed) == report.failed);
      CHECK(in(State::cancelled) == report.cancelled);
    }
  }
}

TEST_CASE("outcomes are in source order, one for each task that is no duplicate") {
  const auto report = tenfold({4, 3, 4, 14, 2, 3});
  std::vector<int> tasks;
  for (const auto& outcome : report.outcomes()) tasks.push_back(outcome.task());
  CHECK(tasks == std::vector<int>{4, 3, 14, 2});
  CHECK(report.outcomes()[0].value() == 40);
  CHECK(report.outcomes()[1].error().message() == "odd: 3");
  CHECK(report.outcomes()[2].state() == State::cancelled);
  CHECK_THROWS_AS(static_cast<void>(report.outcomes()[2].value()), taskmgr::Cancelled);
}

TEST_CASE("report[i] is the outcome of the i-th task of the source; of a duplicate, the one that it shares") {
  const auto report = tenfold({4, 3, 4, 14, 2, 3, 4});
  CHECK(report.duplicates == 3);
  CHECK(report[0].value() == 40);
  CHECK(report[1].error().message() == "odd: 3");
  CHECK(&report[2].value() == &report[0].value());
  CHECK(report[3].state() == State::cancelled);
  CHECK(report[4].value() == 20);
  CHECK(&report[5].error() == &report[1].error());
  CHECK(&report[6].task() == &report[0].task());
  CHECK_THROWS_AS(static_cast<void>(report[7]), std::out_of_range);

  const auto run = tenfold({4, 4}, false);
  CHECK(&run[1].task() != &run[0].task());
}

TEST_CASE("report[i] agrees with the source, whatever is a duplicate of what") {
  INFO("TASKMGR_SEED=" << support::seed());
  support::Random random;
  for (int round = 0; round < 100; ++round) {
    std::vector<int> tasks(1 + random.below(200));
    const int values = 1 + random.number(300);
    for (int& task : tasks) task = random.number(values);
    const auto report = tenfold(tasks, round % 4 != 0);
    bool right = true;
    for (std::size_t i = 0; i < tasks.size(); ++i) right = right && report[i].task() == tasks[i];
    CHECK(right);
  }
}

TEST_CASE("an outcome of a temporary report owns what it shows") {
  auto outcome = tenfold({2, 3})[0];
  CHECK(outcome.task() == 2);
  CHECK(outcome.take() == 20);
  const auto failed = tenfold({2, 3})[1];
  CHECK(failed.error().message() == "odd: 3");
  const auto listed_one = tenfold({2, 4}).outcomes()[1];
  CHECK(listed_one.value() == 40);
}

TEST_CASE("the first error in task order is rethrown") {
  CHECK_NOTHROW(tenfold({2, 14}).throw_if_failed());
  CHECK_THROWS_WITH_AS(tenfold({2, 5, 3, 1}).throw_if_failed(), "odd: 5", std::runtime_error);
}

TEST_CASE("at finds a result or an error by its task, and throws where there is none") {
  const auto report = tenfold({2, 3, 14});
  CHECK(report.success_map().at(2) == 20);
  CHECK(report.error_map().at(3).message() == "odd: 3");
  CHECK_THROWS_WITH_AS(static_cast<void>(report.success_map().at(3)),
                       "taskmgr: success_map().at(): no such task succeeded", std::out_of_range);
  CHECK_THROWS_WITH_AS(static_cast<void>(report.error_map().at(2)), "taskmgr: error_map().at(): no such task failed",
                       std::out_of_range);
  CHECK_THROWS_AS(static_cast<void>(report.success_map().at(14)), std::out_of_range);  // cancelled: in neither map
  CHECK_THROWS_AS(static_cast<void>(report.error_map().at(14)), std::out_of_range);
  CHECK_THROWS_AS(static_cast<void>(report.success_map().at(99)), std::out_of_range);

  const auto sums = made_report<std::tuple<int, int>, int>(std::vector<std::tuple<int, int>>{{1, 2}, {3, 4}}, true,
                                                           [](const auto& t) { return std::get<0>(t) + std::get<1>(t); });
  CHECK(sums.success_map().at({3, 4}) == 7);
  CHECK(sums.success_map().contains({1, 2}));
  CHECK(sums.success_map().find({3, 4})->second == 7);
}

TEST_CASE("find gives an iterator to compare with the end of any other view") {
  const auto report = tenfold({2, 3, 4, 5});
  CHECK(report.success_map().find(2) != report.success_map().end());
  CHECK(report.success_map().find(3) == report.success_map().end());
  CHECK(report.error_map().find(2) == report.error_map().end());
  CHECK(report.success_map().find(2) == report.success_map().begin());
  const auto it = report.success_map().find(4);
  CHECK(it->first == 4);
  CHECK(it->second == 40);
  CHECK((*it).second == 40);
  CHECK(&it->second == &report.success_map().at(4));
  CHECK(std::next(it) == report.success_map().end());
  const auto failed = report.error_map().find(3);
  CHECK(failed->second.message() == "odd: 3");
  CHECK(std::next(failed)->first == 5);
}

TEST_CASE("maps go over tasks and values in source order, with every kind of binding") {
  auto report = tenfold({6, 3, 2, 14, 5, 4});
  CHECK(keys(report.success_map()) == std::vector<int>{6, 2, 4});
  CHECK(keys(report.error_map()) == std::vector<int>{3, 5});
  int sum = 0;
  for (const auto& [task, value] : report.success_map()) sum += task + value;
  for (auto& [task, value] : report.success_map()) sum += task + value;
  for (auto&& [task, value] : report.success_map()) sum += task + value;
  for (auto [task, value] : report.success_map()) sum += task + value;
  for (const auto& entry : report.success_map()) sum += entry.first + entry.second;
  for (const std::pair<const int&, const int&>& entry : report.success_map()) sum += entry.first + entry.second;
  CHECK(sum == 6 * 132);
  std::string errors;
  for (auto& [task, error] : report.error_map()) errors += std::to_string(task) + error.type() + error.message() + ";";
  CHECK(errors == "3std::runtime_errorodd: 3;5std::runtime_errorodd: 5;");
}

TEST_CASE("the maps of a report can be looked at, not changed") {
  auto report = tenfold({2, 3});
  using Success = decltype(report.success_map());
  static_assert(std::is_same_v<decltype(report.success_map().at(2)), const int&>);
  static_assert(std::is_same_v<Success::value_type, std::pair<const int&, const int&>>);
  static_assert(std::is_same_v<Success::key_type, int> && std::is_same_v<Success::mapped_type, int>);
  static_assert(std::is_same_v<decltype(report.error_map().at(2)), const TaskError&>);
  // what a temporary report leaves behind may be taken to pieces
  static_assert(std::is_same_v<decltype(tenfold({2}).success_map().at(2)), int&>);
}

TEST_CASE("the algorithms of the standard library work on the views") {
  const auto report = tenfold({6, 3, 2, 14, 5, 4});
  const auto map = report.success_map();
  static_assert(std::ranges::forward_range<decltype(map)> && std::ranges::sized_range<decltype(map)>);
  static_assert(std::ranges::forward_range<decltype(report.outcomes())>);
  static_assert(std::ranges::view<decltype(report.failed_tasks())> && std::ranges::forward_range<decltype(report.failed_tasks())>);

  CHECK(std::ranges::distance(map) == 3);
  CHECK(std::ranges::count_if(map, [](const auto& entry) { return entry.second >= 40; }) == 2);
  CHECK(std::ranges::find_if(map, [](const auto& entry) { return entry.second == 20; })->first == 2);
  CHECK(std::ranges::find(map, 4, [](const auto& entry) { return entry.first; }) != map.end());
  CHECK(std::ranges::all_of(map, [](const auto& entry) { return entry.second == 10 * entry.first; }));
  CHECK(std::ranges::max_element(map, {}, [](const auto& entry) { return entry.second; })->first == 6);
  CHECK(std::ranges::min_element(map, {}, [](const auto& entry) { return entry.second; })->first == 2);
  int sum = 0;
  std::ranges::for_each(map, [&sum](const auto& entry) { sum += entry.second; });
  CHECK(sum == 120);
  std::vector<int> values;
  std::ranges::transform(map, std::back_inserter(values), [](const auto& entry) { return entry.second; });
  CHECK(values == std::vector<int>{60, 20, 40});
  std::vector<std::pair<int, int>> copied;
  std::ranges::copy(map, std::back_inserter(copied));
  CHECK(copied == std::vector<std::pair<int, int>>{{6, 60}, {2, 20}, {4, 40}});

  CHECK(std::map<int, int>(map.begin(), map.end()) == std::map<int, int>{{2, 20}, {4, 40}, {6, 60}});
  CHECK(std::find_if(map.begin(), map.end(), [](const auto& entry) { return entry.first == 2; })->second == 20);
  CHECK(std::distance(map.begin(), map.end()) == 3);
  const auto outcomes = report.outcomes();
  CHECK(std::ranges::find_if(outcomes, [](const auto& outcome) { return outcome.state() == State::cancelled; })->task() == 14);
}

#if !defined(__clang__) || __clang_major__ >= 16
TEST_CASE("the views can be adapted by std::views") {
  const auto report = tenfold({6, 3, 2, 14, 5, 4});
  CHECK(listed(report.success_map() | std::views::keys) == std::vector<int>{6, 2, 4});
  CHECK(listed(report.success_map() | std::views::values) == std::vector<int>{60, 20, 40});
  CHECK(listed(tenfold({2, 4}).success_map() | std::views::values) == std::vector<int>{20, 40});
  CHECK(listed(report.failed_tasks() | std::views::drop(1)) == std::vector<int>{5});
}
#endif

TEST_CASE("what a report that was moved from shows is a report of no task") {
  Report<int, int> report = tenfold({2, 3});
  const Report<int, int> moved = std::move(report);
  CHECK(moved.total == 2);
  for (int round = 0; round < 2; ++round) {  // NOLINTBEGIN: on purpose
    CHECK(report.total == 0);
    CHECK(report.succeeded == 0);
    CHECK(report.ok());
    CHECK(report.outcomes().empty());
    CHECK(report.success_map().begin() == report.success_map().end());
    CHECK_FALSE(report.success_map().contains(2));
    CHECK_THROWS_AS(static_cast<void>(report.success_map().at(2)), std::out_of_range);
    CHECK_THROWS_AS(static_cast<void>(report[0]), std::out_of_range);
    CHECK(report.failed_tasks().empty());
    CHECK_NOTHROW(report.throw_if_failed());
    report = tenfold({4});
    CHECK(report.success_map().at(4) == 40);
    Report<int, int>& itself = report;
    report = std::move(itself);
    CHECK(report.total == 1);
    Report<int, int> other;
    other = std::move(report);
    CHECK(other.success_map().at(4) == 40);
  }  // NOLINTEND
}

TEST_CASE("what an iterator shows outlives it") {
  const auto report = tenfold({2, 4, 6});
  const auto map = report.success_map();
  static_assert(std::forward_iterator<decltype(map.begin())> && std::forward_iterator<decltype(report.outcomes().begin())>);
  static_assert(!std::is_reference_v<decltype(*map.begin())> && !std::is_reference_v<decltype(*report.outcomes().begin())>);
  const auto& [first, tenth] = *map.begin();
  const auto& [found, value] = *map.find(6);
  const auto& outcome = *report.outcomes().begin();
  int sum = 0;
  for (auto it = map.begin(); it != map.end();) {
    const auto& [task, result] = *it++;
    sum += task + result;
  }
  CHECK(sum == 132);
  CHECK(first == 2);
  CHECK(tenth == 20);
  CHECK(found == 6);
  CHECK(value == 60);
  CHECK(outcome.value() == 20);
}

TEST_CASE("an iterator can be copied, advanced either way, and compared") {
  const auto report = tenfold({2, 4, 6});
  const auto map = report.success_map();
  auto it = map.begin();
  auto& [task, value] = *it;
  CHECK(value == 20);
  auto before = it++;
  CHECK(before->first == 2);
  CHECK(it->first == 4);
  before = it;
  CHECK(before == it);
  CHECK(before->second == 40);
  const auto& itself = it;
  it = itself;
  CHECK(it->second == 40);
  CHECK(++it == map.find(6));
  CHECK(++it == map.end());
  decltype(it) singular;
  singular = before;
  CHECK(singular->first == 4);
  auto outcomes = report.outcomes();
  auto outcome = outcomes.begin();
  CHECK((*outcome++).task() == 2);
  CHECK(outcome->task() == 4);
}

TEST_CASE("a map becomes a container of one's own") {
  const auto report = tenfold({6, 3, 2});
  using Map = std::map<int, int>;
  CHECK(report.success_map().to<Map>() == Map{{2, 20}, {6, 60}});
  using Hashed = std::unordered_map<int, long>;
  CHECK(report.success_map().to<Hashed>() == Hashed{{2, 20}, {6, 60}});
  const auto errors = report.error_map().to<std::map<int, TaskError>>();
  CHECK(errors.at(3).message() == "odd: 3");

  const auto words = made_report<int, std::string>(std::vector{1, 2}, true, [](int x) { return std::string(50, static_cast<char>('a' + x)); });
  CHECK(words.success_map().to<std::map<int, std::string>>().at(1) == std::string(50, 'b'));
  CHECK(words.success_map().at(1) == std::string(50, 'b'));  // it was copied
}

TEST_CASE("a temporary report gives its results away") {
  const auto make = [](int x) { return std::make_unique<int>(x); };
  const auto report = [&] { return made_report<int, std::unique_ptr<int>>(std::vector{1, 2, 3}, true, make); };

  const auto map = report().success_map().to<std::map<int, std::unique_ptr<int>>>();
  CHECK(*map.at(3) == 3);
  int sum = 0;
  for (auto& [task, result] : report().success_map()) {
    const std::unique_ptr<int> taken = std::move(result);
    sum += task * *taken;
  }
  CHECK(sum == 14);
  for (auto& outcome : report().outcomes()) sum += *outcome.take();
  CHECK(sum == 20);
  for (auto&& outcome : report().outcomes()) sum += *outcome.take();
  CHECK(sum == 26);
  std::unique_ptr<int> second = std::move(report().success_map().at(2));
  CHECK(*second == 2);
  const auto kept = report().success_map();  // the map owns the report
  CHECK(*kept.at(1) == 1);
  CHECK(kept.size() == 3);
}

TEST_CASE("a result need not be copyable, assignable or default-constructible") {
  auto report = made_report<int, Result>(std::vector{1, 2}, true, [](int x) {
    if (x == 2) throw 42;
    return Result{x};
  });
  CHECK(report.success_map().at(1).number == 1);
  CHECK(report.error_map().at(2).message() == "42");
  CHECK(report[0].take().number == 1);
  CHECK(report.success_map().at(1).number == -1);
}

TEST_CASE("failed and unfinished tasks are ranges in source order") {
  const auto report = tenfold({5, 14, 2, 3, 5, 7, 1});
  CHECK(listed(report.failed_tasks()) == std::vector<int>{5, 3, 1});
  CHECK(listed(report.unfinished_tasks()) == std::vector<int>{14, 7});
  CHECK_FALSE(report.failed_tasks().empty());
  CHECK(tenfold({2}).failed_tasks().empty());
  const auto again = tenfold(listed(report.failed_tasks()));
  CHECK(again.failed == 3);
}

TEST_CASE("failed tasks of a temporary report are given away") {
  using Task = std::unique_ptr<int>;
  std::vector<Task> tasks;
  for (const int n : {1, 2, 3}) tasks.push_back(std::make_unique<int>(n));
  const auto odd = [](const Task& task) {
    if (*task % 2 != 0) throw std::runtime_error("odd");
    return *task;
  };
  auto report = made_report<Task, int>(std::move(tasks), true, odd);
  CHECK(report.failed == 2);
  int sum = 0;
  for (const Task& task : report.failed_tasks()) sum += *task;
  CHECK(sum == 4);
  auto range = std::move(report).failed_tasks();
  const auto again = made_report<Task, int>(std::move(range), true, odd);
  CHECK(again.failed == 2);
  CHECK(*again[0].task() == 1);
  CHECK(*again[1].task() == 3);
}

TEST_CASE("where duplicates are run, each map shows the last occurrence in it, and counts distinct keys") {
  int call = 0;
  const auto report = made_report<int, int>(std::vector{1, 2, 1, 1, 2, 3}, false, [&call](int) {
    ++call;  // fails the first and the third time
    if (call == 1 || call == 3) throw std::runtime_error(std::to_string(call));
    return call;
  });
  CHECK(report.duplicates == 0);
  CHECK(report.succeeded == 4);
  CHECK(report.success_map().size() == 3);
  CHECK(report.success_map().at(1) == 4);
  CHECK(report.success_map().at(2) == 5);
  CHECK(keys(report.success_map()) == std::vector<int>{1, 2, 3});
  CHECK(report.error_map().size() == 1);
  CHECK(report.error_map().at(1).message() == "3");
  CHECK(keys(report.error_map()) == std::vector<int>{1});
  CHECK(report.outcomes().size() == 6);
  CHECK(report[0].error().message() == "1");
}

TEST_CASE("maps agree with std::map, duplicates shared or run") {
  INFO("TASKMGR_SEED=" << support::seed());
  support::Random random;
  for (int round = 0; round < 120; ++round) {
    const bool share = round % 3 == 0;
    std::vector<int> tasks(random.below(round < 100 ? 60 : 800));
    const int values = 1 + random.number(80);
    for (int& task : tasks) task = random.number(values);
    CAPTURE(share);
    CAPTURE(tasks.size());

    Model model;
    int call = 0;
    const auto report = made_report<int, int>(tasks, share, [&](int task) -> int {
      ++call;
      switch (random.below(4)) {
        case 0: throw CancelThis{};
        case 1: model.failure(task, std::to_string(call)); throw std::runtime_error(std::to_string(call));
        default: model.success(task, call); return call;
      }
    });
    CHECK(report.success_map().size() == model.succeeded.size());
    CHECK(report.error_map().size() == model.failed.size());
    CHECK(report.success_map().empty() == model.succeeded.empty());
    CHECK(report.error_map().empty() == model.failed.empty());
    CHECK(report.success_map().to<std::map<int, int>>() == model.succeeded);
    CHECK(keys(report.success_map()) == model.success_order);
    CHECK(keys(report.error_map()) == model.failure_order);
    bool right = true;
    for (int task = -1; task <= values; ++task) {
      const auto found = model.succeeded.find(task);
      right = right && report.success_map().contains(task) == (found != model.succeeded.end());
      if (found != model.succeeded.end()) right = right && report.success_map().at(task) == found->second;
      const auto broken = model.failed.find(task);
      right = right && (report.error_map().find(task) == report.error_map().end()) == (broken == model.failed.end());
      if (broken != model.failed.end()) right = right && report.error_map().at(task).message() == broken->second;
    }
    CHECK(right);
  }
}

TEST_CASE("without a hash, at searches by ==, and finds the last one") {
  const auto report = made_report<Unhashed, int>(std::vector<Unhashed>{{1, 0}, {2, 1}, {1, 2}, {3, 3}}, true, [](const Unhashed& task) {
    if (task.number() == 3) throw std::runtime_error("three");
    return 10 * task.number() + task.version();
  });
  CHECK(report.duplicates == 0);
  CHECK(report.success_map().at({2, 0}) == 21);
  CHECK(report.success_map().at({1, 0}) == 12);
  CHECK(report.error_map().at({3, 0}).message() == "three");
  CHECK_FALSE(report.success_map().contains({3, 0}));
  CHECK_THROWS_AS(static_cast<void>(report.success_map().at({9, 0})), std::out_of_range);
}

TEST_CASE("tasks and results may be bool") {
  const auto report = made_report<bool, bool>(std::vector<bool>{true, false, true}, true, [](bool x) { return !x; });
  CHECK(report.duplicates == 1);
  CHECK_FALSE(report.success_map().at(true));
  CHECK(report.success_map().at(false));
  int count = 0;
  for (const auto& [task, result] : report.success_map()) count += task != result ? 1 : 0;
  CHECK(count == 2);
  CHECK(report[2].task());
}

TEST_CASE("a result may be an error, and does not get into the map of errors") {
  const auto report = made_report<int, TaskError>(std::vector{1, 2}, true, [](int x) -> TaskError {
    if (x == 2) throw std::runtime_error("thrown");
    return {TaskError::Kind::timeout, std::make_exception_ptr(std::runtime_error("returned")), 5};
  });
  CHECK(report.success_map().size() == 1);
  CHECK(report.success_map().at(1).message() == "returned");
  CHECK_FALSE(report.success_map().contains(2));
  CHECK(report.error_map().size() == 1);
  CHECK(report.error_map().at(2).message() == "thrown");
  CHECK(keys(report.success_map()) == std::vector<int>{1});
}

TEST_CASE("a map of a million keys is no slower to read than its keys are far apart") {
  // every key in a different order than it was stored, in both ways of keeping duplicates
  constexpr int size = 200'000;
  std::vector<int> tasks(size);
  for (int k = 0; k < size; ++k) tasks[static_cast<std::size_t>(k)] = 2 * (k * 7'919 % size);
  for (const bool share : {true, false}) {
    const auto report = made_report<int, int>(tasks, share, [](int x) { return x / 2; });
    const auto map = report.success_map();
    bool right = true;
    for (int k = 0; k < size; ++k) right = right && map.at(2 * k) == k && !map.contains(2 * k + 1);
    CHECK(right);
    CHECK(map.size() == size);
  }
}

TEST_CASE("many threads may read one report, from its first use on") {
  std::vector<int> tasks;
  for (int k = 0; k < 600; ++k) tasks.push_back(k % 200);
  for (const bool share : {true, false}) {
    const auto report = tenfold(tasks, share);
    std::atomic<int> ready{0};
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&report, &ready, &wrong, t] {
        ++ready;
        while (ready < 4) std::this_thread::yield();
        const auto map = report.success_map();
        const auto errors = report.error_map();
        for (int k = 0; k < 200; ++k) {
          const int key = (k + 50 * t) % 200;
          const bool succeeds = key % 7 != 0 && key % 2 == 0;
          const bool fails = key % 7 != 0 && key % 2 != 0;
          wrong += map.contains(key) == succeeds && errors.contains(key) == fails ? 0 : 1;
          if (succeeds) wrong += map.at(key) == 10 * key ? 0 : 1;
          if (fails) wrong += errors.at(key).message() == "odd: " + std::to_string(key) ? 0 : 1;
        }
        std::size_t walked = 0;
        for (const auto& [task, value] : map) walked += value == 10 * task ? 1U : 0U;
        wrong += walked == map.size() ? 0 : 1;
        for (std::size_t i = 0; i < report.total; ++i) wrong += report[i].task() == static_cast<int>(i % 200) ? 0 : 1;
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
  }
}
