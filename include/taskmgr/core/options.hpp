// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How a manager runs its tasks: one aggregate, checked once, at construction.

#include <charconv>
#include <chrono>
#include <cstddef>
#include <functional>
#include <stdexcept>
#include <string>

#include "retry.hpp"

namespace taskmgr {

/// Where tasks run.
enum class Mode {
  serial,    ///< one at a time, in order, on the calling thread
  thread,    ///< on a pool of threads, of which the caller is one
  process,   ///< in forked processes
  coroutine  ///< in one event loop on the calling thread
};

/// What becomes of a task that equals an earlier one of the run.
enum class Duplicates {
  share,  ///< it is not run again and shares the outcome (a task without a hash is never a duplicate)
  run     ///< it is a task like every other
};

/// When to stop starting new tasks; 0 = never.
struct Halt {
  std::size_t failures = 0;
  /// Of the finished tasks, reached or passed, looked at from the 20th on; in [0, 1].
  double failure_ratio = 0.0;
};

namespace detail {

/// So many failures among so many finished tasks are enough to halt.
[[nodiscard]] inline bool halts(const Halt& at, std::size_t failures, std::size_t finished) noexcept {
  constexpr std::size_t enough = 20;  // finished tasks, before their ratio says anything
  if (at.failures != 0 && failures >= at.failures) return true;
  // divided, not multiplied: 7 / 25 rounds to the 0.28 that somebody wrote
  return at.failure_ratio > 0 && finished >= enough &&
         static_cast<double>(failures) / static_cast<double>(finished) >= at.failure_ratio;
}

}  // namespace detail

struct Options {
  Mode mode = Mode::serial;
  /// 0: the CPUs that this process may use (affinity and cgroup quota). In coroutine mode the most tasks in flight, 0: 1024.
  std::size_t workers = 0;
  Retry retry{};
  /// For each attempt; 0: none.
  std::chrono::nanoseconds timeout{0};
  Duplicates duplicates = Duplicates::share;
  Halt halt{};
  /// Tasks that a worker takes at a time; 0: adaptive. Tasks taken together stay with that worker.
  std::size_t chunk = 0;
  /// Process mode: a worker is replaced after so many; 0: never.
  std::size_t tasks_per_worker = 0;
  /// In progress bars, logs, trees, traces and boards.
  std::string name = "tasks";
  bool show_progress = false;
  /// Measure each attempt (two clock reads); implied by an observer that wants the events of single tasks.
  bool timings = false;
  /// In each worker of a run before its first task, with the worker's number. If it throws, that worker runs no task, and
  /// `start` rethrows it once the other workers have finished.
  std::function<void(std::size_t worker)> on_worker_start{};
};

/// How a stream hands its outcomes out.
struct StreamOptions {
  bool ordered = false;    ///< in the order of the source, rather than of completion
  std::size_t window = 0;  ///< the most tasks pulled and not yet handed out; 0: a sensible number that grows with need
};

/// How the stages of a tree run.
enum class TreeMode {
  serial,    ///< a stage starts when the one before has ended
  pipeline,  ///< each result goes on at once, and each stage runs by its own manager's mode
  process    ///< as pipeline, each stage in worker processes of its own
};

struct TreeOptions {
  TreeMode mode = TreeMode::serial;
  /// Results that may wait between two stages; 0: a sensible number.
  std::size_t capacity = 0;
  /// Record the way of each initial task, for `report.trace`.
  bool trace = false;
  /// When to stop starting anything new, by the initial tasks that have failed.
  Halt halt{};
  std::string name = "tree";
  bool show_progress = false;
};

namespace detail {

/// Throws `std::invalid_argument` that names the member and the value.
void validate(const Options& options);
void validate(const TreeOptions& options);

}  // namespace detail

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

[[noreturn]] inline void refuse(const char* member, const std::string& value, const char* rule, const char* of = "Options") {
  throw std::invalid_argument(std::string("taskmgr: ") + of + "::" + member + " " + rule + ", but is " + value);
}

/// The shortest text that stands for this number alone: 1.0000001 is not rounded to 1.
inline std::string exact(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

inline void validate(const Halt& halt, const char* of = "Options") {
  if (!(halt.failure_ratio >= 0.0 && halt.failure_ratio <= 1.0)) {  // so written, NaN is refused as well
    refuse("halt.failure_ratio", exact(halt.failure_ratio), "must be in [0, 1]", of);
  }
}

inline void validate(const Retry& retry) {
  const auto nanoseconds = [](std::chrono::nanoseconds d) { return std::to_string(d.count()) + "ns"; };
  if (retry.max_retries < 0) refuse("retry.max_retries", std::to_string(retry.max_retries), "must not be negative");
  if (retry.base_delay.count() < 0) refuse("retry.base_delay", nanoseconds(retry.base_delay), "must not be negative");
  if (retry.max_delay.count() < 0) refuse("retry.max_delay", nanoseconds(retry.max_delay), "must not be negative");
  if (!(retry.multiplier >= 1.0)) refuse("retry.multiplier", exact(retry.multiplier), "must be at least 1");
  if (!(retry.jitter >= 0.0 && retry.jitter <= 1.0)) {
    refuse("retry.jitter", exact(retry.jitter), "must be in [0, 1]");
  }
}

inline void validate(const Options& options) {
  const auto known = static_cast<unsigned>(options.mode);
  if (known > static_cast<unsigned>(Mode::coroutine)) refuse("mode", std::to_string(known), "must be one of Mode's");
  validate(options.retry);
  validate(options.halt);
  if (options.timeout.count() < 0) {
    refuse("timeout", std::to_string(options.timeout.count()) + "ns", "must not be negative");
  }
}

inline void validate(const TreeOptions& options) {
  const auto known = static_cast<unsigned>(options.mode);
  if (known > static_cast<unsigned>(TreeMode::process)) {
    refuse("mode", std::to_string(known), "must be one of TreeMode's", "TreeOptions");
  }
  validate(options.halt, "TreeOptions");
}

}  // namespace detail

}  // namespace taskmgr
