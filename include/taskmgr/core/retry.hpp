// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// When a failed attempt is made again, and how long it waits before.

#include <chrono>
#include <cmath>
#include <concepts>
#include <exception>
#include <functional>
#include <limits>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace taskmgr {

/// Decides whether what an attempt threw is worth another one; made by `retry_on`, `retry_unless` or `retry_if`.
///
/// It is asked only while attempts are left, where the exception lives. If it throws, there is no retry, and what it threw
/// is the task's error. Thread safety: called from several workers at once, as a const object.
class RetryPredicate {
 public:
  /// `test` says yes to an exception, which came of attempt `attempt` (counted from 1).
  explicit RetryPredicate(std::function<bool(const std::exception_ptr&, int attempt)> test) : test_(std::move(test)) {}
  RetryPredicate(const RetryPredicate&) = default;
  RetryPredicate(RetryPredicate&&) noexcept = default;
  RetryPredicate& operator=(const RetryPredicate&) = default;
  RetryPredicate& operator=(RetryPredicate&&) noexcept = default;
  /// Never inlined: where it is, g++ 12 at -O3 takes it for one of options that were not made.
  [[gnu::noinline]] ~RetryPredicate() {}  // NOLINT

  [[nodiscard]] bool operator()(const std::exception_ptr& error, int attempt) const { return test_(error, attempt); }

 private:
  std::function<bool(const std::exception_ptr&, int)> test_;
};

/// Retries what is, or derives from, one of `E...`.
template <class... E>
[[nodiscard]] RetryPredicate retry_on();

/// Retries everything but what is, or derives from, one of `E...`.
template <class... E>
[[nodiscard]] RetryPredicate retry_unless();

/// Retries what `test` says yes to: a `bool(const std::exception&)`, which is not asked about (and so says no to) what is
/// no `std::exception`, or a `bool(const std::exception_ptr&, int attempt)`.
template <class Test>
[[nodiscard]] RetryPredicate retry_if(Test test);

/// How often a failed task is tried again, and when.
///
///     Retry{.max_retries = 5, .base_delay = 50ms}.delay(3)    // 200ms, give or take the jitter
///
/// Thread safety: immutable while a run lasts.
struct Retry {
  /// Attempts are 1 + max_retries.
  int max_retries = 0;
  /// Before the first retry.
  std::chrono::nanoseconds base_delay = std::chrono::milliseconds{100};
  double multiplier = 2.0;
  /// The ceiling of the delays, before jitter.
  std::chrono::nanoseconds max_delay = std::chrono::seconds{30};
  /// Each delay is scaled by a random factor in [1 - jitter, 1 + jitter]: tasks that failed together return apart.
  double jitter = 0.1;
  RetryPredicate on = retry_unless<std::logic_error>();

  /// The wait before retry `k`, counted from 1: `min(max_delay, base_delay * multiplier^(k-1))`, scaled by
  /// `1 + jitter * (2 * uniform - 1)` for a `uniform` in [0, 1). Never overflows.
  [[nodiscard]] std::chrono::nanoseconds delay(int k, double uniform = 0.5) const noexcept;
};

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

template <class E>
bool is_a(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const E&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace detail

template <class... E>
RetryPredicate retry_on() {
  return RetryPredicate{[]([[maybe_unused]] const std::exception_ptr& error, int) { return (detail::is_a<E>(error) || ...); }};
}

template <class... E>
RetryPredicate retry_unless() {
  return RetryPredicate{[]([[maybe_unused]] const std::exception_ptr& error, int) { return !(detail::is_a<E>(error) || ...); }};
}

template <class Test>
RetryPredicate retry_if(Test test) {
  if constexpr (std::is_invocable_r_v<bool, const Test&, const std::exception_ptr&, int>) {
    return RetryPredicate{std::move(test)};
  } else if constexpr (std::is_invocable_r_v<bool, const Test&, const std::exception&>) {
    return RetryPredicate{[test = std::move(test)](const std::exception_ptr& error, int) {
      const std::exception* known = nullptr;
      try {
        std::rethrow_exception(error);
      } catch (const std::exception& caught) {
        known = &caught;  // lives as long as `error`
      } catch (...) {
      }
      return known != nullptr && static_cast<bool>(test(*known));  // outside of the handlers: what it throws goes on
    }};
  } else {
    static_assert(std::is_invocable_r_v<bool, const Test&, const std::exception&>,
                  "taskmgr: retry_if takes a bool(const std::exception&) or a bool(const std::exception_ptr&, int)");
  }
}

inline std::chrono::nanoseconds Retry::delay(int k, double uniform) const noexcept {
  using Rep = std::chrono::nanoseconds::rep;
  const auto ceiling = static_cast<double>(max_delay.count());
  const double grown = static_cast<double>(base_delay.count()) * std::pow(multiplier, k - 1);  // may be infinite
  // fmin also turns the NaN of 0 * infinity into a number, and nothing leaves the integer's range
  const double unscaled = base_delay.count() == 0 ? 0.0 : std::fmin(grown, ceiling);
  const double scaled = unscaled * (1.0 + jitter * (2.0 * uniform - 1.0));
  constexpr auto longest = static_cast<double>(std::numeric_limits<Rep>::max() / 4);  // leaves room to add a time point
  return std::chrono::nanoseconds{static_cast<Rep>(std::fmin(scaled, longest))};
}

}  // namespace taskmgr
