// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Shows how far a run is.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include "../core/event.hpp"
#include "../core/list.hpp"
#include "bar_line.hpp"
#include "screen.hpp"
#include "terminal.hpp"
#include "text.hpp"

namespace taskmgr {

struct ProgressBarOptions {
  /// Where to show it. It must stay open for as long as the bar lives.
  int fd = STDERR_FILENO;
  /// What to call the run; empty: the manager's name.
  std::string label{};
  /// Before the first drawing, and at least between two. Nothing happens more often than an observer's ticks, ten a
  /// second.
  std::chrono::nanoseconds min_interval = std::chrono::milliseconds{100};
  /// Where nothing can be drawn: a line after so long, the next after half as long again, and so on up to 5 minutes;
  /// one also for each tenth that is done, if a fifth of this time has passed since the last.
  std::chrono::nanoseconds line_interval = std::chrono::seconds{10};
};

/// A bar at the bottom of the terminal, on standard error: what `Options::show_progress` attaches.
///
///     resize  63% ━━━━━━━━━━━━╸───────  630/1000  0:12 <0:07  52.1/s  2 failed  5 retries
///
/// The label, how much is done, done/total, the time run and the time left, tasks a second lately, failures and
/// retries. Of a run whose total is not known: a spinner, how many are done, no percentage and no time left. Cancelled
/// tasks are not done. The rate is `detail::RateMeter`'s average, weighted towards the last seconds; the time left is
/// what is not settled, divided by it. When a run has ended, its last state stays as a line, with the average over all
/// of it; also that of a run that was too short for a bar.
///
/// * Drawn at most ten times a second, on ticks, by no worker; not in the first 100 ms; one `write` each.
/// * As wide as the terminal allows, which it asks each time; what is least important goes first.
/// * Several bars stand below each other, those that have ended above them. One bar may watch several managers, and
///   several runs of one at once: each run has its own line.
/// * Where standard error is no terminal, or `TERM` is `dumb` or not set: a plain line now and then, and no escape
///   codes. No colours if `NO_COLOR` is set. ASCII where the locale is not UTF-8, a bar of ASCII on Linux' own console.
/// * Never hides the cursor and changes no mode of the terminal: however a program ends, there is nothing to restore.
///   At its exit the cursor goes below the bars; where a signal ends it, they stay where they are, and the shell writes
///   over them. A program in the background of its terminal draws no bar.
/// * Never throws and never gives an error: a terminal that has gone away gets no more bars.
///
/// What else the program writes to the same terminal while bars are shown: by `print_above`, which keeps everything in
/// order. A line that is written there by other means replaces the first bar's, what it leaves of that stays behind it,
/// and the bars continue below.
///
/// Thread safety: calls come one at a time, as an observer's do; `print_above` may be called from any thread.
class ProgressBar : public Observer {
 public:
  explicit ProgressBar(ProgressBarOptions options = {}) : options_(std::move(options)) {}
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  /// Runs that have not ended keep the state that was shown last as a line.
  // `inline` already here: else every file that includes this header compiles the whole bar, used or not
  [[gnu::cold]] inline ~ProgressBar() override;

  /// Writes whole lines to `fd`, above the bars if `fd` leads to the terminal where they are; a last line end is added
  /// where it is missing. Where there are no bars, the same in one `write`. The text is written as it is, colours and
  /// all. What `stdout` or `std::cout` have not flushed yet comes later.
  ///
  ///     ProgressBar::print_above(fmt::format("{} is empty", path));
  ///
  /// Returns whether all of it was written. Throws `std::bad_alloc`. Thread safety: any number of threads may call.
  static bool print_above(std::string_view lines, int fd = STDOUT_FILENO) {
    return detail::Screen::instance().print_above(fd, lines);
  }

  /// The start and the end of runs, nothing of a single task.
  [[nodiscard]] bool wants(EventKind kind) const override {
    return kind == EventKind::batch_started || kind == EventKind::batch_finished;
  }
  [[gnu::cold]] inline void on_event(const Event& event) override;
  [[gnu::cold]] inline void on_tick(const Progress& progress) override;

 private:
  struct Run {
    std::uint64_t batch = 0;
    std::chrono::steady_clock::time_point began{};
    std::string label{};
    detail::Screen::Bar bar = 0;  // 0: plain lines
    detail::RateMeter meter{};
    Progress progress{};
    std::size_t frame = 0;  // how often it was shown
    std::int64_t slot = 0;  // of `min_interval`, in which it was drawn last
    double line_wait = 0;   // s, as are the next two
    double next_line = 0;
    double last_line = 0;
    std::size_t tenths = 0;  // at the last line
  };

  [[gnu::cold]] void start(const Event& event);
  void finish(const Run& run);
  [[nodiscard, gnu::cold]] Run* find(const Progress& progress);
  [[nodiscard, gnu::cold]] static detail::BarState state_of(const Run& run, bool finished);
  [[gnu::cold]] void write_line(const Run& run, bool finished) const;
  [[nodiscard]] bool line_is_due(Run& run) const;

