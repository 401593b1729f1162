// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A stage that runs at the same time as its neighbours: a flow from a feed to a channel.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <type_traits>
#include <utility>

#include "../core/outcome.hpp"
#include "../run/flow.hpp"
#include "../run/serial_flow.hpp"
#include "channel.hpp"
#include "feed.hpp"
#include "stage_run.hpp"

namespace taskmgr::detail {

/// Makes results of initial tasks where their report has them.
template <class R>
struct InSlots {
  const SlotsAt<R> slots;
  [[nodiscard]] std::size_t room() const noexcept { return static_cast<std::size_t>(-1); }
  template <class Make>
  void put(std::size_t origin, const Make& make) const {
    slots[origin].succeed(1, make);
  }
};

/// `Way` is a `Flow`, or for serial mode a `SerialFlow`.
template <class F, class T, class R, class Way, bool in_chain>
class PipelinedStage final : public StageRun<F, T, R> {
  using Base = StageRun<F, T, R>;

 public:
  PipelinedStage(ManagerState<F>& manager, StagePlace place, const TreeTerms& terms)
      : Base(manager, std::move(place), terms),
        adapts_(terms.options.capacity == 0),
        feed_(adapts_ ? least : terms.options.capacity, this->shares_, this->ledger_, this->place_),
        way_(way(terms)) {
    if (this->trace_ != nullptr) feed_.trace(*this->trace_);
  }

  void begin_with(void* initial) noexcept override { feed_.begin_with(*static_cast<Initial<T>*>(initial)); }
  void nudge() noexcept override { way_.nudge(); }
  void lead_to(AnyStageRun& next) noexcept override {
    next_ = static_cast<Channel<R>*>(next.input(job_of<&PipelinedStage::nudge>(*this)));
  }
  [[nodiscard]] void* input(Job putter) noexcept override {
    feed_.channel().connect(putter, job_of<&PipelinedStage::nudge>(*this), in_series);
    return &feed_.channel();
  }

  void take_all() noexcept override {
    feed_.channel().open_wide();
    if (this->results_ != nullptr) this->results_->open_wide();
  }
  void drive() noexcept override;
  [[nodiscard]] bool looks() const noexcept override { return in_series; }
  void halt() noexcept override { way_.halt(); }
  [[nodiscard]] Progress progress() const noexcept override { return way_.progress(); }

 private:
  static constexpr bool in_series = std::is_same_v<Way, SerialFlow<F, T, R, Feed<T>>>;

  /// Results that may wait between two stages, if nobody says: what is made in `supply`, within these bounds. What takes long
  /// to make may be large. Where stages outnumber processors, so much bridges the time that one of them has none.
  static constexpr std::size_t least = 1024;
  static constexpr std::size_t most = 16384;
  static constexpr std::int64_t supply = 30'000'000;  // ns
  /// Of those that are done, so many go on before the next stage is told.
  static constexpr std::size_t together = 256;

  [[nodiscard]] Way way(const TreeTerms& tree) {
    auto terms = this->terms(most_places, 0, tree.began);
    if constexpr (in_series) {
      return Way{std::move(terms), this->function_, feed_};
    } else {  // a stage that may have little before it takes no more than its workers are at
      const std::size_t window = tree.options.capacity != 0 ? worker_count(this->options_) : 0;
      return Way{std::move(terms), this->function_, this->workshop_, feed_, {.window = window}};
    }
  }

  [[nodiscard]] Outcome<T, R>* next_now();
  void tell() noexcept;
  void pass(Outcome<T, R>& outcome) noexcept;
  void hand_on(std::size_t origin, Outcome<T, R>& outcome);
  void hand_on_results() noexcept;

