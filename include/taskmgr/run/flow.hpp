// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A run over tasks that come one after the other: at most a window of them at a time is pulled and not yet handed out.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <ranges>
#include <span>
#include <stop_token>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "../core/outcome.hpp"
#include "../core/store.hpp"
#include "../core/task_text.hpp"
#include "batch.hpp"
#include "pace.hpp"
#include "remote_attempt.hpp"
#include "source.hpp"

namespace taskmgr::detail {

/// What one who walks a stream sees of the run behind it, whatever its function and source are.
template <class Task, class R>
class AnyFlow {
 public:
  AnyFlow() = default;
  AnyFlow(const AnyFlow&) = delete;
  AnyFlow& operator=(const AnyFlow&) = delete;
  virtual ~AnyFlow() = default;

  /// The next outcome, or null at the end. The one before is given up. Throws, once, at the end, what the source, an
  /// observer or a worker's start threw.
  [[nodiscard]] virtual Outcome<Task, R>* next() = 0;
};

/// A task on its way through a stream, with its outcome; used again for another task once nobody looks at it.
template <class Task, class R>
struct Passage {
  std::optional<Task> room;  // for the task, unless its source keeps it
  const Task* task = nullptr;
  std::optional<Slots<R, 1>> slot;
  std::shared_ptr<const TaskError> error;
  std::chrono::nanoseconds duration{0};
  std::uint64_t number = 0;    // in the source
  std::size_t origin = 0;      // of what is fed: what the source calls it by
  std::uint64_t sequence = 0;  // among those that are no duplicates
  std::size_t hash = 0;
};

/// A task that takes longer than this (in ns) is not for the thread that walks a stream, if others can run it.
inline constexpr std::int64_t long_task = 1'000'000;

/// A queue of at most so many numbers, which never allocates again.
class Ring {
 public:
  explicit Ring(std::size_t capacity) : items_(new std::size_t[capacity]), capacity_(capacity) {}
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  void push(std::size_t item) noexcept {
    items_[(first_ + size_) % capacity_] = item;
    ++size_;
  }
  [[nodiscard]] std::size_t pop() noexcept {
    const std::size_t item = items_[first_];
    first_ = (first_ + 1) % capacity_;
    --size_;
    return item;
  }

 private:
  Array<std::size_t> items_;
  std::size_t capacity_;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
};

/// A run over the tasks of a range, pulled as places come free.
///
/// All that touches the source, the duplicates and the order is done by the thread that walks the stream, the driver; the
/// workers see two queues of numbers. Nothing is kept of what has been handed out. Worker processes are driven by a thread of
/// their own, so that they go on while the outcomes are walked.
template <class F, class Task, class R, class Tasks>
class Flow final : public AnyFlow<Task, R>, public RemoteAttempts<Flow<F, Task, R, Tasks>, F, Task, R> {
  using Base = RemoteAttempts<Flow, F, Task, R>;
  friend Base;
  friend AsyncAttempts<Flow, F, Task, R>;
  friend Attempts<Flow, F, Task, R>;

 public:
  /// Whoever gives a flow up requests stop of `terms.stop` before, so that the tasks that run see it.
  Flow(Crew::Terms terms, const F& function, Workshop& workshop, Tasks&& tasks, StreamOptions how)
      : Base(std::move(terms), function),
        workshop_(workshop),
        source_(std::forward<Tasks>(tasks)),
        ordered_(how.ordered),
        alone_(this->options().mode == Mode::serial),
        in_processes_(this->options().mode == Mode::process),
        in_coroutines_(this->options().mode == Mode::coroutine),
        places_(at_a_time(this->progress().total)),
        window_(how.window != 0 ? std::min(how.window, 4 * most_places) : first_window()),
        widest_(how.window != 0 || alone_ || in_coroutines_ ? window_ : std::max<std::size_t>(wide, 8 * places_)),
        shares_duplicates_(Keyed<Task> && this->options().duplicates == Duplicates::share),
        passages_(new Array<std::shared_ptr<Passage<Task, R>>>[(widest_ + in_block - 1) / in_block]),
        waiting_(widest_),
        strides_(new Stride[this->seats().size()]) {
    done_.reserve(widest_);
    harvest_.reserve(widest_);
    pulled_now_.reserve(widest_);
    free_.reserve(widest_);
    this->tells_leaving.store(!alone_, std::memory_order_relaxed);
    this->task_writer = &write_task<Task>;
    this->open();
  }
  ~Flow() override;

