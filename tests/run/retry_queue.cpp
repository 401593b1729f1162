// SPDX-License-Identifier: MIT
#include <taskmgr/run/retry_queue.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/random.hpp"

using taskmgr::detail::RetryQueue;
using namespace std::chrono_literals;

namespace {

constexpr RetryQueue::TimePoint start{};  // the queue reads no clock: any time will do

}  // namespace

TEST_CASE("an empty queue is never due") {
  RetryQueue queue;
  CHECK(queue.next_due() == RetryQueue::never);
  CHECK_FALSE(queue.pop(RetryQueue::never));
}

TEST_CASE("a task is handed out when it is due, not before") {
  RetryQueue queue;
  queue.push(7, 2, start + 5s);
  CHECK(queue.next_due() == start + 5s);
  CHECK_FALSE(queue.pop(start + 5s - 1ns));
  const auto waiting = queue.pop(start + 5s);
  REQUIRE(static_cast<bool>(waiting));
  CHECK(waiting.id == 7);
  CHECK(waiting.attempt == 2);
  CHECK(queue.next_due() == RetryQueue::never);
  CHECK_FALSE(queue.pop(start + 1h));
}

TEST_CASE("a push says whether nothing else is due as early") {
  RetryQueue queue;
  CHECK(queue.push(0, 2, start + 5s));
  CHECK(!queue.push(1, 2, start + 5s));
  CHECK(!queue.push(2, 2, start + 6s));
  CHECK(queue.push(3, 2, start + 4s));
}

TEST_CASE("the longest due comes first, and of those due at the same time the first that came") {
  RetryQueue queue;
  for (const std::size_t id : {4U, 2U, 9U, 1U}) queue.push(id, 2, start + 1s);
  queue.push(5, 3, start);
  std::vector<std::size_t> order;
  while (const auto waiting = queue.pop(start + 2s)) order.push_back(waiting.id);
  CHECK(order == std::vector<std::size_t>{5, 4, 2, 9, 1});
}

TEST_CASE("a queue does what a sorted map does") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  RetryQueue queue;
  std::map<RetryQueue::TimePoint, std::deque<std::size_t>> model;
  for (std::size_t k = 0; k < 20'000; ++k) {
    if (random.below(2) == 0) {
      const auto due = start + 1s * random.number(50);
      REQUIRE(queue.push(k, 2, due) == (model.empty() || due < model.begin()->first));
      model[due].push_back(k);
    } else {
      const auto now = start + 1s * random.number(50);
      const auto waiting = queue.pop(now);
      REQUIRE(static_cast<bool>(waiting) == (!model.empty() && model.begin()->first <= now));
      if (!waiting) continue;
      auto& first = *model.begin();
      REQUIRE(waiting.due == first.first);
      REQUIRE(waiting.id == first.second.front());
      first.second.pop_front();
      if (first.second.empty()) model.erase(model.begin());
    }
    REQUIRE(queue.next_due() == (model.empty() ? RetryQueue::never : model.begin()->first));
  }
}

TEST_CASE("what many threads push, many threads pop exactly once") {
  constexpr std::size_t pushers = 3;
  const auto each = static_cast<std::size_t>(support::times(20'000));
  RetryQueue queue;
  std::vector<std::atomic<int>> popped(pushers * each);
  std::atomic<std::size_t> left{pushers * each};
  {
    std::vector<std::jthread> threads;
    for (std::size_t p = 0; p < pushers; ++p) {
      threads.emplace_back([&, p] {
        for (std::size_t k = 0; k < each; ++k) queue.push(p * each + k, 2, start + 1ns * static_cast<long>((k * 7919) % 1000));
      });
      threads.emplace_back([&] {
        while (left.load() != 0) {
          const auto waiting = queue.pop(start + 1s);
          if (!waiting) {
            std::this_thread::yield();
            continue;
          }
          popped[waiting.id].fetch_add(1);
          left.fetch_sub(1);
        }
      });
    }
  }
  CHECK(std::all_of(popped.begin(), popped.end(), [](const auto& count) { return count.load() == 1; }));
  CHECK(queue.next_due() == RetryQueue::never);
}
