// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Writes a line for every event.

#include "../core/event.hpp"
#include "log_writer.hpp"

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
class Log : public detail::LogWriter<Event> {
 public:
  /// `void(Level, std::string_view)`
  using detail::LogWriter<Event>::Sink;

  /// `Log{from}`, `Log{path, from}` and `Log{sink, from}`; `from` is `Level::debug` unless it is given, `path` a
  /// `std::filesystem::path` or a string.
  using detail::LogWriter<Event>::LogWriter;

  /// How many lines could not be written, or made the sink throw.
  using detail::LogWriter<Event>::lost;
};

}  // namespace taskmgr
