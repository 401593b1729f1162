// SPDX-License-Identifier: MIT
#include <taskmgr/run/pace.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

#include "support/random.hpp"

using taskmgr::detail::Pace;
using taskmgr::detail::Share;
using namespace std::chrono_literals;

TEST_CASE("a worker begins with one task") {
  constexpr Pace pace{0};
  static_assert(pace.chunk() == 1 && pace.stride() == 1);
  static_assert(pace.per_task() == 0ns);
}

TEST_CASE("of tiny tasks a worker takes eight times as many each time, up to a limit") {
  Pace pace{0};
  std::vector<std::size_t> chunks;
  for (int k = 0; k < 7; ++k) {
    pace.measured(pace.chunk(), 1ns);
    chunks.push_back(pace.chunk());
  }
  CHECK(chunks == std::vector<std::size_t>{8, 64, 512, 4096, Pace::longest_chunk, Pace::longest_chunk, Pace::longest_chunk});
  CHECK(pace.stride() == Pace::longest_stride);
}

TEST_CASE("a chunk is about as long as the goal, whatever a task takes") {
  Pace pace{0};
  for (int k = 0; k < 5; ++k) pace.measured(pace.chunk(), 100ns * static_cast<long>(pace.chunk()));
  CHECK(pace.chunk() == 400);
  CHECK(pace.per_task() == 100ns);
  pace.measured(pace.chunk(), 10us * static_cast<long>(pace.chunk()));
  CHECK(pace.chunk() == 4);
  pace.measured(pace.chunk(), 1h);
  CHECK(pace.chunk() == 1);
  CHECK(pace.stride() == 1);
}

TEST_CASE("with a longer goal a chunk is longer, but what is begun at a time is no more than 10 us of work") {
  Pace longer{0, 10 * Pace::goal};
  for (const auto each : {1ns, 100ns, 1000ns, 10'000ns}) {
    for (int k = 0; k < 6; ++k) longer.measured(longer.chunk(), each * static_cast<long>(longer.chunk()));
    CHECK(longer.chunk() == std::min(10 * static_cast<std::size_t>(Pace::goal / each), Pace::longest_chunk));
    CHECK(longer.stride() == std::clamp<std::size_t>(static_cast<std::size_t>(10us / each), 1, Pace::longest_stride));
  }
}

TEST_CASE("a chunk that the user fixed stays as it is") {
  Pace pace{7};
  CHECK(pace.chunk() == 7);
  pace.measured(7, 7ns);
  CHECK(pace.chunk() == 7);
  pace.measured(7, 7h);
  CHECK(pace.chunk() == 7);
  CHECK(Pace{static_cast<std::size_t>(-1)}.chunk() == Share::most);
}

TEST_CASE("whatever is measured, a worker takes at least one task and leaves the most of a chunk to be stolen") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  Pace pace{0};
  for (int k = 0; k < 10'000; ++k) {
    const std::size_t before = pace.chunk();
    pace.measured(before, std::chrono::nanoseconds{random.word() >> (1 + random.below(62))});
    REQUIRE(pace.chunk() >= 1);
    REQUIRE(pace.chunk() <= std::min(8 * before, Pace::longest_chunk));
    REQUIRE(pace.stride() >= 1);
    REQUIRE(pace.stride() <= std::max<std::size_t>(1, pace.chunk() / 16));
    REQUIRE(pace.stride() <= Pace::longest_stride);
  }
}
