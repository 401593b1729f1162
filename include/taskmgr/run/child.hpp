// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A forked process that does one job: its birth, its signals, its death.

#include <signal.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <initializer_list>
#include <iostream>
#include <string>
#include <utility>

#include "../core/error.hpp"
#include "descriptor.hpp"
#include "job.hpp"

namespace taskmgr::detail {

/// How a process has ended: by a signal, or with an exit code. Both 0 where it left by itself in peace, and where nobody
/// knows because the host has reaped it.
struct Death {
  int signal = 0;
  int exit_code = 0;
  bool known = false;
};

/// A child that does a job and then leaves without a word to the host's `atexit` and destructors.
///
/// It leads a process group of its own, has none of our descriptors but those that it keeps, handles no signal as the host
/// does, ignores SIGINT, and is killed when the thread that forked it ends. Ended while it lives, it is killed.
class Child {
 public:
  Child() = default;
  /// Throws `std::system_error` where no process can be had. In the child it does not return. `kept` stay open there.
  Child(Job job, std::initializer_list<int> kept);
  Child(Child&& other) noexcept : id_(std::exchange(other.id_, 0)), handle_(std::move(other.handle_)) {}
  Child& operator=(Child&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Child() {
    if (id_ == 0) return;
    kill(SIGKILL);
    static_cast<void>(reap());
  }

  /// Can be read, for `poll`, once it is dead.
  [[nodiscard]] int handle() const noexcept { return handle_.get(); }

  /// To it and to all in its process group, those that its tasks have started.
  void kill(int signal) noexcept;
  /// To all in its group, though it has died itself, and may have been reaped by the host.
  void kill_group(int signal) noexcept { ::kill(-id_, signal); }

  /// Of one that is dead, or about to be: no zombie is left.
  [[nodiscard]] Death reap() noexcept;

 private:
  [[noreturn]] static void live(Job job, pid_t parent, std::initializer_list<int> kept, sigset_t mask) noexcept;
  [[nodiscard]] static Descriptor handle_of(pid_t id);

  pid_t id_ = 0;
  Descriptor handle_;
};

/// In a child: it is killed when the thread that forked it ends. The system forgets that when a process changes its user or group.
inline void die_with(pid_t parent) noexcept {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(0);  // it has died before that
}

/// What a death says to whoever reads the error of a task.
[[nodiscard]] std::string describe(const Death& death);

/// Writes out what this program has printed; nothing of what it prints to files of its own.
inline void flush_output() noexcept {
  std::fflush(stdout);
  std::fflush(stderr);
  try {
    std::cout.flush();
    std::clog.flush();
    std::wcout.flush();
    std::wclog.flush();
  } catch (...) {  // the host has asked its streams to throw
  }
}

// ---------------------------------------------------------------------------------------------------------------------

inline Child::Child(Job job, std::initializer_list<int> kept) {
  flush_output();
  sigset_t all, before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // no handler of the host runs in the child before it is taken away
  const pid_t parent = ::getpid();
  const pid_t id = ::fork();
  if (id == 0) live(job, parent, kept, before);
  const int error = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (id < 0) throw_errno("fork a worker process", error);
  id_ = id;
  ::setpgid(id, id);  // here as well: whoever comes first
  try {
    handle_ = handle_of(id);
  } catch (...) {
    ::kill(id, SIGKILL);
    uninterrupted([id] { return ::waitpid(id, nullptr, 0); });
    throw;
  }
}

/// Of one that has died and been reaped by the host by now: what can be read all the time, and knows nothing.
inline Descriptor Child::handle_of(pid_t id) {
  return Descriptor::opened("watch a worker process (Linux 5.4 is needed)", [id] {
    const int handle = static_cast<int>(::syscall(SYS_pidfd_open, id, 0));
    return handle < 0 && errno == ESRCH ? ::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK) : handle;
  });
}

/// A task may end the program, or what it calls in some library: the host's `atexit` functions and destructors are not for it.
inline void leave_without_the_host() noexcept {
#ifdef __GLIBC__
  ::on_exit(
      [](int code, void*) {
        flush_output();
        ::_exit(code);
      },
      nullptr);
#endif
}

inline void Child::live(Job job, pid_t parent, std::initializer_list<int> kept, sigset_t mask) noexcept {
  die_with(parent);
  ::setpgid(0, 0);
  // What another thread of the host had printed since it was written out is the host's to write.
  ::__fpurge(stdout);
  Descriptor::close_all_but(kept);
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action;
    if (::sigaction(signal, nullptr, &action) != 0) continue;
    if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN) ::signal(signal, SIG_DFL);
  }
  ::signal(SIGTERM, SIG_DFL);
  for (const int signal : {SIGTTIN, SIGTTOU}) ::signal(signal, SIG_IGN);  // it is in the background of any terminal
  ::signal(SIGINT, SIG_IGN);  // of the terminal: what becomes of the run is for the host to say
  sigdelset(&mask, SIGTERM);
  ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
  leave_without_the_host();
  job();
  flush_output();
  ::_exit(0);
}

inline void Child::kill(int signal) noexcept {
  // The number of a process that the host has reaped may be another's by now: its handle knows. And it may have left its
  // group: both get the signal.
  if (::syscall(SYS_pidfd_send_signal, handle(), signal, nullptr, 0) == 0) kill_group(signal);
}

inline Death Child::reap() noexcept {
  siginfo_t info{};
  const auto wait = [&] { return ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(handle()), &info, WEXITED); };
  const bool known = uninterrupted(wait) == 0;
  id_ = 0;
  handle_.close();
  if (!known) return {};
  if (info.si_code == CLD_EXITED) return {0, info.si_status, true};
  return {info.si_status, 0, true};
}

/// As people know it; null for one that hardly anybody meets.
[[nodiscard]] inline const char* signal_name(int signal) noexcept {
  switch (signal) {
    case SIGHUP: return "SIGHUP";
    case SIGINT: return "SIGINT";
    case SIGQUIT: return "SIGQUIT";
    case SIGILL: return "SIGILL";
    case SIGTRAP: return "SIGTRAP";
    case SIGABRT: return "SIGABRT";
    case SIGBUS: return "SIGBUS";
    case SIGFPE: return "SIGFPE";
    case SIGKILL: return "SIGKILL";
    case SIGUSR1: return "SIGUSR1";
    case SIGSEGV: return "SIGSEGV";
    case SIGUSR2: return "SIGUSR2";
    case SIGPIPE: return "SIGPIPE";
    case SIGALRM: return "SIGALRM";
    case SIGTERM: return "SIGTERM";
    case SIGXCPU: return "SIGXCPU";
    case SIGXFSZ: return "SIGXFSZ";
    case SIGVTALRM: return "SIGVTALRM";
    case SIGPROF: return "SIGPROF";
    case SIGSYS: return "SIGSYS";
    default: return nullptr;
  }
}

inline std::string describe(const Death& death) {
  if (!death.known) return "its worker process has died; how is not known, as the host reaped it";
  if (death.signal == 0) {
    return "its worker process has exited with code " + std::to_string(death.exit_code) +
           " in the middle of the task: a task must return or throw";
  }
  const char* const name = signal_name(death.signal);
  std::string text = "its worker process was killed by " + (name != nullptr ? std::string(name) : "signal " + std::to_string(death.signal));
  if (death.signal == SIGKILL) text += ": by somebody, or for want of memory (then the kernel's log says so: dmesg)";
  return text;
}

}  // namespace taskmgr::detail
