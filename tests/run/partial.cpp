// SPDX-License-Identifier: MIT
#include <taskmgr/run/partial.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <new>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace {

using taskmgr::ByteBuffer, taskmgr::CodecError, taskmgr::Reader, taskmgr::Writer;
using taskmgr::detail::InParts, taskmgr::detail::Partial;

using Triple = std::array<std::int32_t, 3>;
static_assert(InParts<std::string> && InParts<std::vector<Triple>> && InParts<std::u32string>);
static_assert(!InParts<std::vector<std::string>> && !InParts<std::deque<int>> && !InParts<std::list<int>> && !InParts<int>);
static_assert(!InParts<std::vector<bool>> && !InParts<std::array<int, 3>>);

template <class R>
void begin(Partial<R>& partial, std::size_t size) {
  ByteBuffer bytes;
  Writer{bytes}.write_size(size);
  Reader reader{bytes.bytes()};
  partial.begin(reader);
}

template <class R>
void add(Partial<R>& partial, const R& elements, std::size_t cut = 0) {
  ByteBuffer bytes;
  bytes.append(elements.data(), elements.size() * sizeof elements[0] - cut);
  Reader reader{bytes.bytes()};
  partial.add(reader);
}

TEST_CASE("parts make a result, and the next one") {
  Partial<std::vector<Triple>> partial;
  for (std::int32_t first = 0; first < 3; ++first) {
    begin(partial, 3);
    add(partial, {{first, 1, 2}, {3, 4, 5}});
    add(partial, {});
    add(partial, {{6, 7, 8}});
    CHECK((partial.take() == std::vector<Triple>{{first, 1, 2}, {3, 4, 5}, {6, 7, 8}}));
  }
}

TEST_CASE("parts that begin again make the later result") {
  Partial<std::string> partial;
  begin(partial, 7);
  add(partial, std::string("lost"));
  begin(partial, 4);
  add(partial, std::string("kept"));
  CHECK(partial.take() == "kept");
}

TEST_CASE("parts that are too many, too few or no whole elements are refused") {
  Partial<std::vector<Triple>> partial;
  CHECK_THROWS_WITH_AS(add(partial, {{0, 1, 2}}), doctest::Contains("more than it has announced"), CodecError);
  begin(partial, 2);
  CHECK_THROWS_WITH_AS(add(partial, {{0, 1, 2}}, 1), doctest::Contains("more than it has announced"), CodecError);
  CHECK_THROWS_AS(add(partial, {{0, 1, 2}, {3, 4, 5}, {6, 7, 8}}), CodecError);
  add(partial, {{0, 1, 2}});
  CHECK_THROWS_WITH_AS(static_cast<void>(partial.take()), doctest::Contains("not sent all that it has announced"), CodecError);
  CHECK_THROWS_AS(add(partial, {{3, 4, 5}, {6, 7, 8}}), CodecError);
  add(partial, {{3, 4, 5}});
  CHECK((partial.take() == std::vector<Triple>{{0, 1, 2}, {3, 4, 5}}));
  CHECK_THROWS_AS(add(partial, {{0, 1, 2}}), CodecError);
  ByteBuffer bytes;
  Writer{bytes}.write_size(2);
  bytes.append("more", 4);
  Reader reader{bytes.bytes()};
  CHECK_THROWS_AS(partial.begin(reader), CodecError);
}

/// Like a string; has no room for more than 100 characters.
struct Small : std::string {
  using std::string::string;
  void reserve(std::size_t size) {
    if (size > 100) throw std::bad_alloc{};
    std::string::reserve(size);
  }
};

TEST_CASE("where there is no room for the parts, the result says so at last") {
  Partial<Small> partial;
  begin(partial, 200);
  for (int k = 0; k < 4; ++k) add(partial, Small(50, 'x'));
  CHECK_THROWS_AS(static_cast<void>(partial.take()), std::bad_alloc);
  begin(partial, 50);
  add(partial, Small(50, 'y'));
  CHECK(partial.take() == Small(50, 'y'));
}

TEST_CASE("a size that is announced takes no memory by itself") {
  Partial<std::string> partial;
  begin(partial, std::size_t{1} << 60U);
  add(partial, std::string(5000, 'x'));
  CHECK_THROWS_AS(static_cast<void>(partial.take()), CodecError);
}

}  // namespace