  const ProgressBarOptions options_;
  detail::List<Run> runs_;
};

// ---------------------------------------------------------------------------------------------------------------------

inline ProgressBar::~ProgressBar() {
  try {
    for (const Run& run : runs_) {
      if (run.bar == 0) continue;
      const detail::BarState last = state_of(run, true);
      detail::Screen::instance().close(run.bar, run.frame > 0 ? &last : nullptr);
    }
  } catch (const std::exception&) {  // no memory: the lines stay as they are
  }
}

inline void ProgressBar::on_event(const Event& event) {
  try {
    if (event.kind == EventKind::batch_started) {
      start(event);
    } else if (event.kind == EventKind::batch_finished) {
      Run* run = runs_.begin();
      while (run != runs_.end() && run->batch != event.batch) ++run;
      if (run == runs_.end()) {  // its beginning was not told
        start(event);
        run = &runs_.back();
      }
      run->progress = event.progress;
      const Run ended = std::move(*run);
      runs_.erase(run);
      finish(ended);
    }
  } catch (const std::exception&) {  // no memory: no bar
  }
}

inline void ProgressBar::start(const Event& event) {
  const detail::Looks looks = detail::looks_of(options_.fd);
  Run run;
  run.batch = event.batch;
  run.began = event.time - event.progress.elapsed;
  run.label = detail::on_one_line(options_.label.empty() ? event.manager : options_.label, looks.utf8);
  run.progress.total = event.progress.total;
  run.line_wait = run.next_line = detail::seconds_of(options_.line_interval);
  runs_.reserve(runs_.size() + 1);
  if (looks.live) run.bar = detail::Screen::instance().open(options_.fd, looks);
  runs_.push_back(std::move(run));
}

inline void ProgressBar::finish(const Run& run) {
  if (run.bar == 0) {
    write_line(run, true);
  } else {
    const detail::BarState last = state_of(run, true);
    detail::Screen::instance().close(run.bar, &last);
  }
}

/// The run that a tick speaks of. Of several at once it is the one that began when this one did, by the clock, among
/// those whose counts may have grown to these.
inline ProgressBar::Run* ProgressBar::find(const Progress& progress) {
  if (runs_.size() < 2) return runs_.empty() ? nullptr : runs_.begin();
  const auto began = std::chrono::steady_clock::now() - progress.elapsed;
  Run* best = nullptr;
  double least = 0;
  for (Run& run : runs_) {
    const Progress& before = run.progress;
    if ((before.total != 0 && progress.total != before.total) || progress.elapsed < before.elapsed ||
        progress.started < before.started || progress.succeeded < before.succeeded || progress.failed < before.failed) {
      continue;
    }
    const double apart = std::abs(detail::seconds_of(run.began - began));
    if (best == nullptr || apart < least) {
      best = &run;
      least = apart;
    }
  }
  return best;
}

inline void ProgressBar::on_tick(const Progress& progress) {
  try {
    Run* run = find(progress);
    if (run == nullptr) return;
    run->meter.add(progress.elapsed, detail::run_of(progress));
    run->progress = progress;
    if (run->bar == 0) {
      if (!line_is_due(*run)) return;
      ++run->frame;
      write_line(*run, false);
      return;
    }
    // One drawing for each interval since the start: a tick that comes a little early does not lose its turn.
    const std::int64_t interval = options_.min_interval.count();
    const std::int64_t slot = progress.elapsed.count() / (interval > 0 ? interval : 1);
    if (slot <= run->slot) return;
    run->slot = slot;
    ++run->frame;
    detail::Screen::instance().update(run->bar, state_of(*run, false));
  } catch (const std::exception&) {  // no memory: the next tick may have some
  }
}

inline detail::BarState ProgressBar::state_of(const Run& run, bool finished) {
  double rate = run.meter.per_second();
  if (finished) {
    const double seconds = detail::seconds_of(run.progress.elapsed);
    rate = seconds > 0 ? static_cast<double>(detail::run_of(run.progress)) / seconds : 0;
  }
  return {run.label, run.progress, rate, finished, run.frame};
}

inline void ProgressBar::write_line(const Run& run, bool finished) const {
  std::string line = detail::plain_line(state_of(run, finished));
  line += '\n';
  detail::write_all(options_.fd, line, 1000);
}

inline bool ProgressBar::line_is_due(Run& run) const {
  constexpr double longest = 5 * 60;
  const Progress& progress = run.progress;
  const double elapsed = detail::seconds_of(progress.elapsed);
  const double interval = detail::seconds_of(options_.line_interval);
  const std::size_t tenth = progress.total < 10 ? 1 : progress.total / 10;
  const std::size_t tenths = progress.total == 0 ? 0 : detail::done_of(progress) / tenth;
  const bool by_time = elapsed >= run.next_line;
  const bool by_tenth = tenths > run.tenths && elapsed >= run.last_line + interval / 5;
  if (!by_time && !by_tenth) return false;
  run.tenths = tenths;
  run.last_line = elapsed;
  run.line_wait = std::max(interval, std::min(run.line_wait * 1.5, longest));
  run.next_line = elapsed + run.line_wait;
  return true;
}

}  // namespace taskmgr
