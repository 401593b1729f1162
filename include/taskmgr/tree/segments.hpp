// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A sequence that grows and never moves an item.

#include <bit>
#include <cstddef>

#include "../core/list.hpp"

namespace taskmgr::detail {

/// Items in pieces of memory, each as large as all before it.
///
/// Thread safety: one thread at a time grows it; meanwhile others may use the items that were handed over to them.
template <class T>
class Segments {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  [[nodiscard]] T& operator[](std::size_t k) const noexcept {
    const std::size_t s = segment_of(k);
    return segments_[s][k - first_of(s)];
  }

  /// There is memory for an item with this number: it may be looked at.
  [[nodiscard]] bool has(std::size_t k) const noexcept { return static_cast<bool>(segments_[segment_of(k)]); }

  /// More items, value-initialised. Throws `std::bad_alloc`; then none of them is there.
  void grow_to(std::size_t size) {
    while (first_of(used_) < size) {
      segments_[used_] = Array<T>(new T[first_size << used_]());
      ++used_;
    }
    if (size_ < size) size_ = size;
  }

 private:
  static constexpr std::size_t first_size = 16;
  /// Before it lie all that are smaller: those of size 1, 2, 4, … times the first one's.
  static constexpr std::size_t first_of(std::size_t segment) noexcept { return ((std::size_t{1} << segment) - 1) * first_size; }
  static constexpr std::size_t segment_of(std::size_t k) noexcept {
    return static_cast<std::size_t>(std::bit_width(k / first_size + 1)) - 1;
  }
  static_assert(segment_of(first_of(5)) == 5 && segment_of(first_of(6) - 1) == 5);

  Array<T> segments_[61];
  std::size_t used_ = 0;  // segments
  std::size_t size_ = 0;
};

}  // namespace taskmgr::detail
