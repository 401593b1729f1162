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
#include <taskmgr/tree/branches.hpp>
#include <taskmgr/tree/task_tree.hpp>

#include "support/branches.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/processes.hpp"
#include "support/random.hpp"
#include "support/random_tree.hpp"

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
using taskmgr::TaskManager;
using taskmgr::TaskTree;
using taskmgr::TreeMode;
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

/// Lets the n-th allocation of `errand` and the `count - 1` that follow it fail, for each n until none fails: each `step`-th,
/// from any on.
void run_out_of_memory(long count, const std::function<void()>& errand, int step = 1) {
  errand();  // what is allocated once and kept
  errand();
  const long before = alive;
  for (long n = support::Random{}.number(step);; n += step) {
    REQUIRE(n < 1'000'000);
    failed = 0;
    seen = 0;
    first_failure = n;
    last_failure = n + count - 1;
    std::string wrong;
    alarm(60);  // whoever hangs dies
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
    alarm(0);
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

// --- in trees

namespace {

using support::branches::Step;

/// Each way to run a tree, for each number of allocations that fail in a row: `errand(tree mode, options of stages, way)`.
enum class Way { start, launch, stream };
template <class Errand>
void everywhere_in_trees(const Errand& errand) {
  INFO("TASKMGR_SEED=", support::seed());
  for (const TreeMode how : support::tree_modes) {
    for (const Mode mode : {Mode::serial, Mode::thread, Mode::process}) {
      if (how == TreeMode::process && mode != Mode::serial) continue;  // it is the same
      const bool forks = how == TreeMode::process || mode == Mode::process;
      for (const Way way : {Way::start, Way::launch, Way::stream}) {
        // what takes long has to do with some of the allocations; streams make three times as many
        const int step = (forks ? 47 : how == TreeMode::pipeline || mode == Mode::thread ? 7 : 1) * (way == Way::stream ? 3 : 1);
        for (const long count : forks ? std::vector{1L, 1'000'000L} : std::vector{1L, 2L, 1'000'000L}) {
          INFO("mode: ", support::name(how), " of ", support::name(mode));
          CAPTURE(static_cast<int>(way));
          CAPTURE(count);
          const support::NothingLeft nothing_left;
          const Options options{.mode = mode, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1us}, .name = "short"};
          run_out_of_memory(count, [&] { errand(how, options, way); }, step);
        }
      }
    }
  }
}

/// Without memory a task may fail, but it comes to nothing else than what `right` says.
template <class Outcome, class Right>
void check_outcome(const Outcome& outcome, const Right& right) {
  if (outcome.state() == State::succeeded) {
    if (outcome.task() % 10 == 3 || !right(outcome.task(), outcome.value())) throw std::logic_error("wrong result");
  } else if (outcome.state() == State::failed) {
    if (outcome.error().exception() == nullptr) throw std::logic_error("no error");
  }
}

/// Runs `tree`, which is at rest again then, whatever was thrown.
template <class Tree, class Right>
void run_tree(Tree& tree, Way way, const Right& right) {
  const auto check_report = [&](const auto& report) {
    if (report.total != 12 || report.succeeded + report.failed + report.cancelled != 12) throw std::logic_error("the counts do not add up");
    if (report.cancelled != 0) throw std::logic_error("cancelled, and nothing was thrown");
    for (const auto& outcome : report.outcomes()) check_outcome(outcome, right);
  };
  try {
    if (way == Way::start) {
      std::size_t sunk = 0;
      check_report(tree.start(numbers(12), [&](auto&) { ++sunk; }));
      if (sunk != 12) throw std::logic_error("the sink was not called for each");
    } else if (way == Way::launch) {
      auto run = tree.launch(numbers(12));
      check_report(run.wait());
    } else {
      std::size_t walked = 0;
      std::size_t cancelled = 0;  // these come first, then it throws
      for (const auto& outcome : tree.stream(numbers(12), {.window = 5})) {
        ++walked;
        cancelled += outcome.state() == State::cancelled ? 1U : 0U;
        check_outcome(outcome, right);
      }
      if (cancelled != 0) throw std::logic_error("cancelled, and nothing was thrown");
      if (walked != 12) throw std::logic_error("a stream ended early, and did not throw");
    }
  } catch (...) {
    tree.set_mode(tree.options().mode);
    throw;
  }
  tree.set_mode(tree.options().mode);
}

}  // namespace

TEST_CASE("a chain without memory") {
  everywhere_in_trees([](TreeMode how, const Options& options, Way way) {
    TaskTree<int, int> tree{TaskManager{act, options},
                            TaskManager{[](int x) { return std::string(static_cast<std::size_t>(x), 'x') + " is longer than it has to be"; }, options},
                            TaskManager{[](const std::string& text) { return static_cast<int>(text.find(' ')) + 1; }, options},
                            TaskManager{support::branches::Coroutine{[](Context&, int x) { return x - 1; }}, {.mode = Mode::coroutine}}};
    tree.set_mode(how);
    run_tree(tree, way, [](int task, int value) { return value == task; });
  });
}

TEST_CASE("a tree with branches without memory") {
  const std::vector<Step> steps{{.kind = Step::Kind::one, .shift = 2},
                                {.kind = Step::Kind::many, .from = 0},
                                {.kind = Step::Kind::route, .from = 1},
                                {.kind = Step::Kind::one, .from = 1},
                                {.kind = Step::Kind::merge_two, .from = 2, .and_from = 3}};
  std::vector<std::vector<int>> merged;
  for (const int task : numbers(12)) {
    support::branches::Model model{steps, [](std::size_t, int) { return false; }};
    model.run(task);
    merged.push_back(model.results.back());
  }
  everywhere_in_trees([&](TreeMode how, const Options& options, Way way) {
    support::branches::SteppedTree made;
    for (const Step& step : steps) {
      made.add(step, [root = made.nodes.empty()](Context& context, int x) { if (root) act(context, x); }, options);
    }
    made.tree.set_mode(how);
    run_tree(made.tree, way, [&](int task, const taskmgr::Branches& value) {
      return value.results(made.nodes.back()) == merged[static_cast<std::size_t>(task)];
    });
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
