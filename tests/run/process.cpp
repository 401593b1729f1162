// SPDX-License-Identifier: MIT
#include <taskmgr/run/process.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <taskmgr/manager/task_manager.hpp>

#include "support/build.hpp"
#include "support/manager.hpp"
#include "support/processes.hpp"
#include "support/recorder.hpp"
#include "support/wait.hpp"

using support::Manager;
using support::numbers;
using support::Shared;
using taskmgr::Context;
using taskmgr::Mode;
using taskmgr::Options;
using taskmgr::TaskError;
using taskmgr::TaskManager;
using taskmgr::WorkerCrashed;
using namespace std::chrono_literals;

namespace {

const WorkerCrashed& crash_in(const TaskError& error) {
  static thread_local WorkerCrashed last{"", 0, 0};
  try {
    error.rethrow();
  } catch (const WorkerCrashed& crashed) {
    last = crashed;
  }
  return last;
}

}  // namespace

// --- deaths

TEST_CASE("each way to die fails the task that died, and no other") {
  const support::NothingLeft nothing_left;
  const Manager manager{[](Context&, int x) {
                          switch (x) {
                            case 10: raise(SIGSEGV); break;
                            case 20: std::abort();
                            case 30: _exit(7);
                            case 40: kill(getpid(), SIGKILL); break;
                            case 50: raise(SIGTERM); break;
                            case 60: _exit(0);
                            default: break;
                          }
                          return x;
                        },
                        {.mode = Mode::process, .workers = 2}};
  const auto report = manager.start(numbers(100));
  CHECK(support::adds_up(report));
  CHECK(report.failed == 6);
  const auto& errors = report.error_map();
  struct Expected {
    int task, signal, code;
  };
  for (const Expected& died : {Expected{10, SIGSEGV, 0}, {20, SIGABRT, 0}, {30, 0, 7}, {40, SIGKILL, 0}, {50, SIGTERM, 0}, {60, 0, 0}}) {
    CAPTURE(died.task);
    REQUIRE(errors.contains(died.task));
    CHECK(errors.at(died.task).kind() == TaskError::Kind::crash);
    CHECK(errors.at(died.task).attempts() == 1);
    CHECK(crash_in(errors.at(died.task)).signal() == died.signal);
    CHECK(crash_in(errors.at(died.task)).exit_code() == died.code);
  }
  CHECK(errors.at(10).message() == "its worker process was killed by SIGSEGV");
  CHECK(errors.at(30).message() ==
        "its worker process has exited with code 7 in the middle of the task: a task must return or throw");
  CHECK(errors.at(40).message().find("dmesg") != std::string::npos);
}

TEST_CASE("a crash is asked about by the retry's rule, in the parent") {
  const support::NothingLeft nothing_left;
  Shared<int> asked_here;
  const pid_t host = getpid();
  const Manager manager{[](Context& context, int x) {
                          if (context.attempt() <= x) kill(getpid(), SIGKILL);
                          return context.attempt();
                        },
                        {.mode = Mode::process,
                         .workers = 2,
                         .retry = {.max_retries = 2, .base_delay = 1ms, .on = taskmgr::retry_if([&](const std::exception& error) {
                                     if (getpid() == host) ++asked_here.get();
                                     return dynamic_cast<const WorkerCrashed*>(&error) != nullptr;
                                   })}}};
  const auto report = manager.start(numbers(4));
  CHECK(support::adds_up(report));
  CHECK(report.failed == 1);
  CHECK(report.retries == 5);
  CHECK(report.success_map().at(2) == 3);
  CHECK(report.error_map().at(3).attempts() == 3);
  CHECK(asked_here.get() == 5);
}

TEST_CASE("a hang is killed in time, also one that ignores SIGTERM, and what it started dies with it") {
  const support::NothingLeft nothing_left;
  Shared<std::atomic<pid_t>> grandchild;
  const Manager manager{[&](Context&, int x) {
                          if (x != 1) return x;
                          signal(SIGTERM, SIG_IGN);
                          const pid_t child = fork();
                          if (child != 0) grandchild.get() = child;
                          for (;;) pause();
                        },
                        {.mode = Mode::process, .workers = 2, .timeout = 500ms}};
  const auto begin = std::chrono::steady_clock::now();
  const auto report = manager.start(numbers(6));
  const auto took = std::chrono::steady_clock::now() - begin;
  CHECK(report.succeeded == 5);
  CHECK(report.error_map().at(1).kind() == TaskError::Kind::timeout);
  CHECK(report.error_map().at(1).message() == "no result within the timeout of 0.5 s");
  CHECK(took >= 700ms);
  CHECK(took < 700ms + support::slack);
  const pid_t child = grandchild.get();
  REQUIRE(child > 0);
  CHECK(support::gone_within(child, 5s));
}

TEST_CASE("a hang in a worker's first task is killed in time, however long the worker took to get ready") {
  const support::NothingLeft nothing_left;
  const Manager manager{[](Context&, int x) {
                          while (x == 0) pause();
                          return x;
                        },
                        {.mode = Mode::process, .workers = 1, .timeout = 100ms, .on_worker_start = [](std::size_t) {
                           std::this_thread::sleep_for(150ms);
                         }}};
  const auto begin = std::chrono::steady_clock::now();
  const auto report = manager.start(numbers(4));
  const auto took = std::chrono::steady_clock::now() - begin;
  CHECK(report.succeeded == 3);
  CHECK(report.error_map().at(0).kind() == TaskError::Kind::timeout);
  CHECK(took >= 400ms);
  CHECK(took < 600ms + support::slack);
}

TEST_CASE("a stopped worker is killed at its deadline") {
  const support::NothingLeft nothing_left;
  const Manager manager{[](Context& context, int x) {
                          if (x == 3 && context.attempt() == 1) raise(SIGSTOP);
                          return x;
                        },
                        {.mode = Mode::process, .workers = 2, .retry = {.max_retries = 3, .base_delay = 1ms}, .timeout = 300ms}};
  const auto report = manager.start(numbers(20));
  CHECK(report.ok());
  CHECK(report.retries >= 1);
}

