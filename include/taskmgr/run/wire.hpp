// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Bytes on their way from one process to another: a buffer, what writes into one, and what reads out of one and trusts
/// nothing.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "../core/error.hpp"

namespace taskmgr {

/// A value cannot be written, or bytes are not what a `Codec` has written.
class CodecError : public Error {
 public:
  using Error::Error;
};

/// Bytes in a row that grow at the end, with room to spare, and are not zeroed first. Movable, not copyable.
///
/// Thread safety: none. Complexity: appending is linear in what is appended, amortised.
class ByteBuffer {
 public:
  ByteBuffer() noexcept = default;
  ByteBuffer(ByteBuffer&& other) noexcept;
  ByteBuffer& operator=(ByteBuffer&& other) noexcept;
  ~ByteBuffer() { std::free(data_); }

  [[nodiscard]] const std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::byte* data() noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  template <class Byte = const std::byte>  // a template: std::span is 3 MB of a compilation, for who asks for it
  [[nodiscard]] std::span<Byte> bytes() const noexcept {
    return {data_, size_};
  }

  void append(const void* data, std::size_t size);

  /// `size` more bytes, with whatever is in them, for the caller to fill; the address holds until the buffer grows
  /// again. Throws `std::bad_alloc`, and has then changed nothing.
  std::byte* extend(std::size_t size);

  /// Forgets all bytes but the first `size`, of which there have to be as many. The memory is kept.
  void truncate(std::size_t size) noexcept { size_ = size; }
  void clear() noexcept { size_ = 0; }

 private:
  void grow(std::size_t size);

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

/// How values are written and read: see codec.hpp.
template <class T>
struct Codec;

/// Whether a `T` crosses as its bytes, as they are: for a trivially copyable type that has no codec, and in which no
/// address is.
///
///     template <> inline constexpr bool taskmgr::as_bytes<Pixel> = true;
template <class T>
inline constexpr bool as_bytes = false;

/// How deep values may be nested in each other, in containers and owning pointers, to be written and to be read. One
/// whose own members take more than 256 bytes counts as several levels, for it takes as much more of the stack. Those
/// in each other may have 4 MiB in all.
inline constexpr int max_nesting = 1024;

namespace detail {

/// The levels that are left, of a Writer or a Reader.
class Nesting {
 public:
  /// Some levels deeper, as long as it lives.
  class [[nodiscard]] Level {
   public:
    Level(Nesting& nesting, std::size_t size);
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;
    ~Level() {
      nesting_.left_ += levels_of(size_);
      nesting_.bytes_ -= size_;
    }

   private:
    Nesting& nesting_;
    const std::size_t size_;
  };

  Level enter(std::size_t size) { return {*this, size}; }

 private:
  static int levels_of(std::size_t size) noexcept { return 1 + static_cast<int>(std::min<std::size_t>(size / 256, 63)); }
  static constexpr std::size_t most_bytes = std::size_t{4} << 20U;  // half of a stack; but one in another may always be

  int left_ = max_nesting;
  std::size_t bytes_ = 0;
};

}  // namespace detail

/// Appends values to a buffer of the caller's: in the byte order and the sizes of this machine, for it is read here.
///
///     void encode(Writer& writer, const Url& url) { Codec<std::string>::encode(writer, url.text()); }
///
/// Thread safety: none.
class Writer {
 public:
  explicit Writer(ByteBuffer& buffer) noexcept : buffer_(&buffer) {}

  void write(const void* data, std::size_t size) { buffer_->append(data, size); }

  /// A number of things: a byte if it is below 255, else nine.
  void write_size(std::size_t size);

  /// To be kept while what is nested in a value is written: `const auto level = writer.nest();`. Needed only in a
  /// `Codec` that calls itself. `size` is that of the value. Throws `CodecError` where it is too deep to be read.
  detail::Nesting::Level nest(std::size_t size = 0) { return nesting_.enter(size); }

 private:
  ByteBuffer* buffer_;
  detail::Nesting nesting_;
};

/// Reads what a `Writer` has written, and throws `CodecError` where it finds something else: it reads no byte beyond
/// the end, and believes no number that it reads.
///
/// Thread safety: none.
class Reader {
 public:
  /// The bytes have to live as long as the reader.
  template <class Byte = const std::byte>
  explicit Reader(std::type_identity_t<std::span<Byte>> bytes) noexcept : Reader(bytes.data(), bytes.size()) {}
  Reader(const std::byte* bytes, std::size_t size) noexcept : at_(bytes), left_(size) {}

  void read(void* data, std::size_t size);

