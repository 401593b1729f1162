// SPDX-License-Identifier: MIT
#include <taskmgr/observe/chrome_trace.hpp>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <taskmgr/manager/task_manager.hpp>

#include "support/folder.hpp"
#include "support/json.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/recorder.hpp"

using support::Json, support::TemporaryFolder, support::contents_of;
using taskmgr::ChromeTrace, taskmgr::Context, taskmgr::Level, taskmgr::Mode;
using taskmgr::Event, taskmgr::EventKind, taskmgr::TaskError;
using namespace std::chrono_literals;

namespace {

using Events = std::vector<Json>;
/// Process and thread.
using Row = std::pair<double, double>;

Row row_of(const Json& event) { return {event["pid"].number, event["tid"].number}; }

/// The events of a file, which must be what the Trace Event Format asks for: the members of each phase, and on a row no
/// slice that begins before the one ahead of it has ended.
Events events_of(const std::filesystem::path& path) {
  const Json trace = support::json_of(contents_of(path));
  REQUIRE(trace.kind == Json::Kind::object);
  REQUIRE(trace["traceEvents"].kind == Json::Kind::array);
  std::set<double> named_processes;
  std::set<Row> named_rows;
  std::map<Row, std::pair<double, double>> last;  // begin and end of the slice before
  std::map<std::tuple<double, std::string, std::string>, int> open;
  for (const Json& event : trace["traceEvents"].items) {
    REQUIRE(event["name"].kind == Json::Kind::string);
    REQUIRE(event["ph"].kind == Json::Kind::string);
    REQUIRE(event["pid"].kind == Json::Kind::number);
    if (event.has("args")) CHECK(event["args"].kind == Json::Kind::object);
    const std::string& phase = event["ph"].text;
    if (phase == "M") {
      const std::string& name = event["name"].text;
      if (name == "process_name") {
        CHECK(event["args"]["name"].kind == Json::Kind::string);
        CHECK(named_processes.insert(event["pid"].number).second);
      } else if (name == "thread_name") {
        CHECK(event["args"]["name"].kind == Json::Kind::string);
        CHECK(named_rows.insert(row_of(event)).second);
      } else {
        CHECK(name == "thread_sort_index");
        CHECK(event["args"]["sort_index"].kind == Json::Kind::number);
      }
      continue;
    }
    REQUIRE(event["ts"].kind == Json::Kind::number);
    REQUIRE(event["tid"].kind == Json::Kind::number);
    CHECK(event["cat"].kind == Json::Kind::string);
    CHECK(event["ts"].number >= 0);
    CHECK(event["tid"].number >= 1);
    CHECK(named_processes.count(event["pid"].number) == 1);
    CHECK(named_rows.count(row_of(event)) == 1);
    if (phase == "X") {
      const double begin = event["ts"].number;
      const double end = begin + event["dur"].number;
      CHECK(event["dur"].number >= 0);
      if (const auto found = last.find(row_of(event)); found != last.end()) {
        CHECK(begin >= found->second.first);
        CHECK(begin >= found->second.second - 1e-4);  // a tenth of a nanosecond: sums of doubles
      }
      last[row_of(event)] = {begin, end};
    } else if (phase == "i") {
      CHECK((event["s"].text == "t" || event["s"].text == "p"));
    } else {
      REQUIRE((phase == "b" || phase == "e"));
      int& count = open[{event["pid"].number, event["cat"].text, event["id"].text}];
      count += phase == "b" ? 1 : -1;
      CHECK(count >= 0);
      CHECK(count <= 1);
    }
  }
  for (const auto& [id, count] : open) CHECK(count == 0);
  return trace["traceEvents"].items;
}

Events of(const Events& events, const std::string& phase, const std::string& category) {
  Events some;
  for (const Json& event : events) {
    if (event["ph"].text == phase && event.has("cat") && event["cat"].text == category) some.push_back(event);
  }
  return some;
}

std::vector<std::string> names(const Events& events, const std::string& metadata) {
  std::vector<std::string> all;
  for (const Json& event : events) {
    if (event["name"].text == metadata) all.push_back(event["args"]["name"].text);
  }
  return all;
}

std::map<std::string, int> outcomes(const Events& events) {
  std::map<std::string, int> counts;
  for (const Json& event : of(events, "X", "task")) ++counts[event["args"]["outcome"].text];
  return counts;
}

void tell(ChromeTrace& trace, const Event& event) {
  if (!trace.wants(event.kind)) return;
  taskmgr::detail::ObserverAccess::call(trace, [&](taskmgr::Observer& observer) { observer.on_event(event); });
}

/// Events of a run that no manager makes, at times of its own.
struct Run {
  ChromeTrace& trace;
  std::string manager = "made";
  std::uint64_t batch = 1;
  std::string stage{};
  std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();

