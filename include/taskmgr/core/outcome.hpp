// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What became of one task.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <type_traits>
#include <utility>

#include "error.hpp"
#include "large.hpp"
#include "list.hpp"

namespace taskmgr {

enum class State : std::uint8_t { pending, running, succeeded, failed, cancelled };

namespace detail {

template <class R>
using Copier = R (*)(const R&);

/// A result, or the number of an error; a word that belongs to it says which.
template <class R>
union Cell {
  Cell() noexcept {}  // NOLINT: leaves everything as the memory was
  ~Cell() {}          // NOLINT: who has the word ends the result
  R value;
  std::uint32_t error;
};

/// The place of one outcome: state and attempts in one word, the result elsewhere. A handle, to be copied. Written by one
/// worker at a time, read by others once the run has handed it over.
template <class R>
class Slot {
 public:
  Slot(std::uint32_t& word, Cell<R>& cell) noexcept : word_(&word), cell_(&cell) {}

  [[nodiscard]] State state() const noexcept { return static_cast<State>(*word_ & 7U); }
  [[nodiscard]] int attempts() const noexcept { return static_cast<int>(*word_ >> 4U); }
  /// Several tasks have this result.
  [[nodiscard]] bool shared() const noexcept { return (*word_ & 8U) != 0; }
  [[nodiscard]] R& value() const noexcept { return cell_->value; }
  [[nodiscard]] std::uint32_t error() const noexcept { return cell_->error; }

  /// Makes the result in place, of what `make` returns; if that throws, the slot stays as it was.
  template <class Make>
  void succeed(int attempts, Make&& make) const {
    ::new (static_cast<void*>(std::addressof(value()))) R(make());
    mark(State::succeeded, attempts);
  }
  void fail(int attempts, std::uint32_t error) const noexcept {
    cell_->error = error;
    mark(State::failed, attempts);
  }
  void mark(State now, int attempts) const noexcept {
    constexpr int most = (1 << 28) - 1;  // what the word has room for; attempts beyond are not counted
    *word_ = static_cast<std::uint32_t>(attempts < most ? attempts : most) << 4U | static_cast<std::uint32_t>(now);
  }
  void mark_shared(bool shared) const noexcept { *word_ = (*word_ & ~8U) | (shared ? 8U : 0U); }

  /// Ends the value's life: an attempt had it too late.
  void discard() const noexcept {
    value().~R();
    mark(State::pending, attempts());
  }

 private:
  std::uint32_t* word_;
  Cell<R>* cell_;
};

}  // namespace detail

/// A light handle to what became of a task: into its report, or, if it came out of a stream, to a task of its own.
///
/// Copies show the same task and result. Thread safety: of any number of handles into one report, many may read at once;
/// `take()` is a write to that one task's result.
template <class Task, class R>
class Outcome {
 public:
  [[nodiscard]] const Task& task() const noexcept { return *task_; }
  [[nodiscard]] State state() const noexcept;

  /// How many attempts were begun; 0 for a task that was cancelled before its first.
  [[nodiscard]] int attempts() const noexcept;

  /// Of all attempts together; zero unless `Options::timings` or an observer of tasks had it measured.
  [[nodiscard]] std::chrono::nanoseconds duration() const noexcept { return duration_; }

  /// The result. Where there is none, rethrows the task's error, or throws `Cancelled`.
  [[nodiscard]] const R& value() const;

  /// Moves the result out; what stays behind is a moved-from value. Throws as `value()`. A result that several initial tasks
  /// of a tree have come to is copied instead; where it cannot be copied, this throws `UsageError`.
  [[nodiscard]] R take() const;

  /// Why the task failed. Throws `UsageError` if it did not.
  [[nodiscard]] const TaskError& error() const;

  /// For the library: of a task, its slot, its error if it failed, its duration, and who keeps them alive.
  /// `copy` makes a copy of a shared result, if that can be.
  Outcome(const Task& task, detail::Slot<R> slot, const TaskError* error, std::chrono::nanoseconds duration,
          std::shared_ptr<const void> owner = nullptr, detail::Copier<R> copy = nullptr) noexcept
      : task_(&task), slot_(slot), error_(error), duration_(duration), owner_(std::move(owner)), copy_(copy) {}

