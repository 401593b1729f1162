// SPDX-License-Identifier: MIT
#include <taskmgr/run/wire.hpp>

#include <cstddef>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include <doctest/doctest.h>

namespace {

using taskmgr::ByteBuffer, taskmgr::CodecError, taskmgr::Reader, taskmgr::Writer;

std::string text_of(const ByteBuffer& buffer) {
  return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}

TEST_CASE("a buffer grows, keeps what is in it, and keeps its memory when it is cleared") {
  ByteBuffer buffer;
  CHECK(buffer.empty());
  std::string expected;
  for (int i = 0; i < 10'000; ++i) {
    buffer.append(&"abcdefgh"[i % 8], 1);
    expected += "abcdefgh"[i % 8];
  }
  buffer.append(nullptr, 0);
  CHECK(text_of(buffer) == expected);
  CHECK(buffer.bytes().size() == 10'000);
  const std::size_t capacity = buffer.capacity();
  buffer.truncate(3);
  CHECK(text_of(buffer) == "abc");
  std::memcpy(buffer.extend(2), "xy", 2);
  CHECK(text_of(buffer) == "abcxy");
  buffer.clear();
  CHECK(buffer.empty());
  CHECK(buffer.capacity() == capacity);
}

TEST_CASE("a buffer is moved with its bytes, and what it was moved from is empty") {
  ByteBuffer one;
  one.append("one", 3);
  ByteBuffer other{std::move(one)};
  CHECK(text_of(other) == "one");
  one.append("two", 3);
  CHECK(text_of(one) == "two");
  other = std::move(one);
  CHECK(text_of(other) == "two");
  ByteBuffer& same = other;
  other = std::move(same);
  CHECK(text_of(other) == "two");
}

TEST_CASE("a buffer that cannot grow has not changed") {
  ByteBuffer buffer;
  buffer.append("abc", 3);
  CHECK_THROWS_AS(buffer.extend(std::numeric_limits<std::size_t>::max()), std::bad_alloc);
  CHECK(text_of(buffer) == "abc");
}

TEST_CASE("sizes come back") {
  for (const std::size_t size : {0UL, 1UL, 254UL, 255UL, 256UL, 1UL << 40U, ~0UL}) {
    ByteBuffer buffer;
    Writer{buffer}.write_size(size);
    CHECK(buffer.size() == (size < 255 ? 1 : 9));
    Reader reader{buffer.bytes()};
    CHECK(reader.read_index() == size);
    CHECK_NOTHROW(reader.finish());
  }
}

TEST_CASE("a size is no larger than what is left can hold") {
  ByteBuffer buffer;
  Writer writer{buffer};
  writer.write_size(5);
  writer.write("12345", 5);
  CHECK(Reader{buffer.bytes()}.read_size() == 5);
  CHECK(Reader{buffer.bytes()}.read_size(0) == 5);
  CHECK(Reader{buffer.bytes()}.read_size(1) == 5);
  CHECK_THROWS_WITH_AS(static_cast<void>(Reader{buffer.bytes()}.read_size(2)),
                       "the bytes name a size of 5, but only 5 bytes follow: they are damaged, or were written as another type",
                       CodecError);
}

TEST_CASE("nothing is read beyond the end") {
  ByteBuffer buffer;
  buffer.append("abc", 3);
  Reader reader{buffer.bytes()};
  char read[4] = {};
  CHECK_THROWS_WITH_AS(reader.read(read, 4), "the bytes end too early: 4 are wanted, 3 are left", CodecError);
  CHECK_THROWS_AS(static_cast<void>(reader.take(4)), CodecError);
  CHECK_THROWS_AS(static_cast<void>(reader.skip(4)), CodecError);
  reader.read(read, 2);
  CHECK(std::string{read} == "ab");
  CHECK(reader.remaining() == 1);
  CHECK_THROWS_WITH_AS(reader.finish(), "1 bytes are left over: they were written as another type", CodecError);
  CHECK(Reader{reader}.take(1).size() == 1);
  CHECK(*reader.skip(1) == std::byte{'c'});
  CHECK_NOTHROW(reader.finish());
  CHECK_NOTHROW(reader.read(nullptr, 0));
  CHECK_THROWS_AS(static_cast<void>(Reader{{}}.read_index()), CodecError);
}

/// Counts the levels, and checks that they are given back.
template <class Side>
int levels(Side& side, std::size_t size) {
  try {
    const auto level = side.nest(size);
    return 1 + levels(side, size);
  } catch (const CodecError&) {
    return 0;
  }
}

TEST_CASE("readers and writers nest equally deep, what is large less deep") {
  ByteBuffer buffer;
  Writer writer{buffer};
  Reader reader{buffer.bytes()};
  for (const std::size_t size : {0U, 255U, 1024U, 1U << 18U}) {
    CHECK(levels(writer, size) == levels(reader, size));
    CHECK(levels(writer, size) >= taskmgr::max_nesting / 64);
  }
  CHECK(levels(writer, 0) == taskmgr::max_nesting);
  CHECK(levels(writer, 512) == taskmgr::max_nesting / 3);
  CHECK(levels(writer, 1U << 20U) == 4);  // which is what a stack can hold
  CHECK(levels(writer, 100U << 20U) == 2);
}

}  // namespace