  void say(EventKind kind, std::chrono::microseconds at, std::uint64_t task = 0, std::size_t worker = 0, int attempt = 0,
           std::chrono::nanoseconds duration = 0ns, const TaskError* error = nullptr, double done = 0) const {
    Event event;
    event.kind = kind;
    event.manager = manager;
    event.batch = batch;
    event.stage = stage;
    event.task = task;
    event.worker = worker;
    event.attempt = attempt;
    event.time = begin + at;
    event.duration = duration;
    event.error = error;
    event.done = done;
    event.writer = [](const void*, std::uint64_t number) { return std::to_string(number); };
    tell(trace, event);
  }
};

}  // namespace

TEST_CASE("a trace has a row for each worker with its attempts, retries, words and the run, in every mode") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    const TemporaryFolder folder;
    support::Manager manager{
        [](Context& context, int x) {
          context.log(Level::warning, "at {}", x);
          context.progress(x, 4);
          if (x == 3 || (x == 2 && context.attempt() == 1)) throw std::runtime_error("no\n\"good\"");
          return x;
        },
        {.mode = mode, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1ms}, .name = "story"}};
    manager.observe(std::make_shared<ChromeTrace>(folder / "deep/er/trace.json"));
    CHECK(manager.start({1, 2, 3, 3}).failed == 1);
    const Events events = events_of(folder / "deep/er/trace.json");

    CHECK(names(events, "process_name") == std::vector<std::string>{"story"});
    const auto rows = names(events, "thread_name");
    CHECK(std::set<std::string>(rows.begin(), rows.end()).count("worker 0") == 1);
    CHECK(outcomes(events) == std::map<std::string, int>{{"succeeded", 2}, {"retrying", 2}, {"failed", 1}});
    for (const Json& event : of(events, "X", "task")) {
      const Json& args = event["args"];
      CHECK(event["name"].text == std::to_string(static_cast<int>(args["task"].number) + 1));
      CHECK((args["attempt"].number == 1 || args["attempt"].number == 2));
      const bool bad = args["outcome"].text != "succeeded";
      CHECK(args.has("error") == bad);
      if (bad) CHECK(args["error"].text == "no\n\"good\"");
      if (bad) CHECK(args["type"].text == "std::runtime_error");
    }
    CHECK(of(events, "b", "retry").size() == 2);
    CHECK(of(events, "e", "retry").size() == 2);
    const Events logs = of(events, "i", "log");
    REQUIRE(logs.size() == 5);
    CHECK(logs[0]["name"].text.substr(0, 3) == "at ");
    CHECK(logs[0]["args"]["level"].text == "warning");
    CHECK(of(events, "i", "progress").size() == 5);
    CHECK(of(events, "i", "progress")[0]["args"]["of"].number == 4);
    const Events runs = of(events, "i", "run");
    REQUIRE(runs.size() == 2);
    CHECK(runs[0]["args"]["total"].number == 4);
    CHECK(runs[1]["args"]["failed"].number == 1);
    CHECK(runs[1]["args"]["duplicates"].number == 1);
  }
}

