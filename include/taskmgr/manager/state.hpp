// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a manager is made of, and how a run of it is opened and closed.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "../core/options.hpp"
#include "../core/report.hpp"
#include "../run/batch.hpp"
#include "../run/cpus.hpp"
#include "../run/forks.hpp"

namespace taskmgr::detail {

/// Counts a run of a manager while it lives.
class Running {
 public:
  explicit Running(std::atomic<std::size_t>& runs) noexcept : runs_(&runs) { runs.fetch_add(1); }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() { end(); }

  /// The last touch of the manager.
  void end() noexcept {
    if (runs_ != nullptr) std::exchange(runs_, nullptr)->fetch_sub(1);
  }

 private:
  std::atomic<std::size_t>* runs_;
};

/// How many seats a run of at most so many workers has.
template <class F, class Task>
[[nodiscard]] std::size_t seat_count(const Options& options, const Hub::Observers& observers, std::size_t workers) {
  // a million coroutines in flight need no seats of their own if nobody asks which is which
  const bool alike = !wants_context<F, Task> && observers.empty() && !options.on_worker_start;
  return options.mode == Mode::coroutine && alike ? 1 : std::max<std::size_t>(1, workers);
}

/// The inside of a manager, which stays where it is when the manager is moved.
template <class F>
struct ManagerState {
  ManagerState(F f, Options o) : function(std::move(f)), options(std::move(o)) { static_cast<void>(workshop()); }
  ManagerState(const ManagerState&) = delete;
  ManagerState& operator=(const ManagerState&) = delete;
  ~ManagerState() { workshops.end(); }  // its threads, before the rest

  F function;
  Options options;
  std::size_t workers = 1;
  Hub::Observers observers;
  Shared<Ticker> ticker;  // as soon as there is an observer
  PerProcess<Workshop> workshops;

  /// A worker process that uses a manager of the host's has threads and locks of its own.
  [[nodiscard]] Workshop& workshop() { return workshops.get(); }

  /// For a run of at most `tasks` tasks; `total` and `duplicates` of the source, as far as they are known.
  template <class Task>
  [[nodiscard]] Crew::Terms terms(std::size_t tasks, std::size_t total, std::size_t duplicates, std::stop_token stop,
                                  Clock::time_point began) {
    const std::size_t seats = seat_count<F, Task>(options, observers, std::min(workers, tasks));
    return {options, observers, ticker, workshop().watchdog, std::move(stop), seats, began, total, duplicates};
  }
  template <class Task, class R>
  [[nodiscard]] Crew::Terms terms(const Store<Task, R>& store, std::stop_token stop, Clock::time_point began) {
    return terms<Task>(store.size(), store.size() + store.duplicates(), store.duplicates(), std::move(stop), began);
  }
};

/// How many workers a run has at most.
[[nodiscard]] inline std::size_t worker_count(const Options& options) {
  if (options.mode == Mode::serial) return 1;
  if (options.mode == Mode::coroutine) return most_in_flight(options);
  constexpr std::size_t bound = std::size_t{1} << 16U;  // more threads or processes than there can be
  return options.workers != 0 ? std::min(options.workers, bound) : usable_cpus();
}

/// A batch begins, whose source may have thrown.
template <class F, class Task, class R, class Sink>
void begin(Batch<F, Task, R, Sink>& batch, const std::exception_ptr& source) noexcept {
  if (source != nullptr) batch.thrown().keep(source);
  batch.open();
}

/// A batch has ended; `thrown` is what is to be rethrown.
template <class F, class Task, class R, class Sink>
Report<Task, R> finish(Batch<F, Task, R, Sink>& batch, std::shared_ptr<Store<Task, R>> store, std::exception_ptr& thrown) noexcept {
  batch.close();
  thrown = batch.thrown().take();
  const Progress sum = batch.progress();
  batch.remember(sum.elapsed);
  Report<Task, R> report{std::move(store)};
  report.total = sum.total;
  report.succeeded = sum.succeeded;
  report.failed = sum.failed;
  report.cancelled = sum.cancelled;
  report.duplicates = sum.duplicates;
  report.retries = sum.retries;
  report.elapsed = sum.elapsed;
  return report;
}

/// Runs a batch, from its first event to its last.
template <class F, class Task, class R, class Sink>
Report<Task, R> carry_out(Batch<F, Task, R, Sink>& batch, std::shared_ptr<Store<Task, R>> store,
                          const std::exception_ptr& source, std::exception_ptr& thrown) noexcept {
  begin(batch, source);
  batch.drive();
  return finish(batch, std::move(store), thrown);
}

}  // namespace taskmgr::detail
