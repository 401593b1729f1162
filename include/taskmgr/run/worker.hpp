// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A worker process: takes orders from a socket, runs their errands, writes frames into a pipe.

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <exception>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

#include "child.hpp"
#include "errand.hpp"
#include "job.hpp"
#include "pace.hpp"
#include "remote_error.hpp"

namespace taskmgr::detail {

/// The life of a worker process, from its birth in a fork of the run until the run sends no more orders.
///
/// Answers are gathered for an order, or for as long as they are few, so that tiny tasks share a write; with a fixed chunk, so
/// many of them are written before the next task begins. Where somebody waits for each, each is written before the next task
/// begins: that may be one that lasts, or even waits for what becomes of the answer.
class WorkerProcess final : public Ear {
 public:
  WorkerProcess(Crew& crew, Remote& remote, Seat& seat, WorkerPage& page, const Options& options, int orders, int frames)
      : crew_(crew), remote_(remote), seat_(seat), page_(page), options_(options), orders_(orders), answers_(frames, page) {}

  /// Until there are no more orders, or nobody to send them.
  void live() noexcept;

  // `inline` already here: else every file that includes this header compiles the class, used or not
  inline void heard_progress(const Context& from, double done, double total) override;
  inline void heard_log(const Context& from, Level level, std::string_view message) override;
  [[nodiscard]] bool listens(EventKind kind) const noexcept override { return crew_.listens(kind); }
  inline void token_wanted() override;

 private:
  static constexpr std::size_t many_bytes = 1U << 16U;  // of answers, which are then written

  [[nodiscard]] bool get_ready() noexcept;
  [[nodiscard]] std::byte* room_for(const OrderHead& order);
  void begin(std::uint64_t place) noexcept;
  void carry_out(const OrderHead& order);
  [[nodiscard]] bool read_all(void* data, std::size_t size) noexcept;
  [[nodiscard]] bool is_time() noexcept;
  void watch_stop() noexcept;

