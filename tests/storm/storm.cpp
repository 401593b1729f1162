// SPDX-License-Identifier: MIT
// Storms: worker processes die in one way or the other about every millisecond, while they work at many small tasks. Each task
// must have exactly one outcome, and only those may lose an attempt whose worker died while it was at them.
// usage: storm [--seed N] [--tasks N] [--signals N] [--patience SECONDS] [KIND]...      see script/storm
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <taskmgr/manager/task_manager.hpp>

#include "common.hpp"
#include "ledger.hpp"
#include "support/manager.hpp"
#include "support/processes.hpp"
#include "support/random.hpp"
#include "watch.hpp"

using storm::be_busy;
using storm::drawn;
using storm::Ledger;
using storm::Meanwhile;
using storm::progress;
using storm::settings;
using taskmgr::Context;
using taskmgr::Mode;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

// --- what a kind of storm is

struct Kind {
  std::string name;
  std::size_t tasks = 200'000;
  std::size_t signals = 1000;
  std::size_t workers = 3;
  int signal = 0;                           // from outside, to a worker at random; 0: none
  std::chrono::microseconds pause{1000};    // between two of these, on average
  std::chrono::nanoseconds timeout{0};
  std::function<void(Ledger&, int task, int attempt)> within{};  // what a task does besides
  std::size_t host_threads = 0;             // that allocate, print and throw meanwhile
  bool streams = false;                     // tasks are pulled, and sent to the workers
};

/// What a library of the host may do at any moment, and has locks for.
void allocate_print_and_throw(std::uint64_t n) {
  const auto text = std::make_unique<std::string>(n % 5000 + 1, 'x');
  char line[64];
  std::snprintf(line, sizeof line, "%zu %g", text->size(), static_cast<double>(n));
  try {
    throw std::runtime_error(*text + line);
  } catch (const std::exception& thrown) {
    if (std::strlen(thrown.what()) < text->size()) std::abort();
  }
}

// --- the storm

struct Tally {
  std::size_t tasks = 0;
  std::size_t strikes = 0;
  std::size_t lost = 0;       // attempts
  std::size_t innocents = 0;  // attempts that were lost by a worker's death outside of them, as far as the test can see
  Ledger::Deaths deaths;

  void add(const Tally& other) {
    tasks += other.tasks;
    strikes += other.strikes;
    lost += other.lost;
    innocents += other.innocents;
    deaths.inside += other.deaths.inside;
    deaths.outside += other.deaths.outside;
    deaths.late += other.deaths.late;
  }
};

/// What a task of the large kind returns.
struct Large {
  int task = 0;
  std::string text{};
  bool operator==(const Large&) const = default;
};
Ledger* at_work = nullptr;  // the ledger of the run that there is

}  // namespace

template <>
struct taskmgr::Codec<Large> {
  static void encode(Writer& writer, const Large& large) {
    at_work->answer(large.task, [&] {
      Codec<int>::encode(writer, large.task);
      Codec<std::string>::encode(writer, large.text);
    });
  }
  static Large decode(Reader& reader) {
    const int task = Codec<int>::decode(reader);
    return {task, Codec<std::string>::decode(reader)};
  }
};

