// SPDX-License-Identifier: MIT
#include <taskmgr/run/worker.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <taskmgr/manager/task_manager.hpp>

#include "support/build.hpp"
#include "support/manager.hpp"
#include "support/processes.hpp"

using support::Manager;
using support::numbers;
using support::Shared;
using taskmgr::Context;
using taskmgr::Mode;
using taskmgr::TaskError;
using taskmgr::TaskManager;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

std::atomic<int>& endings() {  // of the host's, in workers
  static const Shared<std::atomic<int>>& shared = *new Shared<std::atomic<int>>;
  return shared.get();
}
const pid_t host = getpid();
void end_in_worker() {
  if (getpid() != host) ++endings();
}

}  // namespace

// --- leaving

TEST_CASE("a task that ends the program ends its worker, and nothing of the host's") {
  const support::NothingLeft nothing_left;
  endings() = 0;
  REQUIRE(std::atexit(end_in_worker) == 0);
  Shared<std::atomic<int>> own;
  static std::atomic<int>* mine = nullptr;
  mine = &own.get();
  const Manager manager{[](Context&, int x) {
                          if (x != 1) return x;
                          static const struct Ending {
                            ~Ending() { ++*mine; }
                          } ending;
                          std::exit(5);
                        },
                        {.mode = Mode::process, .workers = 1}};
  const auto report = manager.start(numbers(3));
  CHECK(report.failed == 1);
  CHECK(report.error_map().at(1).message().find("exited with code 5") != std::string::npos);
  CHECK(endings() == 0);
  CHECK(own.get() == 1);  // what the task itself has asked for
}

TEST_CASE("a worker that becomes another user dies with its host all the same") {
  if (geteuid() != 0) return;  // nobody else can
  Shared<std::atomic<pid_t>> worker;
  taskmgr::detail::flush_output();  // or the child has a copy to write
  const pid_t child = fork();
  if (child == 0) {
    const Manager manager{[&](Context&, int) -> int {
                            worker.get() = getpid();
                            for (;;) pause();
                          },
                          {.mode = Mode::process, .workers = 1, .on_worker_start = [](std::size_t) {
                             if (setuid(65534) != 0) _exit(1);
                           }}};
    static_cast<void>(manager.start({1}));
    _exit(0);
  }
  while (worker.get() == 0) std::this_thread::yield();
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  CHECK(support::gone_within(worker.get(), 5s));
}

// --- what is known of an attempt that had no answer

#ifndef TASKMGR_TEST_SANITIZED  // see support/modes.hpp
TEST_CASE("an observer that is at work in the host while a worker is forked does not hold up that worker's own runs") {
  const support::NothingLeft nothing_left;
  struct Slow : taskmgr::Observer {
    void on_event(const taskmgr::Event&) override { std::this_thread::sleep_for(1ms); }
  } slow;
  Manager inner{[](Context&, int x) { return x; }, {.mode = Mode::thread, .workers = 2}};
  inner.observe(slow);
  std::atomic<bool> over{false};
  std::thread busy{[&] {
    while (!over) static_cast<void>(inner.start(numbers(3)));
  }};
  const Manager outer{[&](Context&, int x) { return static_cast<int>(inner.start(numbers(x)).succeeded); },
                      {.mode = Mode::process, .workers = 2, .timeout = 60s, .tasks_per_worker = 1}};
  const auto report = outer.start(numbers(8));
  over = true;
  busy.join();
  CHECK(report.ok());
  for (const auto& [task, value] : report.success_map()) CHECK(value == task);
}
#endif
