// SPDX-License-Identifier: MIT
#include <taskmgr/tree/node_map.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <taskmgr/tree/branches.hpp>

#include "support/branches.hpp"

using taskmgr::Branches;
using taskmgr::Node;
using taskmgr::NodeMap;
using taskmgr::TaskTree;
using taskmgr::TreeReport;
using namespace support::branches;

TEST_CASE("results are found by initial task, and shown in the order of the source") {
  TaskTree<int> tree;
  const auto each = tree.split(tree.root(same), up_to);
  const auto report = tree.start({3, 0, 2, 3});
  const auto results = report.results(each);
  CHECK(results.size() == 3);
  CHECK_FALSE(results.empty());
  CHECK(results.at(3) == std::vector{1, 2, 3});
  CHECK(results.at(0).empty());
  CHECK_THROWS_WITH_AS(static_cast<void>(results.at(7)), "taskmgr: results().at(): the run had no such task", std::out_of_range);
  CHECK(results.contains(2));
  CHECK_FALSE(results.contains(7));
  CHECK(results.find(2)->second == std::vector{1, 2});
  CHECK(results.find(7) == results.end());
  std::vector<std::pair<int, std::size_t>> seen;
  for (const auto& [task, found] : results) seen.emplace_back(task, found.size());
  CHECK(seen == std::vector<std::pair<int, std::size_t>>{{3, 3}, {0, 0}, {2, 2}});
  CHECK(report.success_map().at(2).results(each) == std::vector{1, 2});
}

TEST_CASE("results own what they show") {
  std::optional<NodeMap<int, int>> kept;
  std::optional<taskmgr::NodeResults<int>> of_two;
  TreeReport<int, Branches> nothing;
  {
    TaskTree<int> tree;
    const auto each = tree.split(tree.root(same), up_to);
    CHECK_THROWS_AS(static_cast<void>(nothing.results(each)), taskmgr::UsageError);
    kept.emplace(tree.start({1, 2}).results(each));
    of_two.emplace(tree.start({1, 2}).results(each).at(2));
    int sum = 0;
    for (const auto& [task, found] : tree.start({1, 2}).results(each)) {
      for (const int n : found) sum += n;
    }
    CHECK(sum == 4);
  }
  CHECK(kept->at(2) == std::vector{1, 2});
  CHECK(*of_two == std::vector{1, 2});
}
