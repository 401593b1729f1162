// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Lets contenders do the same job in turn, and says in a table whether the ratios of their times keep the limits.
///
/// A processor's clock, and what its host lets us have of it, change by a tenth within seconds; two runs that follow each other
/// see nearly the same machine. So what counts of a ratio is the median of those of single rounds, each of which has every
/// contender once, in an order that changes. Its noise is half of the interval that holds the true median in 19 of 20 cases
/// (binomial, from the ranks). While a limit lies within the noise, on whichever side, there are more rounds, up to four
/// times as many; the verdict is on all of them.

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <functional>
#include <optional>
#include <random>
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
  double noise = 0;           ///< the true one is within so much of it
  std::optional<bool> ok{};   ///< where there is a limit
  bool narrow = false;        ///< the limit is within the noise
  bool absent = false;        ///< the peer is not here
};

/// A number that was found once in each round.
struct Estimate {
  double value;  ///< the median
  double low;    ///< the median of all rounds that there could be is hardly below
  double high;   ///< nor above
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
  /// Of what `of_round(ours, other)` makes of the times of each round.
  template <class OfRound>
  [[nodiscard]] Estimate estimate(const Contender& other, const OfRound& of_round) const;
  [[nodiscard]] std::size_t measured_rounds() const { return contenders.front().samples.size(); }
};

Comparison::Criterion at_most_times_peer(double limit);
Comparison::Criterion at_most_times_plain(double limit);
/// Of the time that `threads` times the plain loop's speed would take, ours makes use of so much.
Comparison::Criterion efficiency_at_least(double limit, double threads);
Comparison::Criterion efficiency_stated(double threads);
/// The same by the speed that `loops` has, loops on all cores at once: see side_by_side.hpp.
Comparison::Criterion efficiency_stated(double threads, std::string loops);
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
  void enrol(Comparison& comparison);
  [[nodiscard]] static std::vector<Row> rows_of(const Comparison& comparison);
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
  std::minstd_rand random_{};  // for the order of turns, the same each time
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

[[nodiscard]] inline Estimate estimate_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  // how many of so many values lie below the true median: binomial, nearly normal
  const auto rank = static_cast<std::size_t>(std::max(0.0, std::floor(count / 2 - 0.98 * std::sqrt(count))));
  return {median(values), values[rank], values[values.size() - 1 - rank]};
}

template <class OfRound>
Estimate Comparison::estimate(const Contender& other, const OfRound& of_round) const {
  const std::vector<double>& ours = fastest(Role::ours)->samples;
  std::vector<double> values;
  for (std::size_t k = 0; k < ours.size(); ++k) values.push_back(of_round(ours[k] / tasks, other.samples[k] / tasks));
  return estimate_of(std::move(values));
}

enum class Bound { at_most, at_least };

inline void note(Row& row, const Estimate& found) {
  row.value = found.value;
  row.noise = (found.high - found.low) / 2;
}

inline void judge(Row& row, const Estimate& found, Bound bound, double limit) {
  note(row, found);
  row.ok = bound == Bound::at_most ? found.value <= limit : found.value >= limit;
  row.narrow = found.low <= limit && limit <= found.high;
}

inline double ratio_to(double ours, double other) { return ours / other; }

inline Comparison::Criterion at_most_times_peer(double limit) {
  return [=](const Comparison& of, Row& row) {
    judge(row, of.estimate(*of.fastest(Role::peer), ratio_to), Bound::at_most, limit);
    row.measured = fmt::format("{:.3f} x peer", row.value);
    row.limit = fmt::format("<= {:.2f}", limit);
  };
}

inline Comparison::Criterion at_most_times_plain(double limit) {
  return [=](const Comparison& of, Row& row) {
    judge(row, of.estimate(*of.fastest(Role::plain), ratio_to), Bound::at_most, limit);
    row.measured = fmt::format("{:.3f} x plain", row.value);
    row.limit = fmt::format("<= {:.2f}", limit);
  };
}

inline Estimate efficiency(const Comparison& of, double threads, const Contender& loop) {
  return of.estimate(loop, [=](double ours, double plain) { return plain / threads / ours; });
}

