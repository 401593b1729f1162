// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The one place where the tasks and outcomes of a run live: distinct tasks in source order, a slot beside each, and the
/// index that finds duplicates while the run is filled and keys when its maps are read.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

#include "hash.hpp"
#include "hash_index.hpp"
#include "large.hpp"
#include "list.hpp"
#include "outcome.hpp"

namespace taskmgr::detail {

/// Tasks whose duplicates can be told.
template <class Task>
concept Keyed = Hashable<Task> && Comparable<Task>;

/// A range through whose const object the elements can be changed refers to them, as a pointer does: they belong to another.
template <class Tasks>
inline constexpr bool refers_to_elements = requires(const Tasks& tasks) {
  requires std::is_lvalue_reference_v<decltype(*std::ranges::begin(tasks))>;
  requires !std::is_const_v<std::remove_reference_t<decltype(*std::ranges::begin(tasks))>>;
};

/// `Tasks` gives its elements away when it is passed on.
template <class Tasks>
inline constexpr bool gives_away = !std::is_lvalue_reference_v<Tasks> && !std::is_const_v<Tasks> &&
                                   !std::ranges::view<std::remove_cvref_t<Tasks>> &&
                                   !std::ranges::borrowed_range<std::remove_cvref_t<Tasks>> &&
                                   !refers_to_elements<std::remove_cvref_t<Tasks>>;

/// How tasks lie in a store: vector<bool> has no bools to refer to.
template <class Task>
using TaskListOf = std::conditional_t<std::is_same_v<Task, bool>, std::deque<bool>, std::vector<Task>>;

template <class Task, class R>
class Store {
  using TaskList = TaskListOf<Task>;
  using Index = BasicHashIndex<!is_word_key<Task>>;

 public:
  static constexpr std::size_t npos = Index::npos;

  Store() {}  // NOLINT: defaulted, it would be zeroed first by `make_shared`
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// Takes every task of a range; with `share`, equal ones once. What the range, a copy, a hash or an equality throws is
  /// returned; the tasks before it are taken. Not to be called twice.
  template <class Tasks>
  [[nodiscard]] std::exception_ptr fill(Tasks&& tasks, bool share);

  /// Takes tasks as they lie, none of which is a duplicate, in place of `fill`.
  void adopt(TaskListOf<Task> tasks) noexcept { tasks_ = std::move(tasks); }
  /// Gives its tasks to another store for a while: they are to be adopted again before anybody asks for one.
  [[nodiscard]] TaskListOf<Task> lend() noexcept { return std::move(tasks_); }

  /// Makes the slots, and a place for durations if they are measured. After `fill`.
  void make_slots(bool measured);

  /// Of distinct tasks.
  [[nodiscard]] std::size_t size() const noexcept { return tasks_.size(); }
  [[nodiscard]] std::size_t duplicates() const noexcept { return duplicates_.size(); }
  [[nodiscard]] bool shared() const noexcept { return shared_; }

  [[nodiscard]] const Task& task(std::size_t slot) const noexcept { return tasks_[slot]; }
  [[nodiscard]] Task& task(std::size_t slot) noexcept { return tasks_[slot]; }
  [[nodiscard]] const TaskListOf<Task>& tasks() const noexcept { return tasks_; }
  [[nodiscard]] SlotsAt<R> slots() const noexcept { return slots_.all(); }
  [[nodiscard]] Slot<R> slot(std::size_t slot) const noexcept { return slots_[shares_ ? shares_[slot] : slot]; }
  [[nodiscard]] ErrorList& errors() noexcept { return errors_; }
  [[nodiscard]] const ErrorList& errors() const noexcept { return errors_; }

  [[nodiscard]] std::chrono::nanoseconds duration(std::size_t slot) const noexcept {
    return durations_ ? durations_[slot] : std::chrono::nanoseconds{0};
  }
  void add_duration(std::size_t slot, std::chrono::nanoseconds duration) noexcept { durations_[slot] += duration; }

