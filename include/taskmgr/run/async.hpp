// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A coroutine that gives a value later, and how to run one from ordinary code.

#include <concepts>
#include <coroutine>
#include <exception>
#include <memory>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <variant>

#include "../core/call.hpp"
#include "../core/error.hpp"
#include "chain.hpp"

namespace taskmgr {

template <class T>
class Async;

namespace detail {

template <class T>
class Promise;
struct AsyncAccess;

}  // namespace detail

/// A coroutine that gives a `T`. It is lazy: it begins when it is awaited, or given to `run`, or started by a manager as a
/// task; then it is used up. Dropped before that, it never runs.
///
///     Async<int> add_slowly(int x, int y) {
///       co_await sleep_for(100ms);
///       co_return x + y;
///     }
///     int sum = run(add_slowly(1, 2));                     // in ordinary code
///     int more = co_await add_slowly(sum, 3);              // in another coroutine
///
/// What it throws is thrown from where it is awaited. To await takes neither stack nor allocation beyond the coroutine's
/// frame: a chain of them may be a million deep. A coroutine's parameters live in its frame, what they refer to does not.
///
/// Thread safety: one thread at a time; once it has begun, the one of its loop.
template <class T = void>
class [[nodiscard]] Async {
 public:
  using promise_type = detail::Promise<T>;

  Async(Async&& other) noexcept : promise_(std::exchange(other.promise_, nullptr)), begun_(std::exchange(other.begun_, false)) {}
  Async& operator=(Async&& other) noexcept {
    Async taken{std::move(other)};  // which ends with what was here
    std::swap(promise_, taken.promise_);
    std::swap(begun_, taken.begun_);
    return *this;
  }
  ~Async() {
    if (promise_ != nullptr && !begun_) drop(*promise_);
  }

  // --- awaited, as a temporary or by its name

  /// Throws `UsageError` if it has been used up.
  [[nodiscard]] bool await_ready() const {
    check();
    return false;
  }
  template <class P>
  void await_suspend(std::coroutine_handle<P> outer) noexcept;
  T await_resume();

 private:
  friend promise_type;
  friend struct detail::AsyncAccess;

  explicit Async(promise_type& promise) noexcept : promise_(&promise) {}
  void check() const {
    if (promise_ == nullptr || begun_) throw UsageError("taskmgr: this Async was used up: it can be awaited or run once");
  }

  promise_type* promise_;
  bool begun_ = false;  // it belongs to its chain
};

/// Runs a coroutine on the calling thread, until it has ended; gives its value, or throws what it has thrown. If `stop` is
/// requested, what it waits for throws `Cancelled`.
///
/// Throws `std::system_error` where no event loop can be made.
template <class T>
T run(Async<T> async, std::stop_token stop = {});

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

/// What a coroutine has come to: nothing yet, a value, or an exception.
template <class T>
class Result {
 public:
  Result() noexcept {}  // NOLINT: nothing is in the union
  Result(const Result&) = delete;
  Result& operator=(const Result&) = delete;
  ~Result() {
    if (is_ == Is::value) value_.~T();
    else if (is_ == Is::exception) exception_.~exception_ptr();
  }

  template <class U>
  void set(U&& value) {
    ::new (static_cast<void*>(std::addressof(value_))) T(std::forward<U>(value));
    is_ = Is::value;
  }
  void fail(std::exception_ptr exception) noexcept {
    if (is_ == Is::value) value_.~T();  // a local that ended after `co_return` has thrown
    ::new (static_cast<void*>(&exception_)) std::exception_ptr(std::move(exception));
    is_ = Is::exception;
  }
  /// Null where there is a value.
  [[nodiscard]] std::exception_ptr exception() const noexcept { return is_ == Is::exception ? exception_ : nullptr; }
  T take() {
    if (is_ == Is::exception) std::rethrow_exception(exception_);
    return std::move(value_);
  }

 private:
  enum class Is : unsigned char { nothing, value, exception };
  union {
    T value_;
    std::exception_ptr exception_;
  };
  Is is_ = Is::nothing;
};

/// Larger alignments than a frame has are had behind a pointer.
template <class T>
  requires(alignof(T) > 2 * alignof(void*))
class Result<T> {
 public:
  template <class U>
  void set(U&& value) {
    result_.set(std::make_unique<T>(std::forward<U>(value)));
  }
  void fail(std::exception_ptr exception) noexcept { result_.fail(std::move(exception)); }
  [[nodiscard]] std::exception_ptr exception() const noexcept { return result_.exception(); }
  T take() { return std::move(*result_.take()); }

