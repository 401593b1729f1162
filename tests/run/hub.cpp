// SPDX-License-Identifier: MIT
#include <taskmgr/run/hub.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <initializer_list>
#include <latch>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/build.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/recorder.hpp"
#include "support/wait.hpp"

using support::Heard;
using support::Manager;
using support::numbers;
using support::Recorder;
using taskmgr::Context;
using taskmgr::Duplicates;
using taskmgr::Event;
using taskmgr::EventKind;
using taskmgr::Level;
using taskmgr::Mode;
using taskmgr::Options;
using taskmgr::Progress;
using taskmgr::UsageError;
using taskmgr::detail::FirstException;
using taskmgr::detail::Hub;
using namespace std::chrono_literals;

namespace {

using Kinds = std::vector<EventKind>;

std::string thrown_text(std::exception_ptr exception) {
  try {
    if (exception != nullptr) std::rethrow_exception(exception);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

/// Wants one kind of event, and counts.
struct Only : taskmgr::Observer {
  explicit Only(EventKind kind) : wanted(kind) {}
  void on_event(const Event& event) override {
    ++calls;
    wrong += event.kind != wanted ? 1 : 0;
  }
  [[nodiscard]] bool wants(EventKind kind) const override {
    ++asked[static_cast<std::size_t>(kind)];
    return kind == wanted;
  }
  EventKind wanted;
  mutable int asked[10] = {};
  int calls = 0;
  int wrong = 0;
};

/// Wants no event, but ticks.
struct Clockwork : taskmgr::Observer {
  void on_event(const Event&) override {}
  [[nodiscard]] bool wants(EventKind) const override { return false; }
  void on_tick(const Progress& progress) override {
    {
      const std::scoped_lock lock(mutex);
      threads.insert(std::this_thread::get_id());
      last = progress;
    }
    ticks.add();
    if (then) then();
  }
  std::mutex mutex;
  std::set<std::thread::id> threads;
  Progress last;
  support::Counter ticks;
  std::function<void()> then;
};

/// Two of the tasks that run at a time wait for each other.
support::Function in_pairs(std::latch& met) {
  return [&met](Context&, int x) {
    met.arrive_and_wait();
    return x;
  };
}

Hub hub_of(std::initializer_list<std::shared_ptr<taskmgr::Observer>> observers) {
  Hub::Observers all;
  for (const auto& observer : observers) all.push_back(observer);
  return Hub{all};
}

}  // namespace

// --- FirstException, Hub

TEST_CASE("the first exception is kept, and taken once") {
  FirstException kept;
  CHECK(kept.take() == nullptr);
  kept.keep(std::make_exception_ptr(std::runtime_error("first")));
  kept.keep(std::make_exception_ptr(std::runtime_error("second")));
  CHECK(thrown_text(kept.take()) == "first");
  CHECK(kept.take() == nullptr);
}

TEST_CASE("a hub without observers wants nothing") {
  const Hub hub = hub_of({});
  CHECK(hub.empty());
  CHECK(!hub.wants_tasks());
  for (unsigned kind = 0; kind <= static_cast<unsigned>(EventKind::batch_finished); ++kind) {
    CHECK(!hub.wants(static_cast<EventKind>(kind)));
  }
}

TEST_CASE("a hub wants what one of its observers wants, and tells each what it wants") {
  const auto failures = std::make_shared<Only>(EventKind::task_failed);
  const auto logs = std::make_shared<Only>(EventKind::task_log);
  Hub hub = hub_of({failures, logs});
  FirstException thrown;
  CHECK(hub.wants(EventKind::task_failed));
  CHECK(hub.wants(EventKind::task_log));
  CHECK(!hub.wants(EventKind::task_started));
  CHECK(hub.wants_tasks());
  Event event;
  event.kind = EventKind::task_log;
  hub.tell(event, thrown);
  hub.tell(event, thrown);
  event.kind = EventKind::task_failed;
  hub.tell(event, thrown);
  CHECK(logs->calls == 2);
  CHECK(failures->calls == 1);
  CHECK(logs->wrong + failures->wrong == 0);
}

TEST_CASE("what a task says by itself and the ends of a run need no event of every attempt") {
  for (const EventKind kind : {EventKind::batch_started, EventKind::batch_finished, EventKind::task_duplicate,
                               EventKind::task_log, EventKind::task_progress}) {
    CHECK(!hub_of({std::make_shared<Only>(kind)}).wants_tasks());
  }
  for (const EventKind kind : {EventKind::task_started, EventKind::task_retrying, EventKind::task_succeeded,
                               EventKind::task_failed, EventKind::task_cancelled}) {
    CHECK(hub_of({std::make_shared<Only>(kind)}).wants_tasks());
  }
}

// --- what a run tells

TEST_CASE("a run tells all that happens, in order") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      if (x == 10) {
                        context.progress(1, 4);
                        context.log(Level::warning, "{} of {}", "ten", 4);
                      }
                      if (x == 30) throw std::runtime_error("attempt " + std::to_string(context.attempt()));
                      return x;
                    },
                    {.mode = mode,
                     .workers = 1,
                     .retry = {.max_retries = 2, .base_delay = 1ms, .multiplier = 3, .jitter = 0.5},
                     .name = "told",
                     .on_worker_start = {}}};
    Recorder recorder;
    manager.observe(recorder);
    const auto before = std::chrono::steady_clock::now();
    const auto report = manager.start({10, 20, 10, 30, 20});
    const auto after = std::chrono::steady_clock::now();
    CHECK(report.succeeded == 2);

    Kinds kinds;
    std::vector<std::uint64_t> tasks;
    for (const Heard& heard : recorder.all()) {
      kinds.push_back(heard.kind);
      tasks.push_back(heard.task);
    }
    using enum EventKind;
    CHECK(kinds == Kinds{batch_started,                                                    //
                         task_duplicate, task_duplicate,                                   //
                         task_started, task_progress, task_log, task_succeeded,            //
                         task_started, task_succeeded,                                     //
                         task_started, task_retrying, task_started, task_retrying, task_started, task_failed,
                         batch_finished});
    CHECK(tasks == std::vector<std::uint64_t>{0, 2, 4, 0, 0, 0, 0, 1, 1, 3, 3, 3, 3, 3, 3, 0});

    for (const Heard& heard : recorder.all()) {
      CHECK(heard.manager == "told");
      CHECK(heard.batch == recorder.all().front().batch);
      CHECK(heard.worker == 0);
      CHECK(heard.time >= before);
      CHECK(heard.time <= after);
    }
    CHECK(recorder.all().front().batch >= 1);
    CHECK(std::is_sorted(recorder.all().begin(), recorder.all().end(),
                         [](const Heard& a, const Heard& b) { return a.time < b.time; }));

    const auto starts = recorder.of(task_started);
    CHECK(starts[0].attempt == 1);
    CHECK(starts[4].attempt == 3);
    CHECK(starts[2].text == "30");
    CHECK(recorder.of(task_duplicate)[0].text == "10");
    CHECK(recorder.of(task_duplicate)[0].attempt == 0);
    const auto retries = recorder.of(task_retrying);
    CHECK(retries[0].attempt == 1);
    CHECK(retries[0].error == "attempt 1");
    CHECK(retries[0].delay >= 500us);
    CHECK(retries[0].delay <= 1500us);
    CHECK(retries[1].attempt == 2);
    CHECK(retries[1].error == "attempt 2");
    CHECK(retries[1].delay >= 1500us);
    CHECK(retries[1].delay <= 4500us);
    const auto failed = recorder.of(task_failed);
    CHECK(failed[0].attempt == 3);
    CHECK(failed[0].error == "attempt 3");
    const auto progress = recorder.of(task_progress)[0];
    CHECK(progress.done == 1);
    CHECK(progress.of == 4);
    CHECK(progress.attempt == 1);
    CHECK(progress.text == "10");
    const auto log = recorder.of(task_log)[0];
    CHECK(log.message == "ten of 4");
    CHECK(log.level == Level::warning);
    CHECK(log.text == "10");

    CHECK(recorder.all().front().text.empty());
    CHECK(recorder.all().front().progress.total == 5);
    const Heard& last = recorder.all().back();
    CHECK(last.progress.total == 5);
    CHECK(last.progress.started == 3);
    CHECK(last.progress.succeeded == 2);
    CHECK(last.progress.failed == 1);
    CHECK(last.progress.cancelled == 0);
    CHECK(last.progress.duplicates == 2);
    CHECK(last.progress.retries == 2);
    CHECK(last.duration == last.progress.elapsed);
    CHECK(last.duration <= report.elapsed);
  }
}

