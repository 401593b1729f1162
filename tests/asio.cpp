// SPDX-License-Identifier: MIT
#include <taskmgr/asio.hpp>

#include <taskmgr/core/context.hpp>
#include <taskmgr/manager/task_manager.hpp>
#include <taskmgr/manager/with_args.hpp>
#include <taskmgr/run/awaits.hpp>

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef TASKMGR_BOOST_ASIO
#include <boost/asio/buffer.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#else
#include <asio/buffer.hpp>
#include <asio/detached.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_awaitable.hpp>
#endif

#include "support/build.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/random.hpp"
#include "support/wait.hpp"

using support::numbers;
using taskmgr::as_async;
using taskmgr::Async;
using taskmgr::Context;
using taskmgr::EventLoop;
using taskmgr::Mode;
using taskmgr::State;
using taskmgr::TaskManager;
using namespace std::chrono_literals;

namespace asio_test {

namespace net = taskmgr::detail::net;
using SystemError = taskmgr::detail::SystemError;
using Clock = std::chrono::steady_clock;

/// Of one type, so that most tests share the library's run.
using Function = std::function<net::awaitable<int>(Context&, int)>;
using Manager = TaskManager<Function>;

net::awaitable<void> asio_sleep(std::chrono::nanoseconds duration) {
  net::steady_timer timer{co_await net::this_coro::executor, duration};
  co_await timer.async_wait(net::use_awaitable);
}

net::awaitable<int> doubled(Context&, int x) {
  co_await asio_sleep(1ms);
  if (x % 5 == 2) throw std::runtime_error("fails");
  co_return 2 * x;
}

net::awaitable<int> sleeps_an_hour(Context&, int x) {
  co_await asio_sleep(1h);
  co_return x;
}

/// What runs on with no regard to signals, for `duration`.
net::awaitable<int> insists(int x, std::chrono::nanoseconds duration) {
  const Clock::time_point end = Clock::now() + duration;
  while (Clock::now() < end) {
    bool stopped = false;
    try {
      co_await asio_sleep(end - Clock::now());
    } catch (const SystemError&) {
      stopped = true;
    }
    if (stopped) co_await net::this_coro::reset_cancellation_state(net::disable_cancellation());
  }
  co_return x;
}

std::chrono::nanoseconds cpu_time() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return std::chrono::seconds{used.tv_sec} + std::chrono::nanoseconds{used.tv_nsec};
}

std::vector<Mode> modes() {
  std::vector<Mode> all;
  for (const Mode mode : support::modes) {
    if (mode != Mode::coroutine) all.push_back(mode);
  }
  all.push_back(Mode::coroutine);
  return all;
}

struct Ended {  // counts what ends
  int* count;
  explicit Ended(int& n) : count(&n) {}
  Ended(const Ended&) = delete;
  Ended& operator=(const Ended&) = delete;
  ~Ended() { ++*count; }
};

struct Point {  // that nobody makes out of nothing
  Point(int a, int b) : x(a), y(b) {}
  int x;
  int y;
};

}  // namespace asio_test
using namespace asio_test;

TEST_CASE("a function that returns an awaitable runs in every mode, with the same report") {
  for (const Mode mode : modes()) {
    INFO("mode: ", support::name(mode));
    Manager manager{&doubled, {.mode = mode, .workers = 3}};
    const auto report = manager.start(numbers(20));
    CHECK(support::adds_up(report));
    CHECK(report.succeeded == 16);
    CHECK(report.failed == 4);
    for (const int x : numbers(20)) {
      if (x % 5 == 2) CHECK(report.error_map().at(x).message() == "fails");
      else CHECK(report.success_map().at(x) == 2 * x);
    }
  }
}

TEST_CASE("awaitables give nothing, what only moves, and what is not made out of nothing") {
  TaskManager none{[](int) -> net::awaitable<void> { co_await asio_sleep(1us); }, {.mode = Mode::coroutine}};
  CHECK(none.start({1, 2, 3}).succeeded == 3);

  TaskManager owners{[](int x) -> net::awaitable<std::unique_ptr<int>> { co_return std::make_unique<int>(x); },
                     {.mode = Mode::coroutine}};
  auto owned = owners.start({7});
  CHECK(*owned[0].value() == 7);

  TaskManager points{[](int x, int y) -> net::awaitable<Point> {
                       co_await asio_sleep(1us);
                       if (x == 3) throw std::runtime_error("no such point");
                       co_return Point{y, x};
                     },
                     {.mode = Mode::coroutine}};
  const auto report = points.start({{1, 2}, {3, 4}});
  CHECK(report.success_map().at({1, 2}).x == 2);
  CHECK(report.error_map().at({3, 4}).message() == "no such point");

  TaskManager texts{taskmgr::with_result([](int x) -> net::awaitable<int> { co_return x + 1; },
                                         [](int x, int y) { return std::to_string(x) + " " + std::to_string(y); }),
                    {.mode = Mode::coroutine}};
  CHECK(texts.start({1}).success_map().at(1) == "1 2");
}

