// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A run that a coroutine awaits.

#include <coroutine>
#include <exception>
#include <memory>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "../core/error.hpp"
#include "../core/report.hpp"
#include "../run/async.hpp"
#include "../run/batch.hpp"
#include "launched.hpp"
#include "run.hpp"
#include "state.hpp"

namespace taskmgr::detail {

/// Gives the token of whoever has the coroutine run that awaits it: see `Chain::token`.
class TokenHere {
 public:
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> asking) {
    token_ = asking.promise().chain()->token();
    return false;
  }
  [[nodiscard]] std::stop_token await_resume() noexcept { return std::move(token_); }

 private:
  std::stop_token token_;
};

/// Waits for a run in the background. If the coroutine is asked to stop, the run is cancelled.
template <class Gives>
class Ending final : public Chain::Inner, private Entry {
 public:
  Ending(Background<Gives>& run, EventLoop& loop) noexcept : run_(run), ended_(loop, *this) {}
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

  Background<Gives>& run_;
  Chain* waiting_ = nullptr;
  EventLoop::Signal ended_;
};

/// A run that others drive, one of `pool`'s threads among them; `make` makes it when it is awaited.
template <class Task, class R, class Make>
auto await_elsewhere(Pool& pool, Make make) -> Async<typename std::remove_reference_t<decltype(*make())>::report_type> {
  TokenHere here;  // by its name: g++ 12 copies what a call refers to
  const std::stop_token awaiter = co_await here;
  auto launched = make();
  auto& elsewhere = *launched;
  using Elsewhere = std::remove_reference_t<decltype(elsewhere)>;
  using Gives = typename Elsewhere::report_type;
  Run<Task, R, Gives> run{std::move(launched)};
  const OnStop with_awaiter{awaiter, job_of<&Elsewhere::cancel>(elsewhere)};
  if (!pool.post(job_of<&Elsewhere::drive>(elsewhere))) elsewhere.drive();
  Ending<Gives> ending{elsewhere, *EventLoop::current()};
  co_await ending;
  auto report = run.wait();
  if (ending.stopped() || awaiter.stop_requested()) throw Cancelled{};
  co_return report;
}

/// On the event loop of whoever awaits it.
template <class F, class Task, class R, class Sink>
Async<Report<Task, R>> run_here(ManagerState<F>& manager, std::shared_ptr<Store<Task, R>> store, std::exception_ptr source,
                                Sink sink, std::stop_token stop) {
  TokenHere here;
  const std::stop_token awaiter = co_await here;
  const auto began = Clock::now();
  const Running running{manager.workshop().runs};
  std::stop_source stopper;
  const auto request_stop = [&stopper] { stopper.request_stop(); };
  const OnStop with_outer{std::move(stop), job_for(request_stop)};
  const OnStop with_awaiter{awaiter, job_for(request_stop)};
  Batch<F, Task, R, Sink> batch{manager.terms(*store, stopper.get_token(), began), manager.function, *store, manager.workshop(), &sink};
  begin(batch, source);
  const Owner<Flight> flight = batch.take_off(*EventLoop::current());
  Flight& landing = *flight;
  landing.hand_on_stop(stopper);
  co_await landing;
  std::exception_ptr thrown;
  Report<Task, R> report = finish(batch, std::move(store), thrown);
  if (thrown != nullptr) std::rethrow_exception(thrown);
  if (landing.stopped() || awaiter.stop_requested()) throw Cancelled{};
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
  return await_elsewhere<Task, R>(manager.workshop().pool, [&manager, store = std::move(store), source = std::move(source),
                                                            sink = std::move(sink), stop = std::move(stop)]() mutable {
    return std::make_unique<Launched<F, Task, R, Sink>>(manager, std::move(store), std::move(source), std::move(sink),
                                                        std::move(stop), Clock::now());
  });
}

}  // namespace taskmgr::detail
