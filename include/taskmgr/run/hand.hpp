// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A worker process as its run sees it: its orders, its answers, its deadlines. What is to be done with it, process.hpp says.

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <utility>

#include "../core/list.hpp"
#include "../core/options.hpp"
#include "child.hpp"
#include "crew.hpp"
#include "descriptor.hpp"
#include "errand.hpp"

namespace taskmgr::detail {

/// What a worker has been sent. `errands[answered]` to `errands[sent - 1]` are still to be answered.
struct Order {
  List<Errand> errands;
  std::size_t answered = 0;
  std::size_t sent = 0;  // but for those that were taken back
  std::uint64_t first = 0;
};

/// The place of a worker in a run, and the process that has it at the time, if any.
///
/// What is taken back from it goes to the end of a list, the last errand first; the list has room for all that are out.
struct Hand {
  enum class State {
    none,      ///< there is no process
    working,
    leaving,   ///< it gets no more orders
    condemned  ///< it was killed, or is about to be
  };
  static constexpr Clock::time_point never = Clock::time_point::max();
  static constexpr std::chrono::milliseconds grace{200};  // between SIGTERM and SIGKILL
  static constexpr std::chrono::seconds farewell{1};      // for one that has nothing more to do

  Seat* seat = nullptr;
  WorkerPage* page = nullptr;
  Child child;
  Descriptor orders;
  Descriptor frames;
  Order lane[lanes];
  std::size_t oldest = 0;  // of the lanes in use
  std::size_t open = 0;    // lanes in use
  std::uint64_t places = 0;
  std::size_t given = 0;   // errands, to this process
  ByteBuffer out;          // of orders: not sent yet
  std::size_t out_sent = 0;
  ByteBuffer in;           // of frames: read and not understood yet
  std::size_t missing = 0; // bytes, of the frame that has begun
  bool hung_up = false;    // nothing more is to be read
  State state = State::none;
  Clock::time_point kill_at = never;
  Clock::time_point quiet_since = never;  // it has orders, and is at no errand
  std::uint64_t overdue = 0;     // the place of the errand that has had its time
  std::exception_ptr complaint;  // why it is condemned, if not for that
  int fruitless = 0;             // processes in a row that died before they began a task
  Clock::time_point hire_at = Clock::time_point::min();

  // --- its life

  /// `child` lives; these are its ends here.
  void begin(Descriptor orders_to, Descriptor frames_from) noexcept;
  /// It leaves once it has done what it was given.
  void dismiss() noexcept;
  /// It is killed, and nothing that it has sent and was not heard counts.
  void condemn(std::exception_ptr why, List<Errand>& back) noexcept;
  /// It is dead.
  void end() noexcept;
  /// It was killed because it had orders and was at no errand.
  [[nodiscard]] bool was_quiet() const noexcept { return state == State::condemned && overdue == 0 && complaint == nullptr; }
  /// The place of the errand that runs, or ran when it died; 0 if there is none.
  [[nodiscard]] std::uint64_t running() const noexcept;
  /// When that one began, if that is known.
  [[nodiscard]] Clock::time_point running_since() const noexcept;
  /// Ends what has had its time. When to look again.
  [[nodiscard]] Clock::time_point look_at_deadline(Clock::time_point now, const Options& options, List<Errand>& back) noexcept;

  // --- its orders, of which the oldest is answered first

  [[nodiscard]] Order& order() noexcept { return lane[oldest]; }
  [[nodiscard]] Order& next_order() noexcept { return lane[(oldest + open) % lanes]; }
  /// The next order has its errands, and they are in `out`.
  void open_order() noexcept;
  /// The oldest is done with.
  void close_order() noexcept;
  /// Sends of `out` what can be sent now. If nothing can be sent to it any more, it gets no further order.
  void send(List<Errand>& back) noexcept;
  [[nodiscard]] std::size_t errands_out() const noexcept;
  /// What it has not begun of the order that it comes to last, or half of it; says whether there was any.
  [[nodiscard]] bool take_half_back(List<Errand>& back) noexcept;
  void take_all_back(List<Errand>& back) noexcept;

  // --- its answers

  /// Calls `hear(head, reader)` for each frame that has come. Throws what that throws, and `CodecError` for what is no frame.
  template <class Hear>
  void receive(const Hear& hear);