 private:
  Result<std::unique_ptr<T>> result_;
};

template <class T>
class Promise final : public PromiseBase {
 public:
  static_assert(std::is_object_v<T> && !std::is_const_v<T>,
                "taskmgr: an Async gives a value or void: for a reference, let it give a pointer or a std::reference_wrapper");

  [[nodiscard]] Async<T> get_return_object() noexcept { return Async<T>{*this}; }
  template <class U = T>
    requires std::is_convertible_v<U, T>  // as `return` has it
  void return_value(U&& value) {
    result_.set(std::forward<U>(value));
  }
  void unhandled_exception() noexcept { result_.fail(std::current_exception()); }

  [[nodiscard]] std::exception_ptr exception() const noexcept { return result_.exception(); }
  T take() { return result_.take(); }
  /// As a report stores it.
  T take_stored() { return take(); }

 private:
  Result<T> result_;
};

template <>
class Promise<void> final : public PromiseBase {
 public:
  [[nodiscard]] Async<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void unhandled_exception() noexcept { exception_ = std::current_exception(); }

  [[nodiscard]] std::exception_ptr exception() const noexcept { return exception_; }
  void take() {
    if (exception_ != nullptr) std::rethrow_exception(exception_);
  }
  std::monostate take_stored() {
    take();
    return {};
  }

 private:
  std::exception_ptr exception_;
};

/// How those who run chains get at the coroutine of an `Async`.
struct AsyncAccess {
  /// From now on it belongs to the caller's chain. Throws `UsageError` if it has been used up.
  template <class T>
  static Promise<T>& give_up(Async<T>& async) {
    async.check();
    return *std::exchange(async.promise_, nullptr);
  }
};

inline Async<void> Promise<void>::get_return_object() noexcept { return Async<void>{*this}; }

template <class T>
struct Awaited<Async<T>> : std::true_type {
  using type = T;
  static Async<T> async(Async<T> coroutine) noexcept { return coroutine; }
  static Stored<T> drive(Async<T> coroutine, std::stop_token stop);
};

/// A chain of which somebody waits for the value of its outermost coroutine, a `T`.
template <class T>
class ChainOf : private Chain::Owner, public Chain {
 public:
  ChainOf(EventLoop& loop, Async<T> async, std::stop_token stop = {}) : Chain::Owner(loop), stop_(std::move(stop)) {
    begin(*this, AsyncAccess::give_up(async));
  }
  [[nodiscard]] bool done() const noexcept { return done_; }
  T take() { return static_cast<Promise<T>&>(outermost()).take(); }

 private:
  void ended(Chain&) noexcept override { done_ = true; }
  [[nodiscard]] std::stop_token token(const Chain&) const override { return stop_; }

  const std::stop_token stop_;
  bool done_ = false;
};

/// Asks a chain to stop when its token stops, from whichever thread.
class StopFromOutside {
 public:
  explicit StopFromOutside(Chain& chain) : stopping_(chain), signal_(chain.loop(), stopping_) {
    std::stop_token stop = chain.token();
    if (stop.stop_possible()) callback_ = Owner{new OnStop(std::move(stop), job_of<&EventLoop::Signal::raise>(signal_))};
  }

 private:
  struct Stopping final : Entry {
    explicit Stopping(Chain& stopped) noexcept : chain(stopped) {}
    void fire() noexcept override { chain.stop(); }
    Chain& chain;
  };
  Stopping stopping_;
  EventLoop::Signal signal_;
  Owner<OnStop> callback_;  // last: it may call as soon as it stands
};

}  // namespace detail

template <class T>
template <class P>
void Async<T>::await_suspend(std::coroutine_handle<P> outer) noexcept {
  static_assert(std::derived_from<P, detail::PromiseBase>, "taskmgr: an Async is awaited in a coroutine that is an Async itself");
  begun_ = true;
  outer.promise().chain()->enter(*promise_);
}

template <class T>
T Async<T>::await_resume() {
  struct Ended {
    promise_type* promise;
    ~Ended() { detail::drop(*promise); }
  };
  const Ended ended{std::exchange(promise_, nullptr)};
  begun_ = false;
  return ended.promise->take();
}

template <class T>
detail::Stored<T> detail::Awaited<Async<T>>::drive(Async<T> coroutine, std::stop_token stop) {
  if constexpr (std::is_void_v<T>) {
    taskmgr::run(std::move(coroutine), std::move(stop));
    return {};
  } else {
    return taskmgr::run(std::move(coroutine), std::move(stop));
  }
}

template <class T>
T run(Async<T> async, std::stop_token stop) {
  EventLoop loop;
  detail::ChainOf<T> chain{loop, std::move(async), std::move(stop)};
  const detail::StopFromOutside stopper{chain};
  loop.soon(chain);
  loop.run_until([&chain] { return chain.done(); });
  return chain.take();
}

}  // namespace taskmgr
