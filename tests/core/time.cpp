// SPDX-License-Identifier: MIT
#include <taskmgr/core/time.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <limits>
#include <ratio>

using namespace std::chrono_literals;
using taskmgr::detail::Clock, taskmgr::detail::in_nanoseconds, taskmgr::detail::later;
using std::chrono::nanoseconds;

TEST_CASE("a wait from now on ends at the end of time at the latest") {
  const Clock::time_point now = Clock::now();
  CHECK(later(now, 5ms) - now == 5ms);
  CHECK(later(now, nanoseconds::max()) == Clock::time_point::max());
  CHECK(later(now, Clock::time_point::max() - now) == Clock::time_point::max());
}

TEST_CASE("a duration of any unit is so many nanoseconds") {
  CHECK(in_nanoseconds(-3ns) == -3ns);
  CHECK(in_nanoseconds(0.25s) == 250ms);
  CHECK(in_nanoseconds(0.1ns * 1.5) == 1ns);
  CHECK(in_nanoseconds(std::chrono::duration<int, std::pico>{1'001}) == 2ns);
  CHECK(in_nanoseconds(2min) == 120s);
  CHECK(in_nanoseconds(-1.5h) == 0ns);
  CHECK(in_nanoseconds(std::chrono::years{100'000}) == nanoseconds::max());
  CHECK(in_nanoseconds(1s * std::numeric_limits<double>::infinity()) == nanoseconds::max());
  CHECK(in_nanoseconds(1s * std::numeric_limits<double>::quiet_NaN()) == nanoseconds::max());
}
