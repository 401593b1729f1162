// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Writes a line for every event.

#include <atomic>
#include <cstdint>
#include <ctime>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "../core/error.hpp"
#include "../core/event.hpp"
#include "../core/list.hpp"
#include "log_file.hpp"
#include "log_line.hpp"

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
/// The local time of the event, its level, the manager's name and the number of the run, what happened, then
/// `key=value` as in logfmt. Values stand in quotes where they are not one plain word; texts always do. In quotes there
/// are no line ends and no control characters: `\n`, `\t`, `\"`, `\\`, `\x1b`, `\u2028` stand for them; so an event is
/// one line whatever a task or an error is called. Units of durations: ns, us, ms, s.
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
/// **To a file.** It is opened at construction, with the folders above it, and appended to; several processes may write
/// to one file, their lines do not mix. `Log{}` writes to `logs/taskmgr-YYYY-MM-DD.log` below the working directory of
/// that moment, by the local date, and goes on in a new file on a new day. Lines are in the file when a run has ended,
/// at once from `Level::warning` on, and else within a tenth of a second. Where a file cannot be opened, the
/// constructor throws `std::system_error` with its path. A write that fails later fails no task: the line is lost,
/// `lost()` counts it, standard error says so once, and the file too, when it takes lines again.
///
/// **To a sink**, `void(Level, std::string_view)`: the same line without an end, on the thread of the event, one call
/// at a time. What the sink throws is dropped, and counted in `lost()`; it is called again for the next line. A sink
/// that is empty is a `UsageError`.
///
/// Thread safety: calls come one at a time, as an observer's do; `lost` may be called from any thread.
class Log : public Observer {
 public:
  using Sink = std::function<void(Level, std::string_view)>;

  explicit Log(Level from = Level::debug);
  /// `path`: a `std::filesystem::path` or a string.
  explicit Log(std::string path, Level from = Level::debug)
      : from_(from), file_(new detail::LogFile(std::move(path))) {}
  explicit Log(Sink sink, Level from = Level::debug);

  /// How many lines could not be written, or made the sink throw.
  [[nodiscard]] std::uint64_t lost() const noexcept {
    return lost_.load(std::memory_order_relaxed) + (file_ ? file_->lost() : 0);
  }

  /// What `from` lets through, and always the start and the end of a run.
  // `inline` already here: else every file that includes this header compiles the whole log, used or not
  [[nodiscard]] inline bool wants(EventKind kind) const override;
  inline void on_event(const Event& event) override;
  void on_tick(const Progress&) override {
    if (file_) file_->flush();
  }

 private:
  void write(const Event& event, Level level);

  const Level from_;
  const Sink sink_{};
  const detail::Owner<detail::LogFile> file_;  // null: there is a sink
  detail::LogLine line_{};
  std::atomic<std::uint64_t> lost_{0};  // by the sink
};

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

[[nodiscard]] inline Owner<LogFile> daily_log_file() {
  std::tm today{};
  const std::time_t now = std::time(nullptr);
  ::localtime_r(&now, &today);
  return Owner<LogFile>{new LogFile(working_directory() + "/logs", today)};
}

}  // namespace detail

inline Log::Log(Level from) : from_(from), file_(detail::daily_log_file()) {}

inline Log::Log(Sink sink, Level from) : from_(from), sink_(std::move(sink)) {
  if (!sink_) throw UsageError("taskmgr: a Log needs a sink that can be called; this one is empty");
}

inline bool Log::wants(EventKind kind) const {
  return kind == EventKind::batch_started || kind == EventKind::batch_finished || kind == EventKind::task_log ||
         detail::level_of(kind) >= from_;
}

inline void Log::on_event(const Event& event) {
  if (event.kind == EventKind::batch_started && file_) file_->notice_fork();
  const Level level = detail::level_of(event);
  if (level >= from_) write(event, level);
  if (file_ && (event.kind == EventKind::batch_finished || level >= Level::warning)) file_->flush();
}

inline void Log::write(const Event& event, Level level) {
  try {
    const std::string_view line = line_.of(event, level);
    if (file_) {
      file_->add(line, line_.time());
    } else {
      sink_(level, line);
    }
  } catch (...) {  // the sink, or no memory
    lost_.fetch_add(1, std::memory_order_relaxed);
  }
}

}  // namespace taskmgr
