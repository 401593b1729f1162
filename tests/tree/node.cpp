// SPDX-License-Identifier: MIT
#include <taskmgr/tree/node.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <variant>
#include <vector>

using taskmgr::NodeResults;

static_assert(std::random_access_iterator<NodeResults<int>::iterator>);
static_assert(std::is_convertible_v<NodeResults<int>, std::vector<int>>);
static_assert(!std::is_convertible_v<NodeResults<std::unique_ptr<int>>, std::vector<std::unique_ptr<int>>>);

TEST_CASE("results at a node are read like a vector of them") {
  const int values[] = {5, 3, 4};
  const NodeResults<int> results{{&values[0], &values[1], &values[2]}, nullptr};
  CHECK(results.size() == 3);
  CHECK_FALSE(results.empty());
  CHECK(results.front() == 5);
  CHECK(results.back() == 4);
  CHECK(&results[1] == &values[1]);
  CHECK(results.at(2) == 4);
  CHECK_THROWS_WITH_AS(static_cast<void>(results.at(3)), "taskmgr: at(3) of 3 results", std::out_of_range);
  CHECK(std::accumulate(results.begin(), results.end(), 0) == 12);
  CHECK(*std::max_element(results.begin(), results.end()) == 5);
  CHECK(results.end() - results.begin() == 3);
  CHECK(*(2 + results.begin()) == 4);
  CHECK(results.begin()[1] == 3);
  CHECK(results == std::vector{5, 3, 4});
  CHECK(results != std::vector{5, 3});
  const std::vector<int> copied = results;
  CHECK(copied == std::vector{5, 3, 4});
  CHECK(NodeResults<int>{{}, nullptr}.empty());
}

TEST_CASE("results own what they show, if they are given it") {
  auto value = std::make_shared<int>(7);
  std::weak_ptr<int> alive = value;
  {
    const NodeResults<int> results{{value.get()}, std::move(value)};
    const NodeResults<int> copy = results;
    CHECK(copy.front() == 7);
    CHECK_FALSE(alive.expired());
  }
  CHECK(alive.expired());
}
