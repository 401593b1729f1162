// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Process mode: worker processes, forked for one run, and the ledger of what each of them has been given.

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <exception>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include "../core/list.hpp"
#include "child.hpp"
#include "errand.hpp"
#include "pace.hpp"
#include "worker.hpp"

namespace taskmgr::detail {

/// The worker processes of one run.
///
/// One thread drives them: it forks them, gives them orders, reads their frames, and buries the dead. What a worker had
/// not begun when it died goes to others, and loses no attempt; so does what it had finished, if the answer is lost. Only the
/// errand that ran fails. All that says which errand that is stands in the worker's page, so nothing has to be sent for it.
///
/// Thread safety: the thread that drives, alone. It has to be there until the fleet's end: with it the workers die.
class Fleet {
 public:
  /// Throws `std::system_error` where there is no memory to share, or no descriptor.
  Fleet(Crew& crew, Remote& remote, std::span<Seat> seats, const Options& options)
      : crew_(crew), remote_(remote), options_(options), pages_(seats.size()), hands_(new Hand[seats.size()]), count_(seats.size()) {
    for (std::size_t k = 0; k < count_; ++k) {
      hands_[k].seat = &seats[k];
      hands_[k].page = &pages_[k];
    }
    polled_.reserve(1 + 3 * count_);
    polled_for_.reserve(3 * count_);
    crew_.listen(&bell_);
  }
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;
  ~Fleet() { crew_.listen(nullptr); }

  /// Until the run needs nothing more, and all workers have gone.
  void drive() noexcept;

 private:
  static constexpr std::chrono::milliseconds goal{1};  // of work in an order
  static constexpr std::size_t most_errands = 4096;    // in an order
  static constexpr std::chrono::milliseconds grace{200};   // between SIGTERM and SIGKILL
  static constexpr std::chrono::seconds farewell{1};       // for a worker that has nothing more to do
  static constexpr std::size_t much_kept = 1U << 25U;      // bytes, of a worker's answers
  static constexpr std::size_t large = 1U << 20U;          // bytes, of a task that has an order of its own
  static constexpr int most_fruitless = 50;  // workers that died in a row before they began a task
  static constexpr std::uint8_t most_lost = 20;  // workers that died after they had taken a task, until it is to blame
  static constexpr Clock::time_point never = Clock::time_point::max();

  /// What a worker has been sent. `errands[answered]` to `errands[sent - 1]` are still to be answered.
  struct Order {
    List<Errand> errands;
    std::size_t answered = 0;
    std::size_t sent = 0;  // but for those that were taken back
    std::uint64_t first = 0;
  };

  enum class State { none, working, leaving, condemned };

  /// A worker as it is seen from here.
  struct Hand {
    Seat* seat = nullptr;
    WorkerPage* page = nullptr;
    Child child;
    Descriptor orders;
    Descriptor frames;
    Order lane[lanes];
    std::size_t oldest = 0;  // of the lanes in use
    std::size_t open = 0;    // lanes in use
    std::uint64_t places = 0;
    std::size_t given = 0;   // errands, to this child
    ByteBuffer out;          // of orders: not sent yet
    std::size_t out_sent = 0;
    ByteBuffer in;           // of frames: read and not understood yet
    std::size_t missing = 0; // bytes, of the frame that has begun
    bool hung_up = false;    // it has closed the pipe, and is about to die
    State state = State::none;
    Clock::time_point kill_at = never;
    Clock::time_point quiet_since = never;  // it has orders, and is at no errand
    std::uint64_t overdue = 0;     // the place of the errand that has had its time
    std::exception_ptr complaint;  // why it is condemned, if not for that
    int fruitless = 0;             // children in a row that died before they began a task
    Clock::time_point hire_at = Clock::time_point::min();

    [[nodiscard]] Order& order() noexcept { return lane[oldest]; }
  };

  // --- workers
  [[nodiscard]] bool may_hire(const Hand& hand, Clock::time_point now) const noexcept {
    return hand.state == State::none && !hand.seat->barred && now >= hand.hire_at && !crew_.stopping();
  }
  void hire_if_possible(Hand& hand) noexcept;
  void hire(Hand& hand);
  void dismiss(Hand& hand) noexcept;
  void condemn(Hand& hand, std::exception_ptr complaint) noexcept;
  void bury(Hand& hand) noexcept;
  void part() noexcept;