inline Comparison::Criterion efficiency_at_least(double limit, double threads) {
  return [=](const Comparison& of, Row& row) {
    judge(row, efficiency(of, threads, *of.fastest(Role::plain)), Bound::at_least, limit);
    row.measured = fmt::format("{:.1f} % efficient", 100 * row.value);
    row.limit = fmt::format(">= {:.0f} %", 100 * limit);
  };
}

inline Comparison::Criterion efficiency_stated(double threads) {
  return [=](const Comparison& of, Row& row) {
    note(row, efficiency(of, threads, *of.fastest(Role::plain)));
    row.measured = fmt::format("{:.1f} % efficient", 100 * row.value);
  };
}

inline Comparison::Criterion efficiency_stated(double threads, std::string loops) {
  return [threads, loops = std::move(loops)](const Comparison& of, Row& row) {
    const Contender& at_once = *of.named(loops);
    note(row, efficiency(of, threads, at_once));
    row.plain = time_text(of.time(at_once));
    row.measured = fmt::format("{:.1f} % of {:.0f} loops", 100 * row.value, threads);
  };
}

inline Comparison::Criterion efficiency_below_peer_at_most(double limit, double threads) {
  return [=](const Comparison& of, Row& row) {
    const double ideal = of.time(Role::plain) / threads;
    judge(row, of.estimate(*of.fastest(Role::peer), [=](double ours, double peer) { return ideal / peer - ideal / ours; }),
          Bound::at_most, limit);
    row.measured = fmt::format("{:.1f} points below", 100 * row.value);
    row.limit = fmt::format("<= {:.1f}", 100 * limit);
  };
}

inline Comparison::Criterion seconds_over_plain_at_most(double limit) {
  return [=](const Comparison& of, Row& row) {
    judge(row, of.estimate(*of.fastest(Role::plain), [](double ours, double plain) { return ours - plain; }),
          Bound::at_most, limit);
    row.measured = fmt::format("plain + {}", time_text(row.value));
    row.limit = fmt::format("<= {}", time_text(limit));
  };
}

inline Comparison::Criterion seconds_at_most(double limit) {
  return [=](const Comparison& of, Row& row) {
    judge(row, of.estimate(*of.fastest(Role::ours), [](double ours, double) { return ours; }), Bound::at_most, limit);
    row.measured = time_text(row.value);
    row.limit = fmt::format("<= {}", time_text(limit));
  };
}

/// Whether it is here.
inline bool show_rate(const Comparison& of, Row& row, const std::string& name) {
  const Contender* const peer = of.named(name);
  row.absent = peer == nullptr;
  row.peer = row.absent ? fmt::format("({})", name) : fmt::format("{} ({})", time_text(of.time(*peer)), name);
  return !row.absent;
}

inline Estimate rate(const Comparison& of, const std::string& name) {
  return of.estimate(*of.named(name), [](double ours, double peer) { return peer / ours; });
}

inline Comparison::Criterion rate_at_least(double limit, std::string peer) {
  return [limit, peer = std::move(peer)](const Comparison& of, Row& row) {
    row.limit = fmt::format(">= {:.2f}", limit);
    if (!show_rate(of, row, peer)) return;
    judge(row, rate(of, peer), Bound::at_least, limit);
    row.measured = fmt::format("{:.2f} x the rate", row.value);
  };
}

inline Comparison::Criterion rate_stated(std::string peer) {
  return [peer = std::move(peer)](const Comparison& of, Row& row) {
    if (!show_rate(of, row, peer)) return;
    note(row, rate(of, peer));
    row.measured = fmt::format("{:.2f} x the rate", row.value);
  };
}

