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


#include "support/build.hpp"
#include "support/manager.hpp"
#include "support/processes.hpp"

using support::Manager;
using support::numbers;
using support::Shared;
using taskmgr::Context;
using taskmgr::Mode;
using taskmgr::TaskError;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

/// Until it ends, what is printed on standard output goes into a pipe.
class Printed {
 public:
  explicit Printed(int capacity) {
    std::cout.flush();
    std::fflush(stdout);
    before_ = dup(STDOUT_FILENO);
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    REQUIRE(fcntl(ends[1], F_SETPIPE_SZ, capacity) >= 0);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
    read_from_ = ends[0];
  }
  Printed(const Printed&) = delete;
  Printed& operator=(const Printed&) = delete;
  ~Printed() {
    end();
    close(read_from_);
  }

  /// What has been printed; reads until nobody can print any more.
  std::string read_all() const {
    std::string all;
    char some[4096];
    for (ssize_t got = 0; (got = read(read_from_, some, sizeof some)) > 0;) all.append(some, static_cast<std::size_t>(got));
    return all;
  }
  void end() {
    if (before_ < 0) return;
    dup2(before_, STDOUT_FILENO);
    close(std::exchange(before_, -1));
  }

 private:
  int before_ = -1;
  int read_from_ = -1;
};

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

// --- printing

TEST_CASE("what a task has printed appears before its answer counts, whatever becomes of the worker") {
  const support::NothingLeft nothing_left;
  constexpr int lethal = 3000;
  Printed printed{1 << 20};
  const Manager manager{[](Context&, int x) {
                          if (x == lethal) raise(SIGKILL);
                          std::printf("C %d\n", x);
                          std::cout << "C++ " << x << '\n';
                          if (x == lethal - 20) std::this_thread::sleep_for(30ms);  // others of its order have been sent by then
                          return x;
                        },
                        {.mode = Mode::process, .workers = 1}};
  const auto report = manager.start(numbers(2 * lethal));
  printed.end();
  const std::string all = "\n" + printed.read_all();
  CHECK(report.failed == 1);
  int missing = 0;
  for (const auto& [task, value] : report.success_map()) {
    for (const char* const by : {"\nC ", "\nC++ "}) missing += all.find(by + std::to_string(task) + "\n") == std::string::npos ? 1 : 0;
  }
  CHECK(missing == 0);
}