TEST_CASE("each run adds to the file, which is a whole document after it") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    const TemporaryFolder folder;
    const auto path = folder / "trace.json";
    std::ofstream(path) << "an older one";
    auto trace = std::make_shared<ChromeTrace>(path);
    CHECK(events_of(path).empty());
    support::Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 3, .name = "more"}};
    manager.observe(trace);
    for (std::size_t run = 1; run <= 3; ++run) {
      CHECK(manager.start(support::numbers(100)).ok());
      const Events events = events_of(path);
      CHECK(of(events, "X", "task").size() == 100 * run);
      CHECK(names(events, "process_name").size() == 1);
    }
    CHECK(trace->lost() == 0);
  }
}

TEST_CASE("a task of any name makes a document") {
  const TemporaryFolder folder;
  const auto path = folder / "trace.json";
  const std::vector<std::string> tasks{"quote \" and \\", "two\nlines\r\t",
                                       std::string("\x00\x01\x1f", 3), "\xff\xfe half \xc3",
                                       "Grüße 漢字 \xF0\x9F\x98\x80", "\x7f\xe2\x80\xa8", "", "],}"};
  taskmgr::TaskManager manager{[](const std::string& s) -> std::size_t { throw std::runtime_error("bad: " + s); },
                               {.name = "a \"name\"\n\xff"}};
  manager.observe(std::make_shared<ChromeTrace>(path));
  CHECK(manager.start(tasks).failed == tasks.size());
  const Events events = events_of(path);
  CHECK(names(events, "process_name") == std::vector<std::string>{"a \"name\"\n\xEF\xBF\xBD"});
  const Events attempts = of(events, "X", "task");
  REQUIRE(attempts.size() == tasks.size());
  for (const std::size_t k : {0U, 1U, 2U, 4U, 5U, 7U}) {
    CHECK(attempts[k]["name"].text == tasks[k]);
    CHECK(attempts[k]["args"]["error"].text == std::string(("bad: " + tasks[k]).c_str()));  // as what() has it
  }
  CHECK(attempts[3]["name"].text == "\xEF\xBF\xBD\xEF\xBF\xBD half \xEF\xBF\xBD");
  CHECK(attempts[6]["name"].text == "task 6");
}

TEST_CASE("what does not format, or fails to, has its number for a name") {
  struct Opaque {
    int x;
  };
  const TemporaryFolder folder;
  taskmgr::TaskManager manager{[](const Opaque& task) { return task.x; }};
  manager.observe(std::make_shared<ChromeTrace>(folder / "a.json"));
  CHECK(manager.start(std::vector<Opaque>{{7}, {8}}).ok());
  CHECK(of(events_of(folder / "a.json"), "X", "task")[1]["name"].text == "1");

  ChromeTrace trace{folder / "b.json"};
  Event event;
  event.kind = EventKind::task_succeeded;
  event.attempt = 1;
  event.task = 5;
  event.time = std::chrono::steady_clock::now();
  event.writer = [](const void*, std::uint64_t) -> std::string { throw 42; };
  tell(trace, event);
  trace.on_tick({});
  CHECK(of(events_of(folder / "b.json"), "X", "task")[0]["name"].text == "task 5");
}

TEST_CASE("tasks that were cancelled while they ran have their slice, those that waited none") {
  for (const Mode mode : support::modes) {
    INFO("mode: ", support::name(mode));
    const TemporaryFolder folder;
    const auto path = folder / "trace.json";
    std::stop_source stop;
    auto watcher = std::make_shared<support::Recorder>([&](const Event& event) {
      if (event.kind == EventKind::task_retrying) stop.request_stop();
    });
    support::Manager manager{[](Context&, int) -> int { throw std::runtime_error("again"); },
                             {.mode = mode, .workers = 1, .retry = {.max_retries = 1, .base_delay = 1h, .max_delay = 1h}}};
    manager.observe(std::make_shared<ChromeTrace>(path));
    manager.observe(watcher);
    const auto report = manager.start(support::numbers(50), stop.get_token());
    CHECK(report.cancelled > 0);
    const Events events = events_of(path);
    CHECK(of(events, "X", "task").size() == watcher->count(EventKind::task_started));
    CHECK(of(events, "b", "retry").size() == of(events, "e", "retry").size());
    CHECK(of(events, "i", "run")[1]["args"]["cancelled"].number == static_cast<double>(report.cancelled));
  }
}

