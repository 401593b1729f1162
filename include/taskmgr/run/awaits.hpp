// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a coroutine can wait for: a time, a descriptor, its next turn, several others.

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <stop_token>
#include <tuple>
#include <utility>
#include <vector>

#include "../core/time.hpp"
#include "async.hpp"

namespace taskmgr {

namespace detail {

/// Waits for what `Derived::wait(chain)` asks of the loop.
template <class Derived>
class LoopAwait {
 public:
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> waiting) {
    static_assert(std::derived_from<P, PromiseBase>, "taskmgr: this is awaited in a coroutine that is a taskmgr::Async");
    chain_ = waiting.promise().chain();
    if (chain_->stopped()) return false;
    static_cast<Derived&>(*this).wait(*chain_);
    return true;
  }
  void await_resume() const { chain_->throw_if_stopped(); }

 protected:
  [[nodiscard]] bool stopped() const noexcept { return chain_->stopped(); }

 private:
  Chain* chain_ = nullptr;
};

class [[nodiscard]] SleepAwait : public LoopAwait<SleepAwait> {
 public:
  explicit SleepAwait(EventLoop::Clock::time_point until) noexcept : until_(until) {}
  void wait(Chain& chain) const noexcept { chain.loop().at(chain, until_); }

 private:
  EventLoop::Clock::time_point until_;
};

class [[nodiscard]] YieldAwait : public LoopAwait<YieldAwait> {
 public:
  void wait(Chain& chain) const noexcept { chain.loop().soon(chain); }
};

class [[nodiscard]] DescriptorAwait : public LoopAwait<DescriptorAwait> {
 public:
  DescriptorAwait(int fd, EventLoop::Readiness readiness) noexcept : fd_(fd), readiness_(readiness) {}
  void wait(Chain& chain) const { chain.loop().when(chain, fd_, readiness_); }

 private:
  int fd_;
  EventLoop::Readiness readiness_;
};

}  // namespace detail

// Each of these is for `co_await` in an `Async`, and throws `Cancelled` once the coroutine is asked to stop, at once where it
// waits already.

/// Goes on after `duration`, or some 20 microseconds later if others are not in the way. Fractions are rounded up to nanoseconds;
/// what is longer than those can say is for ever.
template <class Rep, class Period>
[[nodiscard]] detail::SleepAwait sleep_for(std::chrono::duration<Rep, Period> duration) noexcept {
  return detail::SleepAwait{detail::later(EventLoop::Clock::now(), detail::in_nanoseconds(duration))};
}

/// Goes on at `time`; at the next turn, if that has passed. Of another clock, the time is converted now.
[[nodiscard]] inline detail::SleepAwait sleep_until(EventLoop::Clock::time_point time) noexcept { return detail::SleepAwait{time}; }
template <class Clock, class Duration>
[[nodiscard]] detail::SleepAwait sleep_until(std::chrono::time_point<Clock, Duration> time) {
  const auto now = Clock::now();
  return time > now ? sleep_for(time - now) : sleep_for(std::chrono::nanoseconds{0});
}

/// Lets all others go first that are ready.
[[nodiscard]] inline detail::YieldAwait yield() noexcept { return {}; }

/// Goes on when `fd` can be read without blocking, or has come to its end or to an error. Any number of coroutines may wait for
/// one descriptor. It is to stay open meanwhile. Throws `std::system_error` if it cannot be waited for.
[[nodiscard]] inline detail::DescriptorAwait readable(int fd) noexcept { return {fd, EventLoop::Readiness::to_read}; }

/// Goes on when `fd` can be written without blocking, or has an error.
[[nodiscard]] inline detail::DescriptorAwait writable(int fd) noexcept { return {fd, EventLoop::Readiness::to_write}; }

/// Runs all of them at once, and gives their results in the order of the arguments (`std::monostate` for void). When all
/// have ended, and one has thrown, the first of those exceptions is thrown. A request to stop reaches all of them.
///
///     auto [page, size] = co_await when_all(fetch(url), measure(url));
template <class... T>
[[nodiscard]] Async<std::tuple<detail::Stored<T>...>> when_all(Async<T>... asyncs);

/// The same for any number of one type.
template <class T>
[[nodiscard]] Async<std::vector<detail::Stored<T>>> when_all(std::vector<Async<T>> asyncs);

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