  /// Has `number` answer by these, one a slot.
  void set_numbers(Array<std::uint64_t> numbers) noexcept { numbers_ = std::move(numbers); }

  /// The index in the source of a slot's task. O(log duplicates).
  [[nodiscard]] std::uint64_t number(std::size_t slot) const noexcept;

  /// The slot of the task at an index of the source. O(log duplicates).
  [[nodiscard]] std::size_t slot_of(std::uint64_t number) const noexcept;

  // --- Different tasks may have come to one outcome, in a tree: then their slots are one.

  /// Before the first `share`. `copy` is for who takes a shared result away; null if it cannot be copied.
  void make_shares(Copier<R> copy) {
    copy_ = copy;
    shares_ = Array<std::size_t>(new (large) std::size_t[size()]);
    for (std::size_t k = 0; k < size(); ++k) shares_[k] = k;
  }
  /// From now on the slot of one task is that of another, which may itself turn out to be a third's: see `find_shares`.
  void share(std::size_t slot, std::size_t with) noexcept { shares_[slot] = with; }
  /// Whose slot it is in the end.
  [[nodiscard]] std::size_t shared_with(std::size_t slot) const noexcept {
    while (shares_ && shares_[slot] != slot) slot = shares_[slot];
    return slot;
  }
  /// No more tasks share from now on: has each know its slot, and marks those that several have. O(size).
  void find_shares() noexcept;

  /// The index in the source of the k-th duplicate.
  [[nodiscard]] std::uint64_t duplicate(std::size_t k) const noexcept { return duplicates_[k].number; }

  [[nodiscard]] Outcome<Task, R> outcome(std::size_t slot, std::shared_ptr<const void> owner = nullptr) {
    const Slot<R> place = this->slot(slot);
    const TaskError* error = place.state() == State::failed ? &errors_[place.error()] : nullptr;
    return {tasks_[slot], place, error, duration(slot), std::move(owner), copy_};
  }

  // The maps. Without shared duplicates a key may stand in several slots of a state: the last one is shown, and an index
  // of its own, built at first use, knows which.

  /// Is this slot in the map of `state`? It is in it in any case if its state agrees and nothing hides it.
  [[nodiscard]] bool shown(std::size_t slot, State state) const {
    if (this->slot(slot).state() != state) return false;
    if constexpr (Keyed<Task>) {
      if (!shared_) {
        const KeyIndex& keys = index_of(state);
        return !keys.hidden || !keys.hidden[slot];
      }
    }
    return true;
  }

  /// How many slots the map of `state` shows, `counted` of which have that state.
  [[nodiscard]] std::size_t count_shown([[maybe_unused]] State state, std::size_t counted) const {
    if constexpr (Keyed<Task>) {
      if (!shared_) return index_of(state).index.size();
    }
    return counted;
  }

  /// The slot of a key, or `npos`, if duplicates are shared. O(1) expected.
  [[nodiscard]] std::size_t find(const Task& key) const {
    return index_.find(KeyHash<Task>{}(key), [&](std::size_t slot) {
      // a task that threw while it moved to its place is known to the index alone
      return (std::is_nothrow_move_assignable_v<Task> || slot < size()) && IsAt{tasks_, key}(slot);
    });
  }
  /// The slot that the map of `state` shows for a key, or `npos`. O(1) expected; O(size) for tasks without a hash.
  [[nodiscard, gnu::noinline]] std::size_t find(const Task& key, State state) const;

  /// All that it takes to look up a task and its result, by value: a loop of look-ups holds it in registers. As good as
  /// `find` until the store is filled on; there may be none, which is false.
  class Finder {
   public:
    Finder() = default;
    explicit operator bool() const noexcept { return cells_ != nullptr; }
    [[nodiscard]] std::size_t find(const Task& key) const
      requires Keyed<Task>
    {
      return entries_.find(KeyHash<Task>{}(key), [&](std::size_t slot) {
        return detail::equal(tasks_[static_cast<std::ptrdiff_t>(slot)], key);
      });
    }
    /// Null: none.
    [[nodiscard]] R* result_of(const Task& key) const
      requires Keyed<Task>
    {
      const std::size_t slot = find(key);
      return slot != npos ? &cells_[slot].value : nullptr;
    }

