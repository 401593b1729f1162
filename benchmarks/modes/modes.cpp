// SPDX-License-Identifier: MIT
// The modes against a plain loop: nanoseconds a task, for tiny, short and longer tasks. It needs nothing but taskmgr.
#include <fmt/format.h>
#include <taskmgr/taskmgr.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <vector>

#include "../jobs.hpp"
#include "../measure.hpp"
#include "../slots.hpp"

namespace {

using namespace std::chrono_literals;
using taskmgr::Duplicates, taskmgr::Mode, taskmgr::TaskManager;

/// Medians of runs in turn, as rows of a table.
template <class Job>
void compare(const char* what, std::size_t count, const Job& job) {
  std::vector<std::uint64_t> tasks(count);
  for (std::size_t i = 0; i < count; ++i) tasks[i] = i;
  const TaskManager serial{job, {.mode = Mode::serial, .duplicates = Duplicates::run}};
  const TaskManager thread{job, {.mode = Mode::thread, .duplicates = Duplicates::run}};
  const TaskManager shares{job, {.mode = Mode::thread, .duplicates = Duplicates::share}};

  const auto check_slots = [&](const auto& slots) {
    for (std::size_t i = 0; i < count; i += 97) bench::require(slots[i].value == job(i), what);
  };
  const auto check_report = [&](const auto& report) {
    bench::require(report.ok() && report.total == count, what);
    for (std::size_t i = 0; i < count; i += 97) bench::require(report[i].value() == job(i), what);
  };
  constexpr int rounds = 9;
  constexpr std::size_t contenders = 4;
  std::vector<double> times[contenders];
  for (int round = 0; round <= rounds; ++round) {
    const double seconds[contenders] = {
        bench::seconds_of([&] { return bench::run_plainly(tasks, job); }, check_slots),
        bench::seconds_of([&] { return serial.start(tasks); }, check_report),
        bench::seconds_of([&] { return thread.start(tasks); }, check_report),
        bench::seconds_of([&] { return shares.start(tasks); }, check_report)};
    for (std::size_t k = 0; round != 0 && k < contenders; ++k) times[k].push_back(seconds[k]);  // the first warms up
  }
  fmt::print("| {:<24} |", what);
  for (const auto& samples : times) {
    fmt::print(" {:>9.1f} |", bench::median(samples) / static_cast<double>(count) * 1e9);
  }
  fmt::print("\n");
}

}  // namespace

int main() {
  try {
    fmt::print("| {:<24} | {:>9} | {:>9} | {:>9} | {:>9} |\n", "ns a task", "loop", "serial", "thread", "shared");
    fmt::print("|{:-<26}|{:->11}|{:->11}|{:->11}|{:->11}|\n", "", ":", ":", ":", ":");
    compare("x + 1, 1e6 tasks", 1'000'000, [](std::uint64_t x) { return bench::churn(x, 1); });
    const std::size_t steps = bench::steps_for(1us);
    compare("1 us, 1e5 tasks", 100'000, [=](std::uint64_t x) { return bench::churn(x, steps); });
    compare("100 us, 1e3 tasks", 1'000, [=](std::uint64_t x) { return bench::churn(x, 100 * steps); });
    fmt::print("\nloop: a plain loop that keeps a value or an exception of each task; serial, thread: the modes,\n"
               "thread on all CPUs, each task run; shared: thread mode with the default, that equal tasks are run once.\n");
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "modes: {}\n", error.what());
    return 1;
  }
}
