// SPDX-License-Identifier: MIT
// The CPU time that managers use while they have nothing to do: two seconds, from the end of their last runs on.
#include <sys/resource.h>
#include <sys/time.h>

#include <taskmgr/taskmgr.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>

#include "../harness.hpp"
#include "../jobs.hpp"

namespace {

using namespace std::chrono_literals;
using taskmgr::Mode, taskmgr::TaskManager;

/// Wants to be told how far a run is, as a progress bar does: the thread that does so is kept as well.
struct Watcher : taskmgr::Observer {
  void on_event(const taskmgr::Event&) override {}
  [[nodiscard]] bool wants(taskmgr::EventKind kind) const override {
    return kind == taskmgr::EventKind::batch_finished;
  }
};

double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Suite suite{"idle", argc, argv};
  const auto tasks = bench::numbers(100'000);
  const TaskManager serial{[](std::int64_t x) { return bench::next(x); }};
  TaskManager watched{[](std::int64_t x) { return bench::next(x); }, {.mode = Mode::thread, .workers = 2}};
  const TaskManager thread{[](std::int64_t x) { return bench::next(x); }, {.mode = Mode::thread, .workers = 2}};
  watched.observe(std::make_shared<Watcher>());

  constexpr double limit = 1e-3;
  double most = 0;
  for (int round = 0; round < (suite.quick() ? 1 : 3); ++round) {
    bench::require(serial.start(tasks).ok() && watched.start(tasks).ok() && thread.start(tasks).ok(), "counts");
    const double before = cpu_seconds();
    std::this_thread::sleep_for(2s);
    most = std::max(most, cpu_seconds() - before);
  }
  suite.state({.job = "CPU time of 3 idle managers in 2 s",
               .ours = bench::time_text(most),
               .measured = bench::time_text(most),
               .limit = "<= 1 ms",
               .value = most,
               .ok = most <= limit});
  return suite.run();
}