  // --- orders
  [[nodiscard]] bool work_waits() const noexcept { return !returned_.empty() || remote_.left() != 0 || crew_.next_due() <= Clock::now(); }
  void staff() noexcept;
  void fill(Hand& hand, std::size_t orders) noexcept;
  /// How many more errands its child may get.
  [[nodiscard]] std::size_t quota(const Hand& hand) const noexcept {
    return options_.tasks_per_worker == 0 ? most_errands : options_.tasks_per_worker - hand.given;
  }
  [[nodiscard]] bool takes_orders(const Hand& hand) const noexcept {
    return hand.state == State::working && hand.open < lanes && quota(hand) != 0;
  }
  [[nodiscard]] bool give(Hand& hand);
  void collect(List<Errand>& errands, std::size_t most);
  void steal_for(const Hand& hand) noexcept;
  void take_back(Hand& hand, Order& order, Span places) noexcept;
  void take_all_back(Hand& hand) noexcept;
  void send(Hand& hand) noexcept;
  void cancel_waiting() noexcept;
  void fail_waiting(const std::exception_ptr& why, bool one = false) noexcept;

  // --- answers
  void receive(Hand& hand) noexcept;
  void understand(Hand& hand);
  void hear(Hand& hand, const FrameHead& head, Reader& reader);
  void announce(Hand& hand, Errand& errand) noexcept;
  void settle(std::size_t id, Seat& seat) noexcept;
  void publish() noexcept;

  // --- time
  [[nodiscard]] Clock::time_point look_at_quiet(Hand& hand, Clock::time_point now) noexcept;
  [[nodiscard]] Clock::time_point look_at_deadline(Hand& hand, Clock::time_point now) noexcept;
  void wait() noexcept;

  Crew& crew_;
  Remote& remote_;
  const Options& options_;
  WorkerPages pages_;
  Array<Hand> hands_;
  std::size_t count_;
  Bell bell_;
  Pace pace_{0, goal};
  List<Errand> returned_;         // taken from the run, and with no worker; has room for all that are out
  std::size_t out_ = 0;           // errands in orders
  std::array<std::size_t, 256> settled_{};
  std::size_t settled_count_ = 0;
  Seat* settled_seat_ = nullptr;
  List<pollfd> polled_;  // the bell first
  enum class Source { frames, child, orders };
  struct Polled {
    Hand* hand;
    Source source;
  };
  List<Polled> polled_for_;  // of the others
  int fruitless_ = 0;
  int forkless_ = 0;  // failures in a row to fork, while there was no worker
  bool sent_any_ = false;
  bool stop_told_ = false;