  const bool adapts_;
  Feed<T> feed_;
  Way way_;
  Channel<R>* next_ = nullptr;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class F, class T, class R, class Way, bool in_chain>
void PipelinedStage<F, T, R, Way, in_chain>::drive() noexcept {
  try {
    while (!way_.is_over()) {
      if (Outcome<T, R>* const outcome = next_now()) {
        pass(*outcome);
        if (this->results_ != nullptr && this->results_->keeps_enough(in_series)) hand_on_results();
      } else if (this->results_ != nullptr && this->results_->keeps_back()) {
        hand_on_results();
      } else if (!way_.is_over()) {
        if (next_ != nullptr) tell();
        way_.get_on();
      }
    }
  } catch (...) {
    this->thrown_.keep(std::current_exception());
  }
  if (!feed_.ended()) this->halt_();  // what is left will not be taken any more, and nothing should wait for that
  feed_.channel().open_wide();
  if (next_ != nullptr) next_->close();
  if (this->results_ != nullptr) this->results_->no_more();
}

/// An outcome that is to be looked at, if there is one now. Tasks of a chain of which nothing needs to be known go on from here.
template <class F, class T, class R, class Way, bool in_chain>
Outcome<T, R>* PipelinedStage<F, T, R, Way, in_chain>::next_now() {
  if constexpr (in_series && in_chain) {
    if (way_.can_run_on()) {
      Outcome<T, R>* outcome = nullptr;
      if (next_ != nullptr) {
        outcome = way_.run_on([this] { return typename Channel<R>::Putting{*next_}; });
      } else if (const SlotsAt<R> slots = this->results_->slots()) {
        outcome = way_.run_on([slots] { return InSlots<R>{slots}; });
      }
      if (outcome != nullptr) return outcome;
    }
  }
  return way_.next_now();
}

/// The next stage, of what was handed on.
template <class F, class T, class R, class Way, bool in_chain>
void PipelinedStage<F, T, R, Way, in_chain>::tell() noexcept {
  next_->announce();
  const std::int64_t per_task = way_.per_task();
  if (adapts_ && per_task >= 0) {
    next_->set_capacity(static_cast<std::size_t>(std::clamp<std::int64_t>(supply / std::max<std::int64_t>(per_task, 1), least, most)));
  }
}

/// What a task of this stage has come to.
template <class F, class T, class R, class Way, bool in_chain>
void PipelinedStage<F, T, R, Way, in_chain>::pass(Outcome<T, R>& outcome) noexcept {
  const std::size_t origin = way_.current();
  this->note_duration(origin, outcome.duration());
  switch (outcome.state()) {
    case State::succeeded:
      try {
        if (this->results_ != nullptr) this->results_->succeed(origin, outcome.take(), outcome.attempts());
        else hand_on(origin, outcome);
      } catch (...) {
        fail_by_exception(this->ledger_, origin, outcome.attempts(), this->place_);
      }
      return;
    case State::failed: return this->ledger_.fail(origin, outcome.error(), this->place_.name, this->place_.index);
    default: return this->ledger_.cancel(origin, outcome.attempts());
  }
}

/// Waits where the next stage has no room, and has this one's workers go on meanwhile.
template <class F, class T, class R, class Way, bool in_chain>
void PipelinedStage<F, T, R, Way, in_chain>::hand_on(std::size_t origin, Outcome<T, R>& outcome) {
  while (!way_.stopping() && !next_->has_room()) {
    next_->announce();
    way_.get_on([this] { return next_->has_room() || way_.stopping(); });
  }
  if (way_.stopping()) return this->ledger_.cancel(origin, outcome.attempts());
  next_->put(origin, [&] { return outcome.take(); });
  // a task that is run by `next_now` may last, and who takes is not to wait for that
  if (in_series ? !next_->taker_looks() : next_->untold() >= together) next_->announce();
}

/// The same, where results do not go into a channel.
template <class F, class T, class R, class Way, bool in_chain>
void PipelinedStage<F, T, R, Way, in_chain>::hand_on_results() noexcept {
  this->results_->hand_on();
  const auto goes_on = [this] { return this->results_->has_room() || way_.stopping(); };
  while (!goes_on()) way_.get_on(goes_on);
}

}  // namespace taskmgr::detail
