// SPDX-License-Identifier: MIT
// x + 1 of a million numbers: what a task costs at the least. The report, or the slots, are allocated anew each time, and
// their end counts.
#include <taskmgr/taskmgr.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../harness.hpp"
#include "../jobs.hpp"
#include "../onetbb.hpp"
#include "../slots.hpp"

namespace {

using taskmgr::Duplicates, taskmgr::Mode, taskmgr::TaskManager;

const auto job = [](std::int64_t x) { return bench::next(x); };

void check_slots(const bench::Slots<std::int64_t>& slots, const std::vector<std::int64_t>& tasks) {
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    bench::require(slots[i].error == nullptr && slots[i].value == tasks[i] + 1, "x + 1");
  }
}

}  // namespace

int main(int argc, char** argv) {
  bench::Suite suite{"map", argc, argv};
  constexpr std::size_t threads = 2;
  const bench::OneTbbThreads limit{threads};
  const std::vector<std::int64_t> tasks = bench::numbers(1'000'000);
  const TaskManager manager{job, {.mode = Mode::thread, .workers = threads, .duplicates = Duplicates::run}};

  const auto ours = [&] {
    return bench::seconds_of([&] { return manager.start(tasks); },
                             [&](const auto& report) {
                               bench::require(report.ok() && report.total == tasks.size(), "counts");
                               for (const auto& outcome : report.outcomes()) {
                                 bench::require(outcome.value() == outcome.task() + 1, "x + 1");
                               }
                             });
  };
  const auto check = [&](const auto& slots) { check_slots(slots, tasks); };
  const auto plain = [&] { return bench::seconds_of([&] { return bench::run_plainly(tasks, job); }, check); };
  const auto by_static = [&] {
    return bench::seconds_of([&] { return bench::run_by_onetbb<tbb::static_partitioner>(tasks, job); }, check);
  };
  const auto by_auto = [&] {
    return bench::seconds_of([&] { return bench::run_by_onetbb<tbb::auto_partitioner>(tasks, job); }, check);
  };

  suite.compare({.job = "x + 1, 1e6 tasks, each run",
                 .tasks = 1e6,
                 .rounds = 41,
                 .contenders = {{bench::Role::ours, "taskmgr", ours},
                                {bench::Role::peer, "oneTBB static", by_static},
                                {bench::Role::peer, "oneTBB auto", by_auto},
                                {bench::Role::plain, "loop", plain}},
                 .criteria = {bench::at_most_times_peer(1.5)}});
  return suite.run();
}
