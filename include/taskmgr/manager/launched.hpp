// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A run in the background, as its manager makes it.

#include <exception>
#include <memory>
#include <stop_token>
#include <utility>

#include "../core/report.hpp"
#include "../run/batch.hpp"
#include "run.hpp"
#include "state.hpp"

namespace taskmgr::detail {

/// A launched run of a manager.
template <class F, class Task, class R, class Sink>
class Launched final : public Background<Report<Task, R>> {
 public:
  Launched(ManagerState<F>& manager, std::shared_ptr<Store<Task, R>> store, std::exception_ptr source, Sink sink,
           std::stop_token stop, Clock::time_point began)
      : workshop_(manager.workshop()),
        running_(workshop_.runs),
        store_(std::move(store)),
        source_(std::move(source)),
        sink_(std::move(sink)),
        batch_(manager.terms(*store_, this->token(), began), manager.function, *store_, workshop_, &sink_),
        with_outer_(std::move(stop), job_of<&Launched::cancel>(*this)) {}

  /// Once, on whichever thread. Afterwards this object may be gone.
  void drive() noexcept {
    std::exception_ptr thrown;
    Report<Task, R> report = carry_out(batch_, store_, source_, thrown);
    running_.end();
    this->finish(std::move(report), std::move(thrown));
  }

  [[nodiscard]] Progress progress() const noexcept override {
    Progress sum = batch_.progress();
    if (this->done()) sum.elapsed = this->report().elapsed;
    return sum;
  }

 protected:
  void help() noexcept override { workshop_.pool.join_in(batch_); }

 private:
  Workshop& workshop_;
  Running running_;
  std::shared_ptr<Store<Task, R>> store_;
  std::exception_ptr source_;
  Sink sink_;
  Batch<F, Task, R, Sink> batch_;
  OnStop with_outer_;  // last: it may call as soon as it stands
};

}  // namespace taskmgr::detail
