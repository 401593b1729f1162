// SPDX-License-Identifier: MIT
// Tasks of 1 millisecond by two processes, their start and end included, which would ideally take half the time of a plain
// loop: how near to that they come. Two bare processes with half of the tasks each say what this machine gives.
#include <taskmgr/taskmgr.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../forked.hpp"
#include "../harness.hpp"
#include "../jobs.hpp"
#include "../slots.hpp"

int main(int argc, char** argv) {
  using namespace std::chrono_literals;
  using taskmgr::Duplicates, taskmgr::Mode, taskmgr::TaskManager;
  bench::Suite suite{"process_efficiency", argc, argv};
  const std::size_t count = suite.quick() ? 1'000 : 10'000;
  constexpr double part = 0.2;  // that the loop does
  const auto fewer = static_cast<std::size_t>(part * static_cast<double>(count));
  std::vector<std::uint64_t> tasks(count);
  for (std::size_t i = 0; i < count; ++i) tasks[i] = i;
  const std::vector<std::uint64_t> some(tasks.begin(), tasks.begin() + static_cast<std::ptrdiff_t>(fewer));
  const auto job = [steps = bench::steps_for(1ms)](std::uint64_t seed) { return bench::churn(seed, steps); };
  std::vector<std::uint64_t> expected;
  for (const std::uint64_t task : some) expected.push_back(job(task));

  const auto ours = [=] {
    const TaskManager manager{job, {.mode = Mode::process, .workers = 2, .duplicates = Duplicates::run}};
    return bench::seconds_of([&] { return manager.start(tasks); },
                             [&](const auto& report) {
                               bench::require(report.ok() && report.total == count, "counts");
                               for (std::size_t i = 0; i < fewer; ++i) {
                                 bench::require(report[i].value() == expected[i], "churn");
                               }
                             });
  };
  const auto plain = [=] {
    return bench::seconds_of([&] { return bench::run_plainly(some, job); },
                             [&](const auto& slots) {
                               for (std::size_t i = 0; i < fewer; ++i) {
                                 bench::require(slots[i].value == expected[i], "churn");
                               }
                             });
  };
  const auto halves = [=] {
    bench::Stopwatch watch;
    {
      const auto half = [&](std::size_t first) {
        return [&tasks, &job, first] {
          for (std::size_t i = first; i < tasks.size(); i += 2) static_cast<void>(job(tasks[i]));
        };
      };
      const bench::Forked even{half(0)}, odd{half(1)};
    }
    return watch.seconds();
  };
  suite.compare({.job = "tasks of 1 ms, 2 processes, each run",
                 .tasks = static_cast<double>(count),
                 .rounds = 3,
                 .contenders = {{bench::Role::ours, "taskmgr", ours},
                                {bench::Role::peer, "2 forks", halves},
                                {bench::Role::plain, "loop", plain, part}},
                 .criteria = {bench::efficiency_at_least(0.97, 2), bench::efficiency_below_peer_at_most(0.01, 2)}});
  return suite.run();
}
