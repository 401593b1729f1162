// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A node of a tree with branches in a run: what it takes, and how it gives on what it makes.

#include <algorithm>
#include <cstddef>
#include <deque>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "../core/store.hpp"
#include "intake.hpp"
#include "item_state.hpp"
#include "node.hpp"
#include "segments.hpp"
#include "stage_run.hpp"

namespace taskmgr::detail {

// --- What becomes of a result. `keep` makes of it what the node keeps for good; `give` adds that to an outlet, and says to which.

/// One outlet for all.
template <class T>
class GiveOneType {
 public:
  using Handle = Node<T>;
  static constexpr std::size_t outlets = 1;
  static constexpr std::size_t of_handle = 0;  // which one that stands for

  explicit GiveOneType(AnyNodeRun& node) noexcept : outlet_(node) {}
  template <class Visit>
  void for_each(const Visit& visit) {
    visit(outlet_);
  }
  [[nodiscard]] AnyOutlet& at(std::size_t) noexcept { return outlet_; }

 protected:
  Outlet<T> outlet_;
};

/// Each result is an item.
template <class R>
class GiveWhole : public GiveOneType<R> {
 public:
  using Result = R;
  using Kept = R;

  using GiveOneType<R>::GiveOneType;
  [[nodiscard]] static Kept keep(R&& result) { return std::move(result); }
  std::size_t give(const Kept& kept, std::size_t item) {
    this->outlet_.add(kept, item);
    return 0;
  }
};

/// The range itself can be kept: it owns its elements, which lie where they can be referred to.
template <class Range, class T>
inline constexpr bool keeps_elements = [] {
  if constexpr (std::ranges::forward_range<const Range> && !std::ranges::view<Range> && !std::ranges::borrowed_range<Range> &&
                !refers_to_elements<Range>) {
    using Reference = std::ranges::range_reference_t<const Range>;
    return std::is_lvalue_reference_v<Reference> && std::is_same_v<std::remove_cvref_t<Reference>, T>;
  } else {
    return false;
  }
}();

/// Each element of each result is an item.
template <class Range, class T = std::ranges::range_value_t<Range>>
class GiveElements : public GiveOneType<T> {
 public:
  using Result = Range;
  using Kept = std::conditional_t<keeps_elements<Range, T>, Range, TaskListOf<T>>;

  using GiveOneType<T>::GiveOneType;
  [[nodiscard]] static Kept keep(Range&& result);
  std::size_t give(const Kept& kept, std::size_t item) {
    for (const T& element : kept) this->outlet_.add(element, item);
    return 0;
  }
};

/// Each result is an item of one of several types.
template <class Variant>
class GiveAlternatives;
template <class... A>
class GiveAlternatives<std::variant<A...>> {
 public:
  using Result = std::variant<A...>;
  using Kept = Result;
  using Handle = RouteNode<Result>;
  static constexpr std::size_t outlets = sizeof...(A);
  static constexpr std::size_t of_handle = NodeAccess::whole;

  explicit GiveAlternatives(AnyNodeRun& node) noexcept : outlets_{(static_cast<void>(sizeof(A)), node)...} {}
  [[nodiscard]] static Kept keep(Result&& result) { return std::move(result); }
  /// Throws `std::bad_variant_access` where there is no value.
  std::size_t give(const Kept& kept, std::size_t item) {
    if (kept.valueless_by_exception()) throw std::bad_variant_access{};
    give_one(kept, item, std::index_sequence_for<A...>{});
    return kept.index();
  }
  template <class Visit>
  void for_each(const Visit& visit) {
    std::apply([&](auto&... outlet) { (visit(outlet), ...); }, outlets_);
  }
  [[nodiscard]] AnyOutlet& at(std::size_t k) noexcept {
    AnyOutlet* found = nullptr;
    std::apply([&](auto&... outlet) { static_cast<void>(((k-- == 0 ? (found = &outlet, true) : false) || ...)); }, outlets_);
    return *found;
  }

 private:
  template <std::size_t... I>
  void give_one(const Kept& kept, std::size_t item, std::index_sequence<I...>) {
    static_cast<void>(((kept.index() == I && (std::get<I>(outlets_).add(*std::get_if<I>(&kept), item), true)) || ...));
  }
  std::tuple<Outlet<A>...> outlets_;
};

/// `Intake` gives it tasks, `Yield` is what becomes of its results.
template <class Intake, class Yield>
class NodeRun final : public Intake, public Results<typename Yield::Result> {
 public:
  using T = typename Intake::Task;
  using R = typename Yield::Result;

