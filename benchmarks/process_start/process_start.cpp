// SPDX-License-Identifier: MIT
// A start of ten tiny tasks by two processes, which have to be forked and to end, in a program that has 1 GB of memory in use:
// against the two forks alone.
#include <sys/mman.h>

#include <taskmgr/taskmgr.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <system_error>

#include "../forked.hpp"
#include "../harness.hpp"
#include "../jobs.hpp"

namespace {

/// Memory in small pages, as that of a program that has grown little by little. A fork copies the table of them.
void use_memory(std::size_t size) {
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  ::madvise(memory, size, MADV_NOHUGEPAGE);
  std::memset(memory, 1, size);
}

}  // namespace

int main(int argc, char** argv) {
  using taskmgr::Mode, taskmgr::TaskManager;
  bench::Suite suite{"process_start", argc, argv};
  use_memory(1'000'000'000);
  const TaskManager manager{[](std::int64_t x) { return bench::next(x); }, {.mode = Mode::process, .workers = 2}};
  const auto ours = [&, tasks = bench::numbers(10)] {
    return bench::seconds_of([&] { return manager.start(tasks); },
                             [&](const auto& report) {
                               bench::require(report.ok() && report.total == tasks.size(), "counts");
                               for (std::size_t i = 0; i < tasks.size(); ++i) {
                                 bench::require(report[i].value() == tasks[i] + 1, "x + 1");
                               }
                             });
  };
  const auto forks = [] {
    bench::Stopwatch watch;
    {
      const auto nothing = [] {};
      const bench::Forked first{nothing}, second{nothing};
    }
    return watch.seconds();
  };
  suite.compare({.job = "start of 10 tasks, 2 processes, 1 GB in use",
                 .rounds = 21,
                 .contenders = {{bench::Role::ours, "taskmgr", ours}, {bench::Role::plain, "2 forks", forks}},
                 .criteria = {bench::stated()}});
  return suite.run();
}
