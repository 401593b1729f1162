// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A watchdog over a program that may hang: it says where all its processes are, ends them, and fails.

#include <dirent.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

namespace storm {

/// From now on this process prints where it is when it gets SIGUSR2, for where there is no gdb.
inline void tell_where_if_asked() {
  struct sigaction action {};
  action.sa_flags = SA_RESTART;
  action.sa_handler = [](int) {
    const int error = errno;
    void* frames[64];
    ::backtrace_symbols_fd(frames, ::backtrace(frames, 64), STDERR_FILENO);
    errno = error;
  };
  void* frame = nullptr;
  ::backtrace(&frame, 1);  // loads what it needs now, for it may not allocate in the handler
  ::sigaction(SIGUSR2, &action, nullptr);
}

/// Calls `body`, which returns an exit code, in a process of its own, and returns that code. If `progress` does not change
/// for as long as `patience`, prints the stacks of that process and of all that descend from it, kills them, and returns 1.
template <class Body>
[[nodiscard]] int watched(const std::atomic<std::uint64_t>& progress, std::chrono::seconds patience, const Body& body);

// ---------------------------------------------------------------------------------------------------------------------

inline std::string text_of(const std::string& file) {
  std::ifstream in{file};
  return {std::istreambuf_iterator<char>{in}, {}};
}

/// The numbers that name entries of a folder of /proc.
inline std::vector<pid_t> numbers_in(const std::string& folder) {
  std::vector<pid_t> all;
  DIR* const opened = ::opendir(folder.c_str());
  if (opened == nullptr) return all;
  while (const dirent* const entry = ::readdir(opened)) {
    if (std::isdigit(static_cast<unsigned char>(entry->d_name[0])) != 0) all.push_back(std::atoi(entry->d_name));
  }
  ::closedir(opened);
  return all;
}

inline std::string field_of(const std::string& status, const std::string& name) {
  const std::size_t at = status.find("\n" + name + ":\t");
  if (at == std::string::npos) return "?";
  const std::size_t from = at + name.size() + 3;
  return status.substr(from, status.find('\n', from) - from);
}

/// A process and all that descend from it.
inline std::vector<pid_t> family_of(pid_t eldest) {
  std::vector<pid_t> family{eldest};
  const std::vector<pid_t> all = numbers_in("/proc");
  for (std::size_t k = 0; k < family.size(); ++k) {
    for (const pid_t one : all) {
      const std::string parent = field_of(text_of("/proc/" + std::to_string(one) + "/status"), "PPid");
      if (parent == std::to_string(family[k])) family.push_back(one);
    }
  }
  return family;
}

/// By gdb, whose output goes to stderr. Says whether it is there and could look at the process.
inline bool tell_by_gdb(pid_t process) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(STDERR_FILENO, STDOUT_FILENO);
    const std::string number = std::to_string(process);
    // the last command fails where gdb may not look at the process
    ::execlp("gdb", "gdb", "-nx", "-batch", "-p", number.c_str(), "-ex", "thread apply all backtrace", "-ex", "frame", nullptr);
    ::_exit(127);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

inline void tell_where(pid_t process) {
  const std::string folder = "/proc/" + std::to_string(process);
  const auto of = [](const std::string& owner, const char* file) { return text_of(owner + "/" + file); };
  std::fprintf(stderr, "\n== process %d, a child of %s\n", process, field_of(of(folder, "status"), "PPid").c_str());
  for (const pid_t number : numbers_in(folder + "/task")) {
    const std::string thread = folder + "/task/" + std::to_string(number);
    std::fprintf(stderr, "thread %d: %s, in %s, system call %s%s", number, field_of(of(thread, "status"), "State").c_str(),
                 of(thread, "wchan").c_str(), of(thread, "syscall").c_str(), of(thread, "stack").c_str());
  }
  if (tell_by_gdb(process)) return;
  for (const pid_t thread : numbers_in(folder + "/task")) {
    std::fprintf(stderr, "thread %d says:\n", thread);
    ::syscall(SYS_tgkill, process, thread, SIGUSR2);
    std::this_thread::sleep_for(std::chrono::milliseconds{100});  // if it says nothing by then, it cannot
  }
}

template <class Body>
int watched(const std::atomic<std::uint64_t>& progress, std::chrono::seconds patience, const Body& body) {
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) std::exit(body());
  std::uint64_t seen = progress;
  auto last = std::chrono::steady_clock::now();
  for (;;) {
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) == child) {
      if (WIFEXITED(status)) return WEXITSTATUS(status);
      std::fprintf(stderr, "killed by signal %d\n", WTERMSIG(status));
      return 1;
    }
    const auto now = std::chrono::steady_clock::now();
    if (const std::uint64_t current = progress; current != seen) {
      seen = current;
      last = now;
    }
    if (now - last > patience) break;
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
  }
  std::fprintf(stderr, "HANGS: nothing has happened for %d s\n", static_cast<int>(patience.count()));
  const std::vector<pid_t> family = family_of(child);
  for (const pid_t one : family) tell_where(one);
  for (const pid_t one : family) ::kill(one, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return 1;
}

}  // namespace storm
