// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The same by oneTBB.

#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/partitioner.h>

#include <cstddef>
#include <vector>

#include "slots.hpp"

namespace bench {

/// As long as it lives, oneTBB uses so many threads, the caller one of them.
class OneTbbThreads {
 public:
  explicit OneTbbThreads(std::size_t count) : limit_(tbb::global_control::max_allowed_parallelism, count) {}

 private:
  tbb::global_control limit_;
};

/// `Partitioner`: `tbb::static_partitioner` or `tbb::auto_partitioner`.
template <class Partitioner, class Task, class F>
[[nodiscard]] auto run_by_onetbb(const std::vector<Task>& tasks, const F& f) {
  using R = decltype(f(tasks[0]));
  Slots<R> slots{tasks.size()};
  tbb::parallel_for(
      tbb::blocked_range<std::size_t>{0, tasks.size()},
      [places = slots.data(), first = tasks.data(), &f](const tbb::blocked_range<std::size_t>& range) {
        for (std::size_t i = range.begin(); i != range.end(); ++i) {
          Slot<R>::make(places + i, [&] { return f(first[i]); });
        }
      },
      Partitioner{});
  return slots;
}

}  // namespace bench
