// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Sources of tasks that are no containers.

#include <cstddef>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace support {

/// Walked once, by an iterator that cannot be copied, to a sentinel of another type: `make(0)`, `make(1)`, … `make(size - 1)`,
/// each made anew. Throws `std::runtime_error` when it should make the one at `throws_at`.
template <class Make>
class InputOnly {
 public:
  using Value = decltype(std::declval<const Make&>()(0));

  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = Value;
    using difference_type = std::ptrdiff_t;

    explicit iterator(InputOnly& source) : source_(&source) {}
    iterator(const iterator&) = delete;
    iterator& operator=(const iterator&) = delete;
    iterator(iterator&&) = default;
    iterator& operator=(iterator&&) = default;

    Value operator*() const { return source_->make(at_); }
    iterator& operator++() {
      ++at_;
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return at_ == source_->size_; }

   private:
    InputOnly* source_;
    int at_ = 0;
  };

  InputOnly(int size, Make make, int throws_at = -1) : make_(std::move(make)), size_(size), throws_at_(throws_at) {}

  iterator begin() { return iterator{*this}; }
  std::default_sentinel_t end() const { return {}; }

 private:
  Value make(int at) const {
    if (at == throws_at_) throw std::runtime_error("the source is broken");
    return make_(at);
  }
  Make make_;
  int size_;
  int throws_at_;
};

/// A container walked by a forward iterator of one's own, which refers to what is in it. Throws at `++` from `throws_at`.
template <class Container>
class Own {
 public:
  class iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = typename Container::value_type;
    using difference_type = std::ptrdiff_t;
    using reference = value_type&;
    using pointer = value_type*;

    iterator() = default;
    iterator(Own* owner, std::size_t at) : owner_(owner), at_(at) {}
    reference operator*() const { return owner_->items[at_]; }
    pointer operator->() const { return &owner_->items[at_]; }
    iterator& operator++() {
      if (at_ == owner_->throws_at) throw std::runtime_error("the source is broken");
      ++at_;
      return *this;
    }
    iterator operator++(int) {
      iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const iterator& other) const { return at_ == other.at_; }

   private:
    Own* owner_ = nullptr;
    std::size_t at_ = 0;
  };

  iterator begin() { return {this, 0}; }
  iterator end() { return {this, items.size()}; }

  Container items{};
  std::size_t throws_at = static_cast<std::size_t>(-1);
};

}  // namespace support
