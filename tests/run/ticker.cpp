// SPDX-License-Identifier: MIT
#include <taskmgr/run/ticker.hpp>

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/build.hpp"

using taskmgr::detail::Job, taskmgr::detail::job_for, taskmgr::detail::job_of, taskmgr::detail::Ticker;
using namespace std::chrono_literals;

namespace {

/// Counts calls, and lets a test wait for the next ones.
class Counter {
 public:
  Job tick() { return job_of<&Counter::note>(*this); }
  void wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return at_.size() >= count; });
  }
  std::size_t count() {
    const std::scoped_lock lock(mutex_);
    return at_.size();
  }
  std::vector<Ticker::Clock::time_point> at() {
    const std::scoped_lock lock(mutex_);
    return at_;
  }
  std::thread::id thread() {
    const std::scoped_lock lock(mutex_);
    return thread_;
  }

 private:
  void note() {
    const std::scoped_lock lock(mutex_);
    at_.push_back(Ticker::Clock::now());
    thread_ = std::this_thread::get_id();
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Ticker::Clock::time_point> at_;
  std::thread::id thread_;
};

/// Of this process; one that was joined may count for a moment.
int ticker_threads() {
  int count = 0;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(thread.path() / "comm"), name);
    count += name == "taskmgr-ticker" ? 1 : 0;
  }
  return count;
}

}  // namespace

TEST_CASE("a tick comes a period after it was asked for, and then never sooner than a period after the one before") {
  constexpr auto period = 5ms;
  Ticker ticker{period};
  Counter counter;
  const auto asked = Ticker::Clock::now();
  {
    const auto registration = ticker.add(counter.tick());
    counter.wait_for(6);
  }
  const auto at = counter.at();
  CHECK(at.front() - asked >= period);
  // The moment is taken within the call, so a call that was held up before it may seem to come late, and the next early:
  // over all, no call can have been early.
  for (std::size_t i = 0; i < at.size(); ++i) {
    CAPTURE(i);
    CHECK(at[i] - asked >= static_cast<int>(i + 1) * period);
  }
}

TEST_CASE("all ticks come from one thread, which is none of the callers'") {
  Ticker ticker{1ms};
  Counter one, two;
  const auto first = ticker.add(one.tick());
  const auto second = ticker.add(two.tick());
  one.wait_for(2);
  two.wait_for(2);
  CHECK(one.thread() == two.thread());
  CHECK(one.thread() != std::this_thread::get_id());
}

TEST_CASE("after a registration has ended its job is not done") {
  Ticker ticker{1ms};
  Counter ended, other;
  {
    const auto registration = ticker.add(ended.tick());
    ended.wait_for(1);
  }
  const std::size_t calls = ended.count();
  const auto registration = ticker.add(other.tick());
  other.wait_for(5);
  CHECK(ended.count() == calls);
}

TEST_CASE("the end of a registration waits for its call that is under way, even while that call waits for a third") {
  Ticker ticker{1ms};
  std::mutex of_observer;
  std::promise<void> inside;
  std::atomic<bool> returned{false};
  std::unique_lock held(of_observer);
  auto tick = [&, first = true]() mutable {
    if (std::exchange(first, false)) inside.set_value();
    const std::scoped_lock lock(of_observer);
    returned = true;
  };
  std::optional<Ticker::Registration> registration{ticker.add(job_for(tick))};
  inside.get_future().wait();
  std::thread ender{[&] {
    registration.reset();
    CHECK(returned);
  }};
  CHECK_FALSE(returned);
  held.unlock();
  ender.join();
}

TEST_CASE("one registration's end does not wait for another's call") {
  Ticker ticker{1ms};
  std::promise<void> inside;
  std::promise<void> release;
  auto wait_once = [&, first = true]() mutable {
    if (!std::exchange(first, false)) return;
    inside.set_value();
    release.get_future().wait();
  };
  const auto slow = ticker.add(job_for(wait_once));
  Counter counter;
  std::optional<Ticker::Registration> other{ticker.add(counter.tick())};
  inside.get_future().wait();
  other.reset();  // would never return otherwise
  release.set_value();
}

TEST_CASE("a tick may end its own registration, and give up the last owner of the ticker") {
  auto ticker = std::make_shared<Ticker>(1ms);
  std::optional<Ticker::Registration> registration;
  std::promise<void> stored;
  std::promise<void> ended;
  auto end_all = [&, ready = stored.get_future().share()] {
    ready.wait();
    registration.reset();
    ticker.reset();
    ended.set_value();
  };
  registration.emplace(ticker->add(job_for(end_all)));
  const std::weak_ptr<Ticker> gone = ticker;
  stored.set_value();
  ended.get_future().wait();
  CHECK(gone.expired());
}

