// SPDX-License-Identifier: MIT
#include <taskmgr/run/crew.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <cstddef>
#include <exception>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include <taskmgr/core/error.hpp>
#include <taskmgr/core/options.hpp>
#include <taskmgr/core/retry.hpp>


using taskmgr::Cancelled;
using taskmgr::Options;
using taskmgr::TaskError;
using taskmgr::detail::Asked;
using taskmgr::detail::Clock;
using taskmgr::detail::Crew;
using taskmgr::detail::Failure;
using taskmgr::detail::Hub;
using taskmgr::detail::Ruling;
using taskmgr::detail::Seat;
using taskmgr::detail::Watchdog;
using namespace std::chrono_literals;
using Verdict = Ruling::Verdict;

namespace {

/// What a crew stands on, and a crew that has nothing to do.
struct Setting {
  Options options{};
  Hub::Observers observers{};
  Watchdog watchdog{};
  std::stop_source stop{};
};

class Idle : public Crew {
 public:
  explicit Idle(Setting& on, std::size_t seats = 1)
      : Crew({.options = on.options,
              .observers = on.observers,
              .ticker = {},
              .watchdog = on.watchdog,
              .stop = on.stop.get_token(),
              .seats = seats,
              .began = Clock::now(),
              .total = 0,
              .duplicates = 0}) {}

  using Crew::began;
  using Crew::expect;
  using Crew::judge;
  using Crew::note_failure;
  using Crew::pause_until;
  using Crew::publish;
  using Crew::ready;
  using Crew::rest_until;
  using Crew::seats;
  using Crew::settled;

  std::size_t work(Seat&) noexcept override { return 0; }
  [[nodiscard]] bool has_work() const noexcept override { return true; }
};

template <class E>
Failure failure(E exception) {
  return {TaskError::Kind::exception, std::make_exception_ptr(std::move(exception))};
}

Verdict verdict(Idle& crew, Failure failed, int attempt) { return crew.judge(failed, attempt, Asked::no).verdict; }

}  // namespace

// --- seats

TEST_CASE("every seat is given to one thread at a time, until none is free") {
  Setting setting;
  Idle crew{setting, 3};
  std::set<std::size_t> numbers;
  for (int k = 0; k < 3; ++k) {
    CHECK(crew.wants_help());
    numbers.insert(crew.sit_down().number);
  }
  CHECK(numbers == std::set<std::size_t>{0, 1, 2});
  CHECK(!crew.has_seat());
  CHECK(!crew.wants_help());
  crew.stand_up(crew.seats()[1]);
  CHECK(crew.sit_down().number == 1);
}

TEST_CASE("a run that has called nobody is young for as long as a call would not be worth it") {
  Setting setting;
  const auto before = Clock::now();
  Idle crew{setting};
  const auto after = Clock::now();
  CHECK(crew.is_young(before));
  CHECK(crew.is_young(before + std::chrono::nanoseconds{taskmgr::detail::worth_a_call - 1}));
  CHECK(!crew.is_young(after + std::chrono::nanoseconds{taskmgr::detail::worth_a_call}));
  CHECK(!crew.is_young(Clock::time_point::max()));
  crew.called = true;
  CHECK(!crew.is_young(before));
}

TEST_CASE("a thread comes back to the seat that it has made ready") {
  Setting setting;
  int starts = 0;
  setting.options.on_worker_start = [&](std::size_t) { ++starts; };
  Idle crew{setting, 4};
  Seat& mine = crew.sit_down();
  CHECK(crew.ready(mine));
  CHECK(crew.ready(mine));
  CHECK(starts == 1);
  crew.stand_up(mine);
  std::thread([&] {  // another thread takes a seat that nobody had
    Seat& other = crew.sit_down();
    CHECK(other.number != mine.number);
    CHECK(crew.ready(other));
    crew.stand_up(other);
  }).join();
  CHECK(starts == 2);
  Seat& again = crew.sit_down();
  CHECK(again.number == mine.number);
  CHECK(crew.ready(again));
  CHECK(starts == 2);
}

TEST_CASE("the start of a worker is called with its number") {
  Setting setting;
  std::vector<std::size_t> started;
  setting.options.on_worker_start = [&](std::size_t worker) { started.push_back(worker); };
  Idle crew{setting, 3};
  for (Seat& seat : crew.seats()) CHECK(crew.ready(seat));
  CHECK(started == std::vector<std::size_t>{0, 1, 2});
}

TEST_CASE("a seat whose start threw is barred, and what it threw is kept") {
  Setting setting;
  setting.options.on_worker_start = [](std::size_t) { throw std::runtime_error("no database"); };
  Idle crew{setting, 2};
  Seat& first = crew.sit_down();
  CHECK(!crew.ready(first));
  crew.stand_up(first);
  CHECK(crew.has_seat());
  Seat& second = crew.sit_down();
  CHECK(second.number != first.number);
  CHECK(!crew.ready(second));
  crew.stand_up(second);
  CHECK(!crew.has_seat());
  CHECK(crew.thrown().take() != nullptr);
}

