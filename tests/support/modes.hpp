// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The modes that every test of behaviour runs over, from one list.

#include <taskmgr/core/options.hpp>

#include <string>

#include "build.hpp"

namespace support {

/// All modes that exist. A test over these may use nothing of a task but its outcome: what a task does to the test's
/// variables need not be seen here. Not under a sanitizer: the allocator of one may be locked for ever in a process that was
/// forked among threads, the other ends one that starts threads. There tests/run/process.cpp has what can be run.
#ifdef TASKMGR_TEST_SANITIZED
inline constexpr taskmgr::Mode modes[] = {taskmgr::Mode::serial, taskmgr::Mode::thread};
#else
inline constexpr taskmgr::Mode modes[] = {taskmgr::Mode::serial, taskmgr::Mode::thread, taskmgr::Mode::process};
#endif

/// Those whose tasks share the memory of the test.
inline constexpr taskmgr::Mode modes_in_memory[] = {taskmgr::Mode::serial, taskmgr::Mode::thread};

/// For `INFO("mode: ", support::name(mode))`.
inline std::string name(taskmgr::Mode mode) {
  switch (mode) {
    case taskmgr::Mode::serial: return "serial";
    case taskmgr::Mode::thread: return "thread";
    case taskmgr::Mode::process: return "process";
    case taskmgr::Mode::coroutine: return "coroutine";
  }
  return "unknown";
}

}  // namespace support
