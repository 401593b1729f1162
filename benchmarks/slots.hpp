// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Outcomes as a program without taskmgr would keep them: a slot a task, with the value or the exception.

#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace bench {

template <class R>
struct Slot {
  R value;
  std::exception_ptr error;

  /// Makes a slot in raw memory, of what `f` returns or throws.
  template <class F>
  static void make(Slot* place, const F& f) {
    try {
      ::new (static_cast<void*>(place)) Slot{f(), nullptr};
    } catch (...) {
      ::new (static_cast<void*>(place)) Slot{R{}, std::current_exception()};
    }
  }
};
static_assert(sizeof(Slot<long>) == 16);

/// A slot for each of `size` tasks, in memory that is allocated anew and not touched before the slots are made in it: that
/// is done by whoever runs a task, once for each.
template <class R>
class Slots {
 public:
  explicit Slots(std::size_t size) : first_(std::allocator<Slot<R>>{}.allocate(size)), size_(size) {}
  Slots(Slots&& other) noexcept : first_(std::exchange(other.first_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Slots& operator=(Slots&&) = delete;
  ~Slots() {
    std::destroy_n(first_, size_);
    if (first_ != nullptr) std::allocator<Slot<R>>{}.deallocate(first_, size_);
  }

  [[nodiscard]] Slot<R>* data() noexcept { return first_; }
  [[nodiscard]] const Slot<R>& operator[](std::size_t i) const noexcept { return first_[i]; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  Slot<R>* first_;
  std::size_t size_;
};

/// The job by a plain loop.
template <class Task, class F>
[[nodiscard]] auto run_plainly(const std::vector<Task>& tasks, const F& f) {
  using R = decltype(f(tasks[0]));
  Slots<R> slots{tasks.size()};
  Slot<R>* place = slots.data();
  for (const Task& task : tasks) Slot<R>::make(place++, [&] { return f(task); });
  return slots;
}

}  // namespace bench
