// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// File descriptors of the library's own: owned, closed at exec, and known, so that a worker keeps none that is not its own.

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>

#include "../core/list.hpp"
#include "forks.hpp"

namespace taskmgr::detail {

/// The error of the last system call. `doing` completes "taskmgr: cannot …".
[[noreturn]] inline void throw_errno(const char* doing, int error = errno) {
  throw std::system_error(error, std::generic_category(), std::string("taskmgr: cannot ") + doing);
}

/// Owns an open file.
class Descriptor {
 public:
  Descriptor() = default;
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { close(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  void close() noexcept;

  /// Two ends of a pipe: what is written into the second is read from the first.
  struct Pair;
  [[nodiscard]] static Pair pipe();
  /// Two ends that are alike. Writing into it raises no signal, if that is asked for.
  [[nodiscard]] static Pair socket_pair();
  /// A counter that can be waited for; reads and writes do not block.
  [[nodiscard]] static Descriptor event();
  /// What `open_it` returns, at once known as ours.
  template <class Open>
  [[nodiscard]] static Descriptor opened(const char* doing, const Open& open_it);

  /// In a child that was just forked: closes all that are ours but `kept`. What owns them is not to be ended there.
  static void close_all_but(std::initializer_list<int> kept) noexcept;

 private:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  static bool keep_clear(int& fd) noexcept;
  template <class Open>
  static Pair opened_pair(const char* doing, const Open& open_both);
  static List<int>& all() {
    static List<int>& all = *new List<int>;  // never ended: descriptors may be open after main
    return all;
  }

  int fd_ = -1;
};

struct Descriptor::Pair {
  Descriptor first;
  Descriptor second;
};

/// Wakes who waits in `poll`. Thread safety: any number of threads may ring.
class Bell {
 public:
  void ring() noexcept {
    const std::uint64_t one = 1;
    static_cast<void>(!::write(event_.get(), &one, sizeof one));  // if it is full, it rings already
  }
  void silence() noexcept {
    std::uint64_t rung = 0;
    static_cast<void>(!::read(event_.get(), &rung, sizeof rung));
  }
  [[nodiscard]] int descriptor() const noexcept { return event_.get(); }

 private:
  Descriptor event_ = Descriptor::event();
};

/// Calls again what a signal has interrupted.
template <class Call>
auto uninterrupted(const Call& call) noexcept {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

// ---------------------------------------------------------------------------------------------------------------------

inline void Descriptor::close() noexcept {
  if (fd_ < 0) return;
  const std::scoped_lock lock(Forks::turn());
  for (int& fd : all()) {
    if (fd != fd_) continue;
    all().erase(&fd);
    break;
  }
  ::close(std::exchange(fd_, -1));
}

/// The first three belong to what prints, also where the host has closed them. Closes what cannot be had elsewhere.
inline bool Descriptor::keep_clear(int& fd) noexcept {
  if (fd > STDERR_FILENO) return true;
  const int clear = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  const int error = errno;
  ::close(fd);
  errno = error;
  fd = clear;
  return clear >= 0;
}

template <class Open>
Descriptor Descriptor::opened(const char* doing, const Open& open_it) {
  const std::scoped_lock lock(Forks::turn());
  all().reserve(all().size() + 1);
  int fd = open_it();
  if (fd < 0 || !keep_clear(fd)) throw_errno(doing);
  all().push_back(fd);
  return Descriptor{fd};
}

template <class Open>
Descriptor::Pair Descriptor::opened_pair(const char* doing, const Open& open_both) {
  const std::scoped_lock lock(Forks::turn());
  all().reserve(all().size() + 2);
  int fds[2];
  if (open_both(fds) != 0) throw_errno(doing);
  for (int k = 0; k < 2; ++k) {
    if (keep_clear(fds[k])) continue;
    const int error = errno;
    ::close(fds[1 - k]);
    throw_errno(doing, error);
  }
  for (const int fd : fds) all().push_back(fd);
  return {Descriptor{fds[0]}, Descriptor{fds[1]}};
}

inline Descriptor::Pair Descriptor::pipe() {
  return opened_pair("open a pipe", [](int* fds) { return ::pipe2(fds, O_CLOEXEC); });
}

inline Descriptor::Pair Descriptor::socket_pair() {
  return opened_pair("open a pair of sockets",
                     [](int* fds) { return ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds); });
}

inline Descriptor Descriptor::event() {
  return opened("open an eventfd", [] { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); });
}

inline void Descriptor::close_all_but(std::initializer_list<int> kept) noexcept {
  const std::scoped_lock lock(Forks::turn());
  List<int>& fds = all();
  for (std::size_t k = fds.size(); k-- > 0;) {
    bool keeps = false;
    for (const int fd : kept) keeps = keeps || fds[k] == fd;
    if (keeps) continue;
    ::close(fds[k]);
    fds.erase(fds.begin() + k);
  }
}

}  // namespace taskmgr::detail
