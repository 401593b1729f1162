// SPDX-License-Identifier: MIT
#include <taskmgr/run/event_loop.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <climits>
#include <coroutine>
#include <cstddef>
#include <cstdlib>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/sockets.hpp"

using support::Sockets;
using taskmgr::EventLoop;
using taskmgr::detail::Entry, taskmgr::detail::Job, taskmgr::detail::job_for;
using namespace std::chrono_literals;
using Clock = EventLoop::Clock;
using Readiness = EventLoop::Readiness;

namespace {

/// Does what it was given.
struct Act final : Entry {
  explicit Act(std::function<void()> f) : act(std::move(f)) {}
  void fire() noexcept override { act(); }
  std::function<void()> act;
};

/// A file on disk, at a number of our choice.
int file_at(int fd) {
  std::string name = "/tmp/taskmgr_test_XXXXXX";
  const int file = ::mkstemp(name.data());
  REQUIRE(file >= 0);
  ::unlink(name.c_str());
  if (fd < 0) return file;
  REQUIRE(::dup2(file, fd) == fd);
  ::close(file);
  return fd;
}

std::chrono::nanoseconds processor_time() {  // of this thread
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec};
}

/// Lets everything happen that is ready. The loop looks around after some work, so there has to be some.
void settle(EventLoop& loop) {
  constexpr int enough = 1000;
  int turns = 0;
  Act turn{[&] {
    if (++turns < enough) loop.soon(turn);
  }};
  loop.soon(turn);
  loop.run_until([&] { return turns == enough; });
}

}  // namespace

TEST_CASE("the loop that runs on a thread is known there, the innermost first") {
  CHECK(EventLoop::current() == nullptr);
  EventLoop outer;
  EventLoop inner;
  bool done = false;
  Act in_inner{[&] {
    CHECK(EventLoop::current() == &inner);
    done = true;
  }};
  Act in_outer{[&] {
    CHECK(EventLoop::current() == &outer);
    inner.soon(in_inner);
    inner.run_until([&] { return done; });
    CHECK(EventLoop::current() == &outer);
    std::thread([] { CHECK(EventLoop::current() == nullptr); }).join();
  }};
  outer.soon(in_outer);
  outer.run_until([&] { return done; });
  CHECK(EventLoop::current() == nullptr);
}

TEST_CASE("a loop whose work is done does nothing") {
  EventLoop loop;
  bool fired = false;
  Act act{[&] { fired = true; }};
  loop.soon(act);
  loop.run_until([] { return true; });
  CHECK(!fired);
}

TEST_CASE("what is ready is done in the order in which it became so") {
  EventLoop loop;
  std::vector<int> order;
  std::vector<std::unique_ptr<Act>> acts;
  for (int k = 0; k < 1000; ++k) {
    acts.push_back(std::make_unique<Act>([&, k] { order.push_back(k); }));
    loop.soon(*acts.back());
  }
  loop.run_until([&] { return order.size() == 1000; });
  for (int k = 0; k < 1000; ++k) CHECK(order[static_cast<std::size_t>(k)] == k);
}

TEST_CASE("an entry may end itself, and others") {
  EventLoop loop;
  bool other_fired = false;
  auto other = std::make_unique<Act>([&] { other_fired = true; });
  bool done = false;
  std::unique_ptr<Act> self;
  self = std::make_unique<Act>([&] {
    done = true;
    other.reset();
    const auto last = std::move(self);
  });
  loop.soon(*self);
  loop.soon(*other);
  loop.run_until([&] { return done; });
  settle(loop);
  CHECK(!other_fired);
}

TEST_CASE("times are kept in order, and none comes early") {
  EventLoop loop;
  std::vector<int> order;
  const auto now = Clock::now();
  std::vector<std::unique_ptr<Act>> acts;
  for (const int wait : {30, 5, 20, 10}) {
    const auto due = now + std::chrono::milliseconds{wait};
    acts.push_back(std::make_unique<Act>([&, wait, due] {
      CHECK(Clock::now() >= due);
      order.push_back(wait);
    }));
    loop.at(*acts.back(), due);
  }
  loop.run_until([&] { return order.size() == 4; });
  CHECK(order == std::vector{5, 10, 20, 30});
}

TEST_CASE("a time before the clock began has come, and a time after its end never does") {
  EventLoop loop;
  int fired = 0;
  Act first{[&] { ++fired; }};
  Act second{[&] { ++fired; }};
  Act last{[&] { fired = 1000; }};
  Act nearly_last{[&] { fired = 1000; }};
  Act soon{[&] { ++fired; }};
  loop.at(last, Clock::time_point::max());
  loop.at(nearly_last, Clock::time_point::max() - 1ns);
  loop.at(first, Clock::time_point::min());
  loop.at(second, Clock::time_point{} - 1ns);
  loop.at(soon, Clock::now() + 200ms);
  loop.run_until([&] { return fired == 2; });
  const auto before = processor_time();
  loop.run_until([&] { return fired == 3; });
  CHECK(processor_time() - before < 100ms);  // it slept meanwhile
}