TEST_CASE("what is printed to the wide streams appears as well, and once") {
  const support::NothingLeft nothing_left;
  taskmgr::detail::flush_output();  // or the child has a copy to write
  Printed printed{1 << 16};
  const pid_t child = fork();
  if (child == 0) {
    std::ios::sync_with_stdio(false);
    std::wcout << L"host\n";
    const Manager manager{[](Context&, int x) {
                            std::wcout << L"wide " << x << std::endl;  // written out, with all that was inherited
                            std::wcout << L"later " << x << L'\n';
                            return x;
                          },
                          {.mode = Mode::process, .workers = 2}};
    const bool ok = manager.start(numbers(3)).ok();
    taskmgr::detail::flush_output();
    _exit(ok ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(status == 0);
  printed.end();
  const std::string all = "\n" + printed.read_all();
  for (const char* const line : {"\nhost\n", "\nwide 0\n", "\nwide 1\n", "\nwide 2\n", "\nlater 0\n", "\nlater 1\n", "\nlater 2\n"}) {
    CAPTURE(line);
    const std::size_t at = all.find(line);
    REQUIRE(at != std::string::npos);
    CHECK(all.find(line, at + 1) == std::string::npos);
  }
}

#ifndef TASKMGR_TEST_ASAN  // whose allocator may be locked for ever in a process that was forked among threads
TEST_CASE("a worker whose prints nobody reads is not taken for one that hangs") {
  const support::NothingLeft nothing_left;
  Printed printed{4096};
  Shared<std::atomic<int>> started;
  std::string all;
  std::thread reader{[&] {
    std::this_thread::sleep_for(2s);
    all = printed.read_all();
  }};
  while (write(STDOUT_FILENO, "x", 1) == 1) {  // until there is room for no line
    int used = 0;
    if (ioctl(STDOUT_FILENO, FIONREAD, &used) == 0 && used == 4096) break;
  }
  const Manager manager{[&](Context&, int x) {
                          std::printf("line %d\n", x);
                          return x;
                        },
                        {.mode = Mode::process, .workers = 2, .timeout = 100ms, .on_worker_start = [&](std::size_t) { ++started.get(); }}};
  const auto report = manager.start(numbers(20));
  printed.end();
  reader.join();
  CHECK(report.ok());
  CHECK(started.get() == 2);
  CHECK(all.find("line 19\n") != std::string::npos);
}
#endif

// --- what is known of an attempt that had no answer

TEST_CASE("an attempt that ended with its worker has lasted until then") {
  const support::NothingLeft nothing_left;
  const Manager manager{[](Context&, int x) {
                          std::this_thread::sleep_for(50ms);
                          if (x == 1) raise(SIGKILL);
                          return x;
                        },
                        {.mode = Mode::process, .workers = 1, .retry = {.max_retries = 1, .base_delay = 0ns}, .timings = true}};
  const auto report = manager.start(numbers(3));
  CHECK(report[0].duration() >= 50ms);
  CHECK(report[1].duration() >= 100ms);  // two attempts
  CHECK(report[1].duration() < 100ms + support::slack);
}

#ifndef TASKMGR_TEST_SANITIZED  // see support/modes.hpp
TEST_CASE("a task that outlives its deadline sees its stop token stop") {
  const support::NothingLeft nothing_left;
  Shared<std::atomic<bool>> stopped;
  Shared<std::atomic<int>> begun;
  const Manager manager{[&](Context& context, int x) {
                          ++begun.get();
                          if (x != 0) return context.stop_token().stop_requested() ? -1 : x;
                          signal(SIGTERM, SIG_IGN);
                          const std::stop_token token = context.stop_token();
                          while (!token.stop_requested()) std::this_thread::sleep_for(1ms);
                          stopped.get() = true;
                          return x;
                        },
                        {.mode = Mode::process, .workers = 1, .timeout = 1s}};
  const auto report = manager.start(numbers(3));
  CHECK(report.error_map().at(0).kind() == TaskError::Kind::timeout);
  CHECK(stopped.get());
  CHECK(report.success_map().at(1) == 1);  // of the next worker nobody has asked that
  CHECK(report.success_map().at(2) == 2);
}

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

// --- damage

TEST_CASE("a task that writes into what its worker shares with the run harms nobody but those of its worker") {
  const support::NothingLeft nothing_left;
  for (const int byte : {0x00, 0x01, 0x7f, 0xa5, 0xff}) {
    for (const bool dies : {false, true}) {
      CAPTURE(byte);
      CAPTURE(dies);
      const Manager manager{[byte, dies](Context&, int x) {
                              if (x == 13) {
                                std::ifstream maps{"/proc/self/maps"};
                                for (std::string line; std::getline(maps, line);) {
                                  if (line.find(" rw-s ") == std::string::npos || line.find("/dev/zero") == std::string::npos) continue;
                                  std::size_t end = 0;
                                  const std::size_t first = std::stoull(line, &end, 16);
                                  const std::size_t last = std::stoull(line.substr(end + 1), nullptr, 16);
                                  if (last - first > 4096) continue;  // none of the run's
                                  std::memset(reinterpret_cast<void*>(first), byte, sizeof(taskmgr::detail::WorkerPage));
                                }
                                if (dies) _exit(1);
                              }
                              if (x % 4 == 0) std::this_thread::sleep_for(1ms);
                              return x * 10;
                            },
                            {.mode = Mode::process, .workers = 1, .timeout = 500ms}};
      const auto report = manager.start(numbers(200));
      CHECK(support::adds_up(report));
      CHECK(report.failed <= 200);
      for (const auto& [task, value] : report.success_map()) CHECK(value == task * 10);
    }
  }
}
