// SPDX-License-Identifier: MIT
#include <taskmgr/observe/insights.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/recorder.hpp"

using support::Recorder;
using taskmgr::Context, taskmgr::Mode, taskmgr::Insights, taskmgr::SlowTask, taskmgr::TimeSpent, taskmgr::WorkerTime;
using taskmgr::Event, taskmgr::EventKind, taskmgr::TaskError;
using namespace std::chrono_literals;

namespace {

/// The law: what the workers of the runs have had to spend.
std::chrono::nanoseconds to_spend(const Recorder& heard) {
  std::chrono::nanoseconds all{0};
  for (const support::Heard& finished : heard.of(EventKind::batch_finished)) {
    all += finished.duration * static_cast<std::int64_t>(finished.workers);
  }
  return all;
}

std::chrono::nanoseconds measured(const Recorder& heard) {
  std::chrono::nanoseconds all{0};
  for (const support::Heard& event : heard.all()) {
    if (event.kind != EventKind::batch_finished) all += event.duration;
  }
  return all;
}

void check_not_negative(const TimeSpent& spent) {
  CHECK(spent.running >= 0ns);
  CHECK(spent.waiting_for_work >= 0ns);
  CHECK(spent.waiting_to_retry >= 0ns);
  CHECK(spent.between_processes >= 0ns);
}

/// Events of a run that no manager makes, at times of its own.
struct Run {
  Insights& insights;
  std::string manager = "made";
  std::uint64_t batch = 1;
  std::size_t workers = 2;
  std::string stage{};
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();

  Event event(EventKind kind, std::chrono::microseconds at) const {
    Event event;
    event.kind = kind;
    event.manager = manager;
    event.stage = stage;
    event.batch = batch;
    event.time = begin + at;
    event.writer = [](const void*, std::uint64_t number) { return "t" + std::to_string(number); };
    return event;
  }
  void start() const {
    Event started = event(EventKind::batch_started, 0us);
    started.workers = workers;
    insights.on_event(started);
  }
  void finish(std::chrono::microseconds at, std::chrono::microseconds duration) const {
    Event finished = event(EventKind::batch_finished, at);
    finished.workers = workers;
    finished.duration = duration;
    insights.on_event(finished);
  }
  void say(EventKind kind, std::chrono::microseconds at, std::uint64_t task, std::size_t worker, int attempt,
           std::chrono::microseconds duration = 0us, std::chrono::microseconds delay = 0us,
           const TaskError* error = nullptr) const {
    Event said = event(kind, at);
    said.task = task;
    said.worker = worker;
    said.attempt = attempt;
    said.duration = duration;
    said.delay = delay;
    said.error = error;
    insights.on_event(said);
  }
};

}  // namespace

TEST_CASE("what workers did adds up to the time of the runs, in every mode, and attempts are running") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    auto insights = std::make_shared<Insights>();
    auto heard = std::make_shared<Recorder>();
    support::Manager manager{[](Context& context, int x) {
                               if (x % 3 == 0) std::this_thread::sleep_for(1ms);
                               if (x % 5 == 0 && context.attempt() < 3) throw std::runtime_error("again");
                               if (x == 7) throw std::runtime_error("never");
                               return x;
                             },
                             {.mode = mode, .workers = 3, .retry = {.max_retries = 2, .base_delay = 2ms}, .name = "law"}};
    manager.observe(insights).observe(heard);
    std::vector<int> tasks = support::numbers(30);
    tasks.insert(tasks.end(), {1, 2, 3});  // duplicates
    for (int run = 0; run < 2; ++run) CHECK(manager.start(tasks).failed == 1);

    const TimeSpent total = insights->total();
    CHECK(total.elapsed() == to_spend(*heard));
    CHECK(total.attempts == heard->count(EventKind::task_started));
    CHECK(total.running == measured(*heard));
    const std::vector<WorkerTime> workers = insights->workers();
    CHECK(workers.size() == (mode == Mode::serial ? 1 : 3));
    std::chrono::nanoseconds sum{0};
    for (std::size_t k = 0; k < workers.size(); ++k) {
      CHECK(workers[k].worker == k);
      CHECK(workers[k].manager == "law");
      CHECK(workers[k].elapsed() == workers[0].elapsed());
      check_not_negative(workers[k]);
      sum += workers[k].elapsed();
    }
    CHECK(sum == total.elapsed());
  }
}

TEST_CASE("a worker without a task waits for work, and one whose tasks wait for retries waits to retry") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    Insights insights;
    support::Manager manager{[](Context& context, int x) {
                               if (context.attempt() == 1) throw std::runtime_error("again");
                               return x;
                             },
                             {.mode = mode, .workers = 1, .retry = {.max_retries = 1, .base_delay = 50ms, .jitter = 0}}};
    manager.observe(insights);
    CHECK(manager.start({1}).ok());
    CHECK(insights.total().waiting_to_retry > 40ms);
    CHECK(insights.total().waiting_to_retry <= 50ms);
  }
}

