// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What a task can know and say about its own run.

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stop_token>
#include <string_view>
#include <utility>

#include "event.hpp"

namespace taskmgr {

class Context;

namespace detail {

/// Takes what a task says; implemented by whoever runs it.
class Ear {
 public:
  virtual void heard_progress(const Context& from, double done, double total) = 0;
  virtual void heard_log(const Context& from, Level level, std::string_view message) = 0;
  [[nodiscard]] virtual bool listens(EventKind kind) const noexcept = 0;
  /// Somebody looks at the stop token, which must follow the stop flag from now on.
  virtual void token_wanted() {}

 protected:
  ~Ear() = default;
};

struct ContextAccess;

}  // namespace detail

/// A task's view of its attempt: the first parameter of the manager's function, if that wants one.
///
///     TaskManager download{[](taskmgr::Context& context, const Url& url) {
///       while (more()) {
///         if (context.stop_requested()) throw taskmgr::Cancelled{};
///         context.progress(received, size);
///       }
///     }};
///
/// Valid until the function returns. Thread safety: one attempt has one Context; its stop token may go to other threads.
class Context {
 public:
  /// A context of no run: attempt 1 of task 0 on worker 0, which nobody stops and nobody listens to. For tests of a task.
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  /// From 1.
  [[nodiscard]] int attempt() const noexcept { return attempt_; }

  /// The index of the task in the source.
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

  /// In [0, workers): no two attempts that run at the same time share it.
  [[nodiscard]] std::size_t worker() const noexcept { return worker_; }

  /// Stops when the run is cancelled and at the attempt's deadline.
  [[nodiscard]] std::stop_token stop_token() const {
    if (stop_flag_ != nullptr) ear_->token_wanted();
    return stop_;
  }

  [[nodiscard]] bool stop_requested() const noexcept {
    return stop_.stop_requested() || (stop_flag_ != nullptr && stop_flag_->load(std::memory_order_relaxed) != 0) ||
           (has_deadline_ && std::chrono::steady_clock::now() >= deadline_);
  }

  /// Tells the observers that this task has done `done` of `total`, in whatever unit.
  void progress(double done, double total) {
    if (ear_ != nullptr && ear_->listens(EventKind::task_progress)) ear_->heard_progress(*this, done, total);
  }

  /// Tells the observers a line; formatted only if one of them wants it.
  template <class... Args>
  void log(Level level, fmt::format_string<Args...> format, Args&&... args) {
    if (ear_ == nullptr || !ear_->listens(EventKind::task_log)) return;
    // into a string, by what fmt's library has compiled: to write elsewhere compiles it again here, which takes a second
    ear_->heard_log(*this, level, fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  friend struct detail::ContextAccess;

  std::uint64_t number_ = 0;
  std::size_t worker_ = 0;
  detail::Ear* ear_ = nullptr;
  const void* subject_ = nullptr;
  std::stop_token stop_{};
  const std::atomic<std::uint32_t>* stop_flag_ = nullptr;  // of a worker process, set by its run
  std::chrono::steady_clock::time_point deadline_{};
  int attempt_ = 1;
  bool has_deadline_ = false;
};

namespace detail {

/// How the run fills a Context in.
struct ContextAccess {
  static void bind(Context& context, std::size_t worker, Ear* ear, std::stop_token stop) noexcept {
    context.worker_ = worker;
    context.ear_ = ear;
    context.stop_ = std::move(stop);
  }
  static void task(Context& context, std::uint64_t number, int attempt, const void* subject) noexcept {
    context.number_ = number;
    context.attempt_ = attempt;
    context.subject_ = subject;
  }
  static void deadline(Context& context, std::chrono::steady_clock::time_point deadline, std::stop_token stop) noexcept {
    context.deadline_ = deadline;
    context.has_deadline_ = true;
    context.stop_ = std::move(stop);
  }
  static void stop_flag(Context& context, const std::atomic<std::uint32_t>* flag) noexcept { context.stop_flag_ = flag; }
  static void deadline(Context& context, std::chrono::steady_clock::time_point deadline) noexcept {
    context.deadline_ = deadline;
    context.has_deadline_ = true;
  }
  static const void* subject(const Context& context) noexcept { return context.subject_; }
};

}  // namespace detail

}  // namespace taskmgr
