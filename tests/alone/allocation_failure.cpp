// SPDX-License-Identifier: MIT
// Alone: it replaces operator new for its whole process, so that memory runs out.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "support/build.hpp"

#if defined(TASKMGR_TEST_SANITIZED)

TEST_CASE("a sanitizer has an operator new of its own") { CHECK(support::sanitized); }

#else

#include <taskmgr/manager/task_manager.hpp>

#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/processes.hpp"

extern "C" void* __libc_realloc(void* memory, std::size_t size);

namespace {

/// What fails in worker processes: the n-th allocation of all that they make together.
struct Workers {
  std::atomic<pid_t> host{0};  // 0: nothing fails
  std::atomic<long> seen{0};
  std::atomic<long> first_failure{0};
  std::atomic<long> last_failure{0};
  std::atomic<long> failed{0};
};
Workers* workers = nullptr;

bool fails_in_worker() {
  if (workers == nullptr || workers->host == 0 || workers->host == getpid()) return false;
  const long n = workers->seen.fetch_add(1);
  if (n < workers->first_failure || n > workers->last_failure) return false;
  ++workers->failed;
  return true;
}

const pid_t this_process = getpid();  // worker processes have memory: for those that have none, see below
std::atomic<bool> failing{false};
std::atomic<long> seen{0};           // allocations while failing
std::atomic<long> first_failure{0};  // the first that fails, counted from 0
std::atomic<long> last_failure{0};   // and the last
std::atomic<long> failed{0};
std::atomic<long> alive{0};

bool fails() {
  if (!failing || getpid() != this_process) return false;
  const long n = seen.fetch_add(1);
  if (n < first_failure || n > last_failure) return false;
  ++failed;
  return true;
}

void* allocate(std::size_t size, std::size_t alignment) {
  if (fails() || fails_in_worker()) return nullptr;
  void* const memory =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(size != 0 ? size : 1)
          : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory != nullptr) ++alive;
  return memory;
}

[[gnu::noinline]] void release(void* memory) noexcept {  // inlined, g++ takes it for a mismatch
  if (memory == nullptr) return;
  --alive;
  std::free(memory);
}

}  // namespace

/// Which buffers of bytes grow by.
extern "C" void* realloc(void* memory, std::size_t size) { return fails_in_worker() ? nullptr : __libc_realloc(memory, size); }

void* operator new(std::size_t size) {
  if (void* const memory = allocate(size, 0)) return memory;
  throw std::bad_alloc{};
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  if (void* const memory = allocate(size, static_cast<std::size_t>(alignment))) return memory;
  throw std::bad_alloc{};
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size, 0); }
void* operator new[](std::size_t size) { return operator new(size); }
void* operator new[](std::size_t size, std::align_val_t alignment) { return operator new(size, alignment); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }

namespace {

using support::Manager;
using support::numbers;
using taskmgr::Context;
using taskmgr::Mode;
using taskmgr::Options;
using taskmgr::State;
using namespace std::chrono_literals;

/// Listens to everything and keeps nothing.
struct Deaf : taskmgr::Observer {
  void on_event(const taskmgr::Event& event) override { heard += event.task_text().size(); }
  std::size_t heard = 0;
};

/// Fails, retries, and works; allocates only for exceptions.
int act(Context& context, int x) {
  if (x % 10 == 3) throw std::logic_error("fails");
  if (x % 10 == 4 && context.attempt() == 1) throw std::runtime_error("again");
  if (x % 10 == 5) context.log(taskmgr::Level::info, "task {}", x);
  return x;
}

/// Without memory a task may fail, and a run may throw or end early; but the counts add up.
void check(const support::Report& report) {
  if (!support::adds_up(report)) throw std::logic_error("the counts do not add up");
  for (const auto& outcome : report.outcomes()) {
    if (outcome.state() == State::succeeded && outcome.value() != outcome.task()) throw std::logic_error("wrong value");
    if (outcome.state() == State::failed && outcome.error().exception() == nullptr) throw std::logic_error("no error");
  }
}

/// Lets the n-th allocation of `errand` and the `count - 1` that follow it fail, for n = 0, 1, ... until none fails.
void run_out_of_memory(long count, const std::function<void()>& errand) {
  errand();  // what is allocated once and kept
  errand();
  const long before = alive;
  for (long n = 0;; ++n) {
    REQUIRE(n < 1'000'000);
    failed = 0;
    seen = 0;
    first_failure = n;
    last_failure = n + count - 1;
    std::string wrong;
    try {
      failing = true;
      errand();
      failing = false;
    } catch (const std::bad_alloc&) {
      failing = false;
    } catch (const std::system_error& error) {  // no memory for a thread
      failing = false;
      if (error.code() != std::errc::resource_unavailable_try_again) wrong = error.what();
    } catch (const std::exception& error) {
      failing = false;
      wrong = error.what();
    }
    if (!wrong.empty()) CHECK_MESSAGE(false, "allocation ", n, ": ", wrong);
    wrong = std::string{};
    const long left = alive - before;
    if (left != 0) CHECK_MESSAGE(false, "allocation ", n, ": ", left, " blocks left");
    if (failed == 0) return;
  }
}

/// Each way to run, in each mode, for each number of allocations that fail in a row.
template <class Errand>
void everywhere(const Errand& errand) {
  for (const Mode mode : support::modes) {
    for (const long count : {1L, 2L, 1'000'000L}) {
      INFO("mode: ", support::name(mode));
      CAPTURE(count);
      run_out_of_memory(count, [&] {
        errand(Options{.mode = mode, .workers = 3, .retry = {.max_retries = 1, .base_delay = 1us}, .name = "short"});
      });
    }
  }
}

}  // namespace

