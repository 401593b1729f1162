// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a run and its worker processes say to each other: orders one way, frames the other, and a page that both see.
///
/// The run sends a worker *orders*, of some *errands* each: attempts at tasks. The worker takes one errand after the other
/// and answers with *frames*: what came of each, and at last that the order is done. Until the worker has taken an errand,
/// the run may take it back.

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <limits>
#include <string>
#include <utility>

#include "../core/error.hpp"
#include "child.hpp"
#include "crew.hpp"
#include "descriptor.hpp"
#include "forks.hpp"
#include "share.hpp"
#include "supply.hpp"
#include "wire.hpp"

namespace taskmgr::detail {

/// Before an order: how long it is, and where its first errand stands among all that this worker was ever sent.
struct OrderHead {
  std::uint64_t bytes;
  std::uint64_t first;
  std::uint32_t count;
  std::uint32_t lane;
};

/// Before each errand of an order: then as many bytes of what the worker has not inherited. One that has inherited all gets
/// errands with successive ids under one head.
struct ErrandHead {
  std::uint64_t id;
  std::uint64_t bytes;
  std::int32_t attempt;
  std::uint32_t count = 1;
};

enum class FrameKind : std::uint32_t {
  started,         ///< of the next errand; sent if somebody wants to be told; `took` is the time, by the steady clock
  value,           ///< the errand's result
  values,          ///< the results of the next errands
  parts,           ///< how many elements the errand's result has; they follow
  part,            ///< some of them
  all_parts,       ///< these were all
  retry,           ///< why it has none, and that it may be tried again
  no_retry,        ///< why it has none, and that it may not
  said,            ///< a line for the log
  progress,        ///< how far the task is
  order_done,      ///< each errand of the order that was not taken back has its answer; `took` is of all together
  cannot_start     ///< `on_worker_start` threw this
};
inline constexpr FrameKind last_frame_kind = FrameKind::cannot_start;

/// Before each frame's bytes. A task may write into any descriptor: what does not begin with the mark is none of ours.
struct FrameHead {
  static constexpr std::uint32_t our_mark = 0x7A5C91E3;
  std::uint32_t mark = our_mark;
  FrameKind kind;
  std::uint64_t bytes = 0;
  std::int64_t took = 0;  // ns
  std::uint64_t number = 0;  // of values: how many; of a line for the log: its level
};

/// A frame that is being written at the end of a buffer; unless it is finished, nothing of it stays there.
class Frame {
 public:
  Frame(ByteBuffer& buffer, FrameKind kind) : buffer_(buffer), at_(buffer.size()), head_{.kind = kind} {
    buffer.append(&head_, sizeof head_);
  }
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;
  ~Frame() {
    if (!finished_) buffer_.truncate(at_);
  }

  void finish(std::chrono::nanoseconds took = {}, Level level = Level::debug) noexcept {
    head_.bytes = buffer_.size() - at_ - sizeof head_;
    head_.took = took.count();
    head_.number = static_cast<std::uint64_t>(level);
    std::memcpy(buffer_.data() + at_, &head_, sizeof head_);
    finished_ = true;
  }

 private:
  ByteBuffer& buffer_;
  std::size_t at_;
  FrameHead head_;
  bool finished_ = false;
};

/// Throws `CodecError`: what a worker has sent is not for its orders.
[[noreturn]] inline void fail_answer(const char* what) {
  throw CodecError(std::string("a worker process has ") + what + ": its memory is damaged");
}

/// Orders that a worker may have at a time: while it is at one, the next is there already.
inline constexpr std::size_t lanes = 2;

/// What a worker and the run see at the same time. Nothing in it is a lock: each may die at any moment.
struct alignas(64) WorkerPage {
  using Flag = std::uint8_t;  // no bool, which may not be read where a task has written something else
  std::atomic<std::uint64_t> running{0};  // the errand that runs, by its place from 1; 0: none
  std::atomic<Flag> begun{0};             // an errand since the worker's birth
  std::atomic<std::int64_t> since{0};     // when `running` began, ns; only with a timeout, or if attempts are measured
  std::atomic<std::uint32_t> stop{0};     // set by the run: tasks are to end; a futex
  std::atomic<Flag> ready{0};             // what the host asks of a worker at its start is done
  std::atomic<Flag> closed{0};            // set by the run: no errand is to be begun
  Share lanes[detail::lanes];             // what is left of each order: put and taken back by the run, taken by the worker

