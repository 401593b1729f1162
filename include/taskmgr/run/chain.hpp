// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Coroutines that wait for each other, of which the innermost runs; and what each of them knows.

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <stop_token>
#include <utility>

#include "../core/error.hpp"
#include "event_loop.hpp"
#include "frame_heap.hpp"

namespace taskmgr::detail {

class Chain;

/// What the promise of every `Async` has, whatever its result.
class PromiseBase {
 public:
  PromiseBase() = default;
  PromiseBase(const PromiseBase&) = delete;
  PromiseBase& operator=(const PromiseBase&) = delete;

  /// The chain that it is in: null before it has begun.
  [[nodiscard]] Chain* chain() const noexcept { return chain_; }

  struct Final {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> ended) const noexcept;
    void await_resume() const noexcept {}
  };
  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] Final final_suspend() const noexcept { return {}; }

  [[nodiscard]] static void* operator new(std::size_t size) {
    return frames_are_watched ? ::operator new(size) : FrameHeap::allocate(size);
  }
  static void operator delete(void* frame, std::size_t size) noexcept {
    if (frames_are_watched) ::operator delete(frame);
    else FrameHeap::release(frame, size);
  }

 protected:
  ~PromiseBase() = default;

 private:
  friend Chain;
  friend void drop(PromiseBase& promise) noexcept;

  // Promises have no stricter alignment than a frame has: they all lie behind its two pointers.
  void resume() { std::coroutine_handle<PromiseBase>::from_promise(*this).resume(); }
  void destroy() noexcept { std::coroutine_handle<PromiseBase>::from_promise(*this).destroy(); }

  Chain* chain_ = nullptr;
  PromiseBase* outer_ = nullptr;  // who awaits it; null for the outermost of a chain
};

/// Ends a coroutine that has not begun. Its parameters may hold others, and those yet others: deep down, they are kept until
/// the outer ones have ended, for a stack is not endless.
void drop(PromiseBase& promise) noexcept;

/// A coroutine, what it awaits, what that awaits, and so on: at most one of them runs, and all are ended by the chain. Each
/// is resumed from the loop in `fire`, never from another one, so the depth of a chain takes no stack.
///
/// A chain is in one place at a time: it runs, it is ready, it waits for a time or a descriptor, or for others (`Inner`), or
/// something foreign knows how to resume its innermost coroutine. Thread safety: the thread of its loop.
class Chain : public Entry {
 public:
  /// Who the chain is for.
  class Owner {
   public:
    explicit Owner(EventLoop& loop) noexcept : loop_(loop) {}
    [[nodiscard]] EventLoop& loop() const noexcept { return loop_; }
    /// Its outermost coroutine has ended, and `chain` holds its promise. May end the chain.
    virtual void ended(Chain& chain) noexcept = 0;
    /// The chain that waits for the end of those of this owner, if one does.
    [[nodiscard]] virtual Chain* outside() const noexcept { return nullptr; }
    /// Stops as soon as others ask `chain` to stop, whatever the loop is at; of no state where they ask the chain alone.
    [[nodiscard]] virtual std::stop_token token(const Chain& chain) const = 0;

   protected:
    ~Owner() = default;

   private:
    EventLoop& loop_;
  };

  /// What a chain waits for other than a time or a descriptor.
  class Inner {
   public:
    /// The chain has been asked to stop: `Chain::wake` is to be called soon.
    virtual void stop() noexcept = 0;
    /// The chain is to be cleared: gives those whose coroutines are to be ended before, one by one, and then null. `outside`
    /// of their owner is this chain.
    [[nodiscard]] virtual Chain* inside() noexcept { return nullptr; }

   protected:
    ~Inner() = default;
  };

  Chain() = default;
  ~Chain() { clear(); }

  /// It is to run this coroutine for `owner`, when it is fired first.
  void begin(Owner& owner, PromiseBase& outermost) noexcept {
    owner_ = &owner;
    outermost.chain_ = this;
    innermost(&outermost);
    done_ = stopped_ = false;
  }
  inline void fire() noexcept final;  // `inline` already here: see Crew

  /// Ends all of its coroutines and those that they wait for, from the inside to the outside.
  void clear() noexcept;

