// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Writes a line for every event.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <taskmgr/core/error.hpp>
#include <taskmgr/core/event.hpp>
#include <taskmgr/observe/screen.hpp>
#include <taskmgr/observe/terminal.hpp>
#include <taskmgr/observe/text.hpp>

namespace taskmgr {

/// A log of all runs that it observes: a line for every event, to a file or to a sink of the user's own.
///
///     manager.observe(std::make_shared<Log>());                                     // logs/taskmgr-2026-03-14.log
///     manager.observe(std::make_shared<Log>("out/run.log", Level::info));
///     manager.observe(std::make_shared<Log>([](Level level, std::string_view line) { … }));
///
/// A line:
///
///     2026-03-14 09:26:53.589 warning resize#3 retrying task=18 text="img/18.png" attempt=1 worker=1 duration=5.01ms
///         delay=100ms type=std::runtime_error error="no such file"           (all on one line)
///
/// The local time of the event, its level, the manager's name and the number of the run, what happened, then `key=value` as
/// in logfmt. Values stand in quotes where they are not one plain word; texts always do. In quotes there are no line ends and
/// no control characters: `\n`, `\t`, `\"`, `\\`, `\x1b`, `\u2028` stand for them; so an event is one line whatever a
/// task or an error is called. Units of durations: ns, us, ms, s.
///
/// | level | what happened | its values |
/// | --- | --- | --- |
/// | debug | `started`, `progress`, `duplicate` | task, text, attempt, worker; `progress`: done, of |
/// | info | `batch started` | total, if known |
/// | info | `succeeded` | task, text, attempt, worker, duration |
/// | info; warning if a task failed or was cancelled | `batch finished` | total, the counts, duration |
/// | warning | `retrying` | task, text, attempt, worker, duration, delay, type, error |
/// | warning | `cancelled` | task, text, attempt |
/// | error | `failed` | task, text, attempt, worker, duration, type, error |
/// | the task's own | `says` | task, text, attempt, worker, message |
///
/// `from` is the least level that is written; what is below costs nothing. By default it is `Level::debug`: everything.
///
/// **To a file.** It is opened at construction, with the folders above it, and appended to; several processes may write to one
/// file, their lines do not mix. `Log{}` writes to `logs/taskmgr-YYYY-MM-DD.log` below the working directory of that moment,
/// by the local date, and goes on in a new file on a new day. Lines are in the file when a run has ended, at once from
/// `Level::warning` on, and else within a tenth of a second. Where a file cannot be opened, the constructor throws
/// `std::system_error` with its path. A write that fails later fails no task: the line is lost, `lost()` counts it, standard
/// error says so once, and the file too, when it takes lines again.
///
/// **To a sink**, `void(Level, std::string_view)`: the same line without an end, on the thread of the event, one call at a
/// time. What the sink throws is dropped, and counted in `lost()`; it is called again for the next line. A sink that
/// is empty is a `UsageError`.
///
/// Thread safety: calls come one at a time, as an observer's do; `lost` may be called from any thread.
class Log : public Observer {
 public:
  using Sink = std::function<void(Level, std::string_view)>;

  explicit Log(Level from = Level::debug);
  /// `path`: a `std::filesystem::path` or a string.
  explicit Log(std::string path, Level from = Level::debug);
  explicit Log(Sink sink, Level from = Level::debug);
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;
  /// Writes what is not written yet.
  ~Log() override;

  /// How many lines could not be written, or whose sink threw.
  [[nodiscard]] std::uint64_t lost() const noexcept { return lost_.load(std::memory_order_relaxed); }

  /// What `from` lets through, and always the end of a run: then lines are written.
  [[nodiscard]] bool wants(EventKind kind) const override;
  void on_event(const Event& event) override;
  /// Writes what is not written yet.
  void on_tick(const Progress&) override { flush(); }

 private:
  void open();
  void turn_to(const std::tm& day);
  void write(Level level, std::string_view line);
  void flush() noexcept;
  void lose(std::uint64_t lines, int error) noexcept;
  std::string& begin_line(const Event& event, Level level);

