// SPDX-License-Identifier: MIT
#include <taskmgr/core/retry.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "support/random.hpp"

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using taskmgr::Retry, taskmgr::RetryPredicate;

namespace {

template <class E>
std::exception_ptr thrown(E error) {
  return std::make_exception_ptr(std::move(error));
}

/// No `std::exception`, and the base of another one.
struct Odd {};
struct Odder : Odd {};

/// The delay in nanoseconds, by the longest arithmetic there is, multiplied step by step.
long double model_delay(const Retry& retry, int k, double uniform) {
  long double wait = static_cast<long double>(retry.base_delay.count());
  const auto ceiling = static_cast<long double>(retry.max_delay.count());
  for (int i = 1; i < k && wait != 0 && wait < ceiling; ++i) wait *= static_cast<long double>(retry.multiplier);
  if (wait > ceiling) wait = ceiling;
  return wait * (1.0L + static_cast<long double>(retry.jitter) * (2.0L * static_cast<long double>(uniform) - 1.0L));
}

constexpr nanoseconds longest{std::int64_t{1} << 61};  // some 73 years

}  // namespace

TEST_CASE("each retry waits longer by the multiplier, up to the ceiling") {
  const Retry retry{.max_retries = 9, .base_delay = 50ms, .multiplier = 2.0, .max_delay = 1s};
  CHECK(retry.delay(1) == 50ms);
  CHECK(retry.delay(2) == 100ms);
  CHECK(retry.delay(3) == 200ms);
  CHECK(retry.delay(4) == 400ms);
  CHECK(retry.delay(5) == 800ms);
  CHECK(retry.delay(6) == 1s);
  CHECK(retry.delay(7) == 1s);
  CHECK(retry.delay(std::numeric_limits<int>::max()) == 1s);
}

TEST_CASE("a multiplier of 1 waits the same every time") {
  const Retry retry{.base_delay = 7ms, .multiplier = 1.0};
  CHECK(retry.delay(1) == 7ms);
  CHECK(retry.delay(1'000'000) == 7ms);
}

TEST_CASE("a base delay above the ceiling is cut to it") {
  CHECK(Retry{.base_delay = 1h, .max_delay = 1s}.delay(1) == 1s);
  CHECK(Retry{.base_delay = 1h, .max_delay = 0s}.delay(3) == 0s);
}