TEST_CASE("a run on many workers tells the same of each task") {
  Manager manager{[](Context& context, int x) {
                    if (context.attempt() <= x % 3) throw std::runtime_error("again");
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 4, .retry = {.max_retries = 1, .base_delay = 10us}}};
  Recorder recorder;
  manager.observe(recorder);
  const auto report = manager.start(numbers(600));
  CHECK(report.succeeded == 400);
  CHECK(!recorder.overlapped());
  REQUIRE(recorder.all().size() >= 2);
  CHECK(recorder.all().front().kind == EventKind::batch_started);
  CHECK(recorder.all().back().kind == EventKind::batch_finished);
  using enum EventKind;
  const Kinds stories[] = {{task_started, task_succeeded},
                           {task_started, task_retrying, task_started, task_succeeded},
                           {task_started, task_retrying, task_started, task_failed}};
  std::vector<Kinds> told(600);
  bool workers_fit = true;
  for (const Heard& heard : recorder.all()) {
    if (heard.kind == batch_started || heard.kind == batch_finished) continue;
    told[heard.task].push_back(heard.kind);
    workers_fit = workers_fit && heard.worker < 4;
  }
  CHECK(workers_fit);
  for (std::size_t task = 0; task < told.size(); ++task) {
    if (told[task] != stories[task % 3]) CHECK_MESSAGE(false, "the story of task ", task);
  }
}

