// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Where one who makes attempts gets them from, and what he tells of them, if he makes them other than by calling a function.

#include <cstddef>
#include <cstdint>

#include "../core/list.hpp"
#include "crew.hpp"

namespace taskmgr::detail {

/// An attempt at a task.
struct Errand {
  std::size_t id = 0;
  int attempt = 1;
  bool announced = false;  // that it begins was told: it is not told again when the errand has to be run anew
  bool alone = false;      // no other goes into its order: it is large, or workers have died near it
  std::uint8_t lost = 0;   // workers that took it and died, and seemed to be at nothing
};

/// A run as the source of attempts. Thread safety: the one thread that drives it.
class Supply {
 public:
  /// Attempts that are to be made now: at most `most` are appended. Throws `std::bad_alloc`, and has then taken none.
  virtual void next_errands(List<Errand>& errands, std::size_t most) = 0;
  /// About how many tasks nobody has taken yet.
  [[nodiscard]] virtual std::size_t left() const noexcept = 0;
  /// The attempt is not made any more.
  virtual void cancelled(const Errand& errand, Seat& seat) noexcept = 0;
  /// These tasks have their outcomes, on this seat.
  virtual void publish_all(Items<const std::size_t> ids, Seat& seat) noexcept = 0;
  /// There is, or may come, something to do.
  [[nodiscard]] virtual bool goes_on() const noexcept = 0;

 protected:
  ~Supply() = default;
};

}  // namespace taskmgr::detail
