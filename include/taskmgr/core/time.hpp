// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The clock, and durations that do not overflow.

#include <chrono>

namespace taskmgr::detail {

using Clock = std::chrono::steady_clock;

/// `from + wait`, or the end of time.
[[nodiscard]] constexpr Clock::time_point later(Clock::time_point from, std::chrono::nanoseconds wait) noexcept {
  return wait > Clock::time_point::max() - from ? Clock::time_point::max() : from + wait;
}

/// A duration of any unit and kind. Of another than this: rounded up, 0 if it is negative, and the most that there is for what is
/// longer, or no number.
[[nodiscard]] constexpr std::chrono::nanoseconds in_nanoseconds(std::chrono::nanoseconds duration) noexcept { return duration; }
template <class Rep, class Period>
[[nodiscard]] constexpr std::chrono::nanoseconds in_nanoseconds(std::chrono::duration<Rep, Period> duration) noexcept {
  constexpr std::chrono::duration<double> most = std::chrono::nanoseconds::max();
  if (!(duration < most)) return std::chrono::nanoseconds::max();
  if (!(duration > duration.zero())) return std::chrono::nanoseconds{0};
  return std::chrono::ceil<std::chrono::nanoseconds>(duration);
}

}  // namespace taskmgr::detail
