// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Watches how many attempts run at a time, and on which workers.

#include <taskmgr/core/context.hpp>

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <vector>

namespace support {

/// Thread-safe.
class Crowd {
 public:
  /// An attempt stays in the crowd as long as this lives.
  class Stay {
   public:
    Stay(Crowd& crowd, std::size_t worker) : crowd_(crowd), worker_(worker) { crowd_.come(worker_); }
    Stay(const Stay&) = delete;
    Stay& operator=(const Stay&) = delete;
    ~Stay() { crowd_.go(worker_); }

   private:
    Crowd& crowd_;
    std::size_t worker_;
  };

  [[nodiscard]] Stay enter(const taskmgr::Context& context) { return {*this, context.worker()}; }

  /// At one time.
  [[nodiscard]] std::size_t most() const {
    const std::scoped_lock lock(mutex_);
    return most_;
  }
  /// Each worker had a number below `workers`, and never two attempts at a time.
  [[nodiscard]] bool fits(std::size_t workers) const {
    const std::scoped_lock lock(mutex_);
    return !shared_ && most_ <= workers && busy_.size() <= workers;
  }
  [[nodiscard]] std::size_t workers_seen() const {
    const std::scoped_lock lock(mutex_);
    return busy_.size() - static_cast<std::size_t>(std::count(seen_.begin(), seen_.end(), false));
  }

 private:
  void come(std::size_t worker) {
    const std::scoped_lock lock(mutex_);
    if (worker >= busy_.size()) {
      busy_.resize(worker + 1);
      seen_.resize(worker + 1);
    }
    shared_ = shared_ || busy_[worker];
    busy_[worker] = true;
    seen_[worker] = true;
    most_ = std::max(most_, ++now_);
  }
  void go(std::size_t worker) {
    const std::scoped_lock lock(mutex_);
    busy_[worker] = false;
    --now_;
  }

  mutable std::mutex mutex_;
  std::vector<bool> busy_;
  std::vector<bool> seen_;
  std::size_t now_ = 0;
  std::size_t most_ = 0;
  bool shared_ = false;
};

}  // namespace support