TEST_CASE("what was queued behind a crash loses no attempt, and a chunk is no exception") {
  for (const std::size_t chunk : {0U, 1U, 16U}) {
    CAPTURE(chunk);
    const support::NothingLeft nothing_left;
    const Manager manager{[](Context& context, int x) {
                            if (x % 50 == 25) kill(getpid(), SIGKILL);
                            return context.attempt();
                          },
                          {.mode = Mode::process, .workers = 3, .chunk = chunk}};
    const auto report = manager.start(numbers(500));
    CHECK(support::adds_up(report));
    CHECK(report.failed == 10);
    for (const auto& [task, attempts] : report.success_map()) CHECK(attempts == 1);
  }
}

TEST_CASE("workers that die before they begin a task end the run, with that reason") {
  const support::NothingLeft nothing_left;
  const Manager manager{[](Context&, int x) { return x; },
                        {.mode = Mode::process, .workers = 2, .on_worker_start = [](std::size_t) { raise(SIGSEGV); }}};
  const auto report = manager.start(numbers(3));
  CHECK(report.failed == 3);
  CHECK(report.error_map().at(2).kind() == TaskError::Kind::crash);
  CHECK(report.error_map().at(2).message().find("before they began a task") != std::string::npos);
  CHECK(crash_in(report.error_map().at(2)).signal() == SIGSEGV);
}

// --- results

namespace {

using Texts = TaskManager<std::function<std::string(Context&, int)>>;  // of one type: it is compiled once

}  // namespace

#ifndef TASKMGR_TEST_SANITIZED  // see support/modes.hpp
TEST_CASE("who walks a stream sees what is done, while its worker is at the task behind it") {
  const Shared<std::atomic<int>> seen;
  const Manager manager{[&](Context&, int x) {  // after so many tiny ones, each waits for all before it to be seen
                          if (x >= 500 && !support::comes_to(seen.get(), x, 20s)) throw std::runtime_error("too late");
                          return x;
                        },
                        {.mode = Mode::process, .workers = 1}};
  int succeeded = 0;
  for (const auto& outcome : manager.stream(numbers(520))) {
    succeeded += outcome.state() == taskmgr::State::succeeded ? 1 : 0;
    ++seen.get();
  }
  CHECK(succeeded == 520);
}
#endif

