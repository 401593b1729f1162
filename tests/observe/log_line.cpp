// SPDX-License-Identifier: MIT
#include <taskmgr/observe/log_line.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <ctime>
#include <stdexcept>
#include <string>

#include "support/environment.hpp"

using taskmgr::Event, taskmgr::EventKind, taskmgr::Level, taskmgr::TaskError;
using taskmgr::detail::LogLine, taskmgr::detail::level_of;
using namespace std::chrono_literals;
using support::ScopedVariable;

namespace {

Event event_of(EventKind kind) {
  static const std::string path = "img/18.png";
  Event event;
  event.kind = kind;
  event.manager = "resize";
  event.batch = 3;
  event.task = 18;
  event.worker = 1;
  event.attempt = 2;
  event.subject = &path;
  event.writer = [](const void* task, std::uint64_t) { return *static_cast<const std::string*>(task); };
  return event;
}

/// A line without its time.
std::string line_of(const Event& event) {
  LogLine line;
  const std::string all{line.of(event, level_of(event))};
  return all.substr(std::string("2026-03-14 09:26:53.589 ").size());
}

std::string with_message(std::exception_ptr exception) {
  const TaskError error{TaskError::Kind::exception, std::move(exception), 2};
  Event event = event_of(EventKind::task_failed);
  event.error = &error;
  const std::string line = line_of(event);
  return line.substr(line.find("type="));
}

}  // namespace

TEST_CASE("each kind of event has its line") {
  Event event = event_of(EventKind::batch_started);
  CHECK(line_of(event) == "info resize#3 batch started");
  event.progress.total = 7;
  CHECK(line_of(event) == "info resize#3 batch started total=7");

  CHECK(line_of(event_of(EventKind::task_started)) ==
        "debug resize#3 started task=18 text=\"img/18.png\" attempt=2 worker=1");

  event = event_of(EventKind::task_succeeded);
  event.duration = 12345us;
  CHECK(line_of(event) == "info resize#3 succeeded task=18 text=\"img/18.png\" attempt=2 worker=1 duration=12.3ms");

  const TaskError error{TaskError::Kind::exception, std::make_exception_ptr(std::runtime_error("no \"such\" file")), 2};
  event = event_of(EventKind::task_retrying);
  event.duration = 5ms;
  event.delay = 200ms;
  event.error = &error;
  CHECK(line_of(event) ==
        "warning resize#3 retrying task=18 text=\"img/18.png\" attempt=2 worker=1 duration=5.00ms delay=200ms "
        "type=std::runtime_error error=\"no \\\"such\\\" file\"");

  event = event_of(EventKind::task_failed);
  event.duration = 1500ms;
  event.error = &error;
  CHECK(line_of(event) ==
        "error resize#3 failed task=18 text=\"img/18.png\" attempt=2 worker=1 duration=1.50s type=std::runtime_error "
        "error=\"no \\\"such\\\" file\"");

  event = event_of(EventKind::task_cancelled);
  event.attempt = 0;
  CHECK(line_of(event) == "warning resize#3 cancelled task=18 text=\"img/18.png\"");

  event = event_of(EventKind::task_duplicate);
  event.attempt = 0;
  CHECK(line_of(event) == "debug resize#3 duplicate task=18 text=\"img/18.png\"");

  event = event_of(EventKind::task_progress);
  event.done = 2.5;
  event.of = 10;
  CHECK(line_of(event) == "debug resize#3 progress task=18 text=\"img/18.png\" attempt=2 worker=1 done=2.5 of=10");

  event = event_of(EventKind::task_log);
  event.level = Level::error;
  event.message = "disk\nfull";
  CHECK(line_of(event) == "error resize#3 says task=18 text=\"img/18.png\" attempt=2 worker=1 message=\"disk\\nfull\"");

  event = event_of(EventKind::batch_finished);
  event.progress = {.total = 9, .succeeded = 6, .duplicates = 3, .retries = 1};
  event.duration = 1min;
  CHECK(line_of(event) ==
        "info resize#3 batch finished total=9 succeeded=6 failed=0 cancelled=0 duplicates=3 retries=1 duration=60.0s");
  event.progress.failed = 1;
  CHECK(line_of(event).find("warning resize#3 batch finished total=9 succeeded=6 failed=1 ") == 0);
}

TEST_CASE("an event is one line of text, whatever its task, its error or its manager is called") {
  const std::string evil = "a\nb\r\x1b[31m\"\\\xff\xE2\x80\xA8" + std::string(1, '\0');
  Event event = event_of(EventKind::task_failed);
  const TaskError error{TaskError::Kind::exception, std::make_exception_ptr(std::runtime_error(evil)), 1};
  event.subject = &evil;
  event.manager = evil;
  event.stage = "a\nstage";
  event.error = &error;
  const std::string escaped = R"("a\nb\r\x1b[31m\"\\\xff\u2028\x00")";
  const std::string what = R"("a\nb\r\x1b[31m\"\\\xff\u2028")";  // what() ends at a null
  CHECK(line_of(event) == "error " + escaped + "#3 \"a\\nstage\" failed task=18 text=" + escaped +
                              " attempt=2 worker=1 duration=0ns type=std::runtime_error error=" + what);
  event.stage = event.manager;  // a stage without a name of its own is said once
  CHECK(line_of(event).find("#3 failed") != std::string::npos);
}

TEST_CASE("what a task threw is named with its type") {
  CHECK(with_message(std::make_exception_ptr(std::invalid_argument("no"))) ==
        "type=std::invalid_argument error=\"no\"");
  CHECK(with_message(std::make_exception_ptr(42)) == "type=int error=\"42\"");
  CHECK(with_message(std::make_exception_ptr(static_cast<const char*>("bare"))) ==
        "type=\"char const*\" error=\"bare\"");
}

TEST_CASE("a task whose text cannot be made has none") {
  Event event = event_of(EventKind::task_started);
  event.writer = [](const void*, std::uint64_t) -> std::string { throw 42; };
  CHECK(line_of(event) == "debug resize#3 started task=18 attempt=2 worker=1");
}

TEST_CASE("the time of a line is the local time of its event") {
  const ScopedVariable zone{"TZ", "UTC-5:30"};  // POSIX: east of Greenwich
  ::tzset();
  Event event = event_of(EventKind::task_started);
  LogLine line;
  for (const auto ago : {0h, 24h, 24h * 200}) {
    const auto before = std::chrono::system_clock::now() - ago;
    event.time = std::chrono::steady_clock::now() - ago;
    const std::string text{line.of(event, Level::debug).substr(0, 23)};
    const auto after = std::chrono::system_clock::now() - ago;

    std::tm parts{};
    REQUIRE(::strptime(text.c_str(), "%Y-%m-%d %H:%M:%S", &parts) == text.c_str() + 19);
    CHECK(text[19] == '.');
    const auto utc = std::chrono::system_clock::from_time_t(::timegm(&parts)) - 5h - 30min +
                     std::chrono::milliseconds{std::stoi(text.substr(20))};
    CHECK(utc >= before - 2ms);  // two clocks are read, one after the other
    CHECK(utc <= after + 2ms);
    CHECK(line.time().tm_mday == parts.tm_mday);
  }
  event.time = {};  // not told: now
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm local{};
  ::localtime_r(&now, &local);
  CHECK(line.of(event, Level::debug).substr(0, 4) == std::to_string(local.tm_year + 1900));
}
