// SPDX-License-Identifier: MIT
// Storms of trees: random ones, whose functions throw, die and hang, whose workers are killed from outside besides, and whose
// runs are waited for, cancelled, or left. Each initial task must have one outcome, and the one that its functions come to.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <taskmgr/tree/task_tree.hpp>

#include "common.hpp"
#include "ledger.hpp"
#include "support/branches.hpp"
#include "support/build.hpp"
#include "support/modes.hpp"
#include "support/processes.hpp"
#include "support/random.hpp"
#include "support/random_tree.hpp"
#include "support/wait.hpp"
#include "watch.hpp"

using storm::Ledger;
using taskmgr::Context;
using taskmgr::Duplicates;
using taskmgr::Mode;
using taskmgr::Options;
using taskmgr::State;
using taskmgr::TaskError;
using taskmgr::TaskManager;
using taskmgr::TaskTree;
using taskmgr::TreeMode;
using namespace support::branches;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

// --- what befalls the nodes of a tree

constexpr int most_tasks = 1000;        // different ones
constexpr std::size_t most_workers = 4;  // of a node
constexpr std::size_t most_nodes = 8;
static_assert(most_nodes * most_workers <= Ledger::most_seats);

// What can be run under a sanitizer: see support/modes.hpp.
constexpr Mode likely_mode = support::sanitized ? Mode::thread : Mode::process;
constexpr std::int64_t strikes_without_processes = 10;  // as so many does a tree count

/// What happens when a node is given a value. What lasts makes it fail, in the end.
enum class Fate { well, bad, throws_once, dies_once, dies, hangs_once, hangs };

class Fates {
 public:
  /// `struck`: its workers are killed from outside.
  Fates(Ledger& ledger, std::int64_t number, TreeMode how, bool struck) : ledger_(ledger), number_(number), how_(how), struck_(struck) {}

  /// Of the next node.
  Options options(support::Random& random) {
    Options options{.workers = 1 + random.below(most_workers - 1), .name = std::to_string(nodes_.size())};
    options.mode = random.below(2) == 0 ? likely_mode : support::modes[random.below(std::size(support::modes))];
    options.duplicates = random.below(3) != 0 ? Duplicates::share : Duplicates::run;
    options.retry = {.max_retries = 20, .base_delay = random.below(2) * 20us, .multiplier = 1, .on = taskmgr::retry_if(again)};
    options.chunk = random.below(3);
    if (random.below(4) == 0) options.tasks_per_worker = 1 + random.below(40);
    if (random.below(2) == 0) options.on_worker_start = [](std::size_t) { storm::tell_where_if_asked(); };
    if (options.mode != Mode::coroutine && random.below(3) == 0) options.timeout = 200ms;
    nodes_.push_back({options.timeout != 0ns, options.mode == Mode::process || how_ == TreeMode::process,
                      options.duplicates == Duplicates::share});
    return options;
  }
  /// Equal initial tasks are one.
  [[nodiscard]] bool shares() const { return nodes_[0].shares; }

  [[nodiscard]] Before before(std::size_t node) {
    return [this, node](Context& context, int x) { meet(context, node, x); };
  }

  [[nodiscard]] bool fails(std::size_t node, int x) const {
    const Fate fate = of(node, x);
    return fate == Fate::bad || fate == Fate::dies || fate == Fate::hangs;
  }
  /// Whether this is the error of what fails there.
  [[nodiscard]] bool fits(const Model::Failure& failure, const TaskError& error) const {
    if (error.stage() != std::to_string(failure.node)) return false;
    const Node& node = nodes_[failure.node];
    const bool crashed = node.in_processes && error.kind() == TaskError::Kind::crash;
    const bool timed_out = node.timed && error.kind() == TaskError::Kind::timeout;
    const bool threw = error.kind() == TaskError::Kind::exception;
    switch (of(failure.node, failure.x)) {
      case Fate::bad: return threw && error.message() == "bad";
      case Fate::hangs: return timed_out || (crashed && struck_);  // each of its attempts, long before its time is up
      case Fate::dies:
        if (timed_out) return true;  // once for want of a processor, late in a long row
        return node.in_processes ? crashed : threw && error.message() == "again";
      default: return false;
    }
  }
  /// Whether this may be an error that would have been retried if the run had not been cancelled.
  [[nodiscard]] static bool passing(const TaskError& error) {
    return error.kind() != TaskError::Kind::exception || error.message() == "again";
  }