TEST_CASE("a descriptor is waited for until it is ready, to read and to write") {
  EventLoop loop;
  const Sockets pair;
  std::string heard;
  Act reader{[&] { heard += pair.hear(); }};
  Act writer{[&] { heard += 'w'; }};
  loop.when(reader, pair.here, Readiness::to_read);
  settle(loop);
  CHECK(heard.empty());
  loop.when(writer, pair.here, Readiness::to_write);
  loop.run_until([&] { return !heard.empty(); });
  CHECK(heard == "w");
  settle(loop);
  CHECK(heard == "w");
  pair.say('a');
  loop.run_until([&] { return heard.size() == 2; });
  pair.say('b');
  settle(loop);
  CHECK(heard == "wa");  // it waits for nothing any more
  loop.when(reader, pair.here, Readiness::to_read);
  loop.run_until([&] { return heard.size() == 3; });
  CHECK(heard == "wab");
}

TEST_CASE("all who wait for one descriptor are told, and whoever was taken out is not") {
  EventLoop loop;
  const Sockets pair;
  std::string told;
  Act a{[&] { told += 'a'; }};
  Act b{[&] { told += 'b'; }};
  Act c{[&] { told += 'c'; }};
  for (Act* act : {&a, &b, &c}) loop.when(*act, pair.here, Readiness::to_read);
  b.unlink();
  pair.say();
  loop.run_until([&] { return told.size() == 2; });
  settle(loop);
  CHECK(told == "ac");

  loop.when(a, pair.here, Readiness::to_read);  // nobody is there when it is ready
  a.unlink();
  settle(loop);
  const auto before = processor_time();
  Act later{[&] { told += '.'; }};
  loop.at(later, Clock::now() + 200ms);
  loop.run_until([&] { return told.back() == '.'; });
  CHECK(processor_time() - before < 100ms);  // it is not told over and over again
  loop.when(b, pair.here, Readiness::to_read);
  loop.run_until([&] { return told.back() == 'b'; });
}

TEST_CASE("a hang-up is told to all who wait, once") {
  EventLoop loop;
  Sockets pair;
  const std::array<char, 65536> much{};
  while (::send(pair.here, much.data(), much.size(), MSG_DONTWAIT) > 0) {
  }
  int told = 0;
  Act reader{[&] { ++told; }};
  Act writer{[&] { ++told; }};
  loop.when(reader, pair.here, Readiness::to_read);
  loop.when(writer, pair.here, Readiness::to_write);
  settle(loop);
  CHECK(told == 0);
  pair.hang_up();
  loop.run_until([&] { return told == 2; });
  settle(loop);
  CHECK(told == 2);
}

TEST_CASE("a file is always ready") {
  EventLoop loop;
  const int file = file_at(-1);
  int told = 0;
  Act reader{[&] { ++told; }};
  Act writer{[&] { ++told; }};
  loop.when(reader, file, Readiness::to_read);
  loop.when(writer, file, Readiness::to_write);
  CHECK(told == 0);
  loop.run_until([&] { return told == 2; });
  ::close(file);
}

TEST_CASE("a number that is no descriptor is refused, and costs nothing") {
  EventLoop loop;
  Act act{[] {}};
  const int closed = ::dup(0);
  ::close(closed);
  for (const int fd : {-1, INT_MIN, INT_MAX, closed}) {
    INFO("descriptor ", fd);
    try {
      loop.when(act, fd, Readiness::to_read);
      FAIL("it waits for what cannot be");
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::errc::bad_file_descriptor);
    }
    CHECK(!act.linked());
  }
}

TEST_CASE("a number that was closed and opened again is the new file") {
  EventLoop loop;
  const int fd = ::dup(0);
  REQUIRE(fd >= 0);
  int told = 0;
  Act reader{[&] { ++told; }};
  const auto wait = [&] {
    const int before = told;
    loop.when(reader, fd, Readiness::to_read);
    loop.run_until([&] { return told != before; });
  };
  {
    const Sockets pair;
    ::dup2(pair.here, fd);
    pair.say();
    wait();
  }
  file_at(fd);  // epoll knows no files
  wait();
  const Sockets other;
  ::dup2(other.here, fd);
  loop.when(reader, fd, Readiness::to_read);
  settle(loop);
  CHECK(told == 2);
  other.say();
  loop.run_until([&] { return told == 3; });
  file_at(fd);  // what `other` is stays open, so the kernel keeps its registration under this number
  wait();
  ::dup2(other.here, fd);
  wait();
  CHECK(told == 5);
  ::close(fd);
}

