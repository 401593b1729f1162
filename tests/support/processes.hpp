// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// For tests of worker processes: memory that they share, and what must not be left behind.

#include <dirent.h>
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <new>
#include <string>
#include <thread>

namespace support {

/// How much later than promised a loaded machine may be.
inline constexpr std::chrono::milliseconds slack{1500};

/// A `T` that children see as the test does.
template <class T>
class Shared {
 public:
  Shared() : object_(::new (::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) T{}) {}
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() { ::munmap(object_, sizeof(T)); }
  [[nodiscard]] T& get() const { return *object_; }

 private:
  T* object_;
};

/// Within `most` a number that other processes change comes to `at_least`.
[[nodiscard]] inline bool comes_to(const std::atomic<int>& number, int at_least, std::chrono::nanoseconds most) {
  const auto until = std::chrono::steady_clock::now() + most;
  while (number < at_least) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::microseconds{50});
  }
  return true;
}

inline int entries_of(const char* folder) {
  int count = 0;
  DIR* const opened = ::opendir(folder);
  while (::readdir(opened) != nullptr) ++count;
  ::closedir(opened);
  return count - 2;
}
/// But for the one that counts them.
inline int open_descriptors() { return entries_of("/proc/self/fd") - 1; }

/// The process is dead within `span`; a zombie is.
inline bool gone_within(pid_t process, std::chrono::milliseconds span) {
  const auto until = std::chrono::steady_clock::now() + span;
  const std::string file = "/proc/" + std::to_string(process) + "/stat";
  for (;;) {
    std::FILE* const stat = std::fopen(file.c_str(), "r");
    if (stat == nullptr) return true;
    char state = '?';
    const int read = std::fscanf(stat, "%*d (%*[^)]) %c", &state);
    std::fclose(stat);
    if (read != 1 || state == 'Z' || state == 'X') return true;
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
}

/// Checks at its end that there are no more children and descriptors than at its beginning. To be made first.
class NothingLeft {
 public:
  NothingLeft() = default;
  NothingLeft(const NothingLeft&) = delete;
  NothingLeft& operator=(const NothingLeft&) = delete;
  ~NothingLeft() {
    CHECK(open_descriptors() == descriptors_);
    const pid_t child = ::waitpid(-1, nullptr, WNOHANG);
    CHECK(child == -1);
    CHECK(errno == ECHILD);
  }

 private:
  int descriptors_ = open_descriptors();
};

}  // namespace support
