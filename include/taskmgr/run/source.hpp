// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Where a flow gets its tasks from, one by one: a range, or what another thread feeds it.

#include <cstdint>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>

#include "../core/store.hpp"

namespace taskmgr::detail {

/// What a source answers when it is asked to go on.
enum class Next {
  task,     ///< there is one to take
  nothing,  ///< not at the moment: the source calls when there is
  end
};

/// The tasks of a range, made a `T` each.
template <class Tasks, class T = std::ranges::range_value_t<Tasks>>
class RangeSource {
 public:
  using Task = T;

  explicit RangeSource(Tasks&& tasks) : tasks_(std::forward<Tasks>(tasks)) {}

  /// Goes on to the next task. Throws what the range does.
  [[nodiscard]] Next advance() {
    if (!at_) at_.emplace(std::ranges::begin(tasks_));
    else if (std::exchange(taken_, false)) ++*at_;  // not sooner: it may have to wait for its source
    return *at_ == std::ranges::end(tasks_) ? Next::end : Next::task;
  }
  /// The task that it is at, made in `room` or kept by the source until the end. If this throws, it was not taken.
  [[nodiscard]] const Task& take(std::optional<Task>& room) {
    if constexpr (gives_away<Tasks>) room.emplace(std::ranges::iter_move(*at_));
    else room.emplace(**at_);
    taken_ = true;
    ++number_;
    return *room;
  }
  /// Of the task that was taken last.
  [[nodiscard]] std::uint64_t number() const noexcept { return number_ - 1; }
  /// After `Next::nothing`: there is a task now, or the end is known.
  [[nodiscard]] static constexpr bool has_news() noexcept { return false; }

 private:
  Tasks tasks_;
  std::optional<std::ranges::iterator_t<std::remove_reference_t<Tasks>>> at_;
  bool taken_ = false;  // what the range shows was taken
  std::uint64_t number_ = 0;
};

/// A source that is fed while a run lasts, and referred to. It has what `RangeSource` has.
template <class Tasks>
concept Fed = requires(std::remove_reference_t<Tasks>& tasks) {
  { tasks.advance() } -> std::same_as<Next>;
};

template <class Tasks>
struct SourceOf {
  using type = RangeSource<Tasks>;
};
template <Fed Tasks>
struct SourceOf<Tasks> {
  using type = Tasks;
};

}  // namespace taskmgr::detail
