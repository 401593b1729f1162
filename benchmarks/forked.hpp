// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Processes and pipes without taskmgr: the least that it takes to have something done by others.

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <system_error>

namespace bench {

/// A forked process that does a job and leaves at once. Its end is waited for.
class Forked {
 public:
  template <class Job>
  explicit Forked(const Job& job) : id_(::fork()) {
    if (id_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (id_ != 0) return;
    job();
    ::_exit(0);
  }
  Forked(const Forked&) = delete;
  Forked& operator=(const Forked&) = delete;
  ~Forked() {
    while (::waitpid(id_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

 private:
  pid_t id_;
};

/// A pipe as large as those of the worker processes, if the system grants it.
class Pipe {
 public:
  static constexpr std::size_t size = 1U << 20U;

  Pipe() {
    if (::pipe2(ends_, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    ::fcntl(ends_[0], F_SETPIPE_SZ, static_cast<int>(size));
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }

  [[nodiscard]] int out() const noexcept { return ends_[0]; }

  /// In as few turns as the system makes of it.
  void write_all(const void* data, std::size_t count) const noexcept {
    const auto* at = static_cast<const std::byte*>(data);
    while (count != 0) {
      const ssize_t put = ::write(ends_[1], at, count);
      if (put < 0) ::_exit(1);
      at += put;
      count -= static_cast<std::size_t>(put);
    }
  }

  /// What is there, up to the size of the pipe; waits for a first byte.
  [[nodiscard]] std::size_t read_some(void* data, std::size_t most) const {
    const ssize_t got = ::read(ends_[0], data, std::min(most, size));
    if (got <= 0) throw std::system_error(errno, std::generic_category(), "read");
    return static_cast<std::size_t>(got);
  }

 private:
  int ends_[2];
};

}  // namespace bench