TEST_CASE("who waited for a file that was closed meanwhile looks again when another waits for that number") {
  EventLoop loop;
  const int fd = ::dup(0);
  int told = 0;
  Act old{[&] { ++told; }};
  Act fresh{[&] { told += 10; }};
  {
    const Sockets pair;
    ::dup2(pair.here, fd);
    loop.when(old, fd, Readiness::to_read);
  }
  const Sockets other;
  ::dup2(other.here, fd);
  loop.when(fresh, fd, Readiness::to_read);
  settle(loop);
  CHECK(told == 1);
  other.say();
  loop.run_until([&] { return told == 11; });
  ::close(fd);
}

TEST_CASE("what other threads post is done, each once, and in order for each thread") {
  EventLoop loop;
  constexpr int threads = 4;
  const int each = support::times(20'000);
  struct Sent {
    int from;
    int number;
  };
  std::vector<Sent> all;
  for (int from = 0; from < threads; ++from) {
    for (int number = 0; number < each; ++number) all.push_back({from, number});
  }
  static std::array<int, threads> next;
  static int wrong;
  next = {};
  wrong = 0;
  std::vector<std::jthread> posters;
  for (int from = 0; from < threads; ++from) {
    posters.emplace_back([&, from] {
      for (int number = 0; number < each; ++number) {
        loop.post(Job{[](void* subject) -> void* {
                        const Sent& sent = *static_cast<Sent*>(subject);
                        if (next[static_cast<std::size_t>(sent.from)]++ != sent.number) ++wrong;
                        return nullptr;
                      },
                      &all[static_cast<std::size_t>(from * each + number)]});
        if (number % 1000 == 0) std::this_thread::sleep_for(1ms);  // so that the loop falls asleep now and then
      }
    });
  }
  loop.run_until([&] { return next[0] + next[1] + next[2] + next[3] == threads * each; });
  CHECK(wrong == 0);
}

TEST_CASE("who posts for ever keeps neither times nor descriptors from their turn") {
  EventLoop loop;
  const Sockets pair;
  int told = 0;
  Act at_time{[&] { ++told; }};
  Act reader{[&] { ++told; }};
  bool enough = false;
  std::function<void()> again;
  Job job = job_for(again);
  again = [&] {
    if (!enough) loop.post(job);
  };
  loop.post(job);
  loop.at(at_time, Clock::now() + 5ms);
  loop.when(reader, pair.here, Readiness::to_read);
  pair.say();
  const auto begin = Clock::now();
  loop.run_until([&] { return told == 2 || Clock::now() - begin > 20s; });
  enough = true;
  CHECK(told == 2);
  settle(loop);
}

TEST_CASE("the last post of a thread may be what ends the loop") {
  for (int k = 0; k < support::times(2000); ++k) {
    bool done = false;
    auto end = [&] { done = true; };
    auto loop = std::make_unique<EventLoop>();
    std::jthread poster([&, posts = loop.get()] { posts->post(job_for(end)); });
    loop->run_until([&] { return done; });
    loop.reset();
  }
}

TEST_CASE("a post that nobody has heard ends with its loop") {
  auto never = [] { FAIL("the loop has ended"); };
  EventLoop loop;
  loop.post(job_for(never));
  loop.post(job_for(never));
}

TEST_CASE("a signal that is raised many times is heard once or more, and after the last time") {
  EventLoop loop;
  std::atomic<int> raised{0};
  int seen = 0;
  Act act{[&] { seen = raised.load(); }};
  EventLoop::Signal signal{loop, act};
  constexpr int threads = 3;
  const int each = support::times(30'000);
  std::vector<std::jthread> raisers;
  for (int k = 0; k < threads; ++k) {
    raisers.emplace_back([&] {
      for (int n = 0; n < each; ++n) {
        ++raised;
        signal.raise();
      }
    });
  }
  loop.run_until([&] { return seen == threads * each; });
  raisers.clear();
  settle(loop);
  CHECK(seen == threads * each);
}

TEST_CASE("a signal that ends while it is raised is not heard") {
  EventLoop loop;
  int heard = 0;
  Act act{[&] { ++heard; }};
  auto first = std::make_unique<EventLoop::Signal>(loop, act);
  auto second = std::make_unique<EventLoop::Signal>(loop, act);
  auto third = std::make_unique<EventLoop::Signal>(loop, act);
  for (auto* signal : {&first, &second, &third}) (*signal)->raise();
  third.reset();
  first.reset();
  third = std::make_unique<EventLoop::Signal>(loop, act);  // it goes where the last one was
  third->raise();
  second.reset();
  third.reset();
  settle(loop);
  CHECK(heard == 0);
}

TEST_CASE("a signal may be ended by what comes before it") {
  EventLoop loop;
  int heard = 0;
  Act act{[&] { ++heard; }};
  auto signal = std::make_unique<EventLoop::Signal>(loop, act);
  auto other = std::make_unique<EventLoop::Signal>(loop, act);
  auto end = [&] { signal.reset(); };
  loop.post(job_for(end));
  signal->raise();
  settle(loop);
  CHECK(signal == nullptr);
  CHECK(heard == 0);
  auto end_other = [&] { other.reset(); };
  loop.post(job_for(end_other));
  other->raise();
  auto last = [&] { ++heard; };
  loop.post(job_for(last));
  settle(loop);
  CHECK(heard == 1);
}

TEST_CASE("a host waits in place of the loop") {
  struct Polls final : EventLoop::Host {
    explicit Polls(int& w) : waits(w) {}
    void wait(int loop, Clock::time_point until) override {
      ++waits;
      pollfd here{.fd = loop, .events = POLLIN, .revents = 0};
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::min(until, Clock::now()));
      ::poll(&here, 1, until == Clock::time_point::max() ? -1 : static_cast<int>(left.count()));
    }
    int& waits;
  };
  EventLoop loop;
  int waits = 0;
  CHECK(loop.host() == nullptr);
  loop.host(taskmgr::detail::Owner<EventLoop::Host>{new Polls{waits}});
  CHECK(loop.host() != nullptr);
  const Sockets pair;
  std::string told;
  Act reader{[&] { told += pair.hear(); }};
  Act at_time{[&] { told += 't'; }};
  loop.when(reader, pair.here, Readiness::to_read);
  std::jthread other([&] {
    std::this_thread::sleep_for(5ms);
    pair.say('r');
  });
  loop.run_until([&] { return told == "r"; });
  loop.at(at_time, Clock::now() + 5ms);
  loop.run_until([&] { return told == "rt"; });
  auto post = [&] { told += 'p'; };
  std::jthread another([&] { loop.post(job_for(post)); });
  loop.run_until([&] { return told == "rtp"; });
  CHECK(waits > 0);
}

TEST_CASE("signals of the system do not disturb a loop that sleeps") {
  struct sigaction act {};
  struct sigaction old {};
  act.sa_handler = [](int) {};  // without SA_RESTART: system calls are interrupted
  REQUIRE(::sigaction(SIGUSR1, &act, &old) == 0);
  EventLoop loop;
  bool done = false;
  Act end{[&] { done = true; }};
  const auto due = Clock::now() + 100ms;
  loop.at(end, due);
  {
    const pthread_t self = ::pthread_self();
    std::jthread striker([self](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        ::pthread_kill(self, SIGUSR1);
        std::this_thread::sleep_for(1ms);
      }
    });
    loop.run_until([&] { return done; });
    CHECK(Clock::now() >= due);
    done = false;
    auto posted = [&] { done = true; };
    std::jthread poster([&] {
      std::this_thread::sleep_for(20ms);
      loop.post(job_for(posted));
    });
    loop.run_until([&] { return done; });
  }
  ::sigaction(SIGUSR1, &old, nullptr);
}

