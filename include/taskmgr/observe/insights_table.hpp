// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What `Insights` tells, and how it looks as text.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "../core/list.hpp"
#include "text.hpp"

namespace taskmgr {

/// What became of a worker's time; see `Insights` for what each means.
struct TimeSpent {
  std::chrono::nanoseconds running{0};
  std::chrono::nanoseconds waiting_for_work{0};
  std::chrono::nanoseconds waiting_to_retry{0};
  std::chrono::nanoseconds between_processes{0};
  std::size_t attempts = 0;  ///< that have ended

  /// All of it.
  [[nodiscard]] constexpr std::chrono::nanoseconds elapsed() const noexcept {
    return running + waiting_for_work + waiting_to_retry + between_processes;
  }
  constexpr TimeSpent& operator+=(const TimeSpent& other) noexcept {
    running += other.running;
    waiting_for_work += other.waiting_for_work;
    waiting_to_retry += other.waiting_to_retry;
    between_processes += other.between_processes;
    attempts += other.attempts;
    return *this;
  }
};

/// That of one worker.
struct WorkerTime : TimeSpent {
  std::string manager{};   ///< `Options::name`
  std::string stage{};     ///< of a tree; empty otherwise
  std::size_t worker = 0;  ///< its number, from 0
};

/// A task, by its longest attempt.
struct SlowTask {
  std::string manager{};
  std::string stage{};
  std::uint64_t batch = 0;  ///< the number of the run
  std::uint64_t task = 0;   ///< its index in the source
  std::string text{};       ///< as fmt writes it, or its number; empty if its formatter throws
  int attempt = 0;
  std::size_t worker = 0;
  std::chrono::nanoseconds duration{0};
};

namespace detail {

/// The workers of one name.
struct TimeGroup {
  std::string manager;
  std::string stage;
  List<TimeSpent> workers{};
};

/// A table of vectors of `WorkerTime` and `SlowTask`: for each name a line, then one for each of its first 16 workers; of
/// several names, which was at work most, of several stages, which held up the others; then the slowest tasks.
template <class Workers, class Tasks>
[[nodiscard]] std::string insights_text(const Workers& workers, const Tasks& slowest);

// ---------------------------------------------------------------------------------------------------------------------
// Templates, so that only programs that use it compile it, and not all that include it.

/// Rows of cells, the first on the left, the others on the right of their columns.
template <std::size_t columns>
class Table {
 public:
  struct Cells {
    std::string cell[columns];
  };
  void add(Cells row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] std::string text() const;

 private:
  List<Cells> rows_;
};

template <std::size_t columns>
std::string Table<columns>::text() const {
  std::size_t width[columns] = {};
  for (const Cells& row : rows_) {
    for (std::size_t k = 0; k < columns; ++k) width[k] = std::max(width[k], columns_of(row.cell[k]));
  }
  std::string out;
  for (const Cells& row : rows_) {
    for (std::size_t k = 0; k < columns; ++k) {
      const std::size_t blanks = width[k] - columns_of(row.cell[k]);
      if (k != 0) out.append(blanks + 2, ' ');
      out += row.cell[k];
      if (k == 0) out.append(blanks, ' ');
    }
    out += '\n';
  }
  return out;
}

/// The workers of one name, in all.
struct GroupTime : TimeSpent {
  std::string name{};
  bool stage = false;  // of a tree
  std::size_t workers = 0;

