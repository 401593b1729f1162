// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Reports without a manager: a plain loop over a store, as the simplest run there can be.

#include <taskmgr/core/report.hpp>

#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <utility>

namespace support {

/// Thrown by the function of a `made_report` for a task that is to be cancelled.
struct CancelThis {};

/// The report of `f(task)` for each of `tasks`: `f` may throw, or throw `CancelThis`.
template <class Task, class R, class Tasks, class F>
taskmgr::Report<Task, R> made_report(Tasks&& tasks, bool share, const F& f) {
  const auto store = std::make_shared<taskmgr::detail::Store<Task, R>>();
  const std::exception_ptr thrown = store->fill(std::forward<Tasks>(tasks), share);
  store->make_slots(false);
  taskmgr::Report<Task, R> report{store};
  for (std::size_t slot = 0; slot < store->size(); ++slot) {
    const Task& task = std::as_const(*store).task(slot);
    try {
      store->slot(slot).succeed(1, [&]() -> R { return f(task); });
      ++report.succeeded;
    } catch (const CancelThis&) {
      store->slot(slot).mark(taskmgr::State::cancelled, 0);
      ++report.cancelled;
    } catch (...) {
      const auto error = store->errors().add(taskmgr::TaskError::Kind::exception, std::current_exception(), 1);
      store->slot(slot).fail(1, error);
      ++report.failed;
    }
  }
  report.duplicates = store->duplicates();
  report.total = store->size() + report.duplicates;
  if (thrown != nullptr) std::rethrow_exception(thrown);
  return report;
}

}  // namespace support
