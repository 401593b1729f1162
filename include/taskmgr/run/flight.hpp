// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The coroutines of one run that are in flight, on one event loop.

#include <algorithm>
#include <bit>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <stop_token>
#include <utility>

#include "../core/large.hpp"
#include "../core/list.hpp"
#include "../core/options.hpp"
#include "attempt.hpp"
#include "chain.hpp"
#include "crew.hpp"
#include "event_loop.hpp"
#include "supply.hpp"

namespace taskmgr::detail {

/// How many coroutines of a run are in flight at most.
[[nodiscard]] inline std::size_t most_in_flight(const Options& options) noexcept {
  constexpr std::size_t bound = std::size_t{1} << 24U;  // what has none is not to take all the memory for its places
  return options.workers != 0 ? std::min(options.workers, bound) : 1024;
}

/// So many tasks run at a time at most where nobody knows how many there are.
inline constexpr std::size_t most_places = std::size_t{1} << 20U;

/// What a run is for its coroutines: it begins attempts, and settles them when their coroutines have ended.
class Coroutines : public Supply {
 public:
  /// Tells that the attempt begins, and counts it. Returns when its time begins: see `Crew::began`.
  virtual Clock::time_point tell_begun(const Errand& errand, Clock::time_point now, Seat& seat) noexcept = 0;
  /// Calls the function, which gives a coroutine. Throws what that throws.
  [[nodiscard]] virtual PromiseBase& made_coroutine(const Errand& errand, Seat& seat) = 0;
  /// The attempt has ended: its value is in the promise, or `failure` says why there is no promise. `chain` is to be cleared.
  [[nodiscard]] virtual Step ended(const Errand& errand, PromiseBase* promise, Failure& failure, Chain& chain,
                                   Clock::time_point begun, Seat& seat) noexcept = 0;
  /// The function wants to know when an attempt is to stop.
  [[nodiscard]] virtual bool wants_tokens() const noexcept = 0;

 protected:
  ~Coroutines() = default;
};

/// Keeps places for coroutines; as one comes free, the next attempt is begun there. All of it is done by entries of the loop:
/// whoever turns the loop drives the run.
///
/// What a place has to have is kept small, for there may be millions: what only some runs need, such as a deadline, lies in a
/// row of its own. Thread safety: the loop's thread; the run may call its bell from any.
class Flight final : private Chain::Owner, public Chain::Inner {
 public:
  Flight(Coroutines& run, Crew& crew, EventLoop& loop, std::size_t most);
  Flight(const Flight&) = delete;
  Flight& operator=(const Flight&) = delete;
  /// Ends the coroutines that are still in flight, where they wait.
  ~Flight() { crew_.listen_no_more(); }

  /// There may be something to begin.
  void more() noexcept {
    if (!more_.linked()) loop().soon(more_);
  }

  /// The loop cannot go on: what is in flight has failed for this, and the rest is cancelled. Where nothing is in flight the run throws it.
  void fail_all(const std::exception_ptr& why) noexcept;

  // --- a coroutine that awaits the end of the run

  /// Before: a stop of that coroutine is a stop of these tasks, and shows in the token of this source, which is the run's.
  void hand_on_stop(std::stop_source& tasks) noexcept { tasks_ = &tasks; }
  [[nodiscard]] bool await_ready() const noexcept { return !run_.goes_on(); }
  template <class P>
  void await_suspend(std::coroutine_handle<P> waiting) noexcept {
    waiting_ = waiting.promise().chain();
    waiting_->wait_for(*this);
    if (waiting_->stopped()) stop();
  }
  void await_resume() const noexcept {}
  void stop() noexcept override { tasks_->request_stop(); }
  /// Whoever awaited it has been asked to stop.
  [[nodiscard]] bool stopped() const noexcept { return waiting_ != nullptr && waiting_->stopped(); }

 private:
  struct alignas(64) Place final : Chain {  // one line of the processor's cache
    int attempt = 0;
    union {
      std::size_t id;
      Place* next_free;
    };
    Place() noexcept : next_free(nullptr) {}
    ~Place() = default;
  };
  static_assert(sizeof(void*) != 8 || sizeof(Place) == 64);
  /// What an attempt has where somebody looks at the time.
  struct Watch final : Entry {
    void fire() noexcept override {
      if (token) token->request_stop();  // the coroutine must not be woken and see that nobody asked it to stop
      place->stop();
    }
    Place* place = nullptr;
    Clock::time_point begun{};
    detail::Owner<AttemptDeadline> token;  // for a function that may look at it, without a wait in between
  };
  template <void (Flight::*method)()>
  struct Call final : Entry {
    explicit Call(Flight& f) noexcept : flight(f) {}
    void fire() noexcept override { (flight.*method)(); }
    Flight& flight;
  };
  struct Block {
    std::size_t size;
    Array<Place> places;
    Array<Watch> watches{};
    [[nodiscard]] bool has(const Place& place) const noexcept {
      const auto at = [](const Place* p) { return reinterpret_cast<std::uintptr_t>(p); };  // in one order, whatever it is part of
      return at(&place) - at(places.get()) < size * sizeof(Place);
    }
  };
  static constexpr std::size_t first_block = 64;  // places; each block has twice as many as the one before
  static constexpr std::size_t at_a_time = 64;

