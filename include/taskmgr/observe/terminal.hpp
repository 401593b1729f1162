// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a file descriptor leads to, what it can show, and writing to it without surprises.

#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <clocale>
#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>

namespace taskmgr::detail {

/// How to draw on what is behind a file descriptor.
struct Looks {
  bool live = false;   ///< a terminal that can move its cursor; otherwise plain lines and no escape codes
  bool color = false;  ///< no `NO_COLOR`
  bool utf8 = false;
  bool blocks = false;  ///< its font has line graphics
};

/// Asks the descriptor and the environment (`TERM`, `NO_COLOR`, and the locale). Never throws.
[[nodiscard, gnu::cold]] Looks looks_of(int fd) noexcept;

/// Is text encoded in UTF-8? By the program's locale, or, where it has not set one, as most have not, by `LC_ALL`,
/// `LC_CTYPE` or `LANG`, the first that is not empty, as POSIX has it.
[[nodiscard, gnu::cold]] bool is_utf8_locale() noexcept;

struct TerminalSize {
  std::size_t columns = 80;
  std::size_t rows = 24;
};
/// The size right now; where it is not known, `COLUMNS` and `LINES`, else 80 by 24. At least 1 by 1.
[[nodiscard, gnu::cold]] TerminalSize terminal_size(int fd) noexcept;

/// Which device or file it is: two descriptors of one terminal compare equal.
struct FileIdentity {
  bool known = false;
  dev_t device = 0;
  ino_t node = 0;
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};
[[nodiscard]] FileIdentity identity_of(int fd) noexcept;

/// May this process write to the terminal now without disturbing another? No if it runs in the background of it.
[[nodiscard]] bool in_foreground(int fd) noexcept;

/// Would a write get on at once?
[[nodiscard]] bool has_room(int fd) noexcept;

struct Written {
  std::size_t bytes = 0;
  int error = 0;  ///< 0: all of it; EAGAIN: no more room in time; else why not, and trying again is no use
};
/// `write` until all is written. Where a descriptor that does not block has no room, waits for it at most so many
/// milliseconds at a time (-1: without an end). A reader that is gone is an error (EPIPE), and raises no signal.
[[gnu::cold]] Written write_all(int fd, std::string_view text, int patience) noexcept;

// ---------------------------------------------------------------------------------------------------------------------

/// The value of an environment variable; empty where it is not set.
[[nodiscard]] inline std::string_view environment(const char* name) noexcept {
  const char* value = std::getenv(name);
  return value != nullptr ? std::string_view{value} : std::string_view{};
}

inline bool is_utf8_locale() noexcept {
  const auto says_utf8 = [](std::string_view text) {  // "de_DE.UTF-8", "C.utf8", "UTF-8"
    constexpr std::string_view utf8 = "utf8";
    if (const auto dot = text.rfind('.'); dot != std::string_view::npos) text.remove_prefix(dot + 1);
    text = text.substr(0, text.find('@'));
    std::size_t matched = 0;
    for (const char c : text) {
      if (c == '-') continue;
      const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      if (matched == utf8.size() || lower != utf8[matched++]) return false;
    }
    return matched == utf8.size();
  };
  if (const char* codeset = ::nl_langinfo(CODESET); codeset != nullptr && says_utf8(codeset)) return true;
  const char* set = std::setlocale(LC_CTYPE, nullptr);
  const std::string_view locale = set != nullptr ? set : "C";
  if (locale != "C" && locale != "POSIX") return false;  // the program has chosen another
  constexpr const char* names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
  for (const char* name : names) {
    if (const std::string_view value = environment(name); !value.empty()) return says_utf8(value);
  }
  return false;
}

inline Looks looks_of(int fd) noexcept {
  Looks looks;
  looks.utf8 = is_utf8_locale();
  const std::string_view term = environment("TERM");
  looks.live = ::isatty(fd) == 1 && !term.empty() && term != "dumb";
  looks.color = looks.live && environment("NO_COLOR").empty();
  looks.blocks = looks.utf8 && term != "linux";  // whose console has 512 glyphs at most
  return looks;
}

inline TerminalSize terminal_size(int fd) noexcept {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0) size = {};
  const auto decide = [](std::size_t told, const char* name, std::size_t otherwise) {
    if (told > 0) return told;
    const long value = std::strtol(environment(name).empty() ? "0" : environment(name).data(), nullptr, 10);
    return value > 0 && value < 10000 ? static_cast<std::size_t>(value) : otherwise;
  };
  return {decide(size.ws_col, "COLUMNS", 80), decide(size.ws_row, "LINES", 24)};
}

inline FileIdentity identity_of(int fd) noexcept {
  struct stat facts {};
  if (::fstat(fd, &facts) != 0) return {};
  if (S_ISCHR(facts.st_mode)) return {true, facts.st_rdev, 0};
  return {true, facts.st_dev, facts.st_ino};
}

inline bool in_foreground(int fd) noexcept {
  const pid_t group = ::tcgetpgrp(fd);  // -1: not our controlling terminal, so nobody else is at work there
  return group <= 0 || group == ::getpgrp();
}

inline bool has_room(int fd) noexcept {
  pollfd wait{fd, POLLOUT, 0};
  return ::poll(&wait, 1, 0) != 0;  // an error is for the write to find
}

inline Written write_all(int fd, std::string_view text, int patience) noexcept {
  // SIGPIPE ends a program whose reader has gone; a bar or a log must not. Blocked in this thread for as long as we
  // write, and taken off again if our write raised it.
  sigset_t pipe, before;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  const bool blocked = ::pthread_sigmask(SIG_BLOCK, &pipe, &before) == 0;
  bool ours = blocked;
  if (blocked && sigismember(&before, SIGPIPE) == 1) {
    sigset_t pending;
    ours = ::sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 0;
  }

  constexpr int most_refusals = 100;  // in a row: by a device that says it has room, and takes nothing
  int refusals = 0;
  Written written;
  while (written.bytes < text.size()) {
    const ssize_t count = ::write(fd, text.data() + written.bytes, text.size() - written.bytes);
    if (count > 0) {
      written.bytes += static_cast<std::size_t>(count);
      refusals = 0;
      continue;
    }
    const int error = count == 0 ? EIO : errno;
    if (error == EINTR) continue;
    if (error == EAGAIN) {
      pollfd wait{fd, POLLOUT, 0};
      const int ready = ::poll(&wait, 1, patience);
      if ((ready > 0 || (ready < 0 && errno == EINTR)) && ++refusals < most_refusals) continue;
      written.error = EAGAIN;
      break;
    }
    written.error = error;
    if (error == EPIPE && ours) {
      constexpr timespec now{0, 0};
      while (::sigtimedwait(&pipe, nullptr, &now) < 0 && errno == EINTR) {
      }
    }
    break;
  }
  if (blocked) ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return written;
}

}  // namespace taskmgr::detail