TEST_CASE("many seats are as good as few") {
  Setting setting;
  Idle crew{setting, 100};
  std::set<std::size_t> numbers;
  for (int k = 0; k < 100; ++k) {
    const Seat& seat = crew.sit_down();
    CHECK(seat.context.worker() == seat.number);
    numbers.insert(seat.number);
  }
  CHECK(numbers.size() == 100);
  CHECK(!crew.has_seat());
}

// --- judging

TEST_CASE("a failure is retried while attempts are left and the predicate says so") {
  Setting setting;
  setting.options.retry = {.max_retries = 2, .on = taskmgr::retry_on<std::runtime_error>()};
  Idle crew{setting};
  CHECK(verdict(crew, failure(std::runtime_error("x")), 1) == Verdict::retry);
  CHECK(verdict(crew, failure(std::runtime_error("x")), 2) == Verdict::retry);
  CHECK(verdict(crew, failure(std::runtime_error("x")), 3) == Verdict::fail);
  CHECK(verdict(crew, failure(std::logic_error("x")), 1) == Verdict::fail);
  CHECK(verdict(crew, failure(Cancelled()), 1) == Verdict::retry);  // of a run that is not cancelled
}

TEST_CASE("what the predicate throws takes the place of the failure") {
  Setting setting;
  setting.options.retry = {.max_retries = 2, .on = taskmgr::retry_if([](const std::exception&) -> bool {
                             throw std::out_of_range("the predicate");
                           })};
  Idle crew{setting};
  Failure failed{TaskError::Kind::timeout, std::make_exception_ptr(std::runtime_error("the task"))};
  CHECK(crew.judge(failed, 1, Asked::no).verdict == Verdict::fail);
  CHECK(failed.kind == TaskError::Kind::exception);
  CHECK_THROWS_AS(std::rethrow_exception(failed.exception), std::out_of_range);
}

TEST_CASE("delays grow, and are scattered as the jitter allows") {
  Setting setting;
  setting.options.retry = {.max_retries = 10, .base_delay = 100ms, .multiplier = 2, .max_delay = 1s, .jitter = 0.25};
  Idle crew{setting};
  std::set<std::chrono::nanoseconds> delays;
  for (int attempt = 1; attempt <= 10; ++attempt) {
    const double middle = std::fmin(0.1 * std::pow(2, attempt - 1), 1.0);
    for (int k = 0; k < 50; ++k) {
      Failure failed = failure(std::runtime_error("x"));
      const auto delay = crew.judge(failed, attempt, Asked::no).delay;
      const double seconds = std::chrono::duration<double>(delay).count();
      REQUIRE(seconds >= 0.7499 * middle);
      REQUIRE(seconds <= 1.2501 * middle);
      delays.insert(delay);
    }
  }
  CHECK(delays.size() > 400);
}

TEST_CASE("in a run that is cancelled, Cancelled cancels the task, and nothing is retried") {
  for (const bool by_token : {true, false}) {
    Setting setting;
    setting.options.retry.max_retries = 5;
    Idle crew{setting};
    if (by_token) setting.stop.request_stop();
    else crew.cancel();
    CHECK(crew.stopping());
    CHECK(verdict(crew, failure(Cancelled()), 1) == Verdict::cancel);
    CHECK(verdict(crew, failure(std::runtime_error("x")), 1) == Verdict::fail);
    Failure late{TaskError::Kind::timeout, std::make_exception_ptr(taskmgr::TimeoutError("late"))};
    CHECK(crew.judge(late, 1, Asked::no).verdict == Verdict::fail);
  }
}

TEST_CASE("in a run that is halted nothing is retried, and Cancelled is an error as any other") {
  Setting setting;
  setting.options.retry.max_retries = 5;
  Idle crew{setting};
  crew.halt();
  CHECK(crew.stopping());
  CHECK(verdict(crew, failure(std::runtime_error("x")), 1) == Verdict::fail);
  CHECK(verdict(crew, failure(Cancelled()), 1) == Verdict::fail);
  crew.cancel();  // goes before
  crew.halt();
  CHECK(verdict(crew, failure(Cancelled()), 1) == Verdict::cancel);
}

TEST_CASE("a task that sees the stop before the run has noted it is judged as cancelled") {
  Setting setting;
  setting.options.retry.max_retries = 5;
  Idle crew{setting};
  Verdict of_cancelled{};
  Verdict of_other{};
  const std::stop_callback first{setting.stop.get_token(), [&] {  // the latest callback is called first
                                   of_cancelled = verdict(crew, failure(Cancelled()), 1);
                                   of_other = verdict(crew, failure(std::runtime_error("x")), 1);
                                 }};
  setting.stop.request_stop();
  CHECK(of_cancelled == Verdict::cancel);
  CHECK(of_other == Verdict::fail);
}