 private:
  static constexpr std::size_t much_kept = 1U << 25U;  // bytes of answers

  template <class Hear>
  void understand(const Hear& hear);
  void take_back(Order& order, Span places, List<Errand>& back) noexcept;
  [[nodiscard]] Clock::time_point look_at_quiet(Clock::time_point now, const Options& options, List<Errand>& back) noexcept;
};

// ---------------------------------------------------------------------------------------------------------------------

inline void Hand::begin(Descriptor orders_to, Descriptor frames_from) noexcept {
  orders = std::move(orders_to);
  frames = std::move(frames_from);
  state = State::working;
  given = 0;
  kill_at = quiet_since = never;
  overdue = 0;
  complaint = nullptr;
  hung_up = false;
  missing = 0;
  in.clear();
  out.clear();
  out_sent = 0;
}

inline void Hand::dismiss() noexcept {
  ::shutdown(orders.get(), SHUT_RDWR);  // not closed only: a copy of this end may be in some other child of the host
  state = State::leaving;
  if (open == 0) kill_at = Clock::now() + farewell;
}

inline void Hand::condemn(std::exception_ptr why, List<Errand>& back) noexcept {
  take_all_back(back);
  if (complaint == nullptr) complaint = std::move(why);
  state = State::condemned;
  kill_at = never;
  in.clear();
  hung_up = true;
  child.kill(SIGKILL);
}

inline void Hand::end() noexcept {
  state = State::none;
  orders.close();
  frames.close();
}

// A task may write anywhere, in the page as well: what stands there is believed as far as it can be.

inline std::uint64_t Hand::running() const noexcept {
  const std::uint64_t place = page->running.load(std::memory_order_acquire);
  for (std::size_t k = 0; k < open; ++k) {
    const Order& order = lane[(oldest + k) % lanes];
    if (place > order.first + order.answered && place <= order.first + order.sent) return place;
  }
  return 0;
}

inline Clock::time_point Hand::running_since() const noexcept {
  const Clock::time_point since{std::chrono::nanoseconds{page->since.load(std::memory_order_relaxed)}};
  return since < Clock::time_point{} || since > Clock::now() ? Clock::time_point{} : since;
}

inline Clock::time_point Hand::look_at_deadline(Clock::time_point now, const Options& options, List<Errand>& back) noexcept {
  if (state == State::none) return never;
  if (now >= kill_at) {
    kill_at = never;
    child.kill(SIGKILL);
  }
  if (options.timeout.count() == 0 || state == State::condemned) return kill_at;
  const std::uint64_t at = running();
  if (at == 0) return std::min(kill_at, look_at_quiet(now, options, back));
  quiet_since = never;
  const Clock::time_point since = running_since();
  const bool still = running() == at;
  const Clock::time_point deadline = later(still ? since : now, options.timeout);
  if (now < deadline) return std::min(kill_at, deadline);
  take_all_back(back);
  overdue = at;
  state = State::condemned;
  kill_at = now + grace;
  page->ask_to_stop();
  child.kill(SIGTERM);
  return kill_at;
}

/// A worker that has orders and is at no errand for longer than an errand may take is stopped, or waits for a lock that was
/// held when it was forked: it is replaced, and nobody loses an attempt. What the host does at a worker's start may last, and
/// whoever has answered or printed what was not read yet may be waiting for that.
inline Clock::time_point Hand::look_at_quiet(Clock::time_point now, const Options& options, List<Errand>& back) noexcept {
  if (open == 0) return never;
  if (options.on_worker_start && !page->ready.load(std::memory_order_relaxed)) return later(now, options.timeout);
  if (quiet_since == never) quiet_since = now;
  const Clock::time_point deadline = later(later(quiet_since, options.timeout), grace);
  if (now < deadline) return std::min(deadline, later(now, options.timeout));
  pollfd unread{frames.get(), POLLIN, 0};
  pollfd shown[] = {{STDOUT_FILENO, POLLOUT, 0}, {STDERR_FILENO, POLLOUT, 0}};
  if (!hung_up && (::poll(&unread, 1, 0) > 0 || ::poll(shown, 2, 0) < 2)) return quiet_since = now;
  take_all_back(back);
  state = State::condemned;
  kill_at = never;
  child.kill(SIGKILL);
  return never;
}

// --- orders

inline void Hand::open_order() noexcept {
  Order& order = next_order();
  order.answered = 0;
  order.sent = order.errands.size();
  order.first = places;
  places += order.sent;
  given += order.sent;
  if (open++ == 0) quiet_since = never;
  page->lanes[&order - lane].put({order.first, places});
}

inline void Hand::close_order() noexcept {
  --open;
  oldest = (oldest + 1) % lanes;
  if (open == 0 && state == State::leaving) kill_at = Clock::now() + farewell;
}

inline void Hand::send(List<Errand>& back) noexcept {
  while (out_sent != out.size()) {
    const ssize_t put =
        uninterrupted([&] { return ::send(orders.get(), out.data() + out_sent, out.size() - out_sent, MSG_DONTWAIT | MSG_NOSIGNAL); });
    if (put < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)) return;  // it is full
    if (put < 0) {  // it may have died; if not, it ends what it has begun, and may have read half an order
      take_all_back(back);
      dismiss();
      break;
    }
    out_sent += static_cast<std::size_t>(put);
  }
  out.clear();
  out_sent = 0;
}

