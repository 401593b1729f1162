// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Writes runs as a trace that Perfetto and chrome://tracing show.

#include "../core/event.hpp"
#include "trace_writer.hpp"

namespace taskmgr {

/// A trace of all runs that it observes, in the Trace Event Format: open it at https://ui.perfetto.dev or in
/// chrome://tracing.
///
///     manager.observe(std::make_shared<ChromeTrace>("out/trace.json"));
///
/// A manager, or a stage of a tree, is a process of the trace, and each of its workers a row. Runs of one name that follow
/// each other share their rows; those that overlap have rows of their own, "resize (2)".
///
/// | what | in the trace |
/// | --- | --- |
/// | an attempt | a slice (`X`) named by the task's text; args: task, attempt, outcome, and of an error type and message |
/// | a worker's time without one | a slice `waiting`, if it is a microsecond or more |
/// | a task that waits for its next attempt | an asynchronous slice (`b`, `e`) of the category `retry` |
/// | `Context::progress`, `Context::log` | an instant (`i`) on the worker's row |
/// | begin and end of a run | an instant of the process; args: the counts |
///
/// Outcomes are `succeeded`, `failed`, `retrying` and `cancelled`. Times are microseconds since the trace was made, with
/// three decimals.
///
/// **The file** is opened, with the folders above it, and emptied at construction; where that fails, the constructor throws
/// `std::system_error` with its path. It is a whole JSON document after each run, and within a tenth of a second
/// meanwhile. Texts that are no UTF-8 have U+FFFD in them. A write that fails later fails no task: its events are lost,
/// `lost()` counts them, standard error says so once, and the file stays a document. In a forked child nothing is written.
///
/// Events are written as they come: the memory that a trace takes grows with workers, not with tasks.
///
/// Thread safety: calls come one at a time, as an observer's do; `lost` may be called from any thread.
class ChromeTrace : public detail::TraceWriter<Event> {
 public:
  /// `path`: a `std::filesystem::path` or a string. One trace at a time may write to a file.
  using detail::TraceWriter<Event>::TraceWriter;

  /// How many events could not be written.
  using detail::TraceWriter<Event>::lost;
};

}  // namespace taskmgr