 private:
  struct Node {
    bool timed;
    bool in_processes;
    bool shares;
  };

  static bool again(const std::exception_ptr& error, int attempt) {
    try {
      std::rethrow_exception(error);
    } catch (const taskmgr::TimeoutError&) {
      return attempt < 4;
    } catch (const std::logic_error&) {
      return false;
    } catch (...) {
      return true;
    }
  }

  [[nodiscard]] std::uint64_t drawn(std::size_t node, int x, std::uint64_t purpose, std::uint64_t n) const {
    return storm::drawn((number_ * static_cast<std::int64_t>(most_nodes) + static_cast<std::int64_t>(node)) * 10'000 + x, purpose, n);
  }

  [[nodiscard]] Fate of(std::size_t node, int x) const {
    const std::uint64_t n = drawn(node, x, 1, 2000);
    if (n < 6) return Fate::bad;
    if (n < 20) return Fate::throws_once;
    if (n < 36) return Fate::dies_once;
    if (n < 38) return Fate::dies;
    if (n < 40 && nodes_[node].timed) return Fate::hangs_once;
    if (n < 41 && nodes_[node].timed) return Fate::hangs;
    return Fate::well;
  }

  void meet(Context& context, std::size_t node, int x) {
    if (::getpid() != host_) ledger_.sit_down(node * most_workers + context.worker());
    storm::be_busy(std::chrono::microseconds{drawn(node, x, 2, 21)});
    const bool first = context.attempt() == 1;
    const Fate fate = of(node, x);
    if (fate == Fate::bad) throw std::logic_error("bad");
    if (fate == Fate::throws_once && first) throw std::runtime_error("again");
    if (fate == Fate::dies || (fate == Fate::dies_once && first)) die(drawn(node, x, 3, 1000));
    if (fate == Fate::hangs || (fate == Fate::hangs_once && first)) hang(context, drawn(node, x, 4, 2) == 0);
  }

  [[noreturn]] void die(std::uint64_t how) {
    if (::getpid() != host_) {
      ledger_.strike_itself();
      switch (how % 4) {
        case 0: ::kill(::getpid(), SIGKILL); break;
        case 1: storm::write_nowhere(); break;
        case 2: std::abort();
        default: ::_exit(static_cast<int>(how % 256));
      }
    }
    throw std::runtime_error("again");
  }

  [[noreturn]] void hang(Context& context, bool stubborn) {
    if (::getpid() != host_) {
      if (stubborn) ::signal(SIGTERM, SIG_IGN);
      for (;;) ::pause();
    }
    support::wait_for_stop(context.stop_token());
    throw std::runtime_error("again");
  }

  Ledger& ledger_;
  const std::int64_t number_;  // of the tree
  const TreeMode how_;
  const bool struck_;
  const pid_t host_ = ::getpid();
  std::vector<Node> nodes_;
};

// --- what is done with a tree, and what must come of it

/// What is heard of initial tasks, compared with what has to be. `right(model, value)`: is that value of an outcome what the model
/// comes to?
class Judge {
 public:
  Judge(const Fates& fates, const std::vector<Step>& steps, bool whole) : fates_(fates), steps_(steps), whole_(whole), heard_(most_tasks) {}

  /// An outcome that is handed out. No lock: sinks are not called two at a time.
  template <class Outcome, class Right>
  void hear(Outcome& outcome, const Right& right) {
    ++heard_[static_cast<std::size_t>(outcome.task())];
    ++states_[static_cast<std::size_t>(outcome.state())];
    ++storm::progress();
    look(outcome, right);
  }