  /// The next `size` bytes, where they are.
  template <class Byte = const std::byte>
  [[nodiscard]] std::span<Byte> take(std::size_t size) {
    return {skip(size), size};
  }
  /// The same, given as the address of the first.
  const std::byte* skip(std::size_t size);

  /// A number of things that take `least` bytes each, or more: one byte at least. So it is no more than what is there
  /// can hold, and memory may be reserved for as many things as large as `least`.
  [[nodiscard]] std::size_t read_size(std::size_t least = 1);

  /// A number as `write_size` wrote it that stands for nothing behind it, an index say.
  [[nodiscard]] std::size_t read_index();

  /// How many bytes are left.
  [[nodiscard]] std::size_t remaining() const noexcept { return left_; }

  /// Throws `CodecError` unless all has been read.
  void finish() const;

  /// As `Writer::nest`, while what is nested in a value is read.
  detail::Nesting::Level nest(std::size_t size = 0) { return nesting_.enter(size); }

 private:
  [[noreturn]] void fail_short(std::size_t size) const;

  const std::byte* at_;
  std::size_t left_;
  detail::Nesting nesting_;
};

// ---------------------------------------------------------------------------------------------------------------------

inline ByteBuffer::ByteBuffer(ByteBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      capacity_(std::exchange(other.capacity_, 0)) {}

inline ByteBuffer& ByteBuffer::operator=(ByteBuffer&& other) noexcept {
  ByteBuffer taken{std::move(other)};
  std::swap(data_, taken.data_);
  std::swap(size_, taken.size_);
  std::swap(capacity_, taken.capacity_);
  return *this;
}

inline void ByteBuffer::append(const void* data, std::size_t size) {
  if (size != 0) std::memcpy(extend(size), data, size);  // memcpy takes no null pointer, not even for nothing
}

inline std::byte* ByteBuffer::extend(std::size_t size) {
  if (capacity_ - size_ < size) grow(size);
  std::byte* const room = data_ + size_;
  size_ += size;
  return room;
}

[[gnu::noinline]] inline void ByteBuffer::grow(std::size_t size) {
  constexpr std::size_t most = std::numeric_limits<std::ptrdiff_t>::max();
  if (size > most - size_) throw std::bad_alloc{};
  const std::size_t capacity = std::max({size_ + size, std::min(2 * capacity_, most), std::size_t{256}});
  void* const data = std::realloc(data_, capacity);  // which moves the pages of what is large, and copies no byte
  if (data == nullptr) throw std::bad_alloc{};
  data_ = static_cast<std::byte*>(data);
  capacity_ = capacity;
}

inline detail::Nesting::Level::Level(Nesting& nesting, std::size_t size) : nesting_(nesting), size_(size) {
  if (nesting.left_ < levels_of(size) || nesting.bytes_ > std::max(most_bytes, 2 * size) - size)
    throw CodecError("values are nested deeper than " + std::to_string(max_nesting) +
                     " levels, or take too much of a stack: send a flat container instead, a std::vector with indices say");
  nesting.left_ -= levels_of(size);
  nesting.bytes_ += size_;
}

namespace detail {
inline constexpr std::uint8_t large_size = 255;  // then the size follows in full
}

inline void Writer::write_size(std::size_t size) {
  const auto small = static_cast<std::uint8_t>(std::min<std::size_t>(size, detail::large_size));
  write(&small, 1);
  if (small == detail::large_size) write(&size, sizeof size);
}

inline void Reader::read(void* data, std::size_t size) {
  const std::byte* const from = skip(size);
  if (size != 0) std::memcpy(data, from, size);
}

inline const std::byte* Reader::skip(std::size_t size) {
  if (left_ < size) fail_short(size);
  const std::byte* const skipped = at_;
  at_ += size;
  left_ -= size;
  return skipped;
}

inline std::size_t Reader::read_index() {
  std::uint8_t small = 0;
  read(&small, 1);
  std::size_t result = small;
  if (small == detail::large_size) read(&result, sizeof result);
  return result;
}

inline std::size_t Reader::read_size(std::size_t least) {
  const std::size_t size = read_index();
  if (size > left_ / std::max<std::size_t>(least, 1))
    throw CodecError("the bytes name a size of " + std::to_string(size) + ", but only " + std::to_string(left_) +
                     " bytes follow: they are damaged, or were written as another type");
  return size;
}

inline void Reader::finish() const {
  if (left_ != 0)
    throw CodecError(std::to_string(left_) + " bytes are left over: they were written as another type");
}

[[gnu::noinline]] inline void Reader::fail_short(std::size_t size) const {
  throw CodecError("the bytes end too early: " + std::to_string(size) + " are wanted, " + std::to_string(left_) +
                   " are left");
}

}  // namespace taskmgr
