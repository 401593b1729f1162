// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Coroutines of Asio as tasks: a function that returns an `asio::awaitable<T>` runs in every mode, in coroutine mode on an
/// `io_context`.
///
/// It is standalone Asio 1.22 or later; with `TASKMGR_BOOST_ASIO` defined that of Boost, as old as that.

#include <chrono>
#include <coroutine>
#include <exception>
#include <memory>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <variant>

#include "run/async.hpp"
#include "run/event_loop.hpp"

#ifdef TASKMGR_BOOST_ASIO
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/multiple_exceptions.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/system_error.hpp>
#else
#ifdef __clang__
// There older versions look for <experimental/coroutine>. The macro has headers declare more, and changes nothing else.
#if defined(ASIO_DETAIL_CONFIG_HPP) && !defined(ASIO_HAS_CO_AWAIT)
#error "taskmgr: Asio was included without coroutines: include <taskmgr/asio.hpp> before it, or define ASIO_HAS_CO_AWAIT"
#elif !defined(ASIO_HAS_CO_AWAIT)
#define ASIO_HAS_CO_AWAIT 1
#endif
#endif
#include <asio/awaitable.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/error.hpp>
#include <asio/io_context.hpp>
#include <asio/multiple_exceptions.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/system_error.hpp>
#endif

