// SPDX-License-Identifier: MIT
// Alone: it measures how late deadlines are, and runs while no other test does.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/manager.hpp"
#include "support/processes.hpp"

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

/// Another process that sleeps a millisecond again and again, and notes what it has overslept at worst: so much a process that
/// has to wake up may be late through no fault of its own.
class Sleeper {
 public:
  Sleeper() : process_(::fork()) {
    if (process_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
      const Clock::time_point until = Clock::now() + 1ms;
      std::this_thread::sleep_until(until);
      const std::int64_t late = (Clock::now() - until).count();
      std::int64_t worst = worst_.get();
      while (late > worst && !worst_.get().compare_exchange_weak(worst, late)) {
      }
    }
  }
  Sleeper(const Sleeper&) = delete;
  Sleeper& operator=(const Sleeper&) = delete;
  ~Sleeper() {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }

  /// Since it was last asked.
  [[nodiscard]] std::chrono::nanoseconds overslept() const { return std::chrono::nanoseconds{worst_.get().exchange(0)}; }

 private:
  support::Shared<std::atomic<std::int64_t>> worst_;
  pid_t process_;
};

double ms(std::chrono::nanoseconds span) { return std::chrono::duration<double, std::milli>(span).count(); }

std::string summary(std::vector<std::chrono::nanoseconds> spans) {
  std::sort(spans.begin(), spans.end());
  return std::to_string(ms(spans[spans.size() / 2])) + " ms, at most " + std::to_string(ms(spans.back())) + " ms";
}

}  // namespace

TEST_CASE("hanging tasks are killed on time: at the deadline, or 200 ms later if they ignore SIGTERM") {
  constexpr auto timeout = 200ms;
  constexpr auto grace = 200ms;
  constexpr auto limit = support::sanitized ? support::slack : 50ms;
  constexpr int wakes = 4;  // in turn: the host for SIGTERM and for SIGKILL, the worker to die, the host to bury it
  constexpr int rounds = 5;
  constexpr std::size_t hangs = 20;  // at a time

  const support::NothingLeft nothing_left;
  const Sleeper sleeper;
  const support::Shared<std::array<std::atomic<std::int64_t>, hangs>> began;
  std::array<Clock::time_point, hangs> ended;
  const support::Manager manager{[&](taskmgr::Context&, int task) {
                                   if (task % 2 == 1) ::signal(SIGTERM, SIG_IGN);
                                   began.get()[static_cast<std::size_t>(task)] = Clock::now().time_since_epoch().count();
                                   for (;;) ::pause();
                                   return 0;
                                 },
                                 {.mode = taskmgr::Mode::process, .workers = hangs, .timeout = timeout}};
  std::vector<std::chrono::nanoseconds> late[2];  // after SIGTERM, after SIGKILL
  for (int round = 0; round < rounds; ++round) {
    static_cast<void>(sleeper.overslept());
    const auto report = manager.start(support::numbers(hangs), support::Sink{[&](support::Outcome& outcome) {
                                        ended[static_cast<std::size_t>(outcome.task())] = Clock::now();
                                      }});
    const auto overslept = sleeper.overslept();
    CAPTURE(ms(overslept));
    REQUIRE(report.failed == hangs);
    for (const auto& outcome : report.outcomes()) {
      const int task = outcome.task();
      CAPTURE(task);
      CHECK(outcome.error().kind() == taskmgr::TaskError::Kind::timeout);
      const bool stubborn = task % 2 == 1;
      const auto number = static_cast<std::size_t>(task);
      const std::chrono::nanoseconds took = ended[number].time_since_epoch() - std::chrono::nanoseconds{began.get()[number]};
      late[stubborn ? 1 : 0].push_back(took - timeout - (stubborn ? grace : 0ms));
      CHECK(ms(late[stubborn ? 1 : 0].back()) < ms(limit + wakes * overslept));
      CHECK(ms(late[stubborn ? 1 : 0].back()) > -ms(1ms + overslept));  // the attempt had begun a moment before
    }
  }
  CHECK(late[0].size() + late[1].size() == rounds * hangs);
  MESSAGE("after SIGTERM late by ", summary(late[0]));
  MESSAGE("after SIGKILL late by ", summary(late[1]));
}
