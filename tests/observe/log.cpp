// SPDX-License-Identifier: MIT
#include <taskmgr/observe/log.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <filesystem>
#include <memory>
#include <regex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <taskmgr/core/names.hpp>

#include "support/folder.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"

using taskmgr::Context, taskmgr::Mode;
using taskmgr::Event, taskmgr::EventKind, taskmgr::Level, taskmgr::Log, taskmgr::TaskError;
using namespace std::chrono_literals;
using support::TemporaryFolder, support::contents_of, support::lines_of;

namespace {

const EventKind all_kinds[] = {EventKind::batch_started,  EventKind::task_started,  EventKind::task_retrying,
                               EventKind::task_succeeded, EventKind::task_failed,   EventKind::task_cancelled,
                               EventKind::task_duplicate, EventKind::task_progress, EventKind::task_log,
                               EventKind::batch_finished};

void tell(Log& log, const Event& event) {
  if (!log.wants(event.kind)) return;
  taskmgr::detail::ObserverAccess::call(log, [&](taskmgr::Observer& observer) { observer.on_event(event); });
}

Event event_of(EventKind kind) {
  Event event;
  event.kind = kind;
  event.manager = "watched";
  event.batch = 1;
  event.attempt = 1;
  event.time = std::chrono::steady_clock::now();
  event.writer = [](const void*, std::uint64_t number) { return std::to_string(number); };
  return event;
}

/// A sink that keeps what it gets.
struct Lines {
  std::vector<std::pair<Level, std::string>> all;
  Log::Sink sink() {
    return [this](Level level, std::string_view line) { all.emplace_back(level, line); };
  }
};

/// Another working directory for a while.
class WorkingIn {
 public:
  explicit WorkingIn(const std::filesystem::path& folder) : before_(std::filesystem::current_path()) {
    std::filesystem::current_path(folder);
  }
  WorkingIn(const WorkingIn&) = delete;
  WorkingIn& operator=(const WorkingIn&) = delete;
  ~WorkingIn() { std::filesystem::current_path(before_); }

 private:
  std::filesystem::path before_;
};

}  // namespace

TEST_CASE("a sink gets a line with time, level and name for every event, without a line end") {
  Lines lines;
  Log log{lines.sink()};
  for (const EventKind kind : all_kinds) {
    CHECK(log.wants(kind));
    tell(log, event_of(kind));
  }
  REQUIRE(lines.all.size() == std::size(all_kinds));
  const std::regex form{R"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (debug|info|warning|error) watched#1 [^\n]*)"};
  for (const auto& logged : lines.all) {
    const std::string& line = logged.second;
    CAPTURE(line);
    CHECK(std::regex_match(line, form));
    CHECK(line.find(taskmgr::name_of(logged.first)) == std::string("2026-03-14 09:26:53.589 ").size());
  }
  CHECK(log.lost() == 0);
}

TEST_CASE("a level lets through what is at least as bad, and the rest is not even asked for") {
  const auto logged = [](Level from) {
    Lines lines;
    Log log{lines.sink(), from};
    for (const EventKind kind : all_kinds) tell(log, event_of(kind));
    Event error = event_of(EventKind::task_log);
    error.level = Level::error;
    tell(log, error);
    std::vector<Level> levels;
    for (const auto& [level, line] : lines.all) levels.push_back(level);
    for (const Level level : levels) CHECK(level >= from);
    return levels.size();
  };
  CHECK(logged(Level::debug) == 11);
  CHECK(logged(Level::info) == 8);
  CHECK(logged(Level::warning) == 4);
  CHECK(logged(Level::error) == 2);

  const Log log{Lines{}.sink(), Level::warning};
  for (const EventKind kind :
       {EventKind::task_started, EventKind::task_succeeded, EventKind::task_progress, EventKind::task_duplicate}) {
    CHECK_FALSE(log.wants(kind));
  }
}

TEST_CASE("a sink that throws stops nobody, is called again, and what it did not take is counted") {
  int calls = 0;
  Log log{[&](Level, std::string_view) {
    ++calls;
    if (calls == 1) throw std::runtime_error("full");
    if (calls == 2) throw 42;
  }};
  for (int i = 0; i < 4; ++i) tell(log, event_of(EventKind::task_started));
  CHECK(calls == 4);
  CHECK(log.lost() == 2);
}

TEST_CASE("an empty sink is refused with a sentence") {
  CHECK_THROWS_WITH_AS(Log{Log::Sink{}}, "taskmgr: a Log needs a sink that can be called; this one is empty",
                       taskmgr::UsageError);
}

TEST_CASE("a path may be given as people have it") {
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "a/run.log";
  const std::string text = (folder / "b.log").string();
  const std::string literal = (folder / "c.log").string();
  auto one = std::make_shared<Log>(path);
  auto two = std::make_shared<Log>(text, Level::info);
  Log three{literal.c_str()};
  Log four{folder / "d.log", Level::error};
  for (const char* name : {"a/run.log", "b.log", "c.log", "d.log"}) CHECK(std::filesystem::exists(folder / name));
}

