// SPDX-License-Identifier: MIT
#include <taskmgr/run/watchdog.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/wait.hpp"

using taskmgr::detail::Watchdog;
using support::wait_for_stop;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

TEST_CASE("an attempt whose deadline is over is asked to stop") {
  Watchdog watchdog;
  Watchdog::Alarm alarm;
  watchdog.arm(alarm, Clock::now() - 1s);
  wait_for_stop(alarm.token());
  CHECK(alarm.token().stop_requested());
  watchdog.disarm(alarm);
}

TEST_CASE("an attempt is not asked before its deadline") {
  Watchdog watchdog;
  Watchdog::Alarm alarm;
  const auto deadline = Clock::now() + 20ms;
  watchdog.arm(alarm, deadline);
  wait_for_stop(alarm.token());
  CHECK(Clock::now() >= deadline);
  watchdog.disarm(alarm);
}

TEST_CASE("an attempt that is over is not asked any more") {
  Watchdog watchdog;
  Watchdog::Alarm quick;
  Watchdog::Alarm slow;
  for (bool in_time = false; !in_time;) {
    const auto now = Clock::now();
    watchdog.arm(quick, now + 20ms);
    watchdog.arm(slow, now + 21ms);
    const std::stop_token token = quick.token();
    watchdog.disarm(quick);
    in_time = !token.stop_requested();  // else this thread was held up for 20 ms
    wait_for_stop(slow.token());
    CHECK(token.stop_requested() == !in_time);
    watchdog.disarm(slow);
  }
}

TEST_CASE("attempts are asked in the order in which they began") {
  Watchdog watchdog;
  Watchdog::Alarm alarms[5];
  std::mutex mutex;
  std::vector<int> order;
  std::latch asked{5};
  const auto now = Clock::now();
  for (Watchdog::Alarm& alarm : alarms) watchdog.arm(alarm, now + 30ms);
  const auto note = [&](int k) {
    return [&, k] {
      const std::scoped_lock lock(mutex);
      order.push_back(k);
      asked.count_down();
    };
  };
  {
    const std::stop_callback c0{alarms[0].token(), note(0)};
    const std::stop_callback c1{alarms[1].token(), note(1)};
    const std::stop_callback c2{alarms[2].token(), note(2)};
    const std::stop_callback c3{alarms[3].token(), note(3)};
    const std::stop_callback c4{alarms[4].token(), note(4)};
    asked.wait();
  }
  CHECK(order == std::vector{0, 1, 2, 3, 4});
  for (Watchdog::Alarm& alarm : alarms) watchdog.disarm(alarm);
}

TEST_CASE("the next attempt of a worker has a stop state of its own") {
  Watchdog watchdog;
  Watchdog::Alarm alarm;
  watchdog.arm(alarm, Clock::now());
  const std::stop_token first = alarm.token();
  wait_for_stop(first);
  watchdog.disarm(alarm);
  watchdog.arm(alarm, Clock::now() + 1h);
  CHECK(!alarm.token().stop_requested());
  CHECK(first.stop_requested());
  alarm.request_stop();  // as the end of the run does
  CHECK(alarm.token().stop_requested());
  watchdog.disarm(alarm);
  watchdog.arm(alarm, Clock::now() + 1h);
  CHECK(!alarm.token().stop_requested());
  watchdog.disarm(alarm);
}

TEST_CASE("what a task does on a stop may begin and end other attempts") {
  Watchdog watchdog;
  Watchdog::Alarm first;
  Watchdog::Alarm second;
  watchdog.arm(first, Clock::now() + 5ms);
  std::latch done{1};
  const std::stop_callback callback{first.token(), [&] {
                                      watchdog.arm(second, Clock::now());
                                      watchdog.disarm(second);
                                      watchdog.arm(second, Clock::now() + 1h);
                                      watchdog.disarm(second);
                                      watchdog.disarm(first);
                                      done.count_down();
                                    }};
  done.wait();
}

TEST_CASE("a watchdog that waits for a far deadline ends at once") {
  Watchdog::Alarm alarm;
  const auto begin = Clock::now();
  {
    Watchdog watchdog;
    watchdog.arm(alarm, Watchdog::TimePoint::max());
    watchdog.disarm(alarm);
  }
  CHECK(Clock::now() - begin < 10s);
  { const Watchdog never_used; }
}

TEST_CASE("an attempt that begins while another's stop is under way is watched as well") {
  Watchdog watchdog;
  Watchdog::Alarm first;
  Watchdog::Alarm second;
  std::latch inside{1};
  std::latch go_on{1};
  watchdog.arm(first, Clock::now() + 5ms);
  {
    const std::stop_callback callback{first.token(), [&] {
                                        inside.count_down();
                                        go_on.wait();
                                      }};
    inside.wait();
    watchdog.arm(second, Clock::now() + 5ms);  // the watching thread is in that callback
    go_on.count_down();
  }
  wait_for_stop(second.token());
  watchdog.disarm(first);
  watchdog.disarm(second);
}

TEST_CASE("attempts of many workers that end about their deadline") {
  Watchdog watchdog;
  std::atomic<int> asked{0};
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> workers;
    for (int k = 0; k < 4; ++k) {
      workers.emplace_back([&, k] {
        Watchdog::Alarm alarm;
        for (int attempt = 0; attempt < support::times(3000); ++attempt) {
          const auto deadline = Clock::now() + std::chrono::microseconds{50};
          watchdog.arm(alarm, deadline);
          const std::stop_token token = alarm.token();
          const auto end = deadline + std::chrono::microseconds{(attempt + k) % 3 * 20 - 20};
          if (token.stop_requested() && Clock::now() < deadline) ++wrong;
          while (Clock::now() < end && !token.stop_requested()) std::this_thread::yield();
          watchdog.disarm(alarm);
          if (token.stop_requested()) {
            ++asked;
            if (Clock::now() < deadline) ++wrong;
          }
        }
      });
    }
  }
  CHECK(wrong == 0);
  CHECK(asked <= 4 * support::times(3000));
}
