// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Brings the events of one run to its observers.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>

#include "../core/error.hpp"
#include "../core/event.hpp"
#include "../core/list.hpp"
#include "forks.hpp"

namespace taskmgr::detail {

/// The first exception that the user's own parts of a run threw outside of a task: a sink, an observer, a source.
///
/// Thread safety: any number of threads may call.
class FirstException {
 public:
  void keep(std::exception_ptr exception) noexcept {
    const std::scoped_lock lock(mutex_);
    if (first_ == nullptr) first_ = std::move(exception);
    any_.store(true, std::memory_order_release);
  }
  [[nodiscard]] std::exception_ptr take() noexcept {
    if (!any_.load(std::memory_order_acquire)) return nullptr;
    const std::scoped_lock lock(mutex_);
    return std::exchange(first_, nullptr);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr first_;
  std::atomic<bool> any_{false};
};

/// The observers of one run, and what each wants. One that throws is not called again in this run.
///
/// Thread safety: any number of threads may call. Without observers, `wants` is one load and a bit test.
class Hub {
 public:
  using Observers = List<std::shared_ptr<Observer>>;

  /// Asks each observer what it wants. Throws what `Observer::wants` throws, and `UsageError` if the calling thread is
  /// inside a call of one of them.
  explicit Hub(const Observers& observers);

  [[nodiscard]] bool empty() const noexcept { return listeners_.empty(); }
  [[nodiscard]] bool wants(EventKind kind) const noexcept { return (wanted_ & bit(kind)) != 0; }

  /// Does anybody want events of single attempts, so that each must be announced and measured?
  [[nodiscard]] bool wants_tasks() const noexcept {
    return (wanted_ & ~(bit(EventKind::batch_started) | bit(EventKind::batch_finished) |
                        bit(EventKind::task_duplicate) | bit(EventKind::task_log) | bit(EventKind::task_progress))) != 0;
  }

  void tell(const Event& event, FirstException& thrown) noexcept;
  void tick(const Progress& progress, FirstException& thrown) noexcept;

 private:
  struct Listener {
    explicit Listener(std::shared_ptr<Observer> who, std::uint32_t what) : observer(std::move(who)), wanted(what) {}
    std::shared_ptr<Observer> observer;
    std::uint32_t wanted;
    std::atomic<bool> threw{false};
  };
  static constexpr std::uint32_t bit(EventKind kind) noexcept { return 1U << static_cast<unsigned>(kind); }

  template <class Call>
  static void call(Listener& listener, FirstException& thrown, Call&& make) noexcept {
    if (listener.threw.load(std::memory_order_relaxed)) return;
    ObserverAccess::call(*listener.observer, [&](Observer& observer) {
      if (listener.threw.load(std::memory_order_relaxed)) return;  // while this thread waited for its turn
      try {
        make(observer);
      } catch (...) {
        listener.threw.store(true, std::memory_order_relaxed);
        thrown.keep(std::current_exception());
      }
    });
  }

  List<Owner<Listener>> listeners_;
  std::uint32_t wanted_ = 0;
};

// ---------------------------------------------------------------------------------------------------------------------

inline Hub::Hub(const Observers& observers) {
  for (const std::shared_ptr<Observer>& observer : observers) {
    ObserverAccess::begin_anew(*observer, Forks::count());
    if (ObserverAccess::inside(*observer)) {
      throw UsageError("taskmgr: an observer cannot start a run that it observes itself from within on_event: "
                       "start it after the event, or with a manager that this observer does not hang on");
    }
    std::uint32_t wanted = 0;
    for (unsigned kind = 0; kind <= static_cast<unsigned>(EventKind::batch_finished); ++kind) {
      if (observer->wants(static_cast<EventKind>(kind))) wanted |= 1U << kind;
    }
    wanted_ |= wanted;
    listeners_.push_back(Owner<Listener>{new Listener(observer, wanted)});
  }
}

inline void Hub::tell(const Event& event, FirstException& thrown) noexcept {
  for (const auto& listener : listeners_) {
    if ((listener->wanted & bit(event.kind)) == 0) continue;
    try {
      if (ObserverAccess::inside(*listener->observer)) {
        ObserverAccess::defer(*listener->observer, event);
        continue;
      }
    } catch (...) {
      thrown.keep(std::current_exception());  // no memory to keep it
      continue;
    }
    call(*listener, thrown, [&event](Observer& observer) {
      observer.on_event(event);
      ObserverAccess::tell_deferred(observer);
    });
  }
}

inline void Hub::tick(const Progress& progress, FirstException& thrown) noexcept {
  for (const auto& listener : listeners_) {
    call(*listener, thrown, [&progress](Observer& observer) { observer.on_tick(progress); });
  }
}

}  // namespace taskmgr::detail