TEST_CASE("a run tells how many attempts it makes at a time, and of an attempt when it began") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    for (const int tasks : {2, 10}) {
      Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 3}};
      Recorder recorder;
      manager.observe(recorder);
      CHECK(manager.start(numbers(tasks)).ok());
      const std::size_t workers = mode == Mode::serial ? 1 : tasks == 2 ? 2 : 3;
      CHECK(recorder.all().front().workers == workers);
      CHECK(recorder.all().back().workers == workers);
      for (const Heard& started : recorder.of(EventKind::task_started)) {
        CHECK(started.time >= recorder.all().front().time);
        for (const Heard& ended : recorder.of(EventKind::task_succeeded)) {
          if (ended.task == started.task) CHECK(started.time + ended.duration <= ended.time);
        }
      }
    }
  }
}

TEST_CASE("a run without a task tells that it began and ended") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode}};
    Recorder recorder;
    manager.observe(recorder);
    CHECK(manager.start(std::vector<int>{}).ok());
    REQUIRE(recorder.all().size() == 2);
    CHECK(recorder.all()[0].kind == EventKind::batch_started);
    CHECK(recorder.all()[1].kind == EventKind::batch_finished);
  }
}

TEST_CASE("every run has a number of its own") {
  Manager one{[](Context&, int x) { return x; }};
  Manager two{[](Context&, int x) { return x; }, {.mode = Mode::thread}};
  Recorder recorder;
  one.observe(recorder);
  two.observe(recorder);
  for (int k = 0; k < 3; ++k) {
    CHECK(one.start({1}).ok());
    CHECK(two.start({1}).ok());
  }
  std::set<std::uint64_t> batches;
  for (const Heard& heard : recorder.all()) batches.insert(heard.batch);
  CHECK(batches.size() == 6);
  CHECK(!batches.contains(0));
}

TEST_CASE("what is cancelled is told, with the attempts that it had") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::stop_source stop;
    Manager manager{[&](Context&, int) -> int {
                      stop.request_stop();
                      throw taskmgr::Cancelled{};
                    },
                    {.mode = mode, .workers = 1}};
    Recorder recorder;
    manager.observe(recorder);
    const auto report = manager.start({1, 2}, stop.get_token());
    CHECK(report.cancelled == 2);
    const auto cancelled = recorder.of(EventKind::task_cancelled);
    REQUIRE(cancelled.size() == 2);
    CHECK(cancelled[0].task == 0);
    CHECK(cancelled[0].attempt == 1);
    CHECK(cancelled[1].task == 1);
    CHECK(cancelled[1].attempt == 0);
    CHECK(recorder.of(EventKind::task_started).size() == 1);
    CHECK(recorder.all().back().progress.cancelled == 2);
  }
}

