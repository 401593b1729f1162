// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A stage that runs at the same time as its neighbours: a flow from a feed to a channel.

#include <cstddef>
#include <exception>
#include <limits>
#include <utility>

#include "../core/outcome.hpp"
#include "../run/flow.hpp"
#include "channel.hpp"
#include "feed.hpp"
#include "stage_run.hpp"

namespace taskmgr::detail {

template <class F, class T, class R>
class PipelinedStage final : public StageRun<F, T, R> {
  using Base = StageRun<F, T, R>;

 public:
  PipelinedStage(ManagerState<F>& manager, StagePlace place, const TreeTerms& terms)
      : Base(manager, std::move(place), terms),
        feed_(terms.options.capacity != 0 ? terms.options.capacity : usual_capacity, this->shares_, this->ledger_, this->place_),
        flow_(this->terms(everything, 0, terms.began), this->function_, this->workshop_, feed_, {.window = window_of(terms.options)}) {
    if (this->trace_ != nullptr) feed_.trace(*this->trace_);
  }

  void begin_with(void* initial) noexcept override { feed_.begin_with(*static_cast<Initial<T>*>(initial)); }
  void nudge() noexcept override { flow_.nudge(); }
  void lead_to(AnyStageRun& next) noexcept override {
    next_ = static_cast<Channel<R>*>(next.input(job_of<&PipelinedStage::nudge>(*this)));
  }
  [[nodiscard]] void* input(Job putter) noexcept override {
    feed_.channel().connect(putter, job_of<&PipelinedStage::nudge>(*this));
    return &feed_.channel();
  }

  void take_all() noexcept override {
    feed_.channel().open_wide();
    if (this->results_ != nullptr) this->results_->open_wide();
  }
  void drive() noexcept override;
  void halt() noexcept override { flow_.halt(); }
  [[nodiscard]] Progress progress() const noexcept override { return flow_.progress(); }

 private:
  static constexpr std::size_t everything = std::numeric_limits<std::size_t>::max();
  /// Results that may wait between two stages, if nobody says.
  static constexpr std::size_t usual_capacity = 1024;
  /// Of those that are done, so many go on together at most.
  static constexpr std::size_t together = 256;

  /// A stage that may have little before it takes no more than its workers are at.
  [[nodiscard]] std::size_t window_of(const TreeOptions& tree) const noexcept {
    return tree.capacity != 0 ? worker_count(this->options_) : 0;
  }

  void pass(Outcome<T, R>& outcome) noexcept;
  [[nodiscard]] bool keeps_back() const noexcept;
  [[nodiscard]] bool keeps_enough() const noexcept;
  void hand_on() noexcept;

  Feed<T> feed_;
  Flow<F, T, R, Feed<T>&> flow_;
  Channel<R>* next_ = nullptr;
  List<Item<R>> made_;  // to be handed on
};

// ---------------------------------------------------------------------------------------------------------------------

template <class F, class T, class R>
void PipelinedStage<F, T, R>::drive() noexcept {
  try {
    while (!flow_.is_over()) {
      if (Outcome<T, R>* const outcome = flow_.next_now()) {
        pass(*outcome);
        if (keeps_enough()) hand_on();
      } else if (keeps_back()) {
        hand_on();
      } else if (!flow_.is_over()) {
        flow_.get_on();
      }
    }
  } catch (...) {
    this->thrown_.keep(std::current_exception());
  }
  hand_on();
  if (!feed_.ended()) this->halt_();  // what is left will not be taken any more, and nothing should wait for that
  feed_.channel().open_wide();
  if (next_ != nullptr) next_->close();
  if (this->results_ != nullptr) this->results_->no_more();
}

template <class F, class T, class R>
bool PipelinedStage<F, T, R>::keeps_back() const noexcept {
  return this->results_ != nullptr ? this->results_->keeps_back() : !made_.empty();
}

/// What is kept here waits as well, and counts towards what may wait.
template <class F, class T, class R>
bool PipelinedStage<F, T, R>::keeps_enough() const noexcept {
  if (this->results_ != nullptr) return this->results_->keeps_enough();
  return made_.size() >= together || (!made_.empty() && made_.size() >= next_->room());
}

/// What a task of this stage has come to.
template <class F, class T, class R>
void PipelinedStage<F, T, R>::pass(Outcome<T, R>& outcome) noexcept {
  const std::size_t origin = flow_.current();
  this->note_duration(origin, outcome.duration());
  switch (outcome.state()) {
    case State::succeeded:
      try {
        if (this->results_ != nullptr) this->results_->succeed(origin, outcome.take(), outcome.attempts());
        else made_.push_back({origin, Parcel<R>(outcome.take())});
      } catch (...) {
        fail_by_exception(this->ledger_, origin, outcome.attempts(), this->place_);
      }
      return;
    case State::failed: return this->ledger_.fail(origin, outcome.error(), this->place_.name, this->place_.index);
    default: return this->ledger_.cancel(origin, outcome.attempts());
  }
}

/// Waits where the next stage has no room, and has this one's workers go on meanwhile.
template <class F, class T, class R>
void PipelinedStage<F, T, R>::hand_on() noexcept {
  if (this->results_ != nullptr) {
    this->results_->hand_on();
    const auto goes_on = [this] { return this->results_->has_room() || flow_.stopping(); };
    while (!goes_on()) flow_.get_on(goes_on);
    return;
  }
  std::size_t first = 0;
  while (first != made_.size() && !flow_.stopping()) {
    try {
      first += next_->put(made_, first);
    } catch (...) {
      this->thrown_.keep(std::current_exception());
      this->halt_();
    }
    if (first != made_.size()) flow_.get_on([this] { return next_->has_room() || flow_.stopping(); });
  }
  for (; first != made_.size(); ++first) this->ledger_.cancel(made_[first].origin, 1);
  made_.clear();
}

}  // namespace taskmgr::detail