TEST_CASE("a process that was forked while a loop runs has loops of its own, and leaves that one alone") {
  EventLoop loop;
  const Sockets pair;
  std::string heard;
  Act reader{[&] { heard += pair.hear(); }};
  loop.when(reader, pair.here, Readiness::to_read);
  bool forked = false;
  int status = -1;
  Act act{[&] {
    const pid_t child = ::fork();
    if (child == 0) {
      EventLoop own;
      bool done = false;
      Act end{[&] { done = true; }};
      own.at(end, Clock::now() + 1ms);
      own.run_until([&] { return done; });
      ::_exit(7);
    }
    ::waitpid(child, &status, 0);
    forked = true;
  }};
  loop.soon(act);
  loop.run_until([&] { return forked; });
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
  pair.say('p');
  loop.run_until([&] { return heard == "p"; });
}

TEST_CASE("without descriptors there is no loop, and none is left behind") {
  const auto lowest_free = [] {
    const int fd = ::dup(0);
    ::close(fd);
    return fd;
  };
  const int before = lowest_free();
  { const EventLoop loop; }
  CHECK(lowest_free() == before);
  rlimit old{};
  ::getrlimit(RLIMIT_NOFILE, &old);
  for (const int more : {0, 1}) {
    rlimit tight = old;
    tight.rlim_cur = static_cast<rlim_t>(before + more);
    ::setrlimit(RLIMIT_NOFILE, &tight);
    std::error_code code;
    try {
      const EventLoop loop;
    } catch (const std::system_error& error) {
      code = error.code();
    }
    ::setrlimit(RLIMIT_NOFILE, &old);
    CHECK(code == std::errc::too_many_files_open);
    CHECK(lowest_free() == before);
  }
}
