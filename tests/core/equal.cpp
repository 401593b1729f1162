// SPDX-License-Identifier: MIT
#include <taskmgr/core/equal.hpp>

#include <array>
#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stack>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include <doctest/doctest.h>

namespace {

using taskmgr::detail::Comparable;
using taskmgr::detail::equal;

/// Has no `==`.
struct Plain {
  int id;
  std::string name;
};

/// Has one that does not look at all of its members.
struct Named {
  std::string name;
  int uses;
  friend bool operator==(const Named& a, const Named& b) { return a.name == b.name; }
};

struct Node {
  int value;
  std::vector<Node> children;
};

struct DefaultedNode {
  int value;
  std::vector<DefaultedNode> children;
  bool operator==(const DefaultedNode&) const = default;
};

class Opaque {
 public:
  explicit Opaque(int value) : value_{value} {}

 private:
  [[maybe_unused]] int value_;
};

/// Iterates over what has no `==`, and has one itself.
class Bag {
 public:
  explicit Bag(std::vector<Plain> items) : items_{std::move(items)} {}
  auto begin() const { return items_.begin(); }
  auto end() const { return items_.end(); }
  bool operator==(const Bag& other) const { return items_.size() == other.items_.size(); }

 private:
  std::vector<Plain> items_;
};

/// Has only the `==` of vectors, which does not compile for `Plain`.
class Plains : public std::vector<Plain> {
 public:
  using std::vector<Plain>::vector;
};

/// A range without `==` that holds more than its elements.
class Image {
 public:
  auto begin() const { return pixels_.begin(); }
  auto end() const { return pixels_.end(); }

 private:
  std::vector<int> pixels_;
  [[maybe_unused]] int width_ = 0;
};

/// The same as an aggregate, whose members are all known.
struct Picture {
  std::vector<int> pixels;
  int width;
  auto begin() const { return pixels.begin(); }
  auto end() const { return pixels.end(); }
};

/// `a == b` compiles, and compares two bools.
struct Setting {
  int value;
  bool set;
  operator bool() const { return set; }
};

struct Throwing {
  int value;
  bool operator==(const Throwing& other) const {
    if (value < 0 || other.value < 0) throw std::runtime_error{"compared"};
    return value == other.value;
  }
};

struct Functions {
  std::vector<Functions> children;
  std::function<void()> call;
};

static_assert(Comparable<int> && Comparable<double> && Comparable<int*> && Comparable<std::nullptr_t>);
static_assert(Comparable<std::string> && Comparable<std::string_view> && Comparable<std::monostate>);
static_assert(Comparable<Plain> && Comparable<Named> && Comparable<Node> && Comparable<DefaultedNode>);
static_assert(Comparable<std::vector<Plain>> && Comparable<std::array<Plain, 2>> && Comparable<std::list<Plain>>);
static_assert(Comparable<std::map<int, Plain>> && Comparable<std::unordered_map<int, Plain>> && Comparable<Plain[2]>);
static_assert(Comparable<std::pair<Plain, int>> && Comparable<std::tuple<Plain>> && Comparable<std::optional<Plain>>);
static_assert(Comparable<std::variant<int, Plain>> && Comparable<std::vector<std::optional<std::pair<int, Plain>>>>);
static_assert(Comparable<std::unique_ptr<Plain>> && Comparable<std::shared_ptr<Opaque>>);
static_assert(Comparable<std::filesystem::path> && Comparable<std::chrono::system_clock::time_point>);
static_assert(Comparable<Bag> && Comparable<Plains> && Comparable<Picture> && Comparable<std::stack<int>>);
static_assert(!Comparable<Opaque> && !Comparable<std::vector<Opaque>> && !Comparable<std::optional<Opaque>>);
static_assert(!Comparable<std::pair<int, Opaque>> && !Comparable<std::variant<int, Opaque>> && !Comparable<Opaque[2]>);
static_assert(!Comparable<std::function<void()>> && !Comparable<Functions> && !Comparable<std::vector<Functions>>);
static_assert(!Comparable<std::unordered_map<int, Opaque>> && !Comparable<std::unordered_map<int, Functions>>);
static_assert(!Comparable<Image> && !Comparable<std::span<int>>);
static_assert(!Comparable<std::stack<Plain>>);  // there is an == that does not compile, and no way to see the elements

TEST_CASE("what has an == is compared by it") {
  CHECK(equal(1, 1));
  CHECK_FALSE(equal(1, 2));
  CHECK(equal(std::string{"a"}, std::string{"a"}));
  CHECK(equal(0.0, -0.0));
  CHECK(equal(Named{"a", 1}, Named{"a", 2}));
  CHECK(equal(std::vector<Named>{{"a", 1}}, std::vector<Named>{{"a", 2}}));
  CHECK(equal(std::filesystem::path{"a//b"}, std::filesystem::path{"a/b"}));
  CHECK(equal(Bag{{{1, "a"}}}, Bag{{{2, "b"}}}));
  CHECK(equal(DefaultedNode{1, {{2, {}}}}, DefaultedNode{1, {{2, {}}}}));
  CHECK_FALSE(equal(DefaultedNode{1, {{2, {}}}}, DefaultedNode{1, {{3, {}}}}));
}

TEST_CASE("what is not a number is equal to nothing, wherever it is") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  struct Measured {
    int id;
    double value;
  };
  CHECK_FALSE(equal(nan, nan));
  CHECK_FALSE(equal(std::vector{nan}, std::vector{nan}));
  CHECK_FALSE(equal(Measured{1, nan}, Measured{1, nan}));
  CHECK(equal(Measured{1, 2.0}, Measured{1, 2.0}));
}