  /// Tasks see it, and those who wait for it wake up.
  void ask_to_stop() noexcept {
    stop.store(1, std::memory_order_release);
    ::syscall(SYS_futex, &stop, FUTEX_WAKE, std::numeric_limits<int>::max(), nullptr, nullptr, 0);
  }

  /// For the next process; nobody else looks.
  void forget() noexcept {
    stop.store(0, std::memory_order_relaxed);
    closed.store(0, std::memory_order_relaxed);
    running.store(0, std::memory_order_relaxed);
    begun.store(0, std::memory_order_relaxed);
    ready.store(0, std::memory_order_relaxed);
  }
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::int64_t>::is_always_lock_free);

/// The frames that a worker has not written yet.
class Answers : public ByteBuffer {
 public:
  Answers(int frames, WorkerPage& page) : frames_(frames), page_(page) {}

  /// One more result, in the same frame as those before it if nothing else came since.
  void add_value(const void* data, std::size_t size) {
    if (end_ != this->size() || end_ == 0) {
      at_ = this->size();
      values_ = 0;
      const FrameHead head{.kind = FrameKind::values};
      append(&head, sizeof head);
    }
    append(data, size);
    end_ = this->size();
    ++values_;
    const std::uint64_t bytes = end_ - at_ - sizeof(FrameHead);
    std::memcpy(this->data() + at_ + offsetof(FrameHead, bytes), &bytes, sizeof bytes);
    std::memcpy(this->data() + at_ + offsetof(FrameHead, number), &values_, sizeof values_);
  }

  /// When the errand began: for the run as well, so that both know the same deadline. Only with a timeout, or if attempts are measured.
  [[nodiscard]] Clock::time_point began() const noexcept {
    return Clock::time_point{std::chrono::nanoseconds{page_.since.load(std::memory_order_relaxed)}};
  }

  /// Ends a copy of the worker: a task has forked itself, and that child has come back from the function. It would go on with
  /// the tasks behind it, and say what came of them in between what the worker says.
  void end_copy() const noexcept {
    if (Forks::count() != process_) ::_exit(0);
  }

  /// The elements of a large result, from where they lie. The errand has ended: however long the run takes to read them, it
  /// is not to blame.
  void write_parts(const void* data, std::size_t count, std::size_t size);

  /// Writes all, and ends the process if nobody is there to read it. What the tasks have printed goes before: the run does not
  /// wait, nor run again, whose answer it has.
  void flush() noexcept {
    flush_output();
    write_now(data(), this->size());
    clear();
    end_ = 0;
  }

 private:
  void write_now(const std::byte* at, std::size_t left) const noexcept;
  void lend_now(const std::byte* at, std::size_t left) const noexcept;

