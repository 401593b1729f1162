// SPDX-License-Identifier: MIT
// A million tasks that sleep for a second, more or less, all at the same time: what they take beyond that, and what memory.
//
// Each run is a process of its own, this program once more. Its time is counted from before the first task is made until all
// have their outcomes, less the longest sleep of any. Its memory is that by which its peak grows in this time; what the
// outcomes take is measured the same way, with as many tasks that do not sleep, a few of which are in flight at a time.
#include <sys/resource.h>
#include <taskmgr/taskmgr.hpp>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "../harness.hpp"
#include "../program.hpp"

namespace {

using namespace std::chrono_literals;
using taskmgr::Async, taskmgr::Duplicates, taskmgr::Mode, taskmgr::TaskManager;
constexpr int million = 1'000'000;
constexpr int python_count = 100'000;

/// Of task x: a second, and up to a tenth more or less. sleeping.py has it, too.
std::chrono::microseconds nap(int x) {
  const std::uint32_t mixed = static_cast<std::uint32_t>(x) * 0x9E3779B1U;
  return 900ms + std::chrono::microseconds{(mixed >> 8U) % 200'001U};
}

/// Bytes that this process had resident at most.
double peak() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_maxrss) * 1024;
}

/// Prints the seconds that `run` takes, and the bytes by which it raises the peak.
template <class Run>
auto measured(const Run& run) {
  const double before = peak();
  bench::Stopwatch watch;
  auto answers = run();
  const double seconds = watch.seconds();
  fmt::print("{} {}\n", seconds, peak() - before);
  return answers;
}

Async<int> sleep_by_taskmgr(int x) {
  co_await taskmgr::sleep_for(nap(x));
  co_return x + 1;
}

Async<int> do_not_sleep(int x) { co_return x + 1; }

template <class F>
void by_taskmgr(const F& function, std::size_t in_flight) {
  std::vector<int> tasks(million);
  for (int x = 0; x < million; ++x) tasks[static_cast<std::size_t>(x)] = x;
  const TaskManager manager{function, {.mode = Mode::coroutine, .workers = in_flight, .duplicates = Duplicates::run}};
  const auto report = measured([&] { return manager.start(tasks); });
  bench::require(report.ok() && report.total == tasks.size(), "counts");
  for (const int x : tasks) bench::require(report[static_cast<std::size_t>(x)].value() == x + 1, "x + 1");
}

asio::awaitable<void> sleep_by_asio(int x, int& answer) {
  asio::steady_timer timer(co_await asio::this_coro::executor, nap(x));
  co_await timer.async_wait(asio::use_awaitable);
  answer = x + 1;
}

void by_asio() {
  const auto answers = measured([] {
    std::vector<int> slots(million);
    asio::io_context loop(1);
    for (int x = 0; x < million; ++x) asio::co_spawn(loop, sleep_by_asio(x, slots[static_cast<std::size_t>(x)]), asio::detached);
    loop.run();
    return slots;
  });
  for (int x = 0; x < million; ++x) bench::require(answers[static_cast<std::size_t>(x)] == x + 1, "x + 1");
}

/// What a run of a contender prints.
struct Figures {
  double seconds = 0;
  double bytes = 0;
};
Figures figures(const bench::Program& program) {
  const std::string text = program.output();
  std::size_t end = 0;
  const double seconds = std::stod(text, &end);
  return {seconds, std::stod(text.substr(end))};
}
bench::Program self(const char* how) { return bench::Program{{"/proc/self/exe", how}}; }
bench::Program python(const char* how, int count) {
  return bench::Program{{bench::python(), BENCH_FOLDER "/sleeping.py", how, std::to_string(count)}};
}

/// The time of a run beyond the longest sleep of its first `count` tasks.
std::function<double()> beyond(const bench::Program& program, int count) {
  std::chrono::microseconds longest{0};
  for (int x = 0; x < count; ++x) longest = std::max(longest, nap(x));
  return [program, sleep = std::chrono::duration<double>(longest).count()] { return figures(program).seconds - sleep; };
}

void state_memory(bench::Suite& suite, const std::string& of, const bench::Program& program, int count, double outcome,
                  double limit) {
  const double bytes = figures(program).bytes / count - outcome;
  bench::Row row{.job = "asleep for 1 s, peak memory, " + of,
                 .ours = fmt::format("{:.0f} B", bytes),
                 .measured = fmt::format("outcome {:.1f} B", outcome),
                 .value = bytes};
  if (limit != 0) {
    row.limit = fmt::format("<= {:.0f} B", limit);
    row.ok = row.value <= limit;
  }
  suite.state(row);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view how = argc == 2 ? argv[1] : "";
  if (how == "taskmgr") return by_taskmgr(sleep_by_taskmgr, million), 0;
  if (how == "outcomes") return by_taskmgr(do_not_sleep, 1), 0;
  if (how == "asio") return by_asio(), 0;

  bench::Suite suite{"sleeping", argc, argv};
  const auto by_python = [](const char* name, const char* way) {
    const bool here = python(way, 10).works();
    return bench::Contender{bench::Role::peer, name, here ? beyond(python(way, python_count), python_count) : std::function<double()>{},
                            double{python_count} / million};
  };
  suite.compare({.job = "asleep for 1 s, 1e6 at once: beyond the sleep",
                 .tasks = million,
                 .rounds = 7,
                 .contenders = {{bench::Role::ours, "taskmgr", beyond(self("taskmgr"), million)},
                                {bench::Role::peer, "Asio", beyond(self("asio"), million)}},
                 .criteria = {bench::at_most_times_peer(1.0 / 8)}});
  suite.compare({.job = "the same against Python, 1e5 of them",
                 .tasks = million,
                 .rounds = 3,
                 .contenders = {{bench::Role::ours, "taskmgr", beyond(self("taskmgr"), million)},
                                by_python("asyncio", "asyncio"),
                                by_python("uvloop", "uvloop")},
                 .criteria = {bench::rate_stated("asyncio"), bench::rate_stated("uvloop")}});
  const double outcome = figures(self("outcomes")).bytes / million;
  state_memory(suite, "beyond its outcome", self("taskmgr"), million, outcome, 200);
  state_memory(suite, "Asio", self("asio"), million, sizeof(int), 0);
  return suite.run();
}
