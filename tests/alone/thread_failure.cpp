// SPDX-License-Identifier: MIT
// Alone: it replaces pthread_create for its whole process, so that threads cannot be started.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <errno.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <latch>
#include <mutex>
#include <set>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include <taskmgr/tree/task_tree.hpp>

#include "support/build.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/random.hpp"
#include "support/random_tree.hpp"
#include "support/recorder.hpp"
#include "support/wait.hpp"

namespace {

std::atomic<int> creations{0};
std::atomic<int> failures{0};
std::atomic<int> failing_from{-1};  // the first creation that fails, counted from 0; -1: none
std::atomic<int> failing_count{0};  // how many fail from there on

bool fails(int creation) {
  const int from = failing_from;
  return from >= 0 && creation >= from && creation - from < failing_count;
}

}  // namespace

// A sanitizer has a pthread_create of its own, which must see every thread.
extern "C" int __interceptor_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*)
    __attribute__((weak));

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
  if (fails(creations.fetch_add(1))) {
    ++failures;
    return EAGAIN;
  }
  if (__interceptor_pthread_create != nullptr) return __interceptor_pthread_create(thread, attributes, start, argument);
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto real = reinterpret_cast<Create>(::dlsym(RTLD_NEXT, "pthread_create"));
  return real(thread, attributes, start, argument);
}

namespace {

using support::Manager;
using support::numbers;
using support::Recorder;
using taskmgr::Context;
using taskmgr::EventKind;
using taskmgr::Mode;
using taskmgr::Options;
using taskmgr::State;
using taskmgr::TaskManager;
using taskmgr::TaskTree;
using taskmgr::TreeMode;
using namespace std::chrono_literals;

constexpr int all = 1'000'000'000;

/// Within its life, `count` creations fail, from the `first` on.
class Failing {
 public:
  explicit Failing(int first, int count = all) {
    creations = 0;
    failures = 0;
    failing_count = count;
    failing_from = first;
  }
  Failing(const Failing&) = delete;
  Failing& operator=(const Failing&) = delete;
  ~Failing() { failing_from = -1; }
};

/// Fails, retries, and works.
int act(Context& context, int x) {
  if (x % 10 == 3) throw std::logic_error("fails");
  if (x % 10 == 4 && context.attempt() == 1) throw std::runtime_error("again");
  return x;
}

/// Everything that a manager can do; the counts are what they always are.
void use(const Options& options) {
  Manager manager{act, options};
  const auto started = manager.start(numbers(100));
  CHECK(support::adds_up(started));
  CHECK(started.succeeded == 90);
  CHECK(started.retries == 10);
  int sunk = 0;
  auto run = manager.launch(numbers(100), support::Sink{[&](auto&) { ++sunk; }});
  auto other = manager.launch(numbers(50));
  CHECK(run.wait().succeeded == 90);
  CHECK(other.report().succeeded == 45);
  CHECK(sunk == 100);
  for (const bool ordered : {false, true}) {
    int walked = 0;
    for (const auto& outcome : manager.stream(numbers(100), {.ordered = ordered})) {
      walked += outcome.state() == State::succeeded ? 1 : 0;
    }
    CHECK(walked == 90);
  }
  auto left = manager.launch(numbers(100));
}

}  // namespace

TEST_CASE("a creation that is to fail fails") {
  const Failing failing{0};
  CHECK_THROWS_AS(std::thread([] {}).join(), std::system_error);
  CHECK(failures == 1);
}

TEST_CASE("without a single thread, the caller does all") {
  const auto self = std::this_thread::get_id();
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    const Failing failing{0};
    std::mutex mutex;
    std::set<std::thread::id> threads;
    Manager manager{[&](Context& context, int x) {
                      const std::scoped_lock lock(mutex);
                      threads.insert(std::this_thread::get_id());
                      return act(context, x);
                    },
                    {.mode = mode, .workers = 4, .retry = {.max_retries = 1, .base_delay = 1ms}}};
    CHECK(manager.start(numbers(100)).succeeded == 90);
    auto run = manager.launch(numbers(100));
    CHECK(run.done());  // it could only be done at once
    CHECK(run.wait().succeeded == 90);
    int walked = 0;
    for (const auto& outcome : manager.stream(numbers(100))) walked += outcome.state() == State::succeeded ? 1 : 0;
    CHECK(walked == 90);
    CHECK(threads == std::set{self});
    if (mode == Mode::thread) CHECK(failures > 0);
  }
}