  template <class Outcome, class Right>
  void look(const Outcome& outcome, const Right& right) const {
    const int task = outcome.task();
    Model model{steps_, [this](std::size_t node, int x) { return fates_.fails(node, x); }};
    model.run(task);
    if (outcome.state() == State::succeeded) {
      if (!model.failures.empty()) FAIL_CHECK("task ", task, " succeeded, and node ", model.failures[0].node, " fails with it");
      else if (!right(model, outcome.value())) FAIL_CHECK("task ", task, " came to something else");
    } else if (outcome.state() == State::failed) {
      const TaskError& error = outcome.error();
      const auto fits = [&](const Model::Failure& failure) { return fates_.fits(failure, error); };
      const auto& failures = model.failures;
      if (whole_ ? !failures.empty() && fits(failures[0])
                 : std::any_of(failures.begin(), failures.end(), fits) || Fates::passing(error)) {
        return;
      }
      FAIL_CHECK("task ", task, " failed in node ", error.stage(), ": ", error.message());
    } else if (whole_ || outcome.state() != State::cancelled) {
      FAIL_CHECK("task ", task, " has the state ", static_cast<int>(outcome.state()));
    }
  }

  template <class Report, class Right>
  void check(const Report& report, const std::vector<int>& tasks, const Right& right) const {
    CHECK(report.total == tasks.size());
    CHECK(report.total == report.succeeded + report.failed + report.cancelled + report.duplicates);
    CHECK(report.succeeded == count(State::succeeded));
    CHECK(report.failed == count(State::failed));
    CHECK(report.cancelled == count(State::cancelled));
    for (std::size_t k = 0; k != tasks.size(); ++k) {
      CHECK(report[k].task() == tasks[k]);
      look(report[k], right);
    }
  }

  /// Each task was heard of once, or each different one.
  void check_heard(const std::vector<int>& tasks, bool shared) const {
    std::vector<int> expected(most_tasks);
    for (const int task : tasks) {
      int& times = expected[static_cast<std::size_t>(task)];
      times = shared ? 1 : times + 1;
    }
    CHECK(heard_ == expected);
  }

 private:
  [[nodiscard]] std::size_t count(State state) const { return states_[static_cast<std::size_t>(state)]; }

