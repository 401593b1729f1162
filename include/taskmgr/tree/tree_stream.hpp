// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A run of a tree over tasks that come one after the other: at most a window of them at a time is in it.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "../core/options.hpp"
#include "../core/outcome.hpp"
#include "../manager/state.hpp"
#include "../run/flow.hpp"
#include "ledger.hpp"
#include "stage.hpp"
#include "stage_run.hpp"
#include "tree_run.hpp"

namespace taskmgr::detail {

/// The run behind a stream of a tree. Whoever walks it pulls the initial tasks and hands them out; threads drive the stages.
/// Nothing is kept of what has been handed out, hence nothing is shared: each task goes its own way.
template <class In, class Out, class Tasks>
class TreeStreamed final : public AnyFlow<In, Out>, private AnyLedger, private Results<Out>, private Initial<In> {
 public:
  TreeStreamed(TreeState& tree, Tasks&& tasks, StreamOptions how, std::stop_token stop);
  ~TreeStreamed() override;

  [[nodiscard]] Outcome<In, Out>* next() override;

 private:
  using Tour = Passage<In, Out>;
  static constexpr std::size_t npos = HashIndex::npos;

  [[nodiscard]] static TreeOptions options_of(const TreeOptions& tree) {
    TreeOptions options = tree;
    if (options.mode == TreeMode::serial) options.mode = TreeMode::pipeline;  // there may be no end to wait for
    return options;
  }
  [[nodiscard]] std::size_t usual_window() const noexcept {
    std::size_t window = 1024;
    for (const auto& stage : stages_) window += 2 * worker_count(stage->options());
    return window;
  }

  // --- the thread that walks
  void begin();
  void pull();
  void pull_one();
  [[nodiscard]] std::size_t next_done();
  void wait() noexcept;
  void give_up_current() noexcept;
  void end();
  void cancel_left() noexcept;
  void request_stop() noexcept { stopper_.request_stop(); }
  void close_source() noexcept;

  // --- Ledger: the threads that drive stages
  void fail(std::size_t origin, const TaskError& error, const std::string& stage, std::size_t index) noexcept override;
  void cancel(std::size_t origin, int attempts) noexcept override {
    slot(origin).mark(State::cancelled, attempts);
    settled(origin);
  }
  void succeed(std::size_t origin, Out&& value, int attempts) override {
    slot(origin).succeed(attempts, [&]() -> Out { return std::move(value); });
    settled(origin);
  }
  void join(std::size_t, std::size_t) noexcept override {}
  void add_duration(std::size_t origin, std::chrono::nanoseconds duration) noexcept override {
    tours_[origin]->duration += duration;
  }
  [[nodiscard]] std::uint64_t number(std::size_t origin) const noexcept override { return tours_[origin]->number; }
  void settled(std::size_t origin) noexcept;
  void stages_ended() noexcept;
  void halt() noexcept { runs_.halt(); }

  // --- Initial: the thread that drives the first stage
  [[nodiscard]] const In& task(std::size_t origin) const noexcept override { return *tours_[origin]->task; }
  [[nodiscard]] Next peek() const noexcept override;
  [[nodiscard]] std::size_t take() noexcept override;

  [[nodiscard]] Slot<Out> slot(std::size_t origin) noexcept { return (*tours_[origin]->slot)[0]; }

  Running running_;
  const Stages stages_;
  const TreeOptions options_;
  RangeSource<Tasks, In> source_;
  const bool ordered_;
  const std::size_t window_;
  std::stop_source stopper_;
  std::vector<std::shared_ptr<Tour>> tours_;  // by origin; an entry changes only while its origin is free
  std::vector<std::size_t> free_;
  std::vector<std::size_t> harvest_;   // done, to be handed out from `reaped_` on
  std::size_t reaped_ = 0;
  std::deque<std::size_t> in_order_;   // by sequence, from the one to be handed out next; npos: not done yet
  std::uint64_t pulled_ = 0;
  std::uint64_t handed_out_ = 0;
  std::size_t current_origin_ = npos;
  std::optional<Outcome<In, Out>> current_;
  bool begun_ = false;
  bool over_ = false;  // nothing more is pulled
  bool ended_ = false;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Ring waiting_;                   // for the first stage
  std::vector<std::size_t> done_;  // to be handed out
  std::vector<bool> in_flight_;    // pulled and not settled
  bool closed_ = false;            // no more tasks come
  bool left_ = false;              // nobody drives any more

