// SPDX-License-Identifier: MIT
// Alone: it replaces system calls for its whole process and its workers, so that each of them fails in turn.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <dlfcn.h>
#include <doctest/doctest.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <stdexcept>
#include <string>

#include "support/build.hpp"

#if defined(TASKMGR_TEST_SANITIZED)

TEST_CASE("a sanitizer has system calls of its own") { CHECK(support::sanitized); }

#else

#include <taskmgr/manager/task_manager.hpp>

#include "support/manager.hpp"
#include "support/processes.hpp"

namespace {

enum Call : std::size_t { call_fork, call_pipe, call_socketpair, call_eventfd, call_mmap, call_poll, call_read, call_write, call_send, call_vmsplice, calls };
constexpr std::array names{"fork", "pipe2", "socketpair", "eventfd", "mmap", "ppoll", "read", "write", "send", "vmsplice"};

/// Seen by the workers too: a call that fails there is the n-th of all.
struct Plan {
  std::atomic<bool> armed{false};
  std::atomic<std::size_t> call{calls};
  std::atomic<int> at{0};     // the call that fails, from 1
  std::atomic<int> error{0};
  std::atomic<int> made{0};
  std::atomic<int> failed{0};
};
Plan& plan() {
  static const support::Shared<Plan> shared;
  return shared.get();
}
bool ready = false;  // of the mapping itself nobody asks
bool slow_to_watch = false;  // the host comes to its children when they are gone
long slow_to_look = 0;       // nanoseconds that pass from each look at the clock to the next

bool fails(Call call) {
  if (!ready || !plan().armed || plan().call != call) return false;
  if (++plan().made != plan().at) return false;
  ++plan().failed;
  errno = plan().error;
  return true;
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {
pid_t fork() {
  static const auto real = next<pid_t (*)()>("fork");
  return fails(call_fork) ? -1 : real();
}
int setpgid(pid_t process, pid_t group) {  // what the host does between a fork and its first look at the child
  static const auto real = next<int (*)(pid_t, pid_t)>("setpgid");
  while (slow_to_watch && process != 0 && kill(process, 0) == 0) usleep(100);
  return real(process, group);
}
int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static const auto real = next<int (*)(clockid_t, timespec*)>("clock_gettime");
  static long ahead = 0;
  const int result = real(clock, time);
  if (clock != CLOCK_MONOTONIC || (ahead += slow_to_look) == 0) return result;
  const long nanoseconds = time->tv_nsec + ahead;
  time->tv_sec += nanoseconds / 1'000'000'000;
  time->tv_nsec = nanoseconds % 1'000'000'000;
  return result;
}
int pipe2(int* ends, int flags) {
  static const auto real = next<int (*)(int*, int)>("pipe2");
  return fails(call_pipe) ? -1 : real(ends, flags);
}
int socketpair(int domain, int type, int protocol, int* ends) {
  static const auto real = next<int (*)(int, int, int, int*)>("socketpair");
  return fails(call_socketpair) ? -1 : real(domain, type, protocol, ends);
}
int eventfd(unsigned value, int flags) {
  static const auto real = next<int (*)(unsigned, int)>("eventfd");
  return fails(call_eventfd) ? -1 : real(value, flags);
}
void* mmap(void* at, std::size_t size, int protection, int flags, int fd, off_t offset) {
  static const auto real = next<void* (*)(void*, std::size_t, int, int, int, off_t)>("mmap");
  return fails(call_mmap) ? MAP_FAILED : real(at, size, protection, flags, fd, offset);
}
int ppoll(pollfd* polled, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  static const auto real = next<int (*)(pollfd*, nfds_t, const timespec*, const sigset_t*)>("ppoll");
  return fails(call_poll) ? -1 : real(polled, count, timeout, mask);
}
ssize_t read(int fd, void* into, std::size_t size) {
  static const auto real = next<ssize_t (*)(int, void*, std::size_t)>("read");
  return fails(call_read) ? -1 : real(fd, into, size);
}
ssize_t write(int fd, const void* from, std::size_t size) {
  static const auto real = next<ssize_t (*)(int, const void*, std::size_t)>("write");
  return fails(call_write) ? -1 : real(fd, from, size);
}
ssize_t send(int fd, const void* from, std::size_t size, int flags) {
  static const auto real = next<ssize_t (*)(int, const void*, std::size_t, int)>("send");
  return fails(call_send) ? -1 : real(fd, from, size, flags);
}
ssize_t vmsplice(int fd, const iovec* from, std::size_t count, unsigned flags) {
  static const auto real = next<ssize_t (*)(int, const iovec*, std::size_t, unsigned)>("vmsplice");
  return fails(call_vmsplice) ? -1 : real(fd, from, count, flags);
}
}

namespace {

/// For the first of these calls, the second, and so on, as long as there are any.
template <class R>
void fail_in_turn(std::size_t call, int error, int tasks, R (*made_of)(int)) {
  plan().armed = false;
  ready = true;
  int at = 0;
  for (int failed = 1; failed != 0; plan().armed = false) {
    const support::NothingLeft nothing_left;
    const taskmgr::TaskManager manager{made_of, {.mode = taskmgr::Mode::process, .workers = 2, .chunk = 2}};
    plan().call = call;
    plan().error = error;
    plan().made = plan().failed = 0;
    plan().at = ++at;
    INFO(std::string(names[call]), " number ", at, " fails with error ", error);
    alarm(60);  // whoever hangs dies
    plan().armed = true;
    std::size_t unfinished = 0;
    try {
      const auto report = manager.start(support::numbers(tasks));
      plan().armed = false;
      CHECK(support::adds_up(report));
      for (const auto& [task, value] : report.success_map()) CHECK((value == made_of(task)));
      unfinished = report.total - report.succeeded;
    } catch (const std::exception& thrown) {
      plan().armed = false;
      CHECK(call <= call_mmap);  // those without which there is no worker
    }
    alarm(0);
    failed = plan().failed;
    CHECK(unfinished == 0);  // one failure is borne
  }
  CHECK(at > 1);  // or nothing has failed
  MESSAGE(std::string(names[call]), ": ", at - 1, " calls");
}

}  // namespace

TEST_CASE("whichever call of the system fails: an error, or fewer workers, and never a wrong result") {
  for (std::size_t call = 0; call < call_vmsplice; ++call) {
    for (const int error : {EIO, ENOMEM, EAGAIN, EMFILE, EINTR}) {
      if ((error == EINTR || error == EAGAIN) && call > call_fork && call < call_poll) continue;  // it cannot
      fail_in_turn(call, error, 12, +[](int x) { return x * 3; });
    }
  }
}

TEST_CASE("the same, while large results cross") {
  const auto made_of = +[](int x) { return std::string(std::size_t{5} << 19U, static_cast<char>('a' + x)); };
  for (const int error : {EFAULT, EINTR}) fail_in_turn(call_vmsplice, error, 4, made_of);
  for (const int error : {EIO, EINTR}) fail_in_turn(call_write, error, 2, made_of);
}

TEST_CASE("a worker that is dead, and reaped by the host, before anybody could watch it, has died, and not failed to start") {
  struct sigaction ignore {};
  struct sigaction before {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGCHLD, &ignore, &before);
  slow_to_watch = true;
  {
    const support::NothingLeft nothing_left;
    const support::Manager manager{[](taskmgr::Context&, int x) { return x; },
                                   {.mode = taskmgr::Mode::process, .workers = 2, .on_worker_start = [](std::size_t) { _exit(3); }}};
    const auto report = manager.start(support::numbers(3));
    CHECK(report.failed == 3);
    CHECK(report.error_map().at(0).message().find("before they began a task") != std::string::npos);
  }
  slow_to_watch = false;
  sigaction(SIGCHLD, &before, nullptr);
}

TEST_CASE("where only retries that are not due are left when workers cannot start, they are made when they are due") {
  struct Seen {
    std::atomic<bool> deadly{false};
    std::atomic<int> deaths{0};
  };
  const support::Shared<Seen> seen;
  const support::NothingLeft nothing_left;
  const support::Manager manager{
      [&](taskmgr::Context& context, int x) {
        if (x == 0 && context.attempt() == 1) throw std::runtime_error("again");
        if (x == 1 && context.attempt() == 1) {
          seen.get().deadly = true;
          _exit(3);
        }
        return x;
      },
      {.mode = taskmgr::Mode::process,
       .workers = 1,
       .retry = {.max_retries = 1, .base_delay = std::chrono::seconds{4}, .jitter = 0},  // it gives up before
       .chunk = 1,
       .on_worker_start = [&](std::size_t) {
         if (seen.get().deadly && ++seen.get().deaths <= 50) _exit(3);
       }}};
  alarm(60);  // whoever hangs dies
  const auto report = manager.start(support::numbers(3));
  alarm(0);
  CHECK(support::adds_up(report));
  CHECK(report.failed == 1);
  CHECK(report.error_map().at(2).message().find("before they began a task") != std::string::npos);
  CHECK(report.success_map().at(0) == 0);
  CHECK(report.success_map().at(1) == 1);
}

TEST_CASE("a worker may be replaced from a moment on that comes between two looks at the clock") {
  struct Seen {
    std::atomic<int> deaths{0};
  };
  for (long pause = 250'000; pause <= 8'000'000; pause += 250'000) {
    const support::Shared<Seen> seen;
    const support::NothingLeft nothing_left;
    const support::Manager manager{[](taskmgr::Context&, int x) { return x; },
                                   {.mode = taskmgr::Mode::process, .workers = 1, .on_worker_start = [&](std::size_t) {
                                      if (++seen.get().deaths <= 12) _exit(3);
                                    }}};
    INFO(pause, " ns from look to look");
    alarm(60);  // whoever hangs dies
    slow_to_look = pause;
    const auto report = manager.start(support::numbers(1));
    slow_to_look = 0;
    alarm(0);
    CHECK(report.succeeded == 1);
  }
}

#endif
