// SPDX-License-Identifier: MIT
// Alone: it is compiled a second time without optimisation, where a call that a compiler makes no jump of takes stack. The
// numbers are the same in every build.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <taskmgr/manager/task_manager.hpp>
#include <taskmgr/run/awaits.hpp>

#include <chrono>
#include <stdexcept>
#include <utility>

#include "support/coroutines.hpp"

using support::Counted, support::CountedCheck, support::OnLoop;
using taskmgr::Async, taskmgr::Cancelled, taskmgr::Mode, taskmgr::TaskManager;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

constexpr int deep = 1'000'000;

Async<int> give(int x) { co_return x; }
Async<> nothing() { co_return; }

/// As many coroutines as `depth`, each of which awaits the next; the innermost awaits `last`.
Async<int> chain_of(int depth, Async<> last) {
  const Counted local;
  if (depth == 0) {
    co_await last;
    co_return 0;
  }
  auto next = chain_of(depth - 1, std::move(last));
  co_return 1 + co_await next;
}
Async<> tells_then_sleeps(bool& asleep) {
  asleep = true;
  co_await taskmgr::sleep_for(1h);
}
Async<int> holds(Async<int> inner) { co_return 1 + co_await inner; }

}  // namespace

TEST_CASE("ten million awaits take no stack") {
  const auto loop = [](int n) -> Async<long> {
    long sum = 0;
    for (int k = 0; k < n; ++k) sum += co_await give(1);
    co_return sum;
  };
  constexpr int n = 10'000'000;
  CHECK(taskmgr::run(loop(n)) == n);
}

TEST_CASE("a chain a million deep takes no stack, whether it returns or throws") {
  const CountedCheck check;
  CHECK(taskmgr::run(chain_of(deep, nothing())) == deep);
  const auto throws = []() -> Async<> {
    throw std::runtime_error("from far below");
    co_return;
  };
  CHECK_THROWS_WITH(taskmgr::run(chain_of(deep, throws())), "from far below");
  CHECK(check.balanced());
}

TEST_CASE("a chain a million deep that waits can be dropped, and cancelled") {
  const CountedCheck check;
  for (const bool cancelled : {false, true}) {
    bool asleep = false;
    OnLoop<int> sleeper{chain_of(deep, tells_then_sleeps(asleep))};
    sleeper.turn_until([&] { return asleep; });
    CHECK(Counted::alive > deep);
    if (!cancelled) continue;
    sleeper.stop();
    sleeper.turn_to_end();
    CHECK_THROWS_AS(sleeper.take(), Cancelled);
  }
  CHECK(check.balanced());
}

TEST_CASE("a task whose chain is a million deep can be timed out where it waits") {
  const CountedCheck check;
  const Clock::time_point began = Clock::now();
  CHECK(taskmgr::run(chain_of(deep, nothing())) == deep);
  bool asleep = false;
  const TaskManager manager{[&](int depth) { return chain_of(depth, tells_then_sleeps(asleep)); },
                            {.mode = Mode::coroutine, .timeout = 2 * (Clock::now() - began)}};
  const auto report = manager.start({deep});
  CHECK(asleep);
  CHECK(report.error_map().at(deep).kind() == taskmgr::TaskError::Kind::timeout);
  CHECK(check.balanced());
}

TEST_CASE("a chain a million deep that has not begun can be dropped") {
  const CountedCheck check;
  {
    const auto innermost = [](Counted) -> Async<int> { co_return 0; };
    Async<int> pending = innermost(Counted{});
    for (int k = 0; k < deep; ++k) pending = holds(std::move(pending));
  }
  CHECK(check.balanced());
  Async<int> pending = give(0);
  for (int k = 0; k < deep; ++k) pending = holds(std::move(pending));
  CHECK(taskmgr::run(std::move(pending)) == deep);
}
