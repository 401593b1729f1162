// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What tests of coroutines await, and objects that are counted.

#include <taskmgr/run/async.hpp>
#include <taskmgr/run/awaits.hpp>
#include <taskmgr/run/event_loop.hpp>

#include <atomic>
#include <coroutine>
#include <functional>
#include <utility>

namespace support {

/// An object of which it is known how many there are, and how often one was ended that was none. Any thread may have some.
class Counted {
 public:
  static inline std::atomic<int> alive{0};
  static inline std::atomic<int> wrong{0};

  explicit Counted(int n = 0) noexcept : number(n) { begin(); }
  Counted(const Counted& other) noexcept : number(other.number) { begin(); }
  Counted(Counted&& other) noexcept : number(std::exchange(other.number, -1)) { begin(); }
  Counted& operator=(const Counted& other) noexcept {
    number = other.number;
    return *this;
  }
  ~Counted() {
    if (self_ == this) --alive;
    else ++wrong;  // ended twice, or moved byte by byte
    self_ = nullptr;
  }

  int number;

 private:
  void begin() noexcept {
    self_ = this;
    ++alive;
  }
  const Counted* self_ = nullptr;
};

/// Checks at its end that there are as many as at its beginning.
class CountedCheck {
 public:
  CountedCheck() = default;
  CountedCheck(const CountedCheck&) = delete;
  CountedCheck& operator=(const CountedCheck&) = delete;
  [[nodiscard]] bool balanced() const { return Counted::alive == alive_ && Counted::wrong == wrong_; }

 private:
  int alive_ = Counted::alive;
  int wrong_ = Counted::wrong;
};

/// An awaitable that the library knows nothing of: gives its handle to a function, which sees to it that it is resumed.
struct Foreign {
  std::function<void(std::coroutine_handle<>)> suspended;
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) const { suspended(waiting); }
  void await_resume() const noexcept {}
};

/// A coroutine on a loop of the test's: it goes on when the test says so, and may be dropped wherever it is.
template <class T>
class OnLoop {
 public:
  explicit OnLoop(taskmgr::Async<T> async) : chain_(loop_, std::move(async)) { loop_.soon(chain_); }

  /// Until it has ended, or `enough()`, which is asked after each piece of work.
  template <class Enough>
  void turn_until(const Enough& enough) {
    loop_.run_until([&] { return chain_.done() || enough(); });
  }
  void turn_to_end() {
    turn_until([] { return false; });
  }
  void stop() noexcept { chain_.stop(); }
  [[nodiscard]] bool done() const noexcept { return chain_.done(); }
  T take() { return chain_.take(); }
  [[nodiscard]] taskmgr::EventLoop& loop() noexcept { return loop_; }

 private:
  taskmgr::EventLoop loop_;
  taskmgr::detail::ChainOf<T> chain_;
};

}  // namespace support
