// SPDX-License-Identifier: MIT
// Alone: it measures the processor time of its whole process.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/recorder.hpp"
#include "support/source.hpp"
#include "support/wait.hpp"

using support::Manager;
using support::numbers;
using taskmgr::Context;
using taskmgr::Mode;
using namespace std::chrono_literals;

namespace {

/// Of this process, user and system.
std::chrono::nanoseconds processor_time() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& t) { return std::chrono::seconds{t.tv_sec} + std::chrono::microseconds{t.tv_usec}; };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

/// What the process used while this thread slept for `span`.
std::chrono::nanoseconds used_within(std::chrono::nanoseconds span) {
  const auto before = processor_time();
  std::this_thread::sleep_for(span);
  return processor_time() - before;
}

/// For what wakes up a few times at first; a thread that spins uses a hundred times as much.
constexpr auto little = support::sanitized ? 50ms : 20ms;

}  // namespace

TEST_CASE("idle managers use no processor") {
  std::vector<Manager> managers;
  support::Recorder recorder;
  for (const Mode mode : support::modes) {
    for (const std::chrono::nanoseconds timeout : {0ns, std::chrono::nanoseconds{1h}}) {
      managers.emplace_back(
          [](Context& context, int x) {
            if (x % 10 == 0 && context.attempt() == 1) throw std::runtime_error("again");
            return x;
          },
          taskmgr::Options{.mode = mode, .workers = 4, .retry = {.max_retries = 1, .base_delay = 1ms}, .timeout = timeout});
      managers.back().observe(recorder);
      CHECK(managers.back().start(numbers(1000)).ok());
      auto run = managers.back().launch(numbers(1000));
      CHECK(run.wait().ok());
      for (const auto& outcome : managers.back().stream(numbers(100))) CHECK(outcome.value() >= 0);
    }
  }
  used_within(100ms);  // what looks around after its last work has done so
  CHECK(used_within(2s) <= little);
}

TEST_CASE("a run that waits for its retries uses no processor") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int) -> int { throw std::runtime_error("wait"); },
                    {.mode = mode, .workers = 4, .retry = {.max_retries = 1, .base_delay = 1h, .max_delay = 1h}}};
    auto run = manager.launch(numbers(100));
    used_within(100ms);
    CHECK(used_within(500ms) <= little);
  }
}

TEST_CASE("a run whose workers are all busy uses no processor of its own, also when a retry is due") {
  support::Counter begun;
  std::latch gate{1};
  std::latch* met = nullptr;
  Manager manager{[&](Context& context, int x) {
                    if (met != nullptr) {
                      met->arrive_and_wait();
                      return x;
                    }
                    if (x == 0 && context.attempt() == 1) throw std::runtime_error("again");
                    begun.add();
                    if (x != 0) gate.wait();
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 2, .retry = {.max_retries = 1, .base_delay = 50ms}, .chunk = 1}};
  {  // more threads than one run needs
    std::latch six{6};
    met = &six;
    auto a = manager.launch(numbers(2));
    auto b = manager.launch(numbers(2));
    auto c = manager.launch(numbers(2));
    CHECK(a.report().ok());
    CHECK(b.report().ok());
    CHECK(c.report().ok());
    met = nullptr;
  }
  auto run = manager.launch(numbers(3));
  begun.wait_for(2);
  used_within(150ms);
  CHECK(begun.value() == 2);
  CHECK(used_within(500ms) <= little);
  gate.count_down();
  CHECK(run.report().ok());
}

TEST_CASE("the walker of a stream whose workers are all busy uses no processor, also when a retry is due") {
  const auto self = std::this_thread::get_id();
  for (int tries = 0;; ++tries) {
    REQUIRE(tries < 1000);
    std::latch begun{1};
    std::latch gate{1};
    std::atomic<bool> elsewhere{false};
    Manager manager{[&](Context& context, int x) {
                      if (x == 1 && context.attempt() == 1) throw std::runtime_error("again");
                      if (x == 2) {
                        elsewhere = std::this_thread::get_id() != self;
                        begun.count_down();
                        if (elsewhere) gate.wait();
                      }
                      return x;
                    },
                    {.mode = Mode::thread, .workers = 1, .retry = {.max_retries = 1, .base_delay = 50ms}}};
    auto stream = manager.stream(numbers(3));
    auto at = stream.begin();
    begun.wait();  // a helper has the one seat while nobody walks
    std::chrono::nanoseconds used{0};
    const std::jthread watcher{[&] {
      if (elsewhere) {
        used_within(150ms);
        used = used_within(500ms);
      }
      gate.count_down();
    }};
    int walked = 0;
    for (; at != stream.end(); ++at) ++walked;
    CHECK(walked == 3);
    if (!elsewhere) continue;  // the walker had it: another try
    CHECK(used <= little);
    break;
  }
}

TEST_CASE("a stream that nobody walks uses no processor") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 3}};
    auto stream = manager.stream(support::Source{support::Source::endless});
    auto at = stream.begin();
    CHECK(at->state() == taskmgr::State::succeeded);
    used_within(100ms);
    CHECK(used_within(500ms) <= little);
  }
}
