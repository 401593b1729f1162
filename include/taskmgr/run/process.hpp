// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Process mode: worker processes, forked for one run, and the ledger of what each of them has been given.

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <exception>
#include <string>
#include <utility>

#include "../core/list.hpp"
#include "child.hpp"
#include "errand.hpp"
#include "hand.hpp"
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
  Fleet(Crew& crew, Remote& remote, Items<Seat> seats, const Options& options)
      : crew_(crew), remote_(remote), options_(options), pages_(seats.size()), hands_(new Hand[seats.size()]), count_(seats.size()) {
    for (std::size_t k = 0; k < count_; ++k) {
      hands_[k].seat = &seats[k];
      hands_[k].page = &pages_[k];
    }
    polled_.reserve(1 + 3 * count_);
    polled_for_.reserve(3 * count_);
    returned_.reserve(few);
    crew_.listen(job_of<&Bell::ring>(bell_));
  }
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;
  ~Fleet() { crew_.listen_no_more(); }

  /// Until the run needs nothing more, and all workers have gone.
  void drive() noexcept;

 private:
  static constexpr std::chrono::milliseconds goal{1};  // of work in an order
  static constexpr std::size_t most_errands = 16384;   // in an order
  static constexpr std::size_t large = 1U << 20U;      // bytes, of a task that has an order of its own
  static constexpr std::size_t few = 64;               // errands that can be cancelled, or fail, without memory
  static constexpr int most_fruitless = 50;      // workers that died in a row before they began a task
  static constexpr std::uint8_t most_lost = 20;  // workers that died after they had taken a task, until it is to blame

  // --- workers
  [[nodiscard]] bool may_hire(const Hand& hand, Clock::time_point now) const noexcept {
    return hand.state == Hand::State::none && !hand.seat->barred && now >= hand.hire_at && !crew_.stopping();
  }
  void hire_if_possible(Hand& hand) noexcept;
  void hire(Hand& hand);
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
    return hand.state == Hand::State::working && hand.open < lanes && quota(hand) != 0;
  }
  /// Errands in orders.
  [[nodiscard]] std::size_t errands_out() const noexcept {
    std::size_t sum = 0;
    for (const Hand& hand : hands()) sum += hand.errands_out();
    return sum;
  }
  [[nodiscard]] bool give(Hand& hand);
  [[nodiscard]] bool write(Hand& hand, Order& order);
  void collect(List<Errand>& errands, std::size_t most);
  void steal_for(const Hand& hand) noexcept;
  void cancel_waiting() noexcept;
  void fail_waiting(const std::exception_ptr& why, bool one = false) noexcept;

  // --- answers
  void receive(Hand& hand) noexcept;
  void hear(Hand& hand, const FrameHead& head, Reader& reader);
  void announce(Hand& hand, Errand& errand, Clock::time_point at = {}) noexcept;
  void settle(std::size_t id, Seat& seat) noexcept;
  void publish() noexcept;

  // --- time
  void wait() noexcept;

  Crew& crew_;
  Remote& remote_;
  const Options& options_;
  WorkerPages pages_;
  Array<Hand> hands_;
  std::size_t count_;
  Bell bell_;
  Pace pace_{0, goal};
  List<Errand> returned_;  // taken from the run, and with no worker; has room for all that are out
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

  [[nodiscard]] Items<Hand> hands() const noexcept { return {hands_.get(), count_}; }
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
    if (!hand.seat->barred || hand.state != Hand::State::none) return;
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
      if (other.state != Hand::State::none) return;  // the run goes on with fewer
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
  hand.page->forget();
  auto live = [&, orders_from = their_orders.get(), frames_to = their_frames.get()] {
    try {
      // never ended: a thread of its own may look at it
      (new WorkerProcess{crew_, remote_, *hand.seat, *hand.page, options_, orders_from, frames_to})->live();
    } catch (...) {
      ::_exit(1);  // no memory for it
    }
  };
  hand.child = Child{job_for(live), {their_orders.get(), their_frames.get()}};
  hand.begin(std::move(orders), std::move(frames));
}

/// The error of an attempt whose worker has died so.
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
  const std::uint64_t running = hand.running();
  const Clock::time_point since = hand.running_since();
  const bool idle = !hand.page->begun.load(std::memory_order_relaxed);
  const bool expected = hand.state == Hand::State::leaving && hand.open == 0;  // else its orders could not be sent any more
  bool blamed = false;
  hand.take_all_back(returned_);
  for (; hand.open != 0; hand.close_order()) {
    Order& order = hand.order();
    for (std::size_t k = order.answered; k < order.sent; ++k) {
      Errand& errand = order.errands[k];
      const std::uint64_t place = order.first + k + 1;
      // If one had its time and another had begun by then, that one was killed for nothing; so was one that began when its
      // worker was about to be killed because it was at none.
      bool ran = hand.overdue != 0 ? place == hand.overdue : place == running && !hand.was_quiet();
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
      std::chrono::nanoseconds took{0};
      if (kind == TaskError::Kind::timeout) took = options_.timeout;
      else if (since != Clock::time_point{} && place == running && crew_.measures()) took = Clock::now() - since;
      if (remote_.lost(errand, kind, why, took, *hand.seat)) settle(errand.id, *hand.seat);
    }
  }
  hand.end();
  if (!idle || expected || hand.seat->barred) return;
  if (++hand.fruitless > 3) hand.hire_at = Clock::now() + std::chrono::milliseconds{std::min(hand.fruitless, 100)};
  if (++fruitless_ < most_fruitless) return;
  for (const Hand& other : hands()) {
    if (other.state == Hand::State::working && other.page->begun.load(std::memory_order_relaxed)) return;
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
    if (hand.state == Hand::State::working) hand.dismiss();
  }
  for (;;) {
    bool anybody = false;
    for (const Hand& hand : hands()) anybody = anybody || hand.state != Hand::State::none;
    if (!anybody) return;
    wait();
  }
}