  void admit();
  void begin(const Errand& errand) noexcept;
  inline void ended(Chain& chain) noexcept override;  // `inline` already here: see Crew
  [[nodiscard]] std::stop_token token(const Chain& chain) const override {
    return seat(static_cast<const Place&>(chain)).context.stop_token();
  }
  void end(Place& place, PromiseBase* promise, Failure& failure) noexcept;
  void settled(std::size_t id, Seat& seat) noexcept;
  void publish() noexcept;
  void publish_all(Items<const std::size_t> ids, Seat& seat) noexcept;
  void stop_all() noexcept;
  [[nodiscard]] std::size_t make_room(std::size_t wanted) noexcept;
  void free(Place& place) noexcept {
    place.next_free = std::exchange(free_, &place);
    ++free_count_;
  }

  [[nodiscard]] static std::size_t block_of(std::size_t number) noexcept {
    return static_cast<std::size_t>(std::bit_width(number / first_block + 1)) - 1;
  }
  [[nodiscard]] static std::size_t begin_of(std::size_t block) noexcept { return first_block * ((std::size_t{1} << block) - 1); }
  [[nodiscard]] Place& place(std::size_t number) const noexcept {
    const std::size_t block = block_of(number);
    return blocks_[block].places[number - begin_of(block)];
  }
  [[nodiscard]] std::size_t number(const Place& place) const noexcept {
    std::size_t block = blocks_.size() - 1;  // the last are the largest
    while (!blocks_[block].has(place)) --block;
    return begin_of(block) + static_cast<std::size_t>(&place - blocks_[block].places.get());
  }
  /// Of a run that is watched.
  [[nodiscard]] Watch& watch(std::size_t number) const noexcept {
    const std::size_t block = block_of(number);
    return blocks_[block].watches[number - begin_of(block)];
  }
  [[nodiscard]] Watch& watch(const Place& place) const noexcept { return watch(number(place)); }
  [[nodiscard]] Seat& seat(std::size_t number) const noexcept { return crew_.seats()[crew_.seats().size() == 1 ? 0 : number]; }
  [[nodiscard]] Seat& seat(const Place& place) const noexcept {
    return crew_.seats()[crew_.seats().size() == 1 ? 0 : number(place)];
  }

