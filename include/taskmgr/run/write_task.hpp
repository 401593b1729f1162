// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A task as text, for whoever asks an event for it.

#include <fmt/format.h>

#include <cstdint>
#include <string>

namespace taskmgr::detail {

/// By fmt if the task formats, else its number.
template <class Task>
std::string write_task(const void* task, std::uint64_t number) {
  if constexpr (fmt::is_formattable<Task>::value) {
    return fmt::format("{}", *static_cast<const Task*>(task));
  } else {
    return fmt::format("{}", number);
  }
}

}  // namespace taskmgr::detail