  const Level from_;
  const Sink sink_{};
  const bool daily_ = false;
  const pid_t process_ = ::getpid();
  std::string folder_{};  // of daily files
  std::string path_{};
  int file_ = -1;
  std::tm day_{};  // of the daily file
  std::string waiting_{};         // whole lines for the file
  std::uint64_t waiting_lines_ = 0;
  std::uint64_t untold_ = 0;  // lost lines that the file does not tell of yet
  std::atomic<std::uint64_t> lost_{0};
  std::string line_{};
  std::time_t second_ = -1;  // of `clock_`
  std::tm time_{};
  std::string clock_{};  // "2026-03-14 09:26:53"
};

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

/// The level of a line; of `task_log` and `batch_finished` the least that it may have.
[[nodiscard]] inline Level level_of(EventKind kind) noexcept {
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

[[nodiscard]] inline Level level_of(const Event& event) noexcept {
  if (event.kind == EventKind::task_log) return event.level;
  if (event.kind == EventKind::batch_finished && event.progress.failed + event.progress.cancelled > 0) return Level::warning;
  return level_of(event.kind);
}

[[nodiscard]] inline std::string_view name_of(Level level) noexcept {
  switch (level) {
    case Level::debug: return "debug";
    case Level::info: return "info";
    case Level::warning: return "warning";
    case Level::error: return "error";
  }
  return "unknown";
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
inline void append_event(std::string& out, const Event& event) {
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
  out += " text=";
  append_quoted(out, event.task_text());
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

/// Makes the folders above a file. That which cannot be made is noticed when the file is opened.
inline void make_folders_above(const std::string& path) {
  for (std::size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) {
    ::mkdir(path.substr(0, end).c_str(), 0777);
  }
}

[[nodiscard]] inline std::string working_directory() {
  std::string path(256, '\0');
  while (::getcwd(path.data(), path.size()) == nullptr) {
    if (errno != ERANGE) throw std::system_error(errno, std::generic_category(), "taskmgr: the working directory");
    path.resize(path.size() * 2);
  }
  path.resize(path.find('\0'));
  return path;
}

/// "2026-03-14"
[[nodiscard]] inline std::string date_text(const std::tm& time) {
  std::string out;
  append_number(out, static_cast<std::uint64_t>(time.tm_year + 1900));
  for (const int part : {time.tm_mon + 1, time.tm_mday}) {
    out += part < 10 ? "-0" : "-";
    append_number(out, static_cast<std::uint64_t>(part));
  }
  return out;
}

}  // namespace detail

inline Log::Log(Level from) : from_(from), daily_(true), folder_(detail::working_directory() + "/logs/") {
  std::tm day{};
  const std::time_t now = std::time(nullptr);
  ::localtime_r(&now, &day);
  turn_to(day);
}

inline Log::Log(std::string path, Level from) : from_(from), path_(std::move(path)) { open(); }

inline Log::Log(Sink sink, Level from) : from_(from), sink_(std::move(sink)) {
  if (!sink_) throw UsageError("taskmgr: a Log needs a sink that can be called; this one is empty");
}

inline Log::~Log() {
  // In a forked child what waits is the parent's to write.
  if (process_ == ::getpid()) flush();
  if (file_ >= 0) ::close(file_);
}

inline void Log::open() {
  detail::make_folders_above(path_);
  const int file = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0666);
  if (file < 0) throw std::system_error(errno, std::generic_category(), "taskmgr: cannot open the log file " + path_);
  if (file_ >= 0) ::close(file_);
  file_ = file;
}

/// Goes on in the file of that day.
inline void Log::turn_to(const std::tm& day) {
  flush();
  day_ = day;
  path_ = folder_ + "taskmgr-" + detail::date_text(day) + ".log";
  open();
}

inline bool Log::wants(EventKind kind) const {
  return kind == EventKind::task_log || kind == EventKind::batch_finished || detail::level_of(kind) >= from_;
}

inline void Log::on_event(const Event& event) {
  const Level level = detail::level_of(event);
  try {
    if (level >= from_) {
      std::string& line = begin_line(event, level);
      detail::append_event(line, event);
      write(level, line);
    }
  } catch (const std::exception&) {  // no memory, or a task whose text cannot be made
    lose(1, ENOMEM);
  }
  if (event.kind == EventKind::batch_finished || level >= Level::warning) flush();
}

/// Time, level, name and number of the run.
inline std::string& Log::begin_line(const Event& event, Level level) {
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
    clock_ = detail::date_text(time_);
    char before = ' ';
    for (const int part : {time_.tm_hour, time_.tm_min, time_.tm_sec}) {
      clock_ += before;
      if (part < 10) clock_ += '0';
      detail::append_number(clock_, static_cast<std::uint64_t>(part));
      before = ':';
    }
  }
  line_ = clock_;
  const auto milliseconds = static_cast<std::uint64_t>((since_epoch - whole).count());
  line_ += milliseconds < 10 ? ".00" : milliseconds < 100 ? ".0" : ".";
  detail::append_number(line_, milliseconds);
  line_ += ' ';
  line_ += detail::name_of(level);
  line_ += ' ';
  detail::append_word(line_, event.manager);
  line_ += '#';
  detail::append_number(line_, event.batch);
  if (!event.stage.empty()) {
    line_ += ' ';
    detail::append_word(line_, event.stage);
  }
  line_ += ' ';
  return line_;
}

inline void Log::write(Level level, std::string_view line) {
  if (sink_) {
    try {
      sink_(level, line);
    } catch (...) {
      lost_.fetch_add(1, std::memory_order_relaxed);
    }
    return;
  }
  // An event that reaches us after midnight and happened before stays in the newer file: there is no way back.
  if (daily_ && std::pair(time_.tm_year, time_.tm_yday) > std::pair(day_.tm_year, day_.tm_yday)) {
    try {
      turn_to(time_);
    } catch (const std::system_error& error) {
      lose(1, error.code().value());
      if (file_ >= 0) ::close(file_);
      file_ = -1;
      day_ = time_;
    }
  }
  constexpr std::size_t enough = 64 * 1024;
  if (waiting_.size() + line.size() >= enough) flush();
  waiting_ += line;
  waiting_ += '\n';
  ++waiting_lines_;
}

}  // namespace taskmgr
