// SPDX-License-Identifier: MIT
// 64 results of 16 MiB from two processes, their start and end included; all are kept in the report. Against two processes
// that write as much into a pipe each, from memory that they wrote once, to one that reads: either always into the same
// memory, or each result into new memory that is kept as well.
#include <poll.h>

#include <taskmgr/taskmgr.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "../forked.hpp"
#include "../harness.hpp"

namespace {

using taskmgr::Mode, taskmgr::TaskManager;
constexpr std::size_t size = 16U << 20U;
constexpr std::size_t count = 64;

char letter(int task) { return static_cast<char>('a' + task % 26); }

double ours(const std::vector<int>& tasks) {
  const TaskManager manager{[](int task) { return std::string(size, letter(task)); },
                            {.mode = Mode::process, .workers = 2}};
  return bench::seconds_of([&] { return manager.start(tasks); },
                           [&](const auto& report) {
                             bench::require(report.ok() && report.total == count, "counts");
                             for (const int task : tasks) {
                               const std::string& text = report[static_cast<std::size_t>(task)].value();
                               bench::require(text.size() == size, "size");
                               for (std::size_t i = 0; i < size; i += size / 64 - 1) {
                                 bench::require(text[i] == letter(task), "letters");
                               }
                             }
                           });
}

using Memory = std::unique_ptr<char[]>;

/// What was read: all results, or the last of each writer.
std::vector<Memory> by_pipes(bool keeps) {
  constexpr std::size_t writers = 2;
  const std::array<bench::Pipe, writers> pipes;
  const auto writes = [&pipes](std::size_t writer) {
    return [&pipes, writer] {
      const std::string text(size, letter(static_cast<int>(writer)));
      for (std::size_t k = 0; k < count / writers; ++k) pipes[writer].write_all(text.data(), size);
    };
  };
  const bench::Forked first{writes(0)}, second{writes(1)};
  std::vector<Memory> results;
  const auto new_memory = [] { return Memory{new char[size]}; };  // not written to
  std::array<Memory, writers> into{new_memory(), new_memory()};
  std::array<std::size_t, writers> at{};
  for (std::size_t left = count; left != 0;) {
    std::array<pollfd, writers> ready{{{pipes[0].out(), POLLIN, 0}, {pipes[1].out(), POLLIN, 0}}};
    ::poll(ready.data(), ready.size(), -1);
    for (std::size_t k = 0; k < writers; ++k) {
      if ((ready[k].revents & POLLIN) == 0) continue;
      at[k] += pipes[k].read_some(into[k].get() + at[k], size - at[k]);
      if (at[k] != size) continue;
      at[k] = 0;
      --left;
      if (keeps) results.push_back(std::exchange(into[k], new_memory()));
    }
  }
  for (Memory& memory : into) results.push_back(std::move(memory));
  return results;
}

double pipes(bool keeps) {
  return bench::seconds_of([&] { return by_pipes(keeps); },
                           [&](const std::vector<Memory>& results) {
                             bench::require(results.size() == (keeps ? count + 2 : 2), "counts");
                             const char first = results[0][0];
                             bench::require(first == letter(0) || first == letter(1), "letters");
                             bench::require(std::all_of(results[0].get(), results[0].get() + size,
                                                        [&](char c) { return c == first; }),
                                            "letters");
                           });
}

}  // namespace

int main(int argc, char** argv) {
  bench::Suite suite{"process_large", argc, argv};
  std::vector<int> tasks(count);
  std::iota(tasks.begin(), tasks.end(), 0);
  suite.compare({.job = "64 results of 16 MiB, 2 processes",
                 .tasks = double{count},
                 .contenders = {{bench::Role::ours, "taskmgr", [=] { return ours(tasks); }},
                                {bench::Role::peer, "pipes", [] { return pipes(false); }},
                                {bench::Role::peer, "pipes, kept", [] { return pipes(true); }}},
                 .criteria = {bench::rate_at_least(0.5, "pipes"), bench::rate_stated("pipes, kept")}});
  return suite.run();
}
