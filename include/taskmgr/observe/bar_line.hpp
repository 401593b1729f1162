// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A progress bar as text: one line, as wide as there is room, with the most important first to stay.

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "../core/event.hpp"
#include "terminal.hpp"
#include "text.hpp"

namespace taskmgr::detail {

/// How many tasks a second, lately.
///
/// An exponentially weighted average for samples at uneven times (Eckner, "Algorithms for Unevenly Spaced Time Series"),
/// taken as a ratio, so that it has no bias at the start:
///
///     rate = sum(w_i * tasks_i) / sum(w_i * time_i),   w_i = exp(-(time since sample i) / tau)
///
/// where `tau`, the memory, is the longest of 10 s, a quarter of the time run, and the time that four tasks take on
/// average: the rate neither jumps with each single task nor forgets what a long run has shown.
class RateMeter {
 public:
  /// After `elapsed`, so many tasks have run. A sample that is not later than the one before is ignored.
  void add(std::chrono::nanoseconds elapsed, std::size_t tasks) noexcept;
  [[nodiscard]] double per_second() const noexcept { return seconds_ > 0 ? tasks_ / seconds_ : 0; }

 private:
  double tasks_ = 0;
  double seconds_ = 0;
  std::chrono::nanoseconds last_time_{0};
  std::size_t last_tasks_ = 0;
};

/// What a bar shows.
struct BarState {
  std::string label{};  ///< on one line
  Progress progress{};
  double rate = 0;        ///< tasks a second
  bool finished = false;  ///< the run is over: no time left, no spinner
  std::size_t frame = 0;  ///< of the spinner
};

/// Tasks that are settled and not by cancelling: a cancelled run does not claim to be complete.
[[nodiscard]] constexpr std::size_t done_of(const Progress& progress) noexcept {
  return progress.succeeded + progress.failed + progress.duplicates;
}

/// Tasks that have run to their end here: what a rate counts.
[[nodiscard]] constexpr std::size_t run_of(const Progress& progress) noexcept {
  return progress.succeeded + progress.failed;
}

/// What of a bar is shown in at most `columns` columns, at least 4; its label takes `label_columns`, padded or cut, so that
/// bars below each other are in line.
///
///     resize  63% ━━━━━━━━━━━━╸───────  630/1000  0:12 <0:07  52.1/s  2 failed  5 retries
///
/// What does not fit is left out, in this order: retries, cancelled, rate, elapsed time, done/total, time left, the bar
/// itself, failures, label. The percentage stays.
class BarLine {
 public:
  BarLine(const BarState& state, std::size_t columns, std::size_t label_columns, Looks looks);

  /// Those of the drawn part, which takes what is left by the others; 0: it is left out.
  [[nodiscard]] std::size_t bar_columns() const noexcept { return parts_[bar].columns; }

  /// The drawn part at most so long.
  [[nodiscard]] std::string text(std::size_t most_bar_columns = 1000) const;

 private:
  enum Place { label, percent, spin, bar, count, elapsed, left, rate, failed, cancelled, retries, places };
  struct Part {
    std::string text{};
    std::string_view shade{};
    std::size_t gap = 2;      // before it
    std::size_t columns = 0;  // 0: not shown
  };
  void append_bar(std::string& out, std::size_t columns) const;

  std::array<Part, places> parts_{};
  Looks looks_;
  bool over_;  // the run is
  double done_;  // of 1
};

/// The same where nothing can be drawn: "resize: 63% 630/1000, 0:12, 0:07 left, 52.1/s, 2 failed, 5 retries".
[[nodiscard]] std::string plain_line(const BarState& state);

// ---------------------------------------------------------------------------------------------------------------------

inline void RateMeter::add(std::chrono::nanoseconds elapsed, std::size_t tasks) noexcept {
  const double now = std::chrono::duration<double>(elapsed).count();
  const double passed = std::chrono::duration<double>(elapsed - last_time_).count();
  if (passed <= 0) return;
  const auto more = static_cast<double>(tasks > last_tasks_ ? tasks - last_tasks_ : 0);
  const double for_four = tasks > 0 ? 4 * now / static_cast<double>(tasks) : now;
  const double memory = std::max({10.0, now / 4, for_four});
  const double kept = std::exp(-passed / memory);
  tasks_ = tasks_ * kept + more;
  seconds_ = seconds_ * kept + passed;
  last_time_ = elapsed;
  last_tasks_ = std::max(tasks, last_tasks_);
}

/// The parts of a bar as texts; empty where there is nothing to say.
struct BarWords {
  explicit BarWords(const BarState& state);

