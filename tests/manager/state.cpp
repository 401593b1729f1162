// SPDX-License-Identifier: MIT
#include <taskmgr/manager/state.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <latch>
#include <vector>

#include <taskmgr/run/cpus.hpp>

#include "support/crowd.hpp"
#include "support/manager.hpp"

using taskmgr::Context;
using taskmgr::Mode;
using taskmgr::detail::Running;
using taskmgr::detail::worker_count;

TEST_CASE("serial mode has one worker, thread mode as many as were asked for, or may be used") {
  CHECK(worker_count({.mode = Mode::serial, .workers = 7}) == 1);
  CHECK(worker_count({.mode = Mode::thread, .workers = 7}) == 7);
  CHECK(worker_count({.mode = Mode::thread}) == taskmgr::detail::usable_cpus());
}

TEST_CASE("a run counts while it lasts, or until it is said to have ended") {
  std::atomic<std::size_t> runs{0};
  {
    Running one{runs};
    const Running two{runs};
    CHECK(runs == 2);
    one.end();
    one.end();
    CHECK(runs == 1);
  }
  CHECK(runs == 0);
}

TEST_CASE("a run has no more workers than tasks, and at least one") {
  support::Crowd crowd;
  std::latch met{3};
  support::Manager manager{[&](Context& context, int x) {
                             const auto stay = crowd.enter(context);
                             met.arrive_and_wait();
                             return x;
                           },
                           {.mode = Mode::thread, .workers = 50}};
  CHECK(manager.start(support::numbers(3)).ok());
  CHECK(crowd.fits(3));
  CHECK(manager.start(std::vector<int>{}).ok());
}
