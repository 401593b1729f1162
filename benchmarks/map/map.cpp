// SPDX-License-Identifier: MIT
// x + 1 of a million numbers: what a task costs at the least. The report, or the slots, are allocated anew each time,
// and their end counts.
#include <taskmgr/taskmgr.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../harness.hpp"
#include "../jobs.hpp"
#include "../onetbb.hpp"
#include "../slots.hpp"

namespace {

using taskmgr::Duplicates, taskmgr::Mode, taskmgr::TaskManager;
constexpr std::size_t threads = 2;

template <class Number>
void compare(bench::Suite& suite, const std::string& what) {
  const auto numbers = bench::numbers(1'000'000);
  const auto tasks = std::make_shared<const std::vector<Number>>(numbers.begin(), numbers.end());
  const auto job = [](Number x) { return static_cast<Number>(bench::next(x)); };
  const auto manager = std::make_shared<TaskManager<decltype(job)>>(
      job, taskmgr::Options{.mode = Mode::thread, .workers = threads, .duplicates = Duplicates::run});

  const auto check_report = [=](const auto& report) {
    bench::require(report.ok() && report.total == tasks->size(), "counts");
    bench::spot_check(tasks->size(), [&](std::size_t i) {
      bench::require(report[i].value() == (*tasks)[i] + 1, "x + 1");
    });
  };
  const auto check = [=](const bench::Slots<Number>& slots) {
    bench::spot_check(tasks->size(), [&](std::size_t i) {
      bench::require(slots[i].error == nullptr && slots[i].value == (*tasks)[i] + 1, "x + 1");
    });
  };
  const auto ours = [=] { return bench::seconds_of([&] { return manager->start(*tasks); }, check_report); };
  const auto plain = [=] { return bench::seconds_of([&] { return bench::run_plainly(*tasks, job); }, check); };
  const auto by_static = [=] {
    return bench::seconds_of([&] { return bench::run_by_onetbb<tbb::static_partitioner>(*tasks, job); }, check);
  };
  const auto by_auto = [=] {
    return bench::seconds_of([&] { return bench::run_by_onetbb<tbb::auto_partitioner>(*tasks, job); }, check);
  };
  suite.compare({.job = "x + 1, 1e6 tasks, " + what + ", each run",
                 .tasks = static_cast<double>(tasks->size()),
                 .rounds = 41,
                 .contenders = {{bench::Role::ours, "taskmgr", ours},
                                {bench::Role::peer, "oneTBB static", by_static},
                                {bench::Role::peer, "oneTBB auto", by_auto},
                                {bench::Role::plain, "loop", plain}},
                 .criteria = {bench::at_most_times_peer(1.5)}});
}

}  // namespace

int main(int argc, char** argv) {
  bench::Suite suite{"map", argc, argv};
  const bench::OneTbbThreads limit{threads};
  compare<std::int64_t>(suite, "int64");
  compare<int>(suite, "int");
  return suite.run();
}
