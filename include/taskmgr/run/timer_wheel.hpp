// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What an event loop is to do, now or at some time: entries, lists of them, and the wheel that keeps them by time.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace taskmgr::detail {

/// A place in a list: the list goes through what is in it, and owns nothing.
struct Links {
  Links* before = nullptr;
  Links* after = nullptr;  // null: in no list
};

/// Something to be done by an event loop. It is in one list at a time, or in none, and leaves it when it ends.
class Entry : private Links {
 public:
  Entry() = default;
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;

  /// Does it. It may end itself.
  virtual void fire() noexcept = 0;

  [[nodiscard]] bool linked() const noexcept { return after != nullptr; }
  void unlink() noexcept {
    if (!linked()) return;
    before->after = after;
    after->before = before;
    before = after = nullptr;
  }

  /// Has the processor bring what `fire` reads first. A load that nobody waits for: a prefetch is dropped where the table of
  /// pages has to be read for it.
  void prefetch() const noexcept {
    if (needs_ == nullptr) return;
    constexpr std::size_t head = 2 * sizeof(void*);  // of a frame: it lies before the promise
    static_cast<void>(*(static_cast<const volatile char*>(needs_) - head));
  }

  union {
    std::uint64_t due = 0;  // in ticks
    void* other;            // what one keeps that waits for no time
  };

 protected:
  ~Entry() { unlink(); }

  void* needs_ = nullptr;  // a promise that it works on, if there is one

 private:
  friend class EntryList;
};

/// Entries in a row. Complexity: O(1), whatever is done.
class EntryList {
 public:
  EntryList() noexcept { clear(); }
  EntryList(const EntryList&) = delete;
  EntryList& operator=(const EntryList&) = delete;
  ~EntryList() {
    while (!empty()) pop_front().unlink();
  }

  [[nodiscard]] bool empty() const noexcept { return ends_.after == &ends_; }
  void push_back(Entry& entry) noexcept {
    Links& links = entry;
    links.before = ends_.before;
    links.after = &ends_;
    ends_.before->after = &links;
    ends_.before = &links;
  }
  /// Of a list that is not empty.
  Entry& pop_front() noexcept {
    Entry& first = static_cast<Entry&>(*ends_.after);
    first.unlink();
    return first;
  }
  /// Reads entries from the end of a list on, while somebody else pops them from its front: of a million, each lies in memory
  /// that no cache has, and where the next one lies is only known when it has been read. So two are waited for at a time.
  class Ahead {
   public:
    explicit Ahead(const EntryList& list) noexcept : at_(list.ends_.before) {}
    void look() noexcept { at_ = at_->before; }  // what was popped and is in another list leads there

   private:
    const Links* at_;
  };

  /// Asks the processor for what the first `count` of them read first when they are fired.
  void prefetch(int count) const noexcept {
    for (const Links* at = ends_.after; at != &ends_ && count != 0; at = at->after, --count) static_cast<const Entry*>(at)->prefetch();
  }
  /// Moves all of `other` to the end.
  void append(EntryList& other) noexcept {
    if (other.empty()) return;
    other.ends_.after->before = ends_.before;
    ends_.before->after = other.ends_.after;
    other.ends_.before->after = &ends_;
    ends_.before = other.ends_.before;
    other.clear();
  }

 private:
  void clear() noexcept { ends_.before = ends_.after = &ends_; }

  Links ends_;
};

/// Entries by the tick at which they are due: a hierarchy of wheels (Varghese and Lauck: Hashed and hierarchical timing
/// wheels, 1987). Each wheel has 64 slots; one of a wheel spans all slots of the wheel below. An entry lies in the lowest wheel
/// whose span has both the present and its tick, and moves down as its time comes near.
///
/// It never reads a clock. Entries of the same tick come out in the order in which they came in. Complexity: O(1) to add and to
/// remove one (by `Entry::unlink`), amortised O(wheels) for one to come out; bits tell which slots are in use, so empty time
/// costs nothing. Thread safety: one thread at a time.
class TimerWheel {
 public:
  static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

  /// Before anything is added: it is that time.
  void start(std::uint64_t now) noexcept { now_ = now; }

  /// The tick that it has been turned to.
  [[nodiscard]] std::uint64_t now() const noexcept { return now_; }

  /// `entry.due` lies after `now()`; later than `horizon` is as good as never.
  void add(Entry& entry) noexcept {
    if (entry.due > horizon) entry.due = horizon;
    const int wheel = (63 - std::countl_zero(entry.due ^ now_)) / bits;
    const std::uint64_t slot = (entry.due >> (wheel * bits)) % slots;
    slots_[wheel][slot].push_back(entry);
    used_[wheel] |= std::uint64_t{1} << slot;
  }

  /// Not later than the first entry is due; `never` if there is none.
  [[nodiscard]] std::uint64_t next() noexcept {
    for (int wheel = 0; wheel < wheels; ++wheel) {
      while (used_[wheel] != 0) {
        const auto slot = static_cast<unsigned>(std::countr_zero(used_[wheel]));
        if (slots_[wheel][slot].empty()) {  // they were unlinked
          used_[wheel] &= used_[wheel] - 1;
          continue;
        }
        const int shift = wheel * bits;
        const std::uint64_t before = (now_ >> shift) / slots * slots;  // the wheel's span began at
        return (before + slot) << shift;
      }
    }
    return never;
  }

  /// Turns it to `now`; what is due by then goes to the end of `due`, by time. If that is more than `enough`, it may stop at an
  /// earlier tick: the rest comes the next time.
  void turn_to(std::uint64_t now, EntryList& due, std::size_t enough = ~std::size_t{0}) noexcept {
    std::size_t count = 0;
    for (std::uint64_t tick = next(); tick <= now; tick = next()) {
      if (count >= enough) return;
      now_ = tick;
      int wheel = 0;
      while (wheel + 1 < wheels && used_[wheel] == 0) ++wheel;
      const std::uint64_t slot = (tick >> (wheel * bits)) % slots;
      used_[wheel] &= ~(std::uint64_t{1} << slot);
      EntryList near;
      near.append(slots_[wheel][slot]);
      for (EntryList::Ahead ahead{near}; !near.empty(); ++count) {
        ahead.look();
        Entry& entry = near.pop_front();
        if (entry.due <= tick) {
          due.push_back(entry);
        } else {
          add(entry);
        }
      }
    }
    if (now > now_) now_ = now < horizon ? now : horizon - 1;
  }

 private:
  static constexpr int bits = 6;
  static constexpr std::uint64_t slots = std::uint64_t{1} << bits;
  static constexpr int wheels = 9;
  static constexpr std::uint64_t horizon = (std::uint64_t{1} << (wheels * bits)) - 1;

  std::uint64_t now_ = 0;
  std::uint64_t used_[wheels] = {};
  EntryList slots_[wheels][slots];
};

}  // namespace taskmgr::detail
