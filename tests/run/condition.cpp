// SPDX-License-Identifier: MIT
#include <taskmgr/run/condition.hpp>

#include <doctest/doctest.h>
#include <taskmgr/manager/task_manager.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "support/random.hpp"

using taskmgr::Async;
using taskmgr::Cancelled;
using taskmgr::Condition;
using taskmgr::EventLoop;
using taskmgr::Mode;
using taskmgr::TaskManager;
using taskmgr::when_all;
using taskmgr::yield;
using namespace std::chrono_literals;

namespace {

/// A condition, and those who wait for it once.
struct Room {
  Condition condition;
  int waiting = 0;           // have come
  std::vector<int> went_on;  // and gone, by their numbers

  Async<> wait(int number) {
    ++waiting;
    co_await condition.wait();
    went_on.push_back(number);
  }
  Async<> wait_all(int count) {
    std::vector<Async<>> all;
    for (int k = 0; k < count; ++k) all.push_back(wait(k));
    auto gathered = when_all(std::move(all));
    co_await gathered;
  }
  /// Until so many wait.
  Async<> full(int count) {
    while (waiting < count) co_await yield();
  }
};

Async<> turns(int count) {
  for (int turn = 0; turn < count; ++turn) co_await yield();
}

/// What a bound is made of: at most so many at a time.
class Places {
 public:
  explicit Places(int count) : free_(count) {}
  Async<> enter() {
    while (free_ == 0) co_await freed_.wait();
    --free_;
  }
  void leave() {
    ++free_;
    freed_.notify_one();
  }

 private:
  int free_;
  Condition freed_;
};

}  // namespace

TEST_CASE("notify_all lets all go on that wait, in their order") {
  Room room;
  const auto notify = [](Room& told) -> Async<> {
    co_await told.full(5);
    told.condition.notify_all();
    CHECK(told.went_on.empty());  // soon, not within the call
  };
  taskmgr::run(when_all(room.wait_all(5), notify(room)));
  CHECK(room.went_on == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("notify_one lets the one go on that has waited longest") {
  Room room;
  const auto notify = [](Room& told) -> Async<> {
    co_await told.full(5);
    for (std::size_t k = 0; k < 5; ++k) {
      told.condition.notify_one();
      co_await turns(5);
      CHECK(told.went_on.size() == k + 1);
    }
  };
  taskmgr::run(when_all(room.wait_all(5), notify(room)));
  CHECK(room.went_on == std::vector<int>{0, 1, 2, 3, 4});
}

TEST_CASE("a notification is not kept for those who come later") {
  Room room;
  room.condition.notify_one();
  room.condition.notify_all();
  std::stop_source stop;
  const auto give_up = [](Room& told, std::stop_source& source) -> Async<> {
    co_await told.full(1);
    co_await turns(5);
    CHECK(told.went_on.empty());
    source.request_stop();
  };
  CHECK_THROWS_AS(taskmgr::run(when_all(room.wait(0), give_up(room, stop)), stop.get_token()), Cancelled);
  CHECK(room.went_on.empty());
}

TEST_CASE("who waits again is not notified by what was told before") {
  Room room;
  const auto wait_twice = [](Room& told) -> Async<> {
    co_await told.wait(1);
    co_await told.wait(2);
  };
  const auto notify = [](Room& told) -> Async<> {
    co_await told.full(1);
    told.condition.notify_all();
    co_await told.full(2);
    co_await turns(5);
    CHECK(told.went_on == std::vector<int>{1});
    told.condition.notify_all();
  };
  taskmgr::run(when_all(wait_twice(room), notify(room)));
  CHECK(room.went_on == std::vector<int>{1, 2});
}

TEST_CASE("a stop wakes those who wait, and those who come are not let in") {
  Room room;
  std::stop_source stop;
  const std::jthread other{[&stop] { stop.request_stop(); }};  // before they wait, or meanwhile
  CHECK_THROWS_AS(taskmgr::run(room.wait_all(3), stop.get_token()), Cancelled);
  CHECK(room.went_on.empty());
}

TEST_CASE("one that is stopped after it was notified hands the notification on") {
  Room room;
  EventLoop loop;
  taskmgr::detail::ChainOf<void> first{loop, room.wait(0)};
  taskmgr::detail::ChainOf<void> second{loop, room.wait(1)};
  const auto notify = [](Room& told, taskmgr::detail::Chain& notified) -> Async<> {
    co_await told.full(2);
    told.condition.notify_one();
    notified.stop();
  };
  taskmgr::detail::ChainOf<void> third{loop, notify(room, first)};
  loop.soon(first);
  loop.soon(second);
  loop.soon(third);
  loop.run_until([&] { return first.done() && second.done() && third.done(); });
  CHECK_THROWS_AS(first.take(), Cancelled);
  CHECK(room.went_on == std::vector<int>{1});
}

TEST_CASE("coroutines that are dropped while they wait leave nothing behind") {
  Room room;
  const auto held = std::make_shared<int>(7);
  const auto wait = [](Room& told, std::shared_ptr<int> mine) -> Async<> {
    co_await told.wait(*mine);
    FAIL("it was dropped");
  };
  {
    EventLoop loop;
    taskmgr::detail::ChainOf<void> dropped{loop, wait(room, held)};
    taskmgr::detail::ChainOf<void> other{loop, room.full(1)};
    loop.soon(dropped);
    loop.soon(other);
    loop.run_until([&other] { return other.done(); });
    CHECK(held.use_count() == 2);
  }
  CHECK(held.use_count() == 1);
  room.condition.notify_all();
}

TEST_CASE("a bound made of it holds, whoever times out") {
  INFO("TASKMGR_SEED=" << support::seed());
  support::Random random;
  constexpr int bound = 3;
  Places places{bound};
  int inside = 0;
  int most = 0;
  const auto work = [&places, &inside, &most](const std::pair<int, int>& task) -> Async<int> {
    co_await places.enter();
    struct Leaving {
      Places& places;
      int& inside;
      ~Leaving() {
        --inside;
        places.leave();
      }
    } const leaving{places, inside};
    most = ++inside > most ? inside : most;
    co_await taskmgr::sleep_for(std::chrono::microseconds{task.second});
    co_return task.first;
  };
  std::vector<std::pair<int, int>> tasks;
  for (int k = 0; k < 400; ++k) tasks.emplace_back(k, random.below(20) == 0 ? 60'000'000 : static_cast<int>(random.below(200)));
  const TaskManager manager{work, {.mode = Mode::coroutine, .workers = 50, .timeout = 20ms}};
  const auto report = manager.start(tasks);
  CHECK(report.succeeded + report.failed == 400);
  CHECK(report.failed > 0);
  CHECK(most <= bound);
  CHECK(inside == 0);
  const auto all_at_once = [](Places& free) -> Async<> {  // none was lost
    for (int k = 0; k < bound; ++k) co_await free.enter();
  };
  taskmgr::run(all_at_once(places));
}
