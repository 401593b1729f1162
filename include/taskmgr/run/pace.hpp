// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How many tasks a worker takes at a time, learnt from how long the last ones took.

#include <algorithm>
#include <chrono>
#include <cstddef>

#include "share.hpp"

namespace taskmgr::detail {

/// One worker's pace: it takes a *chunk* from the run, about `goal` worth of work, and begins a *stride* of that at a time.
/// Long tasks are taken one by one; of tiny ones a chunk costs one clock read, and a stride one atomic operation, while
/// all but a stride can still be stolen if a task turns out long.
///
/// Thread safety: one worker's own.
class Pace {
 public:
  using Duration = std::chrono::nanoseconds;
  static constexpr Duration goal = std::chrono::microseconds{40};
  static constexpr std::size_t longest_chunk = 1U << 14U;
  static constexpr std::size_t longest_stride = 16;

  /// `chunk` tasks at a time, or, with 0, as many as fit a goal. Whatever that is, a stride is at most a quarter of
  /// `goal`: what is in it waits for the task before it.
  constexpr explicit Pace(std::size_t chunk, Duration chunk_goal = goal) noexcept
      : goal_(chunk_goal), chunk_(chunk == 0 ? 1 : std::min(chunk, Share::most)), fixed_(chunk != 0) {}

  [[nodiscard]] constexpr std::size_t chunk() const noexcept { return chunk_; }
  [[nodiscard]] constexpr std::size_t stride() const noexcept { return stride_; }

  /// What a task took in the last chunk that was measured; zero before the first.
  [[nodiscard]] constexpr Duration per_task() const noexcept { return per_task_; }

  /// `count` tasks took `elapsed` in all: the next chunk fits the goal, but is at most eight times the last.
  constexpr void measured(std::size_t count, Duration elapsed) noexcept {
    per_task_ = elapsed / static_cast<Duration::rep>(std::max<std::size_t>(count, 1));
    const auto fitting = static_cast<std::size_t>(goal_ / std::max(per_task_, Duration{1}));
    const std::size_t grown = std::clamp<std::size_t>(fitting, 1, std::min(8 * count, longest_chunk));
    if (!fixed_) chunk_ = grown;
    const auto brief = static_cast<std::size_t>(goal / 4 / std::max(per_task_, Duration{1}));
    stride_ = std::clamp<std::size_t>(std::min(grown / 16, brief), 1, longest_stride);
  }

 private:
  Duration goal_;
  std::size_t chunk_;
  std::size_t stride_ = 1;
  Duration per_task_{0};
  bool fixed_;
};

}  // namespace taskmgr::detail
