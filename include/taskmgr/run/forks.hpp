// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What has to know that this process was forked: counters, locks and threads of the parent are dead here.

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <mutex>

#include "../core/list.hpp"

namespace taskmgr::detail {

/// The forks of this process, and what has to be seen to at each.
struct Forks {
  /// How many lie between the first process and this one. Thread safety: any number of threads may call.
  [[nodiscard]] static std::uint64_t count() noexcept { return count_.load(std::memory_order_relaxed); }

  /// Held while descriptors are opened that a child must know of; never while anything else is waited for. No process is
  /// forked meanwhile, by whomever, and in the child nobody holds it.
  [[nodiscard]] static std::mutex& turn() noexcept { return turn_; }

 private:
  static inline constinit std::atomic<std::uint64_t> count_{0};
  static inline constinit std::mutex turn_;
  // Before main: nothing that a fork could find half made.
  static inline const int watched_ = ::pthread_atfork([] { turn_.lock(); }, [] { turn_.unlock(); },
                                                      [] {
                                                        count_.fetch_add(1, std::memory_order_relaxed);
                                                        turn_.unlock();
                                                      });
};

/// A `T` for each process: the first who asks makes it, also in a fork. What was inherited is left alone and never ended, for
/// its threads are not here and its locks may be held by them.
///
/// It does not end what it has made: who owns it calls `end`, or nobody. Thread safety: any number of threads may call `get`.
template <class T>
class PerProcess {
 public:
  constexpr PerProcess() = default;
  PerProcess(const PerProcess&) = delete;
  PerProcess& operator=(const PerProcess&) = delete;

  /// Throws what the constructor of a `T` throws, the first time in a process.
  [[nodiscard]] T& get() {
    Made* made = now_.load(std::memory_order_acquire);
    while (made == nullptr || made->forks != Forks::count()) {
      Owner<Made> fresh{new Made};
      fresh->inherited = made;
      if (now_.compare_exchange_strong(made, fresh.get(), std::memory_order_acq_rel)) made = fresh.release();
    }
    return made->object;
  }

  /// Of this process; nobody uses it any more.
  void end() noexcept {
    Made* const made = now_.load(std::memory_order_relaxed);
    if (made != nullptr && made->forks == Forks::count()) delete made;
  }

 private:
  struct Made {
    const std::uint64_t forks = Forks::count();
    const Made* inherited = nullptr;  // reachable, for leak checkers
    T object{};
  };
  std::atomic<Made*> now_{nullptr};
};

}  // namespace taskmgr::detail