TEST_CASE("a stream tells as a run does, and ends when it is left") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 2}};
    Recorder recorder;
    manager.observe(recorder);
    std::size_t outcomes = 0;
    for (const auto& outcome : manager.stream(numbers(50))) outcomes += outcome.value() >= 0 ? 1U : 0U;
    CHECK(outcomes == 50);
    CHECK(recorder.all().front().kind == EventKind::batch_started);
    CHECK(recorder.all().front().progress.total == 50);
    CHECK(recorder.all().back().kind == EventKind::batch_finished);
    CHECK(recorder.all().back().progress.succeeded == 50);
    CHECK(recorder.count(EventKind::task_succeeded) == 50);
    recorder.clear();
    for (const auto& outcome : manager.stream(numbers(50), {.window = 4})) {
      if (outcome.task() >= 0) break;
    }
    CHECK(recorder.all().back().kind == EventKind::batch_finished);
    const Progress sum = recorder.all().back().progress;
    CHECK(sum.succeeded + sum.failed + sum.cancelled == recorder.count(EventKind::task_succeeded) +
                                                            recorder.count(EventKind::task_cancelled));
    CHECK(sum.succeeded + sum.cancelled <= 8);
  }
}

TEST_CASE("each observer is asked once a run what it wants") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 3}};
    Only only{EventKind::task_succeeded};
    manager.observe(only);
    CHECK(manager.start(numbers(30)).ok());
    for (const int asked : only.asked) CHECK(asked == 1);
    CHECK(only.calls == 30);
    CHECK(only.wrong == 0);
  }
}

TEST_CASE("a task is heard where nobody wants the events of every attempt") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) {
                      context.log(Level::info, "task {}", context.number());
                      return x;
                    },
                    {.mode = mode, .workers = 1}};
    struct Lines : taskmgr::Observer {
      void on_event(const Event& event) override {
        lines.push_back(std::string(event.message) + " attempt " + std::to_string(event.attempt) + " text " + event.task_text());
      }
      [[nodiscard]] bool wants(EventKind kind) const override { return kind == EventKind::task_log; }
      std::vector<std::string> lines;
    } lines;
    manager.observe(lines);
    CHECK(manager.start({7, 7, 8}).ok());
    CHECK(lines.lines == std::vector<std::string>{"task 0 attempt 1 text 7", "task 2 attempt 1 text 8"});
  }
}

TEST_CASE("calls of one observer never overlap, also when it hangs on several managers") {
  Recorder recorder;
  const auto function = [](Context& context, int x) {
    context.log(Level::info, "a line");
    if (x % 5 == 0) throw std::runtime_error("fails");
    return x;
  };
  Manager one{function, {.mode = Mode::thread, .workers = 2}};
  Manager two{function, {.mode = Mode::thread, .workers = 2}};
  Manager three{function, {}};
  for (Manager* manager : {&one, &two, &three}) manager->observe(recorder);
  {
    std::vector<std::jthread> threads;
    for (Manager* manager : {&one, &two, &three, &one}) {
      threads.emplace_back([manager] { static_cast<void>(manager->start(numbers(500))); });
    }
  }
  CHECK(!recorder.overlapped());
  CHECK(recorder.count(EventKind::task_started) == 2000);
  CHECK(recorder.count(EventKind::task_failed) == 400);
  CHECK(recorder.count(EventKind::batch_finished) == 4);
}

// --- what observers do

TEST_CASE("an observer may cancel the run that it hears") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::stop_source stop;
    Recorder recorder{[&](const Event& event) {
      if (event.kind == EventKind::task_succeeded) stop.request_stop();
    }};
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 2, .chunk = 1}};
    manager.observe(recorder);
    const auto report = manager.start(numbers(1000), stop.get_token());
    CHECK(support::adds_up(report));
    CHECK(report.succeeded >= 1);
    CHECK(report.cancelled >= 990);
  }
}

