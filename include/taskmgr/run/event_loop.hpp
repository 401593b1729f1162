// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The loop that drives coroutines: what is ready, what waits for a time, for a descriptor, or for another thread.

#include <fcntl.h>
#include <sys/epoll.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>

#include "../core/list.hpp"
#include "descriptor.hpp"
#include "job.hpp"
#include "timer_wheel.hpp"

namespace taskmgr {

/// What drives coroutines on one thread. `run` and a manager in `Mode::coroutine` make one; it is there while they last.
///
/// An awaitable of your own may have its coroutine resumed by whichever thread or callback knows when:
///
///     void await_suspend(std::coroutine_handle<> waiting) {
///       client.request(url, [waiting, loop = EventLoop::current()](Answer) { loop->post(waiting); });
///     }
///
/// Thread safety: `post` from any thread, as long as the loop has something to do, such as the coroutine that waits for that
/// post. All else on the loop's own thread.
class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;

  /// Throws `std::system_error` where there are no descriptors left: it takes two.
  EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  /// The one that runs on this thread, the innermost if they are nested; null if there is none.
  [[nodiscard]] static EventLoop* current() noexcept { return current_; }

  /// Has the loop's thread resume `waiting`. Throws `std::bad_alloc`.
  void post(std::coroutine_handle<> waiting) {
    post(detail::Job{[](void* frame) -> void* {
                       std::coroutine_handle<>::from_address(frame).resume();
                       return nullptr;
                     },
                     waiting.address()});
  }
  /// Has it do a job, which must not throw. Throws `std::bad_alloc`.
  void post(detail::Job job);

  // --- for who drives it, on its thread

  /// Works, or sleeps while there is nothing to do, until `done()`, which is asked between pieces of work.
  template <class Done>
  void run_until(const Done& done) {
    const Entered here(*this);
    while (!done()) {
      work();
      if (!done()) look();
    }
  }

  /// Something that waits for a descriptor, in place of the loop: an `io_context`, say. It is given the descriptor that shows
  /// when the loop has something to do, and sees to its own work as well.
  class Host {
   public:
    virtual ~Host() = default;
    /// Works at what is its own; returns when `loop` is readable, or at `until`, at once if that has passed.
    virtual void wait(int loop, Clock::time_point until) = 0;
  };
  [[nodiscard]] Host* host() const noexcept { return host_.get(); }
  void host(detail::Owner<Host> host) noexcept { host_ = std::move(host); }

  enum class Readiness { to_read, to_write };

  /// `entry` is fired soon, after those that are to be fired already.
  void soon(detail::Entry& entry) noexcept { ready_.push_back(entry); }
  /// `entry` is fired at `time`, or at most 20 microseconds and the waking of a thread later.
  void at(detail::Entry& entry, Clock::time_point time) noexcept;
  /// `entry` is fired once `fd` is ready, or has an error or a hang-up to tell. Throws `std::system_error`.
  void when(detail::Entry& entry, int fd, Readiness readiness);

  /// Something that other threads may say, as often as they like; `entry` is fired at least once after the last time.
  ///
  /// Thread safety: `raise` from any thread, while this lives.
  class Signal;

 private:
  struct Note {  // from another thread, in a list through the notes
    Note* next = nullptr;
    void (*arrive)(Note&, EventLoop&) noexcept;
  };
  struct Posted;

  struct Waits {  // for one descriptor
    detail::EntryList readers;
    detail::EntryList writers;
    bool known = false;  // to the kernel
    [[nodiscard]] std::uint32_t mask() const noexcept {
      return (readers.empty() ? 0U : std::uint32_t{EPOLLIN} | std::uint32_t{EPOLLRDHUP}) |
             (writers.empty() ? 0U : std::uint32_t{EPOLLOUT}) | std::uint32_t{EPOLLONESHOT};
    }
  };

  class Entered {
   public:
    explicit Entered(EventLoop& loop) noexcept : outer_(std::exchange(current_, &loop)) {}
    Entered(const Entered&) = delete;
    Entered& operator=(const Entered&) = delete;
    ~Entered() { current_ = outer_; }

   private:
    EventLoop* outer_;
  };

  static constexpr int tick_bits = 14;  // a tick is 2^14 ns, 16 microseconds
  static constexpr int at_a_time = 256;  // entries fired before timers, descriptors and posts are looked at
  static constexpr int due_at_a_time = 64;  // and about as many more fall due: fewer, so that they do not pile up

  [[nodiscard]] static std::uint64_t ticks(Clock::time_point time) noexcept {
    return static_cast<std::uint64_t>(time.time_since_epoch().count()) >> tick_bits;
  }
  /// The first tick that is not before `time`; 0 before the clock began, and the last one after the last.
  [[nodiscard]] static std::uint64_t tick_at(Clock::time_point time) noexcept {
    const std::int64_t count = time.time_since_epoch().count();
    constexpr std::uint64_t rest = (std::uint64_t{1} << tick_bits) - 1;
    return count <= 0 ? 0 : std::min((static_cast<std::uint64_t>(count) + rest) >> tick_bits, ticks(Clock::time_point::max()));
  }
  void work() noexcept;
  void look();
  void wait(Clock::time_point until);
  void poll(Clock::time_point until);
  void note(Note& note) noexcept;
  void read_notes() noexcept;
  bool take_out(const Note& note, Note** list) noexcept;
  [[nodiscard]] Waits& waits_for(int fd);
  [[nodiscard]] bool arm(int fd, Waits& waits, std::uint32_t mask);
  void ready(int fd, std::uint32_t events) noexcept;

