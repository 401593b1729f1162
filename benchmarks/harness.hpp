// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Lets contenders do the same job in turn, and says in a table whether the ratios of their times keep the limits.

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "measure.hpp"

namespace bench {

enum class Role { ours, peer, plain };

struct Contender {
  Role role;
  std::string name;
  /// Does the job once and returns the seconds that count. Throws if an answer is wrong. Empty: a peer that is not here.
  std::function<double()> run;
  double part = 1;  ///< of the job that a run does; its time is scaled up to the whole
  std::vector<double> samples{};
};

/// What a row of the table says.
struct Row {
  std::string job;
  std::string ours;
  std::string peer{};
  std::string plain{};
  std::string measured{};
  std::string limit{};        ///< empty: a statement, not a demand
  double value = 0;           ///< the number behind `measured`
  std::optional<bool> ok{};   ///< where there is a limit
  bool absent = false;        ///< the peer is not here
};

/// A job, its contenders, and what is asked of their times. A time is a median, per task; of the peers, the fastest
/// counts.
struct Comparison {
  using Criterion = std::function<void(const Comparison&, Row&)>;

  std::string job;
  double tasks = 1;
  std::size_t rounds = 9;  ///< in each, every contender has its turn once
  std::vector<Contender> contenders{};
  std::vector<Criterion> criteria{};

  [[nodiscard]] const Contender* fastest(Role role) const;
  /// Null if it was not measured.
  [[nodiscard]] const Contender* named(std::string_view name) const;
  [[nodiscard]] double time(const Contender& contender) const { return median(contender.samples) / tasks; }
  [[nodiscard]] double time(Role role) const { return time(*fastest(role)); }
};

Comparison::Criterion at_most_times_peer(double limit);
Comparison::Criterion at_most_times_plain(double limit);
/// Of the time that `threads` times the plain loop's speed would take, ours makes use of so much.
Comparison::Criterion efficiency_at_least(double limit, double threads);
Comparison::Criterion efficiency_stated(double threads);
/// The peer's efficiency, less ours.
Comparison::Criterion efficiency_below_peer_at_most(double limit, double threads);
Comparison::Criterion seconds_over_plain_at_most(double limit);
Comparison::Criterion seconds_at_most(double limit);
/// Tasks a second, as a multiple of those of the peer of that name. If that is not here, there is no verdict.
Comparison::Criterion rate_at_least(double limit, std::string peer);
Comparison::Criterion rate_stated(std::string peer);
/// No demand: the ratio is shown.
Comparison::Criterion stated();

/// What a benchmark program does: compares, prints its rows of the table, and writes them as JSON.
///
/// Google Benchmark runs the contenders, in turn, one run a time, each once before it counts. Its own flags work, and have
/// it print what it measured instead of the table. Ours: `--quick`, for 3 rounds, `--head`, for a table with a head, and
/// `--json=FILE`, for an object a line.
class Suite {
 public:
  Suite(std::string workload, int argc, char** argv);
  [[nodiscard]] bool quick() const noexcept { return quick_; }

  void compare(Comparison comparison) { comparisons_.push_back(std::move(comparison)); }
  /// A row whose numbers are not the times of contenders.
  void state(Row row) { stated_.push_back(std::move(row)); }

  /// Runs everything; the exit code of the program.
  [[nodiscard]] int run();

 private:
  void enrol(Comparison& comparison) const;
  [[nodiscard]] std::string json(const Row& row, const Comparison* of) const;
  void print(const Row& row, const Comparison* of);