  template <class... From>
  explicit NodeRun(NodeTerms terms, From&... from) : Intake(terms, from...), capacity_(terms.capacity), yield_(*this) {}

  [[nodiscard]] AnyOutlet& outlet(std::size_t k) noexcept override { return yield_.at(k); }
  [[nodiscard]] const void* value(std::size_t item) const noexcept override { return &*kept_[item]; }

  void run_by(AnyStageRun& run) noexcept override {
    this->nudge_ = job_of<&AnyStageRun::nudge>(run);
    this->looks_ = run.looks();
    run.begin_with(static_cast<Initial<T>*>(this));
    run.end_in(static_cast<Results<R>*>(this));
  }

  // --- AnyLedger
  void fail(std::size_t k, const TaskError& error, const std::string& stage, std::size_t index) noexcept override {
    Intake::fail(k, error, stage, index);
    this->forget(k);
  }
  void cancel(std::size_t k, int attempts) noexcept override {
    Intake::cancel(k, attempts);
    this->forget(k);
  }

  // --- Results
  void succeed(std::size_t k, R&& result, int attempts) override;
  [[nodiscard]] bool keeps_back() const noexcept override { return made_ != 0; }
  [[nodiscard]] bool keeps_enough(bool may_last) const noexcept override {
    return made_ >= enough_ || (may_last && made_ != 0 && !takers_look());
  }
  void hand_on() noexcept override;
  [[nodiscard]] bool has_room() const noexcept override { return room() != 0; }
  void open_wide() noexcept override { capacity_ = std::numeric_limits<std::size_t>::max(); }
  void no_more() noexcept override {
    yield_.for_each([](auto& outlet) { outlet.close(); });
    this->trunk_.ended(*this);
  }

 private:
  /// Of items that are made, so many are told of together at most.
  static constexpr std::size_t together = 256;
  using Kept = std::optional<typename Yield::Kept>;

  [[nodiscard]] bool takers_look() const noexcept {
    bool all = true;
    yield_.for_each([&](const auto& outlet) {
      for (const AnyNodeRun* taker : outlet.takers()) all = all && taker->looks();
    });
    return all;
  }
  [[nodiscard]] std::size_t room() const noexcept {
    std::size_t waiting = 0;
    yield_.for_each([&](auto& outlet) { waiting = std::max(waiting, outlet.waiting()); });
    return capacity_ - std::min(waiting, capacity_);
  }

  std::size_t capacity_;
  mutable Yield yield_;
  Segments<Kept> kept_;  // by item
  std::size_t made_ = 0;  // items that nobody was told of yet
  std::size_t enough_ = 1;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class Range, class T>
auto GiveElements<Range, T>::keep(Range&& result) -> Kept {
  if constexpr (std::is_same_v<Kept, Range>) {
    return std::move(result);
  } else {
    Kept all;
    const auto end = std::ranges::end(result);
    for (auto at = std::ranges::begin(result); at != end; ++at) {
      if constexpr (gives_away<Range>) all.emplace_back(std::ranges::iter_move(at));
      else all.emplace_back(*at);
    }
    return all;
  }
}

template <class Intake, class Yield>
void NodeRun<Intake, Yield>::succeed(std::size_t k, R&& result, int attempts) {
  kept_.grow_to(this->size());
  Kept& kept = kept_[k];
  kept.emplace(Yield::keep(std::move(result)));
  ItemState& item = this->items_[k];
  std::size_t sizes[Yield::outlets];
  std::size_t n = 0;
  yield_.for_each([&](auto& outlet) { sizes[n++] = outlet.size(); });
  try {
    item.outlet = yield_.give(*kept, k);
  } catch (...) {
    n = 0;
    yield_.for_each([&](auto& outlet) { outlet.take_back_to(sizes[n++]); });
    kept.reset();
    throw;
  }
  n = 0;
  std::size_t of_them = 0;
  yield_.for_each([&](auto& outlet) { of_them += outlet.size() - sizes[n++]; });
  const AnyOutlet& outlet = yield_.at(item.outlet);
  item.first = sizes[item.outlet];
  item.count = of_them;
  item.attempts = attempts;
  item.state = State::succeeded;
  item.open.fetch_add(of_them * outlet.takers().size(), std::memory_order_relaxed);
  made_ += of_them;
  yield_.for_each([](auto& made) { made.show(); });
  this->close_one(k);
  this->forget(k);
}

template <class Intake, class Yield>
void NodeRun<Intake, Yield>::hand_on() noexcept {
  yield_.for_each([](auto& outlet) { outlet.tell(); });
  made_ = 0;
  enough_ = std::clamp<std::size_t>(room(), 1, together);
}

}  // namespace taskmgr::detail
