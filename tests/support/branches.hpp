// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Functions of a few types to build trees with branches of, so that few stages are compiled.

#include <taskmgr/core/context.hpp>
#include <taskmgr/run/async.hpp>

#include <functional>
#include <memory>
#include <numeric>
#include <variant>
#include <vector>

namespace support::branches {

using One = std::function<int(taskmgr::Context&, int)>;
using Many = std::function<std::vector<int>(taskmgr::Context&, int)>;
struct Even {
  int n;
};
struct Odd {
  int n;
};
using Kind = std::variant<Even, Odd>;
using Sort = std::function<Kind(taskmgr::Context&, int)>;
using Join = std::function<int(taskmgr::Context&, const std::vector<int>&)>;
using JoinTwo = std::function<int(taskmgr::Context&, const std::vector<int>&, const std::vector<int>&)>;

/// A function as a coroutine that never waits.
struct Coroutine {
  One function;
  taskmgr::Async<int> operator()(taskmgr::Context& context, int x) const { co_return function(context, x); }
};

inline const One same = [](taskmgr::Context&, int x) { return x; };
inline One plus(int n) {
  return [n](taskmgr::Context&, int x) { return x + n; };
}
inline const Many up_to = [](taskmgr::Context&, int n) {
  std::vector<int> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 1);
  return all;
};
inline const Sort by_parity = [](taskmgr::Context&, int n) -> Kind {
  if (n % 2 == 0) return Even{n};
  return Odd{n};
};
inline int sum(const std::vector<int>& all) { return std::accumulate(all.begin(), all.end(), 0); }
inline const std::function<int(Even)> of_even = [](Even even) { return even.n; };
inline const std::function<int(Odd)> of_odd = [](Odd odd) { return odd.n; };
using Box = std::function<std::unique_ptr<int>(int)>;
inline const std::function<int(const std::unique_ptr<int>&)> unbox = [](const std::unique_ptr<int>& box) { return *box; };
inline const Join sum_up = [](taskmgr::Context&, const std::vector<int>& all) { return sum(all); };
inline const JoinTwo sum_of_both = [](taskmgr::Context&, const std::vector<int>& a, const std::vector<int>& b) {
  return sum(a) + sum(b);
};
/// Tells orders apart.
inline int digest(const std::vector<int>& all) {
  unsigned word = 17;
  for (const int x : all) word = word * 31 + static_cast<unsigned>(x);
  return static_cast<int>(word % 1000);
}

}  // namespace support::branches
