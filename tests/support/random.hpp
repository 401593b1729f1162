// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Random numbers for tests: from the environment's TASKMGR_SEED, or from a seed of their own that a failure prints.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>

namespace support {

/// The same for all tests of a process. Print it with `INFO("TASKMGR_SEED=" << support::seed())`.
inline std::uint64_t seed() {
  static const std::uint64_t chosen = [] {
    const char* const given = std::getenv("TASKMGR_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  }();
  return chosen;
}

class Random {
 public:
  /// In [0, n).
  [[nodiscard]] std::size_t below(std::size_t n) { return static_cast<std::size_t>(engine_() % n); }

  /// In [0, n), for numbers of tasks.
  [[nodiscard]] int number(int n) { return static_cast<int>(below(static_cast<std::size_t>(n))); }

  [[nodiscard]] std::uint64_t word() { return engine_(); }

 private:
  std::mt19937_64 engine_{seed()};
};

}  // namespace support
