// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the nodes of a tree that branches are called by, and what a run has made of them.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "../core/error.hpp"

namespace taskmgr {

class Branches;

/// Of a chain, from `In` to `Out`; with branches if only the first is named.
template <class In, class Out = Branches>
class TaskTree;

namespace detail {
class BranchRecord;
struct NodeAccess;
}

/// A node of a tree that branches, whose results are `T`s: those of a split are the elements, each by itself.
///
/// A value, to be copied; it belongs to the tree that gave it.
template <class T>
class Node {
 public:
  using value_type = T;

 private:
  friend struct detail::NodeAccess;
  Node(std::uint64_t tree, std::size_t index, std::size_t outlet) noexcept : tree_(tree), index_(index), outlet_(outlet) {}

  std::uint64_t tree_;  // its number
  std::size_t index_;
  std::size_t outlet_;  // of the node's
};

/// A node whose results are of several types: `get<T>()` is where those of type `T` go on.
template <class Variant>
class RouteNode : public Node<Variant> {
 public:
  template <class T>
  [[nodiscard]] Node<T> get() const noexcept;

 private:
  friend struct detail::NodeAccess;
  using Node<Variant>::Node;
};

/// The results that one initial task has at a node, in split order: a random-access range of `const T&`.
///
/// Thread safety: any number of threads may read.
template <class T>
class NodeResults {
 public:
  class iterator {
   public:
    using iterator_category = std::random_access_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using reference = const T&;
    using pointer = const T*;

    iterator() = default;
    explicit iterator(const T* const* at) noexcept : at_(at) {}
    [[nodiscard]] reference operator*() const noexcept { return **at_; }
    [[nodiscard]] pointer operator->() const noexcept { return *at_; }
    [[nodiscard]] reference operator[](difference_type n) const noexcept { return *at_[n]; }
    iterator& operator++() noexcept { return *this += 1; }
    iterator& operator--() noexcept { return *this -= 1; }
    iterator operator++(int) noexcept { return iterator{at_++}; }
    iterator operator--(int) noexcept { return iterator{at_--}; }
    iterator& operator+=(difference_type n) noexcept {
      at_ += n;
      return *this;
    }
    iterator& operator-=(difference_type n) noexcept { return *this += -n; }
    [[nodiscard]] friend iterator operator+(iterator a, difference_type n) noexcept { return a += n; }
    [[nodiscard]] friend iterator operator+(difference_type n, iterator a) noexcept { return a += n; }
    [[nodiscard]] friend iterator operator-(iterator a, difference_type n) noexcept { return a -= n; }
    [[nodiscard]] friend difference_type operator-(const iterator& a, const iterator& b) noexcept { return a.at_ - b.at_; }
    [[nodiscard]] auto operator<=>(const iterator& other) const noexcept = default;

   private:
    const T* const* at_ = nullptr;
  };
  using value_type = T;
  using const_iterator = iterator;
  using size_type = std::size_t;
  using difference_type = std::ptrdiff_t;

  [[nodiscard]] std::size_t size() const noexcept { return results_.size(); }
  [[nodiscard]] bool empty() const noexcept { return results_.empty(); }
  [[nodiscard]] iterator begin() const noexcept { return iterator{results_.data()}; }
  [[nodiscard]] iterator end() const noexcept { return iterator{results_.data() + results_.size()}; }
  [[nodiscard]] const T& operator[](std::size_t k) const noexcept { return *results_[k]; }
  [[nodiscard]] const T& front() const noexcept { return *results_.front(); }
  [[nodiscard]] const T& back() const noexcept { return *results_.back(); }
  /// Throws `std::out_of_range`.
  [[nodiscard]] const T& at(std::size_t k) const {
    if (k < size()) return *results_[k];
    throw std::out_of_range("taskmgr: at(" + std::to_string(k) + ") of " + std::to_string(size()) + " results");
  }

  /// Copies.
  operator std::vector<T>() const  // NOLINT: wherever a vector is asked for
    requires std::is_copy_constructible_v<T>
  {
    return std::vector<T>(begin(), end());
  }
  [[nodiscard]] friend bool operator==(const NodeResults& results, const std::vector<T>& values)
    requires requires(const T& a) { static_cast<bool>(a == a); }
  {
    return std::equal(results.begin(), results.end(), values.begin(), values.end());
  }
  [[nodiscard]] friend bool operator==(const NodeResults& a, const NodeResults& b)
    requires requires(const T& c) { static_cast<bool>(c == c); }
  {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

  /// For the library: where they are, and who keeps them alive.
  NodeResults(std::vector<const T*> results, std::shared_ptr<const void> owner) noexcept
      : results_(std::move(results)), owner_(std::move(owner)) {}

 private:
  std::vector<const T*> results_;
  std::shared_ptr<const void> owner_;
};

/// What a tree that branches has made of one initial task: the value of its outcome.
///
///     tree.start(urls, [&](auto& outcome) { if (outcome.state() == State::succeeded) use(outcome.value().results(total)); });
///
/// It owns what the nodes have made, together with the report.
class Branches {
 public:
  /// At a node of that tree. Throws `UsageError` for one of another tree, or added later. O(what it shows).
  template <class T>
  [[nodiscard]] NodeResults<T> results(const Node<T>& node) const;

  /// For the library.
  Branches(std::shared_ptr<const detail::BranchRecord> record, std::size_t slot) noexcept : record_(std::move(record)), slot_(slot) {}

 private:
  std::shared_ptr<const detail::BranchRecord> record_;
  std::size_t slot_;
};

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

struct NodeAccess {
  /// Of a node with several outlets: all of them.
  static constexpr std::size_t whole = static_cast<std::size_t>(-1);

  template <class Handle>
  [[nodiscard]] static Handle make(std::uint64_t tree, std::size_t index, std::size_t outlet) noexcept {
    return Handle{tree, index, outlet};
  }
  template <class T>
  [[nodiscard]] static std::uint64_t tree(const Node<T>& node) noexcept {
    return node.tree_;
  }
  template <class T>
  [[nodiscard]] static std::size_t index(const Node<T>& node) noexcept {
    return node.index_;
  }
  template <class T>
  [[nodiscard]] static std::size_t outlet(const Node<T>& node) noexcept {
    return node.outlet_;
  }
};

template <class Variant>
struct Alternative;
template <class... A>
struct Alternative<std::variant<A...>> {
  template <class T>
  static constexpr std::size_t count = (std::size_t{std::is_same_v<A, T>} + ... + 0);
  template <class T>
  [[nodiscard]] static constexpr std::size_t index_of() noexcept {
    constexpr bool same[] = {std::is_same_v<A, T>...};
    std::size_t k = 0;
    while (k < sizeof...(A) && !same[k]) ++k;
    return k;
  }
};

}  // namespace detail

template <class Variant>
template <class T>
Node<T> RouteNode<Variant>::get() const noexcept {
  static_assert(detail::Alternative<Variant>::template count<T> == 1,
                "taskmgr: get<T>() of a route: T must be one of the types of its variant, and stand there once");
  using Access = detail::NodeAccess;
  return Access::make<Node<T>>(Access::tree(*this), Access::index(*this), detail::Alternative<Variant>::template index_of<T>());
}

}  // namespace taskmgr