TEST_CASE("awaitables that fail are tried again") {
  for (const Mode mode : modes()) {
    INFO("mode: ", support::name(mode));
    Manager manager{[](Context& context, int x) -> net::awaitable<int> {
                      const int attempt = context.attempt();  // before anything is awaited: others have the context then
                      co_await asio_sleep(10us);
                      if (attempt < 3) throw std::runtime_error("again");
                      co_return x;
                    },
                    {.mode = mode, .workers = 4, .retry = {.max_retries = 3, .base_delay = 100us}}};
    const auto report = manager.start(numbers(10));
    CHECK(report.succeeded == 10);
    CHECK(report.retries == 20);
  }
}

TEST_CASE("at its deadline an awaitable is cancelled by its slot") {
  for (const Mode mode : modes()) {
    INFO("mode: ", support::name(mode));
    Manager manager{&sleeps_an_hour,
                    {.mode = mode, .workers = 4, .retry = {.max_retries = 1, .base_delay = 1ms}, .timeout = 20ms}};
    const auto report = manager.start(numbers(4));
    CHECK(report.failed == 4);
    CHECK(report.retries == 4);
    for (const auto& [task, error] : report.error_map()) CHECK(error.kind() == taskmgr::TaskError::Kind::timeout);
  }
}

TEST_CASE("an awaitable that ignores its cancellation comes too late at a deadline, and succeeds in a cancelled run") {
  Manager late{[](Context&, int x) { return insists(x, 60ms); }, {.mode = Mode::coroutine, .timeout = 20ms}};
  const auto timed_out = late.start(numbers(3));
  CHECK(timed_out.failed == 3);
  CHECK(timed_out.error_map().at(0).kind() == taskmgr::TaskError::Kind::timeout);

  std::stop_source stop;
  int begun = 0;
  Manager steady{[&](Context&, int x) -> net::awaitable<int> {
                   if (++begun == 3) stop.request_stop();
                   co_return co_await insists(x, 5ms);
                 },
                 {.mode = Mode::coroutine, .workers = 3}};
  const auto cancelled = steady.start(numbers(6), stop.get_token());
  CHECK(cancelled.succeeded == 3);
  CHECK(cancelled.cancelled == 3);
}

TEST_CASE("a stop from another thread ends what sleeps, while nothing else is ready") {
  for (const Mode mode : {Mode::serial, Mode::thread, Mode::coroutine}) {
    INFO("mode: ", support::name(mode));
    support::Counter begun;
    Manager manager{[&](Context&, int x) -> net::awaitable<int> {
                      begun.add();
                      co_await asio_sleep(1h);
                      co_return x;
                    },
                    {.mode = mode, .workers = 2}};
    std::stop_source stop;
    std::jthread stopper{[&] {
      begun.wait_for(mode == Mode::serial ? 1 : 2);
      stop.request_stop();
    }};
    const auto report = manager.start(numbers(5), stop.get_token());
    CHECK(report.cancelled == 5);
  }
}

TEST_CASE("a run that is stopped before it begins runs no awaitable") {
  std::stop_source stop;
  stop.request_stop();
  bool ran = false;
  Manager manager{[&](Context&, int x) -> net::awaitable<int> {
                    ran = true;
                    co_return x;
                  },
                  {.mode = Mode::coroutine}};
  CHECK(manager.start(numbers(3), stop.get_token()).cancelled == 3);
  CHECK(!ran);
  CHECK_THROWS_AS(taskmgr::run(as_async(asio_sleep(1h)), stop.get_token()), taskmgr::Cancelled);
}

