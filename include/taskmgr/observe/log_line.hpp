// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// An event as a line of a log.

#include <chrono>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>

#include "../core/error.hpp"
#include "../core/event.hpp"
#include "../core/names.hpp"
#include "text.hpp"

namespace taskmgr::detail {

/// The level of an event's line; of a kind, the least that its lines may have.
[[nodiscard]] Level level_of(const Event& event) noexcept;
[[nodiscard]] Level level_of(EventKind kind) noexcept;

/// "2026-03-14" of a `std::tm`
template <class Time>
[[nodiscard]] std::string date_text(const Time& time);

/// Makes lines as `Log` describes them.
///
/// A template for one type, `Event`: so only programs that use it compile it, and not all that include it.
template <class E = Event>
class LogLine {
 public:
  /// Valid until the next call. A task whose text cannot be made has none. Throws `std::bad_alloc`.
  [[nodiscard]] std::string_view of(const E& event, Level level);

  /// The local time of the last line.
  [[nodiscard]] const std::tm& time() const noexcept { return time_; }

 private:
  void begin(const E& event, Level level);

  std::string line_{};
  std::time_t second_ = -1;  // of `clock_`, which is the same for many lines
  std::tm time_{};
  std::string clock_{};  // "2026-03-14 09:26:53"
};

// ---------------------------------------------------------------------------------------------------------------------

inline Level level_of(EventKind kind) noexcept {
  switch (kind) {
    case EventKind::task_started:
    case EventKind::task_progress:
    case EventKind::task_duplicate:
    case EventKind::task_log: return Level::debug;
    case EventKind::task_retrying:
    case EventKind::task_cancelled: return Level::warning;
    case EventKind::task_failed: return Level::error;
    case EventKind::batch_started:
    case EventKind::task_succeeded:
    case EventKind::batch_finished: return Level::info;
  }
  return Level::error;
}

inline Level level_of(const Event& event) noexcept {
  if (event.kind == EventKind::task_log) return event.level;
  const bool went_wrong = event.progress.failed + event.progress.cancelled > 0;
  if (event.kind == EventKind::batch_finished && went_wrong) return Level::warning;
  return level_of(event.kind);
}

[[nodiscard]] inline std::string_view words_for(EventKind kind) noexcept {
  switch (kind) {
    case EventKind::batch_started: return "batch started";
    case EventKind::task_started: return "started";
    case EventKind::task_retrying: return "retrying";
    case EventKind::task_succeeded: return "succeeded";
    case EventKind::task_failed: return "failed";
    case EventKind::task_cancelled: return "cancelled";
    case EventKind::task_duplicate: return "duplicate";
    case EventKind::task_progress: return "progress";
    case EventKind::task_log: return "says";
    case EventKind::batch_finished: return "batch finished";
  }
  return "unknown";
}

inline void append_pair(std::string& out, std::string_view key, std::uint64_t value) {
  out += key;
  append_number(out, value);
}

/// A number as it was given: "3", "0.25".
inline void append_plain(std::string& out, double value) {
  std::string digits;
  append_fixed(digits, value, 3);
  if (digits.find('.') != std::string::npos) {
    digits.erase(digits.find_last_not_of('0') + 1);
    if (digits.back() == '.') digits.pop_back();
  }
  out += digits;
}

/// What happened, and its values.
template <class E>
void append_event(std::string& out, const E& event) {
  out += words_for(event.kind);
  const Progress& progress = event.progress;
  if (event.kind == EventKind::batch_started) {
    if (progress.total > 0) append_pair(out, " total=", progress.total);
    return;
  }
  if (event.kind == EventKind::batch_finished) {
    append_pair(out, " total=", progress.total);
    append_pair(out, " succeeded=", progress.succeeded);
    append_pair(out, " failed=", progress.failed);
    append_pair(out, " cancelled=", progress.cancelled);
    append_pair(out, " duplicates=", progress.duplicates);
    append_pair(out, " retries=", progress.retries);
    out += " duration=";
    append_duration(out, event.duration);
    return;
  }
  append_pair(out, " task=", event.task);
  try {
    const std::string text = event.task_text();
    out += " text=";
    append_quoted(out, text);
  } catch (...) {  // by the user's own formatter: the line has the number, and no text
  }
  if (event.attempt > 0) {
    append_pair(out, " attempt=", static_cast<std::uint64_t>(event.attempt));
    append_pair(out, " worker=", event.worker);
  }
  switch (event.kind) {
    case EventKind::task_succeeded:
    case EventKind::task_failed:
    case EventKind::task_retrying:
      out += " duration=";
      append_duration(out, event.duration);
      break;
    case EventKind::task_progress:
      out += " done=";
      append_plain(out, event.done);
      out += " of=";
      append_plain(out, event.of);
      break;
    case EventKind::task_log:
      out += " message=";
      append_quoted(out, event.message);
      break;
    default: break;
  }
  if (event.kind == EventKind::task_retrying) {
    out += " delay=";
    append_duration(out, event.delay);
  }
  if (event.error != nullptr) {
    out += " type=";
    append_word(out, event.error->type());
    out += " error=";
    append_quoted(out, event.error->message());
  }
}

template <class Time>
std::string date_text(const Time& time) {
  std::string out;
  append_number(out, static_cast<std::uint64_t>(time.tm_year + 1900));
  for (const int part : {time.tm_mon + 1, time.tm_mday}) {
    out += part < 10 ? "-0" : "-";
    append_number(out, static_cast<std::uint64_t>(part));
  }
  return out;
}

/// Time, level, name and number of the run.
template <class E>
void LogLine<E>::begin(const E& event, Level level) {
  using std::chrono::system_clock;
  system_clock::time_point time = system_clock::now();
  if (event.time != std::chrono::steady_clock::time_point{}) {  // it may reach us some time after it happened
    time += std::chrono::duration_cast<system_clock::duration>(event.time - std::chrono::steady_clock::now());
  }
  const auto since_epoch = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch());
  const auto whole = std::chrono::floor<std::chrono::seconds>(since_epoch);
  if (second_ != static_cast<std::time_t>(whole.count())) {
    second_ = static_cast<std::time_t>(whole.count());
    ::localtime_r(&second_, &time_);
    clock_ = date_text(time_);
    char before = ' ';
    for (const int part : {time_.tm_hour, time_.tm_min, time_.tm_sec}) {
      clock_ += before;
      if (part < 10) clock_ += '0';
      append_number(clock_, static_cast<std::uint64_t>(part));
      before = ':';
    }
  }
  line_ = clock_;
  const auto milliseconds = static_cast<std::uint64_t>((since_epoch - whole).count());
  line_ += milliseconds < 10 ? ".00" : milliseconds < 100 ? ".0" : ".";
  append_number(line_, milliseconds);
  line_ += ' ';
  line_ += name_of(level);
  line_ += ' ';
  append_word(line_, event.manager);
  line_ += '#';
  append_number(line_, event.batch);
  if (!event.stage.empty() && event.stage != event.manager) {
    line_ += ' ';
    append_word(line_, event.stage);
  }
  line_ += ' ';
}

template <class E>
std::string_view LogLine<E>::of(const E& event, Level level) {
  begin(event, level);
  append_event(line_, event);
  return line_;
}

}  // namespace taskmgr::detail