   private:
    friend Store;
    typename Index::Entries entries_{};
    typename TaskList::const_iterator tasks_{};
    Cell<R>* cells_ = nullptr;
  };
  [[nodiscard]] Finder finder() const noexcept;

 private:
  /// How many tasks are hashed ahead of their insertion, so that the table's cache misses overlap. A task that cannot be
  /// assigned cannot close the gap that a duplicate leaves: it is inserted at once.
  static constexpr std::size_t ahead = std::is_move_assignable_v<Task> ? 32 : 1;

  struct Duplicate {
    std::uint64_t number;  // in the source
    std::size_t slot;      // that it shares
  };
  struct KeyIndex {
    std::mutex turn{};
    std::atomic<bool> made{false};
    Index index{};
    Array<bool> hidden{};  // slots that a later equal key hides; null: none
  };

  // What the index asks of a slot; named, so that what a table does with them is compiled once.
  struct HashAt {
    const TaskList& tasks;
    [[nodiscard]] std::size_t operator()(std::size_t slot) const { return KeyHash<Task>{}(tasks[slot]); }
  };
  struct IsAt {
    const TaskList& tasks;
    const Task& key;
    [[nodiscard]] bool operator()(std::size_t slot) const { return detail::equal(tasks[slot], key); }
  };

  void drop_from(std::size_t first) noexcept {
    while (tasks_.size() > first) tasks_.pop_back();
  }
  void make_room(std::size_t tasks);

  /// Copies what is nothing but bytes in one piece; says whether it did.
  template <class Tasks>
  bool copy_whole(Tasks& tasks);

  /// Looks for each of the tasks [first, last) among those kept; the new ones move up to them. Returns what a hash or an
  /// equality threw; the tasks before that one are kept or known as duplicates.
  [[nodiscard]] std::exception_ptr keep_distinct(std::size_t first, std::size_t last) noexcept;
  const KeyIndex& index_of(State state) const;

