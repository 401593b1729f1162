// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A progress bar as text: one line, as wide as there is room, with the most important first to stay.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "../core/event.hpp"
#include "terminal.hpp"
#include "text.hpp"

namespace taskmgr::detail {

/// How many tasks a second, lately.
///
/// An exponentially weighted average for samples at uneven times (Eckner, "Algorithms for Unevenly Spaced Time
/// Series"), taken as a ratio, so that it has no bias at the start:
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

/// The parts of a bar as texts, in their order; empty where there is nothing to say.
struct BarWords {
  enum Place { label, percent, spin, bar, count, elapsed, left, rate, failed, cancelled, retries, places };

  [[gnu::cold]] explicit BarWords(const BarState& state);
  [[nodiscard]] bool total_is_known() const noexcept { return !text[percent].empty(); }

  std::string text[places]{};  // but for the bar and the spinner, which are drawn
};

/// What of a bar is shown in at most `columns` columns, at least 4; its label takes `label_columns`, padded or cut, so
/// that bars below each other are in line.
///
///     resize  63% ━━━━━━━━━━━━╸───────  630/1000  0:12 <0:07  52.1/s  2 failed  5 retries
///
/// What does not fit is left out, in this order: retries, cancelled, rate, elapsed time, done/total, time left, the bar
/// itself, failures, label. The percentage stays.
class BarLine {
 public:
  [[gnu::cold]] BarLine(const BarState& state, std::size_t columns, std::size_t label_columns, Looks looks);

  /// Those of the drawn part, which takes what is left by the others; 0: it is left out.
  [[nodiscard]] std::size_t bar_columns() const noexcept { return columns_[BarWords::bar]; }

  /// The drawn part at most so long.
  [[nodiscard, gnu::cold]] std::string text(std::size_t most_bar_columns = 1000) const;

 private:
  [[nodiscard]] std::size_t gap_before(std::size_t place) const noexcept;
  [[gnu::cold]] void append_bar(std::string& out, std::size_t columns) const;

