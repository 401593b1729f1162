// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The thread that lets observers look at runs ten times a second.

#include <pthread.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "../core/list.hpp"
#include "forks.hpp"
#include "job.hpp"

namespace taskmgr::detail {

/// Does jobs at a steady pace, all from one thread. The thread is started by the first `add` and ends with the
/// ticker; while nothing is registered it sleeps without an end. Where it cannot be started there are no ticks and no
/// error, and the next `add` tries again. All signals of the host are blocked in it.
///
/// One that takes long holds up the others. In a forked child a ticker of the parent has no thread: what is
/// added to it there goes to the child's own `instance()`.
///
/// Thread safety: any number of threads may call.
class Ticker : public Sharers {
 public:
  using Clock = std::chrono::steady_clock;
  class Registration;

  explicit Ticker(std::chrono::nanoseconds period = std::chrono::milliseconds{100})
      : beat_(new Beat(period)) {}
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;
  ~Ticker();

  /// The ticker of this process, with a period of 100 ms: the same one for all, for as long as somebody keeps it.
  [[nodiscard]] static Shared<Ticker> instance();

  /// Does `tick` a period from now and then a period after each call began, until the registration ends. It must not
  /// throw. Throws `std::bad_alloc`. Complexity: O(registrations).
  [[nodiscard]] Registration add(Job tick);

 private:
  struct Entry {
    Job tick;
    Clock::time_point due;
  };

  /// What the thread and the registrations share, so that each may end first.
  struct Beat : Sharers {
    explicit Beat(std::chrono::nanoseconds time) : period(time) {}
    void run();

    const std::chrono::nanoseconds period;
    const std::uint64_t forks = Forks::count();  // elsewhere nothing here may be locked: who held it may not exist there
    std::mutex mutex;
    std::condition_variable woken;
    std::condition_variable ticked;
    List<Entry*> entries;  // owned by their registrations
    const Entry* running = nullptr;
    std::thread::id runner{};
    Clock::time_point sleeps_until = Clock::time_point::min();  // min: it is awake
    bool ending = false;
  };

  struct Common {
    std::mutex mutex;
    Ticker* ticker = nullptr;  // until it ends
  };
  [[nodiscard]] static Common& common() {
    static constinit PerProcess<Common> all;  // never ended: runs may end after main
    return all.get();
  }

  [[nodiscard]] bool inherited() const noexcept { return beat_->forks != Forks::count(); }
  void start_thread();

  Shared<Beat> beat_;
  Thread thread_;  // guarded by the mutex of `beat_`
};

/// As long as it lives, its function is called. Its end waits for a call that is under way, unless it is that call
/// which ends it; afterwards the function is not called again. May be ended by any thread that holds nothing which the
/// function waits for.
class Ticker::Registration {
 public:
  Registration() = default;
  Registration(Registration&& other) noexcept
      : beat_(std::move(other.beat_)), entry_(std::move(other.entry_)), home_(std::move(other.home_)) {}
  Registration& operator=(Registration&& other) noexcept {
    Registration old{std::move(*this)};
    beat_ = std::move(other.beat_);
    entry_ = std::move(other.entry_);
    home_ = std::move(other.home_);
    return *this;
  }
  ~Registration();

 private:
  friend Ticker;
  Registration(Shared<Beat> beat, Owner<Entry> entry) noexcept
      : beat_(std::move(beat)), entry_(std::move(entry)) {}

