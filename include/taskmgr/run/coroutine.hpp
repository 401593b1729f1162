// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Attempts that coroutines make, many at a time on one thread.

#include <exception>
#include <memory>
#include <stop_token>
#include <type_traits>
#include <utility>

#include "../core/call.hpp"
#include "attempt.hpp"
#include "async.hpp"
#include "flight.hpp"

namespace taskmgr::detail {

/// Attempts of `F` at tasks that `Home` keeps, here or, where `F` returns a coroutine, on an event loop. For `Home` see
/// `Attempts`.
template <class Home, class F, class Task, class R, bool = gives_coroutine<F, Task>>
class AsyncAttempts : public Attempts<Home, F, Task, R> {
 protected:
  using Attempts<Home, F, Task, R>::Attempts;

  // A manager of an ordinary function does not start in this mode.
  void fly() noexcept {}
  struct OwnFlight {
    void begin(AsyncAttempts&, std::size_t) const noexcept {}
    template <class Done>
    void turn(const Done&) const noexcept {}
  };
};

template <class Home, class F, class Task, class R>
class AsyncAttempts<Home, F, Task, R, true> : public Attempts<Home, F, Task, R>, public Coroutines {
  using Base = Attempts<Home, F, Task, R>;
  using Way = Awaited<CallResult<F, Task>>;

 protected:
  using Base::Base;

  /// Runs it all on a loop of the calling thread; if there cannot be one, no task is begun any more.
  void fly() noexcept;
  /// What keeps its coroutines on this loop, which others drive.
  [[nodiscard]] Owner<Flight> flight_on(EventLoop& loop) { return Owner{new Flight{*this, *this, loop, places()}}; }
  /// A loop and what it drives.
  class OwnFlight;

  // --- Coroutines
  Clock::time_point tell_begun(const Errand& errand, Clock::time_point now, Seat& seat) noexcept override;
  [[nodiscard]] PromiseBase& made_coroutine(const Errand& errand, Seat& seat) override;
  [[nodiscard]] Step ended(const Errand& errand, PromiseBase* promise, Failure& failure, Chain& chain, Clock::time_point begun,
                           Seat& seat) noexcept override;
  [[nodiscard]] bool wants_tokens() const noexcept override { return Base::in_context; }

 private:
  [[nodiscard]] std::size_t places() const noexcept {
    return std::min(most_in_flight(this->options()), std::max<std::size_t>(this->left(), 1));
  }
};

template <class Home, class F, class Task, class R>
class AsyncAttempts<Home, F, Task, R, true>::OwnFlight {
 public:
  /// Once; if there cannot be one, no task is begun any more.
  void begin(AsyncAttempts& run, std::size_t places) noexcept {
    if (on_) return on_->flight.more();
    try {
      on_ = Owner{new On(run, places)};
    } catch (...) {
      run.thrown().keep(std::current_exception());
      run.halt();
    }
  }
  /// Drives them until `done()`, if it has begun and can be done.
  template <class Done>
  void turn(const Done& done) noexcept {
    if (!on_) return;
    on_->flight.more();
    try {
      on_->loop.run_until(done);
    } catch (...) {
      on_->flight.fail_all(std::current_exception());
    }
  }

 private:
  struct On {
    On(AsyncAttempts& run, std::size_t places) : flight(run, run, loop, places) {}
    EventLoop loop;
    Flight flight;
  };
  Owner<On> on_;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class Home, class F, class Task, class R>
void AsyncAttempts<Home, F, Task, R, true>::fly() noexcept {
  OwnFlight own;
  own.begin(*this, places());
  own.turn([this] { return this->settled(); });
}

template <class Home, class F, class Task, class R>
Clock::time_point AsyncAttempts<Home, F, Task, R, true>::tell_begun(const Errand& errand, Clock::time_point now,
                                                                    Seat& seat) noexcept {
  const Task& task = std::as_const(this->home()).task(errand.id);
  const std::uint64_t number = this->home().number(errand.id);
  ContextAccess::task(seat.context, number, errand.attempt, &task);
  return this->began(seat, number, errand.attempt, &task, now);
}

template <class Home, class F, class Task, class R>
PromiseBase& AsyncAttempts<Home, F, Task, R, true>::made_coroutine(const Errand& errand, Seat& seat) {
  const Task& task = std::as_const(this->home()).task(errand.id);
  auto coroutine = Way::async(call(this->function(), seat.context, task));
  return AsyncAccess::give_up(coroutine);
}

template <class Home, class F, class Task, class R>
Step AsyncAttempts<Home, F, Task, R, true>::ended(const Errand& errand, PromiseBase* promise, Failure& failure, Chain& chain,
                                                  Clock::time_point begun, Seat& seat) noexcept {
  if (promise != nullptr) {
    auto& gives = static_cast<Promise<typename Way::type>&>(*promise);
    failure.exception = gives.exception();
    if (failure.exception == nullptr) {
      try {
        this->home().slot(errand.id).succeed(errand.attempt, [&]() -> R { return gives.take_stored(); });
      } catch (...) {
        failure.exception = std::current_exception();
      }
    }
  }
  chain.clear();
  const auto took = begun != Clock::time_point{} ? Clock::now() - begun : std::chrono::nanoseconds{0};
  return this->settle(errand.id, errand.attempt, failure, took, seat, Asked::no);
}

}  // namespace taskmgr::detail