namespace taskmgr {

namespace detail {

#ifdef TASKMGR_BOOST_ASIO
namespace net = boost::asio;
#else
namespace net = asio;
#endif

}  // namespace detail

/// A coroutine of Asio as one of the library's: for `run` and `when_all`, or to be awaited in an `Async`. A manager does
/// this with what its function returns.
///
///     Async<Page> load(Url url) {
///       Async<Page> page = as_async(fetch(url));    // asio::awaitable<Page> fetch(Url)
///       co_return co_await page;
///     }
///
/// It runs on an `io_context` that is made when the event loop first needs one, on the loop's thread:
/// `co_await asio::this_coro::executor` is of that. Once it is asked to stop, its cancellation slot gets a terminal signal,
/// and the `operation_aborted` that it then throws is thrown on as `Cancelled`.
///
/// What an Asio handler throws is thrown by whoever runs the loop, and ends all that is on it.
///
/// Throws, where it is awaited: `UsageError` for an empty awaitable, or if the loop has another host; `std::system_error` where
/// there are no descriptors left: the `io_context` takes three.
template <class T, class Executor>
[[nodiscard]] Async<T> as_async(detail::net::awaitable<T, Executor> awaitable);

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

// A program may have units with the one Asio and units with the other: what they have here is not the same.
#ifdef TASKMGR_BOOST_ASIO
inline namespace with_boost {
using SystemError = boost::system::system_error;
#else
inline namespace standalone {
using SystemError = asio::system_error;
#endif

/// An `io_context` that waits in place of an event loop. A standing wait for the descriptor of the loop, and a timer, bring it
/// back to the loop. Thread safety: the loop's thread.
class AsioHost final : public EventLoop::Host {
 public:
  using Clock = EventLoop::Clock;

  /// The loop's; made, if there is none yet.
  [[nodiscard]] static AsioHost& of(EventLoop& loop) {
    if (loop.host() == nullptr) loop.host(Owner<EventLoop::Host>{new AsioHost});
    auto* const host = dynamic_cast<AsioHost*>(loop.host());
    if (host != nullptr) return *host;
    throw UsageError("taskmgr: something other than this Asio waits for the event loop already: give each a loop of its own");
  }

  AsioHost() = default;
  AsioHost(const AsioHost&) = delete;
  AsioHost& operator=(const AsioHost&) = delete;
  ~AsioHost() override;

  [[nodiscard]] net::io_context::executor_type executor() noexcept { return context_.get_executor(); }

  void wait(int loop, Clock::time_point until) override;

 private:
  static constexpr int at_a_time = 128;  // handlers run before the loop has its turn
  static constexpr std::chrono::milliseconds patience{50};

  void watch(int loop);
  void call_at(Clock::time_point time);

  net::io_context context_{1};  // one thread runs it
  net::posix::stream_descriptor loop_{context_};
  net::steady_timer timer_{context_};
  Clock::time_point called_at_ = Clock::time_point::max();  // by the timer
  bool watched_ = false;
  bool thrown_ = false;  // by a handler
};

/// It has thrown because it was cancelled.
inline bool was_aborted(const std::exception_ptr& exception) noexcept {
  try {
    std::rethrow_exception(exception);
  } catch (const SystemError& error) {
    return error.code() == net::error::operation_aborted;
  } catch (const net::multiple_exceptions& several) {
    return was_aborted(several.first_exception());
  } catch (...) {
    return false;
  }
}

/// What a coroutine of Asio and the chain that awaits it have in common. Asio's side may be the last to know it: where the
/// chain has ended before, its coroutine stays suspended until the `io_context` ends.
template <class T>
struct Spawned {
  explicit Spawned(Chain& chain) noexcept : waiting(&chain) {}

  Chain* waiting;  // null once the coroutine or the chain has ended
  net::cancellation_signal stop;
  Result<Stored<T>> result;
};

/// Runs a coroutine of Asio, and waits for its end.
template <class T, class Executor>
class AsioAwait final : public Chain::Inner {
 public:
  explicit AsioAwait(net::awaitable<T, Executor> awaitable) noexcept : awaitable_(std::move(awaitable)) {}
  AsioAwait(const AsioAwait&) = delete;
  AsioAwait& operator=(const AsioAwait&) = delete;
  ~AsioAwait() {
    if (spawned_ != nullptr) spawned_->waiting = nullptr;
  }

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> waiting);
  T await_resume();

  /// The signal is emitted by a handler: from elsewhere, Asio 1.26 passes it on later, when what it is for may have ended.
  void stop() noexcept override {
    try {
      net::post(AsioHost::of(chain_->loop()).executor(), [spawned = spawned_] {
        if (spawned->waiting != nullptr) spawned->stop.emit(net::cancellation_type::terminal);
      });
    } catch (...) {  // no memory to tell it: it ends by itself
    }
  }

 private:
  // Asio would make a `T` out of nothing for a coroutine that has thrown: so its result takes another way.
  static net::awaitable<void, Executor> deliver(net::awaitable<T, Executor> awaitable, Spawned<T>& to) {
    if (to.waiting == nullptr || to.waiting->stopped()) throw Cancelled{};
    if constexpr (std::is_void_v<T>) {
      co_await std::move(awaitable);
      to.result.set(std::monostate{});
    } else {
      to.result.set(co_await std::move(awaitable));
    }
  }

  net::awaitable<T, Executor> awaitable_;
  Chain* chain_ = nullptr;
  std::shared_ptr<Spawned<T>> spawned_;
};

/// A thread of somebody else's that has given its result to a coroutine here may be about to let go of the `io_context`: that
/// ends once nobody has work for it. What a task has left behind may have some for ever, and is not waited for so long.
inline AsioHost::~AsioHost() {
  const Clock::time_point until = Clock::now() + patience;
  if (loop_.is_open()) static_cast<void>(loop_.release());  // the loop closes it
  if (thrown_) return;  // nothing goes on
  try {
    timer_.cancel();
    if (context_.stopped()) context_.restart();
    for (int k = 0; k < at_a_time && context_.run_one_until(until) != 0; ++k) {}
  } catch (...) {  // the run has ended, and nobody is there to hear of it
  }
}

inline void AsioHost::wait(int loop, Clock::time_point until) {
  if (context_.stopped()) context_.restart();  // by a handler, or for want of work: the loop goes on all the same
  thrown_ = true;  // unless this comes to its end
  if (until != Clock::time_point::min()) {
    watch(loop);
    call_at(until);
    context_.run_one();
  }
  // Not poll(): handlers that go on making others would never let the loop have its turn.
  for (int k = 0; k < at_a_time && context_.poll_one() != 0; ++k) {}
  thrown_ = false;
}

inline void AsioHost::watch(int loop) {
  if (watched_) return;
  if (!loop_.is_open()) loop_.assign(loop);
  loop_.async_wait(net::posix::stream_descriptor::wait_read, [this](const auto&) { watched_ = false; });
  watched_ = true;
}

/// Or before: a wait that ends too early costs a turn, to set the timer anew for each a system call.
inline void AsioHost::call_at(Clock::time_point time) {
  if (time >= called_at_) return;
  timer_.expires_at(time);
  timer_.async_wait([this](const auto& error) {
    if (!error) called_at_ = Clock::time_point::max();
  });
  called_at_ = time;
}

template <class T, class Executor>
template <class P>
bool AsioAwait<T, Executor>::await_suspend(std::coroutine_handle<P> waiting) {
  chain_ = waiting.promise().chain();
  chain_->throw_if_stopped();
  if (!awaitable_.valid()) throw UsageError("taskmgr: an empty asio::awaitable cannot be run: return what a coroutine gives");
  spawned_ = std::make_shared<Spawned<T>>(*chain_);
  net::co_spawn(AsioHost::of(chain_->loop()).executor(), deliver(std::move(awaitable_), *spawned_),
                net::bind_cancellation_slot(spawned_->stop.slot(), [spawned = spawned_](std::exception_ptr exception) {
                  if (exception != nullptr) spawned->result.fail(std::move(exception));
                  if (spawned->waiting != nullptr) std::exchange(spawned->waiting, nullptr)->wake();
                }));
  chain_->wait_for(*this);
  return true;
}

template <class T, class Executor>
T AsioAwait<T, Executor>::await_resume() {
  const std::exception_ptr exception = spawned_->result.exception();
  if (exception != nullptr && chain_->stopped() && was_aborted(exception)) throw Cancelled{};
  return static_cast<T>(spawned_->result.take());
}

}  // inline namespace

template <class T, class Executor>
struct Awaited<net::awaitable<T, Executor>> : std::true_type {
  using type = T;
  static Async<T> async(net::awaitable<T, Executor> coroutine) { return as_async(std::move(coroutine)); }
  static Stored<T> drive(net::awaitable<T, Executor> coroutine, std::stop_token stop) {
    return Awaited<Async<T>>::drive(async(std::move(coroutine)), std::move(stop));
  }
};

}  // namespace detail

template <class T, class Executor>
Async<T> as_async(detail::net::awaitable<T, Executor> awaitable) {
  static_assert(std::is_convertible_v<detail::net::io_context::executor_type, Executor>,
                "taskmgr: an asio::awaitable runs on an io_context here: its executor type must be one that the executor of an "
                "io_context converts to, such as asio::any_io_executor");
  detail::AsioAwait<T, Executor> spawned{std::move(awaitable)};
  co_return co_await spawned;
}

}  // namespace taskmgr
