// SPDX-License-Identifier: MIT
// Alone: its system has no `epoll_pwait2`, which came with Linux 5.11.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <sys/epoll.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

#include <taskmgr/run/async.hpp>
#include <taskmgr/run/awaits.hpp>

using namespace std::chrono_literals;
using taskmgr::Async;
using Clock = std::chrono::steady_clock;

namespace {

std::atomic<int> asked{0};

Async<> sleep(std::chrono::nanoseconds span) { co_await taskmgr::sleep_for(span); }

}  // namespace

extern "C" int epoll_pwait2(int, epoll_event*, int, const timespec*, const sigset_t*) {
  ++asked;
  errno = ENOSYS;
  return -1;
}

TEST_CASE("an old kernel wakes sleepers to the millisecond, and none early") {
  for (const auto span : {1ns, 300'000ns, 1'000'000ns, 5'500'000ns, 20'000'000ns}) {
    const auto due = Clock::now() + span;
    taskmgr::run(sleep(span));
    CHECK(Clock::now() >= due);
  }
  CHECK(asked > 0);
}

TEST_CASE("an old kernel can sleep for years, and be woken") {
  std::stop_source source;
  std::jthread stopper([&source] {
    std::this_thread::sleep_for(20ms);
    source.request_stop();
  });
  CHECK_THROWS_AS(taskmgr::run(sleep(std::chrono::hours{24 * 365 * 100}), source.get_token()), taskmgr::Cancelled);
}
