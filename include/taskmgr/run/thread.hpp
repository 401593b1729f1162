// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A manager's threads: they drive runs in the background and help with runs that want it; kept until the manager ends.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <utility>

#include "../core/list.hpp"
#include "crew.hpp"
#include "job.hpp"

namespace taskmgr::detail {

/// Threads are started when somebody needs one and none is idle, and joined by the destructor. One of the idle looks around
/// every few milliseconds for 20 ms after its last work or call, then sleeps, as the others do, until it is called: so a run
/// of a few microseconds need not pay for a wake-up, and will all the same be helped should its tasks turn out long.
///
/// Thread safety: any number of threads may call.
class Pool {
 public:
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  /// Waits for the runs that are driven here.
  ~Pool();

  /// Runs `job` on a thread of its own: false if there is none, nor can one be started.
  [[nodiscard]] bool post(Job job) noexcept;

  /// The same, for a job that needs a seat of this run; looks at all of it at once, so that nobody leaves in between.
  enum class Posted { yes, helped_instead, no };
  [[nodiscard]] Posted post_for(const Crew& crew, Job job) noexcept;

  /// From now on threads may help this run. With `call`, one is called at once; else only if none would come by itself.
  /// False if there is no memory to know of it.
  bool offer(Crew& crew, bool call) noexcept;

  /// There is more to do in this run; `call` as above. Who comes may find something else to do first.
  enum class Help { not_wanted, comes, none };
  Help call_for(Crew& crew, bool call) noexcept;

  /// A seat of this run is free.
  [[nodiscard]] bool has_seat(const Crew& crew) const;

  /// No helper works on this run.
  [[nodiscard]] bool unhelped(const Crew& crew) const;

  /// No helper works on this run, and none can: each seat is barred.
  [[nodiscard]] bool abandoned(const Crew& crew) const;

  /// Nobody joins this run any more, and whoever helped it has left.
  void withdraw(Crew& crew) noexcept;

  /// The calling thread helps, if there is something to do and a seat free; says whether it did.
  bool join_in(Crew& crew) noexcept;

  /// A free seat for the calling thread, or null; to be given back.
  [[nodiscard]] Seat* seat_in(Crew& crew) noexcept;
  void leave(Crew& crew, Seat& seat) noexcept;

  /// A retry of this offered run falls due before all its others.
  void note_retry(Crew& crew) noexcept;

  [[nodiscard]] std::size_t threads() const {
    const std::scoped_lock lock(mutex_);
    return threads_.size();
  }

 private:
  static constexpr std::chrono::milliseconds glance{1};  // between the first four; twice as long between the next, and so on
  static constexpr int glances = 10;

  bool bring_one() noexcept;  // with the lock held, as the next
  bool bring_helper() noexcept;
  bool add_job(Job job) noexcept;
  void serve() noexcept;
  void wait(std::unique_lock<std::mutex>& lock, int& patience, Clock::time_point now);
  Crew* in_need(Clock::time_point now = Clock::time_point::max()) const noexcept;  // and no longer young then
  Crew** place_of(const Crew& crew) noexcept;  // among those that were offered; null: it was not
  void help(std::unique_lock<std::mutex>& lock, Crew& crew) noexcept;

