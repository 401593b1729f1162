// SPDX-License-Identifier: MIT
#include <taskmgr/run/codec.hpp>

#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <span>
#include <stack>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "support/random_value.hpp"
#include "support/sent.hpp"

namespace codec_test {

using namespace support::sent;

/// As many members as may be; the last ones need their order kept.
struct Wide {
  int a, b, c, d, e, f, g, h;
  std::string i, j, k, l, m, n, o, p;
  char q[3];
  bool r, s, t, u, v, w, x;
  std::vector<Wide> y;
  double z, aa, ab, ac, ad, ae, af;
};

struct Bad {
  std::vector<Bad> children;
  int* pointer;
};
struct Referring {
  int& number;
};
struct Undefined;
struct Pimpl {
  std::unique_ptr<Undefined> implementation;
};
struct Labelled : std::vector<int> {
  std::string label;
};
class Opaque {
 public:
  explicit Opaque(int value) : value_(value) {}

 private:
  [[maybe_unused]] int value_;
};
struct Base {
  virtual ~Base() = default;
};
struct HalfOwn {};
struct Marked {
  std::string text;
};
/// A range of itself, as a JSON value is.
struct Selfish {
  using value_type = Selfish;
  const Selfish* begin() const { return this; }
  const Selfish* end() const { return this + 1; }
  void push_back(Selfish&&) {}
  explicit Selfish(int) {}
  Selfish() = default;
};

/// A class whose codec is its own, and which contains itself out of the library's sight.
class Chain {
 public:
  std::unique_ptr<Chain> next;
  explicit Chain(std::unique_ptr<Chain> tail) : next(std::move(tail)) {}
};
struct Link {
  Chain chain;
};

}  // namespace codec_test

template <>
struct taskmgr::Codec<codec_test::HalfOwn> {
  static void encode(Writer&, const codec_test::HalfOwn&) {}
};
template <>
inline constexpr bool taskmgr::as_bytes<codec_test::Marked> = true;
template <>
struct taskmgr::Codec<codec_test::Chain> {
  static void encode(Writer& writer, const codec_test::Chain& chain) {
    const auto level = writer.nest();
    Codec<bool>::encode(writer, chain.next != nullptr);
    if (chain.next) encode(writer, *chain.next);
  }
  static codec_test::Chain decode(Reader& reader) {
    const auto level = reader.nest();
    if (!Codec<bool>::decode(reader)) return codec_test::Chain{nullptr};
    return codec_test::Chain{std::make_unique<codec_test::Chain>(decode(reader))};
  }
};