  Shared<Beat> beat_;
  Owner<Entry> entry_;
  Shared<Ticker> home_;  // in a forked child: the ticker there, which nobody else may keep
};

// ---------------------------------------------------------------------------------------------------------------------

inline Shared<Ticker> Ticker::instance() {
  Common& here = common();
  const std::scoped_lock lock(here.mutex);
  if (here.ticker != nullptr && Shared<Ticker>::join(*here.ticker)) return Shared<Ticker>{here.ticker};
  return Shared<Ticker>{here.ticker = new Ticker};
}

inline Ticker::~Ticker() {
  if (inherited()) {
    // The thread is not here, and the system may have given its identity to another: neither join nor detach it. Nor may
    // the condition variables be destroyed, for which the thread seems to wait.
    struct Left {
      Shared<Beat> beat;
      Thread thread;
    };
    static_cast<void>(new Left{std::move(beat_), std::move(thread_)});
    return;
  }
  {
    Common& here = common();
    const std::scoped_lock lock(here.mutex);
    if (here.ticker == this) here.ticker = nullptr;
  }
  {
    const std::scoped_lock lock(beat_->mutex);
    beat_->ending = true;
    beat_->sleeps_until = Clock::time_point::min();
  }
  beat_->woken.notify_one();
  if (!thread_.joinable()) return;
  if (thread_.is_current()) {
    thread_.detach();  // a tick gave up the last owner
  } else {
    thread_.join();
  }
}

inline Ticker::Registration Ticker::add(Job tick) {
  if (inherited()) {
    Shared<Ticker> here = instance();
    Registration registration = here->add(tick);
    registration.home_ = std::move(here);
    return registration;
  }
  Owner<Entry> entry{new Entry{tick, Clock::now() + beat_->period}};
  bool wake = false;
  {
    const std::scoped_lock lock(beat_->mutex);
    beat_->entries.push_back(entry.get());
    // After a short run the thread still sleeps to what was due then: runs that follow each other need not wake it.
    wake = beat_->sleeps_until > entry->due;
    if (wake) beat_->sleeps_until = Clock::time_point::min();
    if (!thread_.joinable()) start_thread();
  }
  if (wake) beat_->woken.notify_one();
  return Registration{beat_, std::move(entry)};
}

inline void Ticker::start_thread() {
  sigset_t all, before;
  sigfillset(&all);
  // What a fault of its own code raises must still reach the host's handler, and a profiler shall see it.
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF}) sigdelset(&all, signal);
  const bool blocked = ::pthread_sigmask(SIG_SETMASK, &all, &before) == 0;  // the new thread inherits the mask
  try {
    Shared<Beat> beat{beat_};
    constexpr auto run = [](void* given) -> void* {
      const Shared<Beat> mine{static_cast<Beat*>(given)};
      mine->run();
      return nullptr;
    };
    thread_ = Thread{Job{run, beat.get()}};
    static_cast<void>(beat.release());
    ::pthread_setname_np(thread_.handle(), "taskmgr-ticker");
  } catch (const std::exception&) {  // no thread
  }
  if (blocked) ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

inline void Ticker::Beat::run() {
  std::unique_lock lock(mutex);
  runner = std::this_thread::get_id();
  while (!ending) {
    Entry* next = nullptr;
    for (Entry* const entry : entries) {
      if (next == nullptr || entry->due < next->due) next = entry;
    }
    if (next == nullptr) {
      sleeps_until = Clock::time_point::max();
      while (sleeps_until != Clock::time_point::min()) woken.wait(lock);
      continue;
    }
    const Clock::time_point now = Clock::now();
    if (now < next->due) {
      const Clock::time_point due = sleeps_until = next->due;
      while (sleeps_until != Clock::time_point::min() && woken.wait_until(lock, due) == std::cv_status::no_timeout) {
      }
      sleeps_until = Clock::time_point::min();
      continue;
    }
    running = next;
    next->due = now + period;
    const Job tick = next->tick;
    lock.unlock();
    tick();
    lock.lock();
    running = nullptr;
    ticked.notify_all();
  }
}

inline Ticker::Registration::~Registration() {
  if (!beat_) return;
  if (beat_->forks != Forks::count()) {
    static_cast<void>(entry_.release());  // see ~Ticker
    static_cast<void>(beat_.release());
    return;
  }
  {
    std::unique_lock lock(beat_->mutex);
    for (Entry*& entry : beat_->entries) {
      if (entry != entry_.get()) continue;
      beat_->entries.erase(&entry);
      break;
    }
    if (beat_->runner == std::this_thread::get_id()) return;  // its own call ends it
    while (beat_->running == entry_.get()) beat_->ticked.wait(lock);
  }
}

}  // namespace taskmgr::detail