TEST_CASE("a registration may outlive its ticker") {
  std::optional<Ticker::Registration> registration;
  Counter counter;
  {
    Ticker ticker{1ms};
    registration.emplace(ticker.add(counter.tick()));
    counter.wait_for(1);
  }
  const std::size_t calls = counter.count();
  registration.reset();
  CHECK(counter.count() == calls);
}

TEST_CASE("a registration moves") {
  Ticker ticker{1ms};
  Counter counter;
  Ticker::Registration one = ticker.add(counter.tick());
  Ticker::Registration two = std::move(one);
  counter.wait_for(1);
  Counter next;
  two = ticker.add(next.tick());
  const std::size_t calls = counter.count();
  next.wait_for(3);
  CHECK(counter.count() == calls);
}

TEST_CASE("a ticker with nothing to do wakes up for what is added later") {
  Ticker ticker{1ms};
  for (std::size_t round = 0; round < 20; ++round) {
    Counter counter;
    const auto registration = ticker.add(counter.tick());
    counter.wait_for(1 + round % 3);
  }
  Ticker never_used{1ms};
}

TEST_CASE("there is one ticker for the process, as long as somebody keeps it") {
  while (ticker_threads() != 0) std::this_thread::yield();  // those of other tests were joined
  auto one = Ticker::instance();
  auto two = Ticker::instance();
  CHECK(one.get() == two.get());
  Counter counter;
  const auto tick_once = [&](Ticker& ticker) {
    const std::size_t calls = counter.count();
    const auto registration = ticker.add(counter.tick());
    counter.wait_for(calls + 1);
  };
  tick_once(*one.get());
  one = {};
  CHECK(ticker_threads() == 1);
  tick_once(*two.get());
  two = {};
  while (ticker_threads() != 0) std::this_thread::yield();  // it was joined, and the system forgets it soon
  tick_once(*Ticker::instance().get());
}

TEST_CASE("many threads take and give up the ticker of the process at once") {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 2000; ++i) {
        const auto ticker = Ticker::instance();
        if (i % 100 == 0) {
          auto tick = [] {};
          const auto registration = ticker->add(job_for(tick));
        }
      }
    });
  }
}

TEST_CASE("no signal of the host is handled on the ticker's thread") {
  Ticker ticker{1ms};
  std::promise<sigset_t> mask;
  auto look = [&, first = true]() mutable {
    if (!std::exchange(first, false)) return;
    sigset_t blocked;
    pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
    mask.set_value(blocked);
  };
  const auto registration = ticker.add(job_for(look));
  const sigset_t blocked = mask.get_future().get();
  for (const int signal : {SIGINT, SIGTERM, SIGWINCH, SIGCHLD, SIGALRM}) CHECK(sigismember(&blocked, signal) == 1);
  CHECK(sigismember(&blocked, SIGSEGV) == 0);
  sigset_t mine;
  pthread_sigmask(SIG_BLOCK, nullptr, &mine);
  CHECK(sigismember(&mine, SIGINT) == 0);
}

TEST_CASE("many threads register and end at once") {
  Ticker ticker{50us};
  std::atomic<int> ticks{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) {
        std::atomic<bool> over{false};
        {
          auto tick = [&] {
            CHECK_FALSE(over);
            ++ticks;
          };
          const auto registration = ticker.add(job_for(tick));
          if (i % 20 == 0) {
            const int before = ticks;
            while (ticks == before) std::this_thread::yield();
          }
        }
        over = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(ticks > 0);
}

#ifndef TASKMGR_TEST_TSAN  // which ends a child that starts threads, if its parent had some
TEST_CASE("in a forked child an inherited ticker ticks, and everything ends") {
  auto ticker = std::make_shared<Ticker>(1ms);
  auto process_wide = Ticker::instance();
  Counter counter, common;
  std::optional<Ticker::Registration> registration{ticker->add(counter.tick())};
  std::optional<Ticker::Registration> second{process_wide->add(common.tick())};
  counter.wait_for(1);
  common.wait_for(1);
  std::cout.flush();  // or the child has a copy to write
  const pid_t child = fork();
  if (child == 0) {
    Counter here;
    {
      const auto mine = ticker->add(here.tick());
      const auto other = process_wide->add(here.tick());
      here.wait_for(2);
    }
    const bool renewed = Ticker::instance().get() != process_wide.get();
    registration.reset();
    second.reset();
    ticker.reset();
    process_wide = {};
    _exit(renewed ? 0 : 1);
  }
  REQUIRE(child > 0);
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  const std::size_t calls = counter.count();
  counter.wait_for(calls + 1);  // nothing has changed here
}
#endif