  [[nodiscard]] std::span<Hand> hands() const noexcept { return {hands_.get(), count_}; }
};

// ---------------------------------------------------------------------------------------------------------------------

inline void Fleet::drive() noexcept {
  while (remote_.goes_on()) {
    if (crew_.stopping()) cancel_waiting();
    staff();
    publish();
    if (!remote_.goes_on()) break;
    wait();
    publish();
  }
  part();
}

/// Sees to it that there are workers, and that they have something to do.
inline void Fleet::staff() noexcept {
  for (Hand& hand : hands()) {
    if (may_hire(hand, Clock::now()) && work_waits()) hire_if_possible(hand);
    fill(hand, 1);
  }
  for (Hand& hand : hands()) fill(hand, lanes);
  // Nobody can be made ready: nothing more is begun.
  for (const Hand& hand : hands()) {
    if (!hand.seat->barred || hand.state != State::none) return;
  }
  crew_.halt();
  cancel_waiting();
}

inline void Fleet::hire_if_possible(Hand& hand) noexcept {
  constexpr std::chrono::milliseconds pause{100};
  constexpr int most = 20;
  try {
    hire(hand);
    forkless_ = 0;
  } catch (...) {
    hand.hire_at = Clock::now() + pause;
    for (const Hand& other : hands()) {
      if (other.state != State::none) return;  // the run goes on with fewer
    }
    if (!sent_any_) {  // nothing is begun
      crew_.thrown().keep(std::current_exception());
      crew_.halt();
      cancel_waiting();
    } else if (++forkless_ == most) {
      fail_waiting(std::current_exception());
      forkless_ = 0;
    }
  }
}

inline void Fleet::hire(Hand& hand) {
  auto [their_orders, orders] = Descriptor::socket_pair();
  auto [frames, their_frames] = Descriptor::pipe();
  ::fcntl(frames.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(frames.get(), F_SETPIPE_SZ, 1 << 20);  // large results cross in fewer turns; it may be refused
  hand.page->running.store(0, std::memory_order_relaxed);
  hand.page->begun.store(0, std::memory_order_relaxed);
  auto live = [&, orders_from = their_orders.get(), frames_to = their_frames.get()] {
    // never ended: a thread of its own may look at it
    (new WorkerProcess{crew_, remote_, *hand.seat, *hand.page, options_, orders_from, frames_to})->live();
  };
  hand.child = Child{job_for(live), {their_orders.get(), their_frames.get()}};
  hand.orders = std::move(orders);
  hand.frames = std::move(frames);
  hand.state = State::working;
  hand.given = 0;
  hand.kill_at = never;
  hand.quiet_since = never;
  hand.overdue = 0;
  hand.complaint = nullptr;
  hand.hung_up = false;
  hand.missing = 0;
  hand.in.clear();
  hand.out.clear();
  hand.out_sent = 0;
}

/// It leaves once it has done what it was given.
inline void Fleet::dismiss(Hand& hand) noexcept {
  ::shutdown(hand.orders.get(), SHUT_RDWR);  // not closed only: a copy of this end may be in some other child of the host
  hand.state = State::leaving;
  hand.kill_at = Clock::now() + farewell;
}

inline void Fleet::condemn(Hand& hand, std::exception_ptr complaint) noexcept {
  take_all_back(hand);
  if (hand.complaint == nullptr) hand.complaint = std::move(complaint);
  hand.state = State::condemned;
  hand.kill_at = never;
  hand.in.clear();  // what else it has sent means nothing any more
  hand.hung_up = true;
  hand.child.kill(SIGKILL);
}

[[nodiscard]] inline std::exception_ptr crash(const Death& death) noexcept {
  try {
    return std::make_exception_ptr(WorkerCrashed(describe(death), death.signal, death.exit_code));
  } catch (...) {
    return std::current_exception();  // no memory to say it
  }
}

/// Of a worker that has died: what it has answered counts, the errand that ran fails, the others are given to somebody else.
inline void Fleet::bury(Hand& hand) noexcept {
  receive(hand);
  hand.child.kill(SIGKILL);  // what its tasks have started; it is there still, as long as nobody has asked how it died
  if (hand.overdue != 0) hand.child.kill_group(SIGKILL);
  const Death death = hand.child.reap();
  const std::uint64_t running = hand.page->running.load(std::memory_order_acquire);
  const bool idle = hand.page->begun.load(std::memory_order_relaxed) == 0;
  bool blamed = false;
  take_all_back(hand);
  for (; hand.open != 0; --hand.open, hand.oldest = (hand.oldest + 1) % lanes) {
    Order& order = hand.order();
    out_ -= order.sent;
    for (std::size_t k = order.answered; k < order.sent; ++k) {
      Errand& errand = order.errands[k];
      const std::uint64_t place = order.first + k + 1;
      // If one had its time and another had begun by then, that one was killed for nothing.
      bool ran = hand.overdue != 0 ? place == hand.overdue : place == running;
      // What it had taken and was not at is done anew. If that happens again and again, it is no accident.
      if (!ran && running == 0 && hand.overdue == 0) {
        if (hand.complaint != nullptr) ran = !blamed;
        else ran = ++errand.lost == most_lost;
        errand.alone = errand.alone || errand.lost > 1;
      }
      if (!ran) {
        returned_.push_back(errand);
        continue;
      }
      blamed = true;
      TaskError::Kind kind = TaskError::Kind::crash;
      std::exception_ptr why;
      if (hand.overdue == place) {
        kind = TaskError::Kind::timeout;
      } else if (hand.complaint != nullptr) {
        kind = TaskError::Kind::exception;
        why = hand.complaint;
      } else {
        why = crash(death);
      }
      announce(hand, errand);
      const std::chrono::nanoseconds took = kind == TaskError::Kind::timeout ? options_.timeout : std::chrono::nanoseconds{0};
      if (remote_.lost(errand, kind, why, took, *hand.seat)) settle(errand.id, *hand.seat);
    }
  }
  const bool expected = hand.state == State::leaving;
  hand.state = State::none;
  hand.orders.close();
  hand.frames.close();
  if (!idle || expected || hand.seat->barred) return;
  if (++hand.fruitless > 3) hand.hire_at = Clock::now() + std::chrono::milliseconds{std::min(hand.fruitless, 100)};
  if (++fruitless_ < most_fruitless) return;
  for (const Hand& other : hands()) {
    if (other.state == State::working && other.page->begun.load(std::memory_order_relaxed) != 0) return;
  }
  try {
    fail_waiting(std::make_exception_ptr(
        WorkerCrashed(std::to_string(fruitless_) + " worker processes in a row have died before they began a task; of the last: " +
                          describe(death),
                      death.signal, death.exit_code)));
  } catch (...) {
    fail_waiting(std::current_exception());
  }
  fruitless_ = 0;
}

/// The run is over: all workers leave. Who does not is killed.
inline void Fleet::part() noexcept {
  for (Hand& hand : hands()) {
    if (hand.state == State::working) dismiss(hand);
  }
  for (;;) {
    bool anybody = false;
    for (const Hand& hand : hands()) anybody = anybody || hand.state != State::none;
    if (!anybody) return;
    wait();
  }
}

// --- orders

/// Until it has so many orders, or there is nothing more to do.
inline void Fleet::fill(Hand& hand, std::size_t orders) noexcept {
  while (hand.state == State::working && hand.open < orders && !crew_.stopping()) {
    if (quota(hand) == 0) {
      if (hand.open == 0) dismiss(hand);
      return;
    }
    try {
      if (!give(hand)) return;
    } catch (...) {  // no memory for it: if nobody will give any back, a task fails for it
      if (out_ == 0) fail_waiting(std::current_exception(), true);
      return;
    }
  }
}

/// One more order, if there is something to do.
inline bool Fleet::give(Hand& hand) {
  const std::size_t left = remote_.left() + returned_.size();
  std::size_t most = std::min(pace_.chunk(), most_errands);
  most = std::min(most, left / (2 * lanes * count_) + 1);  // near the end smaller orders, so that all end together
  most = std::min(most, quota(hand));
  const std::size_t lane = (hand.oldest + hand.open) % lanes;
  Order& order = hand.lane[lane];
  order.errands.clear();
  order.errands.reserve(most);
  returned_.reserve(returned_.size() + out_ + most);
  collect(order.errands, most);
  if (order.errands.empty() && hand.open == 0) {
    steal_for(hand);
    collect(order.errands, most);
  }
  if (order.errands.empty()) return false;

  const std::size_t before = hand.out.size();
  std::size_t count = 0;  // written
  std::size_t k = 0;      // looked at
  try {
    Writer writer{hand.out};
    hand.out.extend(sizeof(OrderHead));
    ErrandHead head{0, 0, 0, 0};
    std::size_t at = 0;  // where it stands
    for (; k < order.errands.size(); ++k) {
      Errand& errand = order.errands[k];
      if (head.count != 0 && head.bytes == 0 && errand.id == head.id + head.count && errand.attempt == head.attempt) {
        ++head.count;
        std::memcpy(hand.out.data() + at, &head, sizeof head);
        order.errands[count++] = errand;
        continue;
      }
      at = hand.out.size();
      hand.out.extend(sizeof head);
      try {
        remote_.write_task(errand.id, writer);
      } catch (...) {  // this task cannot be sent, and no other fails for it
        hand.out.truncate(at);
        const std::exception_ptr why = std::current_exception();
        announce(hand, errand);
        if (remote_.lost(errand, TaskError::Kind::exception, why, {}, *hand.seat)) settle(errand.id, *hand.seat);
        head.count = 0;
        continue;
      }
      head = {errand.id, hand.out.size() - at - sizeof head, errand.attempt};
      errand.alone = errand.alone || head.bytes > large;
      if (errand.alone && count != 0) {
        hand.out.truncate(at);
        break;
      }
      std::memcpy(hand.out.data() + at, &head, sizeof head);
      order.errands[count++] = errand;
      if (errand.alone) {
        ++k;
        break;
      }
    }
    for (std::size_t rest = order.errands.size(); rest-- > k;) returned_.push_back(order.errands[rest]);
    while (order.errands.size() != count) order.errands.pop_back();
    if (count == 0) {
      hand.out.truncate(before);
      return true;
    }
    const OrderHead all{hand.out.size() - before - sizeof all, hand.places, static_cast<std::uint32_t>(count),
                        static_cast<std::uint32_t>(lane)};
    std::memcpy(hand.out.data() + before, &all, sizeof all);
  } catch (...) {
    hand.out.truncate(before);
    for (; k < order.errands.size(); ++k) returned_.push_back(order.errands[k]);
    while (count-- != 0) returned_.push_back(order.errands[count]);
    throw;
  }
  if (hand.open == 0) hand.quiet_since = never;
  order.answered = 0;
  order.sent = order.errands.size();
  order.first = hand.places;
  hand.places += order.sent;
  hand.given += order.sent;
  out_ += order.sent;
  ++hand.open;
  hand.page->lanes[lane].put({order.first, order.first + order.sent});
  sent_any_ = true;
  send(hand);
  return true;
}

/// What came back goes first.
inline void Fleet::collect(List<Errand>& errands, std::size_t most) {
  while (errands.size() < most && !returned_.empty()) {
    errands.push_back(returned_.back());
    returned_.pop_back();
  }
  if (errands.size() < most) remote_.next_errands(errands, most - errands.size());
}

/// Takes back what another worker has not begun.
inline void Fleet::steal_for(const Hand& hand) noexcept {
  for (std::size_t k = 1; k < count_; ++k) {
    Hand& victim = hands_[(hand.seat->number + k) % count_];
    for (std::size_t back = victim.open; back-- > 0;) {  // the order that it comes to last
      const std::size_t lane = (victim.oldest + back) % lanes;
      const Span places = victim.page->lanes[lane].steal();
      if (places.empty()) continue;
      take_back(victim, victim.lane[lane], places);
      return;
    }
  }
}

inline void Fleet::take_back(Hand& hand, Order& order, Span places) noexcept {
  const std::size_t kept = places.first - order.first;
  for (std::size_t k = order.sent; k-- > kept;) returned_.push_back(order.errands[k]);
  out_ -= order.sent - kept;
  hand.given -= order.sent - kept;
  order.sent = kept;
}

inline void Fleet::take_all_back(Hand& hand) noexcept {
  for (std::size_t back = hand.open; back-- > 0;) {
    const std::size_t lane = (hand.oldest + back) % lanes;
    for (Span places; !(places = hand.page->lanes[lane].steal()).empty();) take_back(hand, hand.lane[lane], places);
  }
}

inline void Fleet::send(Hand& hand) noexcept {
  while (hand.out_sent != hand.out.size()) {
    const ssize_t put = uninterrupted([&] {
      return ::send(hand.orders.get(), hand.out.data() + hand.out_sent, hand.out.size() - hand.out_sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    });
    if (put < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)) return;  // it is full
    if (put < 0) {  // it has died, or is about to
      hand.kill_at = std::min(hand.kill_at, Clock::now() + farewell);
      break;
    }
    hand.out_sent += static_cast<std::size_t>(put);
  }
  hand.out.clear();
  hand.out_sent = 0;
}

inline void Fleet::cancel_waiting() noexcept {
  for (Hand& hand : hands()) take_all_back(hand);
  if (crew_.cancelling() && !std::exchange(stop_told_, true)) {
    for (Hand& hand : hands()) {
      hand.page->stop.store(1, std::memory_order_release);
      ::syscall(SYS_futex, &hand.page->stop, FUTEX_WAKE, std::numeric_limits<int>::max(), nullptr, nullptr, 0);
    }
  }
  Seat& seat = *hands_[0].seat;
  for (;;) {
    for (; !returned_.empty(); returned_.pop_back()) {
      remote_.cancelled(returned_.back(), seat);
      settle(returned_.back().id, seat);
    }
    try {
      remote_.next_errands(returned_, 64);
    } catch (...) {
      return;  // no memory for 64 of them: the next turn tries again
    }
    if (returned_.empty()) return;
  }
}

/// Nobody can run them.
inline void Fleet::fail_waiting(const std::exception_ptr& why, bool one) noexcept {
  Seat& seat = *hands_[0].seat;
  for (;;) {
    for (; !returned_.empty(); returned_.pop_back()) {
      const Errand errand = returned_.back();
      if (!errand.announced) remote_.announce(errand, seat);
      remote_.given_up(errand, why, seat);
      settle(errand.id, seat);
      if (!one) continue;
      returned_.pop_back();
      return;
    }
    try {
      remote_.next_errands(returned_, one ? 1 : 64);
    } catch (...) {
      return;
    }
    if (returned_.empty()) return;
  }
}

// --- answers

inline void Fleet::receive(Hand& hand) noexcept {
  if (hand.complaint != nullptr) return;
  constexpr std::size_t least = 1U << 16U;
  constexpr std::size_t most = 1U << 20U;
  constexpr int turns = 16;  // then the others have theirs; a dead worker's pipe is not larger
  try {
    for (int turn = 0; turn < turns; ++turn) {
      const std::size_t much = std::clamp(hand.missing, least, most);
      std::byte* const room = hand.in.extend(much);
      const ssize_t got = uninterrupted([&] { return ::read(hand.frames.get(), room, much); });
      hand.in.truncate(hand.in.size() - much + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
      if (got == 0 && !std::exchange(hand.hung_up, true)) hand.kill_at = std::min(hand.kill_at, Clock::now() + farewell);
      if (got <= 0) return;
      understand(hand);
      if (static_cast<std::size_t>(got) < std::min(much, least)) break;  // there is no more
    }
    if (hand.in.empty() && hand.in.capacity() > much_kept) hand.in = {};
  } catch (...) {
    condemn(hand, std::current_exception());
  }
}

inline void Fleet::understand(Hand& hand) {
  std::size_t at = 0;
  FrameHead head{.kind = FrameKind::value};
  for (;;) {
    const std::size_t there = hand.in.size() - at;
    if (there < sizeof head) break;
    std::memcpy(&head, hand.in.data() + at, sizeof head);
    if (head.mark != FrameHead::our_mark || head.kind > last_frame_kind) {
      throw CodecError("a worker process has sent what no worker sends: its task writes into descriptors of others, or has damaged memory");
    }
    hand.missing = there - sizeof head < head.bytes ? static_cast<std::size_t>(head.bytes - (there - sizeof head)) : 0;
    if (hand.missing != 0) break;
    Reader reader{hand.in.bytes().subspan(at + sizeof head, static_cast<std::size_t>(head.bytes))};
    hear(hand, head, reader);
    at += sizeof head + static_cast<std::size_t>(head.bytes);
  }
  if (at == 0) return;
  std::memmove(hand.in.data(), hand.in.data() + at, hand.in.size() - at);
  hand.in.truncate(hand.in.size() - at);
}

inline void Fleet::hear(Hand& hand, const FrameHead& head, Reader& reader) {
  hand.quiet_since = never;
  if (head.kind == FrameKind::cannot_start) {
    hand.seat->barred = true;
    hand.state = State::leaving;
    hand.kill_at = Clock::now() + farewell;
    take_all_back(hand);
    try {
      crew_.thrown().keep(decode_error(reader).exception);
    } catch (...) {
      crew_.thrown().keep(std::current_exception());
    }
    return;
  }
  Order& order = hand.order();
  if (hand.open == 0) throw CodecError("a worker process has answered what it was not asked: its memory is damaged");
  if (head.kind == FrameKind::order_done) {
    if (order.answered != order.sent) throw CodecError("a worker process has left errands out: its memory is damaged");
    if (order.sent != 0) pace_.measured(order.sent, std::chrono::nanoseconds{head.took});
    out_ -= order.sent;
    --hand.open;
    hand.oldest = (hand.oldest + 1) % lanes;
    return;
  }
  if (order.answered == order.sent) throw CodecError("a worker process has answered more than it was asked: its memory is damaged");
  Errand& errand = order.errands[order.answered];
  announce(hand, errand);
  switch (head.kind) {
    case FrameKind::started: return;
    case FrameKind::said:
    case FrameKind::progress: remote_.said(errand, head, reader, *hand.seat); return;
    default: break;
  }
  ++order.answered;
  hand.fruitless = fruitless_ = 0;
  if (remote_.answered(errand, head.kind, std::chrono::nanoseconds{head.took}, reader, *hand.seat)) settle(errand.id, *hand.seat);
}

inline void Fleet::announce(Hand& hand, Errand& errand) noexcept {
  if (!errand.announced) remote_.announce(errand, *hand.seat);
  errand.announced = true;
}

inline void Fleet::settle(std::size_t id, Seat& seat) noexcept {
  if (settled_count_ == settled_.size() || (settled_count_ != 0 && settled_seat_ != &seat)) publish();
  settled_seat_ = &seat;
  settled_[settled_count_++] = id;
}

inline void Fleet::publish() noexcept {
  if (settled_count_ == 0) return;
  remote_.publish_all({settled_.data(), settled_count_}, *settled_seat_);
  settled_count_ = 0;
}

// --- time

/// Ends what has had its time. When to look again.
inline Clock::time_point Fleet::look_at_deadline(Hand& hand, Clock::time_point now) noexcept {
  if (hand.state == State::none) return never;
  if (now >= hand.kill_at) {
    hand.kill_at = never;
    hand.child.kill(SIGKILL);
  }
  if (options_.timeout.count() == 0 || hand.state != State::working) return hand.kill_at;
  const std::uint64_t running = hand.page->running.load(std::memory_order_acquire);
  if (running == 0) return std::min(hand.kill_at, look_at_quiet(hand, now));
  hand.quiet_since = never;
  const Clock::time_point since{std::chrono::nanoseconds{hand.page->since.load(std::memory_order_relaxed)}};
  const bool still = hand.page->running.load(std::memory_order_acquire) == running;
  const Clock::time_point deadline = later(still ? since : now, options_.timeout);
  if (now < deadline) return std::min(hand.kill_at, deadline);
  take_all_back(hand);
  hand.overdue = running;
  hand.state = State::condemned;
  hand.kill_at = now + grace;
  hand.child.kill(SIGTERM);
  return hand.kill_at;
}

/// A worker that has orders and is at no errand for longer than an errand may take is stopped, or waits for a lock that was
/// held when it was forked: it is replaced, and nobody loses an attempt. What the host does at a worker's start may last.
inline Clock::time_point Fleet::look_at_quiet(Hand& hand, Clock::time_point now) noexcept {
  if (hand.open == 0 || (options_.on_worker_start && hand.page->begun.load(std::memory_order_relaxed) == 0)) return never;
  if (hand.quiet_since == never) hand.quiet_since = now;
  const Clock::time_point deadline = later(later(hand.quiet_since, options_.timeout), grace);
  if (now < deadline) return std::min(deadline, later(now, options_.timeout));
  take_all_back(hand);
  hand.state = State::condemned;
  hand.kill_at = never;
  hand.child.kill(SIGKILL);
  return never;
}

/// Until something is to be read, or falls due; reads it.
inline void Fleet::wait() noexcept {
  const Clock::time_point now = Clock::now();
  Clock::time_point due = never;
  polled_.clear();
  polled_for_.clear();
  polled_.push_back({bell_.descriptor(), POLLIN, 0});
  const auto watch = [this](Hand& hand, Source source, int descriptor, short events) {
    polled_.push_back({descriptor, events, 0});
    polled_for_.push_back({&hand, source});
  };
  for (Hand& hand : hands()) {
    due = std::min(due, look_at_deadline(hand, now));
    if (takes_orders(hand) || may_hire(hand, now)) due = std::min(due, crew_.next_due());
    if (hand.state == State::none) {
      if (hand.hire_at > now && work_waits()) due = std::min(due, hand.hire_at);
      continue;
    }
    watch(hand, Source::child, hand.child.handle(), POLLIN);
    if (!hand.hung_up) watch(hand, Source::frames, hand.frames.get(), POLLIN);
    if (hand.out_sent != hand.out.size()) watch(hand, Source::orders, hand.orders.get(), POLLOUT);
  }
  timespec pause{};
  if (due != never) {
    const auto left = std::max(std::chrono::nanoseconds{0}, std::chrono::nanoseconds{due - Clock::now()});
    pause.tv_sec = static_cast<time_t>(left.count() / 1'000'000'000);
    pause.tv_nsec = static_cast<long>(left.count() % 1'000'000'000);
  }
  const int ready = ::ppoll(polled_.begin(), polled_.size(), due != never ? &pause : nullptr, nullptr);
  if (ready < 0 && errno != EINTR) {  // the system is short of something
    const timespec moment{0, 1'000'000};
    ::nanosleep(&moment, nullptr);
  }
  if (ready <= 0) return;
  if (polled_[0].revents != 0) bell_.silence();
  for (std::size_t k = 0; k < polled_for_.size(); ++k) {
    Hand& hand = *polled_for_[k].hand;
    if (polled_[k + 1].revents == 0 || hand.state == State::none) continue;  // or it was buried just now
    switch (polled_for_[k].source) {
      case Source::child: bury(hand); break;
      case Source::orders: send(hand); break;
      case Source::frames:
        receive(hand);
        fill(hand, lanes);
        break;
    }
  }
}

}  // namespace taskmgr::detail
