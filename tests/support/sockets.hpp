// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Two sockets that are connected, for what waits for a descriptor.

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

namespace support {

/// Neither blocks. What is said on the one is heard on the other.
struct Sockets {
  Sockets() {
    int both[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, both) == 0);
    here = both[0];
    there = both[1];
  }
  Sockets(const Sockets&) = delete;
  Sockets& operator=(const Sockets&) = delete;
  ~Sockets() {
    ::close(here);
    if (there >= 0) ::close(there);
  }
  void say(char what = 'x') const { REQUIRE(::write(there, &what, 1) == 1); }
  [[nodiscard]] char hear() const {
    char heard = 0;
    REQUIRE(::read(here, &heard, 1) == 1);
    return heard;
  }
  void hang_up() { ::close(std::exchange(there, -1)); }

  int here = -1;
  int there = -1;
};

}  // namespace support