  const int frames_;
  const std::uint64_t process_ = Forks::count();
  WorkerPage& page_;
  // of the last frame of values
  std::size_t at_ = 0;
  std::size_t end_ = 0;  // 0: there is none
  std::uint64_t values_ = 0;
};

/// Bytes: a result that is larger crosses in parts of about this size, each of which the run can copy to its place while the
/// processor's cache still has it.
inline constexpr std::size_t part_size = 1U << 18U;

/// Pages in memory that is shared with children forked later.
class WorkerPages {
 public:
  /// Throws `std::system_error`.
  explicit WorkerPages(std::size_t count) : count_(count) {
    void* const memory =
        ::mmap(nullptr, count * sizeof(WorkerPage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw_errno("share memory with worker processes");
    pages_ = ::new (memory) WorkerPage[count];
  }
  WorkerPages(const WorkerPages&) = delete;
  WorkerPages& operator=(const WorkerPages&) = delete;
  ~WorkerPages() { ::munmap(pages_, count_ * sizeof(WorkerPage)); }

  [[nodiscard]] WorkerPage& operator[](std::size_t k) noexcept { return pages_[k]; }

 private:
  WorkerPage* pages_;
  std::size_t count_;
};

/// What a run is for those who have it worked at by other processes; see process.hpp and worker.hpp.
class Remote : public Supply {
 public:
  // --- here: by the one thread that drives the workers

  /// Writes what a worker has not inherited of a task.
  virtual void write_task(std::size_t id, Writer& writer) = 0;
  /// The attempt was begun, `at` that time if the worker has said so, else about now.
  virtual void announce(const Errand& errand, Clock::time_point at, Seat& seat) noexcept = 0;
  /// What the worker answered: a value, or why there is none. Says whether the task has its outcome now.
  [[nodiscard]] virtual bool answered(const Errand& errand, FrameKind kind, std::chrono::nanoseconds took, Reader& reader,
                                      Seat& seat) noexcept = 0;
  /// The worker answered `count` errands with values, and these tasks have their outcomes now; those that were not announced
  /// are counted as begun. Throws `CodecError`, and has then done nothing.
  virtual void answered_all(const Errand* errands, std::size_t count, Reader& reader, Seat& seat) = 0;
  /// There will be no answer. Says whether the task has its outcome now.
  [[nodiscard]] virtual bool lost(const Errand& errand, TaskError::Kind kind, std::exception_ptr why,
                                  std::chrono::nanoseconds took, Seat& seat) noexcept = 0;
  /// What the task says meanwhile, or a part of its result. Throws `CodecError`.
  virtual void said(const Errand& errand, const FrameHead& head, Reader& reader, Seat& seat) = 0;
  /// There is nobody to make the attempt, nor any other at this task.
  virtual void given_up(const Errand& errand, const std::exception_ptr& why, Seat& seat) noexcept = 0;
  // --- there: in a worker

  /// An answer is asked for as soon as there is one: it must not wait for the errand behind it.
  [[nodiscard]] virtual bool is_in_haste() const noexcept = 0;
  /// Makes an attempt and appends a frame with its result, or with what it threw. Throws `std::bad_alloc`.
  virtual void perform(std::size_t id, int attempt, Reader& task, Answers& answers, Seat& seat) = 0;

 protected:
  ~Remote() = default;
};

// ---------------------------------------------------------------------------------------------------------------------

inline void Answers::write_parts(const void* data, std::size_t count, std::size_t size) {
  end_copy();
  page_.running.store(0, std::memory_order_release);
  {
    Frame frame{*this, FrameKind::parts};
    Writer{*this}.write_size(count);
    frame.finish();
  }
  // What was lent has been read once as much was written behind it as the pipe can hold.
  const int held = ::fcntl(frames_, F_GETPIPE_SZ);
  const std::size_t written = held > 0 ? static_cast<std::size_t>(held) : std::numeric_limits<std::size_t>::max();
  const std::byte* at = static_cast<const std::byte*>(data);
  for (std::size_t left = count * size; left != 0;) {
    const FrameHead head{.kind = FrameKind::part, .bytes = std::min(left, std::max(part_size / size, std::size_t{1}) * size)};
    append(&head, sizeof head);
    flush();
    left -= head.bytes;
    if (left >= written) lend_now(at, head.bytes);
    else write_now(at, head.bytes);
    at += head.bytes;
  }
}

inline void Answers::write_now(const std::byte* at, std::size_t left) const noexcept {
  end_copy();
  while (left != 0) {
    const ssize_t put = uninterrupted([&] { return ::write(frames_, at, left); });
    if (put < 0) ::_exit(1);  // nobody is there to read it
    at += put;
    left -= static_cast<std::size_t>(put);
  }
}

/// Has the run read these bytes from where they lie, instead of from a copy: they must stay, unchanged, until it has.
inline void Answers::lend_now(const std::byte* at, std::size_t left) const noexcept {
  while (left != 0) {
    const iovec lent{const_cast<std::byte*>(at), left};
    const ssize_t put = uninterrupted([&] { return ::vmsplice(frames_, &lent, 1, 0); });
    if (put < 0) return write_now(at, left);  // not here, or not this memory
    at += put;
    left -= static_cast<std::size_t>(put);
  }
}

}  // namespace taskmgr::detail
