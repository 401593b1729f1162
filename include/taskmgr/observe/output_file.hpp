// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A file that an observer writes: how it is opened, whose it is after a fork, and what is said when it takes nothing more.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <system_error>
#include <utility>

#include "screen.hpp"

namespace taskmgr::detail {

/// Thread safety: none, but for `lost`.
class OutputFile {
 public:
  /// What to call it, and what it consists of, in messages: "log file", "lines".
  OutputFile(const char* what, const char* items) : what_(what), items_(items) {}
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile() { close(); }

  /// Makes the folders above and opens it, with flags as of POSIX `open`. Throws `std::system_error` with the path.
  void open(const std::string& path, int flags);
  void close() noexcept;
  [[nodiscard]] bool is_open() const noexcept { return file_ >= 0; }
  [[nodiscard]] int descriptor() const noexcept { return file_; }

  /// Throws `std::system_error` that says what cannot be opened, where, and why.
  [[noreturn]] void fail(int error) const;

  /// Is this process a child of the one that was here before? Says so once.
  [[nodiscard]] bool forked() noexcept;

  /// Counts what could not be written; the first time standard error is told why.
  void lose(std::uint64_t items, int error) noexcept;
  [[nodiscard]] std::uint64_t lost() const noexcept { return lost_.load(std::memory_order_relaxed); }

 private:
  const char* what_;
  const char* items_;
  std::string path_{};
  int file_ = -1;
  pid_t process_ = ::getpid();
  bool told_ = false;  // standard error
  std::atomic<std::uint64_t> lost_{0};
};

// ---------------------------------------------------------------------------------------------------------------------

/// One that cannot be made is noticed when the file is opened.
inline void make_folders_above(const std::string& path) {
  for (std::size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1)) {
    ::mkdir(path.substr(0, end).c_str(), 0777);
  }
}

inline void OutputFile::open(const std::string& path, int flags) {
  close();
  path_ = path;
  make_folders_above(path_);
  file_ = ::open(path_.c_str(), flags | O_CLOEXEC | O_NOCTTY, 0666);
  if (file_ < 0) fail(errno);
}

inline void OutputFile::fail(int error) const {
  throw std::system_error(error, std::generic_category(), std::string("taskmgr: cannot open the ") + what_ + " " + path_);
}

inline void OutputFile::close() noexcept {
  if (file_ >= 0) ::close(std::exchange(file_, -1));
}

inline bool OutputFile::forked() noexcept {
  const pid_t before = std::exchange(process_, ::getpid());
  return before != process_;
}

inline void OutputFile::lose(std::uint64_t items, int error) noexcept {
  lost_.fetch_add(items, std::memory_order_relaxed);
  if (std::exchange(told_, true)) return;
  try {
    Screen::instance().print_above(STDERR_FILENO, std::string("taskmgr: cannot write to the ") + what_ + " " + path_ + ": " +
                                                      std::generic_category().message(error) + "; " + items_ + " are lost");
  } catch (const std::exception&) {  // no memory to say it
  }
}

}  // namespace taskmgr::detail
