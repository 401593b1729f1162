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
  [[nodiscard]] static std::uint64_t count() noexcept {
    watch();
    return count_.load(std::memory_order_relaxed);
  }

  /// Held while descriptors are opened that a child must know of; never while anything else is waited for. No process is
  /// forked meanwhile, by whomever, and in the child nobody holds it.
  [[nodiscard]] static std::mutex& turn() noexcept {
    watch();
    return turn_;
  }

 private:
  static void watch() noexcept {
    [[maybe_unused]] static const int watched = ::pthread_atfork([] { turn_.lock(); }, [] { turn_.unlock(); },
                                                                 [] {
                                                                   count_.fetch_add(1, std::memory_order_relaxed);
                                                                   turn_.unlock();
                                                                 });
  }

  static inline constinit std::atomic<std::uint64_t> count_{0};
  static inline constinit std::mutex turn_;
};

/// A `T` for each process: in a fork, the first who asks finds a new one. What was inherited is left alone and never ended,
/// for its threads are not here and its locks may be held by them.
///
/// Thread safety: any number of threads may call `get`.
template <class T>
class PerProcess {
 public:
  PerProcess() : now_(new Made) {}
  PerProcess(const PerProcess&) = delete;
  PerProcess& operator=(const PerProcess&) = delete;
  ~PerProcess() {
    Made* const made = now_.load(std::memory_order_relaxed);
    if (made->forks == Forks::count()) delete made;
  }

  /// Throws what the constructor of a `T` throws, in a fork alone.
  [[nodiscard]] T& get() {
    Made* made = now_.load(std::memory_order_acquire);
    while (made->forks != Forks::count()) {
      Owner<Made> fresh{new Made};
      fresh->inherited = made;
      if (now_.compare_exchange_strong(made, fresh.get(), std::memory_order_acq_rel)) made = fresh.release();
    }
    return made->object;
  }

 private:
  struct Made {
    const std::uint64_t forks = Forks::count();
    const Made* inherited = nullptr;  // reachable, for leak checkers
    T object{};
  };
  std::atomic<Made*> now_;
};

}  // namespace taskmgr::detail
