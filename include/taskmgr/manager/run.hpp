// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A run in the background.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <stop_token>
#include <utility>

#include "../core/error.hpp"
#include "../core/report.hpp"
#include "../core/time.hpp"
#include "../run/batch.hpp"
#include "../run/job.hpp"

namespace taskmgr {

namespace detail {
template <class Gives>
class Background;
}

/// A run that `launch` has started. Destroying it cancels the run and waits for the attempts that are being made.
///
///     auto run = manager.launch(urls);
///     while (!run.wait_for(1s)) fmt::print("{} done\n", run.progress().finished());
///     auto report = run.wait();
///
/// Thread safety: `cancel`, `done` and `progress` from any thread; the rest from one at a time.
template <class Task, class R, class Gives = Report<Task, R>>
class [[nodiscard]] Run {
 public:
  /// Of nothing, as what was moved from: there is nothing to cancel, it is done, and `wait` and `report` throw `UsageError`.
  Run() = default;
  explicit Run(std::unique_ptr<detail::Background<Gives>> run) noexcept : run_(std::move(run)) {}
  Run(Run&&) noexcept = default;
  Run& operator=(Run&& other) noexcept {
    const Run old{std::exchange(run_, std::move(other.run_))};  // cancels it, and waits
    return *this;
  }
  ~Run();

  /// Starts no new attempt, and asks the tasks that run to stop.
  void cancel() noexcept {
    if (run_ != nullptr) run_->cancel();
  }
  [[nodiscard]] bool done() const noexcept { return run_ == nullptr || run_->done(); }
  [[nodiscard]] Progress progress() const noexcept { return run_ != nullptr ? run_->progress() : Progress{}; }

  /// Helps, until every task has its outcome. What a source, a sink or an observer threw is thrown here, once.
  Gives wait();

  /// Waits, at most for `duration`; says whether the run has ended.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> duration) {
    return run_ == nullptr || run_->wait_for(detail::in_nanoseconds(duration));
  }

  /// Waits, and shows the report, whatever has been thrown.
  [[nodiscard]] const Gives& report();

 private:
  detail::Background<Gives>& run();

  std::unique_ptr<detail::Background<Gives>> run_;
};

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

/// A launched run, whatever its function and its sink are, and the report that it gives.
///
/// The driver's last touch of it is `finish`, with the lock held: who sees it done may destroy it. A run is not done before
/// its helpers are out, so that the manager, which ends no sooner than its drivers do, is there for them.
template <class Gives>
class Background {
 public:
  using report_type = Gives;

  Background() = default;
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  virtual ~Background() = default;

  void cancel() noexcept { stop_.request_stop(); }
  [[nodiscard]] bool done() const noexcept {
    const std::scoped_lock lock(mutex_);
    return done_;
  }
  bool wait_for(std::chrono::nanoseconds duration) {
    // a wait_until that cannot overflow, and of at most a day at a time
    const Clock::time_point begin = Clock::now();
    std::unique_lock lock(mutex_);
    while (!done_) {
      const std::chrono::nanoseconds left = duration - (Clock::now() - begin);
      if (left.count() <= 0) break;
      changed_.wait_for(lock, std::min<std::chrono::nanoseconds>(left, std::chrono::hours{24}));
    }
    return done_;
  }
  void wait() {
    std::unique_lock lock(mutex_);
    if (!done_) {
      ++helping_;
      lock.unlock();
      help();
      lock.lock();
      if (--helping_ == 0) changed_.notify_all();
    }
    changed_.wait(lock, [this] { return done_; });
  }
  /// Calls `ended`, which must not throw, when the run is done: on the thread that ends it, or at once.
  void tell(Job ended) noexcept {
    const std::scoped_lock lock(mutex_);
    if (done_) ended();
    else ended_ = ended;
  }
  /// That call is not made any more.
  void tell_no_more() noexcept {
    const std::scoped_lock lock(mutex_);
    ended_ = {nullptr, nullptr};
  }
  [[nodiscard]] std::exception_ptr take_exception() noexcept { return std::exchange(exception_, nullptr); }
  [[nodiscard]] const Gives& report() const noexcept { return report_; }

  [[nodiscard]] virtual Progress progress() const noexcept = 0;

 protected:
  virtual void help() noexcept = 0;

  void finish(Gives report, std::exception_ptr exception) noexcept {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return helping_ == 0; });
    report_ = std::move(report);
    exception_ = std::move(exception);
    done_ = true;
    changed_.notify_all();
    if (ended_.run != nullptr) ended_();
  }
  [[nodiscard]] std::stop_token token() const noexcept { return stop_.get_token(); }

 private:
  std::stop_source stop_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t helping_ = 0;  // threads in `help`
  bool done_ = false;
  Job ended_{nullptr, nullptr};
  Gives report_;
  std::exception_ptr exception_;
};

}  // namespace detail

template <class Task, class R, class Gives>
Run<Task, R, Gives>::~Run() {
  if (run_ == nullptr) return;
  run_->cancel();
  run_->wait();
}

template <class Task, class R, class Gives>
detail::Background<Gives>& Run<Task, R, Gives>::run() {
  if (run_ == nullptr) throw UsageError("taskmgr: a Run of nothing: it was moved from, or no launch has given it yet");
  return *run_;
}

template <class Task, class R, class Gives>
Gives Run<Task, R, Gives>::wait() {
  run().wait();
  if (const std::exception_ptr exception = run_->take_exception()) std::rethrow_exception(exception);
  return detail::ReportAccess::share(run_->report());
}

template <class Task, class R, class Gives>
const Gives& Run<Task, R, Gives>::report() {
  run().wait();
  return run_->report();
}

}  // namespace taskmgr
