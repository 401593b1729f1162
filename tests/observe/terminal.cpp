// SPDX-License-Identifier: MIT
#include <taskmgr/observe/terminal.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <clocale>
#include <string>
#include <thread>

#include "support/environment.hpp"
#include "support/terminal.hpp"

using namespace taskmgr::detail;
using support::ScopedVariable, support::Terminal;

namespace {

struct Pipe {
  Pipe() { REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  std::array<int, 2> ends{-1, -1};
};

}  // namespace

TEST_CASE(
    "the first of LC_ALL, LC_CTYPE and LANG that is set tells whether text is UTF-8, until the program sets a locale") {
  const ScopedVariable all{"LC_ALL", nullptr};
  const ScopedVariable type{"LC_CTYPE", nullptr};
  const ScopedVariable lang{"LANG", nullptr};
  CHECK_FALSE(is_utf8_locale());
  for (const char* name : {"LANG", "LC_CTYPE", "LC_ALL"}) {
    for (const char* value : {"de_DE.UTF-8", "C.utf8", "en_US.UTF-8@euro", "UTF-8"}) {
      const ScopedVariable set{name, value};
      CHECK(is_utf8_locale());
    }
    for (const char* value : {"C", "POSIX", "de_DE", "de_DE.ISO-8859-1", "ja_JP.eucJP", "xx.UTF-16", "xx.UTF-81", ""}) {
      const ScopedVariable set{name, value};
      CHECK_FALSE(is_utf8_locale());
    }
  }
  {
    const ScopedVariable outer{"LANG", "de_DE.UTF-8"};
    const ScopedVariable inner{"LC_ALL", "C"};
    CHECK_FALSE(is_utf8_locale());
  }
  {
    const ScopedVariable outer{"LANG", "de_DE.UTF-8"};
    const ScopedVariable inner{"LC_ALL", ""};
    CHECK(is_utf8_locale());
  }
  const std::string before = std::setlocale(LC_CTYPE, nullptr);
  if (std::setlocale(LC_CTYPE, "C.UTF-8") != nullptr) {
    const ScopedVariable environment{"LC_ALL", "C"};
    CHECK(is_utf8_locale());
  }
  std::setlocale(LC_CTYPE, before.c_str());
}

TEST_CASE("only a terminal that has a name is drawn on") {
  const ScopedVariable locale{"LC_ALL", "C.UTF-8"};
  const ScopedVariable no_color{"NO_COLOR", nullptr};
  Terminal terminal{80, 24};
  Pipe pipe;
  {
    const ScopedVariable term{"TERM", "xterm"};
    CHECK(looks_of(terminal.fd()).live);
    CHECK(looks_of(terminal.fd()).color);
    CHECK(looks_of(terminal.fd()).blocks);
    CHECK_FALSE(looks_of(pipe.ends[1]).live);
    CHECK_FALSE(looks_of(pipe.ends[1]).color);
    CHECK(looks_of(pipe.ends[1]).utf8);
    CHECK_FALSE(looks_of(-1).live);
  }
  {
    const ScopedVariable term{"TERM", "linux"};
    CHECK(looks_of(terminal.fd()).utf8);
    CHECK_FALSE(looks_of(terminal.fd()).blocks);
  }
  for (const char* name : {"dumb", "", static_cast<const char*>(nullptr)}) {
    const ScopedVariable term{"TERM", name};
    CHECK_FALSE(looks_of(terminal.fd()).live);
  }
}

TEST_CASE("the size is the terminal's, else the environment's, else 80 by 24") {
  const ScopedVariable columns{"COLUMNS", nullptr};
  const ScopedVariable lines{"LINES", nullptr};
  Terminal terminal{33, 7};
  CHECK(terminal_size(terminal.fd()).columns == 33);
  CHECK(terminal_size(terminal.fd()).rows == 7);
  winsize unknown{};
  REQUIRE(::ioctl(terminal.fd(), TIOCSWINSZ, &unknown) == 0);
  CHECK(terminal_size(terminal.fd()).columns == 80);
  CHECK(terminal_size(terminal.fd()).rows == 24);
  const ScopedVariable wide{"COLUMNS", "132"};
  const ScopedVariable wrong{"LINES", "many"};
  CHECK(terminal_size(terminal.fd()).columns == 132);
  CHECK(terminal_size(-1).rows == 24);
}

TEST_CASE("two descriptors of one terminal are the same, those of others are not") {
  Terminal one{80, 24}, two{80, 24};
  const int again = ::dup(one.fd());
  CHECK(identity_of(one.fd()) == identity_of(again));
  CHECK_FALSE(identity_of(one.fd()) == identity_of(two.fd()));
  CHECK_FALSE(identity_of(-1).known);
  ::close(again);
  CHECK(in_foreground(one.fd()));  // it is nobody's controlling terminal
}

TEST_CASE("a full pipe that does not block takes what it can, and the rest is an error") {
  Pipe pipe;
  REQUIRE(::fcntl(pipe.ends[1], F_SETFL, O_NONBLOCK) == 0);
  CHECK(has_room(pipe.ends[1]));
  const std::string much(1 << 20, 'x');
  const Written written = write_all(pipe.ends[1], much, 0);
  CHECK(written.error == EAGAIN);
  CHECK(written.bytes > 0);
  CHECK(written.bytes < much.size());
  CHECK_FALSE(has_room(pipe.ends[1]));

  std::size_t received = 0;
  std::thread reader{[&] {
    std::string bytes(65536, '\0');
    while (received < written.bytes + much.size()) {
      const ssize_t count = ::read(pipe.ends[0], bytes.data(), bytes.size());
      if (count <= 0) break;
      received += static_cast<std::size_t>(count);
    }
  }};
  const Written all = write_all(pipe.ends[1], much, -1);  // waits for the reader
  reader.join();
  CHECK(all.error == 0);
  CHECK(all.bytes == much.size());
  CHECK(received == written.bytes + much.size());
}

TEST_CASE("a reader that is gone is an error and no signal, and the signals stand as they stood") {
  Pipe pipe;
  ::close(pipe.ends[0]);
  const auto pending = [] {
    sigset_t set;
    sigpending(&set);
    return sigismember(&set, SIGPIPE) == 1;
  };
  const auto blocked = [] {
    sigset_t set;
    pthread_sigmask(SIG_BLOCK, nullptr, &set);
    return sigismember(&set, SIGPIPE) == 1;
  };
  CHECK(write_all(pipe.ends[1], "x", 0).error == EPIPE);
  CHECK_FALSE(pending());
  CHECK_FALSE(blocked());

  sigset_t pipe_signal;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_signal, nullptr);
  CHECK(write_all(pipe.ends[1], "x", 0).error == EPIPE);
  CHECK_FALSE(pending());
  CHECK(blocked());
  pthread_kill(pthread_self(), SIGPIPE);  // one of the host's stays
  CHECK(write_all(pipe.ends[1], "x", 0).error == EPIPE);
  CHECK(pending());
  const timespec now{0, 0};
  CHECK(sigtimedwait(&pipe_signal, nullptr, &now) == SIGPIPE);
  pthread_sigmask(SIG_UNBLOCK, &pipe_signal, nullptr);

  pipe.ends[0] = -1;
  CHECK(write_all(-1, "x", 0).error == EBADF);
}
