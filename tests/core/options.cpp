// SPDX-License-Identifier: MIT
#include <taskmgr/core/options.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>

using namespace std::chrono_literals;
using taskmgr::Duplicates, taskmgr::Halt, taskmgr::Mode, taskmgr::Options, taskmgr::Retry;

namespace {

/// What the refusal of these options says; empty if they are taken.
std::string refusal(const Options& options) {
  try {
    taskmgr::detail::validate(options);
    return {};
  } catch (const std::invalid_argument& refused) {
    return refused.what();
  }
}

Options with_retry(const Retry& retry) {
  Options options;
  options.retry = retry;
  return options;
}

Options with_ratio(double ratio) {
  Options options;
  options.halt.failure_ratio = ratio;
  return options;
}

Options with_timeout(std::chrono::nanoseconds timeout) {
  Options options;
  options.timeout = timeout;
  return options;
}

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("the defaults are those of the reference") {
  const Options options;
  CHECK(options.mode == Mode::serial);
  CHECK(options.workers == 0);
  CHECK(options.retry.max_retries == 0);
  CHECK(options.retry.base_delay == 100ms);
  CHECK(options.retry.multiplier == 2.0);
  CHECK(options.retry.max_delay == 30s);
  CHECK(options.retry.jitter == 0.1);
  CHECK(options.timeout == 0ns);
  CHECK(options.duplicates == Duplicates::share);
  CHECK(options.halt.failures == 0);
  CHECK(options.halt.failure_ratio == 0.0);
  CHECK(options.chunk == 0);
  CHECK(options.tasks_per_worker == 0);
  CHECK(options.name == "tasks");
  CHECK(!options.show_progress);
  CHECK(!options.timings);
  CHECK(!options.on_worker_start);
  CHECK(refusal(options).empty());
}

TEST_CASE("all options can be named, in their order") {
  const Options options{.mode = Mode::thread,
                        .workers = 3,
                        .retry = {.max_retries = 2,
                                  .base_delay = 1ms,
                                  .multiplier = 1.5,
                                  .max_delay = 1s,
                                  .jitter = 0.0,
                                  .on = taskmgr::retry_on<std::runtime_error>()},
                        .timeout = 5s,
                        .duplicates = Duplicates::run,
                        .halt = {.failures = 4, .failure_ratio = 0.5},
                        .chunk = 8,
                        .tasks_per_worker = 100,
                        .name = "all",
                        .show_progress = true,
                        .timings = true,
                        .on_worker_start = [](std::size_t) {}};
  CHECK(refusal(options).empty());
  CHECK(options.retry.max_delay == 1s);
  CHECK(options.halt.failures == 4);
  CHECK(options.on_worker_start);
}

TEST_CASE("an option that cannot be is refused, by its name and its value") {
  CHECK(refusal(with_retry({.max_retries = -1})) ==
        "taskmgr: Options::retry.max_retries must not be negative, but is -1");
  CHECK(refusal(with_retry({.base_delay = -5ns})) ==
        "taskmgr: Options::retry.base_delay must not be negative, but is -5ns");
  CHECK(refusal(with_retry({.multiplier = 0.5})) == "taskmgr: Options::retry.multiplier must be at least 1, but is 0.5");
  CHECK(refusal(with_retry({.max_delay = -1s})) ==
        "taskmgr: Options::retry.max_delay must not be negative, but is -1000000000ns");
  CHECK(refusal(with_retry({.jitter = 1.5})) == "taskmgr: Options::retry.jitter must be in [0, 1], but is 1.5");
  CHECK(refusal(with_retry({.jitter = -0.25})) == "taskmgr: Options::retry.jitter must be in [0, 1], but is -0.25");
  CHECK(refusal(with_timeout(-1ms)) == "taskmgr: Options::timeout must not be negative, but is -1000000ns");
  CHECK(refusal(with_ratio(2)) == "taskmgr: Options::halt.failure_ratio must be in [0, 1], but is 2");
  CHECK(refusal(with_ratio(-0.5)) == "taskmgr: Options::halt.failure_ratio must be in [0, 1], but is -0.5");
  Options options;
  options.mode = static_cast<Mode>(9);
  CHECK(refusal(options) == "taskmgr: Options::mode must be one of Mode's, but is 9");
}

TEST_CASE("a value that is just beyond its bound is not rounded to look as if it were within") {
  CHECK(refusal(with_retry({.jitter = 1.0000001})) == "taskmgr: Options::retry.jitter must be in [0, 1], but is 1.0000001");
  CHECK(refusal(with_retry({.multiplier = 0.99999999})) ==
        "taskmgr: Options::retry.multiplier must be at least 1, but is 0.99999999");
  CHECK(refusal(with_ratio(-1e-30)) == "taskmgr: Options::halt.failure_ratio must be in [0, 1], but is -1e-30");
}

TEST_CASE("NaN is refused wherever a number is asked for") {
  CHECK(refusal(with_retry({.multiplier = not_a_number})) == "taskmgr: Options::retry.multiplier must be at least 1, but is nan");
  CHECK(refusal(with_retry({.jitter = not_a_number})) == "taskmgr: Options::retry.jitter must be in [0, 1], but is nan");
  CHECK(refusal(with_ratio(not_a_number)) == "taskmgr: Options::halt.failure_ratio must be in [0, 1], but is nan");
  CHECK(refusal(with_retry({.jitter = infinity})) == "taskmgr: Options::retry.jitter must be in [0, 1], but is inf");
  CHECK(refusal(with_ratio(-infinity)) == "taskmgr: Options::halt.failure_ratio must be in [0, 1], but is -inf");
}

TEST_CASE("the bounds themselves are allowed") {
  CHECK(refusal(with_retry({.max_retries = std::numeric_limits<int>::max(),
                            .base_delay = 0ns,
                            .multiplier = 1.0,
                            .max_delay = 0ns,
                            .jitter = 0.0})).empty());
  CHECK(refusal(with_retry({.base_delay = std::chrono::nanoseconds::max(),
                            .multiplier = infinity,
                            .max_delay = std::chrono::nanoseconds::max(),
                            .jitter = 1.0})).empty());
  CHECK(refusal(with_ratio(0.0)).empty());
  CHECK(refusal(with_ratio(1.0)).empty());
  CHECK(refusal(with_timeout(std::chrono::nanoseconds::max())).empty());
  CHECK(refusal(Options{.mode = Mode::coroutine}).empty());
}