inline std::size_t Hand::errands_out() const noexcept {
  std::size_t sum = 0;
  for (std::size_t k = 0; k < open; ++k) sum += lane[(oldest + k) % lanes].sent;
  return sum;
}

inline bool Hand::take_half_back(List<Errand>& back) noexcept {
  for (std::size_t k = open; k-- > 0;) {
    const std::size_t last = (oldest + k) % lanes;
    const Span taken = page->lanes[last].steal();
    if (taken.empty()) continue;
    take_back(lane[last], taken, back);
    return true;
  }
  return false;
}

inline void Hand::take_all_back(List<Errand>& back) noexcept {
  while (take_half_back(back)) {
  }
}

inline void Hand::take_back(Order& order, Span taken, List<Errand>& back) noexcept {
  if (taken.first < order.first + order.answered || taken.last != order.first + order.sent) return;  // damaged: see `running`
  const std::size_t kept = taken.first - order.first;
  for (std::size_t k = order.sent; k-- > kept;) back.push_back(order.errands[k]);
  given -= order.sent - kept;
  order.sent = kept;
}

// --- answers

template <class Hear>
void Hand::receive(const Hear& hear) {
  constexpr std::size_t least = 1U << 16U;
  constexpr std::size_t most = 1U << 20U;
  constexpr int turns = 16;  // then the others have theirs; a dead worker's pipe is not larger
  if (complaint != nullptr) return;
  for (int turn = 0; turn < turns; ++turn) {
    const std::size_t much = std::clamp(missing, least, most);
    std::byte* const room = in.extend(much);
    const ssize_t got = uninterrupted([&] { return ::read(frames.get(), room, much); });
    in.truncate(in.size() - much + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (got == 0 && !std::exchange(hung_up, true)) kill_at = std::min(kill_at, Clock::now() + farewell);
    if (got <= 0) return;
    understand(hear);
    if (static_cast<std::size_t>(got) < least) break;  // there is no more
  }
  if (in.empty() && in.capacity() > much_kept) in = {};
}

template <class Hear>
void Hand::understand(const Hear& hear) {
  std::size_t at = 0;
  constexpr std::uint64_t most_bytes = std::uint64_t{1} << 47U;  // no process has more
  FrameHead head{.kind = FrameKind::value};
  for (;;) {
    const std::size_t there = in.size() - at;
    if (there < sizeof head) break;
    std::memcpy(&head, in.data() + at, sizeof head);
    if (head.mark != FrameHead::our_mark || head.kind > last_frame_kind || head.bytes > most_bytes) {
      throw CodecError("a worker process has sent what no worker sends: its task writes into descriptors of others, or has damaged memory");
    }
    missing = there - sizeof head < head.bytes ? static_cast<std::size_t>(head.bytes - (there - sizeof head)) : 0;
    if (missing != 0) break;
    Reader reader{in.data() + at + sizeof head, static_cast<std::size_t>(head.bytes)};
    hear(head, reader);
    at += sizeof head + static_cast<std::size_t>(head.bytes);
  }
  if (at == 0) return;
  std::memmove(in.data(), in.data() + at, in.size() - at);
  in.truncate(in.size() - at);
}

}  // namespace taskmgr::detail