  Crew& crew_;
  Remote& remote_;
  Seat& seat_;
  WorkerPage& page_;
  const Options& options_;
  const int orders_;
  ByteBuffer order_;
  Answers answers_;
  std::int64_t tick_ = 0;
  Pace pace_{0};
  std::stop_source stopper_;
  Thread watcher_;
};

// ---------------------------------------------------------------------------------------------------------------------

inline void WorkerProcess::live() noexcept {
  const bool stops = crew_.may_stop_attempts();
  ContextAccess::bind(seat_.context, seat_.number, this, stops ? stopper_.get_token() : std::stop_token{});
  if (stops) ContextAccess::stop_flag(seat_.context, &page_.stop);
  const pid_t parent = ::getppid();
  try {
    if (!get_ready()) return;
    die_with(parent);  // again: this may be a user with fewer rights by now
    page_.ready.store(1, std::memory_order_relaxed);
    OrderHead order;
    while (read_all(&order, sizeof order)) {
      order_.clear();
      std::byte* const room = room_for(order);
      if (!read_all(room, order.bytes)) return;
      carry_out(order);
    }
  } catch (...) {
    ::_exit(1);  // no memory for an answer: the run sees which
  }
}

/// If there is no memory for a large task, that task is to blame.
inline std::byte* WorkerProcess::room_for(const OrderHead& order) {
  try {
    return order_.extend(order.bytes);
  } catch (...) {
    if (order.count == 1 && !page_.lanes[order.lane].take(1).empty()) begin(order.first);
    throw;
  }
}

/// From now on this errand is to blame for what happens.
inline void WorkerProcess::begin(std::uint64_t place) noexcept {
  if (options_.timeout.count() != 0 || crew_.measures()) {
    page_.since.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
  }
  page_.running.store(place + 1, std::memory_order_release);
  page_.begun.store(1, std::memory_order_relaxed);
}

inline bool WorkerProcess::get_ready() noexcept {
  if (!options_.on_worker_start) return true;
  try {
    options_.on_worker_start(seat_.number);
    return true;
  } catch (...) {
    Frame frame{answers_, FrameKind::cannot_start};
    Writer writer{answers_};
    encode_error(writer, TaskError::Kind::exception, std::current_exception());
    frame.finish();
    answers_.flush();
    return false;
  }
}

inline void WorkerProcess::carry_out(const OrderHead& order) {
  const auto begun = Clock::now();
  auto since = begun;
  std::uint32_t measured = 0;  // errands before that
  const auto measure = [&](std::uint32_t done) {
    const auto now = Clock::now();
    if (done != measured) pace_.measured(done - measured, now - since);
    measured = done;
    since = now;
  };
  Share& share = page_.lanes[order.lane];
  Span taken;  // and not begun
  const bool tells = crew_.listens(EventKind::task_started);
  const bool at_once = remote_.is_in_haste();
  Reader reader{order_.data(), order_.size()};
  ErrandHead errand{0, 0, 0, 0};
  std::uint32_t k = 0;
  for (; k < order.count; ++k, ++errand.id, --errand.count) {
    if (errand.count == 0) reader.read(&errand, sizeof errand);
    Reader task{reader.skip(errand.bytes), errand.bytes};
    if (taken.empty()) taken = share.take(options_.chunk == 0 ? pace_.stride() : 1);
    if (taken.empty()) break;  // the rest was taken back
    if (page_.closed.load(std::memory_order_relaxed)) {
      share.put_back(taken);
      break;
    }
    ++taken.first;
    begin(order.first + k);
    if (tells) {
      Frame{answers_, FrameKind::started}.finish(Clock::now().time_since_epoch());
      answers_.flush();
    }
    remote_.perform(errand.id, errand.attempt, task, answers_, seat_);
    answers_.end_copy();
    page_.running.store(0, std::memory_order_release);
    const bool waited = is_time();
    if (waited) {  // the errand may have been a long one: others may have those behind it
      if (!taken.empty()) share.put_back(taken);
      taken = {};
      measure(k + 1);
    }
    if (waited || at_once || answers_.size() >= many_bytes || (options_.chunk != 0 && (k + 1) % options_.chunk == 0)) answers_.flush();
  }
  measure(k);
  Frame{answers_, FrameKind::order_done}.finish(since - begun);
  answers_.flush();
}

inline bool WorkerProcess::read_all(void* data, std::size_t size) noexcept {
  std::byte* at = static_cast<std::byte*>(data);
  while (size != 0) {
    const ssize_t got = uninterrupted([&] { return ::read(orders_, at, size); });
    if (got <= 0) return false;
    at += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

/// Once in some milliseconds, which the cheapest of clocks can tell.
inline bool WorkerProcess::is_time() noexcept {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const std::int64_t tick = std::int64_t{now.tv_sec} * 200 + now.tv_nsec / 5'000'000;
  return std::exchange(tick_, tick) != tick;
}

// What a task says is written at once, after the answers before it.

inline void WorkerProcess::heard_progress(const Context&, double done, double total) {
  Frame frame{answers_, FrameKind::progress};
  const double parts[] = {done, total};
  answers_.append(parts, sizeof parts);
  frame.finish();
  answers_.flush();
}

inline void WorkerProcess::heard_log(const Context&, Level level, std::string_view message) {
  Frame frame{answers_, FrameKind::said};
  answers_.append(message.data(), message.size());
  frame.finish({}, level);
  answers_.flush();
}

inline void WorkerProcess::token_wanted() {
  if (watcher_.joinable()) return;
  try {
    watcher_ = Thread{job_of<&WorkerProcess::watch_stop>(*this)};
  } catch (const std::exception&) {  // no thread: `stop_requested` still answers
  }
}

inline void WorkerProcess::watch_stop() noexcept {
  while (page_.stop.load(std::memory_order_acquire) == 0) {
    ::syscall(SYS_futex, &page_.stop, FUTEX_WAIT, 0, nullptr, nullptr, 0);
  }
  stopper_.request_stop();
}

}  // namespace taskmgr::detail