  [[nodiscard]] Outcome<Task, R>* next() override;

  // --- in steps, for one who has others to wait for as well

  /// The next outcome if there is one now. The one before is given up; what is fed gives none that may be copied. Throws as
  /// `next`, at the end.
  [[nodiscard]] Outcome<Task, R>* next_now();
  /// Nothing comes any more.
  [[nodiscard]] bool is_over() const noexcept { return ended_; }
  /// What the source calls the task of the current outcome.
  [[nodiscard]] std::size_t current() const noexcept { return at(current_id_).origin; }
  /// What a task took lately, in ns; negative: not known.
  [[nodiscard]] std::int64_t per_task() const noexcept { return per_task_.load(std::memory_order_relaxed); }
  /// There is none now: works, or waits until there may be one.
  void get_on() noexcept {
    get_on([this] { return done_count_.load() != 0 || (!over_ && runs_low() && source_.has_news()); });
  }
  /// Works, or waits, and may return before there are `news`.
  template <class News>
  void get_on(const News& news) noexcept;
  /// Has whoever walks the flow look for news: from any thread, after they came.
  void nudge() noexcept {
    this->wake_resting_driver();
    if (in_coroutines_) this->ring();
  }

  [[nodiscard]] bool has_work() const noexcept override;

 private:
  using Source = typename SourceOf<Tasks>::type;
  static constexpr bool is_fed = Fed<Tasks>;
  static constexpr std::size_t npos = HashIndex::npos;
  // For tiny tasks: so many are worth to be woken for, where the driver is none of the workers.
  static constexpr std::size_t wide = is_fed ? 4096 : 1024;
  // A driver that is none of its workers may be late, by `longest_nap` at most, while tasks are `short_task`s and each worker has
  // `enough` before it: to be woken takes 50 us, and as long to be called. All in ns.
  static constexpr std::int64_t short_task = 50'000;
  static constexpr std::int64_t enough = 400'000;
  static constexpr std::int64_t longest_nap = 1'000'000;
  // Whoever was called is there by then, or something else has kept him: then others are called.
  static constexpr std::chrono::milliseconds arrival{1};
  // A driver looks for what is settled of strides that last: so soon, and then less and less often.
  static constexpr std::chrono::nanoseconds first_look{200'000};
  static constexpr std::chrono::nanoseconds rarest_look{256'000'000};

  // --- Home
  static constexpr bool sends_tasks = true;  // a worker process was forked before they were pulled
  [[nodiscard]] std::shared_ptr<Passage<Task, R>>& passage(std::size_t id) const noexcept {
    return passages_[id / in_block][id % in_block];
  }
  [[nodiscard]] Passage<Task, R>& at(std::size_t id) const noexcept { return *passage(id); }
  [[nodiscard]] const Task& task(std::size_t id) const noexcept { return *at(id).task; }
  [[nodiscard]] Slot<R> slot(std::size_t id) noexcept { return (*at(id).slot)[0]; }
  [[nodiscard]] std::uint64_t number(std::size_t id) const noexcept { return at(id).number; }
  const TaskError& fail(std::size_t id, const Failure& failure, int attempts) noexcept;
  void add_duration(std::size_t id, std::chrono::nanoseconds d) noexcept { at(id).duration += d; }
  void retry_later(std::size_t id, int attempt, Clock::time_point due);
  void finished(std::size_t, Seat&) noexcept {}

  /// What a worker has taken at once, and so far settled: passed on together, unless the driver finds it before.
  struct Stride {
    std::array<std::size_t, Pace::longest_stride> ids{};
    std::atomic<std::size_t> settled{0};  // of them, in front; written by the worker
    std::size_t passed = 0;               // of those; guarded by `queues_`
  };

  /// Of `total` tasks, if that is known.
  [[nodiscard]] std::size_t at_a_time(std::size_t total) const noexcept {
    if (!in_coroutines_) return this->seats().size();
    const std::size_t most = most_in_flight(this->options());
    return std::min(most, total != 0 ? total : most_places);
  }
  [[nodiscard]] std::size_t first_window() const noexcept {
    if (alone_) return 1;
    return in_coroutines_ ? places_ + std::clamp<std::size_t>(places_, 16, 1024) : std::max<std::size_t>(16, 2 * places_);
  }
  /// So few are pulled and not handed out that others are.
  [[nodiscard]] bool runs_low() const noexcept {
    return pulled_ - handed_out_ <= (in_coroutines_ && places_ < window_ ? places_ : window_ / 2);
  }

  /// How long the workers are busy with what waits for them, in ns.
  [[nodiscard]] std::int64_t supply() const noexcept {
    const std::size_t waiting = waiting_count_.load(std::memory_order_relaxed);
    return static_cast<std::int64_t>(waiting / places_) * per_task_.load(std::memory_order_relaxed);
  }

  // --- the driver
  void give_up_current() noexcept;
  void pull();
  [[nodiscard]] std::size_t free_id();
  void pull_one();
  void pass_to_workers() noexcept;
  [[nodiscard]] bool gather() noexcept;
  void end();
  [[nodiscard]] std::size_t next_done();

  // --- Remote: on the thread that drives the worker processes
  void next_errands(List<Errand>& errands, std::size_t most) override;
  [[nodiscard]] std::size_t left() const noexcept override { return waiting_count_.load(std::memory_order_relaxed); }
  void publish_all(Items<const std::size_t> ids, Seat& seat) noexcept override;
  [[nodiscard]] bool goes_on() const noexcept override {
    return !closing_.load(std::memory_order_acquire) || !this->settled();
  }
  void drive_processes() noexcept;
  template <class Done>
  void turn_loop(const Done& done) noexcept;
  void man() noexcept;
  void unman() noexcept;

  // --- the workers
  std::size_t work(Seat& seat) noexcept override;
  std::size_t work_at(Pace& pace, Seat& seat, bool driver) noexcept;
  [[nodiscard]] std::size_t take(std::span<std::size_t> ids, std::size_t most) noexcept;
  std::size_t pass(Stride& stride) noexcept;
  void pass_on(Stride& stride) noexcept;
  void tell_driver(std::size_t done) noexcept;

  Workshop& workshop_;
  Source source_;
  const bool ordered_;
  const bool alone_;
  const bool in_processes_;
  const bool in_coroutines_;
  const std::size_t places_;  // tasks that run at a time at most
  std::size_t window_;
  const std::size_t widest_;
  bool offered_ = false;
  bool over_ = false;  // nothing more is pulled
  std::uint64_t pulled_ = 0;
  std::uint64_t handed_out_ = 0;
  HashIndex index_;  // of what was pulled and not handed out
  std::vector<std::size_t> free_;  // to be used again
  std::size_t used_ = 0;           // ids: those before it
  std::vector<std::size_t> pulled_now_;
  std::vector<std::size_t> harvest_;        // done, to be handed out from `reaped_` on
  std::size_t reaped_ = 0;
  std::deque<std::size_t> in_order_;        // by sequence, from the one to be handed out next; npos: not done yet
  std::size_t current_id_ = npos;
  std::optional<Outcome<Task, R>> current_;
  bool ended_ = false;
  const bool shares_duplicates_;
  std::atomic<std::thread::id> driver_{};  // while it works
  Pace driver_pace_{this->options().chunk};

  static constexpr std::size_t in_block = 1024;
  const Array<Array<std::shared_ptr<Passage<Task, R>>>> passages_;  // by id; an entry changes only while its id is free

  std::mutex queues_;
  Ring waiting_;
  std::vector<std::size_t> done_;
  const Array<Stride> strides_;  // by seat
  std::atomic<std::size_t> waiting_count_{0};
  std::atomic<std::size_t> done_count_{0};
  std::atomic<std::int64_t> per_task_{-1};  // ns
  std::atomic<bool> naps_{false};           // the driver, while the workers have enough
  std::atomic<bool> in_strides_{false};     // the workers may be, of more tasks than one
  std::chrono::nanoseconds look_ = first_look;

  enum class Manned { no, yes, left };  // the worker processes, by a thread that drives them
  Manned manned_ = Manned::no;          // guarded by the next
  std::mutex manning_;
  std::condition_variable unmanned_;
  std::atomic<bool> closing_{false};
  Clock::time_point published_ = Clock::now();
  typename Base::OwnFlight flight_;  // on the thread that walks; last: its coroutines end before what they use
};

// ---------------------------------------------------------------------------------------------------------------------

template <class F, class Task, class R, class Tasks>
Flow<F, Task, R, Tasks>::~Flow() {
  this->cancel();
  over_ = true;
  current_.reset();
  if (offered_) workshop_.pool.withdraw(*this);
  unman();
  turn_loop([this] { return this->settled(); });
  if (!this->settled()) work(this->seats()[0]);  // what nobody had begun is cancelled
  if (!ended_) this->close();
}

template <class F, class Task, class R, class Tasks>
Outcome<Task, R>* Flow<F, Task, R, Tasks>::next() {
  for (;;) {
    Outcome<Task, R>* const outcome = next_now();
    if (outcome != nullptr || ended_) return outcome;
    get_on();
  }
}

template <class F, class Task, class R, class Tasks>
Outcome<Task, R>* Flow<F, Task, R, Tasks>::next_now() {
  give_up_current();
  if (runs_low()) pull();
  if (const std::size_t id = next_done(); id != npos) {
    Passage<Task, R>& done = at(id);
    current_id_ = id;
    std::shared_ptr<const void> owner;
    if constexpr (!is_fed) owner = passage(id);  // it may be copied
    current_.emplace(*done.task, (*done.slot)[0], done.error.get(), done.duration, std::move(owner));
    return &*current_;
  }
  if (pulled_ == handed_out_ && over_) end();
  return nullptr;
}

template <class F, class Task, class R, class Tasks>
void Flow<F, Task, R, Tasks>::end() {
  if (std::exchange(ended_, true)) return;
  unman();
  if (offered_) workshop_.pool.withdraw(*this);
  offered_ = false;
  this->close();
  if (const std::exception_ptr thrown = this->thrown().take()) std::rethrow_exception(thrown);
}

template <class F, class Task, class R, class Tasks>
void Flow<F, Task, R, Tasks>::give_up_current() noexcept {
  if (current_id_ == npos) return;
  const std::size_t id = std::exchange(current_id_, npos);
  current_.reset();
  ++handed_out_;
  std::shared_ptr<Passage<Task, R>>& passage = this->passage(id);
  if (shares_duplicates_) {
    index_.erase(passage->hash, id, [this](std::size_t other) { return at(other).hash; });
  }
  // An outcome that was copied lives on with its passage. Taking and leaving a share, an atomic operation each, orders what
  // another thread has read through such a copy before the passage is used again.
  const bool copied = !is_fed && std::shared_ptr<Passage<Task, R>>(passage).use_count() != 2;
  if (copied) {
    passage.reset();
  } else {  // what it holds may be large, and it may be long until it is used again
    passage->slot.reset();
    passage->error.reset();
    passage->room.reset();
  }
  free_.push_back(id);  // there is room for all
}

/// Fills the window, unless outcomes turn up meanwhile, and lets the workers know.
template <class F, class Task, class R, class Tasks>
void Flow<F, Task, R, Tasks>::pull() {
  constexpr std::size_t together = 64;  // tasks that workers are told of at a time, while they have others to do
  if (over_) return;
  try {
    while (!over_ && !this->stopping() && pulled_ - handed_out_ < window_) {
      const Next next = source_.advance();
      if (next == Next::nothing) break;
      over_ = next == Next::end;
      if (!over_) pull_one();
      const std::size_t waiting = waiting_count_.load(std::memory_order_relaxed);
      if (waiting == 0 || pulled_now_.size() >= together) pass_to_workers();
      if (waiting >= this->seats().size() && done_count_.load(std::memory_order_relaxed) != 0) break;
    }
  } catch (...) {
    this->thrown().keep(std::current_exception());
    over_ = true;
  }
  if (this->stopping()) over_ = true;
  pass_to_workers();
}

/// Lets the workers have what was pulled.
template <class F, class Task, class R, class Tasks>
void Flow<F, Task, R, Tasks>::pass_to_workers() noexcept {
  const std::size_t count = pulled_now_.size();
  if (count == 0) return;
  this->expect(count);
  {
    const std::scoped_lock lock(queues_);
    for (const std::size_t id : pulled_now_) waiting_.push(id);
    waiting_count_.store(waiting_.size(), std::memory_order_relaxed);
  }
  pulled_now_.clear();
  if (alone_ || in_coroutines_) return;
  if (in_processes_) return this->ring();
  const std::int64_t per_task = per_task_.load(std::memory_order_relaxed);
  const bool call = per_task < 0 || per_task * static_cast<std::int64_t>(count) > worth_a_call;
  if (offered_) {
    workshop_.pool.call_for(*this, call);
  } else {
    offered_ = workshop_.pool.offer(*this, call);
  }
}

/// An id that is free, and stays so until it is popped. There is one: no more are in use than fit the window.
template <class F, class Task, class R, class Tasks>
std::size_t Flow<F, Task, R, Tasks>::free_id() {
  if (free_.empty()) {
    auto& block = passages_[used_ / in_block];
    if (used_ % in_block == 0) block = Array{new std::shared_ptr<Passage<Task, R>>[std::min(in_block, widest_)]};
    free_.push_back(used_++);
  }
  return free_.back();
}

/// Takes the next task from the source, unless it is a duplicate. If this throws, the task counts as never taken.
template <class F, class Task, class R, class Tasks>
void Flow<F, Task, R, Tasks>::pull_one() {
  const std::size_t id = free_id();
  if (this->passage(id) == nullptr) this->passage(id) = std::make_shared<Passage<Task, R>>();
  Passage<Task, R>& passage = at(id);
  if constexpr (is_fed) {
    try {
      passage.task = &source_.take(passage.room);
    } catch (...) {
      return source_.drop();
    }
  } else {
    passage.task = &source_.take(passage.room);
  }
  const std::uint64_t number = source_.number();
  if constexpr (Keyed<Task>) {
    if (shares_duplicates_) {
      const KeyHash<Task> hash_of{};
      passage.hash = hash_of(*passage.task);
      index_.make_room(widest_, widest_, [this](std::size_t other) { return at(other).hash; });
      const auto same = [&](std::size_t other) { return detail::equal(*at(other).task, *passage.task); };
      if (const std::size_t first = index_.find_or_insert(passage.hash, id, same); first != npos) {
        this->note_duplicate(number, at(first).task);
        return;
      }
    }
  }
  if (ordered_) in_order_.push_back(npos);  // first: it may throw
  passage.slot.emplace();
  passage.error.reset();
  passage.duration = std::chrono::nanoseconds{0};
  passage.number = number;
  passage.sequence = pulled_;
  if constexpr (is_fed) {
    passage.origin = source_.origin();
    this->note_tasks(1);
  }
  free_.pop_back();
  pulled_now_.push_back(id);
  ++pulled_;
}

/// A task that is done and whose turn it is; `npos` if there is none at the moment.
template <class F, class Task, class R, class Tasks>
std::size_t Flow<F, Task, R, Tasks>::next_done() {
  if (reaped_ == harvest_.size() && done_count_.load(std::memory_order_relaxed) != 0) {
    harvest_.clear();
    reaped_ = 0;
    const std::scoped_lock lock(queues_);
    std::swap(harvest_, done_);
    done_count_.store(0, std::memory_order_relaxed);
  }
  if (!ordered_) return reaped_ != harvest_.size() ? harvest_[reaped_++] : npos;
  for (; reaped_ != harvest_.size(); ++reaped_) {
    in_order_[static_cast<std::size_t>(at(harvest_[reaped_]).sequence - handed_out_)] = harvest_[reaped_];
  }
  if (in_order_.empty() || in_order_.front() == npos) return npos;
  const std::size_t id = in_order_.front();
  in_order_.pop_front();
  return id;
}

template <class F, class Task, class R, class Tasks>
template <class News>
void Flow<F, Task, R, Tasks>::get_on(const News& news) noexcept {
  if constexpr (is_fed) {
    if (this->settled()) return this->rest_for(RetryQueue::never, news);  // all that was pulled is done
  }
  if (gather()) return;
  const std::int64_t per_task = per_task_.load(std::memory_order_relaxed);
  if (window_ < widest_ && per_task >= 0 && per_task < Pace::goal.count()) window_ = std::min(2 * window_, widest_);
  if (in_coroutines_) {
    flight_.begin(*this, places_);
    return turn_loop(news);
  }
  if (in_processes_) {
    man();
    return this->rest_until(RetryQueue::never, news);
  }
  driver_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  bool worked = false;
  Pool::Help help = Pool::Help::none;
  if (alone_ || !offered_) {
    Seat& seat = this->seats()[0];
    if (!this->ready(seat)) this->halt();
    work(seat);
    worked = true;
  } else {
    // While it is inside of a task, nobody pulls or hands out: long ones it leaves to others, if there are any. One who is fed
    // has others wait for him on both sides, perhaps even this task, and leaves all to whoever can be had.
    const bool leaves_them = is_fed || (per_task > long_task && !workshop_.pool.unhelped(*this));
    if (leaves_them) help = workshop_.pool.call_for(*this, true);
    if (help == Pool::Help::none) worked = workshop_.pool.join_in(*this);
    if (workshop_.pool.abandoned(*this)) {  // no worker could be made ready: nothing is run
      this->halt();
      work(this->seats()[0]);
      worked = true;
    }
  }
  driver_.store(std::thread::id{}, std::memory_order_relaxed);
  if (worked) return;
  // a retry that falls due is for the workers to see to, where there are any; the one that leaves wakes the driver
  const bool comes = help == Pool::Help::comes;
  RetryQueue::TimePoint due = !comes && workshop_.pool.has_seat(*this) ? this->next_due() : RetryQueue::never;
  if (is_fed && due == RetryQueue::never && per_task < short_task && supply() > enough) {
    if (news()) return;
    naps_.store(true);
    const std::int64_t left = supply();  // what is done may wait for a quarter of the time that the rest has to wait
    if (left > enough) this->nap_until(Clock::now() + std::chrono::nanoseconds{std::min(left / 4, longest_nap)});
    naps_.store(false, std::memory_order_relaxed);
    return;
  }
  if (comes) due = Clock::now() + arrival;
  if (in_strides_.load(std::memory_order_relaxed)) {
    due = std::min(due, Clock::now() + look_);
    look_ = std::min(look_ + look_ / 8, rarest_look);
  }
  this->rest_until(due, news);
  if (news()) look_ = first_look;
}

/// What is done of strides that workers are still in. Says whether there was anything.
template <class F, class Task, class R, class Tasks>
bool Flow<F, Task, R, Tasks>::gather() noexcept {
  if (!in_strides_.load(std::memory_order_relaxed)) return false;
  std::size_t done = 0;
  {
    const std::scoped_lock lock(queues_);
    for (std::size_t k = 0; k != this->seats().size(); ++k) done += pass(strides_[k]);
    done_count_.store(done_.size(), std::memory_order_relaxed);
  }
  this->publish_quietly(done);
  if (done != 0) look_ = first_look;
  return done != 0;
}

/// Drives coroutines, as far as there are any in flight. If that cannot be, no task is begun any more.
template <class F, class Task, class R, class Tasks>
template <class Done>
void Flow<F, Task, R, Tasks>::turn_loop(const Done& done) noexcept {
  if (!in_coroutines_) return;
  flight_.turn(done);
  if (!done()) work(this->seats()[0]);
}

/// Sees to it that somebody drives the worker processes. If nobody can, no task is begun any more.
template <class F, class Task, class R, class Tasks>
void Flow<F, Task, R, Tasks>::man() noexcept {
  {
    const std::scoped_lock lock(manning_);
    if (manned_ == Manned::yes) return;
    if (manned_ == Manned::no && workshop_.pool.post(job_of<&Flow::drive_processes>(*this))) {
      manned_ = Manned::yes;
      return;
    }
  }
  if (!this->stopping()) {
    try {
      throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                              "taskmgr: cannot start a thread for worker processes");
    } catch (...) {
      this->thrown().keep(std::current_exception());  // or, without memory, what says that
    }
  }
  this->halt();
  work(this->seats()[0]);
}

/// Waits for the worker processes to end.
template <class F, class Task, class R, class Tasks>
void Flow<F, Task, R, Tasks>::unman() noexcept {
  closing_.store(true, std::memory_order_release);
  this->ring();
  std::unique_lock lock(manning_);
  while (manned_ == Manned::yes) unmanned_.wait(lock);
}

template <class F, class Task, class R, class Tasks>
void Flow<F, Task, R, Tasks>::drive_processes() noexcept {
  this->employ();
  const std::scoped_lock lock(manning_);
  manned_ = Manned::left;
  this->wake_driver();
  unmanned_.notify_all();  // with the lock held: who waits ends this object's life
}

template <class F, class Task, class R, class Tasks>
void Flow<F, Task, R, Tasks>::next_errands(List<Errand>& errands, std::size_t most) {
  errands.reserve(errands.size() + most);
  for (; most != 0; --most) {
    const auto due = this->pop_due();
    if (!due) break;
    errands.push_back({due.id, due.attempt, false});
  }
  const std::scoped_lock lock(queues_);
  for (; most != 0 && !waiting_.empty(); --most) errands.push_back({waiting_.pop(), 1, false});
  waiting_count_.store(waiting_.size(), std::memory_order_relaxed);
}

template <class F, class Task, class R, class Tasks>
void Flow<F, Task, R, Tasks>::publish_all(Items<const std::size_t> ids, Seat&) noexcept {
  const Clock::time_point now = Clock::now();
  per_task_.store((now - std::exchange(published_, now)).count() / static_cast<std::int64_t>(ids.size()), std::memory_order_relaxed);
  {
    const std::scoped_lock lock(queues_);
    done_.insert(done_.end(), ids.begin(), ids.end());  // there is room for all that are in flight
    done_count_.store(done_.size());
  }
  tell_driver(ids.size());
}

template <class F, class Task, class R, class Tasks>
bool Flow<F, Task, R, Tasks>::has_work() const noexcept {
  if (waiting_count_.load(std::memory_order_relaxed) != 0) return true;
  const RetryQueue::TimePoint due = this->next_due();
  return due != RetryQueue::never && (this->stopping() || due <= Clock::now());
}

template <class F, class Task, class R, class Tasks>
std::size_t Flow<F, Task, R, Tasks>::work(Seat& seat) noexcept {
  if (driver_.load(std::memory_order_relaxed) == std::this_thread::get_id()) return work_at(driver_pace_, seat, true);
  Pace pace{this->options().chunk};
  return work_at(pace, seat, false);
}

/// The driver comes and goes, and keeps its pace.
template <class F, class Task, class R, class Tasks>
std::size_t Flow<F, Task, R, Tasks>::work_at(Pace& pace, Seat& seat, bool driver) noexcept {
  Stride& stride = strides_[seat.number];
  std::array<std::size_t, Pace::longest_stride> ids{};
  std::size_t since = 0;  // tasks since the clock was last read
  Clock::time_point read = Clock::now();
  for (;;) {
    std::size_t settled = 0;
    const auto settle = [&](std::size_t id, int attempt) {
      if (this->stopping()) this->cancel_task(id, attempt - 1, seat);
      else if (this->run(id, attempt, seat) == Step::waiting) return;
      stride.ids[settled] = id;
      stride.settled.store(++settled, std::memory_order_release);
    };
    std::size_t count = 0;
    if (const auto due = this->pop_due()) {
      settle(due.id, due.attempt);
      count = 1;
    } else {
      count = take(ids, this->options().chunk != 0 ? pace.chunk() : pace.stride());
      if (count == 0) return 0;  // all was published
      for (std::size_t k = 0; k < count; ++k) settle(ids[k], 1);
    }
    if (settled != 0) pass_on(stride);
    since += count;
    const bool hands_out = driver && done_count_.load(std::memory_order_relaxed) != 0;
    if (since < pace.chunk() && !hands_out) continue;
    const Clock::time_point now = Clock::now();
    if (since < pace.chunk() && now - read < Pace::goal) continue;  // some more of such tiny ones are handed out together
    pace.measured(since, now - read);
    per_task_.store(pace.per_task().count(), std::memory_order_relaxed);
    read = now;
    since = 0;
    if (hands_out) return 0;
  }
}

template <class F, class Task, class R, class Tasks>
std::size_t Flow<F, Task, R, Tasks>::take(std::span<std::size_t> ids, std::size_t most) noexcept {
  std::size_t count = 0;
  {
    const std::scoped_lock lock(queues_);
    for (; count < std::min(most, ids.size()) && !waiting_.empty(); ++count) ids[count] = waiting_.pop();
    waiting_count_.store(waiting_.size(), std::memory_order_relaxed);
  }
  if (count > 1 && !in_strides_.load(std::memory_order_relaxed)) {
    in_strides_.store(true, std::memory_order_relaxed);
    this->wake_driver();  // it may rest until it is told of something
  }
  return count;
}

/// With `queues_` locked: what is done of a stride, and was not passed on.
template <class F, class Task, class R, class Tasks>
std::size_t Flow<F, Task, R, Tasks>::pass(Stride& stride) noexcept {
  const std::size_t from = stride.passed;
  stride.passed = stride.settled.load(std::memory_order_acquire);
  for (std::size_t k = from; k != stride.passed; ++k) done_.push_back(stride.ids[k]);  // there is room for all that are in flight
  return stride.passed - from;
}

template <class F, class Task, class R, class Tasks>
void Flow<F, Task, R, Tasks>::pass_on(Stride& stride) noexcept {
  std::size_t done = 0;
  {
    const std::scoped_lock lock(queues_);
    done = pass(stride);
    stride.settled.store(stride.passed = 0, std::memory_order_relaxed);
    done_count_.store(done_.size());
  }
  if (done != 0) tell_driver(done);
}

template <class F, class Task, class R, class Tasks>
void Flow<F, Task, R, Tasks>::tell_driver(std::size_t done) noexcept {
  this->publish(done);
  if (naps_.load() && supply() <= enough) return this->wake_driver();
  this->wake_resting_driver();
}

template <class F, class Task, class R, class Tasks>
const TaskError& Flow<F, Task, R, Tasks>::fail(std::size_t id, const Failure& failure, int attempts) noexcept {
  Passage<Task, R>& passage = at(id);
  try {
    passage.error = std::make_shared<const TaskError>(failure.kind, failure.exception, attempts);
  } catch (...) {
    passage.error = std::shared_ptr<const TaskError>(std::shared_ptr<void>{}, &unrecorded_error());  // owns nothing
  }
  (*passage.slot)[0].fail(attempts, 0);
  return *passage.error;
}

template <class F, class Task, class R, class Tasks>
void Flow<F, Task, R, Tasks>::retry_later(std::size_t id, int attempt, Clock::time_point due) {
  if (!this->retries().push(id, attempt, due)) return;
  this->wake_driver();
  if (!alone_) workshop_.pool.note_retry(*this);
}

}  // namespace taskmgr::detail
