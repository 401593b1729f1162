// SPDX-License-Identifier: MIT
// x + 1 of a million numbers by two processes, their start and end included: what a task costs at the least. Against the
// pools of Python, and against a process that makes the same results, and writes into a pipe the least that a million answers
// can be: the 4 bytes of each, and nothing else.
#include <taskmgr/taskmgr.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../forked.hpp"
#include "../harness.hpp"
#include "../jobs.hpp"
#include "../program.hpp"

namespace {

using taskmgr::Duplicates, taskmgr::Mode, taskmgr::TaskManager;
constexpr std::size_t million = 1'000'000;

bench::Contender ours(std::size_t count, std::size_t chunk, Duplicates duplicates) {
  const auto numbers = bench::numbers(count);
  const auto job = [](int x) { return static_cast<int>(bench::next(x)); };
  return {bench::Role::ours, "taskmgr", [=, tasks = std::vector<int>(numbers.begin(), numbers.end())] {
            const TaskManager manager{
                job, {.mode = Mode::process, .workers = 2, .duplicates = duplicates, .chunk = chunk}};
            return bench::seconds_of([&] { return manager.start(tasks); },
                                     [&](const auto& report) {
                                       bench::require(report.ok() && report.total == count, "counts");
                                       bench::spot_check(count, [&](std::size_t i) {
                                         bench::require(report[i].value() == tasks[i] + 1, "x + 1");
                                       });
                                     });
          }};
}

/// A peer of pools.py, which does so many of the `of` tasks; none, where it is not here.
bench::Contender pool(const char* name, const std::string& how, std::size_t count, std::size_t of) {
  const auto call = [&](std::size_t tasks) {
    return bench::Program{{bench::python(), BENCH_FOLDER "/pools.py", how, std::to_string(tasks)}};
  };
  const bool here = call(10).works();
  return {bench::Role::peer, name, here ? [run = call(count)] { return run.number(); } : std::function<double()>{},
          static_cast<double>(count) / static_cast<double>(of)};
}

bench::Contender pipe() {
  return {bench::Role::plain, "pipe", [] {
            constexpr std::size_t size = million * sizeof(int);
            const auto carry = [] {
              std::unique_ptr<int[]> results{new int[million]};  // not written to
              const bench::Pipe pipe;
              const bench::Forked writer{[&] {
                for (std::size_t i = 0; i < million; ++i) results[i] = static_cast<int>(i) + 1;
                pipe.write_all(results.get(), size);
              }};
              auto* const bytes = reinterpret_cast<std::byte*>(results.get());
              for (std::size_t at = 0; at < size;) at += pipe.read_some(bytes + at, size - at);
              return results;
            };
            return bench::seconds_of(carry, [](const std::unique_ptr<int[]>& results) {
              bench::spot_check(million, [&](std::size_t i) {
                bench::require(results[i] == static_cast<int>(i) + 1, "what crossed the pipe");
              });
            });
          }};
}

}  // namespace

int main(int argc, char** argv) {
  bench::Suite suite{"process_noop", argc, argv};
  suite.compare({.job = "x + 1, 2 processes, 1e6 tasks, each run",
                 .tasks = double{million},
                 .contenders = {ours(million, 0, Duplicates::run), pool("Pool.map", "map", million, million), pipe()},
                 .criteria = {bench::rate_at_least(4, "Pool.map"), bench::at_most_times_plain(4)}});
  suite.compare({.job = "x + 1, 2 processes, 1e6 tasks, equal shared",
                 .tasks = double{million},
                 .rounds = 5,
                 .contenders = {ours(million, 0, Duplicates::share),
                                pool("joblib loky", "loky", million / 5, million),
                                pool("joblib mp", "multiprocessing", million / 5, million)},
                 .criteria = {bench::rate_stated("joblib loky"), bench::rate_stated("joblib mp")}});
  constexpr std::size_t singly = 200'000;
  suite.compare({.job = "x + 1, 2 processes, 2e5 tasks, chunk 1",
                 .tasks = double{singly},
                 .contenders = {ours(singly, 1, Duplicates::run), pool("Pool.imap", "imap", singly / 10, singly)},
                 .criteria = {bench::rate_at_least(12, "Pool.imap")}});
  return suite.run();
}