TEST_CASE("what was aborted fails, unless somebody has asked for it") {
  const auto aborted = []() -> net::awaitable<void> {
    net::steady_timer timer{co_await net::this_coro::executor, 1h};
    net::post(timer.get_executor(), [&timer] { timer.cancel(); });
    co_await timer.async_wait(net::use_awaitable);
  };
  CHECK_THROWS_AS(taskmgr::run(as_async(aborted())), SystemError);

  // Several coroutines at once throw their exceptions in one.
  const auto both = []() -> net::awaitable<void> {
    std::exception_ptr first;
    try {
      co_await asio_sleep(1h);
    } catch (...) {
      first = std::current_exception();
    }
    throw net::multiple_exceptions(first);
  };
  const auto other = []() -> net::awaitable<void> {
    try {
      co_await asio_sleep(1h);
    } catch (const SystemError&) {
      throw std::runtime_error("cannot clean up");
    }
  };
  const auto stopped = [](auto awaitable) {
    std::stop_source stop;
    const auto soon = [&]() -> Async<> {
      co_await taskmgr::sleep_for(1ms);
      stop.request_stop();
      co_await taskmgr::sleep_for(1h);
    };
    auto sleeper = soon();
    auto all = taskmgr::when_all(as_async(std::move(awaitable)), std::move(sleeper));
    taskmgr::run(std::move(all), stop.get_token());
  };
  CHECK_THROWS_AS(stopped(both()), taskmgr::Cancelled);
  CHECK_THROWS_WITH_AS(stopped(other()), "cannot clean up", std::runtime_error);
}

TEST_CASE("both kinds of coroutines wait on one thread, and nobody spins") {
  const auto thread = std::this_thread::get_id();
  const auto theirs = [&]() -> net::awaitable<int> {
    for (int k = 0; k < 3; ++k) {
      co_await asio_sleep(30ms);
      CHECK(std::this_thread::get_id() == thread);
    }
    co_return 1;
  };
  const auto ours = [&]() -> Async<int> {
    for (int k = 0; k < 10; ++k) {
      const auto before = Clock::now();
      co_await taskmgr::sleep_for(10ms);
      CHECK(Clock::now() - before >= 10ms);
      CHECK(std::this_thread::get_id() == thread);
    }
    co_return 2;
  };
  const auto all = [&]() -> Async<int> {
    auto second = ours();
    auto first = as_async(theirs());
    auto pending = taskmgr::when_all(std::move(first), std::move(second));
    const auto [one, two] = co_await pending;
    co_return one + two;
  };
  const auto cpu_before = cpu_time();
  const auto before = Clock::now();
  CHECK(taskmgr::run(all()) == 3);
  CHECK(Clock::now() - before >= 100ms);
  CHECK(cpu_time() - cpu_before < 50ms);
}

TEST_CASE("timers of both sides go off when they are due, and not at the next millisecond") {
  using Lateness = std::chrono::nanoseconds;
  static constexpr auto nap = 300us;
  const auto measure = [](Clock::time_point before, Lateness& best) {
    const Lateness late = Clock::now() - before - nap;
    CHECK(late >= 0ns);
    if (late < best) best = late;
    return best < 400us;  // once is enough: the machine may be busy
  };
  Lateness theirs = 1h;
  Lateness ours = 1h;
  const auto there = [&]() -> net::awaitable<void> {
    bool exact = false;
    for (int k = 0; k < 2000 && !exact; ++k) {
      const auto before = Clock::now();
      co_await asio_sleep(nap);
      exact = measure(before, theirs);
    }
  };
  const auto here = [&]() -> Async<> {
    auto other = as_async(there());  // from now on Asio waits for both
    co_await other;
    bool exact = false;
    for (int k = 0; k < 2000 && !exact; ++k) {
      const auto before = Clock::now();
      co_await taskmgr::sleep_for(nap);
      exact = measure(before, ours);
    }
  };
  taskmgr::run(here());
  CHECK(theirs < 400us);
  CHECK(ours < 400us);
}

TEST_CASE("coroutines that are always ready let those of the other side have their turn") {
  bool over = false;
  const auto busy_there = [&]() -> net::awaitable<void> {
    while (!over) co_await net::post(net::use_awaitable);
  };
  const auto busy_here = [&]() -> Async<> {
    while (!over) co_await taskmgr::yield();
  };
  const auto sleep_here = [&]() -> Async<> {
    co_await taskmgr::sleep_for(2ms);
    over = true;
  };
  const auto sleep_there = [&]() -> net::awaitable<void> {
    co_await asio_sleep(2ms);
    over = true;
  };
  static_cast<void>(taskmgr::run(taskmgr::when_all(as_async(busy_there()), as_async(busy_there()), sleep_here())));
  over = false;
  static_cast<void>(taskmgr::run(taskmgr::when_all(busy_here(), as_async(sleep_there()), busy_here())));
  over = false;
  static_cast<void>(taskmgr::run(taskmgr::when_all(busy_here(), as_async(busy_there()), as_async(sleep_there()))));
  over = false;
  static_cast<void>(taskmgr::run(taskmgr::when_all(busy_here(), as_async(busy_there()), sleep_here())));
  CHECK(over);
}

