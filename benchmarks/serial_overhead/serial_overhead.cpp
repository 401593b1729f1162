// SPDX-License-Identifier: MIT
// x + 1 of a million numbers in serial mode: what the manager adds to a loop that keeps the same outcomes by hand.
#include <taskmgr/taskmgr.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../harness.hpp"
#include "../jobs.hpp"
#include "../slots.hpp"

int main(int argc, char** argv) {
  using taskmgr::Duplicates, taskmgr::Mode, taskmgr::TaskManager;
  bench::Suite suite{"serial_overhead", argc, argv};
  const std::vector<std::int64_t> tasks = bench::numbers(1'000'000);
  const auto job = [](std::int64_t x) { return bench::next(x); };
  const TaskManager manager{job, {.mode = Mode::serial, .duplicates = Duplicates::run}};

  const auto ours = [&] {
    return bench::seconds_of([&] { return manager.start(tasks); },
                             [&](const auto& report) {
                               bench::require(report.ok() && report.total == tasks.size(), "counts");
                               bench::spot_check(tasks.size(), [&](std::size_t i) {
                                 bench::require(report[i].value() == tasks[i] + 1, "x + 1");
                               });
                             });
  };
  const auto plain = [&] {
    return bench::seconds_of([&] { return bench::run_plainly(tasks, job); },
                             [&](const auto& slots) {
                               bench::spot_check(tasks.size(), [&](std::size_t i) {
                                 bench::require(slots[i].error == nullptr && slots[i].value == tasks[i] + 1, "x + 1");
                               });
                             });
  };
  suite.compare({.job = "x + 1 in serial mode, 1e6 tasks, each run",
                 .tasks = 1e6,
                 .rounds = 41,
                 .contenders = {{bench::Role::ours, "taskmgr", ours}, {bench::Role::plain, "loop", plain}},
                 .criteria = {bench::seconds_over_plain_at_most(3e-9)}});
  return suite.run();
}