TEST_CASE("an aggregate without == is compared member by member") {
  CHECK(equal(Plain{1, "a"}, Plain{1, "a"}));
  CHECK_FALSE(equal(Plain{1, "a"}, Plain{2, "a"}));
  CHECK_FALSE(equal(Plain{1, "a"}, Plain{1, "b"}));

  struct Arrays {
    char name[8];
    int numbers[2][2];
    Plain plains[2];
  };
  const Arrays first{"ab", {{1, 2}, {3, 4}}, {{1, "a"}, {2, "b"}}};
  Arrays second = first;
  CHECK(equal(first, second));
  second.name[5] = 'x';
  CHECK_FALSE(equal(first, second));
  second = first;
  second.numbers[1][1] = 5;
  CHECK_FALSE(equal(first, second));
  second = first;
  second.plains[1].name = "c";
  CHECK_FALSE(equal(first, second));

  struct Nothing {};
  CHECK(equal(Nothing{}, Nothing{}));
}

TEST_CASE("a tree without == is compared to its leaves") {
  const Node tree{1, {{2, {}}, {3, {{4, {}}}}}};
  Node other = tree;
  CHECK(equal(tree, other));
  other.children[1].children[0].value = 5;
  CHECK_FALSE(equal(tree, other));
  other = tree;
  other.children[1].children.push_back({6, {}});
  CHECK_FALSE(equal(tree, other));
}