  FirstException thrown_;
  HaltCount halt_count_;
  StageRuns<AnyStageRun> runs_;
  OnStop with_outer_;  // last: it may call as soon as it stands
};

// ---------------------------------------------------------------------------------------------------------------------

template <class In, class Out, class Tasks>
TreeStreamed<In, Out, Tasks>::TreeStreamed(TreeState& tree, Tasks&& tasks, StreamOptions how, std::stop_token stop)
    : running_(tree.runs),
      stages_(copy_of(tree.stages)),
      options_(options_of(tree.options)),
      source_(std::forward<Tasks>(tasks)),
      ordered_(how.ordered),
      window_(how.window != 0 ? how.window : usual_window()),
      tours_(window_),
      waiting_(window_),
      in_flight_(window_),
      halt_count_(options_.halt),
      with_outer_(std::move(stop), job_of<&TreeStreamed::request_stop>(*this)) {
  for (std::size_t origin = window_; origin-- > 0;) free_.push_back(origin);
  for (auto* list : {&harvest_, &done_}) list->reserve(window_);
  runs_.make(stages_, {.options = options_,
                       .observers = tree.observers,
                       .trace = nullptr,
                       .keeps = false,
                       .in_batches = false,
                       .ledger = *this,
                       .thrown = thrown_,
                       .halt = job_of<&TreeStreamed::halt>(*this),
                       .stop = stopper_.get_token(),
                       .began = Clock::now()});
  runs_.first().begin_with(static_cast<Initial<In>*>(this));
  runs_.last().end_in(static_cast<Results<Out>*>(this));
  runs_.when_ended(job_of<&TreeStreamed::stages_ended>(*this));
}

template <class In, class Out, class Tasks>
TreeStreamed<In, Out, Tasks>::~TreeStreamed() {
  stopper_.request_stop();
  close_source();
  runs_.join();
}

template <class In, class Out, class Tasks>
Outcome<In, Out>* TreeStreamed<In, Out, Tasks>::next() {
  give_up_current();
  if (!std::exchange(begun_, true)) begin();
  for (;;) {
    if (pulled_ - handed_out_ <= window_ / 2) pull();
    if (const std::size_t origin = next_done(); origin != npos) {
      current_origin_ = origin;
      Tour& tour = *tours_[origin];
      current_.emplace(*tour.task, slot(origin), tour.error.get(), tour.duration, tours_[origin]);
      return &*current_;
    }
    if (pulled_ == handed_out_ && over_) {
      end();
      return nullptr;
    }
    wait();
  }
}

template <class In, class Out, class Tasks>
void TreeStreamed<In, Out, Tasks>::begin() {
  if (runs_.begin()) return;
  over_ = true;
  runs_.join();
  throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                          "taskmgr: cannot start a thread for each stage of a tree");
}

template <class In, class Out, class Tasks>
void TreeStreamed<In, Out, Tasks>::end() {
  if (std::exchange(ended_, true)) return;
  close_source();
  runs_.join();
  runs_.leave_managers();
  running_.end();
  if (const std::exception_ptr thrown = thrown_.take()) std::rethrow_exception(thrown);
}

/// Fills the window, unless outcomes turn up meanwhile.
template <class In, class Out, class Tasks>
void TreeStreamed<In, Out, Tasks>::pull() {
  constexpr std::uint64_t together = 64;  // tasks that the first stage is told of at a time
  std::uint64_t told = pulled_;
  try {
    while (!over_ && pulled_ - handed_out_ < window_) {
      bool stops = stopper_.stop_requested();
      {
        const std::scoped_lock lock(mutex_);
        stops = stops || left_;
        if (!done_.empty() && pulled_ != told) break;
      }
      over_ = stops || source_.advance() == Next::end;
      if (!over_) pull_one();
      if (pulled_ - told == together || pulled_ == handed_out_ + 1) {
        told = pulled_;
        runs_.first().nudge();
      }
    }
  } catch (...) {
    thrown_.keep(std::current_exception());
    over_ = true;
  }
  if (over_) close_source();
  else if (told != pulled_) runs_.first().nudge();
}

/// If this throws, the task counts as never taken.
template <class In, class Out, class Tasks>
void TreeStreamed<In, Out, Tasks>::pull_one() {
  const std::size_t origin = free_.back();
  if (tours_[origin] == nullptr) tours_[origin] = std::make_shared<Tour>();
  Tour& tour = *tours_[origin];
  tour.task = &source_.take(tour.room);
  if (ordered_) in_order_.push_back(npos);  // first: it may throw
  tour.slot.emplace();
  tour.error.reset();
  tour.duration = std::chrono::nanoseconds{0};
  tour.number = source_.number();
  tour.sequence = pulled_;
  free_.pop_back();
  ++pulled_;
  const std::scoped_lock lock(mutex_);
  waiting_.push(origin);
  in_flight_[origin] = true;
}

