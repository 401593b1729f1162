// SPDX-License-Identifier: MIT
#include <taskmgr/run/share.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "support/build.hpp"
#include "support/random.hpp"

using taskmgr::detail::Share;
using taskmgr::detail::Span;

namespace {

bool same(Span a, Span b) { return a.first == b.first && a.last == b.last; }

}  // namespace

TEST_CASE("a share is empty until something is put into it") {
  Share share;
  CHECK(share.empty());
  CHECK(share.take(1).empty());
  CHECK(share.steal().empty());
  share.put({3, 3});
  CHECK(share.empty());
}

TEST_CASE("its owner takes from the front") {
  Share share;
  share.put({10, 20});
  CHECK(same(share.take(3), {10, 13}));
  CHECK(same(share.take(1), {13, 14}));
  CHECK(same(share.take(100), {14, 20}));
  CHECK(share.empty());
  CHECK(share.take(1).empty());
}

TEST_CASE("thieves take the rear half, rounded up") {
  Share share;
  share.put({10, 20});
  CHECK(same(share.steal(), {15, 20}));
  CHECK(same(share.steal(), {12, 15}));
  CHECK(same(share.steal(), {11, 12}));
  CHECK(same(share.steal(), {10, 11}));
  CHECK(share.steal().empty());
}

TEST_CASE("its owner may put back what it has not begun, also when thieves have taken the rest") {
  Share share;
  share.put({10, 20});
  CHECK(same(share.take(4), {10, 14}));
  share.put_back({12, 14});
  CHECK(same(share.take(1), {12, 13}));
  CHECK(same(share.take(1), {13, 14}));
  CHECK(same(share.steal(), {17, 20}));
  CHECK(same(share.take(3), {14, 17}));
  share.put_back({15, 17});
  CHECK(same(share.steal(), {16, 17}));
  CHECK(same(share.take(9), {15, 16}));
  CHECK(share.empty());
}

TEST_CASE("a share holds the longest span at the highest position") {
  Share share;
  const Span all{Share::most_positions - Share::most, Share::most_positions};
  share.put({all.first - 1, all.last - 1});
  CHECK(same(share.take(Share::most), {all.first - 1, all.last - 1}));
  // the end of the last span is one past the last position
  share.put({all.last - 1, all.last});
  CHECK(same(share.steal(), {all.last - 1, all.last}));
}

TEST_CASE("owner and thief divide a span without a gap or an overlap") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  for (int round = 0; round < 500; ++round) {
    Span rest{random.below(1000), 0};
    rest.last = rest.first + random.below(300);
    Share share;
    share.put(rest);
    while (!rest.empty()) {
      REQUIRE(!share.empty());
      if (random.below(2) == 0) {
        const std::size_t most = 1 + random.below(20);
        const Span taken = share.take(most);
        REQUIRE(same(taken, {rest.first, rest.first + std::min(most, rest.size())}));
        rest.first = taken.last;
      } else {
        const Span stolen = share.steal();
        REQUIRE(same(stolen, {rest.first + rest.size() / 2, rest.last}));
        rest.last = stolen.first;
      }
    }
    REQUIRE(share.empty());
  }
}

TEST_CASE("among many threads every task is taken exactly once") {
  constexpr std::size_t workers = 4;
  const auto tasks = static_cast<std::size_t>(support::times(400'000));
  std::vector<std::atomic<unsigned char>> taken(tasks);
  Share shares[workers];
  std::atomic<std::size_t> next{0};
  std::atomic<std::size_t> left{tasks};
  const auto work = [&](std::size_t self) {
    const auto begin = [&](Span span) {  // as a run does it: some at once, the rest into one's own share
      const Span now{span.first, std::min(span.first + 4, span.last)};
      shares[self].put({now.last, span.last});
      return now;
    };
    while (left.load() != 0) {
      Span span = shares[self].take(4);
      if (span.empty()) {
        const std::size_t first = next.fetch_add(64);
        if (first < tasks) span = begin({first, std::min(first + 64, tasks)});
      }
      for (std::size_t k = 1; span.empty() && k < workers; ++k) {
        const Span stolen = shares[(self + k) % workers].steal();
        if (!stolen.empty()) span = begin(stolen);
      }
      for (std::size_t task = span.first; task != span.last; ++task) taken[task].fetch_add(1, std::memory_order_relaxed);
      left.fetch_sub(span.size());
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t k = 0; k < workers; ++k) threads.emplace_back(work, k);
  }
  CHECK(std::all_of(taken.begin(), taken.end(), [](const auto& count) { return count.load() == 1; }));
}
