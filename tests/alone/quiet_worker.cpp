// SPDX-License-Identifier: MIT
// Alone: it replaces system calls for its whole process and its workers, to stop a worker at one certain instruction.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdarg>
#include <cstddef>

#include "support/build.hpp"

#if defined(TASKMGR_TEST_SANITIZED)

TEST_CASE("a sanitizer has system calls of its own") { CHECK(support::sanitized); }

#else

#include "support/manager.hpp"
#include "support/processes.hpp"

using namespace std::chrono_literals;

namespace {

/// A worker is stopped while it is at no task. Much later it is killed for that; in the first of the tests it is let go on at
/// just that moment.
struct Scene {
  std::atomic<pid_t> stopped{0};  // the worker
  std::atomic<bool> resumed{false};
  std::atomic<bool> begun{false};  // a task, by that worker, after that
};
Scene& scene() {
  static const support::Shared<Scene> shared;
  return shared.get();
}

int readings = 0;  // in a worker: of the clock, until it stops

}  // namespace

extern "C" {
int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static const auto real = reinterpret_cast<int (*)(clockid_t, timespec*)>(dlsym(RTLD_NEXT, "clock_gettime"));
  if (clock == CLOCK_MONOTONIC && readings != 0 && --readings == 0) {
    scene().stopped = ::getpid();
    ::raise(SIGSTOP);
  }
  return real(clock, time);
}

long syscall(long number, ...) noexcept {
  static const auto real = reinterpret_cast<long (*)(long, ...)>(dlsym(RTLD_NEXT, "syscall"));
  long arguments[6];
  va_list rest;
  va_start(rest, number);
  for (long& argument : arguments) argument = va_arg(rest, long);
  va_end(rest);
  const pid_t stopped = scene().stopped;
  if (number == SYS_pidfd_send_signal && arguments[1] == SIGKILL && stopped != 0 && !scene().resumed.exchange(true)) {
    ::kill(stopped, SIGCONT);
    for (int k = 0; k < 1000 && !scene().begun; ++k) ::usleep(1000);
  }
  return real(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}
}

TEST_CASE("a task that is begun while its worker is killed for having begun none loses no attempt") {
  constexpr int armed = 50;
  const support::NothingLeft nothing_left;
  const support::Manager manager{[](taskmgr::Context&, int task) {
                                   // the clock is read as this task ends, and then as the next begins
                                   if (task == armed && scene().stopped == 0) readings = 2;
                                   if (task == armed + 1 && scene().resumed && !scene().begun.exchange(true)) {
                                     for (;;) ::pause();
                                   }
                                   return task;
                                 },
                                 {.mode = taskmgr::Mode::process,
                                  .workers = 1,
                                  .retry = {.max_retries = 1, .base_delay = 1ms},
                                  .timeout = 100ms}};
  // Where the task was the last of its order, the clock is read for that: then there is another round.
  for (int round = 0; round < 20 && !scene().begun; ++round) {
    scene().stopped = 0;
    scene().resumed = false;
    const auto report = manager.start(support::numbers(2 * armed));
    CHECK(scene().resumed);
    CHECK(report.ok());
    CHECK(report.retries == 0);
    for (const auto& [task, value] : report.success_map()) CHECK(value == task);
  }
  CHECK(scene().begun);
}

TEST_CASE("a worker that is stopped before its first task is replaced, also where the host does something at its start") {
  const support::NothingLeft nothing_left;
  scene().stopped = 0;
  scene().resumed = true;  // it is not
  const support::Manager manager{[](taskmgr::Context&, int task) { return task; },
                                 {.mode = taskmgr::Mode::process, .workers = 1, .timeout = 100ms, .on_worker_start = [](std::size_t) {
                                    if (scene().stopped == 0) readings = 1;
                                  }}};
  ::alarm(60);  // whoever hangs dies
  const auto report = manager.start(support::numbers(8));
  ::alarm(0);
  CHECK(scene().stopped != 0);
  CHECK(report.ok());
  CHECK(report.retries == 0);
}

#endif