template <class In, class Out, class Tasks>
std::size_t TreeStreamed<In, Out, Tasks>::next_done() {
  if (reaped_ == harvest_.size()) {
    harvest_.clear();
    reaped_ = 0;
    const std::scoped_lock lock(mutex_);
    if (left_) cancel_left();
    std::swap(harvest_, done_);
  }
  if (!ordered_) return reaped_ != harvest_.size() ? harvest_[reaped_++] : npos;
  for (; reaped_ != harvest_.size(); ++reaped_) {
    in_order_[static_cast<std::size_t>(tours_[harvest_[reaped_]]->sequence - handed_out_)] = harvest_[reaped_];
  }
  if (in_order_.empty() || in_order_.front() == npos) return npos;
  const std::size_t origin = in_order_.front();
  in_order_.pop_front();
  return origin;
}

template <class In, class Out, class Tasks>
void TreeStreamed<In, Out, Tasks>::wait() noexcept {
  std::unique_lock lock(mutex_);
  while (done_.empty() && !left_) changed_.wait(lock);
}

/// Nobody drives any more: what is on its way was cancelled. With the lock held.
template <class In, class Out, class Tasks>
void TreeStreamed<In, Out, Tasks>::cancel_left() noexcept {
  for (std::size_t origin = 0; origin < window_; ++origin) {
    if (!in_flight_[origin]) continue;
    slot(origin).mark(State::cancelled, 0);
    in_flight_[origin] = false;
    done_.push_back(origin);  // there is room for all
  }
}

template <class In, class Out, class Tasks>
void TreeStreamed<In, Out, Tasks>::give_up_current() noexcept {
  if (current_origin_ == npos) return;
  const std::size_t origin = std::exchange(current_origin_, npos);
  current_.reset();
  ++handed_out_;
  std::shared_ptr<Tour>& tour = tours_[origin];
  const bool copied = std::shared_ptr<Tour>(tour).use_count() != 2;  // as in `Flow`
  if (copied) {
    tour.reset();
  } else {
    tour->slot.reset();
    tour->error.reset();
    tour->room.reset();
  }
  free_.push_back(origin);
}

template <class In, class Out, class Tasks>
void TreeStreamed<In, Out, Tasks>::close_source() noexcept {
  over_ = true;
  {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
  }
  runs_.first().nudge();
}

template <class In, class Out, class Tasks>
void TreeStreamed<In, Out, Tasks>::fail(std::size_t origin, const TaskError& error, const std::string& stage,
                                        std::size_t index) noexcept {
  Tour& tour = *tours_[origin];
  try {
    tour.error = std::make_shared<const TaskError>(error.at_stage(stage, index));
  } catch (...) {
    tour.error = std::shared_ptr<const TaskError>(std::shared_ptr<void>{}, &unrecorded_error());  // owns nothing
  }
  slot(origin).fail(error.attempts(), 0);
  settled(origin);
}

template <class In, class Out, class Tasks>
void TreeStreamed<In, Out, Tasks>::settled(std::size_t origin) noexcept {
  const State state = slot(origin).state();
  bool halts = false;
  {
    const std::scoped_lock lock(mutex_);
    in_flight_[origin] = false;
    done_.push_back(origin);  // there is room for all
    if (done_.size() == 1) changed_.notify_one();
    if (halt_count_.counts() && state != State::cancelled) halts = halt_count_.note(state == State::failed);
  }
  if (halts) halt();
}

template <class In, class Out, class Tasks>
void TreeStreamed<In, Out, Tasks>::stages_ended() noexcept {
  const std::scoped_lock lock(mutex_);
  left_ = true;
  changed_.notify_one();
}

template <class In, class Out, class Tasks>
Next TreeStreamed<In, Out, Tasks>::peek() const noexcept {
  const std::scoped_lock lock(mutex_);
  if (!waiting_.empty()) return Next::task;
  return closed_ ? Next::end : Next::nothing;
}

template <class In, class Out, class Tasks>
std::size_t TreeStreamed<In, Out, Tasks>::take() noexcept {
  const std::scoped_lock lock(mutex_);
  return waiting_.pop();
}

}  // namespace taskmgr::detail