TEST_CASE("other threads wake either side") {
  net::thread_pool pool{1};
  const auto there = [&]() -> net::awaitable<int> {
    const auto work = [](int x) -> net::awaitable<int> { co_return x + 1; };
    int x = 0;
    for (int k = 0; k < 200; ++k) x = co_await net::co_spawn(pool.get_executor(), work(x), net::use_awaitable);
    co_return x;
  };
  struct Elsewhere {
    net::thread_pool& pool;
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> waiting) const {
      net::post(pool, [waiting, loop = EventLoop::current()] { loop->post(waiting); });
    }
    void await_resume() const noexcept {}
  };
  const auto here = [&]() -> Async<int> {
    const Elsewhere elsewhere{pool};
    for (int k = 0; k < 200; ++k) co_await elsewhere;
    co_return 200;
  };
  CHECK(taskmgr::run(taskmgr::when_all(as_async(there()), here())) == std::tuple{200, 200});
  CHECK(taskmgr::run(as_async(there())) == 200);
  pool.join();
}

TEST_CASE("a run ends when other threads have let go of its context") {
  net::thread_pool pool{1};
  std::atomic<int> let_go{0};
  const auto there = [&]() -> net::awaitable<int> {
    const auto executor = co_await net::this_coro::executor;
    const auto elsewhere = [&](auto handler) {
      net::post(pool, [&let_go, executor, work = std::optional{net::make_work_guard(executor)}, handler = std::move(handler)]() mutable {
        net::post(executor, std::move(handler));
        std::this_thread::sleep_for(2ms);  // here the coroutine goes on, and ends
        ++let_go;
        work.reset();
      });
    };
    co_await net::async_initiate<decltype(net::use_awaitable), void()>(elsewhere, net::use_awaitable);
    co_return 1;
  };
  for (int k = 1; k <= 5; ++k) {
    CHECK(taskmgr::run(as_async(there())) == 1);
    CHECK(let_go == k);
  }
  pool.join();
}

TEST_CASE("a descriptor of one side wakes the other") {
  std::array<int, 2> ends{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) == 0);
  const auto here = [&]() -> Async<int> {
    int said = 0;
    for (int k = 0; k < 100; ++k) {
      co_await taskmgr::readable(ends[0]);
      char byte = 0;
      CHECK(::read(ends[0], &byte, 1) == 1);
      said += byte;
      byte = static_cast<char>(byte + 1);
      CHECK(::write(ends[0], &byte, 1) == 1);
    }
    co_return said;
  };
  const auto there = [&]() -> net::awaitable<int> {
    net::posix::stream_descriptor end{co_await net::this_coro::executor, ends[1]};
    char byte = 0;
    for (int k = 0; k < 100; ++k) {
      co_await end.async_write_some(net::buffer(&byte, 1), net::use_awaitable);
      co_await end.async_read_some(net::buffer(&byte, 1), net::use_awaitable);
    }
    co_return byte;
  };
  CHECK(taskmgr::run(taskmgr::when_all(here(), as_async(there()))) == std::tuple{4950, 100});
  ::close(ends[0]);
}

TEST_CASE("runs of awaitables stand in coroutines, and in each other") {
  for (const Mode mode : {Mode::serial, Mode::thread, Mode::coroutine}) {
    INFO("mode: ", support::name(mode));
    Manager inner{&doubled, {.mode = mode, .workers = 2}};
    const auto outer = [&]() -> Async<std::size_t> {
      auto first = inner.start_async(numbers(10));
      const auto report = co_await first;
      auto second = inner.start_async(report.failed_tasks());
      auto third = inner.start_async(numbers(5));
      auto both = taskmgr::when_all(std::move(second), std::move(third));
      const auto [again, more] = co_await both;
      co_return report.succeeded + 100 * again.failed + 1000 * more.succeeded;
    };
    CHECK(taskmgr::run(outer()) == 4208);
  }
  Manager inner{&doubled, {.mode = Mode::coroutine}};
  Manager blocking{[&](Context&, int x) -> net::awaitable<int> {
                     co_await asio_sleep(10us);
                     const auto report = inner.start(numbers(x));  // on a loop of its own
                     co_return static_cast<int>(report.succeeded);
                   },
                   {.mode = Mode::coroutine}};
  CHECK(blocking.start({5, 10}).success_map().at(10) == 8);
}

