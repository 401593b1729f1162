// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What all storms have in common.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <thread>
#include <utility>

#include "support/processes.hpp"
#include "support/random.hpp"

namespace storm {

/// What the command line asks for.
struct Settings {
  std::size_t tasks = 0;    // in a run; 0: as the kind has it
  std::size_t signals = 0;  // at least, in all runs of a kind together; 0: as the kind has it
};
inline Settings settings;

/// What changes as long as nothing hangs; the watchdog sees it.
inline std::atomic<std::uint64_t>& progress() {
  static const support::Shared<std::atomic<std::uint64_t>> shared;
  return shared.get();
}

/// A number in [0, n) for each task and purpose, the same in all processes.
inline std::uint64_t drawn(std::int64_t task, std::uint64_t purpose, std::uint64_t n) {
  std::uint64_t z = support::seed() + 0x9E3779B97F4A7C15U * (static_cast<std::uint64_t>(task) * 8 + purpose + 1);
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  return (z ^ (z >> 31U)) % n;
}

inline void be_busy(std::chrono::microseconds span) {
  const auto until = std::chrono::steady_clock::now() + span;
  while (std::chrono::steady_clock::now() < until) {
  }
}

inline void write_nowhere() {
  static volatile std::uintptr_t nowhere = 64;
  *reinterpret_cast<volatile int*>(nowhere) = 1;
}

/// A thread that does something again and again until its end.
class Meanwhile {
 public:
  explicit Meanwhile(std::function<void()> once)
      : thread_([this, once = std::move(once)] {
          up_ = true;
          while (!over_) once();
        }) {
    while (!up_) std::this_thread::yield();
  }
  Meanwhile(const Meanwhile&) = delete;
  Meanwhile& operator=(const Meanwhile&) = delete;
  ~Meanwhile() {
    over_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> up_{false};
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace storm
