// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A task as text.

#include <fmt/format.h>

#include <cstdint>
#include <string>

namespace taskmgr::detail {

/// By fmt if the task formats, else its number: its index in the source.
template <class Task>
[[nodiscard]] std::string task_text(const Task& task, std::uint64_t number) {
  if constexpr (fmt::is_formattable<Task>::value) {
    return fmt::format("{}", task);
  } else {
    return fmt::format("{}", number);
  }
}

/// The same, for an `Event`, which does not know the type.
template <class Task>
[[nodiscard]] std::string write_task(const void* task, std::uint64_t number) {
  return task_text(*static_cast<const Task*>(task), number);
}

}  // namespace taskmgr::detail