TEST_CASE("a run whose token was stopped before it began begins stopped") {
  Setting setting;
  setting.stop.request_stop();
  const Idle crew{setting};
  CHECK(crew.stopping());
}

// --- halting

TEST_CASE("a run is halted at the number of failures that was set") {
  Setting setting;
  setting.options.halt.failures = 3;
  Idle crew{setting};
  crew.note_failure();
  crew.note_failure();
  CHECK(!crew.stopping());
  crew.note_failure();
  CHECK(crew.stopping());
}

TEST_CASE("a failure ratio is looked at from the twentieth finished task on") {
  Setting setting;
  setting.options.halt.failure_ratio = 0.5;
  Idle crew{setting};
  for (int k = 0; k < 19; ++k) crew.note_failure();
  CHECK(!crew.stopping());
  crew.note_failure();
  CHECK(crew.stopping());
}

TEST_CASE("a failure ratio that is reached halts, exactly as it was written") {
  for (int finished = 20; finished <= 400; ++finished) {
    for (const int hundredths : {1, 7, 14, 28, 29, 50, 57, 58, 99}) {
      if (finished * hundredths % 100 != 0) continue;
      const int failures = finished * hundredths / 100;  // reach it with the last one
      Setting setting;
      setting.options.halt.failure_ratio = hundredths / 100.0;
      Idle crew{setting};
      for (int k = 0; k < finished - failures; ++k) crew.note_failure(true);
      for (int k = 0; k < failures - 1; ++k) crew.note_failure();
      INFO(failures, " of ", finished, " against ", setting.options.halt.failure_ratio);
      CHECK(!crew.stopping());
      crew.note_failure();
      CHECK(crew.stopping());
    }
  }
}

TEST_CASE("without a limit nothing halts") {
  Setting setting;
  Idle crew{setting};
  for (int k = 0; k < 1000; ++k) crew.note_failure();
  CHECK(!crew.stopping());
}

// --- resting

TEST_CASE("a pause ends when it is over, or the run is stopped") {
  Setting setting;
  Idle crew{setting};
  CHECK(crew.pause_until(Clock::now() - 1s));
  const auto due = Clock::now() + 5ms;
  CHECK(crew.pause_until(due));
  CHECK(Clock::now() >= due);
  const std::jthread canceller{[&] { setting.stop.request_stop(); }};
  CHECK(!crew.pause_until(Clock::time_point::max()));
  CHECK(!crew.pause_until(Clock::now() - 1s));
}

TEST_CASE("a driver rests until the last task is settled") {
  Setting setting;
  Idle crew{setting};
  CHECK(crew.settled());
  crew.rest_until(Clock::time_point::max());
  crew.expect(2);
  CHECK(!crew.settled());
  {
    const std::jthread helper{[&] {
      crew.publish(1);
      crew.publish(0);
      crew.publish(1);
    }};
    while (!crew.settled()) crew.rest_until(Clock::time_point::max());
  }
  CHECK(crew.settled());
}

TEST_CASE("a driver that is to look at something new is woken") {
  Setting setting;
  Idle crew{setting};
  crew.expect(1);
  const std::jthread waker{[&] { crew.wake_driver(); }};
  crew.rest_until(taskmgr::detail::RetryQueue::never);
  const auto due = Clock::now() + 5ms;
  while (Clock::now() < due) crew.rest_until(due);  // and what is due ends the rest too
  crew.rest_until(taskmgr::detail::RetryQueue::never, [] { return true; });
}

// --- counting

TEST_CASE("the progress is the sum over the workers") {
  Setting setting;
  Idle crew{setting, 3};
  crew.began(crew.seats()[0], 0, 1, nullptr, {});
  crew.began(crew.seats()[0], 0, 2, nullptr, {});
  crew.began(crew.seats()[1], 1, 1, nullptr, {});
  crew.seats()[0].succeeded.add(5);
  crew.seats()[2].failed.add(2);
  crew.seats()[1].cancelled.add(3);
  const taskmgr::Progress sum = crew.progress();
  CHECK(sum.started == 2);
  CHECK(sum.retries == 1);
  CHECK(sum.succeeded == 5);
  CHECK(sum.failed == 2);
  CHECK(sum.cancelled == 3);
  CHECK(sum.finished() == 10);
  CHECK(sum.elapsed >= 0ns);
}

TEST_CASE("a deadline that no clock will reach is the end of time") {
  using taskmgr::detail::later;
  const Clock::time_point now = Clock::now();
  static_assert(later(Clock::time_point{5ns}, 7ns) == Clock::time_point{12ns});
  CHECK(later(now, 1h) == now + 1h);
  CHECK(later(now, std::chrono::nanoseconds::max()) == Clock::time_point::max());
  CHECK(later(Clock::time_point::max(), 1ns) == Clock::time_point::max());
}