  std::string percent{};
  std::string count{};
  std::string elapsed{};
  std::string left{};
  std::string rate{};
  std::string failed{};
  std::string cancelled{};
  std::string retries{};
};

inline BarWords::BarWords(const BarState& state) {
  const Progress& progress = state.progress;
  const std::size_t done = done_of(progress);
  const bool known = progress.total > 0;
  const auto number = [](std::size_t value, std::string_view unit) {
    std::string out;
    append_number(out, value);
    out += unit;
    return out;
  };
  if (known) {
    percent = number(done >= progress.total ? 100 : static_cast<std::size_t>(static_cast<double>(done) * 100 /
                                                                              static_cast<double>(progress.total)),
                     "%");
    const std::string total = number(progress.total, "");
    count = number(done, "");
    count = std::string(total.size() - std::min(total.size(), count.size()), ' ') + count + '/' + total;
  } else {
    count = number(done, " done");
  }
  if (state.finished && progress.elapsed < std::chrono::minutes{1}) {
    append_duration(elapsed, progress.elapsed);
  } else {
    elapsed = clock_text(progress.elapsed);
  }
  if (known && !state.finished) {
    const std::size_t settled = progress.finished();
    const auto remaining = static_cast<double>(progress.total > settled ? progress.total - settled : 0);
    double seconds = 0;
    if (remaining > 0) {  // rounded up: not "0:00" as long as something is left
      seconds = state.rate > 0 ? std::max(1.0, std::ceil(remaining / state.rate - 0.01)) : 1e9;
    }
    constexpr double longest = 100.0 * 86400;  // beyond, it is no estimate
    left = seconds < longest ? clock_text(std::chrono::nanoseconds{static_cast<std::int64_t>(seconds * 1e9)}) : "-:--";
  }
  rate = rate_text(state.rate);
  if (progress.failed > 0) failed = number(progress.failed, " failed");
  if (progress.cancelled > 0) cancelled = number(progress.cancelled, " cancelled");
  if (progress.retries > 0) retries = number(progress.retries, progress.retries == 1 ? " retry" : " retries");
}

/// SGR sequences.
namespace color {
inline constexpr std::string_view red = "\x1b[31m";
inline constexpr std::string_view green = "\x1b[32m";
inline constexpr std::string_view yellow = "\x1b[33m";
inline constexpr std::string_view cyan = "\x1b[36m";
inline constexpr std::string_view gray = "\x1b[90m";
inline constexpr std::string_view none = "\x1b[0m";
}  // namespace color

inline void append_colored(std::string& out, std::string_view text, std::string_view shade, Looks looks) {
  const bool colored = looks.color && !shade.empty() && !text.empty();
  if (colored) out += shade;
  out += text;
  if (colored) out += color::none;
}

[[nodiscard]] inline std::string_view spinner(std::size_t frame, Looks looks) noexcept {
  static constexpr std::array<std::string_view, 10> dots{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
  static constexpr std::array<std::string_view, 4> lines{"|", "/", "-", "\\"};
  return looks.blocks ? dots[frame % dots.size()] : lines[frame % lines.size()];
}

inline BarLine::BarLine(const BarState& state, std::size_t columns, std::size_t label_columns, Looks looks)
    : looks_(looks), over_(state.finished), done_(0) {
  constexpr std::size_t least_label = 4;
  constexpr std::size_t least_bar = 6;
  constexpr std::size_t most_bar = 40;
  const Progress& progress = state.progress;
  const bool known = progress.total > 0;
  if (known) done_ = std::min(1.0, static_cast<double>(done_of(progress)) / static_cast<double>(progress.total));

  BarWords words{state};
  const auto pad_left = [](std::string& text, std::size_t width) {
    if (!text.empty() && text.size() < width) text.insert(0, width - text.size(), ' ');
  };
  pad_left(words.percent, 4);  // so that what follows keeps its place while numbers grow
  pad_left(words.elapsed, 4);
  pad_left(words.rate, 6);
  if (!words.left.empty()) {
    words.left.insert(0, 1, '<');
    if (words.left.size() < words.elapsed.size() + 1) words.left.resize(words.elapsed.size() + 1, ' ');
  }
  parts_[label] = {state.label, {}, 1};
  parts_[percent] = {std::move(words.percent), {}, 1};
  if (!known && !over_) parts_[spin] = {std::string{spinner(state.frame, looks)}, color::cyan, 1};
  parts_[bar] = {{}, !over_                                  ? color::cyan
                     : progress.failed + progress.cancelled > 0 ? color::yellow
                                                                : color::green, 1};
  parts_[count] = {std::move(words.count), {}, known ? std::size_t{2} : std::size_t{1}};
  parts_[elapsed] = {std::move(words.elapsed)};
  parts_[left] = {std::move(words.left), {}, 1};
  parts_[rate] = {std::move(words.rate)};
  parts_[failed] = {std::move(words.failed), color::red};
  parts_[cancelled] = {std::move(words.cancelled), color::yellow};
  parts_[retries] = {std::move(words.retries), color::yellow};

  // The most important first: each that still fits is shown.
  std::size_t free = columns + 1;  // the first has no gap before it
  for (const Place place : {percent, spin, label, failed, bar, left, count, elapsed, rate, cancelled, retries}) {
    Part& part = parts_[place];
    std::size_t needs = columns_of(part.text);
    if (place == label) {
      needs = std::min(label_columns, free > part.gap ? free - part.gap : 0);
      if (needs < std::min(label_columns, least_label)) needs = 0;
    } else if (place == bar) {
      needs = known ? least_bar : 0;
    }
    if (needs == 0 || needs + part.gap > free) continue;
    part.columns = needs;
    free -= needs + part.gap;
  }
  if (parts_[bar].columns > 0) parts_[bar].columns += std::min(free, most_bar - least_bar);
}

inline std::string BarLine::text(std::size_t most_bar_columns) const {
  std::string out;
  for (std::size_t place = 0; place < places; ++place) {
    const Part& part = parts_[place];
    if (part.columns == 0) continue;
    if (!out.empty()) out.append(part.gap, ' ');
    if (place == bar) {
      append_bar(out, std::min(part.columns, most_bar_columns));
    } else if (place == label) {
      const std::string shown = cut_to(part.text, part.columns, looks_.utf8);
      out += shown;
      out.append(part.columns - columns_of(shown), ' ');
    } else {
      append_colored(out, part.text, part.shade, looks_);
    }
  }
  return out.erase(out.find_last_not_of(' ') + 1);
}

inline void BarLine::append_bar(std::string& out, std::size_t columns) const {
  const std::size_t cells = looks_.blocks ? columns : columns - 2;
  const auto halves = static_cast<std::size_t>(done_ * 2 * static_cast<double>(cells));
  std::string filled;
  std::string empty;
  std::size_t used = halves / 2;
  for (std::size_t i = 0; i < used; ++i) filled += looks_.blocks ? "━" : "=";
  if (used < cells && (looks_.blocks ? halves % 2 == 1 : done_ > 0)) {
    filled += looks_.blocks ? "╸" : ">";
    ++used;
  }
  for (; used < cells; ++used) empty += looks_.blocks ? "─" : " ";
  if (!looks_.blocks) out += '[';
  append_colored(out, filled, parts_[bar].shade, looks_);
  append_colored(out, empty, looks_.blocks ? color::gray : std::string_view{}, looks_);
  if (!looks_.blocks) out += ']';
}

inline std::string plain_line(const BarState& state) {
  const BarWords words{state};
  std::string out = state.label;
  out += ": ";
  if (!words.percent.empty()) {
    out += words.percent;
    out += ' ';
  }
  out += words.count.substr(words.count.find_first_not_of(' '));
  out += state.finished ? " in " : ", ";
  out += words.elapsed;
  if (!words.left.empty()) {
    out += ", ";
    out += words.left;
    out += " left";
  }
  for (const std::string* word : {&words.rate, &words.failed, &words.cancelled, &words.retries}) {
    if (word->empty()) continue;
    out += ", ";
    out += *word;
  }
  return out;
}

}  // namespace taskmgr::detail