  const Fates& fates_;
  const std::vector<Step>& steps_;
  const bool whole_;  // it was not cancelled
  std::vector<int> heard_;
  std::array<std::size_t, 5> states_{};
};

enum class Way { start, wait, cancel, leave, walk, leave_stream };
constexpr std::size_t ways = 6;

/// Runs the tasks in one way or another.
template <class Tree, class Right>
void run(const Tree& tree, const Fates& fates, const std::vector<Step>& steps, support::Random& random, const Right& right) {
  const Way way = static_cast<Way>(random.below(ways));
  CAPTURE(static_cast<int>(way));
  const bool whole = way == Way::start || way == Way::wait || way == Way::walk;
  std::vector<int> tasks(random.below(storm::settings.tasks != 0 ? storm::settings.tasks : 500));
  const int different = random.below(2) == 0 ? most_tasks : 50;
  for (int& task : tasks) task = random.number(different);
  const std::chrono::microseconds moment{random.below(random.below(2) == 0 ? 2000 : 40'000)};

  Judge judge{fates, steps, whole};
  const auto hear = [&](auto& outcome) { judge.hear(outcome, right); };
  switch (way) {
    case Way::start:
      judge.check(tree.start(tasks, hear), tasks, right);
      judge.check_heard(tasks, fates.shares());
      break;
    case Way::wait:
    case Way::cancel: {
      auto launched = tree.launch(tasks, hear);
      if (way == Way::cancel) {
        std::this_thread::sleep_for(moment);
        launched.cancel();
      }
      judge.check(launched.wait(), tasks, right);
      judge.check_heard(tasks, fates.shares());
      break;
    }
    case Way::leave: {
      {
        const auto launched = tree.launch(tasks, hear);
        std::this_thread::sleep_for(moment);
      }
      judge.check_heard(tasks, fates.shares());
      break;
    }
    case Way::walk: {
      const bool ordered = random.below(2) == 0;
      std::size_t next = 0;
      for (auto& outcome : tree.stream(tasks, {.ordered = ordered})) {
        if (ordered) CHECK(outcome.task() == tasks[next++]);
        hear(outcome);
      }
      judge.check_heard(tasks, false);  // what streams shares nothing
      break;
    }
    case Way::leave_stream: {
      std::size_t left = 1 + random.below(tasks.size() + 1);
      for (auto& outcome : tree.stream(tasks)) {
        hear(outcome);
        if (--left == 0) break;
      }
      break;
    }
  }
}

/// One tree after the other, until as many workers were hit as are asked for. `make_and_run(fates, options, random)` does the rest.
template <class MakeAndRun>
void storm_of_trees(const char* name, const MakeAndRun& make_and_run) {
  const std::size_t signals = storm::settings.signals != 0 ? storm::settings.signals : 5000;
  support::Random random;
  INFO("seed ", support::seed());
  const auto began = Clock::now();
  std::size_t strikes = 0;
  std::int64_t trees = 0;
  const auto enough = [&] {
    return (support::sanitized ? static_cast<std::size_t>(trees * strikes_without_processes) : strikes) >= signals;
  };
  for (; !enough() && trees < 10'000; ++trees) {
    CAPTURE(trees);
    const support::NothingLeft nothing_left;
    Ledger ledger{1};
    const TreeMode how = support::tree_modes[random.below(std::size(support::tree_modes))];
    CAPTURE(support::name(how));
    const bool struck = random.below(2) == 0;
    Fates fates{ledger, trees, how, struck};
    const taskmgr::TreeOptions options{.mode = how,
                                       .capacity = random.below(2) == 0 ? 1 + random.below(5) : 0,
                                       .trace = random.below(4) == 0};
    std::optional<storm::Meanwhile> striker;
    if (struck) {
      striker.emplace([&ledger, mine = random, signal = random.below(2) == 0 ? SIGKILL : SIGTERM]() mutable {
        std::this_thread::sleep_for(std::chrono::microseconds{mine.below(500)});
        ledger.strike(mine.below(most_nodes * most_workers), signal);
      });
    }
    make_and_run(fates, options, random);
    striker.reset();
    CHECK(ledger.lives_fit());
    strikes += ledger.strikes();
    ++storm::progress();
  }
  CHECK(enough());
  fmt::print("{:<8} {} trees; {} workers struck; {:.1f} s\n", name, trees, strikes, std::chrono::duration<double>(Clock::now() - began).count());
  std::fflush(stdout);
}

}  // namespace

TEST_CASE("chain: workers of chains die, and runs end at any moment") {
  storm_of_trees("chain", [](Fates& fates, const taskmgr::TreeOptions& options, support::Random& random) {
    TaskTree<int, int> tree{same};
    std::vector<Step> steps;
    const std::size_t size = 1 + random.below(most_nodes);
    for (std::size_t k = 0; k != size; ++k) {
      const Step step{.from = k != 0 ? k - 1 : 0, .shift = random.number(9), .range = most_tasks};
      steps.push_back(step);
      Options how = fates.options(random);
      const One one = [step, before = fates.before(k)](Context& context, int x) {
        before(context, x);
        return step.one(x);
      };
      if (how.mode == Mode::coroutine) tree.add_stage(TaskManager{Coroutine{one}, std::move(how)});
      else tree.add_stage(TaskManager{one, std::move(how)});
    }
    tree.remove_stage(0);
    tree.set_options(options);
    run(tree, fates, steps, random, [](const Model& model, int value) { return model.results.back() == std::vector{value}; });
  });
}

TEST_CASE("branches: workers of trees with branches die, and runs end at any moment") {
  storm_of_trees("branches", [](Fates& fates, const taskmgr::TreeOptions& options, support::Random& random) {
    SteppedTree made = random_tree(random, 1 + random.below(most_nodes), most_tasks, [&](std::size_t) { return fates.options(random); },
                                   [&](std::size_t k) { return fates.before(k); });
    made.tree.set_options(options);
    run(made.tree, fates, made.steps, random, [&](const Model& model, const taskmgr::Branches& value) {
      for (std::size_t k = 0; k != made.nodes.size(); ++k) {
        if (!(value.results(made.nodes[k]) == model.results[k])) return false;
      }
      return true;
    });
  });
}
