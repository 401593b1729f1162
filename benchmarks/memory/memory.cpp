// SPDX-License-Identifier: MIT
// The memory that a run takes for a task from int to int: all that is allocated at a time, at most, from `start` on, as
// the allocator rounds it up.
#include <malloc.h>

#include <taskmgr/taskmgr.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <numeric>
#include <string>
#include <vector>

#include "../harness.hpp"

namespace {

std::atomic<std::size_t> in_use{0};
std::atomic<std::size_t> most_in_use{0};

void* counted(void* memory) {
  if (memory == nullptr) throw std::bad_alloc{};
  const std::size_t size = ::malloc_usable_size(memory) + sizeof(std::size_t);  // glibc keeps a word before each piece
  const std::size_t now = in_use.fetch_add(size) + size;
  std::size_t most = most_in_use.load();
  while (most < now && !most_in_use.compare_exchange_weak(most, now)) {
  }
  return memory;
}

void give_back(void* memory) noexcept {
  if (memory == nullptr) return;
  in_use -= ::malloc_usable_size(memory) + sizeof(std::size_t);
  std::free(memory);
}

void* aligned(std::size_t size, std::align_val_t alignment) {
  const auto unit = static_cast<std::size_t>(alignment);
  return std::aligned_alloc(unit, (size + unit - 1) / unit * unit);
}

}  // namespace

void* operator new(std::size_t size) { return counted(std::malloc(size)); }
void* operator new[](std::size_t size) { return counted(std::malloc(size)); }
void* operator new(std::size_t size, std::align_val_t alignment) { return counted(aligned(size, alignment)); }
void* operator new[](std::size_t size, std::align_val_t alignment) { return counted(aligned(size, alignment)); }
void operator delete(void* memory) noexcept { give_back(memory); }
void operator delete[](void* memory) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete[](void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { give_back(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { give_back(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { give_back(memory); }

namespace {

using taskmgr::Duplicates, taskmgr::Mode, taskmgr::TaskManager;

/// `limit`: bytes a task; 0: none.
void weigh(bench::Suite& suite, const std::string& what, Duplicates duplicates, double limit) {
  constexpr std::size_t count = 1'000'000;
  std::vector<int> tasks(count);
  std::iota(tasks.begin(), tasks.end(), 0);
  const TaskManager manager{[](int x) { return x + 1; },
                            {.mode = Mode::thread, .workers = 2, .duplicates = duplicates}};
  static_cast<void>(manager.start(tasks));  // has the threads started

  const std::size_t before = in_use;
  most_in_use = before;
  const auto report = manager.start(tasks);
  const auto per_task = [&](std::size_t bytes) { return static_cast<double>(bytes - before) / double{count}; };
  const double peak = per_task(most_in_use);
  const double kept = per_task(in_use);
  bench::require(report.ok() && report[count - 1].value() == static_cast<int>(count), "x + 1");
  bench::require(peak >= 4 + 4, "counting of memory");  // there is no less to keep

  bench::Row row{.job = "int to int, 1e6 tasks, " + what,
                 .ours = fmt::format("{:.1f} B", peak),
                 .measured = fmt::format("{:.1f} B kept", kept),
                 .value = peak};
  if (limit != 0) {
    row.limit = fmt::format("<= {:.0f} B", limit);
    row.ok = peak <= limit;
  }
  suite.state(row);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Suite suite{"memory", argc, argv};
  weigh(suite, "each run", Duplicates::run, 24);
  weigh(suite, "equal ones shared", Duplicates::share, 0);
  return suite.run();
}