  [[nodiscard]] std::chrono::nanoseconds running_each() const noexcept {
    return workers == 0 ? running : running / static_cast<std::int64_t>(workers);
  }
};

[[nodiscard, gnu::cold]] inline std::string line_of(std::string_view manager, std::string_view stage) {
  return on_one_line(name_of(manager, stage), true);
}

[[gnu::cold]] inline void append_percent(std::string& out, std::chrono::nanoseconds part, std::chrono::nanoseconds all) {
  append_fixed(out, all.count() > 0 ? 100 * seconds_of(part) / seconds_of(all) : 0, 0);
  out += '%';
}

/// "12.3ms  45%"
[[nodiscard, gnu::cold]] inline std::string share_text(std::chrono::nanoseconds part, std::chrono::nanoseconds all) {
  std::string out;
  append_duration(out, part);
  std::string percent;
  append_percent(percent, part, all);
  out.append(percent.size() < 5 ? 5 - percent.size() : 1, ' ');
  return out + percent;
}

/// What the workers of a stage beside the bottleneck waited for.
[[gnu::cold]] inline void append_waits(std::string& out, std::string_view where, const GroupTime& stage,
                                       std::string_view work) {
  const std::chrono::nanoseconds waited = stage.elapsed() - stage.running;
  out += "  ";
  out += where;
  out += " it, ";
  out += stage.name;
  if (waited.count() <= 0) {
    out += " did not wait\n";
    return;
  }
  out += " waited ";
  append_percent(out, waited, stage.elapsed());
  out += ", most of it ";
  if (stage.between_processes > stage.waiting_for_work && stage.between_processes > stage.waiting_to_retry) {
    work = "between processes";
  } else if (stage.waiting_to_retry > stage.waiting_for_work) {
    work = "to retry";
  }
  out += work;
  out += '\n';
}

/// Which name had its workers run longest; of a tree's stages, also what those before and after it waited for.
template <class Groups>
void append_busiest(std::string& out, const Groups& groups) {
  std::size_t stages = 0;
  for (const GroupTime& group : groups) stages += group.stage ? 1 : 0;
  const bool tree = stages > 1;
  const GroupTime* busiest = nullptr;
  const GroupTime* before = nullptr;
  const GroupTime* after = nullptr;
  const GroupTime* last = nullptr;
  for (const GroupTime& group : groups) {
    if (tree && !group.stage) continue;
    if (busiest == nullptr || group.running_each() > busiest->running_each()) {
      busiest = &group;
      before = last;
      after = nullptr;
    } else if (after == nullptr) {
      after = &group;
    }
    last = &group;
  }
  if (last == busiest && before == nullptr) return;  // it is alone, or there is none
  out += tree ? "bottleneck: " : "busiest: ";
  out += busiest->name;
  out += ", running ";
  append_percent(out, busiest->running, busiest->elapsed());
  out += " of its workers' time, ";
  append_duration(out, busiest->running_each());
  out += " each\n";
  if (!tree) return;
  if (before != nullptr) append_waits(out, "before", *before, "for work or room");
  if (after != nullptr) append_waits(out, "after", *after, "for work");
}

template <class Cells>
[[nodiscard]] Cells cells_of(std::string name, const TimeSpent& spent) {
  std::string attempts;
  append_number(attempts, spent.attempts);
  const auto share = [&](std::chrono::nanoseconds part) { return share_text(part, spent.elapsed()); };
  return {{std::move(name), std::move(attempts), share(spent.running), share(spent.waiting_for_work),
           share(spent.waiting_to_retry), share(spent.between_processes)}};
}

template <class Tasks>
void append_slowest(std::string& out, const Tasks& slowest) {
  if (!slowest.empty()) out += "slowest\n";
  for (const SlowTask& slow : slowest) {
    std::string duration;
    append_duration(duration, slow.duration);
    out.append(duration.size() < 10 ? 10 - duration.size() : 0, ' ');
    out += duration + "  " + line_of(slow.manager, slow.stage) + " task ";
    append_number(out, slow.task);
    if (slow.attempt > 1) {
      out += ", attempt ";
      append_number(out, static_cast<std::uint64_t>(slow.attempt));
    }
    out += ": " + cut_to(on_one_line(slow.text, true), 60, true) + '\n';
  }
}

template <class Workers, class Tasks>
std::string insights_text(const Workers& workers, const Tasks& slowest) {
  constexpr std::size_t most = 16;
  using Times = Table<6>;
  using Cells = typename Times::Cells;
  Times table;
  table.add(Cells{{"", "attempts", "running", "waiting for work", "waiting to retry", "between processes"}});
  List<GroupTime> groups;
  for (std::size_t first = 0, end = 0; first < workers.size(); first = end) {
    GroupTime all;
    TimeSpent rest;  // of the workers that have no line
    for (end = first; end < workers.size(); ++end) {
      const WorkerTime& worker = workers[end];
      if (worker.manager != workers[first].manager || worker.stage != workers[first].stage) break;
      all += worker;
      if (worker.worker >= most) rest += worker;
    }
    all.name = line_of(workers[first].manager, workers[first].stage);
    all.stage = !workers[first].stage.empty();
    all.workers = end - first;
    table.add(cells_of<Cells>(all.name, all));
    for (std::size_t k = first; k < std::min(end, first + most); ++k) {
      std::string label = "  worker ";
      append_number(label, workers[k].worker);
      table.add(cells_of<Cells>(std::move(label), workers[k]));
    }
    if (end - first > most) {
      std::string label = "  others: ";
      append_number(label, end - first - most);
      table.add(cells_of<Cells>(std::move(label), rest));
    }
    groups.push_back(std::move(all));
  }
  std::string out = table.text();
  append_busiest(out, groups);
  append_slowest(out, slowest);
  return out;
}

}  // namespace detail

}  // namespace taskmgr
