// SPDX-License-Identifier: MIT
#include <taskmgr/tree/report.hpp>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <type_traits>

#include <taskmgr/tree/task_tree.hpp>

using taskmgr::Report;
using taskmgr::TaskTree;
using taskmgr::TreeReport;

static_assert(std::is_base_of_v<Report<int, int>, TreeReport<int, int>>);
static_assert(std::is_nothrow_move_constructible_v<TreeReport<int, int>>);
static_assert(!std::is_copy_constructible_v<TreeReport<int, int>>);

TEST_CASE("a report of a tree is one like others, and prints like them") {
  const TaskTree tree{[](int x) { return 10 / x; }, [](int x) { return x + 1; }};
  const TreeReport<int, int> report = tree.start({1, 2, 2, 5});
  CHECK(report.ok());
  CHECK(report.total == 4);
  CHECK(report.duplicates == 1);
  CHECK(report[2].value() == 6);
  CHECK(fmt::format("{}", report).find("3") != std::string::npos);
  const Report<int, int>& base = report;
  CHECK(fmt::format("{}", base) == fmt::format("{}", report));
}
