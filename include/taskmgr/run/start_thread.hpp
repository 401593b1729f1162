// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Starts the threads of the library, all by one constructor of `std::thread`: each further one costs a compilation 20 ms.

#include <thread>

namespace taskmgr::detail {

/// A thread that calls `run(subject)`. Throws what `std::thread` throws.
[[nodiscard]] inline std::thread start_thread(void (*run)(void*), void* subject) { return std::thread{run, subject}; }

}  // namespace taskmgr::detail