namespace {

/// One run. `make(task)` is what a task returns, and what its outcome has to be.
template <class Make>
Tally run(const Kind& kind, std::size_t count, support::Random& random, const Make& make) {
  const support::NothingLeft nothing_left;
  Ledger ledger{count};
  at_work = &ledger;
  std::atomic<std::size_t> settled{0};
  std::size_t needless = 0;  // signals that came when everything was settled
  std::size_t crashes = 0;   // as the rule of the retries was told, here
  std::size_t timeouts = 0;
  const pid_t host = ::getpid();

  taskmgr::Options options{.mode = Mode::process, .workers = kind.workers};
  options.timeout = kind.timeout;
  options.retry.max_retries = 1000;
  options.retry.base_delay = 0ns;
  options.retry.on = taskmgr::retry_if([&](const std::exception& error) {
    if (::getpid() != host) return false;  // nothing throws there
    ++(dynamic_cast<const taskmgr::TimeoutError*>(&error) != nullptr ? timeouts : crashes);
    return true;
  });
  // With a timeout, who does not get ready is not replaced: there a worker may be struck from its first task on.
  if (kind.timeout == 0ns) {
    options.on_worker_start = [&](std::size_t worker) {
      storm::tell_where_if_asked();
      ledger.sit_down(worker);
    };
  }
  const auto work = [&](Context& context, int task) {
    ledger.sit_down(context.worker());
    ledger.begin(task);
    const auto began = Clock::now();
    if (kind.within) kind.within(ledger, task, context.attempt());
    be_busy(std::chrono::microseconds{drawn(task, 0, 101)});
    auto value = make(task);
    ledger.finish(task, kind.timeout != 0ns && Clock::now() - began > kind.timeout / 2);
    return value;
  };
  const taskmgr::TaskManager manager{work, options};

  using Value = decltype(make(0));
  std::vector<std::uint8_t> sunk(count);
  std::vector<int> attempts(count);
  std::size_t succeeded = 0;
  std::size_t wrong = 0;
  const std::function sink = [&](taskmgr::Outcome<int, Value>& outcome) {
    const auto task = static_cast<std::size_t>(outcome.task());
    ++sunk[task];
    attempts[task] = outcome.attempts();
    if (outcome.state() == taskmgr::State::succeeded) {
      ++succeeded;
      if (outcome.take() != make(outcome.task())) ++wrong;
    } else {
      FAIL_CHECK("task ", outcome.task(), " failed: ", outcome.error().message());
    }
    ++settled;
    ++progress();
  };

  std::vector<std::unique_ptr<Meanwhile>> threads;
  for (std::size_t k = 0; k < kind.host_threads; ++k) {
    threads.push_back(std::make_unique<Meanwhile>([n = std::uint64_t{k}]() mutable { allocate_print_and_throw(++n * 7919); }));
  }
  std::optional<Meanwhile> striker;
  if (kind.signal != 0) {
    striker.emplace([&] {
      const auto longest = static_cast<std::size_t>(2 * kind.pause.count());
      std::this_thread::sleep_for(std::chrono::microseconds{random.below(longest + 1)});
      if (ledger.strike(random.below(kind.workers), kind.signal) && settled == count) ++needless;
    });
  }
  const std::vector<int> tasks = support::numbers(static_cast<int>(count));
  std::size_t retries = 0;
  if (kind.streams) {
    const bool ordered = random.below(2) == 0;
    int next = 0;
    for (auto& outcome : manager.stream(tasks, {.ordered = ordered})) {
      if (ordered) CHECK(outcome.task() == next++);
      sink(outcome);
    }
    for (const int made : attempts) retries += static_cast<std::size_t>(made - 1);
  } else {
    const auto report = manager.start(tasks, sink);
    CHECK(support::adds_up(report));
    CHECK(report.total == count);
    CHECK(report.succeeded == count);
    retries = report.retries;
  }
  striker.reset();
  threads.clear();

  // Each task has one outcome, and it is the right one.
  CHECK(succeeded == count);
  std::size_t lost = 0;
  std::size_t twice = 0;
  for (const std::uint8_t times : sunk) {
    lost += times == 0 ? 1U : 0U;
    twice += times > 1 ? 1U : 0U;
  }
  CHECK(lost == 0);
  CHECK(twice == 0);
  CHECK(wrong == 0);

  // Attempts were lost by those whose worker died in them, and by nobody else. The library's idea of an attempt begins some
  // 100 ns before the function and ends as long after it: of the workers that died, few can have died just then.
  std::vector<std::uint32_t> must_lose(count);
  Tally tally;
  tally.deaths = ledger.deaths(must_lose);
  std::size_t spared = 0;
  for (std::size_t task = 0; task < count; ++task) {
    const auto lost_here = static_cast<std::uint32_t>(attempts[task] - 1);
    tally.lost += lost_here;
    if (lost_here < must_lose[task]) ++spared;
    else tally.innocents += lost_here - must_lose[task];
  }
  CHECK(spared == 0);
  CHECK(tally.innocents <= 3 + (tally.deaths.inside + tally.deaths.outside) / 20 + tally.deaths.late);
  CHECK(tally.lost == retries);
  CHECK(tally.lost == crashes + timeouts);
  CHECK((kind.timeout != 0ns ? crashes : timeouts) == 0);
  if (kind.timeout == 0ns) {
    CHECK(tally.deaths.late == 0);
    CHECK(ledger.run_twice() == 0);
  }
  CHECK(ledger.lives_fit());

  tally.tasks = count;
  tally.strikes = ledger.strikes() - needless;
  return tally;
}

/// Runs until there were as many signals as are asked for.
template <class Make>
void storm_of(Kind kind, const Make& make) {
  if (settings.tasks != 0) kind.tasks = settings.tasks;
  if (settings.signals != 0) kind.signals = settings.signals;
  support::Random random;
  INFO("seed ", support::seed());
  const auto began = Clock::now();
  Tally all;
  int runs = 0;
  do {
    all.add(run(kind, kind.tasks, random, make));
    ++runs;
  } while (all.strikes < kind.signals && runs < 1000);
  CHECK(all.strikes >= kind.signals);
  fmt::print("{:<8} {} tasks in {} run{}; {} workers struck: {} in a task, {} between; {} attempts lost, {} at a task's edge",
             kind.name, all.tasks, runs, runs == 1 ? "" : "s", all.strikes, all.deaths.inside, all.deaths.outside, all.lost,
             all.innocents);
  if (all.deaths.late != 0) fmt::print(", {} perhaps for want of a processor", all.deaths.late);
  fmt::print("; {:.1f} s\n", std::chrono::duration<double>(Clock::now() - began).count());
  std::fflush(stdout);
}

int next(int task) { return task + 1; }

/// Some tasks die at their first attempt, and of these some at their second.
template <class Die>
std::function<void(Ledger&, int, int)> dying(const Die& die) {
  return [die](Ledger& ledger, int task, int attempt) {
    const std::uint64_t fate = drawn(task, 1, 600);
    if (fate >= 4 || (attempt > 1 && fate != 0) || attempt > 2) return;
    be_busy(std::chrono::microseconds{drawn(task, 2, 50)});
    ledger.strike_itself();
    die(task);
  };
}

}  // namespace