TEST_CASE("a base delay of zero never waits") {
  const Retry retry{.base_delay = 0s, .multiplier = 10.0, .jitter = 1.0};
  for (const int k : {1, 2, 36, 400, 100'000, std::numeric_limits<int>::max()}) {
    CHECK(retry.delay(k, 0.0) == 0s);
    CHECK(retry.delay(k, 0.999) == 0s);
  }
}

TEST_CASE("the jitter scales each delay evenly between its two bounds") {
  const Retry retry{.base_delay = 100ms, .jitter = 0.25};
  CHECK(retry.delay(1, 0.0) == 75ms);
  CHECK(retry.delay(1, 0.5) == 100ms);
  CHECK(retry.delay(1, 0.75) == nanoseconds{112'500'000});
  CHECK(retry.delay(1, std::nextafter(1.0, 0.0)) <= 125ms);
  CHECK(Retry{.base_delay = 100ms, .jitter = 0.0}.delay(1, 0.9) == 100ms);
  CHECK(Retry{.base_delay = 100ms, .jitter = 1.0}.delay(1, 0.0) == 0ms);
}

TEST_CASE("no delay overflows, whatever the options are") {
  for (const nanoseconds base : {1ns, 100'000'000ns, nanoseconds::max()}) {
    for (const double multiplier : {1.0, 2.0, 1e300, std::numeric_limits<double>::infinity()}) {
      for (const nanoseconds ceiling : {0ns, 30'000'000'000ns, nanoseconds::max()}) {
        for (const int k : {1, 2, 36, 37, 38, 1'100, 2'000'000'000, std::numeric_limits<int>::max()}) {
          CAPTURE(base.count());
          CAPTURE(multiplier);
          CAPTURE(ceiling.count());
          CAPTURE(k);
          const Retry retry{.base_delay = base, .multiplier = multiplier, .max_delay = ceiling, .jitter = 1.0};
          const nanoseconds delay = retry.delay(k, std::nextafter(1.0, 0.0));
          CHECK(delay >= 0ns);
          CHECK(delay <= longest);  // so that it can be added to a point in time
          CHECK(static_cast<double>(delay.count()) <= 2.0 * static_cast<double>(ceiling.count()));
        }
      }
    }
  }
}

TEST_CASE("random delays agree with a model that multiplies step by step") {
  INFO("TASKMGR_SEED=" << support::seed());
  support::Random random;
  const auto unit = [&] { return static_cast<double>(random.word() >> 11U) * 0x1.0p-53; };
  for (int round = 0; round < 5'000; ++round) {
    const Retry retry{.base_delay = nanoseconds{random.word() >> (1 + random.below(63))},
                      .multiplier = 1.0 + 4.0 * unit() * unit(),
                      .max_delay = nanoseconds{random.word() >> (3 + random.below(61))},
                      .jitter = unit()};
    const int k = 1 + random.number(80);
    const double uniform = unit();
    CAPTURE(retry.base_delay.count());
    CAPTURE(retry.multiplier);
    CAPTURE(retry.max_delay.count());
    CAPTURE(retry.jitter);
    CAPTURE(k);
    CAPTURE(uniform);
    const nanoseconds delay = retry.delay(k, uniform);
    const auto wait = static_cast<double>(delay.count());
    const auto right = static_cast<double>(std::fmin(model_delay(retry, k, uniform), static_cast<long double>(longest.count())));
    CHECK(std::abs(wait - right) <= 1.0 + 1e-9 * right);
    CHECK(wait >= (1.0 - retry.jitter) * static_cast<double>(std::min(retry.base_delay, retry.max_delay).count()) * (1 - 1e-9) - 1.0);
    CHECK(wait <= (1.0 + retry.jitter) * static_cast<double>(retry.max_delay.count()) * (1 + 1e-9) + 1.0);
  }
}

TEST_CASE("by default everything is retried but logic errors") {
  const RetryPredicate on = Retry{}.on;
  CHECK(on(thrown(std::runtime_error("x")), 1));
  CHECK(on(thrown(42), 1));
  CHECK(on(thrown(std::string("x")), 1));
  CHECK_FALSE(on(thrown(std::logic_error("x")), 1));
  CHECK_FALSE(on(thrown(std::out_of_range("x")), 1));
}

TEST_CASE("retry_on retries what derives from one of its types, and nothing else") {
  const RetryPredicate on = taskmgr::retry_on<std::range_error, std::logic_error, Odd>();
  CHECK(on(thrown(std::range_error("x")), 1));
  CHECK(on(thrown(std::out_of_range("x")), 1));
  CHECK(on(thrown(Odder{}), 1));
  CHECK_FALSE(on(thrown(std::runtime_error("x")), 1));
  CHECK_FALSE(on(thrown(42), 1));
  CHECK(taskmgr::retry_on<int>()(thrown(42), 1));
  CHECK_FALSE(taskmgr::retry_on<int>()(thrown(42L), 1));
  CHECK_FALSE(taskmgr::retry_on<>()(thrown(std::runtime_error("x")), 1));
}

TEST_CASE("retry_unless retries all but what derives from one of its types") {
  const RetryPredicate on = taskmgr::retry_unless<std::range_error, std::logic_error, Odd>();
  CHECK_FALSE(on(thrown(std::range_error("x")), 1));
  CHECK_FALSE(on(thrown(std::out_of_range("x")), 1));
  CHECK_FALSE(on(thrown(Odder{}), 1));
  CHECK(on(thrown(std::runtime_error("x")), 1));
  CHECK(on(thrown(42), 1));
  CHECK(taskmgr::retry_unless<>()(thrown(std::logic_error("x")), 1));
}

TEST_CASE("retry_if asks about the exception, and not about what is none") {
  int asked = 0;
  const RetryPredicate on = taskmgr::retry_if([&asked](const std::exception& error) {
    ++asked;
    return std::string(error.what()) == "again";
  });
  CHECK(on(thrown(std::runtime_error("again")), 1));
  CHECK(on(thrown(std::logic_error("again")), 1));
  CHECK_FALSE(on(thrown(std::runtime_error("no")), 1));
  CHECK(asked == 3);
  CHECK_FALSE(on(thrown(42), 1));
  CHECK_FALSE(on(thrown(std::string("again")), 1));
  CHECK_FALSE(on(thrown(Odd{}), 1));
  CHECK(asked == 3);
}

TEST_CASE("retry_if shows the whole exception, not a slice of its base class") {
  struct Own : std::runtime_error {
    using std::runtime_error::runtime_error;
    int code = 7;
  };
  const RetryPredicate on = taskmgr::retry_if([](const std::exception& error) {
    const auto* own = dynamic_cast<const Own*>(&error);
    return own != nullptr && own->code == 7;
  });
  CHECK(on(thrown(Own("x")), 1));
  CHECK_FALSE(on(thrown(std::runtime_error("x")), 1));
}

TEST_CASE("retry_if may look at the exception pointer and the attempt") {
  int last = 0;
  const RetryPredicate on = taskmgr::retry_if([&last](const std::exception_ptr& error, int attempt) {
    last = attempt;
    return error != nullptr && attempt < 3;
  });
  CHECK(on(thrown(42), 1));
  CHECK(last == 1);
  CHECK(on(thrown(std::runtime_error("x")), 2));
  CHECK(last == 2);
  CHECK_FALSE(on(thrown(42), 3));
  CHECK(last == 3);
}

TEST_CASE("retry_if takes functions and generic callables") {
  struct Test {
    static bool is_runtime(const std::exception& error) { return dynamic_cast<const std::runtime_error*>(&error) != nullptr; }
  };
  CHECK(taskmgr::retry_if(&Test::is_runtime)(thrown(std::runtime_error("x")), 1));
  CHECK_FALSE(taskmgr::retry_if(&Test::is_runtime)(thrown(std::logic_error("x")), 1));
  CHECK(taskmgr::retry_if([](const auto& error) { return *error.what() == 'y'; })(thrown(std::logic_error("y")), 1));
  CHECK(taskmgr::retry_if([](const auto&, auto attempt) { return attempt == 5; })(thrown(1), 5));
}

TEST_CASE("what a predicate throws leaves it") {
  const RetryPredicate of_exception = taskmgr::retry_if([](const std::exception&) -> bool { throw Odd{}; });
  const RetryPredicate of_pointer =
      taskmgr::retry_if([](const std::exception_ptr&, int) -> bool { throw std::domain_error("of the predicate"); });
  CHECK_THROWS_AS(static_cast<void>(of_exception(thrown(std::runtime_error("x")), 1)), Odd);
  CHECK_FALSE(of_exception(thrown(42), 1));
  CHECK_THROWS_AS(static_cast<void>(of_pointer(thrown(42), 1)), std::domain_error);
}

TEST_CASE("a predicate that throws the very exception it was asked about is heard") {
  const RetryPredicate on = taskmgr::retry_if([](const std::exception_ptr& error, int) -> bool { std::rethrow_exception(error); });
  CHECK_THROWS_AS(static_cast<void>(on(thrown(42), 1)), int);
}

TEST_CASE("a predicate is copied with its options") {
  Retry retry{.on = taskmgr::retry_on<int>()};
  const Retry copy = retry;
  retry.on = taskmgr::retry_on<std::exception>();
  CHECK(copy.on(thrown(1), 1));
  CHECK_FALSE(retry.on(thrown(1), 1));
}
