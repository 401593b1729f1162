// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// An observer that keeps all it is told.

#include <taskmgr/core/error.hpp>
#include <taskmgr/core/event.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace support {

/// An event that outlives the call.
struct Heard {
  taskmgr::EventKind kind;
  std::string manager;
  std::uint64_t batch;
  std::uint64_t task;
  std::size_t worker;
  std::size_t workers;
  int attempt;
  std::chrono::steady_clock::time_point time;
  std::chrono::nanoseconds duration;
  std::chrono::nanoseconds delay;
  std::string error;  // its message
  double done;
  double of;
  taskmgr::Level level;
  std::string message;
  taskmgr::Progress progress;
  std::string text;
};

/// Calls `then`, which may throw, after each event. Read what it holds once the run has ended: calls do not overlap.
class Recorder : public taskmgr::Observer {
 public:
  using Kind = taskmgr::EventKind;
  using Then = std::function<void(const taskmgr::Event&)>;

  explicit Recorder(Then then = [](const taskmgr::Event&) {}) : then_(std::move(then)) {}

  void on_event(const taskmgr::Event& e) override {
    if (inside_.exchange(true)) overlapped_ = true;
    struct Leave {
      std::atomic<bool>& inside;
      ~Leave() { inside = false; }
    } leave{inside_};
    all_.push_back({e.kind, std::string(e.manager), e.batch, e.task, e.worker, e.workers, e.attempt, e.time, e.duration, e.delay,
                    e.error != nullptr ? e.error->message() : "", e.done, e.of, e.level, std::string(e.message), e.progress,
                    e.task_text()});
    then_(e);
  }

  [[nodiscard]] const std::vector<Heard>& all() const { return all_; }
  [[nodiscard]] bool overlapped() const { return overlapped_; }

  [[nodiscard]] std::vector<Heard> of(Kind kind) const {
    std::vector<Heard> some;
    for (const Heard& heard : all_) {
      if (heard.kind == kind) some.push_back(heard);
    }
    return some;
  }
  [[nodiscard]] std::size_t count(Kind kind) const { return of(kind).size(); }

  /// Of one task, the kinds in the order in which they came.
  [[nodiscard]] std::vector<Kind> story(std::uint64_t task) const {
    std::vector<Kind> kinds;
    for (const Heard& heard : all_) {
      if (heard.task == task && heard.kind != Kind::batch_started && heard.kind != Kind::batch_finished) {
        kinds.push_back(heard.kind);
      }
    }
    return kinds;
  }
  void clear() { all_.clear(); }

 private:
  Then then_;
  std::vector<Heard> all_;
  std::atomic<bool> inside_{false};
  std::atomic<bool> overlapped_{false};
};

}  // namespace support