TEST_CASE("start without memory") {
  everywhere([](const Options& options) {
    const Manager manager{act, options};
    check(manager.start(numbers(30)));
  });
}

TEST_CASE("start without memory, with a sink, an observer, deadlines and the start of workers") {
  everywhere([](Options options) {
    Deaf deaf;
    options.timeout = 1h;
    options.on_worker_start = [](std::size_t) {};
    Manager manager{act, options};
    manager.observe(deaf);
    std::size_t sunk = 0;
    const auto report = manager.start(numbers(30), support::Sink{[&](auto&) { ++sunk; }});
    check(report);
    if (sunk != 30) throw std::logic_error("the sink was not called for each");
  });
}

TEST_CASE("start without memory where tasks time out") {
  everywhere([](Options options) {
    options.timeout = 1ns;
    const Manager manager{act, options};
    check(manager.start(numbers(5)));
  });
}

TEST_CASE("start without memory where no worker can be made ready") {
  everywhere([](Options options) {
    options.on_worker_start = [](std::size_t) { throw 1; };
    const Manager manager{act, options};
    try {
      check(manager.start(numbers(5)));
    } catch (int) {
    } catch (const taskmgr::RemoteError&) {  // what has become of the int, from a worker process
    }
  });
}

TEST_CASE("launch without memory") {
  everywhere([](const Options& options) {
    const Manager manager{act, options};
    auto run = manager.launch(numbers(30));
    auto left = manager.launch(numbers(10));
    check(run.report());
    check(run.wait());
  });
}

TEST_CASE("stream without memory") {
  everywhere([](const Options& options) {
    const Manager manager{act, options};
    for (const bool ordered : {false, true}) {
      std::size_t walked = 0;
      for (const auto& outcome : manager.stream(numbers(30), {.ordered = ordered, .window = 7})) {
        if (ordered && outcome.task() != static_cast<int>(walked)) throw std::logic_error("order");
        ++walked;
        if (outcome.state() == State::succeeded && outcome.value() != outcome.task()) throw std::logic_error("value");
      }
      if (walked != 30) throw std::logic_error("a stream ended early, and did not throw");
    }
    for (auto& outcome : manager.stream(numbers(30))) {
      if (outcome.task() == 3) break;
    }
  });
}

// --- in worker processes

namespace {

/// Lets the n-th allocation in workers fail, and `count - 1` that follow it.
void run_out_of_memory_in_workers(long n, long count, const std::function<void()>& errand) {
  workers->seen = workers->failed = 0;
  workers->first_failure = n;
  workers->last_failure = n + count - 1;
  CAPTURE(n);
  CAPTURE(count);
  const support::NothingLeft nothing_left;
  alarm(60);  // whoever hangs dies
  workers->host = getpid();
  std::string wrong;
  try {
    errand();
  } catch (const std::exception& error) {
    wrong = error.what();
  }
  workers->host = 0;
  alarm(0);
  CHECK(wrong == "");
}

/// For each number of them, and a few and all that follow.
void everywhere_in_workers(const std::function<void()>& errand) {
  const support::Shared<Workers> shared;
  workers = &shared.get();
  for (const long count : {1L, 2L, 3L}) {
    long n = 0;
    do run_out_of_memory_in_workers(n++, count, errand);
    while (workers->failed != 0);
    MESSAGE("allocations: ", n - 1);
  }
  for (const long n : {0L, 1L, 5L, 25L}) run_out_of_memory_in_workers(n, 1'000'000, errand);
  workers = nullptr;
}

/// As `act`, with results and tasks that need memory.
std::string spell(Context& context, const std::string& text) {
  const int x = std::stoi(text);
  if (x % 10 == 3) throw std::logic_error("fails, and says so in more than a few words");
  if (x % 10 == 4 && context.attempt() == 1) throw std::runtime_error("again");
  if (x % 10 == 5) context.log(taskmgr::Level::info, "task {}", x);
  return text + " is a number that is spelled out here";
}
std::vector<std::string> texts(int count) {
  std::vector<std::string> all;
  for (int k = 0; k < count; ++k) all.push_back(std::to_string(k));
  return all;
}
const Options of_processes{.mode = Mode::process, .workers = 2, .retry = {.max_retries = 1, .base_delay = 0ns}};

/// Without memory a task may fail, and none may come to a wrong result.
template <class Outcome>
void check_spelled(const Outcome& outcome) {
  if (outcome.state() == State::failed) return;
  if (outcome.state() != State::succeeded || outcome.value() != outcome.task() + " is a number that is spelled out here")
    throw std::logic_error("wrong result");
  if (std::stoi(outcome.task()) % 10 == 3) throw std::logic_error("succeeded with what cannot succeed");
}

}  // namespace

TEST_CASE("start where workers have no memory") {
  taskmgr::TaskManager manager{spell, of_processes};
  Deaf deaf;
  manager.observe(deaf);
  everywhere_in_workers([&] {
    const auto report = manager.start(texts(30));
    if (!support::adds_up(report) || report.cancelled != 0) throw std::logic_error("the counts do not add up");
    for (const auto& outcome : report.outcomes()) check_spelled(outcome);
    if (workers->failed == 0 && report.failed != 3) throw std::logic_error("more failed than had to");
  });
}

TEST_CASE("stream where workers have no memory") {
  const taskmgr::TaskManager manager{spell, of_processes};
  everywhere_in_workers([&] {
    std::size_t walked = 0;
    for (const auto& outcome : manager.stream(texts(30), {.ordered = true})) {
      if (outcome.task() != std::to_string(walked++)) throw std::logic_error("order");
      check_spelled(outcome);
    }
    if (walked != 30) throw std::logic_error("a stream ended early, and did not throw");
  });
}

#endif