  mutable std::mutex mutex_;
  std::condition_variable called_;
  std::condition_variable left_;
  List<Thread> threads_;
  List<Job> jobs_;
  List<Crew*> crews_;
  std::size_t working_ = 0;   // threads in a job or a run
  std::size_t idle_ = 0;
  std::size_t glancing_ = 0;  // of the idle, those that will look around by themselves
  std::size_t notified_ = 0;  // of the idle, those that were called and are not up yet
  std::size_t arriving_ = 0;  // started and not here yet
  bool timekeeper_ = false;   // one of the idle waits for the next retry
  bool ending_ = false;
};

// ---------------------------------------------------------------------------------------------------------------------

inline Pool::~Pool() {
  {
    std::unique_lock lock(mutex_);
    while (working_ != 0 || !jobs_.empty()) left_.wait(lock);  // from now on nobody starts another thread
    ending_ = true;
  }
  called_.notify_all();
  for (Thread& thread : threads_) thread.join();
}

inline bool Pool::bring_one() noexcept {
  if (idle_ > notified_) {
    ++notified_;
    called_.notify_one();
    return true;
  }
  try {
    threads_.reserve(threads_.size() + 1);
    threads_.push_back(Thread{job_of<&Pool::serve>(*this)});
    ++arriving_;
    return true;
  } catch (...) {  // no more threads, or no memory: the run goes on with those it has
    return false;
  }
}

/// Who is on the way calls the others, and many runs in a row need no more threads than one.
inline bool Pool::bring_helper() noexcept { return notified_ + arriving_ != 0 || bring_one(); }

inline bool Pool::add_job(Job job) noexcept {
  try {
    jobs_.push_back(job);
  } catch (...) {
    return false;
  }
  if (bring_one()) return true;
  jobs_.pop_back();
  return false;
}

inline bool Pool::post(Job job) noexcept {
  const std::scoped_lock lock(mutex_);
  return add_job(job);
}

inline Pool::Posted Pool::post_for(const Crew& crew, Job job) noexcept {
  const std::scoped_lock lock(mutex_);
  if (crew.has_seat() && add_job(job)) return Posted::yes;
  return crew.helpers != 0 ? Posted::helped_instead : Posted::no;
}

inline bool Pool::offer(Crew& crew, bool call) noexcept {
  const std::scoped_lock lock(mutex_);
  try {
    crews_.push_back(&crew);
  } catch (...) {
    return false;
  }
  crew.called.store(call, std::memory_order_relaxed);
  if (call || glancing_ == 0) bring_helper();
  return true;
}

inline Pool::Help Pool::call_for(Crew& crew, bool call) noexcept {
  const std::scoped_lock lock(mutex_);
  if (call) crew.called.store(true, std::memory_order_relaxed);
  if (!call && glancing_ != 0) return Help::comes;
  if (!crew.wants_help()) return Help::not_wanted;
  return bring_helper() ? Help::comes : Help::none;
}

inline bool Pool::has_seat(const Crew& crew) const {
  const std::scoped_lock lock(mutex_);
  return crew.has_seat();
}

inline bool Pool::unhelped(const Crew& crew) const {
  const std::scoped_lock lock(mutex_);
  return crew.helpers == 0;
}

inline bool Pool::abandoned(const Crew& crew) const {
  const std::scoped_lock lock(mutex_);
  return crew.helpers == 0 && !crew.has_seat();
}

inline void Pool::withdraw(Crew& crew) noexcept {
  std::unique_lock lock(mutex_);
  if (Crew** at = place_of(crew)) crews_.erase(at);
  if (crew.helpers == 0) return;
  // as in Crew::rest: who is on the way out is out sooner than we could be asleep
  for (int look = 0; look < 40 && crew.helpers != 0; ++look) {
    lock.unlock();
    relax();
    lock.lock();
  }
  while (crew.helpers != 0) left_.wait(lock);
}

inline bool Pool::join_in(Crew& crew) noexcept {
  std::unique_lock lock(mutex_);
  if (place_of(crew) == nullptr || !crew.wants_help()) return false;
  help(lock, crew);
  return true;
}

inline Seat* Pool::seat_in(Crew& crew) noexcept {
  const std::scoped_lock lock(mutex_);
  return crew.has_seat() ? &crew.sit_down() : nullptr;
}

inline void Pool::leave(Crew& crew, Seat& seat) noexcept {
  const std::scoped_lock lock(mutex_);
  crew.stand_up(seat);
}

inline void Pool::note_retry(Crew& crew) noexcept {
  const std::scoped_lock lock(mutex_);
  crew.called.store(true, std::memory_order_relaxed);
  if (idle_ != 0) called_.notify_all();
}

inline Crew** Pool::place_of(const Crew& crew) noexcept {
  for (Crew*& offered : crews_) {
    if (offered == &crew) return &offered;
  }
  return nullptr;
}

inline Crew* Pool::in_need(Clock::time_point now) const noexcept {
  for (Crew* crew : crews_) {
    if (!crew->is_young(now) && crew->wants_help()) return crew;
  }
  return nullptr;
}

inline void Pool::help(std::unique_lock<std::mutex>& lock, Crew& crew) noexcept {
  Seat& seat = crew.sit_down();
  ++crew.helpers;
  if (in_need() != nullptr) bring_helper();  // whoever called paid for one wake-up; the called call the others
  lock.unlock();
  crew.help(seat);
  lock.lock();
  crew.stand_up(seat);
  if (crew.tells_leaving.load(std::memory_order_relaxed)) crew.wake_driver();
  if (--crew.helpers == 0) left_.notify_all();
}

inline void Pool::serve() noexcept {
  std::unique_lock lock(mutex_);
  --arriving_;
  int patience = glances;
  for (;;) {
    const Clock::time_point now = Clock::now();
    if (!jobs_.empty()) {
      const Job job = jobs_[0];
      jobs_.erase(jobs_.begin());
      if (in_need() != nullptr) bring_helper();  // who counted on this thread to look around is served by another
      ++working_;
      lock.unlock();
      job();
      lock.lock();
      patience = glances;
      if (--working_ == 0) left_.notify_all();
    } else if (Crew* crew = in_need(now)) {
      ++working_;
      help(lock, *crew);
      patience = glances;
      if (--working_ == 0) left_.notify_all();
    } else if (ending_) {
      return;
    } else {
      wait(lock, patience, now);
    }
  }
}

inline void Pool::wait(std::unique_lock<std::mutex>& lock, int& patience, Clock::time_point now) {
  RetryQueue::TimePoint due = RetryQueue::never;
  for (const Crew* crew : crews_) {
    if (crew->is_young(now)) patience = std::max(patience, 1);  // to be looked at again
    else if (crew->has_seat()) due = std::min(due, crew->next_due());  // else a worker there sees to it
  }
  ++idle_;
  if (patience > 0 && glancing_ == 0) {  // one is enough
    const auto pause = glance * (1 << (glances - patience) / 4);
    --patience;
    ++glancing_;
    called_.wait_until(lock, std::min(due, now + pause));
    --glancing_;
  } else if (due != RetryQueue::never && !timekeeper_) {
    timekeeper_ = true;
    called_.wait_until(lock, due);
    timekeeper_ = false;
    if (idle_ > 1) called_.notify_one();  // this one may be about to work: another keeps the time
  } else {
    called_.wait(lock);
  }
  --idle_;
  if (notified_ == 0) return;
  --notified_;
  patience = glances;
}

}  // namespace taskmgr::detail