TEST_CASE("elements without == are compared in every kind of container") {
  const Plain a{1, "a"};
  const Plain b{2, "b"};
  const auto differ = []<class T>(const T& one, const T& other) {
    CHECK(equal(one, T{one}));
    CHECK(equal(other, T{other}));
    CHECK_FALSE(equal(one, other));
    CHECK_FALSE(equal(other, one));
  };
  differ(std::vector{a, b}, std::vector{b, a});
  differ(std::vector{a, b}, std::vector{a});
  differ(std::deque<Plain>{}, std::deque<Plain>{a});
  differ(std::list{a, a}, std::list{a, b});
  differ(std::array{a, b}, std::array{a, a});
  differ(Plains{a, b}, Plains{a, a});
  differ(std::map<int, Plain>{{1, a}}, std::map<int, Plain>{{1, b}});
  differ(std::map<int, Plain>{{1, a}}, std::map<int, Plain>{{2, a}});
  differ(std::multimap<int, Plain>{{1, a}, {1, b}}, std::multimap<int, Plain>{{1, b}, {1, a}});
  differ(std::pair{a, 1}, std::pair{a, 2});
  differ(std::pair{1, a}, std::pair{1, b});
  differ(std::tuple{1, a, 2}, std::tuple{1, b, 2});
  differ(std::optional<Plain>{}, std::optional{a});
  differ(std::optional{b}, std::optional{a});
  differ(std::variant<int, Plain>{1}, std::variant<int, Plain>{a});
  differ(std::variant<Plain, Plain>{std::in_place_index<0>, a}, std::variant<Plain, Plain>{std::in_place_index<1>, a});
  differ(std::variant<int, Plain>{b}, std::variant<int, Plain>{a});
}

TEST_CASE("unordered containers of elements without == are compared in no order") {
  const Plain a{1, "a"};
  const Plain b{2, "b"};
  std::unordered_map<std::string, Plain> one;
  std::unordered_map<std::string, Plain> other(1000);
  for (int i = 0; i < 100; ++i) one[std::to_string(i)] = {i, "x"};
  for (int i = 99; i >= 0; --i) other[std::to_string(i)] = {i, "x"};
  CHECK(equal(one, other));
  other["7"].name = "y";
  CHECK_FALSE(equal(one, other));
  other["7"].name = "x";
  other["100"] = a;
  CHECK_FALSE(equal(one, other));

  using Multimap = std::unordered_multimap<int, Plain>;
  CHECK(equal(Multimap{{1, a}, {1, b}, {2, a}}, Multimap{{2, a}, {1, b}, {1, a}}));
  CHECK_FALSE(equal(Multimap{{1, a}, {1, a}, {1, b}}, Multimap{{1, a}, {1, b}, {1, b}}));
  CHECK_FALSE(equal(Multimap{{1, a}, {2, a}}, Multimap{{1, a}, {1, a}}));
  CHECK_FALSE(equal(Multimap{{1, a}}, Multimap{{1, a}, {1, a}}));
}

TEST_CASE("an aggregate that is a range and has no == is compared by all of its members") {
  CHECK(equal(Picture{{1, 2}, 1}, Picture{{1, 2}, 1}));
  CHECK_FALSE(equal(Picture{{1, 2}, 1}, Picture{{1, 2}, 2}));
}

TEST_CASE("an aggregate that converts to a number has no == by that") {
  CHECK(equal(Setting{1, true}, Setting{1, true}));
  CHECK_FALSE(equal(Setting{1, true}, Setting{2, true}));

  struct Id {
    int value;
    int note;
    operator int() const { return value; }
    bool operator==(const Id& other) const { return value == other.value; }
  };
  CHECK(equal(Id{1, 2}, Id{1, 3}));
}

TEST_CASE("pointers are compared by address") {
  const auto one = std::make_shared<Plain>(Plain{1, "a"});
  const auto copy = std::make_shared<Plain>(*one);
  struct Pointers {
    std::unique_ptr<int> owned;
    const void* seen;
  };
  const Pointers pointers{std::make_unique<int>(1), nullptr};
  CHECK(equal(one, std::shared_ptr<Plain>{one}));
  CHECK_FALSE(equal(one, copy));
  CHECK(equal(pointers, pointers));
  CHECK_FALSE(equal(pointers, Pointers{std::make_unique<int>(1), nullptr}));
}

TEST_CASE("what an == throws comes through") {
  struct Holder {
    int id;
    std::vector<Throwing> values;
  };
  CHECK_THROWS_WITH_AS(equal(Holder{1, {{2}, {-1}}}, Holder{1, {{2}, {3}}}), "compared", std::runtime_error);
  CHECK_FALSE(equal(Holder{1, {{2}, {-1}}}, Holder{2, {{2}, {-1}}}));  // decided before it is asked
}

}  // namespace
