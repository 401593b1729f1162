// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A range that tells what is done with it, and can be made to throw at every step.

#include <cstddef>
#include <functional>
#include <iterator>
#include <limits>
#include <utility>

namespace support {

/// The numbers 0, 1, ..., n - 1 as an input range, modulo `modulus` if there is one. `hook` is called before each step, with
/// the index that the range is at; what it throws comes out of the range.
class Source {
 public:
  enum class Step { begin, end, read, next };
  using Hook = std::function<void(Step step, int at)>;
  static constexpr int endless = std::numeric_limits<int>::max();

  explicit Source(int n, Hook hook = [](Step, int) {}, int modulus = endless)
      : n_(n), hook_(std::move(hook)), modulus_(modulus) {}

  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using value_type = int;
    using difference_type = std::ptrdiff_t;

    explicit iterator(const Source& source) : source_(&source) {}
    int operator*() const {
      source_->hook_(Step::read, at_);
      return at_ % source_->modulus_;
    }
    iterator& operator++() {
      source_->hook_(Step::next, at_);
      ++at_;
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const {
      source_->hook_(Step::end, at_);
      return at_ >= source_->n_;
    }

   private:
    const Source* source_;
    int at_ = 0;
  };

  [[nodiscard]] iterator begin() const {
    hook_(Step::begin, 0);
    return iterator{*this};
  }
  [[nodiscard]] std::default_sentinel_t end() const { return {}; }

 private:
  int n_;
  Hook hook_;
  int modulus_;
};

}  // namespace support
