// SPDX-License-Identifier: MIT
// Starts of a few tasks on a pool whose threads are there: one start after the other, and while the threads are asleep.
#include <taskmgr/taskmgr.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "../harness.hpp"
#include "../jobs.hpp"
#include "../onetbb.hpp"
#include "../slots.hpp"

namespace {

using namespace std::chrono_literals;
using taskmgr::Mode, taskmgr::TaskManager;
constexpr std::size_t threads = 2;

/// The seconds of one of many starts in a row. The answers of some are checked: it is starts that are to be measured.
template <class Start>
double in_a_row(std::size_t starts, const Start& start) {
  bench::Stopwatch watch;
  for (std::size_t k = 0; k < starts; ++k) start(k % 50 == 0);
  return watch.seconds() / static_cast<double>(starts);
}

/// The seconds of one start after this thread was busy with other things for longer than any pool's patience.
template <class Start>
double while_threads_sleep(const Start& start) {
  const auto end = bench::Stopwatch::Clock::now() + 50ms;
  while (bench::Stopwatch::Clock::now() < end) {
  }
  bench::Stopwatch watch;
  start(true);
  return watch.seconds();
}

/// The starts of each contender, which may check their answers, by a sum.
template <class Task, class Job>
struct Starts {
  std::vector<Task> tasks;
  Job job;
  TaskManager<Job> manager{job, {.mode = Mode::thread, .workers = threads}};
  Task sum = 0;

  Starts(std::vector<Task> all, Job f) : tasks(std::move(all)), job(f) {
    for (const Task task : tasks) sum += job(task);
  }
  void ours(bool checked) const {
    const auto report = manager.start(tasks);
    bench::require(report.succeeded == tasks.size(), "counts");
    if (!checked) return;
    Task found = 0;
    for (const auto& outcome : report.outcomes()) found += outcome.value();
    bench::require(found == sum, "sum");
  }
  void plain(bool checked) const { check(bench::run_plainly(tasks, job), checked); }
  void by_static(bool checked) const { check(bench::run_by_onetbb<tbb::static_partitioner>(tasks, job), checked); }
  void by_auto(bool checked) const { check(bench::run_by_onetbb<tbb::auto_partitioner>(tasks, job), checked); }

 private:
  void check(const bench::Slots<Task>& slots, bool checked) const {
    bench::require(slots.size() == tasks.size(), "counts");
    if (!checked) return;
    Task found = 0;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (slots[i].error == nullptr) found += slots[i].value;
    }
    bench::require(found == sum, "sum");
  }
};

/// The four contenders, each of whose runs is `measure` of a start.
template <class S, class Measure>
std::vector<bench::Contender> contenders(const S& starts, const Measure& measure) {
  const auto by = [=](auto member) {
    return [=] { return measure([&](bool checked) { ((*starts).*member)(checked); }); };
  };
  using Each = typename S::element_type;
  return {{bench::Role::ours, "taskmgr", by(&Each::ours)},
          {bench::Role::peer, "oneTBB static", by(&Each::by_static)},
          {bench::Role::peer, "oneTBB auto", by(&Each::by_auto)},
          {bench::Role::plain, "loop", by(&Each::plain)}};
}

}  // namespace

int main(int argc, char** argv) {
  bench::Suite suite{"small_batches", argc, argv};
  const bench::OneTbbThreads limit{threads};

  const auto tiny_job = [](std::int64_t x) { return bench::next(x); };
  using Tiny = Starts<std::int64_t, decltype(tiny_job)>;
  const auto tiny = std::make_shared<const Tiny>(bench::numbers(10), tiny_job);
  const auto thousand = [](const auto& start) { return in_a_row(1000, start); };
  const auto asleep = [](const auto& start) { return while_threads_sleep(start); };
  suite.compare({.job = "start of 10 tiny tasks, in a row",
                 .rounds = 21,
                 .contenders = contenders(tiny, thousand),
                 .criteria = {bench::seconds_at_most(20e-6)}});
  suite.compare({.job = "start of 10 tiny tasks, threads asleep",
                 .rounds = 21,
                 .contenders = contenders(tiny, asleep),
                 .criteria = {bench::stated()}});

  const auto short_job = [steps = bench::steps_for(1us)](std::uint64_t seed) { return bench::churn(seed, steps); };
  using Two = Starts<std::uint64_t, decltype(short_job)>;
  const auto two = std::make_shared<const Two>(std::vector<std::uint64_t>{1, 2}, short_job);
  suite.compare({.job = "start of 2 tasks of 1 us, in a row",
                 .rounds = 21,
                 .contenders = contenders(two, thousand),
                 .criteria = {bench::at_most_times_plain(1.2)}});
  suite.compare({.job = "start of 2 tasks of 1 us, threads asleep",
                 .rounds = 21,
                 .contenders = contenders(two, asleep),
                 .criteria = {bench::stated()}});
  return suite.run();
}