TEST_CASE("results of any size cross, and none is too many") {
  const support::NothingLeft nothing_left;
  const Texts manager{[](Context&, int n) { return std::string(static_cast<std::size_t>(n), 'x'); }, {.mode = Mode::process, .workers = 2}};
  const auto report = manager.start({0, 1, 65'000, 65'536, 70'000, 1 << 20, 9 << 20});
  CHECK(report.ok());
  for (const auto& [task, text] : report.success_map()) CHECK(text == std::string(static_cast<std::size_t>(task), 'x'));
  const Manager many{[](Context&, int n) { return n + 1; }, {.mode = Mode::process, .workers = 2}};
  const auto all = many.start(numbers(support::times(50'000)));
  CHECK(all.ok());
  for (const auto& [task, next] : all.success_map()) REQUIRE(next == task + 1);
}

namespace {

struct Opaque {
  explicit Opaque(int) {}
};

struct Picky {
  explicit Picky(int number) : n(number) {}
  int n;
};

}  // namespace

template <>
struct taskmgr::Codec<Picky> {
  static void encode(Writer& writer, const Picky& picky) {
    if (picky.n == 1) throw std::range_error("this one stays here");
    Codec<int>::encode(writer, picky.n);
  }
  static Picky decode(Reader& reader) {
    const int n = Codec<int>::decode(reader);
    if (n == 2) throw std::domain_error("this one cannot be made here");
    if (n == 3) return Picky{Codec<int>::decode(reader)};  // which is not there
    return Picky{n};
  }
};

namespace {

struct Triple {
  std::int32_t one, two, three;
  bool operator==(const Triple&) const = default;
};

std::vector<Triple> triples(int count) {
  std::vector<Triple> all;
  for (int k = 0; k < count; ++k) all.push_back({k, k + 1, k + 2});
  return all;
}

}  // namespace

TEST_CASE("large results come in parts, whole elements each") {
  const support::NothingLeft nothing_left;
  TaskManager manager{[](int count) { return triples(count); }, {.mode = Mode::process, .workers = 2, .timings = true}};
  const auto report = manager.start({0, 21'845, 21'846, 100'000, 43'690, 7, 1'000'003});
  CHECK(report.ok());
  for (const auto& [count, all] : report.success_map()) CHECK((all == triples(count)));
}

namespace {

/// Whose memory is written over as soon as it is given back.
template <class T>
struct Overwriting {
  using value_type = T;
  Overwriting() = default;
  template <class Other>
  Overwriting(const Overwriting<Other>&) {}
  T* allocate(std::size_t count) { return std::allocator<T>{}.allocate(count); }
  void deallocate(T* at, std::size_t count) noexcept {
    ::explicit_bzero(at, count * sizeof(T));
    std::allocator<T>{}.deallocate(at, count);
  }
  bool operator==(const Overwriting&) const = default;
};

}  // namespace

TEST_CASE("a large result is read before its memory is given back") {
  const support::NothingLeft nothing_left;
  using Row = std::vector<int, Overwriting<int>>;
  const TaskManager manager{[](int task) { return Row(100'000 * static_cast<std::size_t>(task), task); },
                            {.mode = Mode::process, .workers = 2, .chunk = 1}};
  const auto report = manager.start(numbers(support::times(30)));
  CHECK(report.ok());
  for (const auto& [task, row] : report.success_map()) {
    REQUIRE(row.size() == 100'000 * static_cast<std::size_t>(task));
    CHECK(std::all_of(row.begin(), row.end(), [number = task](int x) { return x == number; }));
  }
}

TEST_CASE("results that share a frame, and those between which something else is said or thrown, go to their tasks") {
  const support::NothingLeft nothing_left;
  struct Pair {
    std::int64_t here;
    std::int64_t there;
  };
  const int count = support::times(20'000);
  const TaskManager pairs{[](Context& context, int x) {
                            if (x % 1000 == 3) context.log(taskmgr::Level::info, "three");
                            if (x % 1000 == 7 && context.attempt() == 1) throw std::runtime_error("seven");
                            if (x % 5000 == 9 && context.attempt() == 1) _exit(1);
                            return Pair{x, -x};
                          },
                          {.mode = Mode::process, .workers = 2, .retry = {.max_retries = 1, .base_delay = 0ns}}};
  const auto report = pairs.start(numbers(count));
  CHECK(report.ok());
  CHECK(report.retries == static_cast<std::size_t>((count + 992) / 1000 + (count + 4990) / 5000));
  for (const auto& [task, pair] : report.success_map()) REQUIRE((pair.here == task && pair.there == -task));
  const TaskManager nothing{[](int) {}, {.mode = Mode::process, .workers = 2}};
  CHECK(nothing.start(numbers(count)).succeeded == static_cast<std::size_t>(count));
}

TEST_CASE("a type without a codec is refused before anything starts") {
  int ran = 0;
  TaskManager manager{[&ran](int x) {
                        ++ran;
                        return Opaque{x};
                      },
                      {.mode = Mode::process}};
  CHECK_THROWS_WITH_AS(static_cast<void>(manager.start({1})),
                       doctest::Contains("Opaque: specialise taskmgr::Codec for it, or use Mode::thread"), taskmgr::UsageError);
  CHECK_THROWS_AS(static_cast<void>(manager.launch({1})), taskmgr::UsageError);
  TaskManager stream{[](const Opaque&) { return 1; }, {.mode = Mode::process}};
  CHECK_THROWS_AS(static_cast<void>(stream.stream(std::vector{Opaque{1}})), taskmgr::UsageError);
  CHECK(stream.start(std::vector{Opaque{1}}).ok());  // a batch is inherited
  CHECK(ran == 0);
}

TEST_CASE("a result that cannot be written or read fails its own task") {
  const support::NothingLeft nothing_left;
  TaskManager manager{[](int x) { return Picky{x}; }, {.mode = Mode::process, .workers = 2}};
  const auto report = manager.start(numbers(8));
  CHECK(report.failed == 3);
  CHECK(report.error_map().at(1).message() == "this one stays here");
  CHECK(report.error_map().at(2).message() == "this one cannot be made here");
  CHECK_THROWS_AS(report.error_map().at(3).rethrow(), taskmgr::CodecError);
}

TEST_CASE("foreign exceptions come back with their type's name, and the rule sees them where they were thrown") {
  struct Own : std::runtime_error {
    using std::runtime_error::runtime_error;
  };
  const Manager manager{[](Context&, int x) -> int {
                          if (x == 0) throw Own("own");
                          throw x;
                        },
                        {.mode = Mode::process, .workers = 2, .retry = {.max_retries = 3, .base_delay = 1ms, .on = taskmgr::retry_on<Own>()}}};
  const auto report = manager.start(numbers(2));
  CHECK(report.error_map().at(0).attempts() == 4);
  CHECK(report.error_map().at(0).message() == "own");
  CHECK(report.error_map().at(0).type().find("Own") != std::string::npos);
  CHECK(report.error_map().at(1).attempts() == 1);
  CHECK(report.error_map().at(1).type() == "int");
}

// --- tasks that do what no task should

namespace {

/// The pipe that a worker answers in, as a task that writes into any descriptor finds it.
int frames_descriptor() {
  for (int fd = 3; fd < 256; ++fd) {
    struct stat about {};
    if (fstat(fd, &about) == 0 && S_ISFIFO(about.st_mode) && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0) return fd;
  }
  return -1;
}

}  // namespace

TEST_CASE("a task that closes all descriptors fails, and no other") {
  const support::NothingLeft nothing_left;
  const Manager manager{[](Context&, int x) {
                          if (x == 3) {
                            for (int fd = 3; fd < 1024; ++fd) close(fd);
                          }
                          return x;
                        },
                        {.mode = Mode::process, .workers = 2}};
  const auto report = manager.start(numbers(30));
  CHECK(report.failed == 1);
  CHECK(report.error_map().at(3).kind() == TaskError::Kind::crash);
}

TEST_CASE("a task that writes into the worker's pipe fails, and no answer goes to another") {
  const support::NothingLeft nothing_left;
  for (const bool plausible : {false, true}) {
    CAPTURE(plausible);
    const Manager manager{[plausible](Context&, int x) {
                            if (x != 13) return x * 10;
                            taskmgr::detail::FrameHead head{.kind = static_cast<taskmgr::detail::FrameKind>(77)};
                            if (!plausible) std::memset(static_cast<void*>(&head), 'g', sizeof head);
                            static_cast<void>(!write(frames_descriptor(), &head, sizeof head));
                            return x * 10;
                          },
                          {.mode = Mode::process, .workers = 1, .chunk = 1}};
    const auto report = manager.start(numbers(40), support::Sink{[](support::Outcome&) { std::this_thread::sleep_for(1ms); }});
    CHECK(report.failed == 1);
    CHECK(report.error_map().at(13).message().find("what no worker sends") != std::string::npos);
    for (const auto& [task, value] : report.success_map()) CHECK(value == task * 10);
  }
}

TEST_CASE("a frame that no memory could hold is damage as well, and not waited for") {
  const support::NothingLeft nothing_left;
  const Manager manager{[](Context&, int x) {
                          if (x == 13) {
                            const taskmgr::detail::FrameHead head{.kind = taskmgr::detail::FrameKind::value, .bytes = std::uint64_t{1} << 60U};
                            static_cast<void>(!write(frames_descriptor(), &head, sizeof head));
                          }
                          return x;
                        },
                        {.mode = Mode::process, .workers = 1, .chunk = 1}};
  const auto report = manager.start(numbers(40), support::Sink{[](support::Outcome&) { std::this_thread::sleep_for(1ms); }});
  CHECK(report.failed == 1);
  CHECK(report.error_map().begin()->second.message().find("what no worker sends") != std::string::npos);
  for (const auto& [task, value] : report.success_map()) CHECK(value == task);
}

TEST_CASE("a child that a task forks ends where it comes back from the function, by whichever way") {
  const support::NothingLeft nothing_left;
  for (const std::size_t chunk : {0U, 1U, 3U}) {
    CAPTURE(chunk);
    const Manager manager{[](Context& context, int x) {
                            const bool child = x % 10 == 3 && fork() == 0;
                            if (child && x % 20 == 3) throw std::runtime_error("the child");
                            if (child && x % 30 == 3) context.log(taskmgr::Level::info, "the child");
                            return child ? -1 : x * 3;
                          },
                          {.mode = Mode::process, .workers = 2, .chunk = chunk}};
    const auto report = manager.start(numbers(300));
    CHECK(report.succeeded == 300);
    for (const auto& [task, value] : report.success_map()) REQUIRE(value == task * 3);
    const Texts large{[](Context&, int x) {
                        const bool child = x % 3 == 1 && fork() == 0;
                        return std::string(std::size_t{1} << 21U, static_cast<char>(child ? 'c' : 'a' + x));
                      },
                      {.mode = Mode::process, .workers = 2, .chunk = chunk}};
    const auto texts = large.start(numbers(9));
    CHECK(texts.succeeded == 9);
    for (const auto& [task, text] : texts.success_map()) CHECK((text == std::string(std::size_t{1} << 21U, static_cast<char>('a' + task))));
  }
}

TEST_CASE("a task that makes a daemon of its worker fails, and no other") {
  const support::NothingLeft nothing_left;
  const Manager manager{[](Context&, int x) { return x % 50 == 20 && daemon(1, 1) != 0 ? -1 : x; },
                        {.mode = Mode::process, .workers = 2}};
  const int count = support::times(5000);
  const auto report = manager.start(numbers(count));
  CHECK(report.failed == static_cast<std::size_t>(count / 50));
  for (const auto& [task, error] : report.error_map()) CHECK(task % 50 == 20);
  for (const auto& [task, value] : report.success_map()) REQUIRE(value == task);
}

TEST_CASE("descriptors of the library are none of the three that print, also where the host has closed those") {
  for (const int closed : {1, 2, 3, 4, 5, 6, 7}) {
    CAPTURE(closed);
    const pid_t host = fork();
    if (host == 0) {
      alarm(20);  // a worker that prints to where nobody reads hangs
      const int nowhere = open("/dev/null", O_WRONLY);
      dup2(nowhere, STDOUT_FILENO);
      close(nowhere);
      const auto is_closed = [closed](int fd) { return (closed >> fd) % 2 != 0; };
      for (int fd = 0; fd < 3; ++fd) {
        if (is_closed(fd)) close(fd);
      }
      const Texts manager{[](Context&, int x) {
                            std::puts(std::string(1000, 'p').c_str());
                            return std::to_string(x);
                          },
                          {.mode = Mode::process, .workers = 2}};
      bool clear = true;
      const auto report = manager.start(numbers(200), [&](auto&) {
        for (int fd = 0; fd < 3; ++fd) clear = clear && (!is_closed(fd) || fcntl(fd, F_GETFD) == -1);
      });
      _exit(report.ok() && clear ? 0 : 1);
    }
    int status = 0;
    waitpid(host, &status, 0);
    CHECK(status == 0);
  }
}

namespace {

struct Slow {
  int n;
};

}  // namespace

template <>
struct taskmgr::Codec<Slow> {
  static void encode(Writer& writer, const Slow& slow) { Codec<int>::encode(writer, slow.n); }
  static Slow decode(Reader& reader) {
    std::this_thread::sleep_for(60ms);
    return {Codec<int>::decode(reader)};
  }
};

#ifndef TASKMGR_TEST_SANITIZED  // see support/modes.hpp
TEST_CASE("the deadline of an attempt is the same on both sides, however long its worker takes to come to the function") {
  const support::NothingLeft nothing_left;
  const TaskManager manager{[](Context& context, const Slow&) -> int {
                              support::wait_for_stop(context.stop_token());
                              throw std::runtime_error("stopped");
                            },
                            {.mode = Mode::process, .workers = 2, .timeout = 100ms, .duplicates = taskmgr::Duplicates::run,
                             .on_worker_start = [](std::size_t) { signal(SIGTERM, SIG_IGN); }}};
  int seen = 0;
  for (const auto& outcome : manager.stream(std::vector<Slow>{{1}, {2}, {3}})) {
    CHECK(outcome.error().kind() == TaskError::Kind::timeout);
    ++seen;
  }
  CHECK(seen == 3);
}
#endif

TEST_CASE("a cancel ends a worker that hangs at its start") {
  const support::NothingLeft nothing_left;
  std::stop_source stop;
  const Manager manager{[](Context&, int x) { return x; }, {.mode = Mode::process, .workers = 2, .on_worker_start = [](std::size_t worker) {
                                                              if (worker == 1) std::this_thread::sleep_for(1h);
                                                            }}};
  const auto report = manager.start(numbers(30), support::Sink{[&](support::Outcome&) { stop.request_stop(); }}, stop.get_token());
  CHECK(report.succeeded + report.cancelled == 30);
  CHECK(report.succeeded > 0);
}

TEST_CASE("parts of a result that are damaged fail its task, and no other, and take no memory that they do not fill") {
  const support::NothingLeft nothing_left;
  using taskmgr::detail::FrameHead, taskmgr::detail::FrameKind;
  for (const std::size_t announced : {std::size_t{100}, std::size_t{1} << 60U}) {
    CAPTURE(announced);
    const Texts manager{[announced](Context&, int x) {
                          if (x == 13) {
                            taskmgr::ByteBuffer bytes;
                            taskmgr::detail::Frame all{bytes, FrameKind::parts};
                            taskmgr::Writer{bytes}.write_size(announced);
                            all.finish();
                            taskmgr::detail::Frame some{bytes, FrameKind::part};
                            bytes.append(std::string(5000, 'p').data(), 5000);
                            some.finish();
                            taskmgr::detail::Frame{bytes, FrameKind::all_parts}.finish();
                            static_cast<void>(!write(frames_descriptor(), bytes.data(), bytes.size()));
                            std::this_thread::sleep_for(1h);  // until the run has seen it
                          }
                          return std::string(static_cast<std::size_t>(x) << 14U, 'x');
                        },
                        {.mode = Mode::process, .workers = 1, .timeout = announced == 100 ? 0s : 1s, .chunk = 1}};
    const auto report = manager.start(numbers(40));
    CHECK(report.failed == 1);
    CHECK(report.error_map().at(13).message().find(announced == 100 ? "more than it has announced" : "not sent all that") !=
          std::string::npos);
    for (const auto& [task, text] : report.success_map()) CHECK(text == std::string(static_cast<std::size_t>(task) << 14U, 'x'));
  }
}

TEST_CASE("of a start at a time that cannot be, the time is that at which the run was told") {
  const support::NothingLeft nothing_left;
  using taskmgr::detail::Frame, taskmgr::detail::FrameKind;
  using Limits = std::numeric_limits<std::int64_t>;
  for (const std::int64_t at : {Limits::min(), std::int64_t{-1}, Limits::max()}) {
    CAPTURE(at);
    Manager manager{[at](Context&, int x) {
                      if (x != 2) return x * 10;
                      taskmgr::ByteBuffer bytes;  // the answer, and that the next has begun, which nobody did
                      Frame value{bytes, FrameKind::value};
                      bytes.append(&(x = 20), sizeof x);
                      value.finish();
                      Frame{bytes, FrameKind::started}.finish(std::chrono::nanoseconds{at});
                      static_cast<void>(!write(frames_descriptor(), bytes.data(), bytes.size()));
                      _exit(1);
                    },
                    {.mode = Mode::process, .workers = 1, .chunk = 8}};
    support::Recorder recorder;
    manager.observe(recorder);
    const auto report = manager.start(numbers(8));
    CHECK(report.ok());
    for (const auto& [task, value] : report.success_map()) CHECK(value == task * 10);
    CHECK(recorder.count(taskmgr::EventKind::task_started) == 8);
    for (const support::Heard& started : recorder.of(taskmgr::EventKind::task_started)) {
      CHECK(started.time >= recorder.all().front().time);
      CHECK(started.time <= recorder.all().back().time);
    }
  }
}

TEST_CASE("a worker that waits until its results are read is not taken for one that hangs") {
  const support::NothingLeft nothing_left;
  const support::Shared<std::atomic<int>> started;
  const Texts manager{[](Context&, int x) { return std::string(std::size_t{8} << 20U, static_cast<char>('a' + x)); },
                      {.mode = Mode::process, .workers = 2, .timeout = 300ms, .on_worker_start = [&](std::size_t) { ++started.get(); }}};
  const auto report = manager.start(numbers(6), [](auto&) { std::this_thread::sleep_for(700ms); });
  CHECK(report.ok());
  CHECK(report.retries == 0);
  CHECK(started.get().load() == 2);
}

TEST_CASE("a task that leaves its process group is killed at its deadline") {
  const support::NothingLeft nothing_left;
  const Manager manager{[](Context&, int x) {
                          if (x != 3) return x;
                          setpgid(0, getpgid(getppid()));
                          for (;;) pause();
                        },
                        {.mode = Mode::process, .workers = 2, .timeout = 500ms}};
  const auto report = manager.start(numbers(8));
  CHECK(report.failed == 1);
  CHECK(report.error_map().at(3).kind() == TaskError::Kind::timeout);
}

TEST_CASE("a seat whose workers always die at their start costs nothing as long as another's live") {
  const support::NothingLeft nothing_left;
  const Manager manager{[](Context&, int x) {
                          std::this_thread::sleep_for(2ms);
                          return x;
                        },
                        {.mode = Mode::process, .workers = 2, .on_worker_start = [](std::size_t worker) {
                           if (worker == 1) _exit(1);
                         }}};
  CHECK(manager.start(numbers(100)).ok());
}

TEST_CASE("a worker that waits to be replaced costs no time of the processor") {
  const support::NothingLeft nothing_left;
  const Manager manager{[](Context& context, int x) {
                          if (x == 1 && context.attempt() == 1) throw std::runtime_error("once");
                          if (x == 2) std::this_thread::sleep_for(1s);
                          return x;
                        },
                        {.mode = Mode::process, .workers = 1, .retry = {.max_retries = 1, .base_delay = 5ms}, .tasks_per_worker = 1}};
  const std::clock_t before = std::clock();
  CHECK(manager.start({1, 2, 3}).ok());
  CHECK(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC < 0.5);
}

#ifndef TASKMGR_TEST_SANITIZED  // which needs descriptors and memory of its own
TEST_CASE("with too few descriptors there are fewer workers; with none, start throws") {
  const support::NothingLeft nothing_left;
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const Manager manager{[](Context&, int x) { return x; }, {.mode = Mode::process, .workers = 8}};
  const auto allow = [](rlim_t descriptors) {
    rlimit few{};
    getrlimit(RLIMIT_NOFILE, &few);
    few.rlim_cur = descriptors;
    setrlimit(RLIMIT_NOFILE, &few);
  };
  const auto free_now = [] {
    std::vector<int> taken;
    for (int fd = dup(0); fd >= 0; fd = dup(0)) taken.push_back(fd);
    for (const int fd : taken) close(fd);
    return taken.size();
  };
  constexpr std::size_t needed = 6;  // for one worker
  rlim_t allowed = 0;
  for (std::size_t spare = 0; spare < 16; ++spare) {
    CAPTURE(spare);
    do allow(++allowed);
    while (free_now() < spare);  // whoever has started this program may have left some open, above others
    try {
      const bool ok = manager.start(numbers(100)).ok();
      CHECK(ok);
      CHECK(spare >= needed);
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::errc::too_many_files_open);
      CHECK(spare < needed);
    }
    setrlimit(RLIMIT_NOFILE, &before);
  }
}

TEST_CASE("a task of a stream that is too large for a worker fails, and no other") {
  const support::NothingLeft nothing_left;
  TaskManager manager{[](const std::string& text) { return text.size(); },
                      {.mode = Mode::process, .workers = 2, .on_worker_start = [](std::size_t) {
                         const rlimit little{200U << 20U, 200U << 20U};
                         setrlimit(RLIMIT_AS, &little);
                       }}};
  std::vector<std::string> texts;
  for (int k = 0; k < 100; ++k) texts.push_back("small " + std::to_string(k));
  texts[20] = std::string(300U << 20U, 'a');
  std::size_t failed = 0;
  for (const auto& outcome : manager.stream(texts)) {
    if (outcome.state() == taskmgr::State::succeeded) continue;
    ++failed;
    CHECK(outcome.task().size() == 300U << 20U);
  }
  CHECK(failed == 1);
}
#endif

// --- what a worker is

TEST_CASE("a worker is a child with a process group of its own, and a batch keeps it") {
  const support::NothingLeft nothing_left;
  Shared<std::array<std::atomic<bool>, 3>> here;
  const Manager manager{[&, host = getpid()](Context& context, int) {
                          here.get()[context.worker()] = true;
                          for (auto& worker : here.get()) {
                            while (!worker) std::this_thread::sleep_for(1ms);
                          }
                          return getppid() == host && getpgrp() == getpid() && getpid() != host ? static_cast<int>(getpid()) : -1;
                        },
                        {.mode = Mode::process, .workers = 3}};
  const auto report = manager.start(numbers(60));
  std::set<int> workers;
  for (const auto& [task, worker] : report.success_map()) workers.insert(worker);
  CHECK(workers.size() == 3);
  CHECK(!workers.contains(-1));
}

TEST_CASE("a worker is replaced after so many tasks") {
  const support::NothingLeft nothing_left;
  for (const std::size_t chunk : {0U, 7U}) {
    const Manager manager{[](Context&, int) { return static_cast<int>(getpid()); },
                          {.mode = Mode::process, .workers = 2, .chunk = chunk, .tasks_per_worker = 10}};
    const auto report = manager.start(numbers(200));
    CHECK(report.ok());
    std::map<int, int> tasks;
    for (const auto& [task, worker] : report.success_map()) ++tasks[worker];
    CHECK(tasks.size() >= 20);
    for (const auto& [worker, count] : tasks) CHECK(count <= 10);
  }
}

namespace {

std::atomic<int> handled{0};
extern "C" void count_signal(int) { ++handled; }

}  // namespace

TEST_CASE("a worker handles no signal as the host does, and leaves the host's alone") {
  const support::NothingLeft nothing_left;
  struct sigaction mine {};
  struct sigaction before {};
  struct sigaction term {};
  mine.sa_handler = &count_signal;
  sigaction(SIGUSR1, &mine, &before);
  sigaction(SIGTERM, &mine, &term);
  const Manager manager{[](Context&, int x) {
                          struct sigaction now {};
                          sigaction(x == 0 ? SIGUSR1 : x == 1 ? SIGTERM : SIGINT, nullptr, &now);
                          return now.sa_handler == SIG_DFL ? 0 : now.sa_handler == SIG_IGN ? 1 : 2;
                        },
                        {.mode = Mode::process, .workers = 2}};
  const auto report = manager.start(numbers(3));
  struct sigaction now {};
  sigaction(SIGUSR1, &before, &now);
  sigaction(SIGTERM, &term, nullptr);
  const bool still_mine = now.sa_handler == &count_signal;
  CHECK(still_mine);
  CHECK(report[0].value() == 0);
  CHECK(report[1].value() == 0);
  CHECK(report[2].value() == 1);
}

TEST_CASE("a host that ignores SIGCHLD, or reaps our children itself, still sees crashes as crashes") {
  for (const bool ignores : {true, false}) {
    CAPTURE(ignores);
    struct sigaction action {};
    struct sigaction before {};
    action.sa_handler = ignores ? SIG_IGN : +[](int) {
      const int error = errno;
      while (waitpid(-1, nullptr, WNOHANG) > 0) {
      }
      errno = error;
    };
    action.sa_flags = SA_RESTART;
    sigaction(SIGCHLD, &action, &before);
    {
      const Manager manager{[](Context&, int x) {
                              if (x % 4 == 0) kill(getpid(), SIGKILL);
                              return x;
                            },
                            {.mode = Mode::process, .workers = 2}};
      const auto report = manager.start(numbers(20));
      CHECK(report.failed == 5);
      for (const auto& [task, error] : report.error_map()) CHECK(error.kind() == TaskError::Kind::crash);
      if (ignores) {
        CHECK(crash_in(report.error_map().at(0)).signal() == 0);
        CHECK(report.error_map().at(0).message().find("the host reaped it") != std::string::npos);
      }
    }
    sigaction(SIGCHLD, &before, nullptr);
  }
}

TEST_CASE("a host that is killed leaves no worker behind") {
  Shared<std::array<std::atomic<pid_t>, 3>> workers;
  taskmgr::detail::flush_output();  // or the child has a copy to write
  const pid_t host = fork();
  if (host == 0) {
    const Manager manager{[&](Context& context, int x) {
                            workers.get()[context.worker()] = getpid();
                            for (;;) pause();
                            return x;
                          },
                          {.mode = Mode::process, .workers = 3}};
    static_cast<void>(manager.start(numbers(3)));
    _exit(0);
  }
  for (auto& worker : workers.get()) {
    while (worker == 0) std::this_thread::yield();
  }
  kill(host, SIGKILL);
  waitpid(host, nullptr, 0);
  for (auto& worker : workers.get()) CHECK(support::gone_within(worker, 5s));
}

// --- within each other

TEST_CASE("a process manager inside a process manager's task") {
  const support::NothingLeft nothing_left;
  const Manager inner{[](Context&, int x) { return x * 10; }, {.mode = Mode::process, .workers = 2}};
  const Manager outer{[&inner](Context&, int x) {
                        int sum = 0;
                        for (const auto& [task, value] : inner.start(numbers(x)).success_map()) sum += value;
                        return sum;
                      },
                      {.mode = Mode::process, .workers = 2}};
  CHECK(inner.start(numbers(4)).ok());
  const auto report = outer.start(numbers(5));
  CHECK(report.ok());
  CHECK(report.success_map().at(4) == 60);
}

// --- what a task says

TEST_CASE("a sink is called here, for each outcome") {
  const support::NothingLeft nothing_left;
  const Manager manager{[](Context&, int x) {
                          if (x % 9 == 0) throw std::runtime_error("nine");
                          return x;
                        },
                        {.mode = Mode::process, .workers = 2}};
  std::set<int> seen;
  const auto report = manager.start(numbers(300), support::Sink{[&](support::Outcome& outcome) { seen.insert(outcome.task()); }});
  CHECK(seen.size() == 300);
  CHECK(report.failed == 34);
}

// --- among other threads of the host

#ifndef TASKMGR_TEST_ASAN  // whose allocator may be locked for ever in a process that was forked among threads

TEST_CASE("a worker whose start throws runs no task, and the exception comes back") {
  const support::NothingLeft nothing_left;
  for (const bool all : {false, true}) {
    const Manager manager{[](Context& context, int) { return static_cast<int>(context.worker()); },
                          {.mode = Mode::process, .workers = 2, .on_worker_start = [all](std::size_t worker) {
                             if (all || worker == 0) throw std::length_error("no model for this worker");
                           }}};
    auto run = manager.launch(numbers(20));
    CHECK_THROWS_AS(run.wait(), std::length_error);
    const auto& report = run.report();
    CHECK(report.succeeded == (all ? 0U : 20U));
    CHECK(report.cancelled == (all ? 20U : 0U));
    for (const auto& [task, worker] : report.success_map()) CHECK(worker == 1);
  }
}

TEST_CASE("a task that cannot be sent fails, and is announced like others") {
  const support::NothingLeft nothing_left;
  support::Recorder recorder;
  TaskManager manager{[](const Picky& picky) { return picky.n; }, {.mode = Mode::process, .workers = 2}};
  manager.observe(recorder);
  std::vector<Picky> tasks;
  for (const int n : {0, 1, 4, 2, 5}) tasks.emplace_back(n);
  int sum = 0;
  std::vector<std::string> errors;
  for (const auto& outcome : manager.stream(tasks, {.ordered = true})) {
    if (outcome.state() == taskmgr::State::succeeded) sum += outcome.value();
    else errors.push_back(outcome.error().message());
  }
  CHECK(sum == 9);
  CHECK(errors == std::vector<std::string>{"this one stays here", "this one cannot be made here"});
  CHECK(recorder.count(taskmgr::EventKind::task_started) == 5);
  CHECK(recorder.count(taskmgr::EventKind::task_failed) == 2);
}

TEST_CASE("a worker has the ends of its own pipes and of no other's") {
  const support::NothingLeft nothing_left;
  const auto count_in_worker = [](std::size_t workers) {
    const Manager manager{[](Context&, int) {
                            std::this_thread::sleep_for(10ms);
                            return support::open_descriptors();
                          },
                          {.mode = Mode::process, .workers = workers}};
    int most = 0;
    for (const auto& [task, open] : manager.start(numbers(12)).success_map()) most = std::max(most, open);
    return most;
  };
  const int here = support::open_descriptors();
  CHECK(count_in_worker(1) == here + 2);
  int alone = 0;
  int beside = 0;
  std::thread other{[&] { beside = count_in_worker(3); }};
  alone = count_in_worker(3);
  other.join();
  CHECK(alone == here + 2);
  CHECK(beside == here + 2);
}

TEST_CASE("two managers in two threads, each with a worker's crash, do not disturb each other") {
  const support::NothingLeft nothing_left;
  const auto run = [] {
    const Manager manager{[](Context& context, int x) {
                            if (x % 10 == 0 && context.attempt() == 1) _exit(1);
                            return x;
                          },
                          {.mode = Mode::process, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1ms}}};
    for (int round = 0; round < 3; ++round) CHECK(manager.start(numbers(50)).ok());
  };
  std::thread one{run}, two{run};
  one.join();
  two.join();
}

TEST_CASE("a cancelled run ends when its attempts do, and a task can ask whether it shall") {
  const support::NothingLeft nothing_left;
  Shared<std::atomic<int>> begun;
  const Manager manager{[&](Context& context, int x) {
                          ++begun.get();
                          while (!context.stop_requested()) std::this_thread::sleep_for(1ms);
                          if (x == 0) throw taskmgr::Cancelled{};
                          return x;
                        },
                        {.mode = Mode::process, .workers = 2}};
  auto run = manager.launch(numbers(400));
  while (begun.get() < 2) std::this_thread::sleep_for(1ms);
  run.cancel();
  const auto report = run.wait();
  CHECK(support::adds_up(report));
  CHECK(begun.get() == 2);
  CHECK(report.succeeded == 1);
  CHECK(report.cancelled == 399);
  CHECK(report[0].attempts() == 1);
  CHECK(report[1].value() == 1);
}

TEST_CASE("a cancelled run begins nothing more, not even of what a worker takes at once while tasks are tiny") {
  const support::NothingLeft nothing_left;
  constexpr int tiny = 20'000;
  Shared<std::atomic<int>> begun;
  const Manager manager{[&](Context& context, int x) {
                          if (x < tiny) return x;
                          ++begun.get();
                          while (!context.stop_requested()) std::this_thread::sleep_for(1ms);
                          return x;
                        },
                        {.mode = Mode::process, .workers = 2}};
  auto run = manager.launch(numbers(tiny + 4000));
  while (begun.get() < 2) std::this_thread::sleep_for(1ms);
  run.cancel();
  const auto report = run.wait();
  CHECK(support::adds_up(report));
  CHECK(begun.get() == 2);
  CHECK(report.failed == 0);
  for (const auto& [task, value] : report.success_map()) REQUIRE(value == task);
}

TEST_CASE("runs and streams may be abandoned in the middle") {
  const support::NothingLeft nothing_left;
  const Manager manager{[](Context& context, int x) {
                          for (int k = 0; k < 5 && !context.stop_requested(); ++k) std::this_thread::sleep_for(1ms);
                          return x;
                        },
                        {.mode = Mode::process, .workers = 2}};
  for (int round = 0; round < 5; ++round) {
    {
      const auto run = manager.launch(numbers(100));
      if (round % 2 == 0) std::this_thread::sleep_for(3ms);
    }
    int seen = 0;
    for (const auto& outcome : manager.stream(numbers(1000))) {
      CHECK(outcome.state() == taskmgr::State::succeeded);
      if (++seen > round) break;
    }
  }
}

TEST_CASE("a stream goes on over crashes, in order and out of it") {
  const support::NothingLeft nothing_left;
  for (const bool ordered : {false, true}) {
    const Manager manager{[](Context&, int x) {
                            if (x % 100 == 50) raise(SIGKILL);
                            return x;
                          },
                          {.mode = Mode::process, .workers = 2}};
    int next = 0;
    int failed = 0;
    for (const auto& outcome : manager.stream(numbers(1000), {.ordered = ordered})) {
      if (ordered) CHECK(outcome.task() == next);
      ++next;
      failed += outcome.state() == taskmgr::State::failed ? 1 : 0;
    }
    CHECK(next == 1000);
    CHECK(failed == 10);
  }
}

TEST_CASE("what a task says is heard, in its order, and once a start") {
  const support::NothingLeft nothing_left;
  support::Recorder recorder;
  Manager manager{[](Context& context, int x) {
                    context.log(taskmgr::Level::warning, "task {} attempt {}", x, context.attempt());
                    context.progress(x, 10);
                    if (x == 2 && context.attempt() == 1) _exit(3);
                    return x;
                  },
                  {.mode = Mode::process, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1ms}, .timings = true}};
  manager.observe(recorder);
  const auto report = manager.start(numbers(6));
  CHECK(report.ok());
  CHECK(recorder.count(taskmgr::EventKind::task_started) == 7);
  CHECK(recorder.count(taskmgr::EventKind::task_log) == 7);
  CHECK(recorder.count(taskmgr::EventKind::task_progress) == 7);
  CHECK(recorder.count(taskmgr::EventKind::task_retrying) == 1);
  CHECK(recorder.count(taskmgr::EventKind::task_succeeded) == 6);
}

#ifndef TASKMGR_TEST_SANITIZED  // see support/modes.hpp
TEST_CASE("a thread manager that was warm here works in a worker, and another can be made there") {
  const support::NothingLeft nothing_left;
  const Manager warm{[](Context&, int x) {
                       std::this_thread::sleep_for(1ms);
                       return x;
                     },
                     {.mode = Mode::thread, .workers = 3}};
  CHECK(warm.start(numbers(9)).ok());
  auto running = warm.launch(numbers(30));
  const Manager outer{[&warm](Context&, int x) {
                        const Manager fresh{[](Context&, int y) { return y; }, {.mode = Mode::thread, .workers = 2}};
                        return warm.start(numbers(9)).ok() && fresh.start(numbers(9)).ok() ? x : -1;
                      },
                      {.mode = Mode::process, .workers = 2}};
  const auto report = outer.start(numbers(4));
  for (const auto& [task, value] : report.success_map()) CHECK(value == task);
  CHECK(report.ok());
  CHECK(running.wait().ok());
}

TEST_CASE("the stop token works in a worker too") {
  const support::NothingLeft nothing_left;
  Shared<std::atomic<int>> begun;
  const Manager manager{[&](Context& context, int x) {
                          ++begun.get();
                          support::wait_for_stop(context.stop_token());
                          return context.stop_requested() ? x : -1;
                        },
                        {.mode = Mode::process, .workers = 2}};
  auto run = manager.launch(numbers(5));
  while (begun.get() < 2) std::this_thread::sleep_for(1ms);
  run.cancel();
  const auto report = run.wait();
  CHECK(report.succeeded == 2);
  CHECK(report.cancelled == 3);
  for (const auto& [task, value] : report.success_map()) CHECK(value == task);
}
#endif

#endif

// --- storms

/// Until it ends, a thread that sends a signal to one worker after the other, of those that have stood up since the last.
template <std::size_t workers>
class Striker {
 public:
  Striker(int signal, std::chrono::milliseconds pause) {
    thread_ = std::thread{[this, signal, pause] {
      up_ = true;  // from here on it allocates nothing: see support/modes.hpp
      for (std::size_t k = 0; !over_; ++k) {
        std::this_thread::sleep_for(pause);
        const pid_t worker = standing_.get()[k % workers].exchange(0);
        if (worker > 0 && kill(worker, signal) == 0) ++hit_;
      }
    }};
    while (!up_) std::this_thread::yield();
  }
  Striker(const Striker&) = delete;
  Striker& operator=(const Striker&) = delete;
  ~Striker() { end(); }

  /// In a worker.
  void stand_up(std::size_t worker) noexcept { standing_.get()[worker] = getpid(); }

  /// How many signals were sent.
  int end() {
    over_ = true;
    if (thread_.joinable()) thread_.join();
    return hit_;
  }

 private:
  const Shared<std::array<std::atomic<pid_t>, workers>> standing_;
  std::atomic<bool> over_{false};
  std::atomic<bool> up_{false};
  int hit_ = 0;
  std::thread thread_;
};

TEST_CASE("workers may be killed at any moment: each task has exactly one outcome, and no innocent one fails") {
  const support::NothingLeft nothing_left;
  const int count = support::times(20'000);
  Striker<3> killer{SIGKILL, 1ms};
  const Manager manager{[&](Context& context, int x) {
                          killer.stand_up(context.worker());
                          const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds{x % 100};
                          while (std::chrono::steady_clock::now() < until) {
                          }
                          return x + 1;
                        },
                        {.mode = Mode::process, .workers = 3, .retry = {.max_retries = 1000, .base_delay = 0ns}}};
  const auto report = manager.start(numbers(count));
  const int hit = killer.end();
  MESSAGE("killed: ", hit);
  CHECK(support::adds_up(report));
  CHECK(report.succeeded == static_cast<std::size_t>(count));
  for (const auto& [task, value] : report.success_map()) REQUIRE(value == task + 1);
  CHECK(hit > 0);
}

TEST_CASE("workers may be killed while a large result crosses: it is whole in the end") {
  const support::NothingLeft nothing_left;
  const int count = support::times(300);
  Striker<2> killer{SIGKILL, 3ms};
  const auto made = [](int x) { return std::string((5U << 19U) + static_cast<std::size_t>(x), static_cast<char>('a' + x % 26)); };
  const Texts manager{[&](Context& context, int x) {
                        killer.stand_up(context.worker());
                        return made(x);
                      },
                      {.mode = Mode::process, .workers = 2, .retry = {.max_retries = 1000, .base_delay = 0ns}}};
  const auto report = manager.start(numbers(count));
  const int hit = killer.end();
  MESSAGE("killed: ", hit);
  CHECK(hit > 0);
  CHECK(report.succeeded == static_cast<std::size_t>(count));
  for (const auto& [task, text] : report.success_map()) CHECK((text == made(task)));
}

TEST_CASE("workers may be stopped at any moment: a timeout replaces them") {
  const support::NothingLeft nothing_left;
  const int count = support::times(5'000);
  Striker<2> stopper{SIGSTOP, 1ms};
  const Manager manager{[&](Context& context, int x) {
                          stopper.stand_up(context.worker());
                          return x + 1;
                        },
                        {.mode = Mode::process, .workers = 2, .retry = {.max_retries = 1000, .base_delay = 0ns}, .timeout = 20ms, .chunk = 1}};
  for (int round = 0; round < 3; ++round) {
    const auto report = manager.start(numbers(count));
    CHECK(report.succeeded == static_cast<std::size_t>(count));
  }
  const int hit = stopper.end();
  MESSAGE("stopped: ", hit);
  CHECK(hit > 0);
}