  TaskList tasks_;
  static constexpr std::size_t few = std::max<std::size_t>(64 / (sizeof(Cell<R>) + sizeof(std::uint32_t)), 1);
  Slots<R, few> slots_;
  Array<std::chrono::nanoseconds> durations_;
  ErrorList errors_;
  Index index_;
  List<Duplicate> duplicates_;  // in source order
  Array<std::uint64_t> numbers_;  // null: by the duplicates
  std::size_t kept_ = 0;               // distinct tasks so far
  std::uint64_t seen_ = 0;             // tasks of the source so far
  Array<std::size_t> shares_;  // whose slot each task has; null: its own
  Copier<R> copy_ = nullptr;   // of a shared result
  bool shared_ = false;
  mutable KeyIndex keys_[2];           // of the succeeded and of the failed, if duplicates were run
};

// ---------------------------------------------------------------------------------------------------------------------

template <class Task, class R>
template <class Tasks>
std::exception_ptr Store<Task, R>::fill(Tasks&& tasks, bool share) {
  shared_ = share && Keyed<Task>;
  std::exception_ptr of_source;
  std::exception_ptr of_key;
  std::size_t looked_at = 0;  // tasks below were told from their duplicates
  const auto look = [&](std::size_t last) {
    of_key = keep_distinct(looked_at, last);
    looked_at = last;
    return of_key == nullptr;
  };
  try {
    if constexpr (std::ranges::sized_range<Tasks>) make_room(static_cast<std::size_t>(std::ranges::size(tasks)));
    if constexpr (std::is_same_v<std::remove_cvref_t<Tasks>, TaskList> && gives_away<Tasks> &&
                  std::is_move_assignable_v<Task>) {
      tasks_ = std::forward<Tasks>(tasks);
      while (shared_ && looked_at < tasks_.size() && look(std::min(looked_at + ahead, tasks_.size()))) {
      }
    } else if (!copy_whole(tasks)) {
      const auto end = std::ranges::end(tasks);
      for (auto at = std::ranges::begin(tasks); at != end; ++at) {
        if constexpr (gives_away<Tasks>) tasks_.emplace_back(std::ranges::iter_move(at));
        else tasks_.emplace_back(*at);
        if (shared_ && tasks_.size() - looked_at >= ahead) {
          if (!look(tasks_.size())) break;
          drop_from(kept_);
          looked_at = kept_;
        }
      }
    }
  } catch (...) {
    of_source = std::current_exception();
  }
  if (!shared_) return of_source;
  if (of_key == nullptr) look(tasks_.size());  // what was taken before the source threw counts
  drop_from(kept_);
  return of_key != nullptr ? of_key : of_source;
}

template <class Task, class R>
void Store<Task, R>::make_room(std::size_t tasks) {
  constexpr std::size_t trusted = std::size_t{1} << 24U;  // a source may be large and yet have few distinct tasks
  if constexpr (requires { tasks_.reserve(tasks); }) {
    tasks_.reserve(shared_ ? std::min(tasks, trusted) : tasks);
    advise_large(tasks_.data(), tasks_.capacity() * sizeof(Task));
  }
  if constexpr (Keyed<Task>) {
    if (shared_) index_.make_room(std::min(tasks, trusted), std::min(tasks, trusted), HashAt{tasks_});
  }
}

template <class Task, class R>
template <class Tasks>
bool Store<Task, R>::copy_whole([[maybe_unused]] Tasks& tasks) {
  if constexpr (std::ranges::contiguous_range<Tasks> && std::ranges::sized_range<Tasks> &&
                std::is_same_v<TaskList, std::vector<Task>> && std::is_same_v<std::ranges::range_value_t<Tasks>, Task> &&
                std::is_trivially_copyable_v<Task> &&
                std::copyable<Task>) {
    if (shared_) return false;
    const Task* const first = std::ranges::data(tasks);
    tasks_.assign(first, first + std::ranges::size(tasks));
    return true;
  } else {
    return false;
  }
}

template <class Task, class R>
std::exception_ptr Store<Task, R>::keep_distinct(std::size_t first, std::size_t last) noexcept {
  if constexpr (Keyed<Task>) {
    try {
      const HashAt hash_of{tasks_};
      index_.make_room(kept_ + (last - first), kept_ + (last - first), hash_of);
      while (first < last) {
        const std::size_t count = std::min(ahead, last - first);
        std::size_t hashes[ahead];
        std::size_t hashed = 0;
        std::exception_ptr thrown;  // by a hash: the tasks before it are still kept
        try {
          for (; hashed < count; ++hashed) {
            hashes[hashed] = hash_of(first + hashed);
            index_.prefetch(hashes[hashed]);
          }
        } catch (...) {
          thrown = std::current_exception();
        }
        for (std::size_t k = 0; k < hashed; ++k) {
          const Task& task = tasks_[first + k];
          const std::size_t found = index_.find_or_insert(hashes[k], kept_, IsAt{tasks_, task});
          if (found == npos) {
            if constexpr (std::is_move_assignable_v<Task>) {
              if (kept_ != first + k) tasks_[kept_] = std::move(tasks_[first + k]);
            }
            ++kept_;
          } else {
            duplicates_.push_back({seen_, found});
          }
          ++seen_;
        }
        if (thrown != nullptr) return thrown;
        first += count;
      }
    } catch (...) {
      return std::current_exception();
    }
  }
  return nullptr;
}

template <class Task, class R>
void Store<Task, R>::make_slots(bool measured) {
  if (size() > few) slots_.make(size());
  if (measured) durations_ = Array<std::chrono::nanoseconds>(new (large) std::chrono::nanoseconds[size()]());
}

template <class Task, class R>
void Store<Task, R>::find_shares() noexcept {
  if (!shares_) return;
  for (std::size_t slot = 0; slot < size(); ++slot) slots_[slot].mark_shared(false);
  for (std::size_t slot = 0; slot < size(); ++slot) {
    const std::size_t with = shared_with(slot);
    for (std::size_t on_the_way = slot; on_the_way != with; on_the_way = std::exchange(shares_[on_the_way], with)) {
    }
    if (with != slot) slots_[with].mark_shared(true);
  }
}

// Duplicate k stands at source index number_k; before it, number_k - k tasks were distinct. So the slot s has as many
// duplicates before it as there are k with number_k - k <= s, and both searches below are binary.

template <class Task, class R>
std::uint64_t Store<Task, R>::number(std::size_t slot) const noexcept {
  if (numbers_) return numbers_[slot];
  if (duplicates_.empty()) return slot;
  std::size_t low = 0;
  std::size_t high = duplicates_.size();
  while (low < high) {
    const std::size_t k = low + (high - low) / 2;
    if (duplicates_[k].number - k <= slot) low = k + 1;
    else high = k;
  }
  return slot + low;
}

template <class Task, class R>
std::size_t Store<Task, R>::slot_of(std::uint64_t number) const noexcept {
  const auto at = std::lower_bound(duplicates_.begin(), duplicates_.end(), number,
                                   [](const Duplicate& duplicate, std::uint64_t n) { return duplicate.number < n; });
  if (at != duplicates_.end() && at->number == number) return at->slot;
  return static_cast<std::size_t>(number) - static_cast<std::size_t>(at - duplicates_.begin());
}

template <class Task, class R>
auto Store<Task, R>::index_of(State state) const -> const KeyIndex& {
  KeyIndex& keys = keys_[state == State::succeeded ? 0 : 1];
  // By hand: a hash may throw, and std::call_once then hangs on some platforms, and under TSan.
  if (keys.made.load(std::memory_order_acquire)) return keys;
  const std::scoped_lock lock(keys.turn);
  if (keys.made.load(std::memory_order_relaxed)) return keys;
  Index index;
  Array<bool> hidden;
  const HashAt hash_of{tasks_};
  std::size_t counted = 0;
  for (std::size_t slot = 0; slot < size(); ++slot) counted += this->slot(slot).state() == state ? 1U : 0U;
  for (std::size_t slot = size(); slot-- > 0;) {  // backwards: the last occurrence is the one that stays
    if (this->slot(slot).state() != state) continue;
    index.make_room(counted, size(), hash_of);
    if (index.find_or_insert(hash_of(slot), slot, IsAt{tasks_, tasks_[slot]}) == npos) continue;
    if (!hidden) hidden = Array<bool>(new bool[size()]());
    hidden[slot] = true;
  }
  keys.index = std::move(index);
  keys.hidden = std::move(hidden);
  keys.made.store(true, std::memory_order_release);
  return keys;
}

template <class Task, class R>
auto Store<Task, R>::finder() const noexcept -> Finder {
  Finder finder;
  const auto* const entries = index_.entries();
  // a task that threw while it moved to its place is known to the index alone
  if (shared_ && !shares_ && entries != nullptr && index_.size() == size()) {
    finder.entries_ = *entries;
    finder.tasks_ = tasks_.begin();
    finder.cells_ = slots_.all().cells;
  }
  return finder;
}

template <class Task, class R>
std::size_t Store<Task, R>::find(const Task& key, State state) const {
  if constexpr (Keyed<Task>) {
    const std::size_t slot = shared_ ? find(key) : index_of(state).index.find(KeyHash<Task>{}(key), IsAt{tasks_, key});
    return slot != npos && this->slot(slot).state() == state ? slot : npos;
  } else {
    static_assert(Comparable<Task>, "taskmgr: the maps of a report find a task by ==, which this task type does not have");
    for (std::size_t slot = size(); slot-- > 0;) {
      if (this->slot(slot).state() == state && IsAt{tasks_, key}(slot)) return slot;
    }
    return npos;
  }
}

}  // namespace taskmgr::detail