TEST_CASE("a coroutine that is stopped while it awaits a run of awaitables cancels it") {
  std::stop_source stop;
  support::Counter begun;
  Manager inner{[&](Context&, int x) -> net::awaitable<int> {
                  begun.add();
                  co_await asio_sleep(1h);
                  co_return x;
                },
                {.mode = Mode::coroutine}};
  const auto outer = [&]() -> Async<> {
    auto pending = inner.start_async(numbers(3));
    const auto report = co_await pending;
  };
  std::jthread stopper{[&] {
    begun.wait_for(3);
    stop.request_stop();
  }};
  try {
    taskmgr::run(outer(), stop.get_token());
  } catch (const taskmgr::Cancelled&) {
  }
  CHECK(begun.value() == 3);
}

TEST_CASE("a stream of awaitables shows every outcome, and may be left") {
  for (const Mode mode : {Mode::serial, Mode::thread, Mode::coroutine}) {
    INFO("mode: ", support::name(mode));
    Manager manager{&doubled, {.mode = mode, .workers = 4}};
    int succeeded = 0;
    for (const auto& outcome : manager.stream(numbers(50))) succeeded += outcome.state() == State::succeeded ? 1 : 0;
    CHECK(succeeded == 40);
    for (const auto& outcome : manager.stream(numbers(50), {.ordered = true})) {
      if (outcome.task() == 1) break;
    }
  }
  int ended = 0;
  Manager sleepers{[&](Context&, int x) -> net::awaitable<int> {
                     const Ended when_it_ends{ended};
                     if (x != 3) co_await asio_sleep(1h);
                     co_return x;
                   },
                   {.mode = Mode::coroutine, .workers = 4}};
  for (const auto& outcome : sleepers.stream(numbers(10))) {
    CHECK(outcome.value() == 3);
    break;
  }
  CHECK(ended >= 4);
}

TEST_CASE("what a handler throws ends the run, and nothing of it goes on") {
  int ended = 0;
  int resumed = 0;
  Manager manager{[&](Context&, int x) -> net::awaitable<int> {
                    const Ended when_it_ends{ended};
                    const auto executor = co_await net::this_coro::executor;
                    if (x == 2) net::post(executor, [] { throw std::runtime_error("from a handler"); });
                    co_await asio_sleep(x == 1 ? 20ms : 1h);
                    ++resumed;
                    co_return x;
                  },
                  {.mode = Mode::coroutine, .workers = 3}};
  const auto report = manager.start(numbers(5));
  CHECK(report.failed == 3);
  CHECK(report.cancelled == 2);
  CHECK(report.error_map().at(1).message() == "from a handler");
  CHECK(ended == 3);

  int failed = 0;
  for (const auto& outcome : manager.stream(numbers(5))) {
    failed += outcome.state() == State::failed ? 1 : 0;
    std::this_thread::sleep_for(30ms);  // past the time of the one that wakes first
  }
  CHECK(failed == 3);
  CHECK(ended == 6);
  CHECK(resumed == 0);

  const auto thrower = [&]() -> net::awaitable<void> {
    const Ended when_it_ends{ended};
    net::post(co_await net::this_coro::executor, [] { throw std::runtime_error("from a handler"); });
    co_await asio_sleep(1h);
  };
  CHECK_THROWS_WITH_AS(taskmgr::run(as_async(thrower())), "from a handler", std::runtime_error);
  CHECK(ended == 7);
}

TEST_CASE("what a task has left behind ends with the loop") {
  int ended = 0;
  Manager manager{[&](Context&, int x) -> net::awaitable<int> {
                    const auto behind = [](int& count) -> net::awaitable<void> {
                      const Ended when_it_ends{count};
                      co_await asio_sleep(1h);
                    };
                    net::co_spawn(co_await net::this_coro::executor, behind(ended), net::detached);
                    co_await asio_sleep(100us);
                    co_return x;
                  },
                  {.mode = Mode::coroutine}};
  CHECK(manager.start(numbers(3)).succeeded == 3);
  CHECK(ended == 3);
}