TEST_CASE("managers that run at once have rows of their own, also those of one name") {
  const TemporaryFolder folder;
  const auto path = folder / "trace.json";
  auto trace = std::make_shared<ChromeTrace>(path);
  const auto nap = [](Context&, int x) {
    std::this_thread::sleep_for(1ms);
    return x;
  };
  {
    support::Manager one{nap, {.mode = Mode::thread, .workers = 2, .name = "one"}};
    support::Manager two{nap, {.mode = Mode::thread, .workers = 2, .name = "two"}};
    one.observe(trace);
    two.observe(trace);
    const auto tasks = support::numbers(20);
    auto first = one.launch(tasks);
    auto second = one.launch(tasks);
    auto third = two.launch(tasks);
    CHECK(first.wait().ok());
    CHECK(second.wait().ok());
    CHECK(third.wait().ok());
    CHECK(one.start(tasks).ok());
  }
  CHECK(of(events_of(path), "X", "task").size() == 80);

  ChromeTrace made{folder / "made.json"};
  const Run a{made, "same", 1}, b{made, "same", 2}, c{made, "same", 3}, stage{made, "tree", 4, "parse"};
  a.say(EventKind::batch_started, 0us);
  b.say(EventKind::batch_started, 1us);
  stage.say(EventKind::batch_started, 1us);
  a.say(EventKind::batch_finished, 2us);
  c.say(EventKind::batch_started, 3us);
  for (const Run& run : {b, c, stage}) run.say(EventKind::batch_finished, 5us);
  CHECK(names(events_of(folder / "made.json"), "process_name") ==
        std::vector<std::string>{"same", "same (2)", "tree / parse"});
}

TEST_CASE("the stages of a tree whose runs overlap have a process each, under their names, in one file") {
  const TemporaryFolder folder;
  const auto path = folder / "tree.json";
  ChromeTrace trace{path};
  const Run fetch{trace, "fetch", 7, "fetch"}, parse{trace, "tasks", 8, "stage 2"}, next{trace, "next", 9, "next"};
  for (const Run& run : {fetch, parse, next}) run.say(EventKind::batch_started, 0us);
  for (const Run& run : {fetch, parse, next}) {  // the same task, on its way through the tree, which each stage tries twice
    run.say(EventKind::task_started, 10us, 0, 0, 1);
    run.say(EventKind::task_retrying, 20us, 0, 0, 1, 10us);
  }
  for (const Run& run : {next, fetch, parse}) {
    run.say(EventKind::task_started, 30us, 0, 0, 2);
    run.say(EventKind::task_succeeded, 40us, 0, 0, 2, 10us);
  }
  fetch.say(EventKind::batch_finished, 41us);
  CHECK(names(events_of(path), "process_name") == std::vector<std::string>{"fetch", "tasks / stage 2", "next"});
  for (const Run& run : {parse, next}) run.say(EventKind::batch_finished, 50us);
  const Events events = events_of(path);
  CHECK(names(events, "process_name") == std::vector<std::string>{"fetch", "tasks / stage 2", "next"});
  CHECK(of(events, "X", "task").size() == 6);
  CHECK(of(events, "b", "retry").size() == 3);
  CHECK(of(events, "i", "run").size() == 6);
  std::map<double, int> attempts;
  for (const Json& attempt : of(events, "X", "task")) ++attempts[attempt["pid"].number];
  CHECK(attempts == std::map<double, int>{{1, 2}, {2, 2}, {3, 2}});

  // The tree once more, and its manager by itself: the same rows.
  for (const Run& run : {Run{trace, "next", 10, "next"}, Run{trace, "next", 11}}) {
    run.say(EventKind::batch_started, 60us);
    run.say(EventKind::batch_finished, 61us);
  }
  CHECK(names(events_of(path), "process_name").size() == 3);
}