  static inline constinit thread_local EventLoop* current_ = nullptr;

  detail::EntryList ready_;
  detail::TimerWheel wheel_;
  detail::List<detail::Owner<Waits>> waits_;  // by descriptor
  detail::Descriptor poll_;
  detail::Bell bell_;
  detail::Owner<Host> host_;
  std::atomic<bool> has_notes_{false};
  std::mutex mutex_;  // of the next three
  Note* notes_ = nullptr;
  Note** last_note_ = &notes_;
  bool sleeps_ = false;
  Note* arriving_ = nullptr;  // what the loop's thread has taken out of them
};

class EventLoop::Signal : private Note {
 public:
  Signal(EventLoop& loop, detail::Entry& entry) noexcept : loop_(loop), entry_(entry) { arrive = &arrived; }
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;
  ~Signal();

  void raise() noexcept {
    if (!raised_.exchange(true, std::memory_order_acq_rel)) loop_.note(*this);
  }

 private:
  static void arrived(Note& note, EventLoop& loop) noexcept {
    Signal& self = static_cast<Signal&>(note);
    self.raised_.store(false, std::memory_order_release);  // first: what is said from now on may come too late for this time
    if (!self.entry_.linked()) loop.soon(self.entry_);
  }

  EventLoop& loop_;
  detail::Entry& entry_;
  std::atomic<bool> raised_{false};
};

// ---------------------------------------------------------------------------------------------------------------------

inline EventLoop::EventLoop()
    : poll_(detail::Descriptor::opened("make an epoll instance", [] { return ::epoll_create1(EPOLL_CLOEXEC); })) {
  wheel_.start(ticks(Clock::now()));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = bell_.descriptor();
  if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, bell_.descriptor(), &event) != 0) detail::throw_errno("wait for an eventfd");
}

struct EventLoop::Posted : Note {
  detail::Job job;
};

inline EventLoop::~EventLoop() {
  const std::scoped_lock lock(mutex_);  // who posted last may still be on the way out
  while (notes_ != nullptr) {           // signals have ended: these were posted
    Note* const next = notes_->next;
    delete static_cast<Posted*>(notes_);
    notes_ = next;
  }
}

inline void EventLoop::post(detail::Job job) {
  auto* const posted = new Posted{{nullptr, [](Note& note, EventLoop&) noexcept {
                                     const detail::Owner<Posted> done(static_cast<Posted*>(&note));
                                     done->job();
                                   }},
                                  job};
  note(*posted);
}

inline void EventLoop::note(Note& note) noexcept {
  const std::scoped_lock lock(mutex_);  // with the bell: the one who hears it may end the loop
  note.next = nullptr;
  *last_note_ = &note;
  last_note_ = &note.next;
  has_notes_.store(true, std::memory_order_relaxed);
  if (std::exchange(sleeps_, false)) bell_.ring();
}

inline void EventLoop::read_notes() noexcept {
  {
    const std::scoped_lock lock(mutex_);
    arriving_ = std::exchange(notes_, nullptr);
    last_note_ = &notes_;
    has_notes_.store(false, std::memory_order_relaxed);
  }
  while (arriving_ != nullptr) {
    Note& note = *arriving_;
    arriving_ = note.next;  // before it arrives: it may be gone then, and so may others
    note.arrive(note, *this);
  }
}

inline EventLoop::Signal::~Signal() {
  if (!raised_.load(std::memory_order_acquire)) return;
  const std::scoped_lock lock(loop_.mutex_);
  if (!loop_.take_out(*this, &loop_.arriving_)) loop_.take_out(*this, &loop_.notes_);
}

inline bool EventLoop::take_out(const Note& note, Note** list) noexcept {
  while (*list != nullptr && *list != &note) list = &(*list)->next;
  if (*list == nullptr) return false;
  *list = note.next;
  if (last_note_ == &note.next) last_note_ = list;
  return true;
}

inline void EventLoop::at(detail::Entry& entry, Clock::time_point time) noexcept {
  entry.due = tick_at(time);
  if (entry.due <= wheel_.now()) soon(entry);
  else wheel_.add(entry);
}

inline void EventLoop::work() noexcept {
  constexpr int ahead = 16;
  for (int k = 0; k < at_a_time && !ready_.empty(); ++k) {
    if (k % ahead == 0) ready_.prefetch(ahead);
    ready_.pop_front().fire();
  }
}

