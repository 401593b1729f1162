// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A file that is a whole JSON document whenever it has been flushed, and grows nevertheless.

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <system_error>

#include "output_file.hpp"
#include "terminal.hpp"

namespace taskmgr::detail {

/// The array of a trace: a line for each event. They wait in memory until `flush`, or until there are 64 KiB of them.
///
/// What ends the document is written behind each flush, and the next one begins where it stands. A write that fails loses
/// the events that it was to write, counts them, and leaves those before it as a document.
///
/// Thread safety: none, but for `lost`.
class TraceFile {
 public:
  /// Makes the folders above; a file that is there already is emptied. Throws `std::system_error` with the path.
  explicit TraceFile(const std::string& path);
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;
  /// Flushes, unless this is a forked child.
  ~TraceFile();

  /// An event, which is an object on one line. Throws `std::bad_alloc`.
  void add(std::string_view event);
  void flush() noexcept;

  /// To be called now and then, where a fork may have happened: the file is the parent's, and the child writes nothing.
  void notice_fork() noexcept;

  void lose(std::uint64_t events, int error) noexcept { output_.lose(events, error); }
  [[nodiscard]] std::uint64_t lost() const noexcept { return output_.lost(); }

 private:
  static constexpr std::string_view head = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[";
  static constexpr std::string_view tail = "\n]}\n";

  [[nodiscard]] Written write(off_t at, std::string_view text) noexcept;
  void mend(std::string_view text, const Written& written) noexcept;

  OutputFile output_{"trace", "events"};
  off_t end_ = 0;          // of what is written, before the tail
  bool any_ = false;       // an event is written
  std::string waiting_{};  // each event with what separates it from the one before, and nothing else
  bool mute_ = false;      // in a child
};

// ---------------------------------------------------------------------------------------------------------------------

inline TraceFile::TraceFile(const std::string& path) {
  output_.open(path, O_WRONLY | O_CREAT | O_TRUNC);
  const std::string empty = std::string(head) + std::string(tail);
  if (const Written written = write(0, empty); written.error != 0) output_.fail(written.error);
  end_ = static_cast<off_t>(head.size());
}

inline TraceFile::~TraceFile() {
  notice_fork();
  flush();
}

inline void TraceFile::notice_fork() noexcept {
  mute_ = mute_ || output_.forked();
  if (mute_) waiting_.clear();
}

inline void TraceFile::add(std::string_view event) {
  if (mute_) return;
  constexpr std::size_t enough = 64 * 1024;
  if (waiting_.size() + event.size() >= enough) flush();
  constexpr std::string_view next = ",\n";
  waiting_.reserve(waiting_.size() + next.size() + event.size() + tail.size());  // all of it or nothing, and room to flush it
  waiting_ += any_ || !waiting_.empty() ? next : next.substr(1);
  waiting_ += event;
}

inline Written TraceFile::write(off_t at, std::string_view text) noexcept {
  if (::lseek(output_.descriptor(), at, SEEK_SET) < 0) return {.error = errno};
  return write_all(output_.descriptor(), text, 1000);
}

inline void TraceFile::flush() noexcept {
  if (waiting_.empty() || mute_) return;
  const std::size_t events = waiting_.size();
  waiting_ += tail;  // there is room
  const Written written = write(end_, waiting_);
  if (written.error == 0) {
    end_ += static_cast<off_t>(events);
    any_ = true;
  } else {
    mend(waiting_, written);
  }
  waiting_.clear();
}

/// A part has been written: the whole events in it stay, as far as the tail has room behind them, and the rest is lost.
inline void TraceFile::mend(std::string_view text, const Written& written) noexcept {
  const auto lines = [](std::string_view part) {
    return static_cast<std::uint64_t>(std::count(part.begin(), part.end(), '\n'));
  };
  text.remove_suffix(tail.size());
  std::size_t kept = std::min(written.bytes, text.size());
  kept -= std::min(kept, tail.size());
  kept = text.substr(0, kept + 1).rfind('\n');  // there the next event begins
  kept = kept == std::string_view::npos ? 0 : kept;
  if (kept != 0 && text[kept - 1] == ',') --kept;
  output_.lose(lines(text.substr(kept)), written.error);
  end_ += static_cast<off_t>(kept);
  any_ = any_ || kept != 0;
  // First what is behind goes, then the tail comes: on a full disk it has room where that was.
  static_cast<void>(!::ftruncate(output_.descriptor(), end_));
  static_cast<void>(write(end_, tail));
}

}  // namespace taskmgr::detail