TEST_CASE("whatever a run says in whatever order, the slices of a row follow each other") {
  const TemporaryFolder folder;
  ChromeTrace trace{folder / "trace.json"};
  const Run run{trace};
  const TaskError crash{TaskError::Kind::crash, std::make_exception_ptr(taskmgr::WorkerCrashed("gone", 9, 0)), 1};
  run.say(EventKind::batch_started, 0us);
  run.say(EventKind::task_started, 10us, 0, 0, 1);
  run.say(EventKind::task_failed, 50us, 0, 0, 1, 0ns, &crash);  // a crash lasted until we heard of it
  run.say(EventKind::task_started, 20us, 1, 0, 1);              // begun before the end of the last was known
  run.say(EventKind::task_succeeded, 60us, 1, 0, 1, 999us);     // longer than it can be
  run.say(EventKind::task_started, 100us, 2, 0, 1);             // whose worker dies with the result
  run.say(EventKind::task_succeeded, 140us, 2, 1, 1, 10us);     // and another makes it
  run.say(EventKind::task_started, 150us, 3, 0, 1);
  run.say(EventKind::task_progress, 151us, 3, 0, 1, 0ns, nullptr, std::numeric_limits<double>::quiet_NaN());
  run.say(EventKind::batch_finished, 200us);  // nobody said what became of it
  const Events events = events_of(folder / "trace.json");
  const Events attempts = of(events, "X", "task");
  REQUIRE(attempts.size() == 3);
  CHECK(attempts[0]["dur"].number == 40);
  CHECK(attempts[1]["dur"].number == 10);
  CHECK(attempts[2]["tid"].number == 2);
  CHECK(attempts[2]["dur"].number == 10);
  CHECK(of(events, "i", "progress")[0]["args"]["done"].kind == Json::Kind::null);
  CHECK(trace.lost() == 0);
}

TEST_CASE("a trace that cannot be opened is an error with its path") {
  const TemporaryFolder folder;
  std::ofstream(folder / "file") << "x";
  const std::string path = (folder / "file/trace.json").string();
  try {
    ChromeTrace trace{path};
    FAIL("opened a file below a file");
  } catch (const std::system_error& error) {
    CHECK(error.code() == std::errc::not_a_directory);
    CHECK(std::string{error.what()}.find("taskmgr: cannot open the trace " + path) == 0);
  }
  CHECK_THROWS_AS(ChromeTrace{folder.path()}, std::system_error);
  CHECK_THROWS_AS(ChromeTrace{"/dev/full"}, std::system_error);
}

TEST_CASE("a forked child writes nothing to the trace of its parent") {
  const TemporaryFolder folder;
  const auto path = folder / "trace.json";
  ChromeTrace trace{path};
  Run run{trace, "parent"};
  run.say(EventKind::batch_started, 0us);
  run.say(EventKind::task_started, 1us, 0, 0, 1);
  const pid_t child = ::fork();
  if (child == 0) {
    const Run own{trace, "child", 2};
    own.say(EventKind::batch_started, 0us);
    own.say(EventKind::batch_finished, 1us);
    trace.on_tick({});
    trace.~ChromeTrace();
    ::_exit(0);
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  CHECK(events_of(path).empty());
  run.say(EventKind::task_succeeded, 2us, 0, 0, 1, 1us);
  run.say(EventKind::batch_finished, 3us);
  const Events events = events_of(path);
  CHECK(of(events, "X", "task").size() == 1);
  CHECK(names(events, "process_name") == std::vector<std::string>{"parent"});
}

TEST_CASE("many events are in the file before the run has ended, and it is a document all the time") {
  const TemporaryFolder folder;
  const auto path = folder / "trace.json";
  ChromeTrace trace{path};
  const Run run{trace};
  run.say(EventKind::batch_started, 0us);
  for (int k = 0; k < 3000; ++k) {
    run.say(EventKind::task_succeeded, std::chrono::microseconds{k}, static_cast<std::uint64_t>(k), 0, 1, 1us);
  }
  const std::size_t size = contents_of(path).size();
  CHECK(size > 100'000);
  const std::size_t some = of(events_of(path), "X", "task").size();
  CHECK(some < 3000);
  CHECK(some > 500);
  trace.on_tick({});
  CHECK(of(events_of(path), "X", "task").size() == 3000);
}