TEST_CASE("each figure is what it says") {
  Insights insights;
  const Run run{insights};
  run.start();
  run.say(EventKind::task_started, 10us, 0, 0, 1);              // 10 for work
  run.say(EventKind::task_succeeded, 50us, 0, 0, 1, 30us);      // 30 running, 10 until it was known
  run.say(EventKind::task_started, 45us, 1, 0, 1);              // of which the next attempt takes 5
  run.say(EventKind::task_retrying, 65us, 1, 0, 1, 20us, 100us);
  run.say(EventKind::task_started, 105us, 2, 0, 1);             // 40 while a task waited to retry
  run.say(EventKind::task_succeeded, 125us, 2, 0, 1, 20us);
  run.say(EventKind::task_started, 180us, 1, 0, 2);             // 40 so, and 15 after its time had come
  run.say(EventKind::task_succeeded, 190us, 1, 0, 2, 10us);
  run.finish(200us, 203us);                                     // 10 and 3 for work
  const std::vector<WorkerTime> workers = insights.workers();
  REQUIRE(workers.size() == 2);
  CHECK(workers[0].running == 80us);
  CHECK(workers[0].between_processes == 5us);
  CHECK(workers[0].waiting_to_retry == 80us);
  CHECK(workers[0].waiting_for_work == 38us);
  CHECK(workers[0].attempts == 4);
  CHECK(workers[1].running == 0us);
  CHECK(workers[1].waiting_to_retry == 100us);
  CHECK(workers[1].waiting_for_work == 103us);
  CHECK(insights.total().elapsed() == 406us);
}

TEST_CASE("crashes, results that had to be made again and a cancel add up as well") {
  Insights insights;
  const Run run{insights};
  const TaskError crash{TaskError::Kind::crash, std::make_exception_ptr(taskmgr::WorkerCrashed("gone", 9, 0)), 1};
  run.start();
  run.say(EventKind::task_started, 0us, 0, 0, 1);
  run.say(EventKind::task_retrying, 40us, 0, 0, 1, 0us, 500us, &crash);  // it ran until it was known to have crashed
  run.say(EventKind::task_started, 50us, 1, 0, 1);                       // whose worker dies with the result
  run.say(EventKind::task_succeeded, 90us, 1, 1, 1, 20us);               // and another makes it
  run.say(EventKind::task_cancelled, 100us, 0, 0, 1);                    // it waited for its retry
  run.finish(120us, 120us);
  const std::vector<WorkerTime> workers = insights.workers();
  CHECK(workers[0].running == 40us);
  CHECK(workers[0].between_processes == 40us);
  CHECK(workers[0].waiting_to_retry == 20us);
  CHECK(workers[0].waiting_for_work == 20us);
  CHECK(workers[1].running == 20us);
  CHECK(workers[1].waiting_to_retry == 40us);
  CHECK(workers[1].waiting_for_work == 60us);
  CHECK(insights.total().elapsed() == 240us);
}

TEST_CASE("the slowest tasks are kept, each by its longest attempt") {
  Insights insights;
  const Run run{insights, "slow", 1, 1};
  run.start();
  std::chrono::microseconds now{0};
  const auto attempt = [&](std::uint64_t task, int number, std::chrono::microseconds duration, EventKind kind) {
    run.say(EventKind::task_started, now, task, 0, number);
    now += duration;
    run.say(kind, now, task, 0, number, duration);
  };
  for (std::uint64_t task = 0; task < 100; ++task) {
    attempt(task, 1, std::chrono::microseconds{(task * 37) % 100}, EventKind::task_retrying);
  }
  attempt(3, 2, 1000us, EventKind::task_retrying);
  attempt(3, 3, 500us, EventKind::task_succeeded);
  attempt(5, 2, 2000us, EventKind::task_failed);
  run.finish(now, now);
  const std::vector<SlowTask> slowest = insights.slowest();
  REQUIRE(slowest.size() == Insights::slowest_kept);
  CHECK(slowest[0].task == 5);
  CHECK(slowest[0].text == "t5");
  CHECK(slowest[0].attempt == 2);
  CHECK(slowest[0].duration == 2000us);
  CHECK(slowest[1].task == 3);
  CHECK(slowest[1].attempt == 2);
  CHECK(slowest[1].duration == 1000us);
  for (std::size_t k = 2; k < slowest.size(); ++k) {
    CHECK(slowest[k].duration == std::chrono::microseconds{101 - k});
    CHECK((slowest[k].task * 37) % 100 == 101 - k);
    CHECK(slowest[k].manager == "slow");
  }
}

TEST_CASE("managers are told apart by name and stage") {
  Insights insights;
  const Run one{insights, "one", 1, 1}, two{insights, "two", 2, 20}, stage{insights, "tree", 3, 1, "parse"};
  for (const Run* run : {&one, &two, &stage}) {
    run->start();
    run->say(EventKind::task_started, 0us, 0, 0, 1);
    run->say(EventKind::task_succeeded, 60us, 0, 0, 1, 30us);
    run->finish(100us, 100us);
  }
  const std::vector<WorkerTime> workers = insights.workers();
  REQUIRE(workers.size() == 22);
  CHECK(workers[0].manager == "one");
  CHECK(workers[20].worker == 19);
  CHECK(workers[21].stage == "parse");
  CHECK(insights.total().running == 90us);
  CHECK(insights.text().find("\ntree / parse ") != std::string::npos);
}