/// At what has come from outside; sleeps until something comes, if nothing else is to be done.
inline void EventLoop::look() {
  const bool heard = has_notes_.load(std::memory_order_relaxed);
  if (heard) read_notes();  // and there may be more at once, for ever: times and descriptors have their turn, too
  const std::uint64_t next = wheel_.next();
  if (ready_.empty() && !heard) {
    {
      const std::scoped_lock lock(mutex_);
      if (notes_ != nullptr) return;
      sleeps_ = true;
    }
    wait(next == detail::TimerWheel::never ? Clock::time_point::max()
                                           : Clock::time_point{std::chrono::nanoseconds{static_cast<std::int64_t>(next << tick_bits)}});
    const std::scoped_lock lock(mutex_);
    sleeps_ = false;
  } else if (!waits_.empty() || host_) {
    wait(Clock::time_point::min());
  }
  if (next != detail::TimerWheel::never) wheel_.turn_to(ticks(Clock::now()), ready_, due_at_a_time);
}

inline void EventLoop::wait(Clock::time_point until) {
  if (host_) {
    host_->wait(poll_.get(), until);
    until = Clock::time_point::min();
  }
  poll(until);
}

/// `epoll_wait` counts in milliseconds, too coarse for a timer; a kernel that has no other gets those.
inline void EventLoop::poll(Clock::time_point until) {
  constexpr int most = 64;
  epoll_event events[most];
  int count = 0;
  if (until == Clock::time_point::min()) {
    count = ::epoll_wait(poll_.get(), events, most, 0);
  } else if (until == Clock::time_point::max()) {
    count = ::epoll_wait(poll_.get(), events, most, -1);
  } else {
    const std::int64_t left = (until - Clock::now()).count();
    const std::int64_t wait = left > 0 ? left : 0;
    const timespec span{static_cast<std::time_t>(wait / 1'000'000'000), static_cast<long>(wait % 1'000'000'000)};
    count = ::epoll_pwait2(poll_.get(), events, most, &span, nullptr);
    if (count < 0 && errno == ENOSYS) {
      const std::int64_t ms = (wait + 999'999) / 1'000'000;
      count = ::epoll_wait(poll_.get(), events, most, ms < 86'400'000 ? static_cast<int>(ms) : 86'400'000);
    }
  }
  if (count < 0 && errno != EINTR) detail::throw_errno("wait for events");
  for (int k = 0; k < count; ++k) {
    if (events[k].data.fd == bell_.descriptor()) bell_.silence();
    else ready(events[k].data.fd, events[k].events);
  }
}

inline EventLoop::Waits& EventLoop::waits_for(int fd) {
  const auto index = static_cast<std::size_t>(fd);
  if (index >= waits_.size() && ::fcntl(fd, F_GETFD) < 0) detail::throw_errno("wait for a descriptor");  // before it takes room
  while (waits_.size() <= index) waits_.push_back({});
  if (!waits_[index]) waits_[index] = detail::Owner{new Waits};
  return *waits_[index];
}

inline void EventLoop::when(detail::Entry& entry, int fd, Readiness readiness) {
  if (fd < 0) detail::throw_errno("wait for a negative descriptor", EBADF);
  Waits& waits = waits_for(fd);
  const std::uint32_t mine =
      readiness == Readiness::to_read ? std::uint32_t{EPOLLIN} | std::uint32_t{EPOLLRDHUP} : std::uint32_t{EPOLLOUT};
  if (!arm(fd, waits, waits.mask() | mine)) return soon(entry);  // a file, say: it never has to be waited for
  (readiness == Readiness::to_read ? waits.readers : waits.writers).push_back(entry);
}

/// Says whether it can be waited for. What is known of a number may be of a file that was closed since: then whoever waits
/// for that one is to look for himself.
inline bool EventLoop::arm(int fd, Waits& waits, std::uint32_t mask) {
  epoll_event event{};
  event.events = mask;
  event.data.fd = fd;
  if (waits.known) {
    if (::epoll_ctl(poll_.get(), EPOLL_CTL_MOD, fd, &event) == 0) return true;
    if (errno != ENOENT && errno != EPERM) detail::throw_errno("wait for a descriptor");
    waits.known = false;
    ready_.append(waits.readers);
    ready_.append(waits.writers);
  }
  if (::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    if (errno == EPERM) return false;
    // the kernel may have kept what we have forgotten: the number was of another file meanwhile
    if (errno != EEXIST || ::epoll_ctl(poll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) detail::throw_errno("wait for a descriptor");
  }
  waits.known = true;
  return true;
}

inline void EventLoop::ready(int fd, std::uint32_t events) noexcept {
  Waits& waits = *waits_[static_cast<std::size_t>(fd)];
  const std::uint32_t trouble = std::uint32_t{EPOLLERR} | std::uint32_t{EPOLLHUP};
  if ((events & (std::uint32_t{EPOLLIN} | std::uint32_t{EPOLLRDHUP} | trouble)) != 0) ready_.append(waits.readers);
  if ((events & (std::uint32_t{EPOLLOUT} | trouble)) != 0) ready_.append(waits.writers);
  if (waits.readers.empty() && waits.writers.empty()) return;
  epoll_event event{};  // it reports once, and others wait for the other
  event.events = waits.mask();
  event.data.fd = fd;
  if (::epoll_ctl(poll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) {
    ready_.append(waits.readers);
    ready_.append(waits.writers);
  }
}

}  // namespace taskmgr
