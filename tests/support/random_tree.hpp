// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Trees with branches that are data, or random, and what plain loops make of the same functions.

#include <taskmgr/core/context.hpp>
#include <taskmgr/core/options.hpp>
#include <taskmgr/tree/branches.hpp>
#include <taskmgr/tree/node.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "branches.hpp"
#include "random.hpp"

namespace support::branches {

/// One node of a tree, and what it makes of what it is given.
struct Step {
  enum class Kind { one, many, route, merge, merge_two };
  Kind kind = Kind::one;
  std::size_t from = 0;
  std::size_t and_from = 0;
  int shift = 0;
  int range = 50;  // of what it makes

  [[nodiscard]] bool merges() const { return kind == Kind::merge || kind == Kind::merge_two; }
  [[nodiscard]] int one(int x) const { return (x * 3 + shift) % range; }
  [[nodiscard]] std::vector<int> many(int x) const {
    std::vector<int> all(static_cast<std::size_t>((x + shift) % 4), x);
    for (std::size_t n = 1; n < all.size(); n += 2) ++all[n];
    return all;
  }
  [[nodiscard]] static int merged(const std::vector<int>& all) { return digest(all); }
  [[nodiscard]] static int merged(const std::vector<int>& a, const std::vector<int>& b) { return (digest(a) * 7 + digest(b)) % 1000; }
};

/// What a tree makes of one initial task: by plain loops.
class Model {
 public:
  /// Whether a node fails when it is given this; a merge is asked with what it would make.
  using Fails = std::function<bool(std::size_t node, int x)>;

  Model(const std::vector<Step>& steps, Fails fails)
      : results(steps.size()), steps_(steps), fails_(std::move(fails)), failed_(steps.size()) {}

  void run(int x) {
    visit(0, x);
    for (std::size_t rank = 1; rank <= steps_.size(); ++rank) {
      for (std::size_t k = 0; k != steps_.size(); ++k) {
        const Step& step = steps_[k];
        if (!step.merges() || this->rank(k) != rank) continue;
        const bool two = step.kind == Step::Kind::merge_two;
        if (failed_on_way(step.from) || (two && failed_on_way(step.and_from))) {
          failed_[k] = true;
          continue;
        }
        const int merged = two ? Step::merged(results[step.from], results[step.and_from]) : Step::merged(results[step.from]);
        if (fails(k, merged)) continue;
        made(k, merged);
      }
    }
  }

  struct Failure {
    std::size_t node;
    int x;
  };
  std::vector<Failure> failures;  // in split order: the first is what the initial task has failed with
  std::vector<std::vector<int>> results;

 private:
  [[nodiscard]] std::size_t rank(std::size_t k) const {
    const Step& step = steps_[k];
    if (k == 0) return 0;
    if (!step.merges()) return rank(step.from);
    return 1 + (step.kind == Step::Kind::merge_two ? std::max(rank(step.from), rank(step.and_from)) : rank(step.from));
  }
  [[nodiscard]] bool failed_on_way(std::size_t k) const {
    for (;; k = steps_[k].from) {
      if (failed_[k]) return true;
      if (k == 0 || steps_[k].merges()) return false;
    }
  }
  bool fails(std::size_t k, int x) {
    if (!fails_(k, x)) return false;
    failed_[k] = true;
    failures.push_back({k, x});
    return true;
  }
  void visit(std::size_t k, int x) {
    const Step& step = steps_[k];
    if (fails(k, x)) return;
    if (step.kind == Step::Kind::many) {
      for (const int value : step.many(x)) made(k, value);
    } else if (step.kind == Step::Kind::route) {
      if (x % 2 == 0) made(k, x);
    } else {
      made(k, step.one(x));
    }
  }
  void made(std::size_t k, int value) {
    results[k].push_back(value);
    for (std::size_t next = k + 1; next < steps_.size(); ++next) {
      if (steps_[next].from == k && !steps_[next].merges()) visit(next, value);
    }
  }

  const std::vector<Step>& steps_;
  const Fails fails_;
  std::vector<bool> failed_;
};

/// What a node does before it returns what its step says; as `Model::Fails`, it may throw, or worse.
using Before = std::function<void(taskmgr::Context&, int x)>;

/// A tree that is described by its steps. Their stages are compiled once for all tests, in random_tree.cpp.
struct SteppedTree {
  taskmgr::TaskTree<int> tree{"steps"};
  std::vector<Step> steps;
  std::vector<taskmgr::Node<int>> nodes;

  /// One more node, its stage with these options. The first is the root, and of kind `one`; what cannot be a coroutine is serial
  /// where the options ask for one.
  void add(const Step& step, Before before, taskmgr::Options options);
};

/// Of any steps. `options(k)` are those of the k-th stage, and `before(k)`, which is asked afterwards, is what it does besides.
template <class MakeOptions, class MakeBefore>
SteppedTree random_tree(Random& random, std::size_t size, int range, const MakeOptions& options, const MakeBefore& before) {
  SteppedTree made;
  for (std::size_t k = 0; k != size; ++k) {
    Step step{.from = k != 0 ? random.below(k) : 0, .shift = random.number(9), .range = range};
    if (k != 0) step.kind = static_cast<Step::Kind>(random.below(5));
    if (step.kind == Step::Kind::merge_two) step.and_from = random.below(k);
    taskmgr::Options how = options(k);
    made.add(step, before(k), std::move(how));
  }
  return made;
}

}  // namespace support::branches