TEST_CASE("a context that a task stops goes on") {
  Manager manager{[](Context&, int x) -> net::awaitable<int> {
                    const auto executor = co_await net::this_coro::executor;
                    static_cast<net::io_context&>(net::query(executor, net::execution::context)).stop();
                    co_await asio_sleep(100us);
                    co_return x;
                  },
                  {.mode = Mode::coroutine}};
  CHECK(manager.start(numbers(3)).succeeded == 3);
}

TEST_CASE("an awaitable that is never run, is empty, or finds another host") {
  int ended = 0;
  {
    const auto holds = [](std::unique_ptr<Ended>) -> net::awaitable<void> { co_return; };
    auto never = as_async(holds(std::make_unique<Ended>(ended)));
    CHECK(ended == 0);
  }
  CHECK(ended == 1);
  CHECK_THROWS_AS(taskmgr::run(as_async(net::awaitable<int>{})), taskmgr::UsageError);

  class OtherHost final : public EventLoop::Host {
    void wait(int, EventLoop::Clock::time_point) override {}
  };
  const auto hosted = []() -> Async<> {
    EventLoop::current()->host(taskmgr::detail::Owner<EventLoop::Host>{new OtherHost});
    auto pending = as_async(asio_sleep(1us));
    co_await pending;
  };
  CHECK_THROWS_AS(taskmgr::run(hosted()), taskmgr::UsageError);
}

TEST_CASE("many awaitables that sleep, fail, insist and are cancelled come to what they should") {
  INFO("TASKMGR_SEED=" << support::seed());
  support::Random random;
  enum Kind { good, fails_once, fails, aborts, sleeps };
  const int n = support::times(20'000);
  std::vector<Kind> kinds;
  std::vector<int> naps;
  for (int k = 0; k < n; ++k) {
    kinds.push_back(static_cast<Kind>(random.number(5)));
    naps.push_back(random.number(3000));
  }
  std::vector<int> attempts(static_cast<std::size_t>(n));
  Manager manager{[&](Context& context, int x) -> net::awaitable<int> {
                    const auto k = static_cast<std::size_t>(x);
                    const int attempt = context.attempt();
                    ++attempts[k];
                    co_await asio_sleep(std::chrono::microseconds{naps[k]});
                    if (kinds[k] == fails || (kinds[k] == fails_once && attempt == 1)) throw std::runtime_error("fails");
                    if (kinds[k] == aborts) throw SystemError(make_error_code(net::error::operation_aborted));
                    if (kinds[k] == sleeps) co_await asio_sleep(1h);
                    co_return x;
                  },
                  {.mode = Mode::coroutine,
                   .workers = 1000,
                   .retry = {.max_retries = 1, .base_delay = 1ms},
                   .timeout = 500ms * (support::sanitized ? 10 : 1)}};
  const auto check = [&](const auto& report) {
    CHECK(support::adds_up(report));
    for (const auto& outcome : report.outcomes()) {
      const auto k = static_cast<std::size_t>(outcome.task());
      if (outcome.state() == State::cancelled) continue;
      INFO("task ", outcome.task(), " of kind ", static_cast<int>(kinds[k]));
      const bool good_one = kinds[k] == good || (kinds[k] == fails_once && outcome.attempts() == 2);
      const bool late = outcome.state() == State::failed && outcome.error().kind() == taskmgr::TaskError::Kind::timeout;
      if (late && kinds[k] != sleeps) continue;  // the machine was slow
      CHECK((outcome.state() == State::succeeded) == good_one);
      CHECK(late == (kinds[k] == sleeps));
    }
  };
  std::vector<int> without_sleepers;
  for (const int x : numbers(n)) {
    if (kinds[static_cast<std::size_t>(x)] != sleeps || x % 50 == 0) without_sleepers.push_back(x);
  }
  const auto report = manager.start(without_sleepers);
  CHECK(report.cancelled == 0);
  check(report);
  for (const auto& outcome : report.outcomes()) {
    CHECK(outcome.attempts() == attempts[static_cast<std::size_t>(outcome.task())]);
  }

  std::stop_source stop;
  int finished = 0;
  const auto stopped = manager.start(
      numbers(n), [&](const auto&) { if (++finished == n / 4) stop.request_stop(); }, stop.get_token());
  CHECK(stopped.cancelled > 0);
  check(stopped);
}
