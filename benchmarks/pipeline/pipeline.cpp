// SPDX-License-Identifier: MIT
// Three stages, of almost nothing and of 3.3 microseconds each: as a pipeline against oneTBB's, and one after the other
// against three plain loops. Each task has an outcome of its own at the end, whoever runs it.
#include <taskmgr/taskmgr.hpp>
#include <tbb/parallel_pipeline.h>

#include <array>
#include <chrono>
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

using namespace std::chrono_literals;
using taskmgr::Duplicates, taskmgr::Mode, taskmgr::TaskManager, taskmgr::TaskTree, taskmgr::TreeMode;
constexpr std::size_t threads = 2;

/// By oneTBB: a stage takes up to `tokens` items at a time, the last one makes the outcome in its slot.
template <class F>
bench::Slots<std::uint64_t> run_by_pipeline(const std::vector<std::uint64_t>& tasks, const F& f, std::size_t tokens) {
  struct Token {
    std::size_t at;
    std::uint64_t value;
  };
  bench::Slots<std::uint64_t> slots{tasks.size()};
  std::size_t next = 0;
  tbb::parallel_pipeline(
      tokens, tbb::make_filter<void, Token>(tbb::filter_mode::serial_in_order,
                                            [&](tbb::flow_control& control) -> Token {
                                              if (next == tasks.size()) {
                                                control.stop();
                                                return {};
                                              }
                                              const std::size_t at = next++;
                                              return {at, f(tasks[at])};
                                            }) &
                  tbb::make_filter<Token, Token>(tbb::filter_mode::parallel, [&](Token token) { return Token{token.at, f(token.value)}; }) &
                  tbb::make_filter<Token, void>(tbb::filter_mode::parallel, [&](Token token) {
                    bench::Slot<std::uint64_t>::make(slots.data() + token.at, [&] { return f(token.value); });
                  }));
  return slots;
}

template <class F>
void compare(bench::Suite& suite, const std::string& what, const F& job, std::size_t count, double limit, std::size_t rounds) {
  const auto tasks = std::make_shared<std::vector<std::uint64_t>>(count);
  for (std::size_t i = 0; i < count; ++i) (*tasks)[i] = i;
  const auto expected = std::make_shared<std::vector<std::uint64_t>>();
  for (const std::uint64_t task : *tasks) expected->push_back(job(job(job(task))));

  const auto check = [=](const bench::Slots<std::uint64_t>& slots) {
    for (std::size_t i = 0; i < count; ++i) bench::require(slots[i].value == (*expected)[i], "stages");
  };
  const auto plain = [=] {
    return bench::seconds_of(
        [&] {
          std::vector<std::uint64_t> values = *tasks;
          for (int stage = 0; stage < 2; ++stage) {
            const auto slots = bench::run_plainly(values, job);
            for (std::size_t i = 0; i < count; ++i) values[i] = slots[i].value;
          }
          return bench::run_plainly(values, job);
        },
        check);
  };
  const auto by_tbb = [=](std::size_t tokens) {
    return [=] { return bench::seconds_of([&] { return run_by_pipeline(*tasks, job, tokens); }, check); };
  };
  const auto ours = [=](TreeMode how) {
    const auto stage = std::make_shared<TaskManager<F>>(job, taskmgr::Options{.duplicates = Duplicates::run});
    const auto tree = std::make_shared<TaskTree<std::uint64_t, std::uint64_t>>(*stage, *stage, *stage);
    tree->set_mode(how);
    return [=] {
      static_cast<void>(stage);  // the tree borrows it
      return bench::seconds_of([&] { return tree->start(*tasks); },
                               [&](const auto& report) {
                                 bench::require(report.ok() && report.total == count, "counts");
                                 for (std::size_t i = 0; i < count; ++i) {
                                   bench::require(report[i].value() == (*expected)[i], "stages");
                                 }
                               });
    };
  };
  suite.compare({.job = "three stages of " + what + ", pipelined",
                 .tasks = static_cast<double>(count),
                 .rounds = rounds,
                 .contenders = {{bench::Role::ours, "taskmgr", ours(TreeMode::pipeline)},
                                {bench::Role::peer, "oneTBB, 16 tokens", by_tbb(16)},
                                {bench::Role::peer, "oneTBB, 64 tokens", by_tbb(64)},
                                {bench::Role::peer, "oneTBB, 1024 tokens", by_tbb(1024)}},
                 .criteria = {bench::at_most_times_peer(limit)}});
  suite.compare({.job = "three stages of " + what + ", in series",
                 .tasks = static_cast<double>(count),
                 .rounds = rounds,
                 .contenders = {{bench::Role::ours, "taskmgr", ours(TreeMode::serial)}, {bench::Role::plain, "three loops", plain}},
                 .criteria = {bench::at_most_times_plain(2.0)}});
}

}  // namespace

int main(int argc, char** argv) {
  bench::Suite suite{"pipeline", argc, argv};
  const bench::OneTbbThreads limit{threads};
  compare(suite, "almost nothing", [](std::uint64_t x) { return x * 3 + 1; }, 1'000'000, 0.2, 9);
  compare(suite, "3.3 us", [steps = bench::steps_for(3300ns)](std::uint64_t seed) { return bench::churn(seed, steps); }, 20'000, 1.0, 21);
  return suite.run();
}
