// SPDX-License-Identifier: MIT
#include <taskmgr/core/format.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/made_report.hpp"

using namespace std::chrono_literals;
using support::CancelThis, support::made_report;
using taskmgr::detail::human;

namespace format_test {

/// Of which fmt knows nothing.
struct Plain {
  int number;
};

taskmgr::Report<int, int> mixed(const std::vector<int>& tasks, bool share = true) {
  return made_report<int, int>(tasks, share, [](int x) {
    if (x < 0) throw std::domain_error("negative");
    if (x == 0) throw CancelThis{};
    if (x > 100) throw std::runtime_error("too large");
    if (x > 50) throw std::domain_error("too large");
    return x;
  });
}

}  // namespace format_test
using format_test::mixed, format_test::Plain;

TEST_CASE("a report is one line") {
  auto report = mixed({1, 2, -1, 2, 0});
  report.retries = 7;
  report.elapsed = 1'500ms;
  CHECK(fmt::format("{}", report) == "5 tasks: 2 succeeded, 1 failed, 1 cancelled, 1 duplicates; 7 retries in 1.5 s");
  CHECK(fmt::format("[{}]", mixed({})) == "[0 tasks: 0 succeeded, 0 failed, 0 cancelled, 0 duplicates; 0 retries in 0 ns]");
}

TEST_CASE("the other form adds the errors by type and message, the most frequent first, with their first task") {
  const auto report = mixed({1, 60, -1, 200, -2, 70, -3, 201, 5});
  CHECK(fmt::format("{:#}", report) ==
        "9 tasks: 2 succeeded, 7 failed, 0 cancelled, 0 duplicates; 0 retries in 0 ns\n"
        "  3 x std::domain_error: negative (first: -1)\n"
        "  2 x std::domain_error: too large (first: 60)\n"
        "  2 x std::runtime_error: too large (first: 200)");
}

TEST_CASE("without errors both forms are the same") {
  const auto report = mixed({1, 0, 2});
  CHECK(fmt::format("{:#}", report) == fmt::format("{}", report));
}

TEST_CASE("an error of a task that is run again and again counts each time") {
  const auto report = mixed({-1, -1, 200, -1}, false);
  CHECK(fmt::format("{:#}", report) ==
        "4 tasks: 0 succeeded, 4 failed, 0 cancelled, 0 duplicates; 0 retries in 0 ns\n"
        "  3 x std::domain_error: negative (first: -1)\n"
        "  1 x std::runtime_error: too large (first: 200)");
}

TEST_CASE("a task that does not format is told by its number") {
  const auto report = made_report<Plain, int>(std::vector<Plain>{{1}, {1}, {2}, {3}, {4}}, true, [](const Plain& task) {
    if (task.number >= 3) throw std::runtime_error("three and more");
    return 0;
  });
  CHECK(fmt::format("{:#}", report) ==
        "5 tasks: 2 succeeded, 2 failed, 0 cancelled, 1 duplicates; 0 retries in 0 ns\n"
        "  2 x std::runtime_error: three and more (first: 3)");
}

TEST_CASE("errors that were thrown as something else are grouped too") {
  const auto report = made_report<int, int>(std::vector{1, 2, 3}, true, [](int x) -> int {
    if (x == 1) throw 42;
    throw std::string("text");
  });
  CHECK(fmt::format("{:#}", report) ==
        "3 tasks: 0 succeeded, 3 failed, 0 cancelled, 0 duplicates; 0 retries in 0 ns\n"
        "  2 x std::string: text (first: 2)\n"
        "  1 x int: 42 (first: 1)");
}

TEST_CASE("a format that there is none of is refused") {
  const auto report = mixed({1});
  CHECK_THROWS_AS(static_cast<void>(fmt::format(fmt::runtime("{:x}"), report)), fmt::format_error);
  CHECK_THROWS_AS(static_cast<void>(fmt::format(fmt::runtime("{:##}"), report)), fmt::format_error);
}

TEST_CASE("durations are written for people") {
  CHECK(human(0ns) == "0 ns");
  CHECK(human(830ns) == "830 ns");
  CHECK(human(999ns) == "999 ns");
  CHECK(human(1us) == "1 us");
  CHECK(human(12'345ns) == "12.3 us");
  CHECK(human(12'500us) == "12.5 ms");
  CHECK(human(3'210ms) == "3.21 s");
  CHECK(human(59s) == "59 s");
  CHECK(human(125s) == "2 min 05 s");
  CHECK(human(3'599s) == "59 min 59 s");
  CHECK(human(72min) == "1 h 12 min");
  CHECK(human(1'000h) == "1000 h 00 min");
}

TEST_CASE("a duration just below the next unit is not written with an exponent") {
  CHECK(human(999'499ns) == "999 us");
  CHECK(human(999'600ns) == "1 ms");
  CHECK(human(999'999ns) == "1 ms");
  CHECK(human(999'499us) == "999 ms");
  CHECK(human(999'999us) == "1 s");
  CHECK(human(59'999ms) == "60 s");
}

TEST_CASE("enumerators are formatted by their names") {
  CHECK(fmt::format("{} {} {}", taskmgr::State::succeeded, taskmgr::Mode::thread, taskmgr::Level::warning) ==
        "succeeded thread warning");
  CHECK(fmt::format("[{:>10}]", taskmgr::State::failed) == "[    failed]");
  CHECK(fmt::format("{} {}", taskmgr::EventKind::task_retrying, taskmgr::TaskError::Kind::timeout) == "task_retrying timeout");
}
