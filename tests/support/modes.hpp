// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The modes that every test of behaviour runs over, and every test of trees: from one list each.

#include <taskmgr/core/options.hpp>

#include <span>
#include <string>

#include "build.hpp"

namespace support {

/// All modes that exist. A test over these may use nothing of a task but its outcome: what a task does to the test's
/// variables need not be seen here. Not under a sanitizer: the allocator of one may be locked for ever in a process that was
/// forked among threads, the other ends one that starts threads. There tests/run/process.cpp has what can be run.
#ifdef TASKMGR_TEST_SANITIZED
inline constexpr taskmgr::Mode modes[] = {taskmgr::Mode::coroutine, taskmgr::Mode::serial, taskmgr::Mode::thread};
#else
inline constexpr taskmgr::Mode modes[] = {taskmgr::Mode::coroutine, taskmgr::Mode::serial, taskmgr::Mode::thread,
                                          taskmgr::Mode::process};
#endif

/// Those that run an ordinary function; `support::Manager` makes a coroutine of it in the other.
inline constexpr std::span modes_of_functions = std::span{modes}.subspan<1>();

/// Those whose tasks share the memory of the test.
inline constexpr taskmgr::Mode modes_in_memory[] = {taskmgr::Mode::coroutine, taskmgr::Mode::serial, taskmgr::Mode::thread};

/// Those of them in which a task may wait for what another thread does, and not hold up the others.
inline constexpr taskmgr::Mode modes_that_block[] = {taskmgr::Mode::serial, taskmgr::Mode::thread};

/// Whether an attempt that never waits runs alone, however many workers there are.
inline constexpr bool one_at_a_time(taskmgr::Mode mode) {
  return mode == taskmgr::Mode::serial || mode == taskmgr::Mode::coroutine;
}

/// As `modes`, for trees.
#ifdef TASKMGR_TEST_SANITIZED
inline constexpr taskmgr::TreeMode tree_modes[] = {taskmgr::TreeMode::serial, taskmgr::TreeMode::pipeline};
#else
inline constexpr taskmgr::TreeMode tree_modes[] = {taskmgr::TreeMode::serial, taskmgr::TreeMode::pipeline, taskmgr::TreeMode::process};
#endif

/// Those whose stages' tasks share the memory of the test, if their managers do.
inline constexpr taskmgr::TreeMode tree_modes_in_memory[] = {taskmgr::TreeMode::serial, taskmgr::TreeMode::pipeline};

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
inline std::string name(taskmgr::TreeMode mode) {
  switch (mode) {
    case taskmgr::TreeMode::serial: return "serial";
    case taskmgr::TreeMode::pipeline: return "pipeline";
    case taskmgr::TreeMode::process: return "process";
  }
  return "unknown";
}

}  // namespace support