 private:
  const Task* task_;
  detail::Slot<R> slot_;
  const TaskError* error_;
  std::chrono::nanoseconds duration_;
  std::shared_ptr<const void> owner_;
  detail::Copier<R> copy_;
};

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

/// Where slots are: the words of all, and their results.
template <class R>
struct SlotsAt {
  std::uint32_t* words = nullptr;
  Cell<R>* cells = nullptr;
  [[nodiscard]] explicit operator bool() const noexcept { return words != nullptr; }
  [[nodiscard]] Slot<R> operator[](std::size_t k) const noexcept { return {words[k], cells[k]}; }
};

/// Places for outcomes, owned: the words of all in one piece of memory, their results in another, so that a search that needs
/// no words brings none into the caches. Room for `few` is inside; `make` makes another for more.
///
/// Of a trivially destructible result all is left as the memory was until its first write: a report of a million tasks is
/// not written twice.
template <class R, std::size_t few>
class Slots {
 public:
  Slots() noexcept {  // NOLINT: leaves as much as it can as the memory was
    if constexpr (!leaves_alone) {
      for (std::uint32_t& word : few_words_) word = 0;
    }
  }
  Slots(const Slots&) = delete;
  Slots& operator=(const Slots&) = delete;
  ~Slots() {
    if constexpr (!leaves_alone) {
      for (std::size_t k = 0; k < size_; ++k) {
        if ((*this)[k].state() == State::succeeded) (*this)[k].discard();
      }
    }
  }

  /// Before the first is used. Throws `std::bad_alloc`.
  void make(std::size_t size) {
    Array<std::uint32_t> words{leaves_alone ? new (large) std::uint32_t[size] : new (large) std::uint32_t[size]()};
    more_cells_ = Array<Cell<R>>(new (large) Cell<R>[size]);
    more_words_ = std::move(words);
    words_ = more_words_.get();
    cells_ = more_cells_.get();
    size_ = size;
  }

  [[nodiscard]] Slot<R> operator[](std::size_t k) const noexcept { return all()[k]; }
  /// They stay where they are until the end, unless `make` is called.
  [[nodiscard]] SlotsAt<R> all() const noexcept { return {words_, cells_}; }

 private:
  static constexpr bool leaves_alone = std::is_trivially_destructible_v<R>;

  std::uint32_t few_words_[few];
  Cell<R> few_cells_[few];  // no allocation in a small run
  Array<std::uint32_t> more_words_;
  Array<Cell<R>> more_cells_;
  std::uint32_t* words_ = few_words_;
  Cell<R>* cells_ = few_cells_;
  std::size_t size_ = few;
};

/// Stands for an error that there was no memory to keep. It is never ended: outcomes may show it after main.
[[nodiscard]] inline const TaskError& unrecorded_error() {
  static const TaskError& error = *new TaskError(TaskError::Kind::exception, std::make_exception_ptr(std::bad_alloc{}), 1);
  return error;
}

/// The errors of a run, found by number. Thread safety: any number of threads may call.
class ErrorList {
 public:
  /// Keeps an error and returns its number; if there is no memory for it, the number of an error that says so.
  [[nodiscard]] std::uint32_t add(TaskError::Kind kind, const std::exception_ptr& exception, int attempts) noexcept {
    return add([&] { return new TaskError(kind, exception, attempts); });
  }
  [[nodiscard]] std::uint32_t add(const TaskError& error, const std::string& stage, std::size_t stage_index) noexcept {
    return add([&] { return new TaskError(error.at_stage(stage, stage_index)); });
  }

  [[nodiscard]] const TaskError& operator[](std::uint32_t number) const {
    if (number == no_memory) return unrecorded_error();
    const std::scoped_lock lock(mutex_);
    return *errors_[number];
  }

 private:
  static constexpr std::uint32_t no_memory = std::numeric_limits<std::uint32_t>::max();

  template <class Make>
  [[nodiscard]] std::uint32_t add(const Make& make) noexcept {
    try {
      Owner<const TaskError> error{make()};
      const std::scoped_lock lock(mutex_);
      if (errors_.size() >= no_memory) return no_memory;
      errors_.push_back(std::move(error));
      return static_cast<std::uint32_t>(errors_.size() - 1);
    } catch (...) {
      return no_memory;
    }
  }

  mutable std::mutex mutex_;
  List<Owner<const TaskError>> errors_;
};

}  // namespace detail

template <class Task, class R>
State Outcome<Task, R>::state() const noexcept {
  return slot_.state();
}

template <class Task, class R>
int Outcome<Task, R>::attempts() const noexcept {
  return slot_.attempts();
}

template <class Task, class R>
const R& Outcome<Task, R>::value() const {
  if (error_ != nullptr) error_->rethrow();
  if (state() != State::succeeded) throw Cancelled{};
  return slot_.value();
}

template <class Task, class R>
R Outcome<Task, R>::take() const {
  static_assert(std::is_move_constructible_v<R>, "taskmgr: take() moves the result, which cannot be moved: look at value()");
  static_cast<void>(value());
  if (slot_.shared()) {
    if (copy_ != nullptr) return copy_(slot_.value());
    throw UsageError("taskmgr: take() of a result that several tasks of a tree share, or may still come to, and that cannot be "
                     "copied: look at value()");
  }
  return std::move(slot_.value());
}

template <class Task, class R>
const TaskError& Outcome<Task, R>::error() const {
  if (error_ == nullptr) {
    throw UsageError("taskmgr: error() of an outcome that has none: ask state() == State::failed first");
  }
  return *error_;
}

}  // namespace taskmgr