namespace {

using namespace codec_test;
using taskmgr::Codec, taskmgr::CodecError, taskmgr::Encodable;

template <class... T>
inline constexpr bool all_encodable = (Encodable<T> && ...);
template <class... T>
inline constexpr bool none_encodable = (!Encodable<T> && ...);

static_assert(all_encodable<Scalars, Sequences, Tables, Choices, Arrays, Badge, Node, Json, Tree, Wide, Link>);
static_assert(all_encodable<std::pmr::string, std::wstring, std::tuple<>, std::tuple<std::tuple<int>>, std::array<int, 0>,
                            std::unique_ptr<const int>, std::pair<const int, std::string>, std::tuple<const int>,
                            std::vector<std::vector<Id>>, std::map<Id, std::unique_ptr<int>>>);
static_assert(none_encodable<int*, const char*, int Plain::*, int&, const int, void, void(), int[3], std::string_view,
                             std::span<int>, std::reference_wrapper<int>, std::function<void()>, std::shared_ptr<int>,
                             std::unique_ptr<int[]>, std::unique_ptr<int, void (*)(int*)>, std::unique_ptr<Base>>);
static_assert(none_encodable<Bad, Referring, Undefined, Labelled, Opaque, HalfOwn, Marked, Selfish, std::mutex,
                             std::atomic<int>, std::stack<int>, std::exception_ptr>);
#if __cplusplus <= 202002L  // from C++23 on one may not even ask: whether it can be initialised takes the destructor of its part
static_assert(none_encodable<Pimpl>);
#endif
static_assert(none_encodable<std::vector<int*>, std::optional<Opaque>, std::variant<int, std::string_view>,
                             std::pair<int&, int>, std::tuple<int&>, std::map<int, Bad>, std::array<Opaque, 2>,
                             std::unique_ptr<Bad>, std::vector<std::mutex>, std::optional<std::mutex>>);

/// A value, and what has come of it on the other side.
template <class T>
[[gnu::noinline]] T sent(const T& value) {
  return decoded<T>(encoded(value));
}

/// How many of some random values do not come back equal; or, for what has owning pointers and so no equality of values,
/// do not write the same again.
template <class T>
[[gnu::noinline]] int different(int values, bool owns = false) {
  RandomValue random;
  int result = 0;
  for (int i = 0; i < values; ++i) {
    const T value = random.make<T>();
    const std::string bytes = encoded(value);
    const T back = decoded<T>(bytes);
    if constexpr (taskmgr::detail::Comparable<T>) result += !owns && !taskmgr::detail::equal(value, back);
    result += owns && encoded(back) != bytes;
  }
  return result;
}

TEST_CASE("what is sent arrives as it was") {
  INFO("TASKMGR_SEED=" << support::seed());
  CHECK(different<std::string>(100) == 0);
  CHECK(different<Scalars>(100) == 0);
  CHECK(different<Sequences>(100) == 0);
  CHECK(different<Tables>(100) == 0);
  CHECK(different<Choices>(100, true) == 0);
  CHECK(different<Node>(100, true) == 0);
  CHECK(different<Json>(100) == 0);
  CHECK(different<Tree>(100) == 0);
}

TEST_CASE("small things are sent as their bytes, sizes as one") {
  CHECK(encoded(7) == std::string("\7\0\0\0", 4));
  CHECK(encoded(Point{1, 2}).size() == 2 * sizeof(double));
  CHECK(encoded(std::string{"abc"}) == "\3abc");
  CHECK(encoded(std::vector<Point>(3)).size() == 1 + 3 * sizeof(Point));
  CHECK(encoded(std::vector<Point>(255)).size() == 9 + 255 * sizeof(Point));
  CHECK(encoded(std::bitset<13>{}).size() == 2);
  CHECK(encoded(Empty{}).empty());
}

TEST_CASE("an aggregate has 32 members, C arrays among them") {
  Wide wide{1, 2, 3, 4, 5, 6, 7, 8, "i", "j", "k", "l", "m", "n", "o", "p", {'q', 'q', 'q'}, true, false, true, false,
            true, false, true, {}, 1, 2, 3, 4, 5, 6, 7};
  wide.y.push_back(wide);
  const Wide back = sent(wide);
  CHECK(back.h == 8);
  CHECK(back.p == "p");
  CHECK(back.q[2] == 'q');
  CHECK((back.x && !back.w));
  CHECK(back.y.size() == 1);
  CHECK(back.y[0].af == 7);
  CHECK(encoded(back) == encoded(wide));
}

TEST_CASE("members need not be movable twice, nor have a default") {
  const Badge badge{7, Id{1}, std::make_unique<std::string>("Ann"), {Id{2}, Id{3}}, {Id{4}, Id{5}}};
  const Badge back = sent(badge);
  CHECK(back.number == 7);
  CHECK(back.id == Id{1});
  CHECK(*back.owner == "Ann");
  CHECK(back.others[1] == Id{3});
  CHECK(back.more[1] == Id{5});
}

TEST_CASE("numbers that are no multiple of the buffer arrive, aligned or not") {
  for (const std::size_t size : {0U, 1U, 254U, 255U, 256U, 511U, 512U, 513U, 5000U}) {
    std::pair<char, std::vector<double>> numbers{'x', std::vector<double>(size)};
    for (std::size_t i = 0; i < size; ++i) numbers.second[i] = static_cast<double>(i);
    CHECK(sent(numbers) == numbers);
    const std::vector<std::byte> bytes(size, std::byte{7});
    CHECK(sent(bytes) == bytes);
  }
}

TEST_CASE("a bool is 0 or 1") {
  CHECK_THROWS_AS(decoded<bool>("\2"), CodecError);
  CHECK_THROWS_AS(decoded<Answer>("\xFF"), CodecError);
  CHECK_THROWS_AS(decoded<std::optional<int>>(std::string("\2\0\0\0\0", 5)), CodecError);
  CHECK_THROWS_AS(decoded<std::vector<bool>>("\1\3"), CodecError);
}

TEST_CASE("a variant without a value is not sent") {
  struct Throws {
    operator std::size_t() const { throw std::runtime_error("no value"); }
  };
  std::variant<std::string, std::list<int>> broken{};
  CHECK_THROWS_AS(broken.emplace<std::list<int>>(Throws{}), std::runtime_error);
  REQUIRE(broken.valueless_by_exception());
  CHECK_THROWS_WITH_AS(encoded(broken), "a std::variant that holds no value cannot be sent", CodecError);
  CHECK_THROWS_AS((decoded<std::variant<int, std::string>>("\2\1a")), CodecError);
}

TEST_CASE("a size is believed only as far as there are bytes") {
  const std::string enormous = "\xFF" + std::string(7, '\xFF') + "\x0F";
  CHECK_THROWS_AS(decoded<std::string>(enormous), CodecError);
  CHECK_THROWS_AS(decoded<std::vector<double>>(enormous), CodecError);
  CHECK_THROWS_AS(decoded<std::vector<Empty>>(enormous), CodecError);
  CHECK_THROWS_AS(decoded<std::list<Id>>(enormous), CodecError);
  CHECK_THROWS_AS((decoded<std::unordered_map<int, Empty>>(enormous)), CodecError);
  CHECK(sent(std::vector<Empty>(1000)).size() == 1000);
  CHECK(sent(std::list<std::tuple<>>(3)).size() == 3);
}

TEST_CASE("a key that comes twice is an error, but where it may") {
  const std::string twice = encoded(std::vector<int>{3, 3});
  CHECK_THROWS_AS(decoded<std::set<int>>(twice), CodecError);
  CHECK_THROWS_AS(decoded<std::unordered_set<int>>(twice), CodecError);
  CHECK(decoded<std::multiset<int>>(twice).size() == 2);
}

TEST_CASE("what is left over is an error") {
  CHECK_THROWS_AS(decoded<char>("ab"), CodecError);
  CHECK_THROWS_AS(decoded<Empty>("a"), CodecError);
}

template <class T>
T nested(int levels);
template <>
Node nested<Node>(int levels) {
  Node node{};
  for (int i = 1; i < levels; ++i) {
    Node outer{};
    if (i % 2 == 0) outer.children.push_back(std::move(node));
    else outer.next = std::make_unique<Node>(std::move(node));
    node = std::move(outer);
  }
  return node;
}
template <>
Tree nested<Tree>(int levels) {
  Tree tree{};
  for (int i = 1; i < levels; ++i) {
    Tree outer{};
    outer.push_back(std::move(tree));
    tree = std::move(outer);
  }
  return tree;
}
template <>
Link nested<Link>(int levels) {
  Chain chain{nullptr};
  for (int i = 1; i < levels; ++i) chain = Chain{std::make_unique<Chain>(std::move(chain))};
  return {std::move(chain)};
}

/// The deepest that is sent, and it also arrives.
template <class T>
int deepest() {
  int levels = 1;
  for (int step = 2048; step > 0; step /= 2) {
    try {
      const std::string bytes = encoded(nested<T>(levels + step));
      CHECK_NOTHROW(decoded<T>(bytes));
      levels += step;
    } catch (const CodecError&) {
    }
  }
  return levels;
}

TEST_CASE("values are nested so deep and no deeper, when written and when read") {
  CHECK(deepest<Node>() >= taskmgr::max_nesting / 2);
  CHECK(deepest<Node>() <= taskmgr::max_nesting);
  CHECK(deepest<Tree>() >= taskmgr::max_nesting - 2);
  CHECK(deepest<Link>() >= taskmgr::max_nesting - 2);
  CHECK_THROWS_AS(decoded<Tree>(std::string(1'000'000, '\1')), CodecError);
  CHECK_THROWS_AS(decoded<Link>(std::string(1'000'000, '\1')), CodecError);
  std::string nodes;
  for (int i = 0; i < 100'000; ++i) nodes += std::string("\0\0\1", 3);
  CHECK_THROWS_AS(decoded<Node>(nodes), CodecError);
}

}  // namespace