// --- orders

/// Until it has so many orders, or there is nothing more to do.
inline void Fleet::fill(Hand& hand, std::size_t orders) noexcept {
  while (hand.state == Hand::State::working && hand.open < orders && !crew_.stopping()) {
    if (quota(hand) == 0) {
      if (hand.open == 0) hand.dismiss();
      return;
    }
    try {
      if (!give(hand)) return;
    } catch (...) {  // no memory for it: if nobody will give any back, a task fails for it, and the next may have more luck
      if (errands_out() != 0 || !work_waits()) return;
      fail_waiting(std::current_exception(), true);
    }
  }
}

/// One more order, if there is something to do.
inline bool Fleet::give(Hand& hand) {
  const std::size_t left = remote_.left() + returned_.size();
  std::size_t most = std::min(pace_.chunk(), most_errands);
  most = std::min(most, left / (2 * lanes * count_) + 1);  // near the end smaller orders, so that all end together
  most = std::min(most, quota(hand));
  Order& order = hand.next_order();
  order.errands.clear();
  order.errands.reserve(most);
  returned_.reserve(returned_.size() + errands_out() + most);
  collect(order.errands, most);
  if (order.errands.empty() && hand.open == 0) {
    steal_for(hand);
    collect(order.errands, most);
  }
  if (order.errands.empty()) return false;

  if (!write(hand, order)) return true;
  sent_any_ = true;
  hand.open_order();
  hand.send(returned_);
  return true;
}

/// Appends an order to what the worker is sent. Errands that cannot be sent fail, and those that would be too much for one
/// order come back; false if none is left. If it throws, all have come back.
inline bool Fleet::write(Hand& hand, Order& order) {
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
      if (head.count != 0 && head.bytes == 0 && !errand.alone && errand.id == head.id + head.count && errand.attempt == head.attempt) {
        ++head.count;
        std::memcpy(hand.out.data() + at + offsetof(ErrandHead, count), &head.count, sizeof head.count);
        if (count != k) order.errands[count] = errand;
        ++count;
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
      return false;
    }
    const OrderHead all{hand.out.size() - before - sizeof all, hand.places, static_cast<std::uint32_t>(count),
                        static_cast<std::uint32_t>(&order - hand.lane)};
    std::memcpy(hand.out.data() + before, &all, sizeof all);
  } catch (...) {
    hand.out.truncate(before);
    for (; k < order.errands.size(); ++k) returned_.push_back(order.errands[k]);
    while (count-- != 0) returned_.push_back(order.errands[count]);
    throw;
  }
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
    if (victim.take_half_back(returned_)) return;
  }
}

inline void Fleet::cancel_waiting() noexcept {
  for (Hand& hand : hands()) {
    hand.page->closed.store(1, std::memory_order_relaxed);
    hand.take_all_back(returned_);
    // what it does at its start may last, or hang: nothing is lost
    if (!hand.page->ready.load(std::memory_order_relaxed)) hand.kill_at = std::min(hand.kill_at, Clock::now() + Hand::farewell);
  }
  if (crew_.cancelling() && !std::exchange(stop_told_, true)) {
    for (Hand& hand : hands()) hand.page->ask_to_stop();
  }
  Seat& seat = *hands_[0].seat;
  for (;;) {
    for (; !returned_.empty(); returned_.pop_back()) {
      remote_.cancelled(returned_.back(), seat);
      settle(returned_.back().id, seat);
    }
    try {
      remote_.next_errands(returned_, few);
    } catch (...) {
      return;  // no memory for so many of them: the next turn tries again
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
      if (!errand.announced) remote_.announce(errand, {}, seat);
      remote_.given_up(errand, why, seat);
      settle(errand.id, seat);
      if (!one) continue;
      returned_.pop_back();
      return;
    }
    try {
      remote_.next_errands(returned_, one ? 1 : few);
    } catch (...) {
      return;
    }
    if (returned_.empty()) return;
  }
}

// --- answers

/// Reads what has come, and acts on it.
inline void Fleet::receive(Hand& hand) noexcept {
  try {
    hand.receive([&](const FrameHead& head, Reader& reader) { hear(hand, head, reader); });
  } catch (...) {
    hand.condemn(std::current_exception(), returned_);
  }
}

