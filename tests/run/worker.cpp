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
