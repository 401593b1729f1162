// SPDX-License-Identifier: MIT
#include <taskmgr/core/large.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string_view>

using taskmgr::detail::large;

namespace {

struct alignas(64) Line {
  std::uint64_t words[8];
};

/// Counts those that live; the constructor of number `throws_at` throws.
struct Counted {
  static inline int living = 0;
  static inline int throws_at = -1;
  Counted() {
    if (living == throws_at) throw std::runtime_error("enough");
    ++living;
  }
  ~Counted() { --living; }
  char bytes[1024];
};

}  // namespace

TEST_CASE("memory for much is memory like any other, whatever its size and alignment") {
  for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, std::size_t{3} << 20U}) {
    CAPTURE(count);
    int* const numbers = new (large) int[count]();
    for (std::size_t k = 0; k < count; k += 511) {
      REQUIRE(numbers[k] == 0);
      numbers[k] = 1;
    }
    if (count != 0) numbers[count - 1] = 1;
    delete[] numbers;

    Line* const lines = new (large) Line[count / 8 + 1]();
    CHECK(reinterpret_cast<std::uintptr_t>(lines) % alignof(Line) == 0);
    lines[count / 8].words[7] = 1;
    delete[] lines;
  }
}

TEST_CASE("a constructor that throws in the middle of it leaves nothing") {
  Counted::throws_at = 5000;
  CHECK_THROWS_AS(static_cast<void>(new (large) Counted[8000]), std::runtime_error);
  CHECK(Counted::living == 0);
  Counted::throws_at = -1;
  delete[] new (large) Counted[8000];
  CHECK(Counted::living == 0);
}

TEST_CASE("an advice that cannot be taken changes nothing") {
  char some[64] = "as it was";
  taskmgr::detail::advise_large(some, sizeof some);                // too small
  taskmgr::detail::advise_large(nullptr, std::size_t{64} << 20U);  // nobody's memory
  CHECK(std::string_view(some) == "as it was");
}
