// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Something that coroutines wait for until others tell.

#include "awaits.hpp"
#include "chain.hpp"
#include "timer_wheel.hpp"

namespace taskmgr {

class Condition;

namespace detail {

class [[nodiscard]] ConditionAwait : public LoopAwait<ConditionAwait> {
 public:
  explicit ConditionAwait(Condition& condition) noexcept : condition_(condition) {}
  void wait(Chain& chain) const noexcept;
  void await_resume() const;

 private:
  Condition& condition_;
};

}  // namespace detail

/// A condition variable for coroutines: what callbacks of other libraries, and coroutines among each other, tell that
/// something has changed.
///
///     while (!transfer.done) co_await changed.wait();      // here
///
///     transfer.done = true;                                // there
///     changed.notify_all();
///
/// As with `std::condition_variable`, `wait` may return although nobody has notified: wait in a loop, for something that can
/// be looked at. It throws `Cancelled` once the coroutine is asked to stop, at once where it waits already; a notification that
/// was meant for that coroutine goes to the next.
///
/// It must outlive those who wait. Thread safety: one thread, that of the loop; to notify from another one, `post` there.
class Condition {
 public:
  Condition() = default;
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;

  /// For `co_await`: goes on after the next notification.
  [[nodiscard]] detail::ConditionAwait wait() noexcept { return detail::ConditionAwait{*this}; }

  /// Resumes, soon, the one that has waited longest. Complexity: O(1).
  void notify_one() noexcept {
    if (!waiting_.empty()) resume(waiting_.pop_front());
  }
  /// Resumes, soon, all that wait now, in the order in which they came.
  void notify_all() noexcept {
    while (!waiting_.empty()) resume(waiting_.pop_front());
  }

 private:
  friend detail::ConditionAwait;

  static void resume(detail::Entry& entry) noexcept { static_cast<detail::Chain&>(entry).loop().soon(entry); }

  detail::EntryList waiting_;  // chains: one that is asked to stop, or ends, leaves it by itself
};

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

inline void ConditionAwait::wait(Chain& chain) const noexcept { condition_.waiting_.push_back(chain); }

inline void ConditionAwait::await_resume() const {
  if (stopped()) condition_.notify_one();  // it may have been notified, and then asked to stop, before it could go on
  LoopAwait::await_resume();
}

}  // namespace detail

}  // namespace taskmgr
