// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How a job is timed, and the answers checked.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/// Runs from its construction on, but for the time between `pause()` and `go_on()`.
class Stopwatch {
 public:
  using Clock = std::chrono::steady_clock;

  void pause() noexcept { so_far_ += Clock::now() - since_; }
  void go_on() noexcept { since_ = Clock::now(); }
  /// Stops it. Not while it pauses.
  [[nodiscard]] double seconds() noexcept {
    pause();
    return std::chrono::duration<double>(so_far_).count();
  }

 private:
  Clock::duration so_far_{0};
  Clock::time_point since_ = Clock::now();
};

/// The seconds that it takes to make something and to destroy it again; `check` looks at it in between, off the clock.
template <class Make, class Check>
[[nodiscard]] double seconds_of(const Make& make, const Check& check) {
  Stopwatch watch;
  {
    auto made = make();
    watch.pause();
    check(std::as_const(made));
    watch.go_on();
  }
  return watch.seconds();
}

/// Throws if an answer is wrong: a time says nothing then.
inline void require(bool right, const char* what) {
  if (!right) throw std::runtime_error(std::string("wrong answer: ") + what);
}

/// Calls `check(i)` for one in a hundred of the i below `count`, each time for others. To look at all answers would bring
/// them into this core's cache, and so make it cheaper to destroy them, which is on the clock.
template <class Check>
void spot_check(std::size_t count, const Check& check) {
  static std::size_t turn = 0;
  for (std::size_t i = turn++ % 101; i < count; i += 101) check(i);
}

[[nodiscard]] inline double median(std::vector<double> samples) {
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

/// Keeps this core busy for a few milliseconds, in which the threads of whoever ran before go to sleep.
inline void settle() noexcept {
  const auto end = Stopwatch::Clock::now() + std::chrono::milliseconds{3};
  while (Stopwatch::Clock::now() < end) {
  }
}

}  // namespace bench
