// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A file that lines are appended to, or a file for each day.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "log_line.hpp"
#include "output_file.hpp"
#include "terminal.hpp"
#include "text.hpp"

namespace taskmgr::detail {

/// Appends lines. They wait in memory until `flush`, or until there are 64 KiB of them.
///
/// A write that fails loses the lines that it was to write, and counts them. Standard error is told once; the file
/// itself, by a line, when it takes lines again.
///
/// A template for one type, `std::string`: so only programs that use it compile it, and not all that include it.
///
/// Thread safety: none, but for `lost`.
template <class Text = std::string>
class LogFile {
 public:
  /// Opens the file and makes the folders above it. Throws `std::system_error` with the path.
  explicit LogFile(Text path);
  /// Opens `taskmgr-YYYY-MM-DD.log` in the folder, and another when a line comes from a later day.
  LogFile(Text folder, const std::tm& day);
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;
  /// Flushes, unless this is a forked child: then what waits is the parent's.
  ~LogFile();

  /// A line without its end, made at that local time. Throws `std::bad_alloc`.
  void add(std::string_view line, const std::tm& time);
  void flush() noexcept;

  /// To be called now and then, where a fork may have happened: what the parent has to write is dropped in the child.
  void notice_fork() noexcept;

  [[nodiscard]] std::uint64_t lost() const noexcept { return output_.lost(); }

 private:
  void open() { output_.open(path_, O_WRONLY | O_CREAT | O_APPEND); }
  void turn_to(const std::tm& day);

  Text folder_{};  // of daily files; empty: one file
  std::tm day_{};
  Text path_{};
  OutputFile output_{"log file", "lines"};
  Text waiting_{};  // whole lines
  bool torn_ = false;      // the file ends within a line
  std::uint64_t untold_ = 0;  // lost lines that the file does not tell of
};

/// Throws `std::system_error`.
template <class Text>
[[nodiscard]] Text working_directory();

// ---------------------------------------------------------------------------------------------------------------------

template <class Text>
Text working_directory() {
  Text path(256, '\0');
  while (::getcwd(path.data(), path.size()) == nullptr) {
    if (errno != ERANGE) throw std::system_error(errno, std::generic_category(), "taskmgr: the working directory");
    path.resize(path.size() * 2);
  }
  path.resize(path.find('\0'));
  return path;
}

template <class Text>
LogFile<Text>::LogFile(Text path) : path_(std::move(path)) { open(); }

template <class Text>
LogFile<Text>::LogFile(Text folder, const std::tm& day) : folder_(std::move(folder)) { turn_to(day); }

template <class Text>
LogFile<Text>::~LogFile() {
  if (!output_.forked()) flush();
}

template <class Text>
void LogFile<Text>::turn_to(const std::tm& day) {
  flush();
  output_.close();
  day_ = day;
  path_ = folder_ + "/taskmgr-" + date_text(day) + ".log";
  torn_ = false;
  open();
}

template <class Text>
void LogFile<Text>::add(std::string_view line, const std::tm& time) {
  // A line that comes after midnight and was made before stays in the newer file.
  if (!folder_.empty() && std::pair(time.tm_year, time.tm_yday) > std::pair(day_.tm_year, day_.tm_yday)) {
    try {
      turn_to(time);
    } catch (const std::system_error&) {  // tried again by `flush`
    }
  }
  constexpr std::size_t enough = 64 * 1024;
  if (waiting_.size() + line.size() >= enough) flush();
  waiting_.reserve(waiting_.size() + line.size() + 1);
  waiting_ += line;
  waiting_ += '\n';
}

template <class Text>
void LogFile<Text>::flush() noexcept {
  if (waiting_.empty()) return;
  const auto lines = [](std::string_view text) {
    return static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
  };
  std::uint64_t unwritten = lines(waiting_);
  int error = 0;
  try {
    if (!output_.is_open()) open();
    Text before;  // what went wrong so far
    if (torn_) before += '\n';
    if (untold_ > 0) {
      before += waiting_.substr(0, std::string_view("2026-03-14 09:26:53.589").size());
      before += " warning taskmgr lost lines=";
      append_number(before, untold_);
      before += '\n';
    }
    waiting_.insert(0, before);
    const Written written = write_all(output_.descriptor(), waiting_, 1000);
    error = written.error;
    if (written.bytes >= before.size()) untold_ = 0;
    if (written.bytes > 0) torn_ = waiting_[written.bytes - 1] != '\n';
    unwritten = std::min(unwritten, lines(std::string_view{waiting_}.substr(written.bytes)));
  } catch (const std::system_error& failure) {
    error = failure.code().value();
  } catch (const std::exception&) {
    error = ENOMEM;
  }
  waiting_.clear();
  if (error == 0) return;
  output_.lose(unwritten, error);
  untold_ += unwritten;
}

template <class Text>
void LogFile<Text>::notice_fork() noexcept {
  if (output_.forked()) waiting_.clear();
}

}  // namespace taskmgr::detail