  BarWords words_;
  std::size_t columns_[BarWords::places]{};  // 0: not shown
  Looks looks_;
  std::string_view shade_;  // of the drawn part
  double done_ = 0;         // of 1
};

/// The same where nothing can be drawn: "resize: 63% 630/1000, 0:12, 0:07 left, 52.1/s, 2 failed, 5 retries".
[[nodiscard, gnu::cold]] std::string plain_line(const BarState& state);

// ---------------------------------------------------------------------------------------------------------------------

inline void RateMeter::add(std::chrono::nanoseconds elapsed, std::size_t tasks) noexcept {
  const double now = seconds_of(elapsed);
  const double passed = now - seconds_of(last_time_);
  if (passed <= 0) return;
  const auto more = static_cast<double>(tasks > last_tasks_ ? tasks - last_tasks_ : 0);
  const double for_four = tasks > 0 ? 4 * now / static_cast<double>(tasks) : now;
  const double memory = std::max(10.0, std::max(now / 4, for_four));
  const double kept = std::exp(-passed / memory);
  tasks_ = tasks_ * kept + more;
  seconds_ = seconds_ * kept + passed;
  last_time_ = elapsed;
  last_tasks_ = std::max(tasks, last_tasks_);
}

/// "3 failed"; nothing for none.
[[nodiscard, gnu::cold]] inline std::string count_text(std::size_t number, const char* unit) {
  std::string out;
  if (number == 0) return out;
  append_number(out, number);
  out += unit;
  return out;
}

inline BarWords::BarWords(const BarState& state) {
  const Progress& progress = state.progress;
  const std::size_t done = done_of(progress);
  text[label] = state.label;
  append_number(text[count], done);
  if (progress.total > 0) {
    const double share = static_cast<double>(done) / static_cast<double>(progress.total);
    append_number(text[percent], done >= progress.total ? 100 : static_cast<std::size_t>(share * 100));
    text[percent] += '%';
    std::string total;
    append_number(total, progress.total);
    if (text[count].size() < total.size()) text[count].insert(0, total.size() - text[count].size(), ' ');
    text[count] += '/';
    text[count] += total;
  } else {
    text[count] += " done";
  }
  constexpr double minute = 60;
  if (state.finished && seconds_of(progress.elapsed) < minute) {
    append_duration(text[elapsed], progress.elapsed);
  } else {
    text[elapsed] = clock_text(progress.elapsed);
  }
  if (progress.total > 0 && !state.finished) {
    const std::size_t settled = progress.finished();
    const auto remaining = static_cast<double>(progress.total > settled ? progress.total - settled : 0);
    double seconds = 0;
    if (remaining > 0) {  // rounded up: not "0:00" as long as something is left
      seconds = state.rate > 0 ? std::max(1.0, std::ceil(remaining / state.rate - 0.01)) : 1e9;
    }
    constexpr double longest = 100 * 24 * 60 * minute;  // beyond, it is no estimate
    text[left] =
        seconds < longest ? clock_text(std::chrono::nanoseconds{static_cast<std::int64_t>(seconds * 1e9)}) : "-:--";
  }
  text[rate] = rate_text(state.rate);
  text[failed] = count_text(progress.failed, " failed");
  text[cancelled] = count_text(progress.cancelled, " cancelled");
  text[retries] = count_text(progress.retries, progress.retries == 1 ? " retry" : " retries");
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

[[gnu::cold]] inline void append_colored(std::string& out, std::string_view text, std::string_view shade, Looks looks) {
  const bool colored = looks.color && !shade.empty() && !text.empty();
  if (colored) out += shade;
  out += text;
  if (colored) out += color::none;
}

[[nodiscard]] inline std::string_view spinner(std::size_t frame, Looks looks) noexcept {
  constexpr std::string_view dots[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};
  constexpr std::string_view lines[] = {"|", "/", "-", "\\"};
  return looks.blocks ? dots[frame % 10] : lines[frame % 4];
}

inline BarLine::BarLine(const BarState& state, std::size_t columns, std::size_t label_columns, Looks looks)
    : words_(state), looks_(looks) {
  using W = BarWords;
  constexpr std::size_t least_label = 4;
  constexpr std::size_t least_bar = 6;
  constexpr std::size_t most_bar = 40;
  std::string(&text)[W::places] = words_.text;
  const Progress& progress = state.progress;
  const bool known = words_.total_is_known();
  if (known) done_ = std::min(1.0, static_cast<double>(done_of(progress)) / static_cast<double>(progress.total));
  shade_ = !state.finished                              ? color::cyan
           : progress.failed + progress.cancelled > 0 ? color::yellow
                                                        : color::green;
  if (!known && !state.finished) text[W::spin] = spinner(state.frame, looks);

  // What follows keeps its place while numbers grow.
  const auto widen = [&](W::Place place, std::size_t width) {
    if (!text[place].empty() && text[place].size() < width) text[place].insert(0, width - text[place].size(), ' ');
  };
  widen(W::percent, 4);
  widen(W::elapsed, 4);
  widen(W::rate, 6);
  if (!text[W::left].empty()) {
    text[W::left].insert(0, 1, '<');
    if (text[W::left].size() <= text[W::elapsed].size()) text[W::left].resize(text[W::elapsed].size() + 1, ' ');
  }

  // The most important first: each that still fits is shown.
  constexpr W::Place order[] = {W::percent, W::spin,    W::label, W::failed,    W::bar,    W::left,
                                W::count,   W::elapsed, W::rate,  W::cancelled, W::retries};
  std::size_t free = columns + 1;  // the first has no gap before it
  for (const W::Place place : order) {
    const std::size_t gap = gap_before(place);
    std::size_t needs = columns_of(text[place]);
    if (place == W::label) {
      needs = std::min(label_columns, free > gap ? free - gap : 0);
      if (needs < std::min(label_columns, least_label)) needs = 0;
    } else if (place == W::bar) {
      needs = known ? least_bar : 0;
    }
    if (needs == 0 || needs + gap > free) continue;
    columns_[place] = needs;
    free -= needs + gap;
  }
  if (columns_[W::bar] > 0) columns_[W::bar] += std::min(free, most_bar - least_bar);
}

inline std::size_t BarLine::gap_before(std::size_t place) const noexcept {
  if (place <= BarWords::bar || place == BarWords::left) return 1;
  return place == BarWords::count && !words_.total_is_known() ? 1 : 2;
}

inline std::string BarLine::text(std::size_t most_bar_columns) const {
  std::string out;
  for (std::size_t place = 0; place < BarWords::places; ++place) {
    if (columns_[place] == 0) continue;
    if (!out.empty()) out.append(gap_before(place), ' ');
    switch (place) {
      case BarWords::label: {
        const std::string shown = cut_to(words_.text[place], columns_[place], looks_.utf8);
        out += shown;
        out.append(columns_[place] - columns_of(shown), ' ');
        break;
      }
      case BarWords::bar: append_bar(out, std::min(columns_[place], most_bar_columns)); break;
      case BarWords::spin: append_colored(out, words_.text[place], color::cyan, looks_); break;
      case BarWords::failed: append_colored(out, words_.text[place], color::red, looks_); break;
      case BarWords::cancelled:
      case BarWords::retries: append_colored(out, words_.text[place], color::yellow, looks_); break;
      default: out += words_.text[place];
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
  append_colored(out, filled, shade_, looks_);
  append_colored(out, empty, looks_.blocks ? color::gray : std::string_view{}, looks_);
  if (!looks_.blocks) out += ']';
}

inline std::string plain_line(const BarState& state) {
  using W = BarWords;
  BarWords words{state};
  std::string out = words.text[W::label];
  out += ": ";
  if (words.total_is_known()) {
    out += words.text[W::percent];
    out += ' ';
  }
  out += words.text[W::count].substr(words.text[W::count].find_first_not_of(' '));
  out += state.finished ? " in " : ", ";
  out += words.text[W::elapsed];
  if (!words.text[W::left].empty()) words.text[W::left] += " left";
  for (std::size_t place = W::left; place < W::places; ++place) {
    if (words.text[place].empty()) continue;
    out += ", ";
    out += words.text[place];
  }
  return out;
}

}  // namespace taskmgr::detail