inline Comparison::Criterion stated() {
  return [](const Comparison& of, Row& row) {
    const Role other = of.fastest(Role::peer) != nullptr ? Role::peer : Role::plain;
    note(row, of.estimate(*of.fastest(other), ratio_to));
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
inline void Suite::enrol(Comparison& comparison) {
  const std::size_t rounds = quick_ ? 3 : comparison.rounds;
  std::vector<Contender*> turns;
  for (Contender& contender : comparison.contenders) {
    if (contender.run) turns.push_back(&contender);
  }
  for (std::size_t round = 0; round <= rounds; ++round) {
    std::shuffle(turns.begin(), turns.end(), random_);  // or one would always come after the same other
    for (Contender* contender : turns) {
      const auto turn = [contender, round](benchmark::State& state) {
        for (auto _ : state) {
          settle();
          const double seconds = contender->run() / contender->part;
          state.SetIterationTime(seconds);
          if (round != 0) contender->samples.push_back(seconds);
        }
      };
      const std::string name = fmt::format("{}/{}/{}/{}", workload_, comparison.job, contender->name,
                                           round == 0 ? "warm-up" : fmt::format("round {}", round));
      benchmark::RegisterBenchmark(name.c_str(), turn)->Iterations(1)->UseManualTime()->Unit(benchmark::kMicrosecond);
    }
  }
}

inline std::vector<Row> Suite::rows_of(const Comparison& comparison) {
  std::vector<Row> rows;
  for (const Comparison::Criterion& criterion : comparison.criteria) {
    Row row{.job = comparison.job, .ours = time_text(comparison.time(Role::ours))};
    if (const Contender* peer = comparison.fastest(Role::peer)) {
      row.peer = fmt::format("{} ({})", time_text(comparison.time(Role::peer)), peer->name);
    }
    if (comparison.fastest(Role::plain) != nullptr) row.plain = time_text(comparison.time(Role::plain));
    criterion(comparison, row);
    rows.push_back(std::move(row));
  }
  return rows;
}

inline constexpr const char* row_format = "| {:<44} | {:>8} | {:>23} | {:>8} | {:>17} | {:>6} | {:>6} | {:>8} | {:<6} |\n";

inline int Suite::run() {
  struct Silent final : benchmark::BenchmarkReporter {
    bool ReportContext(const Context&) override { return true; }
    void ReportRuns(const std::vector<Run>&) override {}
  };
  try {
    constexpr int most_goes = 4;
    for (int go = 0; go < (quick_ || raw_ ? 1 : most_goes); ++go) {
      bool any = false;
      for (Comparison& comparison : comparisons_) {
        if (go != 0) {
          const std::vector<Row> rows = rows_of(comparison);
          if (std::none_of(rows.begin(), rows.end(), [](const Row& row) { return row.narrow; })) continue;
        }
        enrol(comparison);
        any = true;
      }
      if (!any) break;
      Silent silent;
      if (raw_) benchmark::RunSpecifiedBenchmarks();
      else benchmark::RunSpecifiedBenchmarks(&silent);
      benchmark::ClearRegisteredBenchmarks();
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", workload_, error.what());
    return 1;
  }
  if (raw_) return 0;
  if (head_) {
    fmt::print(row_format, "job (times are per task)", "taskmgr", "peer", "plain", "measured", "noise",
               "rounds", "limit", "");
    fmt::print("|{:-<46}|{:->10}|{:->25}|{:->10}|{:->19}|{:->8}|{:->8}|{:->10}|{:-<8}|\n", "", ":", ":", ":", ":", ":", ":",
               ":", "");
  }
  for (const Comparison& comparison : comparisons_) {
    for (const Row& row : rows_of(comparison)) print(row, &comparison);
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
  const bool rounds = of != nullptr && !row.absent;
  const double relative = row.value != 0 ? row.noise / std::abs(row.value) : 0;
  // of a value that is a percentage or a difference of two, the noise is in its own unit
  const std::string noise = !rounds ? "" : row.measured.ends_with("below") ? fmt::format("{:.1f}", 100 * row.noise)
                                                                           : fmt::format("{:.1f} %", 100 * relative);
  fmt::print(row_format, row.job, row.ours, row.peer, row.plain, row.measured, noise,
             rounds ? fmt::format("{}", of->measured_rounds()) : "", row.limit,
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
      R"("value": {:.6g}, "noise": {:.3g}, "limit": "{}", "ok": {}, "tasks": {}, "contenders": [{}]}})",
      workload_, row.job, row.ours, row.peer, row.plain, row.measured, row.value, row.noise, row.limit,
      !row.ok ? "null" : *row.ok ? "true" : "false", of != nullptr ? of->tasks : 0, contenders);
}

}  // namespace bench
