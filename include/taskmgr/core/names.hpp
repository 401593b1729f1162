// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The enumerators by name, as they are written in code.

#include <cstddef>
#include <string_view>

#include "error.hpp"
#include "event.hpp"
#include "options.hpp"
#include "outcome.hpp"

namespace taskmgr {

[[nodiscard]] constexpr std::string_view name_of(State state) noexcept;
[[nodiscard]] constexpr std::string_view name_of(Mode mode) noexcept;
[[nodiscard]] constexpr std::string_view name_of(Level level) noexcept;
[[nodiscard]] constexpr std::string_view name_of(EventKind kind) noexcept;
[[nodiscard]] constexpr std::string_view name_of(TaskError::Kind kind) noexcept;

// ---------------------------------------------------------------------------------------------------------------------

constexpr std::string_view name_of(State state) noexcept {
  constexpr std::string_view names[] = {"pending", "running", "succeeded", "failed", "cancelled"};
  return names[static_cast<std::size_t>(state)];
}

constexpr std::string_view name_of(Mode mode) noexcept {
  constexpr std::string_view names[] = {"serial", "thread", "process", "coroutine"};
  return names[static_cast<std::size_t>(mode)];
}

constexpr std::string_view name_of(Level level) noexcept {
  constexpr std::string_view names[] = {"debug", "info", "warning", "error"};
  return names[static_cast<std::size_t>(level)];
}

constexpr std::string_view name_of(EventKind kind) noexcept {
  constexpr std::string_view names[] = {"batch_started", "task_started",   "task_retrying", "task_succeeded", "task_failed",
                                        "task_cancelled", "task_duplicate", "task_progress", "task_log", "batch_finished"};
  return names[static_cast<std::size_t>(kind)];
}

constexpr std::string_view name_of(TaskError::Kind kind) noexcept {
  constexpr std::string_view names[] = {"exception", "timeout", "crash"};
  return names[static_cast<std::size_t>(kind)];
}

static_assert(name_of(EventKind::batch_finished) == "batch_finished" && name_of(State::cancelled) == "cancelled");

}  // namespace taskmgr
