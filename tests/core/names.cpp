// SPDX-License-Identifier: MIT
#include <taskmgr/core/names.hpp>

#include <doctest/doctest.h>

#include <string>

using taskmgr::EventKind, taskmgr::Level, taskmgr::Mode, taskmgr::name_of, taskmgr::State, taskmgr::TaskError;

namespace {

/// The names of all enumerators from the first to `last`, as people would write them in code.
template <class Enum>
std::string names_to(Enum last) {
  std::string all;
  for (unsigned k = 0; k <= static_cast<unsigned>(last); ++k) {
    if (k != 0) all += ' ';
    all += name_of(static_cast<Enum>(k));
  }
  return all;
}

}  // namespace

static_assert(name_of(State::running) == "running");  // at compile time, too

TEST_CASE("each enumerator is called what it is called in code") {
  CHECK(names_to(State::cancelled) == "pending running succeeded failed cancelled");
  CHECK(names_to(Mode::coroutine) == "serial thread process coroutine");
  CHECK(names_to(Level::error) == "debug info warning error");
  CHECK(names_to(EventKind::batch_finished) ==
        "batch_started task_started task_retrying task_succeeded task_failed task_cancelled task_duplicate task_progress "
        "task_log batch_finished");
  CHECK(names_to(TaskError::Kind::crash) == "exception timeout crash");
}
