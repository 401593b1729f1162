// SPDX-License-Identifier: MIT
// Alone: the n-th call of `epoll_create1`, `epoll_ctl`, `epoll_wait` or `epoll_pwait2` fails here, for n = 0, 1, ... until none
// does. What was in flight has failed then, the rest is cancelled, and whoever waits is told, by an exception where there is no
// task to tell it: nobody hangs, nothing is lost.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <sys/epoll.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <system_error>

#include <taskmgr/run/awaits.hpp>

#include "support/manager.hpp"

using namespace std::chrono_literals;
using support::Manager;
using support::numbers;
using taskmgr::Async;
using taskmgr::Context;
using taskmgr::Mode;
using taskmgr::State;

namespace {

constexpr int none = -1;
std::atomic<int> before{none};  // calls until the one that fails

template <class Call, class... Args>
int call(const char* name, Args... args) {
  int left = before.load();
  while (left >= 0 && !before.compare_exchange_weak(left, left - 1)) {
  }
  if (left != 0) return reinterpret_cast<Call*>(::dlsym(RTLD_NEXT, name))(args...);
  errno = EINVAL;
  return -1;
}

}  // namespace

extern "C" int epoll_create1(int flags) noexcept { return call<int(int)>("epoll_create1", flags); }
extern "C" int epoll_ctl(int epoll, int what, int fd, epoll_event* event) noexcept {
  return call<int(int, int, int, epoll_event*)>("epoll_ctl", epoll, what, fd, event);
}
extern "C" int epoll_wait(int epoll, epoll_event* events, int most, int timeout) {
  return call<int(int, epoll_event*, int, int)>("epoll_wait", epoll, events, most, timeout);
}
extern "C" int epoll_pwait2(int epoll, epoll_event* events, int most, const timespec* timeout, const sigset_t* mask) {
  return call<int(int, epoll_event*, int, const timespec*, const sigset_t*)>("epoll_pwait2", epoll, events, most, timeout, mask);
}

namespace {

Manager manager() {
  return Manager{[](Context& context, int x) -> Async<int> {
                   co_await taskmgr::sleep_for(200us * (x % 5));
                   if (x % 4 == 1 && context.attempt() == 1) throw std::runtime_error("again");
                   co_return x;
                 },
                 {.mode = Mode::coroutine, .workers = 4, .retry = {.max_retries = 1, .base_delay = 100us}, .timeout = 1h}};
}

/// Calls `errand(broken)` for n = 0, 1, ...; `broken()` says whether a call has failed by then.
template <class Errand>
void for_each_call(const Errand& errand) {
  int failed = 0;
  for (int n = 0;; ++n) {
    CAPTURE(n);
    before = n;
    errand([] { return before == none; });
    if (before.exchange(none) != none) break;
    ++failed;
  }
  CHECK(failed >= 3);  // a loop is made, and waits
}

}  // namespace

TEST_CASE("a run whose loop breaks ends, with all that it knows") {
  const auto sleepy = manager();
  for_each_call([&](const auto& broken) {
    auto run = sleepy.launch(numbers(12));
    const auto& report = run.report();
    CHECK(support::adds_up(report));
    CHECK(report.total == 12);
    try {
      static_cast<void>(run.wait());
      CHECK(report.ok() == !broken());
      CHECK((report.failed != 0) == broken());
    } catch (const std::system_error&) {
      CHECK(broken());
      CHECK(report.failed == 0);
    }
    for (const auto& outcome : report.outcomes()) {
      if (outcome.state() == State::succeeded) CHECK(outcome.value() == outcome.task());
    }
  });
}

TEST_CASE("a stream whose loop breaks hands out what it has") {
  const auto sleepy = manager();
  for_each_call([&](const auto& broken) {
    int walked = 0;
    int failed = 0;
    const auto walk = [&] {
      for (const auto& outcome : sleepy.stream(numbers(12))) {
        ++walked;
        failed += outcome.state() == State::failed ? 1 : 0;
        if (outcome.state() == State::succeeded) CHECK(outcome.value() == outcome.task());
      }
    };
    try {
      walk();
      CHECK((failed != 0) == broken());
    } catch (const std::system_error&) {
      CHECK(broken());
      CHECK(failed == 0);
    }
    CHECK(walked == 12);  // a small source is pulled before the loop is made
  });
}

TEST_CASE("a coroutine whose loop breaks is ended, and what it waits for too") {
  const auto sleepy = manager();
  const auto outer = [&]() -> Async<std::size_t> {
    auto pending = sleepy.start_async(numbers(12));
    const auto report = co_await pending;
    co_return report.succeeded;
  };
  for_each_call([&](const auto& broken) {
    try {
      const std::size_t succeeded = taskmgr::run(outer());
      CHECK((succeeded == 12) == !broken());
    } catch (const std::system_error&) {
      CHECK(broken());
    }
  });
}
