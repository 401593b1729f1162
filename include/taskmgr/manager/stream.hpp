// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Outcomes as they complete, of tasks that are pulled as places come free.

#include <cstddef>
#include <iterator>
#include <memory>
#include <utility>

#include "../core/outcome.hpp"
#include "../run/flow.hpp"

namespace taskmgr {

/// An input range of outcomes, walked once. To leave it, by a `break` or by its destruction, cancels what has not begun and
/// waits for the attempts that run.
///
///     for (auto&& outcome : manager.stream(Naturals{})) {
///       if (outcome.state() == State::succeeded && found(outcome.value())) break;
///     }
///
/// An outcome may be copied or moved out, and then owns what it shows. `++` works on tasks while nothing is done. Where the
/// source throws, the outcomes of what was taken come first, then `++` throws; so does what an observer threw.
/// It must not outlive its manager. Thread safety: one thread at a time walks it.
template <class Task, class R>
class [[nodiscard]] Stream {
 public:
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using iterator_category = std::input_iterator_tag;
    using value_type = Outcome<Task, R>;
    using difference_type = std::ptrdiff_t;
    using reference = value_type&;
    using pointer = value_type*;

    explicit iterator(detail::AnyFlow<Task, R>* flow) : flow_(flow) { ++*this; }
    iterator(iterator&&) noexcept = default;
    iterator& operator=(iterator&&) noexcept = default;

    [[nodiscard]] reference operator*() const noexcept { return *outcome_; }
    [[nodiscard]] pointer operator->() const noexcept { return outcome_; }
    iterator& operator++() {
      outcome_ = nullptr;  // the end, if this throws
      outcome_ = flow_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    [[nodiscard]] bool operator==(std::default_sentinel_t) const noexcept { return outcome_ == nullptr; }

   private:
    detail::AnyFlow<Task, R>* flow_;
    value_type* outcome_ = nullptr;
  };

  explicit Stream(std::unique_ptr<detail::AnyFlow<Task, R>> flow) noexcept : flow_(std::move(flow)) {}

  /// Pulls the first tasks, and waits for the first outcome. Once.
  [[nodiscard]] iterator begin() { return iterator{flow_.get()}; }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return std::default_sentinel; }

 private:
  std::unique_ptr<detail::AnyFlow<Task, R>> flow_;
};

}  // namespace taskmgr