/// Waits for the ends of some chains, which begin when it is awaited. They may wait for others, and those again: each hands
/// on a stop in a turn of the loop of its own, for a stack is not endless.
class Gathering final : public Chain::Inner, private Entry {
 public:
  class AnyMember;
  template <class T>
  class Member;

  /// Before it is awaited: one more, which begins after those that are in it already.
  void add(AnyMember& member) noexcept;

  [[nodiscard]] bool await_ready() const noexcept { return left_ == 0; }
  template <class P>
  void await_suspend(std::coroutine_handle<P> waiting) noexcept;
  void await_resume() const noexcept {}

  // --- Inner
  void stop() noexcept override {
    if (!linked()) waiting_->loop().soon(*this);
  }
  [[nodiscard]] inline Chain* inside() noexcept override;  // `inline` already here: see Crew

 private:
  inline void fire() noexcept override;  // hands on the stop

  AnyMember* first_ = nullptr;
  AnyMember** last_ = &first_;
  std::size_t left_ = 0;
  Chain* waiting_ = nullptr;
};

class Gathering::AnyMember : public Chain::Owner, public Chain {
 public:
  AnyMember(Gathering& gathering, EventLoop& loop) noexcept : Chain::Owner(loop), gathering_(gathering) {}

 private:
  friend Gathering;

  void ended(Chain&) noexcept override {
    if (--gathering_.left_ == 0) gathering_.waiting_->wake();
  }
  [[nodiscard]] Chain* outside() const noexcept override { return gathering_.waiting_; }
  [[nodiscard]] std::stop_token token(const Chain&) const override { return gathering_.waiting_->token(); }

  Gathering& gathering_;
  AnyMember* next_ = nullptr;
};

template <class T>
class Gathering::Member final : public AnyMember {
 public:
  struct Seed {  // a member is made where it stays
    Gathering& gathering;
    Async<T>& async;
  };
  explicit Member(Seed seed) : AnyMember(seed.gathering, *EventLoop::current()) { begin(*this, AsyncAccess::give_up(seed.async)); }
  Stored<T> take() { return static_cast<Promise<T>&>(outermost()).take_stored(); }
};

inline void Gathering::add(AnyMember& member) noexcept {
  *last_ = &member;
  last_ = &member.next_;
  ++left_;
}

template <class P>
void Gathering::await_suspend(std::coroutine_handle<P> waiting) noexcept {
  waiting_ = waiting.promise().chain();
  waiting_->wait_for(*this);
  for (AnyMember* member = first_; member != nullptr; member = member->next_) waiting_->loop().soon(*member);
  if (waiting_->stopped()) stop();
}

inline void Gathering::fire() noexcept {
  for (AnyMember* member = first_; member != nullptr; member = member->next_) member->stop();
}

inline Chain* Gathering::inside() noexcept {
  AnyMember* const member = first_;
  if (member != nullptr) first_ = member->next_;
  return member;
}

}  // namespace detail

template <class... T>
Async<std::tuple<detail::Stored<T>...>> when_all(Async<T>... asyncs) {
  detail::Gathering gathering;
  std::tuple<typename detail::Gathering::Member<T>...> members{
      typename detail::Gathering::Member<T>::Seed{gathering, asyncs}...};
  std::apply([&gathering](auto&... member) { (gathering.add(member), ...); }, members);  // a tuple may begin with its last
  co_await gathering;
  co_return std::apply([](auto&... member) { return std::tuple<detail::Stored<T>...>{member.take()...}; }, members);
}

template <class T>
Async<std::vector<detail::Stored<T>>> when_all(std::vector<Async<T>> asyncs) {
  using Member = detail::Gathering::Member<T>;
  detail::Gathering gathering;
  detail::List<detail::Owner<Member>> members;
  members.reserve(asyncs.size());
  for (Async<T>& async : asyncs) {
    members.push_back(detail::Owner{new Member{{gathering, async}}});
    gathering.add(*members.back());
  }
  co_await gathering;
  std::vector<detail::Stored<T>> results;
  results.reserve(members.size());
  for (detail::Owner<Member>& member : members) results.push_back(member->take());
  co_return results;
}

}  // namespace taskmgr