TEST_CASE("kill: workers are killed at any moment") { storm_of({.name = "kill", .signal = SIGKILL}, next); }

TEST_CASE("segv: tasks write where nothing is, and workers get SIGSEGV from outside") {
  storm_of({.name = "segv", .signal = SIGSEGV, .pause = 3ms, .within = dying([](int) { storm::write_nowhere(); })}, next);
}

TEST_CASE("abort: tasks abort, and workers get SIGABRT from outside") {
  storm_of({.name = "abort", .signal = SIGABRT, .pause = 3ms, .within = dying([](int) { std::abort(); })}, next);
}

TEST_CASE("exit: tasks leave the process, with any exit code") {
  storm_of({.name = "exit", .within = dying([](int task) { ::_exit(static_cast<int>(drawn(task, 3, 256))); })}, next);
}

TEST_CASE("stop: workers are stopped at any moment, and a timeout replaces them") {
  storm_of({.name = "stop", .workers = 12, .signal = SIGSTOP, .pause = 5ms, .timeout = 200ms}, next);
}

TEST_CASE("large: workers are killed while they send results of 300 kB") {
  const auto much = [](int task) {
    Large large{task, std::string(300'000, static_cast<char>('a' + task % 26))};
    large.text.back() = static_cast<char>('a' + task % 7);
    return large;
  };
  storm_of({.name = "large", .tasks = 20'000, .signal = SIGKILL}, much);
}

TEST_CASE("threads: workers are killed, and forked while threads of the host allocate, print and throw") {
  const auto allocate = [](Ledger&, int task, int) { allocate_print_and_throw(drawn(task, 4, 100'000)); };
  storm_of({.name = "threads", .signal = SIGKILL, .within = allocate, .host_threads = 2}, next);
}

TEST_CASE("mutual: workers kill each other and themselves") {
  constexpr std::size_t workers = 4;
  const auto shoot = [](Ledger& ledger, int task, int attempt) {
    if (drawn(task, 5, 60) == 0 && attempt <= 3) ledger.strike(drawn(task, 6, workers), SIGKILL);
  };
  storm_of({.name = "mutual", .workers = workers, .within = shoot}, next);
}

TEST_CASE("stream: workers are killed while tasks are pulled from a source and sent to them") {
  storm_of({.name = "stream", .signal = SIGKILL, .streams = true}, next);
}

/// Not a storm: for the test of the watchdog.
TEST_CASE("hang: a task never ends" * doctest::skip()) {
  storm_of({.name = "hang", .tasks = 10, .workers = 2, .within = [](Ledger&, int task, int) {
              if (task == 5) ::pause();
            }}, next);
}

int main(int count, char** arguments) {
  constexpr std::array kinds{"kill",    "segv",   "abort",  "exit",  "stop",     "large",
                             "threads", "mutual", "stream", "chain", "branches", "hang"};
  std::chrono::seconds patience{60};
  std::string filter;
  for (int k = 1; k < count; ++k) {
    const std::string_view argument = arguments[k];
    if (std::find(kinds.begin(), kinds.end(), argument) != kinds.end()) {
      filter.append(argument).append(":*,");
      continue;
    }
    const char* value = k + 1 < count ? arguments[++k] : "";
    char* end = nullptr;
    const std::uint64_t number = std::strtoull(value, &end, 10);
    if (argument == "--seed") ::setenv("TASKMGR_SEED", value, 1);
    else if (argument == "--tasks") settings.tasks = number;
    else if (argument == "--signals") settings.signals = number;
    else if (argument == "--patience") patience = std::chrono::seconds{number};
    else value = "";
    if (*value == 0 || *end != 0) {
      fmt::print(stderr, "usage: storm [--seed N] [--tasks N] [--signals N] [--patience SECONDS] [KIND]...\nkinds: {}\n",
                 fmt::join(kinds.begin(), kinds.end() - 1, " "));
      return 2;
    }
  }

  const rlimit no_core{1, 1};  // not 0: that would not hold where core dumps go to a program
  ::setrlimit(RLIMIT_CORE, &no_core);
  fmt::print("seed {}\n", support::seed());
  return storm::watched(progress(), patience, [&] {
    storm::tell_where_if_asked();
    doctest::Context context;
    context.setOption("no-intro", true);
    if (!filter.empty()) {
      context.setOption("no-skip", true);
      context.addFilter("test-case", filter.c_str());
    }
    return context.run();
  });
}