inline void Fleet::hear(Hand& hand, const FrameHead& head, Reader& reader) {
  hand.quiet_since = Hand::never;
  if (head.kind == FrameKind::cannot_start) {
    hand.seat->barred = true;
    hand.take_all_back(returned_);
    hand.dismiss();
    hand.kill_at = Clock::now() + Hand::farewell;
    try {
      crew_.thrown().keep(decode_error(reader).exception);
    } catch (...) {
      crew_.thrown().keep(std::current_exception());
    }
    return;
  }
  Order& order = hand.order();
  if (hand.open == 0) fail_answer("answered what it was not asked");
  if (head.kind == FrameKind::order_done) {
    if (order.answered != order.sent && crew_.stopping()) hand.take_all_back(returned_);  // what it was kept from
    if (order.answered != order.sent) fail_answer("left errands out");
    if (order.sent != 0) pace_.measured(order.sent, std::chrono::nanoseconds{head.took});
    hand.close_order();
    return;
  }
  if (order.answered == order.sent) fail_answer("answered more than it was asked");
  Errand& errand = order.errands[order.answered];
  if (head.kind == FrameKind::values) {
    if (head.number > order.sent - order.answered) fail_answer("answered more than it was asked");
    remote_.answered_all(&errand, static_cast<std::size_t>(head.number), reader, *hand.seat);
    hand.fruitless = fruitless_ = 0;
    for (std::uint64_t k = 0; k < head.number; ++k) settle(order.errands[order.answered++].id, *hand.seat);
    return;
  }
  announce(hand, errand, Clock::time_point{std::chrono::nanoseconds{head.kind == FrameKind::started ? head.took : 0}});
  switch (head.kind) {
    case FrameKind::started: return;
    case FrameKind::parts:
    case FrameKind::part:
    case FrameKind::said:
    case FrameKind::progress: remote_.said(errand, head, reader, *hand.seat); return;
    default: break;
  }
  ++order.answered;
  hand.fruitless = fruitless_ = 0;
  if (remote_.answered(errand, head.kind, std::chrono::nanoseconds{head.took}, reader, *hand.seat)) settle(errand.id, *hand.seat);
}

inline void Fleet::announce(Hand& hand, Errand& errand, Clock::time_point at) noexcept {
  if (!errand.announced) remote_.announce(errand, at, *hand.seat);
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

/// Until something is to be read, or falls due; reads it.
inline void Fleet::wait() noexcept {
  const Clock::time_point now = Clock::now();
  Clock::time_point due = RetryQueue::never;
  polled_.clear();
  polled_for_.clear();
  polled_.push_back({bell_.descriptor(), POLLIN, 0});
  const auto watch = [this](Hand& hand, Source source, int descriptor, short events) {
    polled_.push_back({descriptor, events, 0});
    polled_for_.push_back({&hand, source});
  };
  for (Hand& hand : hands()) {
    due = std::min(due, hand.look_at_deadline(now, options_, returned_));
    if (takes_orders(hand)) due = std::min(due, crew_.next_due());
    if (hand.state == Hand::State::none) {  // whose time may come between the look at it in `staff` and this one
      if (may_hire(hand, hand.hire_at)) due = std::min(due, std::max(hand.hire_at, work_waits() ? now : crew_.next_due()));
      continue;
    }
    watch(hand, Source::child, hand.child.handle(), POLLIN);
    if (!hand.hung_up) watch(hand, Source::frames, hand.frames.get(), POLLIN);
    if (hand.out_sent != hand.out.size()) watch(hand, Source::orders, hand.orders.get(), POLLOUT);
  }
  if (crew_.stopping() && remote_.left() != 0) due = std::min(due, now + std::chrono::milliseconds{10});  // there was no memory
  timespec pause{};
  if (due != RetryQueue::never) {
    const auto left = std::max(std::chrono::nanoseconds{0}, std::chrono::nanoseconds{due - Clock::now()});
    pause.tv_sec = static_cast<time_t>(left.count() / 1'000'000'000);
    pause.tv_nsec = static_cast<long>(left.count() % 1'000'000'000);
  }
  const int ready = ::ppoll(polled_.begin(), polled_.size(), due != RetryQueue::never ? &pause : nullptr, nullptr);
  if (ready < 0 && errno != EINTR) {  // the system is short of something
    const timespec moment{0, 1'000'000};
    ::nanosleep(&moment, nullptr);
  }
  if (ready <= 0) return;
  if (polled_[0].revents != 0) bell_.silence();
  for (std::size_t k = 0; k < polled_for_.size(); ++k) {
    Hand& hand = *polled_for_[k].hand;
    if (polled_[k + 1].revents == 0 || hand.state == Hand::State::none) continue;  // or it was buried just now
    switch (polled_for_[k].source) {
      case Source::child: bury(hand); break;
      case Source::orders: hand.send(returned_); break;
      case Source::frames:
        receive(hand);
        fill(hand, lanes);
        break;
    }
  }
}

}  // namespace taskmgr::detail
