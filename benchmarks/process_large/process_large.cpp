// SPDX-License-Identifier: MIT
// 64 results of 16 MiB from two processes, their start and end included; all are kept in the report. Against two processes
// that write as much, from memory that they have filled once, into a pipe each, and one that reads: what it has read it drops,
// or keeps each result in new memory, as a report does. How fast a pipe is at its best, with 64 KiB that stay in the cache, is
// stated as well.
#include <poll.h>

#include <taskmgr/taskmgr.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
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

struct Way {
  std::size_t written;  // at a time, always the same bytes
  std::size_t room;     // of a reader, a pipe
  bool keeps;           // what fills it; else it is read into again
};

/// What was kept, and at last what was read last from each writer.
std::vector<Memory> by_pipes(const Way& way) {
  constexpr std::size_t writers = 2;
  const std::array<bench::Pipe, writers> pipes;
  const auto writes = [&](std::size_t writer) {
    return [&, writer] {
      const std::string bytes(way.written, letter(static_cast<int>(writer)));
      for (std::size_t left = count / writers * size; left != 0; left -= way.written) {
        pipes[writer].write_all(bytes.data(), way.written);
      }
    };
  };
  const bench::Forked first{writes(0)}, second{writes(1)};
  const auto new_memory = [&way] { return Memory{new char[way.room]}; };  // not written to
  std::vector<Memory> kept;
  std::array<Memory, writers> into{new_memory(), new_memory()};
  std::array<std::size_t, writers> at{};
  for (std::size_t left = count * size; left != 0;) {
    std::array<pollfd, writers> ready{{{pipes[0].out(), POLLIN, 0}, {pipes[1].out(), POLLIN, 0}}};
    ::poll(ready.data(), ready.size(), -1);
    for (std::size_t k = 0; k < writers; ++k) {
      if ((ready[k].revents & POLLIN) == 0) continue;
      const std::size_t got = pipes[k].read_some(into[k].get() + at[k], way.room - at[k]);
      left -= got;
      at[k] += got;
      if (at[k] != way.room) continue;
      at[k] = 0;
      if (way.keeps) kept.push_back(std::exchange(into[k], new_memory()));
    }
  }
  if (!way.keeps) std::move(into.begin(), into.end(), std::back_inserter(kept));
  return kept;
}

bench::Contender pipes(const char* name, const Way& way) {
  return {bench::Role::peer, name, [way] {
            return bench::seconds_of([&] { return by_pipes(way); },
                                     [&](const std::vector<Memory>& kept) {
                                       bench::require(kept.size() == (way.keeps ? count : 2), "counts");
                                       for (const Memory& memory : kept) {
                                         bench::require(memory[0] == letter(0) || memory[0] == letter(1), "letters");
                                         bench::require(memory[way.room - 1] == memory[0], "letters");
                                       }
                                     });
          }};
}

}  // namespace

int main(int argc, char** argv) {
  bench::Suite suite{"process_large", argc, argv};
  std::vector<int> tasks(count);
  std::iota(tasks.begin(), tasks.end(), 0);
  suite.compare({.job = "64 results of 16 MiB, 2 processes",
                 .tasks = double{count},
                 .contenders = {{bench::Role::ours, "taskmgr", [=] { return ours(tasks); }},
                                pipes("pipes", {size, bench::Pipe::size, false}),
                                pipes("pipes, kept", {size, size, true}),
                                pipes("pipes, 64 KiB", {1U << 16U, 1U << 16U, false})},
                 .criteria = {bench::rate_at_least(0.5, "pipes"), bench::rate_stated("pipes, kept"),
                              bench::rate_stated("pipes, 64 KiB")}});
  return suite.run();
}
