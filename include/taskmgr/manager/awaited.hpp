// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A run that a coroutine awaits.

#include <coroutine>
#include <exception>
#include <memory>
#include <stop_token>
#include <utility>

#include "../core/error.hpp"
#include "../core/report.hpp"
#include "../run/async.hpp"
#include "../run/batch.hpp"
#include "launched.hpp"
#include "run.hpp"
#include "state.hpp"

namespace taskmgr::detail {

/// Waits for a run in the background. If the coroutine is asked to stop, the run is cancelled.
template <class Task, class R>
class Ending final : public Chain::Inner, private Entry {
 public:
  Ending(Background<Task, R>& run, EventLoop& loop) noexcept : run_(run), ended_(loop, *this) {}
  ~Ending() { run_.tell_no_more(); }

  [[nodiscard]] bool await_ready() const noexcept { return run_.done(); }
  template <class P>
  void await_suspend(std::coroutine_handle<P> waiting) noexcept {
    waiting_ = waiting.promise().chain();
    waiting_->wait_for(*this);
    if (waiting_->stopped()) stop();
    run_.tell(job_of<&EventLoop::Signal::raise>(ended_));
  }
  void await_resume() const noexcept {}
  void stop() noexcept override { run_.cancel(); }
  /// Whoever awaited it has been asked to stop.
  [[nodiscard]] bool stopped() const noexcept { return waiting_ != nullptr && waiting_->stopped(); }

 private:
  void fire() noexcept override { waiting_->wake(); }

  Background<Task, R>& run_;
  Chain* waiting_ = nullptr;
  EventLoop::Signal ended_;
};

/// On the workers of the manager.
template <class F, class Task, class R, class Sink>
Async<Report<Task, R>> run_elsewhere(ManagerState<F>& manager, std::shared_ptr<Store<Task, R>> store, std::exception_ptr source,
                                     Sink sink, std::stop_token stop) {
  using Elsewhere = Launched<F, Task, R, Sink>;
  auto launched = std::make_unique<Elsewhere>(manager, std::move(store), std::move(source), std::move(sink), std::move(stop), Clock::now());
  Elsewhere& elsewhere = *launched;
  Run<Task, R> run{std::move(launched)};
  if (!manager.workshop().pool.post(job_of<&Elsewhere::drive>(elsewhere))) elsewhere.drive();
  Ending<Task, R> ending{elsewhere, *EventLoop::current()};
  co_await ending;
  auto report = run.wait();
  if (ending.stopped()) throw Cancelled{};
  co_return report;
}

/// On the event loop of whoever awaits it.
template <class F, class Task, class R, class Sink>
Async<Report<Task, R>> run_here(ManagerState<F>& manager, std::shared_ptr<Store<Task, R>> store, std::exception_ptr source,
                                Sink sink, std::stop_token stop) {
  const auto began = Clock::now();
  const Running running{manager.workshop().runs};
  std::stop_source stopper;
  const auto request_stop = [&stopper] { stopper.request_stop(); };
  const OnStop with_outer{std::move(stop), job_for(request_stop)};
  Batch<F, Task, R, Sink> batch{manager.terms(*store, stopper.get_token(), began), manager.function, *store, manager.workshop(), &sink};
  begin(batch, source);
  const Owner<Flight> flight = batch.take_off(*EventLoop::current());
  Flight& landing = *flight;  // by its name: g++ 12 copies what a call refers to
  landing.hand_on_stop(stopper);
  co_await landing;
  std::exception_ptr thrown;
  Report<Task, R> report = finish(batch, std::move(store), thrown);
  if (thrown != nullptr) std::rethrow_exception(thrown);
  if (landing.stopped()) throw Cancelled{};
  co_return report;
}

template <class F, class Task, class R, class Sink>
Async<Report<Task, R>> awaited_run(ManagerState<F>& manager, std::shared_ptr<Store<Task, R>> store, std::exception_ptr source,
                                   Sink sink, std::stop_token stop) {
  if constexpr (gives_coroutine<F, Task>) {
    if (manager.options.mode == Mode::coroutine) {
      return run_here(manager, std::move(store), std::move(source), std::move(sink), std::move(stop));
    }
  }
  return run_elsewhere(manager, std::move(store), std::move(source), std::move(sink), std::move(stop));
}

}  // namespace taskmgr::detail
