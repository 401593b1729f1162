// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A plain loop on every core at the same time: what these cores can do together.

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

#include "measure.hpp"
#include "slots.hpp"

namespace bench {

/// The seconds of a plain loop over all tasks, while as many others as there are threads run one, too: the harmonic mean of
/// their times, that is, the mean of their speeds. Two cores cannot always reach twice what a loop does by itself: the
/// processor runs a core faster while the other sleeps (by 1 to 2 %, where we measured), and the host of a virtual machine
/// finds it a place more easily. Two bare threads with half the tasks each were less than 99 % efficient there.
template <class Task, class F, class Check>
[[nodiscard]] double side_by_side(std::size_t threads, const std::vector<Task>& tasks, const F& f, const Check& check) {
  std::vector<double> seconds(threads);
  std::atomic<std::size_t> here{0};
  const auto loop = [&](std::size_t k) {
    ++here;
    while (here != threads) {
    }
    Stopwatch watch;
    {
      const auto slots = run_plainly(tasks, f);
      watch.pause();
      if (k == 0) check(slots);
      watch.go_on();
    }
    seconds[k] = watch.seconds();
  };
  {
    std::vector<std::jthread> others;
    for (std::size_t k = 1; k < threads; ++k) others.emplace_back(loop, k);
    loop(0);
  }
  double speed = 0;
  for (const double took : seconds) speed += 1 / took / static_cast<double>(threads);
  return 1 / speed;
}

}  // namespace bench