TEST_CASE("whichever creation fails, all goes on with fewer") {
  for (const Mode mode : support::modes_in_memory) {
    for (const std::chrono::nanoseconds timeout : {0ns, std::chrono::nanoseconds{1h}}) {
      for (int first = 0; first < 8; ++first) {
        for (const int count : {1, 2, all}) {
          INFO("mode: ", support::name(mode));
          CAPTURE(first);
          CAPTURE(count);
          const Failing failing{first, count};
          use({.mode = mode, .workers = 4, .retry = {.max_retries = 1, .base_delay = 100us}, .timeout = timeout});
        }
      }
    }
  }
}

TEST_CASE("stages of a tree go on with fewer, and make their retries") {
  const Options options{.mode = Mode::thread, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1ms}, .chunk = 1};
  for (int first = 0; first < 8; ++first) {
    for (const int count : {1, 2, all}) {
      CAPTURE(first);
      CAPTURE(count);
      const Failing failing{first, count};
      TaskTree tree(TaskManager{act, options}, TaskManager{act, options});
      tree.set_mode(TreeMode::pipeline);
      const auto report = tree.start(numbers(100));
      CHECK(report.succeeded == 90);
      CHECK(report.failed == 10);
    }
  }
}

TEST_CASE("a retry that falls due while nobody can come is made, whenever that is") {
  // Some of these fall due just as the driver looks for helpers, and there is nothing else to do.
  constexpr int retries = 8;
  const Failing failing{0};
  for (const auto delay : {250ns, 500ns, 1000ns, 2000ns, 4000ns}) {
    const Options options{.mode = Mode::thread,
                          .workers = 2,
                          .retry = {.max_retries = retries, .base_delay = delay, .multiplier = 1.0, .jitter = 1.0}};
    TaskTree tree(TaskManager{[](Context& context, int x) {
                                if (context.attempt() <= retries) throw std::runtime_error("again");
                                return x;
                              },
                              options},
                  TaskManager{[](int x) { return x; }, options});
    tree.set_mode(TreeMode::pipeline);
    for (int round = 0; round < support::times(400); ++round) CHECK(tree.start({round}).succeeded == 1);
  }
  CHECK(failures > 0);
}

TEST_CASE("random trees come to the same, whichever creation fails") {
  namespace branches = support::branches;
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  for (int round = 0; round < support::times(100); ++round) {
    CAPTURE(round);
    const auto options = [&](std::size_t) {
      return Options{.mode = support::modes_in_memory[random.below(std::size(support::modes_in_memory))],
                     .workers = 1 + random.below(3),
                     .retry = {.max_retries = 3, .base_delay = random.number(8) * 500ns, .multiplier = 1.0, .jitter = 1.0}};
    };
    const auto before = [&](std::size_t) {
      return [modulus = 1 + random.number(4)](Context& context, int x) {
        if (x % modulus == 0 && context.attempt() <= 3) throw std::runtime_error("again");
        if (x == 7) throw std::logic_error("fails");
      };
    };
    branches::SteppedTree made = branches::random_tree(random, 1 + random.below(6), 50, options, before);
    made.tree.set_options({.mode = support::tree_modes_in_memory[random.below(std::size(support::tree_modes_in_memory))],
                           .capacity = random.below(2) * 3});
    const auto tasks = numbers(random.number(30));
    int succeeded = 0;
    for (const int task : tasks) {
      branches::Model model{made.steps, [](std::size_t, int x) { return x == 7; }};
      model.run(task);
      succeeded += model.failures.empty() ? 1 : 0;
    }

    const Failing failing{random.number(12), 1 << random.number(8)};
    CHECK(made.tree.start(tasks).succeeded == succeeded);
    auto run = made.tree.launch(tasks);
    int streamed = 0;
    for (const auto& outcome : made.tree.stream(tasks)) streamed += outcome.state() == State::succeeded ? 1 : 0;
    CHECK(streamed == succeeded);
    CHECK(run.wait().succeeded == succeeded);
  }
}

TEST_CASE("nested runs go on with fewer as well") {
  for (int first = 0; first < 12; ++first) {
    for (const int count : {1, 3, all}) {
      CAPTURE(first);
      CAPTURE(count);
      const Failing failing{first, count};
      Manager* self = nullptr;
      Manager manager{[&](Context&, int depth) -> int {
                        if (depth == 0) return 1;
                        int sum = 1;
                        const std::vector<int> tasks(2, depth - 1);
                        auto run = self->launch(tasks);
                        for (const auto& outcome : self->stream(tasks)) sum += outcome.value();
                        const auto report = run.wait();
                        for (const auto& outcome : report.outcomes()) sum += outcome.value();
                        return sum;
                      },
                      {.mode = Mode::thread, .workers = 3, .duplicates = taskmgr::Duplicates::run}};
      self = &manager;
      CHECK(manager.start({3})[0].value() == 85);
    }
  }
}