  Coroutines& run_;
  Crew& crew_;
  const std::size_t most_;
  const bool watched_;     // the time is looked at
  const bool has_tokens_;  // each attempt has a stop token of its own
  bool all_stopped_ = false;
  std::size_t made_ = 0;  // places
  std::size_t flying_ = 0;
  std::size_t free_count_ = 0;
  Place* free_ = nullptr;
  List<Block> blocks_;
  List<Errand> errands_;
  std::size_t done_[at_a_time] = {};  // settled, and not published
  std::size_t done_count_ = 0;
  Chain* waiting_ = nullptr;  // for the end of the run
  std::stop_source* tasks_ = nullptr;
  bool landed_ = false;
  Call<&Flight::admit> more_{*this};
  Call<&Flight::admit> retry_{*this};
  EventLoop::Signal bell_;
};

// ---------------------------------------------------------------------------------------------------------------------

inline Flight::Flight(Coroutines& run, Crew& crew, EventLoop& loop, std::size_t most)
    : Chain::Owner(loop),
      run_(run),
      crew_(crew),
      most_(most),
      watched_(crew.measures() || crew.options().timeout.count() != 0),
      has_tokens_(crew.options().timeout.count() != 0 && run.wants_tokens()),
      bell_(loop, more_) {
  errands_.reserve(at_a_time);
  crew.listen(job_of<&EventLoop::Signal::raise>(bell_));
  more();
}

inline void Flight::admit() {
  publish();
  if (crew_.cancelling() && !std::exchange(all_stopped_, true)) stop_all();
  const bool stopping = crew_.stopping();
  const std::size_t room = stopping ? at_a_time : make_room(at_a_time);
  errands_.clear();
  if (room != 0) run_.next_errands(errands_, room);  // there is room for them in the list
  for (const Errand& errand : errands_) {
    if (!crew_.stopping()) {
      begin(errand);
    } else {
      run_.cancelled(errand, crew_.seats()[0]);
      settled(errand.id, crew_.seats()[0]);
    }
  }
  publish();
  if (errands_.size() == room && room != 0) more();  // there may be others
  retry_.unlink();
  if (const Clock::time_point due = crew_.next_due(); due != RetryQueue::never && free_count_ != 0) loop().at(retry_, due);
}

/// Makes places as far as they are needed; says how many are free, up to `wanted`.
inline std::size_t Flight::make_room(std::size_t wanted) noexcept {
  wanted = std::min(wanted, std::max<std::size_t>(run_.left(), 1));
  while (free_count_ < wanted && made_ < most_) {
    try {
      const std::size_t block = block_of(made_);
      if (block == blocks_.size()) {
        const std::size_t count = std::min(first_block << block, most_ - made_);
        Block fresh{count, Array{new (large) Place[count]}};
        if (watched_) fresh.watches = Array{new (large) Watch[count]};
        blocks_.push_back(std::move(fresh));
      }
    } catch (...) {
      if (made_ == 0) {
        crew_.thrown().keep(std::current_exception());
        crew_.halt();
      }
      break;
    }
    const std::size_t number = made_++;
    if (!crew_.ready(seat(number))) continue;  // nothing is run there
    free(place(number));
  }
  if (free_count_ == 0 && flying_ == 0) crew_.halt();  // nothing can be run anywhere
  return std::min(wanted, free_count_);
}

inline void Flight::begin(const Errand& errand) noexcept {
  Place& place = *free_;
  free_ = place.next_free;
  --free_count_;
  ++flying_;
  place.id = errand.id;
  place.attempt = errand.attempt;
  Seat& seat = this->seat(place);
  const Clock::time_point now = run_.tell_begun(errand, watched_ ? Clock::now() : Clock::time_point{}, seat);
  if (watched_) {
    Watch& watch = this->watch(place);
    watch.place = &place;
    watch.begun = now;
  }
  try {
    if (has_tokens_) watch(place).token = detail::Owner{new AttemptDeadline(crew_, seat, later(now, crew_.options().timeout))};
    place.begin(*this, run_.made_coroutine(errand, seat));
  } catch (...) {
    Failure failure{TaskError::Kind::exception, std::current_exception()};
    return end(place, nullptr, failure);
  }
  if (crew_.options().timeout.count() != 0) loop().at(watch(place), later(now, crew_.options().timeout));
  place.fire();
}

inline void Flight::ended(Chain& chain) noexcept {
  Failure failure{TaskError::Kind::exception, nullptr};
  end(static_cast<Place&>(chain), &chain.outermost(), failure);
}

inline void Flight::end(Place& place, PromiseBase* promise, Failure& failure) noexcept {
  Seat& seat = this->seat(place);
  Clock::time_point begun{};
  if (watched_) {
    Watch& watch = this->watch(place);
    watch.unlink();
    watch.token = {};
    begun = watch.begun;
  }
  const Errand errand{.id = place.id, .attempt = place.attempt};
  const Step step = run_.ended(errand, promise, failure, place, begun, seat);
  --flying_;
  free(place);
  if (step == Step::settled) settled(errand.id, seat);
  more();
}

inline void Flight::settled(std::size_t id, Seat& seat) noexcept {
  if (crew_.seats().size() != 1) return publish_all({&id, 1}, seat);
  done_[done_count_++] = id;
  if (done_count_ == at_a_time) publish();
}

inline void Flight::publish() noexcept {
  if (done_count_ != 0) publish_all({done_, std::exchange(done_count_, 0)}, crew_.seats()[0]);
}

inline void Flight::publish_all(Items<const std::size_t> ids, Seat& seat) noexcept {
  run_.publish_all(ids, seat);
  if (waiting_ != nullptr && !landed_ && !run_.goes_on()) {
    landed_ = true;
    waiting_->wake();
  }
}

inline void Flight::stop_all() noexcept {
  for (std::size_t number = 0; number != made_; ++number) {
    if (!place(number).idle()) place(number).stop();
  }
}

inline void Flight::fail_all(const std::exception_ptr& why) noexcept {
  crew_.halt();
  bool told = false;
  for (std::size_t number = 0; number != made_; ++number) {
    Place& place = this->place(number);
    if (place.idle()) continue;
    place.clear();
    Failure failure{TaskError::Kind::exception, why};
    end(place, nullptr, failure);
    told = true;
  }
  if (!told) crew_.thrown().keep(why);
  publish();
}

}  // namespace taskmgr::detail