  std::string workload_;
  bool quick_ = false;
  bool raw_ = false;
  bool head_ = false;
  std::string json_file_;
  std::string json_rows_;
  std::deque<Comparison> comparisons_;  // its elements stay where they are
  std::vector<Row> stated_;
};

/// 1.5e-6: "1.50 us".
[[nodiscard]] std::string time_text(double seconds);

// ---------------------------------------------------------------------------------------------------------------------

inline std::string time_text(double seconds) {
  const double size = seconds < 0 ? -seconds : seconds;
  const auto [scale, unit] = size < 0.9995e-6   ? std::pair{1e9, "ns"}
                             : size < 0.9995e-3 ? std::pair{1e6, "us"}
                             : size < 0.9995    ? std::pair{1e3, "ms"}
                                                : std::pair{1.0, "s"};
  return fmt::format("{:.3g} {}", seconds * scale, unit);
}

inline const Contender* Comparison::fastest(Role role) const {
  const Contender* best = nullptr;
  for (const Contender& contender : contenders) {
    if (contender.role != role || contender.samples.empty()) continue;
    if (best == nullptr || median(contender.samples) < median(best->samples)) best = &contender;
  }
  return best;
}

inline const Contender* Comparison::named(std::string_view name) const {
  for (const Contender& contender : contenders) {
    if (contender.name == name && !contender.samples.empty()) return &contender;
  }
  return nullptr;
}

inline void judge(Row& row, double value, bool ok, std::string measured, std::string limit) {
  row.value = value;
  row.ok = ok;
  row.measured = std::move(measured);
  row.limit = std::move(limit);
}

inline Comparison::Criterion at_most_times_peer(double limit) {
  return [=](const Comparison& of, Row& row) {
    const double ratio = of.time(Role::ours) / of.time(Role::peer);
    judge(row, ratio, ratio <= limit, fmt::format("{:.3f} x peer", ratio), fmt::format("<= {:.2f}", limit));
  };
}

inline Comparison::Criterion at_most_times_plain(double limit) {
  return [=](const Comparison& of, Row& row) {
    const double ratio = of.time(Role::ours) / of.time(Role::plain);
    judge(row, ratio, ratio <= limit, fmt::format("{:.3f} x plain", ratio), fmt::format("<= {:.2f}", limit));
  };
}

inline Comparison::Criterion efficiency_at_least(double limit, double threads) {
  return [=](const Comparison& of, Row& row) {
    const double efficiency = of.time(Role::plain) / threads / of.time(Role::ours);
    judge(row, efficiency, efficiency >= limit, fmt::format("{:.1f} % efficient", 100 * efficiency),
          fmt::format(">= {:.0f} %", 100 * limit));
  };
}

inline Comparison::Criterion efficiency_stated(double threads) {
  return [=](const Comparison& of, Row& row) {
    row.value = of.time(Role::plain) / threads / of.time(Role::ours);
    row.measured = fmt::format("{:.1f} % efficient", 100 * row.value);
  };
}

inline Comparison::Criterion efficiency_below_peer_at_most(double limit, double threads) {
  return [=](const Comparison& of, Row& row) {
    const double ideal = of.time(Role::plain) / threads;
    const double below = ideal / of.time(Role::peer) - ideal / of.time(Role::ours);
    judge(row, below, below <= limit, fmt::format("{:.1f} points below", 100 * below),
          fmt::format("<= {:.1f}", 100 * limit));
  };
}

inline Comparison::Criterion seconds_over_plain_at_most(double limit) {
  return [=](const Comparison& of, Row& row) {
    const double more = of.time(Role::ours) - of.time(Role::plain);
    judge(row, more, more <= limit, fmt::format("plain + {}", time_text(more)), fmt::format("<= {}", time_text(limit)));
  };
}

inline Comparison::Criterion seconds_at_most(double limit) {
  return [=](const Comparison& of, Row& row) {
    const double time = of.time(Role::ours);
    judge(row, time, time <= limit, time_text(time), fmt::format("<= {}", time_text(limit)));
  };
}

/// Whether it is here.
inline bool show_rate(const Comparison& of, Row& row, const std::string& name) {
  const Contender* const peer = of.named(name);
  row.absent = peer == nullptr;
  row.peer = row.absent ? fmt::format("({})", name) : fmt::format("{} ({})", time_text(of.time(*peer)), name);
  if (row.absent) return false;
  row.value = of.time(*peer) / of.time(Role::ours);
  row.measured = fmt::format("{:.2f} x the rate", row.value);
  return true;
}

inline Comparison::Criterion rate_at_least(double limit, std::string peer) {
  return [limit, peer = std::move(peer)](const Comparison& of, Row& row) {
    row.limit = fmt::format(">= {:.2f}", limit);
    if (show_rate(of, row, peer)) row.ok = row.value >= limit;
  };
}

inline Comparison::Criterion rate_stated(std::string peer) {
  return [peer = std::move(peer)](const Comparison& of, Row& row) { show_rate(of, row, peer); };
}

inline Comparison::Criterion stated() {
  return [](const Comparison& of, Row& row) {
    const Role other = of.fastest(Role::peer) != nullptr ? Role::peer : Role::plain;
    row.value = of.time(Role::ours) / of.time(other);
    row.measured = fmt::format("{:.3f} x {}", row.value, other == Role::peer ? "peer" : "plain");
  };
}

inline Suite::Suite(std::string workload, int argc, char** argv) : workload_(std::move(workload)) {
  raw_ = std::any_of(argv, argv + argc, [](std::string_view argument) { return argument.starts_with("--benchmark_"); });
  benchmark::Initialize(&argc, argv);  // takes its own away
  for (int k = 1; k < argc; ++k) {
    const std::string_view argument = argv[k];
    constexpr std::string_view json_flag = "--json=";
    if (argument == "--quick") {
      quick_ = true;
    } else if (argument == "--head") {
      head_ = true;
    } else if (argument.starts_with(json_flag)) {
      json_file_ = argument.substr(json_flag.size());
    } else {
      fmt::print(stderr, "{}: does not know {}\nusage: {} [--quick] [--head] [--json=FILE] [--benchmark_...]\n", argv[0],
                 argument, argv[0]);
      std::exit(2);
    }
  }
}

/// Registers each run by itself: Google Benchmark keeps the order of registration, but would do the repetitions of one
/// benchmark in a row, or all in a random order.
inline void Suite::enrol(Comparison& comparison) const {
  const std::size_t rounds = quick_ ? 3 : comparison.rounds;
  for (std::size_t round = 0; round <= rounds; ++round) {
    for (Contender& contender : comparison.contenders) {
      if (!contender.run) continue;
      const auto turn = [&contender, round](benchmark::State& state) {
        for (auto _ : state) {
          settle();
          const double seconds = contender.run() / contender.part;
          state.SetIterationTime(seconds);
          if (round != 0) contender.samples.push_back(seconds);
        }
      };
      const std::string name = fmt::format("{}/{}/{}/{}", workload_, comparison.job, contender.name,
                                           round == 0 ? "warm-up" : fmt::format("round {}", round));
      benchmark::RegisterBenchmark(name.c_str(), turn)->Iterations(1)->UseManualTime()->Unit(benchmark::kMicrosecond);
    }
  }
}

inline constexpr const char* row_format = "| {:<44} | {:>8} | {:>23} | {:>8} | {:>17} | {:>8} | {:<6} |\n";

inline int Suite::run() {
  struct Silent final : benchmark::BenchmarkReporter {
    bool ReportContext(const Context&) override { return true; }
    void ReportRuns(const std::vector<Run>&) override {}
  };
  for (Comparison& comparison : comparisons_) enrol(comparison);
  try {
    Silent silent;
    if (raw_) benchmark::RunSpecifiedBenchmarks();
    else if (!comparisons_.empty()) benchmark::RunSpecifiedBenchmarks(&silent);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", workload_, error.what());
    return 1;
  }
  if (raw_) return 0;
  if (head_) {
    fmt::print(row_format, "job (times are per task)", "taskmgr", "peer", "plain", "measured", "limit", "");
    fmt::print("|{:-<46}|{:->10}|{:->25}|{:->10}|{:->19}|{:->10}|{:-<8}|\n", "", ":", ":", ":", ":", ":", "");
  }
  for (const Comparison& comparison : comparisons_) {
    for (const Comparison::Criterion& criterion : comparison.criteria) {
      Row row{.job = comparison.job, .ours = time_text(comparison.time(Role::ours))};
      if (const Contender* peer = comparison.fastest(Role::peer)) {
        row.peer = fmt::format("{} ({})", time_text(comparison.time(Role::peer)), peer->name);
      }
      if (comparison.fastest(Role::plain) != nullptr) row.plain = time_text(comparison.time(Role::plain));
      criterion(comparison, row);
      print(row, &comparison);
    }
  }
  for (const Row& row : stated_) print(row, nullptr);
  if (json_file_.empty()) return 0;
  std::FILE* file = std::fopen(json_file_.c_str(), "w");
  if (file == nullptr) {
    fmt::print(stderr, "{}: cannot write {}\n", workload_, json_file_);
    return 1;
  }
  fmt::print(file, "{}", json_rows_);
  return std::fclose(file) == 0 ? 0 : 1;
}

inline void Suite::print(const Row& row, const Comparison* of) {
  fmt::print(row_format, row.job, row.ours, row.peer, row.plain, row.measured, row.limit,
             row.absent ? "absent" : !row.ok ? "stated" : *row.ok ? "ok" : "missed");
  std::fflush(stdout);
  json_rows_ += json(row, of) + '\n';
}

inline std::string Suite::json(const Row& row, const Comparison* of) const {
  std::string contenders;
  if (of != nullptr) {
    for (const Contender& contender : of->contenders) {
      if (contender.samples.empty()) continue;
      const auto [least, most] = std::minmax_element(contender.samples.begin(), contender.samples.end());
      contenders += fmt::format(
          R"({}{{"name": "{}", "role": "{}", "median_s": {:.6g}, "min_s": {:.6g}, "max_s": {:.6g}, "runs": {}}})",
          contenders.empty() ? "" : ", ", contender.name,
          contender.role == Role::ours   ? "ours"
          : contender.role == Role::peer ? "peer"
                                         : "plain",
          median(contender.samples), *least, *most, contender.samples.size());
    }
  }
  return fmt::format(
      R"({{"workload": "{}", "job": "{}", "ours": "{}", "peer": "{}", "plain": "{}", "measured": "{}", )"
      R"("value": {:.6g}, "limit": "{}", "ok": {}, "tasks": {}, "contenders": [{}]}})",
      workload_, row.job, row.ours, row.peer, row.plain, row.measured, row.value, row.limit,
      !row.ok ? "null" : *row.ok ? "true" : "false", of != nullptr ? of->tasks : 0, contenders);
}

}  // namespace bench