  /// What it awaits from now on throws `Cancelled`, as does what it waits for now, at once.
  void stop() noexcept {
    if (stopped_) return;
    stopped_ = true;
    if (Inner* const awaited = inner()) return awaited->stop();
    if (!linked()) return;  // it runs, or waits for something foreign
    unlink();
    loop().soon(*this);
  }
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }
  [[nodiscard]] std::stop_token token() const { return owner_->token(*this); }
  void throw_if_stopped() const {
    if (stopped_) throw Cancelled{};
  }

  /// Of one that has begun.
  [[nodiscard]] EventLoop& loop() const noexcept { return owner_->loop(); }
  /// Nothing runs, and none waits.
  [[nodiscard]] bool idle() const noexcept { return innermost() == nullptr; }
  /// Of the coroutine that has ended.
  [[nodiscard]] PromiseBase& outermost() const noexcept { return *innermost(); }

  // --- for what is awaited

  /// From now on `inner` says when to go on.
  void wait_for(Inner& inner) noexcept {
    other = &inner;
    waits_for_inner_ = true;
  }
  void wake() noexcept {
    waits_for_inner_ = false;
    loop().soon(*this);
  }
  /// The innermost coroutine awaits another.
  void enter(PromiseBase& inner) noexcept {
    inner.chain_ = this;
    inner.outer_ = innermost();
    innermost(&inner);
    if (driven_) goes_on_ = true;
    else loop().soon(*this);
  }
  /// The innermost coroutine, which this is the promise of, has ended. It stays until the one outside of it has taken its
  /// result.
  void leave(const PromiseBase& ended) noexcept {
    if (ended.outer_ == nullptr) {
      done_ = true;
      if (!driven_) loop().soon(*this);
    } else if (driven_) {
      innermost(ended.outer_);
      goes_on_ = true;
    } else {
      left_ = true;
      loop().soon(*this);
    }
  }

 private:
  void clear_own() noexcept;

  [[nodiscard]] Inner* inner() const noexcept { return waits_for_inner_ ? static_cast<Inner*>(other) : nullptr; }
  [[nodiscard]] PromiseBase* innermost() const noexcept { return static_cast<PromiseBase*>(needs_); }
  void innermost(PromiseBase* promise) noexcept { needs_ = promise; }

  Owner* owner_ = nullptr;
  // The first two are looked at in each await, and have bytes of their own.
  bool driven_ = false;   // by `fire`, not by something foreign that resumes a coroutine and knows nothing of the others
  bool goes_on_ = false;  // there is another one to be resumed at once
  bool left_ : 1 = false;  // the innermost has ended, another waits for it
  bool done_ : 1 = false;
  bool stopped_ : 1 = false;
  bool waits_for_inner_ : 1 = false;  // it is `other`
};

// ---------------------------------------------------------------------------------------------------------------------

inline void Chain::fire() noexcept {
  if (left_) {
    left_ = false;
    innermost(innermost()->outer_);
  }
  driven_ = true;
  goes_on_ = !done_;
  while (goes_on_) {
    goes_on_ = false;
    innermost()->resume();
  }
  driven_ = false;
  if (done_) owner_->ended(*this);
}

inline void Chain::clear() noexcept {
  for (Chain* at = this;;) {
    Chain* const inside = at->inner() != nullptr ? at->inner()->inside() : nullptr;
    if (inside != nullptr) {
      at = inside;
      continue;
    }
    at->clear_own();
    if (at == this) return;
    at = at->owner_->outside();
  }
}

inline void Chain::clear_own() noexcept {
  unlink();
  waits_for_inner_ = false;
  left_ = false;
  while (innermost() != nullptr) {
    PromiseBase* const ending = innermost();
    innermost(ending->outer_);
    ending->destroy();
  }
}

template <class P>
void PromiseBase::Final::await_suspend(std::coroutine_handle<P> ended) const noexcept {
  ended.promise().chain()->leave(ended.promise());
}

inline void drop(PromiseBase& promise) noexcept {
  constexpr int deep = 300;
  static constinit thread_local int depth = 0;
  static constinit thread_local PromiseBase* kept = nullptr;
  if (depth == deep) {
    promise.outer_ = std::exchange(kept, &promise);
    return;
  }
  const int above = depth++;
  promise.destroy();
  while (above == 0 && kept != nullptr) {
    PromiseBase& next = *kept;
    kept = next.outer_;
    next.destroy();
  }
  depth = above;
}

}  // namespace taskmgr::detail
