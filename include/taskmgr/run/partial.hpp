// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A large result that comes in parts, which are copied to where they are to stay.

#include <algorithm>
#include <cstddef>
#include <exception>
#include <iterator>
#include <memory>
#include <type_traits>
#include <utility>

#include "../core/large.hpp"
#include "codec.hpp"
#include "errand.hpp"

namespace taskmgr::detail {

/// Results whose elements lie in a row as they cross. If they are many, they are written from there, and read to where they
/// are to stay.
template <class R>
concept InParts = shape_of<R>() == Shape::range && FlatRange<R> &&
                  std::contiguous_iterator<decltype(std::declval<const R&>().begin())>;

/// What has come of such a result.
template <class R>
class Partial {
 public:
  /// A new one, of as many elements as the reader says. Throws `CodecError`.
  void begin(Reader& reader);
  /// The next elements: all that the reader has. Throws `CodecError`.
  void add(Reader& reader);
  /// It is complete. Throws `CodecError` if it is not, and what was thrown where there was no room for it.
  [[nodiscard]] R take();

 private:
  using Element = typename R::value_type;
  static constexpr std::size_t believed = (std::size_t{1} << 26U) / sizeof(Element);  // of the size alone; then what has come counts

  R range_;
  std::size_t size_ = 0;
  std::exception_ptr thrown_;
};

// ---------------------------------------------------------------------------------------------------------------------

template <class R>
void Partial<R>::begin(Reader& reader) {
  range_ = R();
  thrown_ = nullptr;
  size_ = reader.read_index();
  reader.finish();
}

template <class R>
void Partial<R>::add(Reader& reader) {
  const std::size_t count = reader.remaining() / sizeof(Element);
  if (reader.remaining() % sizeof(Element) != 0 || count > size_ - range_.size()) fail_answer("sent more than it has announced");
  if (thrown_ != nullptr) return;
  try {
    if constexpr (requires { range_.reserve(range_.capacity()); }) {
      const std::size_t needed = range_.size() + count;
      if (range_.capacity() < needed) range_.reserve(std::max(needed, std::min(size_, std::max(believed, 2 * needed))));
      populate(std::to_address(range_.end()), count * sizeof(Element));
    }
    decode_flat_range(reader, range_, count);
  } catch (...) {
    thrown_ = std::current_exception();
    range_ = R();
  }
}

template <class R>
R Partial<R>::take() {
  if (thrown_ != nullptr) std::rethrow_exception(thrown_);
  if (range_.size() != size_) fail_answer("not sent all that it has announced");
  size_ = 0;
  return std::exchange(range_, R());
}

}  // namespace taskmgr::detail