TEST_CASE("an observer may cancel a run in the background, by its own handle") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::promise<taskmgr::Run<int, int>*> handed;
    const std::shared_future<taskmgr::Run<int, int>*> handle = handed.get_future();
    Recorder recorder{[&](const Event& event) {
      if (event.kind == EventKind::task_started) handle.get()->cancel();
    }};
    Manager manager{[](Context& context, int x) {
                      support::wait_for_stop(context.stop_token());
                      return x;
                    },
                    {.mode = mode, .workers = 2}};
    manager.observe(recorder);
    auto run = manager.launch(numbers(100));
    handed.set_value(&run);
    const auto report = run.wait();
    CHECK(support::adds_up(report));
    CHECK(report.succeeded >= 1);
    CHECK(report.succeeded <= 2);
    CHECK(report.cancelled >= 98);
  }
}

TEST_CASE("an observer may cancel while the tasks that are asked to stop say so") {
  std::stop_source stop;
  Recorder recorder{[&](const Event& event) {
    if (event.kind == EventKind::task_failed) stop.request_stop();
  }};
  std::latch both{2};
  Manager manager{[&](Context& context, int x) {
                    // runs on the thread that cancels, within on_event
                    const std::stop_callback say{context.stop_token(), [&] { context.log(Level::info, "stopping"); }};
                    both.arrive_and_wait();
                    if (x == 0) throw std::logic_error("the first");
                    support::wait_for_stop(context.stop_token());
                    return x;
                  },
                  {.mode = Mode::thread, .workers = 2}};
  manager.observe(recorder);
  const auto report = manager.start(numbers(2), stop.get_token());
  CHECK(report.failed == 1);
  CHECK(report.succeeded == 1);
  CHECK(recorder.all().back().kind == EventKind::batch_finished);
}

TEST_CASE("an observer cannot start a run that it hears itself") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager* self = nullptr;
    Manager other{[](Context&, int x) { return x; }};
    std::string refused;
    std::size_t others = 0;
    Recorder recorder{[&](const Event& event) {
      if (event.kind != EventKind::task_succeeded) return;
      others += other.start(numbers(3)).succeeded;
      try {
        static_cast<void>(self->start(numbers(3)));
      } catch (const UsageError& error) {
        refused = error.what();
      }
    }};
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 2}};
    self = &manager;
    manager.observe(recorder);
    CHECK(manager.start({1}).ok());
    CHECK(others == 3);
    CHECK(refused.find("on_event") != std::string::npos);
    // left to itself, the refusal is what the observer threw
    Recorder careless{[&](const Event&) { static_cast<void>(self->launch(numbers(3))); }};
    Manager watched{[](Context&, int x) { return x; }, {.mode = mode}};
    watched.observe(careless);
    self = &watched;
    CHECK_THROWS_AS(static_cast<void>(watched.start({1})), UsageError);
  }
}

TEST_CASE("what an observer throws comes out of the run, which changes no count and does not call it again") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::atomic<bool> angry{true};
    std::atomic<int> calls{0};
    Recorder thrower{[&](const Event& event) {
      ++calls;
      if (angry && event.kind == EventKind::task_succeeded) throw std::runtime_error("angry");
    }};
    Recorder calm;
    Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 2}};
    manager.observe(thrower).observe(calm);
    CHECK_THROWS_WITH_AS(static_cast<void>(manager.start(numbers(20))), "angry", std::runtime_error);
    CHECK(thrower.all().back().kind == EventKind::task_succeeded);
    CHECK(thrower.count(EventKind::task_succeeded) == 1);
    CHECK(calm.count(EventKind::task_succeeded) == 20);
    CHECK(calm.all().back().kind == EventKind::batch_finished);
    CHECK(calm.all().back().progress.succeeded == 20);

    auto run = manager.launch(numbers(20));
    CHECK_THROWS_WITH_AS(static_cast<void>(run.wait()), "angry", std::runtime_error);
    CHECK(run.report().succeeded == 20);

    angry = false;
    calls = 0;
    CHECK(manager.start(numbers(20)).ok());
    CHECK(calls == 42);
  }
}

TEST_CASE("an observer that threw is not called by those who waited for their turn") {
  for (int round = 0; round < support::times(300); ++round) {
    std::atomic<int> after{0};
    std::atomic<bool> threw{false};
    Recorder thrower{[&](const Event& event) {
      if (threw) ++after;
      if (event.kind != EventKind::task_started) return;
      threw = true;
      throw std::runtime_error("angry");
    }};
    std::latch met{2};
    Manager manager{in_pairs(met), {.mode = Mode::thread, .workers = 2}};
    manager.observe(thrower);
    CHECK_THROWS_AS(static_cast<void>(manager.start(numbers(2))), std::runtime_error);
    CHECK(after == 0);
  }
}

