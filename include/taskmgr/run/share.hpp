// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How workers divide consecutive tasks among themselves: each keeps what it has taken and not begun in one atomic word,
/// from which the others may steal the rear half.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace taskmgr::detail {

/// The tasks first, first + 1, …, last - 1.
struct Span {
  std::size_t first = 0;
  std::size_t last = 0;

  [[nodiscard]] constexpr bool empty() const noexcept { return first == last; }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return last - first; }
};

/// What one worker has taken and not begun. Its owner takes from the front, thieves from the rear; a task that is in no
/// share is being run, or not yet taken, or done.
///
/// Thread safety: `put` and `take` by the owner, the rest by anybody. The word says all of it, by positions that
/// never come twice in a run, so a compare-and-swap cannot take a state for another. Complexity: one atomic operation on the
/// owner's own cache line.
class Share {
 public:
  /// The most tasks that a share can hold, and the most that a run can have.
  static constexpr std::size_t most = (std::size_t{1} << 20U) - 1;
  static constexpr std::size_t most_positions = std::size_t{1} << 44U;

  /// Of an empty share, by its owner: at most `most` tasks.
  void put(Span span) noexcept { word_.store(pack(span), std::memory_order_release); }

  /// The first `count` tasks, or fewer if there are not so many.
  [[nodiscard]] Span take(std::size_t count) noexcept {
    std::uint64_t word = word_.load(std::memory_order_relaxed);
    for (;;) {
      const Span all = unpack(word);
      if (all.empty()) return {};
      const Span taken{all.first, all.first + std::min(count, all.size())};
      if (swap(word, {taken.last, all.last})) return taken;
    }
  }

  /// By its owner, what it has taken last and not begun: it is before the rest again.
  void put_back(Span span) noexcept {
    std::uint64_t word = word_.load(std::memory_order_relaxed);
    while (!swap(word, {span.first, unpack(word).last})) {
    }
  }

  /// The rear half, rounded up.
  [[nodiscard]] Span steal() noexcept {
    std::uint64_t word = word_.load(std::memory_order_relaxed);
    for (;;) {
      const Span all = unpack(word);
      if (all.empty()) return {};
      const Span stolen{all.first + all.size() / 2, all.last};
      if (swap(word, {all.first, stolen.first})) return stolen;
    }
  }

  [[nodiscard]] bool empty() const noexcept { return unpack(word_.load(std::memory_order_relaxed)).empty(); }

 private:
  static constexpr unsigned size_bits = 20;
  static constexpr std::uint64_t pack(Span span) noexcept { return std::uint64_t{span.first} << size_bits | span.size(); }
  static constexpr Span unpack(std::uint64_t word) noexcept {
    const auto first = static_cast<std::size_t>(word >> size_bits);
    return {first, first + static_cast<std::size_t>(word & most)};
  }
  bool swap(std::uint64_t& expected, Span span) noexcept {
    return word_.compare_exchange_weak(expected, pack(span), std::memory_order_acq_rel, std::memory_order_relaxed);
  }

  std::atomic<std::uint64_t> word_{0};
};

}  // namespace taskmgr::detail
