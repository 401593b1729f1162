// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Says where the time of runs went.

#include "../core/event.hpp"
#include "time_accounts.hpp"

namespace taskmgr {

/// Where the time went, of all runs that it observes: for each worker and in all, and what took longest.
///
///     auto insights = std::make_shared<Insights>();
///     manager.observe(insights);
///     manager.start(tasks);
///     fmt::print("{}", insights->text());
///
/// The time of a worker is that of its runs, from their beginning to their end. Each nanosecond of it is one of these:
///
/// | member | the worker |
/// | --- | --- |
/// | `running` | made an attempt: `Event::duration` of each; if a crash or a cancel ended it, until that was told |
/// | `between_processes` | had ended an attempt, and the run did not know yet: its result was under way; else next to nothing |
/// | `waiting_to_retry` | had nothing to run, and some task of the run waited for the time of its next attempt |
/// | `waiting_for_work` | had nothing to run otherwise: the source was being read, others had the last tasks |
///
/// Hence, once all runs have ended: the sum of the four over all workers is `Event::duration` of `batch_finished` times
/// `Event::workers`, summed over the runs. The workers are those that a run may use, also where it has used fewer.
///
/// Runs of one name (and stage) are added up, and their workers by number. The memory that it takes grows with names and
/// workers, not with tasks.
///
/// Thread safety: calls come one at a time, as an observer's do; `workers`, `total`, `slowest` and `text` may be called from
/// any thread. During a run they count up to the moment of the call.
class Insights : public detail::TimeAccounts<Event> {
 public:
  /// How many of the slowest tasks are kept.
  using detail::TimeAccounts<Event>::slowest_kept;

  /// By manager and stage in the order of their first runs, then by number: a vector of `WorkerTime`.
  using detail::TimeAccounts<Event>::workers;
  /// The sum of those: a `TimeSpent`.
  using detail::TimeAccounts<Event>::total;
  /// The longest attempts, of different tasks, the longest first; of those that have ended: a vector of `SlowTask`.
  using detail::TimeAccounts<Event>::slowest;
  /// A table of all that, and the bottleneck of a tree.
  using detail::TimeAccounts<Event>::text;
};

}  // namespace taskmgr
