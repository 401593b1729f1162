// SPDX-License-Identifier: MIT
// Tasks of 1 and of 10 microseconds on two threads, which would ideally take half the time of a plain loop: how near to
// that they come. What loops on both cores at once can reach is stated as well. Runs are short and many: see harness.hpp.
#include <taskmgr/taskmgr.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../harness.hpp"
#include "../jobs.hpp"
#include "../onetbb.hpp"
#include "../side_by_side.hpp"
#include "../slots.hpp"

namespace {

using namespace std::chrono_literals;
using taskmgr::Duplicates, taskmgr::Mode, taskmgr::TaskManager;
constexpr std::size_t threads = 2;

void compare(bench::Suite& suite, const std::string& what, std::chrono::nanoseconds each, std::size_t count,
             double limit) {
  const auto tasks = std::make_shared<std::vector<std::uint64_t>>(count);
  for (std::size_t i = 0; i < count; ++i) (*tasks)[i] = i;
  const auto job = [steps = bench::steps_for(each)](std::uint64_t seed) { return bench::churn(seed, steps); };
  const auto expected = std::make_shared<std::vector<std::uint64_t>>();
  for (const std::uint64_t task : *tasks) expected->push_back(job(task));

  const auto check = [=](const bench::Slots<std::uint64_t>& slots) {
    for (std::size_t i = 0; i < count; ++i) bench::require(slots[i].value == (*expected)[i], "churn");
  };
  const auto plain = [=] { return bench::seconds_of([&] { return bench::run_plainly(*tasks, job); }, check); };
  const auto at_once = [=] { return bench::side_by_side(threads, *tasks, job, check); };
  const auto by_static = [=] {
    return bench::seconds_of([&] { return bench::run_by_onetbb<tbb::static_partitioner>(*tasks, job); }, check);
  };
  const auto by_auto = [=] {
    return bench::seconds_of([&] { return bench::run_by_onetbb<tbb::auto_partitioner>(*tasks, job); }, check);
  };
  const auto ours = [=](Duplicates duplicates) {
    const auto manager = std::make_shared<TaskManager<decltype(job)>>(
        job, taskmgr::Options{.mode = Mode::thread, .workers = threads, .duplicates = duplicates});
    return [=] {
      return bench::seconds_of([&] { return manager->start(*tasks); },
                               [&](const auto& report) {
                                 bench::require(report.ok() && report.total == count, "counts");
                                 for (std::size_t i = 0; i < count; ++i) {
                                   bench::require(report[i].value() == (*expected)[i], "churn");
                                 }
                               });
    };
  };
  suite.compare({.job = what + ", each run",
                 .tasks = static_cast<double>(count),
                 .rounds = 41,
                 .contenders = {{bench::Role::ours, "taskmgr", ours(Duplicates::run)},
                                {bench::Role::peer, "oneTBB static", by_static},
                                {bench::Role::peer, "oneTBB auto", by_auto},
                                {bench::Role::plain, "loop", plain},
                                {bench::Role::plain, "loops at once", at_once}},
                 .criteria = {bench::efficiency_at_least(limit, threads),
                              bench::efficiency_below_peer_at_most(0.01, threads),
                              bench::efficiency_stated(threads, "loops at once")}});
  suite.compare({.job = what + ", equal ones shared",
                 .tasks = static_cast<double>(count),
                 .rounds = 21,
                 .contenders = {{bench::Role::ours, "taskmgr", ours(Duplicates::share)},
                                {bench::Role::plain, "loop", plain}},
                 .criteria = {bench::efficiency_stated(threads)}});
}

}  // namespace

int main(int argc, char** argv) {
  bench::Suite suite{"efficiency", argc, argv};
  const bench::OneTbbThreads limit{threads};
  compare(suite, "tasks of 1 us", 1us, 80'000, 0.97);
  compare(suite, "tasks of 10 us", 10us, 8'000, 0.99);
  return suite.run();
}
