// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A task whose every operation can be made to throw, and whose objects are counted.

#include <atomic>
#include <cstddef>
#include <functional>
#include <stdexcept>
#include <utility>

namespace support {

/// What a `Fragile` throws.
struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A task that copies, moves, hashes and compares like its number, which is -1 once it was moved from. Each of these
/// operations burns a piece of the `fuse`; the one that finds it burnt down throws. Moves count only if `moves_throw`.
/// Thread safety: different objects may be used by different threads.
class Fragile {
 public:
  static constexpr long never = -1;
  static inline std::atomic<long> alive{0};
  static inline std::atomic<long> fuse{never};
  static inline std::atomic<bool> moves_throw{false};

  explicit Fragile(int number) : number_(number) { ++alive; }
  Fragile(const Fragile& other) : number_(other.number_) {
    burn("copy");
    ++alive;
  }
  Fragile(Fragile&& other) noexcept(false) : number_(other.number_) {
    if (moves_throw) burn("move");
    other.number_ = -1;
    ++alive;
  }
  Fragile& operator=(const Fragile& other) {
    burn("copy");
    number_ = other.number_;
    return *this;
  }
  Fragile& operator=(Fragile&& other) noexcept(false) {
    if (moves_throw) burn("move");
    number_ = std::exchange(other.number_, -1);
    return *this;
  }
  ~Fragile() { --alive; }

  [[nodiscard]] int number() const noexcept { return number_; }
  friend bool operator==(const Fragile& a, const Fragile& b) {
    burn("equality");
    return a.number_ == b.number_;
  }
  [[nodiscard]] std::size_t hash() const {
    burn("hash");
    return static_cast<std::size_t>(number_ % 5);  // others collide
  }

  /// Throws at the `n`-th operation from now, counted from 0.
  static void light(long n) { fuse = n; }
  static void put_out() { fuse = never; }

 private:
  static void burn(const char* what) {
    long left = fuse;
    while (left >= 0 && !fuse.compare_exchange_weak(left, left - 1)) {
    }
    if (left == 0) throw Broken(what);
  }

  int number_;
};

}  // namespace support

template <>
struct std::hash<support::Fragile> {
  std::size_t operator()(const support::Fragile& task) const { return task.hash(); }
};