TEST_CASE("who waits for a run works on it") {
  // The one thread that can be started drives the run, and is held up until another task has run.
  const Failing failing{1};
  std::latch met{2};
  support::Counter begun;
  std::set<std::thread::id> threads;
  std::mutex mutex;
  Manager manager{[&](Context&, int x) {
                    {
                      const std::scoped_lock lock(mutex);
                      threads.insert(std::this_thread::get_id());
                    }
                    begun.add();
                    met.arrive_and_wait();
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 2}};
  auto run = manager.launch(numbers(2));
  begun.wait_for(1);
  CHECK(run.wait().ok());
  CHECK(threads.contains(std::this_thread::get_id()));
  CHECK(threads.size() == 2);
}

TEST_CASE("who walks a stream works on it") {
  const Failing failing{1};
  for (int round = 0; round < 20; ++round) {
    std::latch met{2};
    std::set<std::thread::id> threads;
    std::mutex mutex;
    Manager manager{[&](Context&, int x) {
                      {
                        const std::scoped_lock lock(mutex);
                        threads.insert(std::this_thread::get_id());
                      }
                      if (round == 0) met.arrive_and_wait();
                      return x;
                    },
                    {.mode = Mode::thread, .workers = 2, .chunk = 1}};
    int walked = 0;
    for (const auto& outcome : manager.stream(numbers(2))) walked += outcome.value() >= 0 ? 1 : 0;
    CHECK(walked == 2);
    CHECK(threads.contains(std::this_thread::get_id()));
  }
}

TEST_CASE("without a thread to watch deadlines, tasks see them all the same") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    const Failing failing{0};
    Manager manager{[](Context& context, int x) {
                      if (context.attempt() == 1) {
                        while (!context.stop_requested()) std::this_thread::yield();
                      }
                      return x;
                    },
                    {.mode = mode, .workers = 2, .retry = {.max_retries = 1000, .base_delay = 1us}, .timeout = 5ms}};
    const auto report = manager.start(numbers(3));
    CHECK(report.ok());
    CHECK(report.retries >= 3);
  }
}

TEST_CASE("deadlines are watched as soon as a thread can be started") {
  Manager manager{[](Context& context, int x) {
                    if (x == 1) support::wait_for_stop(context.stop_token());
                    return x;
                  },
                  {.timeout = 10ms}};
  {
    const Failing failing{0};
    CHECK(manager.start({0}).ok());
    CHECK(failures == 1);
  }
  CHECK(manager.start({1}).failed == 1);
}

TEST_CASE("where no worker can be made ready nor a thread be started, no task runs") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    const Failing failing{0};
    std::atomic<int> ran{0};
    Manager manager{[&](Context&, int x) {
                      ++ran;
                      return x;
                    },
                    {.mode = mode, .workers = 3, .on_worker_start = [](std::size_t) {
                       throw std::runtime_error("no database");
                     }}};
    CHECK_THROWS_WITH_AS(static_cast<void>(manager.start(numbers(10))), "no database", std::runtime_error);
    auto run = manager.launch(numbers(10));
    CHECK(run.report().cancelled == 10);
    CHECK_THROWS_WITH_AS(static_cast<void>(run.wait()), "no database", std::runtime_error);
    CHECK_THROWS_WITH_AS(
        [&] {
          for (auto& outcome : manager.stream(numbers(10))) CHECK(outcome.state() == State::cancelled);
        }(),
        "no database", std::runtime_error);
    CHECK(ran == 0);
  }
}

TEST_CASE("observers hear all without a thread for their ticks") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    const Failing failing{0};
    Recorder recorder;
    Manager manager{act, {.mode = mode, .workers = 3, .retry = {.max_retries = 1, .base_delay = 1us}}};
    manager.observe(recorder);
    CHECK(manager.start(numbers(100)).succeeded == 90);
    CHECK(recorder.count(EventKind::task_started) == 110);
    CHECK(recorder.all().back().kind == EventKind::batch_finished);
  }
}

TEST_CASE("a manager that could start no thread starts some later") {
  std::latch* met = nullptr;
  Manager manager{[&](Context&, int x) {
                    if (met != nullptr) met->arrive_and_wait();
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 3}};
  {
    const Failing failing{0};
    for (int round = 0; round < 5; ++round) CHECK(manager.start(numbers(100)).ok());
  }
  std::latch three{3};
  met = &three;
  CHECK(manager.start(numbers(3)).ok());
}