TEST_CASE("of a pipelined tree it names the bottleneck, and what the stages beside it waited for") {
  Insights insights;
  const Run fetch{insights, "fetch", 1, 1, "fetch"}, parse{insights, "parse", 2, 2, "parse"};
  const Run save{insights, "save", 3, 1, "save"};
  for (const Run* run : {&fetch, &parse, &save}) run->start();
  const auto attempt = [](const Run& run, std::size_t worker, std::chrono::microseconds from, std::chrono::microseconds to) {
    run.say(EventKind::task_started, from, worker, worker, 1);
    run.say(EventKind::task_succeeded, to, worker, worker, 1, to - from);
  };
  attempt(fetch, 0, 0us, 40us);
  attempt(parse, 0, 10us, 100us);
  attempt(parse, 1, 20us, 90us);
  attempt(save, 0, 80us, 100us);
  for (const Run* run : {&save, &fetch, &parse}) run->finish(100us, 100us);
  const std::string text = insights.text();
  CAPTURE(text);
  CHECK(text.find("bottleneck: parse, running 80% of its workers' time, 80.0us each\n"
                  "  before it, fetch waited 60%, most of it for work or room\n"
                  "  after it, save waited 80%, most of it for work\n") != std::string::npos);
  REQUIRE(insights.workers().size() == 4);
  CHECK(insights.workers()[1].stage == "parse");
  CHECK(insights.total().elapsed() == 400us);
}

TEST_CASE("nothing observed is a table without lines") {
  const Insights insights;
  CHECK(insights.workers().empty());
  CHECK(insights.slowest().empty());
  CHECK(insights.total().elapsed() == 0ns);
  CHECK(insights.text().find("running") != std::string::npos);
}

TEST_CASE("two runs at once, and readers meanwhile, in memory") {
  for (const Mode mode : support::modes_in_memory) {
    INFO("mode: ", support::name(mode));
    auto insights = std::make_shared<Insights>();
    auto heard = std::make_shared<Recorder>();
    std::atomic<bool> over{false};
    std::thread reader{[&] {
      std::size_t attempts = 0;
      while (!over) {
        const TimeSpent total = insights->total();
        CHECK(total.elapsed() >= total.running);
        CHECK(total.attempts >= attempts);
        attempts = total.attempts;
        CHECK(!insights->text().empty());
      }
    }};
    {
      support::Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 2, .name = "read"}};
      manager.observe(insights).observe(heard);
      const auto tasks = support::numbers(2000);
      auto first = manager.launch(tasks);
      auto second = manager.launch(tasks);
      CHECK(first.wait().ok());
      CHECK(second.wait().ok());
    }
    over = true;
    reader.join();
    CHECK(insights->total().elapsed() == to_spend(*heard));
    CHECK(insights->total().attempts == 4000);
  }
}

TEST_CASE("a cancelled run adds up, in every mode") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    std::stop_source stop;
    auto insights = std::make_shared<Insights>();
    auto heard = std::make_shared<Recorder>([&](const Event& event) {
      if (event.kind == EventKind::task_retrying) stop.request_stop();
    });
    support::Manager manager{[](Context&, int) -> int { throw std::runtime_error("again"); },
                             {.mode = mode, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1h, .max_delay = 1h}}};
    manager.observe(insights).observe(heard);
    CHECK(manager.start(support::numbers(50), stop.get_token()).cancelled > 0);
    CHECK(insights->total().elapsed() == to_spend(*heard));
    check_not_negative(insights->total());
  }
}

#ifndef TASKMGR_TEST_SANITIZED
TEST_CASE("in process mode an attempt begins and ends by the clock of its worker") {
  auto insights = std::make_shared<Insights>();
  auto heard = std::make_shared<Recorder>();
  support::Manager manager{[](Context& context, int x) {
                             if (x == 3 && context.attempt() == 1) std::raise(SIGKILL);
                             std::this_thread::sleep_for(2ms);
                             return x;
                           },
                           {.mode = Mode::process, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1ms}}};
  manager.observe(insights).observe(heard);
  CHECK(manager.start(support::numbers(10)).ok());
  const TimeSpent total = insights->total();
  CHECK(total.elapsed() == to_spend(*heard));
  CHECK(total.between_processes > 0ns);
  CHECK(total.running >= 20ms);
  check_not_negative(total);
  for (const support::Heard& started : heard->of(EventKind::task_started)) {
    for (const support::Heard& ended : heard->of(EventKind::task_succeeded)) {
      if (ended.task == started.task && ended.attempt == started.attempt) {
        CHECK(started.time + ended.duration <= ended.time);
      }
    }
  }
}
#endif
