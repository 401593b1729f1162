// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the workers of one run share, whatever its mode: seats, counters, the stop, the retries, the events.
///
/// Here is the one place that counts, the one that decides on a retry, and the one that tells observers.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string_view>
#include <thread>
#include <utility>

#include "../core/context.hpp"
#include "../core/error.hpp"
#include "../core/event.hpp"
#include "../core/list.hpp"
#include "../core/options.hpp"
#include "../core/time.hpp"
#include "hub.hpp"
#include "job.hpp"
#include "retry_queue.hpp"
#include "share.hpp"
#include "ticker.hpp"
#include "watchdog.hpp"

namespace taskmgr::detail {

/// A counter with one writer at a time; anybody may read.
class Count {
 public:
  void add(std::size_t n) noexcept { n_.store(n_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  [[nodiscard]] std::size_t get() const noexcept { return n_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::size_t> n_{0};
};

/// A worker's place in a run: at most one thread sits in it at a time, and only that thread writes.
struct alignas(64) Seat {
  Seat() noexcept {}  // NOLINT: defaulted, it would be zeroed first
  Share share;
  Count started, succeeded, failed, cancelled, retries;
  Context context;
  Watchdog::Alarm alarm;
  std::size_t number = 0;
  std::thread::id host{};  // who sat here last; the next three are guarded by the pool's lock
  bool taken = false;
  bool barred = false;  // its `on_worker_start` threw
};

/// A run that ends sooner than a sleeping thread could help is not worth a wake-up.
inline constexpr std::int64_t worth_a_call = 50'000;  // ns

/// Why an attempt has no value.
struct Failure {
  TaskError::Kind kind;
  std::exception_ptr exception;
};

/// What is to become of a task whose attempt failed.
struct Ruling {
  enum class Verdict { fail, retry, cancel } verdict;
  std::chrono::nanoseconds delay;  // before the retry
};

/// What `may_retry` has answered, where the exception lives; or nobody has asked yet.
enum class Asked { no, may, may_not };

/// The workers of one run and what they share.
///
/// Every run has one *driver*: a thread that works like the others, waits for the last task and for retries that fall due,
/// and ends the run. Helpers come and go. A run is settled when every task has its outcome.
///
/// Thread safety: any number of threads may call, but for `open` and `close`, the driver's.
class Crew : public Ear {
 public:
  struct Terms {
    const Options& options;
    const Hub::Observers& observers;
    Shared<Ticker> ticker;  // null: nobody listens
    Watchdog& watchdog;
    std::stop_token stop;
    std::size_t seats;
    Clock::time_point began;
    std::size_t total;       // of the source; 0: unknown
    std::size_t duplicates;  // that are known from the start
    std::string_view stage{};  // of a tree
  };

  explicit Crew(Terms terms);
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;
  virtual ~Crew() = default;

  // --- the run

  /// Tells that the run has begun.
  void open() noexcept;
  /// Tells that it has ended; nobody else is in the crew any more.
  void close() noexcept;

  /// No new attempt is begun from now on. A cancel (the tasks see it) goes before a halt (they do not).
  void halt() noexcept { stop(Stop::halted); }
  void cancel() noexcept { stop(Stop::cancelled); }
  /// The token is looked at as well: our own note of a cancel is made after the callbacks of those who came later.
  [[nodiscard]] bool stopping() const noexcept {
    return stop_.load(std::memory_order_relaxed) != Stop::no || token_.stop_requested();
  }

  /// It was cancelled, and running tasks are to see it.
  [[nodiscard]] bool cancelling() const noexcept {
    return stop_.load(std::memory_order_relaxed) == Stop::cancelled || token_.stop_requested();
  }

  /// An attempt may be asked to stop before it has ended.
  [[nodiscard]] bool may_stop_attempts() const noexcept { return token_.stop_possible() || options_.timeout.count() != 0; }

  [[nodiscard]] Progress progress() const noexcept;
  [[nodiscard]] FirstException& thrown() noexcept { return thrown_; }
  [[nodiscard]] const Options& options() const noexcept { return options_; }
  [[nodiscard]] Items<Seat> seats() const noexcept { return seats_; }
  /// Attempts are measured.
  [[nodiscard]] bool measures() const noexcept { return measures_; }
  [[nodiscard]] const std::stop_token& token() const noexcept { return token_; }
  [[nodiscard]] Watchdog& watchdog() noexcept { return watchdog_; }

  // --- helpers: all of it under the lock of the pool, but for `help`

  /// Is there something to do, and a seat free?
  [[nodiscard]] bool wants_help() const noexcept;
  /// There is something to do for a newcomer.
  [[nodiscard]] virtual bool has_work() const noexcept = 0;
  [[nodiscard]] RetryQueue::TimePoint next_due() const noexcept { return retries_.next_due(); }
  [[nodiscard]] bool has_seat() const noexcept;
  [[nodiscard]] Seat& sit_down() noexcept;
  void stand_up(Seat& seat) noexcept { seat.taken = false; }
  std::size_t helpers = 0;
  std::atomic<bool> called{false};         // a helper was
  std::atomic<bool> tells_leaving{false};  // the driver is to be woken when a helper leaves
  /// Nobody was called, and the run may still be as short as expected: who helped would only keep it waiting.
  [[nodiscard]] bool is_young(Clock::time_point now) const noexcept {
    return !called.load(std::memory_order_relaxed) && (now - began_).count() < worth_a_call;
  }
  void wake_driver() noexcept;
  /// For a driver that rests elsewhere: `bell` is called when it is to wake up, by whichever thread, and must not throw.
  void listen(Job bell) noexcept;
  void listen_no_more() noexcept { listen({nullptr, nullptr}); }
  void ring() noexcept;

  /// Works until there is nothing to take.
  void help(Seat& seat) noexcept;

  /// Calls `on_worker_start` if this thread is new on the seat. If that throws: false, and the seat is barred.
  [[nodiscard]] bool ready(Seat& seat) noexcept;

  // --- what a task says

  // `inline` already here: else every file that includes this header compiles them, used or not
  inline void heard_progress(const Context& from, double done, double total) override;
  inline void heard_log(const Context& from, Level level, std::string_view message) override;
  [[nodiscard]] bool listens(EventKind kind) const noexcept override { return hub_.wants(kind); }

 private:
  enum class Stop : int { no, halted, cancelled };

 protected:
  /// Takes tasks and runs or cancels them until there is nothing to take; says how many it has settled and not published.
  virtual std::size_t work(Seat& seat) noexcept = 0;

  // --- settling

  /// So many are to be settled; `expect_first`: while nobody works yet.
  void expect_first(std::size_t tasks) noexcept { unsettled_.store(tasks, std::memory_order_relaxed); }
  void expect(std::size_t tasks) noexcept { unsettled_.fetch_add(tasks, std::memory_order_relaxed); }
  /// `tasks` have their outcomes, which the driver may read from now on. Says whether they were the last.
  bool publish_quietly(std::size_t tasks) noexcept {
    return tasks != 0 && unsettled_.fetch_sub(tasks, std::memory_order_acq_rel) == tasks;
  }
  /// The same for a helper: the driver is woken if they were.
  void publish(std::size_t tasks) noexcept {
    if (publish_quietly(tasks)) wake_driver();
  }
  [[nodiscard]] bool settled() const noexcept { return unsettled_.load(std::memory_order_acquire) == 0; }

  /// The driver: until all is settled, or it is woken, or there are `news`, or the next retry is due.
  template <class News>
  void rest_until(RetryQueue::TimePoint due, const News& news) noexcept;
  void rest_until(RetryQueue::TimePoint due) noexcept {
    rest_until(due, [] { return false; });
  }
  /// The same where nothing may be left to settle at the moment.
  template <class News>
  void rest_for(RetryQueue::TimePoint due, const News& news) noexcept;
  /// Rests although there may be news meanwhile that can wait: until `due`, or `wake_driver` is called.
  template <class TimePoint>
  void nap_until(TimePoint due) noexcept;
  void wake_resting_driver() noexcept {
    if (resting_.load()) wake_driver();  // in one order with the news: see `rest_until`
  }
  /// Until `due`, or a stop: then false.
  [[nodiscard]] bool pause_until(Clock::time_point due) noexcept;

  // --- one attempt

  /// Tells that an attempt begins, and counts it. Returns when its time begins: later than `now` if an observer took some.
  Clock::time_point began(Seat& seat, std::uint64_t number, int attempt, const void* task, Clock::time_point now) noexcept;
  /// Whether the failure of attempt `attempt` is one to try again after; may replace it by what the predicate threw.
  [[nodiscard]] bool may_retry(Failure& failure, int attempt) const noexcept;
  /// What becomes of a task whose attempt `attempt` failed, of which a worker process may have asked `may_retry` before.
  [[nodiscard]] Ruling judge(Failure& failure, int attempt, Asked asked) noexcept;
  /// A task has failed for good, or succeeded: looks whether the run is to be halted.
  void note_failure(bool after_success = false) noexcept;
  [[nodiscard]] bool watches_ratio() const noexcept { return options_.halt.failure_ratio > 0; }

  struct About {  // what an event of a task says besides its kind
    const Seat* seat = nullptr;
    std::uint64_t number = 0;
    int attempt = 0;
    const void* task = nullptr;
    const TaskError* error = nullptr;
    std::chrono::nanoseconds duration{0};
    std::chrono::nanoseconds delay{0};
  };
  void tell(EventKind kind, const About& about) noexcept;

  /// The driver: one more duplicate was found.
  void note_duplicate(std::uint64_t number, const void* task) noexcept {
    duplicates_.add(1);
    tell(EventKind::task_duplicate, {.number = number, .task = task});
  }

  /// The driver: so many more tasks are known of.
  void note_tasks(std::size_t tasks) noexcept { total_.add(tasks); }

  [[nodiscard]] bool tells_tasks() const noexcept { return hub_.wants_tasks(); }
  [[nodiscard]] RetryQueue& retries() noexcept { return retries_; }
  /// A task whose next attempt is due, or, of a run that was stopped, any that waits for one.
  [[nodiscard]] RetryQueue::Waiting pop_due() {
    if (retries_.next_due() == RetryQueue::never) return {};
    return retries_.pop(stopping() ? RetryQueue::never : Clock::now());
  }
  [[nodiscard]] Hub& hub() noexcept { return hub_; }

  /// How a task is written; the derived class knows its type.
  TaskWriter task_writer = nullptr;

 private:
  void stop(Stop how) noexcept;
  void tick() noexcept { hub_.tick(progress(), thrown_); }
  [[nodiscard]] Event event(EventKind kind) const noexcept;
  [[nodiscard]] Event event_of(const Context& from, EventKind kind) const noexcept;
  [[nodiscard]] double uniform() noexcept;

  const Options& options_;
  Hub hub_;
  Shared<Ticker> ticker_;
  Ticker::Registration ticking_;
  Watchdog& watchdog_;
  static constexpr std::size_t few = 2;  // seats that a run brings along, without an allocation
  Seat few_seats_[few];
  Array<Seat> more_seats_;
  Items<Seat> seats_;
  FirstException thrown_;
  RetryQueue retries_;
  const std::uint64_t batch_;
  const Clock::time_point began_;
  Count total_;
  const std::string_view stage_;
  Count duplicates_;
  bool measures_;
  std::atomic<std::uint64_t> random_;
  std::atomic<std::size_t> failures_{0};
  std::atomic<std::size_t> finished_{0};  // kept only where a failure ratio is watched

  alignas(64) std::atomic<Stop> stop_{Stop::no};
  alignas(64) std::atomic<std::size_t> unsettled_{0};
  std::mutex mutex_;  // of the driver's rest; never held while anything of the user's is called
  std::condition_variable changed_;
  bool woken_ = false;
  Job bell_{nullptr, nullptr};
  std::atomic<bool> resting_{false};

  std::stop_token token_;
  Owner<OnStop> on_stop_;  // last: it may call as soon as it stands
};

// ---------------------------------------------------------------------------------------------------------------------

/// Tells the processor that this is a short wait.
inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

inline std::uint64_t next_batch() noexcept {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

inline Crew::Crew(Terms terms)
    : options_(terms.options),
      hub_(terms.observers),
      ticker_(std::move(terms.ticker)),
      watchdog_(terms.watchdog),
      more_seats_(terms.seats > few ? new Seat[terms.seats] : nullptr),
      seats_(more_seats_ ? more_seats_.get() : few_seats_, terms.seats),
      batch_(hub_.empty() ? 0 : next_batch()),
      began_(terms.began),
      stage_(terms.stage),
      measures_(terms.options.timings || hub_.wants_tasks()),
      random_(static_cast<std::uint64_t>(began_.time_since_epoch().count()) + batch_),
      token_(std::move(terms.stop)) {
  total_.add(terms.total);
  duplicates_.add(terms.duplicates);
  for (std::size_t k = 0; k < seats_.size(); ++k) {
    seats_[k].number = k;
    ContextAccess::bind(seats_[k].context, k, this, token_);
  }
  if (token_.stop_possible()) on_stop_ = Owner{new OnStop(token_, job_of<&Crew::cancel>(*this))};
}

inline void Crew::open() noexcept {
  if (hub_.empty()) return;
  if (hub_.wants(EventKind::batch_started)) {
    Event started = event(EventKind::batch_started);
    started.progress.total = total_.get();
    started.progress.elapsed = started.time - began_;
    started.workers = seats_.size();
    hub_.tell(started, thrown_);
  }
  if (!ticker_) return;
  try {
    ticking_ = ticker_->add(job_of<&Crew::tick>(*this));
  } catch (...) {
    thrown_.keep(std::current_exception());  // no memory for ticks
  }
}

inline void Crew::close() noexcept {
  ticking_ = {};
  on_stop_ = {};
  if (!hub_.wants(EventKind::batch_finished)) return;
  Event finished = event(EventKind::batch_finished);
  finished.progress = progress();
  finished.duration = finished.progress.elapsed;
  finished.workers = seats_.size();
  hub_.tell(finished, thrown_);
}

inline void Crew::stop(Stop how) noexcept {
  Stop now = stop_.load(std::memory_order_relaxed);
  while (now < how && !stop_.compare_exchange_weak(now, how, std::memory_order_relaxed)) {
  }
  wake_driver();
}

inline Progress Crew::progress() const noexcept {
  Progress sum;
  sum.total = total_.get();
  sum.duplicates = duplicates_.get();
  for (const Seat& seat : seats()) {
    sum.started += seat.started.get();
    sum.succeeded += seat.succeeded.get();
    sum.failed += seat.failed.get();
    sum.cancelled += seat.cancelled.get();
    sum.retries += seat.retries.get();
  }
  sum.elapsed = Clock::now() - began_;
  return sum;
}

inline bool Crew::has_seat() const noexcept {
  for (const Seat& seat : seats()) {
    if (!seat.taken && !seat.barred) return true;
  }
  return false;
}

inline bool Crew::wants_help() const noexcept { return has_work() && has_seat(); }

inline Seat& Crew::sit_down() noexcept {
  const std::thread::id self = std::this_thread::get_id();
  Seat* best = nullptr;
  for (Seat& seat : seats()) {
    if (seat.taken || seat.barred) continue;
    // the seat that this thread has made ready, else one that nobody has, else whichever
    if (best == nullptr || seat.host == self || (seat.host == std::thread::id{} && best->host != self)) best = &seat;
    if (best->host == self) break;
  }
  best->taken = true;
  return *best;
}

inline void Crew::help(Seat& seat) noexcept {
  if (ready(seat)) publish(work(seat));
}

inline bool Crew::ready(Seat& seat) noexcept {
  const std::thread::id self = std::this_thread::get_id();
  if (seat.host == self) return true;
  seat.host = self;
  if (!options_.on_worker_start) return true;
  try {
    options_.on_worker_start(seat.number);
    return true;
  } catch (...) {
    thrown_.keep(std::current_exception());
    seat.barred = true;
    return false;
  }
}

inline void Crew::wake_driver() noexcept {
  {
    const std::scoped_lock lock(mutex_);
    woken_ = true;
    if (bell_.run != nullptr) bell_();
  }
  changed_.notify_all();
}

inline void Crew::ring() noexcept {
  const std::scoped_lock lock(mutex_);
  if (bell_.run != nullptr) bell_();
}

inline void Crew::listen(Job bell) noexcept {
  const std::scoped_lock lock(mutex_);
  bell_ = bell;
}

template <class News>
void Crew::rest_until(RetryQueue::TimePoint due, const News& news) noexcept {
  rest_for(due, [&] { return settled() || news(); });
}

template <class News>
void Crew::rest_for(RetryQueue::TimePoint due, const News& news) noexcept {
  // The others are often just about to finish, and to be put to sleep and woken takes longer than that: look a few times,
  // for one or two microseconds in all.
  for (int look = 0; look < 40; ++look) {
    if (news()) return;
    relax();
  }
  std::unique_lock lock(mutex_);
  // Who has news stores them, then looks whether the driver rests; the driver says so, then looks for news. Both in the
  // one order of sequentially consistent operations, so one of the two sees the other.
  resting_.store(true);
  const auto awake = [&] { return woken_ || news(); };
  if (due == RetryQueue::never) changed_.wait(lock, awake);
  else changed_.wait_until(lock, due, awake);
  resting_.store(false, std::memory_order_relaxed);
  woken_ = false;
}

template <class TimePoint>
void Crew::nap_until(TimePoint due) noexcept {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, due, [this] { return woken_ || settled(); });
  woken_ = false;
}

inline bool Crew::pause_until(Clock::time_point due) noexcept {
  std::unique_lock lock(mutex_);
  while (!stopping() && changed_.wait_until(lock, due) == std::cv_status::no_timeout) {
  }
  return !stopping();
}

inline Clock::time_point Crew::began(Seat& seat, std::uint64_t number, int attempt, const void* task,
                                     Clock::time_point now) noexcept {
  if (attempt == 1) seat.started.add(1);
  else seat.retries.add(1);
  if (!hub_.wants(EventKind::task_started)) return now;
  Event started = event(EventKind::task_started);
  started.time = now;
  started.task = number;
  started.worker = seat.number;
  started.attempt = attempt;
  started.subject = task;
  started.writer = task_writer;
  hub_.tell(started, thrown_);
  return Clock::now();
}

inline bool Crew::may_retry(Failure& failure, int attempt) const noexcept {
  if (attempt > options_.retry.max_retries) return false;
  try {
    return options_.retry.on(failure.exception, attempt);
  } catch (...) {
    failure = {TaskError::Kind::exception, std::current_exception()};
    return false;
  }
}

inline Ruling Crew::judge(Failure& failure, int attempt, Asked asked) noexcept {
  using Verdict = Ruling::Verdict;
  const Stop stop = token_.stop_requested() ? Stop::cancelled : stop_.load(std::memory_order_relaxed);
  if (stop == Stop::cancelled && failure.kind == TaskError::Kind::exception && is_a<Cancelled>(failure.exception)) {
    return {Verdict::cancel, {}};
  }
  if (stop != Stop::no) return {Verdict::fail, {}};
  if (asked == Asked::no ? !may_retry(failure, attempt) : asked == Asked::may_not) return {Verdict::fail, {}};
  return {Verdict::retry, options_.retry.delay(attempt, uniform())};
}

inline void Crew::note_failure(bool after_success) noexcept {
  const std::size_t failures = after_success ? failures_.load(std::memory_order_relaxed)
                                             : failures_.fetch_add(1, std::memory_order_relaxed) + 1;
  const std::size_t finished = watches_ratio() ? finished_.fetch_add(1, std::memory_order_relaxed) + 1 : 0;
  if (halts(options_.halt, failures, finished)) halt();
}

inline Event Crew::event(EventKind kind) const noexcept {
  Event event;
  event.kind = kind;
  event.manager = options_.name;
  event.batch = batch_;
  event.stage = stage_;
  event.time = Clock::now();
  return event;
}

inline void Crew::tell(EventKind kind, const About& about) noexcept {
  if (!hub_.wants(kind)) return;
  Event said = event(kind);
  said.task = about.number;
  said.worker = about.seat != nullptr ? about.seat->number : 0;
  said.attempt = about.attempt;
  said.duration = about.duration;
  said.delay = about.delay;
  said.error = about.error;
  said.subject = about.task;
  said.writer = task_writer;
  hub_.tell(said, thrown_);
}

inline Event Crew::event_of(const Context& from, EventKind kind) const noexcept {
  Event said = event(kind);
  said.task = from.number();
  said.worker = from.worker();
  said.attempt = from.attempt();
  said.subject = ContextAccess::subject(from);
  said.writer = task_writer;
  return said;
}

inline void Crew::heard_progress(const Context& from, double done, double total) {
  Event said = event_of(from, EventKind::task_progress);
  said.done = done;
  said.of = total;
  hub_.tell(said, thrown_);
}

inline void Crew::heard_log(const Context& from, Level level, std::string_view message) {
  Event said = event_of(from, EventKind::task_log);
  said.level = level;
  said.message = message;
  hub_.tell(said, thrown_);
}

/// A random number in [0, 1), by splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
inline double Crew::uniform() noexcept {
  std::uint64_t z = random_.fetch_add(0x9E3779B97F4A7C15U, std::memory_order_relaxed);
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  z ^= z >> 31U;
  return static_cast<double>(z >> 11U) * 0x1.0p-53;
}

}  // namespace taskmgr::detail