TEST_CASE("lines are in the file when a run has ended, with a tick, and at once from a warning on") {
  const TemporaryFolder folder;
  const auto path = folder / "run.log";
  Log log{path};
  const auto count = [&] { return lines_of(contents_of(path)).size(); };
  tell(log, event_of(EventKind::batch_started));
  tell(log, event_of(EventKind::task_started));
  CHECK(count() == 0);
  log.on_tick({});
  CHECK(count() == 2);
  tell(log, event_of(EventKind::task_succeeded));
  CHECK(count() == 2);
  tell(log, event_of(EventKind::task_retrying));
  CHECK(count() == 4);
  tell(log, event_of(EventKind::task_started));
  tell(log, event_of(EventKind::batch_finished));
  CHECK(count() == 6);

  Log quiet{folder / "quiet.log", Level::error};
  tell(quiet, event_of(EventKind::batch_finished));
  CHECK(contents_of(folder / "quiet.log").empty());
}

TEST_CASE(
    "without a path the file is named after the day, below the working directory of the start, and changes with the "
    "day") {
  const TemporaryFolder folder, elsewhere;
  const WorkingIn here{folder.path()};
  const auto date = [](std::chrono::system_clock::time_point time) {
    const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
    std::tm local{};
    ::localtime_r(&seconds, &local);
    char text[16];
    std::strftime(text, sizeof text, "%Y-%m-%d", &local);
    return std::string{text};
  };
  const auto now = std::chrono::system_clock::now();
  Log log;
  const WorkingIn there{elsewhere.path()};
  tell(log, event_of(EventKind::batch_started));
  Event tomorrow = event_of(EventKind::batch_finished);
  tomorrow.time += 24h;
  tell(log, tomorrow);
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "logs"))
    names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  REQUIRE(names.size() == 2);
  if (date(std::chrono::system_clock::now()) == date(now))
    CHECK(names[0] == "taskmgr-" + date(now) + ".log");  // not at midnight
  CHECK(names[1] == "taskmgr-" + date(now + 24h) + ".log");
  CHECK(contents_of(folder / ("logs/" + names[0])).find("batch started") != std::string::npos);
  CHECK(contents_of(folder / ("logs/" + names[1])).find("batch finished") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(elsewhere / "logs"));
}

TEST_CASE("a run leaves its story in the file by the time start returns, in every mode") {
  for (const Mode mode : support::modes) {
    const TemporaryFolder folder;
    support::Manager manager{
        [](Context& context, int x) {
          context.log(Level::info, "at {}", x);
          if (x == 3) throw std::runtime_error("three is\nwrong");
          return x;
        },
        {.mode = mode, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1ms}, .name = "story"}};
    manager.observe(std::make_shared<Log>(folder / "run.log"));
    CHECK(manager.start({1, 2, 3, 3}).failed == 1);
    const std::string text = contents_of(folder / "run.log");
    CAPTURE(text);
    const auto lines = lines_of(text);
    const auto count = [&](const std::string& what) {
      return std::count_if(lines.begin(), lines.end(),
                           [&](const std::string& line) { return line.find(what) != std::string::npos; });
    };
    CHECK(lines.size() == 15);
    CHECK(lines.front().find(" info story#") != std::string::npos);
    CHECK(lines.front().find(" batch started total=4") != std::string::npos);
    CHECK(count(" debug story#") == 5);
    CHECK(count(" started task=") == 4);
    CHECK(count(" says task=") == 4);
    CHECK(count(" message=\"at 3\"") == 2);
    CHECK(count(" duplicate task=3 text=\"3\"") == 1);
    CHECK(count(" succeeded task=") == 2);
    CHECK(count(" warning story#") == 2);
    CHECK(count(" retrying task=2 text=\"3\" attempt=1 worker=") == 1);
    CHECK(count(" failed task=2 text=\"3\" attempt=2 worker=") == 1);
    CHECK(count(" type=std::runtime_error error=\"three is\\nwrong\"") == 2);
    CHECK(lines.back().find(
              " batch finished total=4 succeeded=2 failed=1 cancelled=0 duplicates=1 retries=1 duration=") !=
          std::string::npos);
  }
}

TEST_CASE("a log that cannot write fails no task") {
  for (const Mode mode : support::modes) {
    auto log = std::make_shared<Log>([](Level, std::string_view) { throw std::runtime_error("full"); });
    support::Manager manager{[](Context&, int x) { return x; }, {.mode = mode, .workers = 2}};
    manager.observe(log);
    CHECK(manager.start({1, 2, 3}).ok());
    CHECK(log->lost() == 8);
  }
}
