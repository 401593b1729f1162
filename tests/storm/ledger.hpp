// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the workers of a storm were at when they died, in memory that outlives them: so it is known which tasks may have lost
/// an attempt.

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "support/processes.hpp"

namespace storm {

/// The ledger of one run. Workers write it, and whoever strikes them; it is read when the run is over.
class Ledger {
 public:
  static constexpr std::size_t most_seats = 64;

  /// One worker process: what it is at now, or was at when it died.
  struct Life {
    std::atomic<pid_t> process{0};
    std::atomic<bool> struck{false};      // somebody, or itself, has set out to end it
    std::atomic<int> inside{-1};          // the task whose function runs, or whose result is encoded; -1: none
    std::atomic<std::uint32_t> slow{0};   // functions that took half a timeout and longer
  };

  explicit Ledger(std::size_t tasks) : tasks_(tasks), runs_in_(new_shared(tasks)) {}
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;
  ~Ledger() { ::munmap(runs_in_, tasks_ * sizeof *runs_in_); }

  // --- in workers

  /// This process works at `seat`, and may be struck from now on.
  void sit_down(std::size_t seat) noexcept {
    if (own() != 0) return;
    const std::uint32_t number = book().lives_begun.fetch_add(1) + 1;
    if (number > most_lives) ::_exit(1);  // then `lives_fit` is false
    own() = number;
    life(number).process = ::getpid();
    book().seats[seat] = number;
  }

  void begin(int task) noexcept {
    life(own()).inside = task;
    const std::uint32_t before = runs_in_[static_cast<std::size_t>(task)].exchange(own());
    if (before != 0 && !life(before).struck) ++book().run_twice;
  }

  void finish(int task, bool slowly) noexcept {
    runs_in_[static_cast<std::size_t>(task)] = 0;
    Life& mine = life(own());
    if (slowly) ++mine.slow;
    mine.inside = -1;
  }

  /// The result of the task is encoded, by `encode`: that is still its attempt.
  template <class Encode>
  void answer(int task, const Encode& encode) {
    life(own()).inside = task;
    encode();
    life(own()).inside = -1;
  }

  /// This process is about to end itself.
  void strike_itself() noexcept {
    if (!life(own()).struck.exchange(true)) ++book().strikes;
  }

  // --- anywhere

  /// Sends a signal to the worker that has the seat, once in its life. Says whether it was there.
  bool strike(std::size_t seat, int signal) noexcept {
    const std::uint32_t number = book().seats[seat].exchange(0);
    if (number == 0 || life(number).struck.exchange(true)) return false;
    ++book().strikes;  // first: who strikes itself is not there to count it afterwards
    if (::kill(life(number).process, signal) == 0) return true;
    --book().strikes;
    life(number).struck = false;
    return false;
  }

  [[nodiscard]] std::uint32_t strikes() const noexcept { return book().strikes; }

  // --- when the run is over

  struct Deaths {
    std::size_t inside = 0;   // in the function of a task, which then has lost an attempt
    std::size_t outside = 0;  // elsewhere
    std::size_t late = 0;     // not struck: a deadline was passed for want of a processor
  };

  /// Counts the deaths; `lost[task]` says how many attempts it must have lost.
  template <class Lost>
  [[nodiscard]] Deaths deaths(Lost& lost) const {
    Deaths deaths;
    for (std::uint32_t number = 1; number <= book().lives_begun && number <= most_lives; ++number) {
      const Life& one = life(number);
      deaths.late += one.slow;
      if (one.inside >= 0) {
        ++lost[static_cast<std::size_t>(one.inside)];
        ++(one.struck ? deaths.inside : deaths.late);
      } else if (one.struck) {
        ++deaths.outside;
      }
    }
    return deaths;
  }

  /// How often a task was begun while it ran in a worker that nobody had struck.
  [[nodiscard]] std::uint32_t run_twice() const noexcept { return book().run_twice; }
  [[nodiscard]] bool lives_fit() const noexcept { return book().lives_begun <= most_lives; }

 private:
  static constexpr std::size_t most_lives = std::size_t{1} << 17U;

  struct Book {
    std::array<std::atomic<std::uint32_t>, most_seats> seats{};  // the life at each, from 1, as long as it was not struck
    std::atomic<std::uint32_t> lives_begun{0};
    std::atomic<std::uint32_t> strikes{0};
    std::atomic<std::uint32_t> run_twice{0};
    std::array<Life, most_lives> lives{};
  };

  using RunsIn = std::atomic<std::uint32_t>;
  static RunsIn* new_shared(std::size_t count) {
    void* const memory = ::mmap(nullptr, count * sizeof(RunsIn), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc{};
    return ::new (memory) RunsIn[count]{};
  }

  /// The life of this process; 0 in the host.
  static std::uint32_t& own() noexcept {
    static std::uint32_t number = 0;
    return number;
  }
  [[nodiscard]] Book& book() const noexcept { return book_.get(); }
  [[nodiscard]] Life& life(std::uint32_t number) const noexcept { return book().lives[number - 1]; }

  const std::size_t tasks_;
  RunsIn* const runs_in_;  // for each task the life that is at it; 0: none
  support::Shared<Book> book_;
};

}  // namespace storm