TEST_CASE("what an observer throws when it is asked what it wants comes before anything is started") {
  struct Fussy : taskmgr::Observer {
    void on_event(const Event&) override { heard = true; }
    [[nodiscard]] bool wants(EventKind) const override { throw std::runtime_error("fussy"); }
    bool heard = false;
  };
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::atomic<int> ran{0};
    Manager manager{[&](Context&, int x) {
                      ++ran;
                      return x;
                    },
                    {.mode = mode}};
    Fussy fussy;
    manager.observe(fussy);
    CHECK_THROWS_WITH_AS(static_cast<void>(manager.start({1})), "fussy", std::runtime_error);
    CHECK_THROWS_WITH_AS(static_cast<void>(manager.launch({1})), "fussy", std::runtime_error);
    CHECK_THROWS_WITH_AS(static_cast<void>(manager.stream({1})), "fussy", std::runtime_error);
    CHECK(ran == 0);
    CHECK(!fussy.heard);
  }
}

TEST_CASE("an observer is attached between runs, not while one lasts") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Manager* self = nullptr;
    Recorder recorder;
    std::string refused;
    Manager manager{[&](Context&, int x) {
                      try {
                        self->observe(recorder);
                      } catch (const UsageError& error) {
                        refused = error.what();
                      }
                      return x;
                    },
                    {.mode = mode, .workers = 1, .name = "busy"}};
    self = &manager;
    CHECK(manager.start({1}).ok());
    CHECK(refused.find("busy") != std::string::npos);
    auto run = manager.launch({1});
    static_cast<void>(run.report());
    manager.observe(recorder);
    for (const auto& outcome : manager.stream(numbers(3))) {
      CHECK(outcome.task() >= 0);
      CHECK_THROWS_AS(manager.observe(recorder), UsageError);
    }
    CHECK(recorder.count(EventKind::task_succeeded) == 3);
  }
}

TEST_CASE("ticks come while a run lasts, from a thread that runs no task") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    Clockwork clockwork;
    std::mutex mutex;
    std::set<std::thread::id> workers;
    Manager manager{[&](Context&, int x) {
                      {
                        const std::scoped_lock lock(mutex);
                        workers.insert(std::this_thread::get_id());
                      }
                      clockwork.ticks.wait_for(2);
                      return x;
                    },
                    {.mode = mode, .workers = 2}};
    manager.observe(clockwork);
    CHECK(manager.start(numbers(3)).ok());
    const int ticks = clockwork.ticks.value();
    CHECK(ticks >= 2);
    CHECK(clockwork.threads.size() == 1);
    CHECK(!workers.contains(*clockwork.threads.begin()));
    CHECK(clockwork.last.total == 3);
  }
}

TEST_CASE("a tick may cancel the run, and what it throws comes out of it") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    std::stop_source stop;
    Clockwork clockwork;
    clockwork.then = [&] {
      stop.request_stop();
      throw std::runtime_error("tick");
    };
    Manager manager{[](Context& context, int x) {
                      support::wait_for_stop(context.stop_token());
                      return x;
                    },
                    {.mode = mode, .workers = 2}};
    manager.observe(clockwork);
    CHECK_THROWS_WITH_AS(static_cast<void>(manager.start(numbers(3), stop.get_token())), "tick", std::runtime_error);
    CHECK(clockwork.ticks.value() == 1);
  }
}

TEST_CASE("runs that begin and end while observers tick") {
  Clockwork clockwork;
  Recorder recorder;
  Manager manager{[](Context&, int x) { return x; }, {.mode = Mode::thread, .workers = 2}};
  manager.observe(clockwork).observe(recorder);
  for (int k = 0; k < support::times(1000); ++k) {
    auto run = manager.launch(numbers(3));
    CHECK(run.report().ok());
  }
  CHECK(recorder.count(EventKind::batch_finished) == static_cast<std::size_t>(support::times(1000)));
}
