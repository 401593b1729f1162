// SPDX-License-Identifier: MIT
#include <taskmgr/core/hash.hpp>

#include <algorithm>
#include <any>
#include <array>
#include <bitset>
#include <chrono>
#include <cmath>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <optional>
#include <set>
#include <span>
#include <stack>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include <doctest/doctest.h>

#include "support/random.hpp"

namespace hash_test {

struct Plain {
  int id;
  std::string name;
  double weight;
};

struct Arrays {
  char name[8];
  double numbers[2][2];
  Plain plains[2];
};

struct Node {
  int value;
  std::vector<Node> children;
  bool operator==(const Node&) const = default;
};

struct PlainNode {
  int value;
  std::vector<PlainNode> children;
  std::map<std::string, PlainNode> named;
};

struct Json {
  std::variant<std::nullptr_t, double, std::string, std::vector<Json>, std::map<std::string, Json>> value;
};

struct Graph {
  std::unordered_map<int, Graph> edges;
};

struct Tree : std::vector<Tree> {};

struct Yours;
struct Mine {
  std::vector<Yours> yours;
};
struct Yours {
  std::vector<Mine> mine;
  int value;
};

struct Owner {
  std::unique_ptr<int> owned;
  std::shared_ptr<int> shared;
};

struct Listener {
  std::vector<Listener> children;
  std::function<void()> call;
};

class Opaque {
 public:
  bool operator==(const Opaque&) const = default;

 private:
  [[maybe_unused]] int value_ = 0;
};

class Named {
 public:
  explicit Named(std::string name) : name_{std::move(name)} {}
  bool operator==(const Named&) const = default;
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  std::string name_;
};

/// Hashed by a specialisation of taskmgr::hash, which ignores case as its `==` does.
struct Word {
  std::string text;
  [[nodiscard]] std::string lower() const {
    std::string result = text;
    for (char& c : result) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return result;
  }
  bool operator==(const Word& other) const { return lower() == other.lower(); }
};

/// Inherits its hash.
struct Number {
  int value;
  operator int() const { return value; }
  bool operator==(const Number& other) const = default;
};

struct Unhashed {
  int value;
};
struct Declared {
  int value;
};

struct Throwing {
  int value;
  bool operator==(const Throwing&) const = default;
};

struct IgnoringCase : std::char_traits<char> {
  static bool eq(char, char) { return true; }
};

enum class Colour : signed char { red = -1, green, blue };

}  // namespace hash_test

template <>
struct std::hash<hash_test::Named> {
  std::size_t operator()(const hash_test::Named& named) const { return named.name().size(); }
};
template <>
struct taskmgr::hash<hash_test::Word> {
  std::size_t operator()(const hash_test::Word& word) const { return taskmgr::hash<std::string>{}(word.lower()); }
};
template <>
struct taskmgr::hash<hash_test::Number> : taskmgr::hash<int> {};
template <>
struct taskmgr::hash<hash_test::Unhashed> {};
template <>
struct taskmgr::hash<hash_test::Declared>;
template <>
struct taskmgr::hash<hash_test::Throwing> {
  std::size_t operator()(const hash_test::Throwing& value) const {
    if (value.value < 0) throw std::runtime_error{"hashed"};
    return 1;
  }
};

namespace {

using namespace hash_test;
using taskmgr::Hashable;

// Not inlined, which halves the time that it takes to compile this file.
template <class T>
[[gnu::noinline]] std::size_t hash_of(const T& value) {
  return taskmgr::hash<T>{}(value);
}
template <class T>
[[gnu::noinline]] bool equal(const T& a, const T& b) {
  return taskmgr::detail::equal(a, b);
}

template <class... T>
inline constexpr bool all_hashable = (Hashable<T> && ...);
template <class... T>
inline constexpr bool none_hashable = (!Hashable<T> && ...);

static_assert(all_hashable<bool, char, int, unsigned long long, Colour, std::byte, float, double, long double, int*,
                           const char*, void (*)(), std::nullptr_t>);
static_assert(all_hashable<std::string, std::string_view, std::wstring, std::u8string, std::pmr::string>);
static_assert(all_hashable<std::pair<int, std::string>, std::tuple<>, std::tuple<int, std::string, double>, int[3],
                           std::array<int, 3>, std::array<int, 0>, std::optional<int>, std::variant<int, std::string>,
                           std::variant<std::monostate, int>, std::monostate>);
static_assert(all_hashable<std::vector<int>, std::vector<bool>, std::vector<std::string>, std::deque<int>,
                           std::list<int>, std::forward_list<int>, std::set<int>, std::multiset<int>,
                           std::map<std::string, int>, std::multimap<int, int>, std::unordered_set<int>,
                           std::unordered_multiset<int>, std::unordered_map<std::string, int>,
                           std::unordered_multimap<int, std::vector<int>>>);
static_assert(all_hashable<std::unique_ptr<int>, std::shared_ptr<int>, std::filesystem::path, std::thread::id,
                           std::error_code, std::bitset<9>, std::chrono::nanoseconds, std::chrono::duration<double>,
                           std::chrono::system_clock::time_point>);
static_assert(all_hashable<Plain, Arrays, Owner, std::vector<Plain>, std::pair<Plain, int>, std::optional<Plain>,
                           std::variant<int, Plain>, std::map<int, Plain>, std::unordered_map<int, Plain>>);
static_assert(all_hashable<Node, PlainNode, Json, Graph, Tree, Mine, Yours, std::vector<Node>, std::vector<PlainNode>>);
static_assert(all_hashable<Named, Word, Number, std::vector<Named>, std::pair<Word, Number>>);
static_assert(none_hashable<Opaque, std::function<void()>, std::any, Listener, std::stack<int>, std::span<int>,
                            std::filesystem::directory_iterator, std::thread, void, int&, const int>);
static_assert(none_hashable<std::vector<Opaque>, std::optional<Opaque>, std::pair<int, Opaque>,
                            std::variant<int, Opaque>, std::array<Opaque, 2>, Opaque[2], std::map<int, Opaque>,
                            std::vector<Listener>, std::unordered_map<int, std::function<void()>>>);
static_assert(none_hashable<std::basic_string<char, IgnoringCase>, std::basic_string_view<char, IgnoringCase>>);
static_assert(none_hashable<Unhashed, std::vector<Unhashed>, Declared>);

/// Random values of any type, from so few that equal ones are frequent.
class Values {
 public:
  template <class T>
  [[nodiscard, gnu::noinline]] T make() {
    T value{};
    fill(value);
    return value;
  }

  void fill(bool& value) { value = below(2) != 0; }
  void fill(int& value) { value = static_cast<int>(below(3)) - 1; }
  void fill(std::int64_t& value) { value = static_cast<std::int64_t>(below(3) << (16 * below(4))); }
  void fill(Colour& value) { value = static_cast<Colour>(static_cast<int>(below(3)) - 1); }
  void fill(float& value) { value = std::array{0.0F, -0.0F, 1.5F, -1.5F}[below(4)]; }
  void fill(double& value) { value = std::array{0.0, -0.0, 1.5, 1e300, std::nan("")}[below(5)]; }
  void fill(long double& value) { value = std::array{0.0L, -0.0L, 1.5L}[below(3)]; }
  void fill(std::string& value) { value = std::array{"", "a", "b", "ab", "ba", "longer than a small one"}[below(6)]; }
  void fill(std::string_view& value) { value = std::array{"", "a", "b", "ab"}[below(4)]; }
  void fill(std::wstring& value) { value = std::array{L"", L"a", L"ab"}[below(3)]; }
  void fill(std::filesystem::path& value) { value = std::array{"", "a", "a/b", "a//b", "a/b/", "/a", "//a"}[below(7)]; }
  void fill(std::monostate&) {}
  void fill(std::nullptr_t&) {}
  void fill(Word& value) { value.text = std::array{"a", "A", "b"}[below(3)]; }
  void fill(Number& value) { fill(value.value); }
  void fill(Plain& value) { fill(value.id), fill(value.name), fill(value.weight); }
  void fill(Node& value) { fill(value.value), fill_tree(value.children); }
  void fill(PlainNode& value) { fill(value.value), fill_tree(value.children); }
  void fill(Graph& value) { fill_tree(value.edges); }
  void fill(Json& value) { fill_tree(value.value); }
  void fill(Arrays& value) { fill(value.name[7]), fill(value.numbers[1][0]), fill(value.plains[1].id); }
  void fill(char& value) { value = static_cast<char>('a' + below(2)); }

  template <class Rep, class Period>
  void fill(std::chrono::duration<Rep, Period>& value) {
    value = std::chrono::duration<Rep, Period>{make<Rep>()};
  }
  template <class Clock, class Duration>
  void fill(std::chrono::time_point<Clock, Duration>& value) {
    value = std::chrono::time_point<Clock, Duration>{make<Duration>()};
  }
  template <class A, class B>
  void fill(std::pair<A, B>& value) {
    fill(const_cast<std::remove_const_t<A>&>(value.first)), fill(value.second);
  }
  template <class... A>
  void fill(std::tuple<A...>& value) {
    std::apply([this](auto&... part) { (this->fill(part), ...); }, value);
  }
  template <class A, std::size_t size>
  void fill(std::array<A, size>& value) {
    for (auto& part : value) fill(part);
  }
  template <class A>
  void fill(std::optional<A>& value) {
    if (below(3) != 0) fill(value.emplace());
  }
  template <class... A>
  void fill(std::variant<A...>& value) {
    std::size_t chosen = below(sizeof...(A));
    ((chosen-- == 0 ? void(value.template emplace<A>(make<A>())) : void()), ...);
  }
  template <class Container>
    requires requires(Container& c) { c.insert(c.end(), *c.begin()); }
  void fill(Container& value) {
    using Item = typename Container::value_type;
    for (std::size_t n = below(4); n > 0; --n) value.insert(value.end(), item<Item>());
  }

 private:
  template <class Item>
  struct Mutable {
    using type = Item;
  };
  template <class K, class V>
  struct Mutable<std::pair<const K, V>> {
    using type = std::pair<K, V>;
  };
  template <class Item>
  auto item() {
    return make<typename Mutable<Item>::type>();
  }

  template <class Children>
  void fill_tree(Children& children) {
    if (++depth_ < 4) fill(children);
    --depth_;
  }

  std::size_t below(std::size_t n) { return random_.below(n); }

  support::Random random_;
  int depth_ = 0;
};

struct Found {
  int equal = 0;
  int broken = 0;      // equal values with different hashes
  int collisions = 0;  // different values with equal hashes
};

template <class T>
[[gnu::noinline]] Found try_pairs() {
  constexpr std::size_t size = 60;
  Values random;
  std::array<T, size> values{};
  std::array<std::size_t, size> hashes{};
  for (std::size_t i = 0; i < size; ++i) {
    random.fill(values[i]);
    hashes[i] = hash_of(values[i]);
  }
  Found found;
  for (std::size_t i = 0; i < size; ++i) {
    const T copy = values[i];
    const bool equal_to_itself = equal(values[i], copy);  // there is a NaN in it otherwise
    if (hash_of(copy) != hashes[i]) ++found.broken;
    for (std::size_t j = 0; j < size; ++j) {
      const bool same_hash = hashes[i] == hashes[j];
      if (i == j) continue;
      if (equal(values[i], values[j])) ++(same_hash ? found.equal : found.broken);
      else if (same_hash && equal_to_itself) ++found.collisions;
    }
  }
  return found;
}

void check_law(const std::string& type, const Found& found) {
  CAPTURE(type);
  INFO("TASKMGR_SEED=" << support::seed());
  CHECK(found.equal > 0);  // else nothing has been tested
  CHECK(found.broken == 0);
  CHECK(found.collisions == 0);
}

#define CHECK_LAW(...) check_law(#__VA_ARGS__, try_pairs<__VA_ARGS__>())

TEST_CASE("equal values have equal hashes, and different ones different hashes") {
  CHECK_LAW(bool);
  CHECK_LAW(int);
  CHECK_LAW(std::int64_t);
  CHECK_LAW(Colour);
  CHECK_LAW(float);
  CHECK_LAW(double);
  CHECK_LAW(long double);
  CHECK_LAW(std::string);
  CHECK_LAW(std::string_view);
  CHECK_LAW(std::wstring);
  CHECK_LAW(std::filesystem::path);
  CHECK_LAW(std::chrono::milliseconds);
  CHECK_LAW(std::chrono::time_point<std::chrono::system_clock, std::chrono::duration<double>>);
  CHECK_LAW(std::tuple<bool, std::string, std::pair<int, int>>);
  CHECK_LAW(std::array<int, 2>);
  CHECK_LAW(std::optional<bool>);
  CHECK_LAW(std::optional<std::optional<int>>);
  CHECK_LAW(std::variant<std::monostate, int, std::int64_t, std::string>);
}

TEST_CASE("equal containers have equal hashes, and different ones different hashes") {
  CHECK_LAW(std::vector<int>);
  CHECK_LAW(std::vector<bool>);
  CHECK_LAW(std::vector<double>);
  CHECK_LAW(std::list<std::string>);
  CHECK_LAW(std::multiset<std::string>);
  CHECK_LAW(std::unordered_multiset<int>);
}

TEST_CASE("equal objects have equal hashes, and different ones different hashes") {
  CHECK_LAW(Plain);
  CHECK_LAW(Arrays);
  CHECK_LAW(Node);
  CHECK_LAW(PlainNode);
  CHECK_LAW(Json);
  CHECK_LAW(Graph);
  CHECK_LAW(Word);
  CHECK_LAW(Number);
  CHECK_LAW(std::vector<Plain>);
  CHECK_LAW(std::unordered_multimap<int, Plain>);
  CHECK_LAW(std::optional<Plain>);
  CHECK_LAW(std::variant<int, Plain>);
  CHECK_LAW(std::vector<std::pair<Word, std::optional<Node>>>);
}

TEST_CASE("the hash of a text does not depend on who holds it, nor where") {
  const std::string text = "some text of thirty characters";
  CHECK(hash_of(text) == hash_of(std::string_view{text}));
  CHECK(hash_of(text) == hash_of(std::pmr::string{text}));
  CHECK(hash_of(std::string{}) == hash_of(std::string_view{}));
  CHECK(hash_of(std::string{"a\0b", 3}) != hash_of(std::string{"a\0c", 3}));
  CHECK(hash_of(std::string{"a", 1}) != hash_of(std::string{"a\0", 2}));

  for (std::size_t size = 0; size < 200; ++size) {
    CAPTURE(size);
    const auto exact = std::make_unique<char[]>(size);  // a read beyond its end is one that a sanitizer sees
    for (std::size_t i = 0; i < size; ++i) exact[i] = static_cast<char>('a' + i % 26);
    const std::string_view view{exact.get(), size};
    const std::size_t expected = hash_of(view);
    for (std::size_t offset = 1; offset < 8; ++offset) {
      const std::string moved = std::string(offset, '-') + std::string{view};
      REQUIRE(hash_of(std::string_view{moved}.substr(offset)) == expected);
    }
    for (std::size_t i = 0; i < size; ++i) {
      exact[i] = static_cast<char>(exact[i] ^ 1);
      REQUIRE(hash_of(view) != expected);  // each character counts
      exact[i] = static_cast<char>(exact[i] ^ 1);
    }
    REQUIRE(hash_of(std::string{view} + '\0') != expected);
  }
}

TEST_CASE("an order-free container hashes the same however it came to be") {
  std::unordered_map<std::string, int> one;
  std::unordered_map<std::string, int> other(1000);
  for (int i = 0; i < 100; ++i) one[std::to_string(i)] = i;
  for (int i = 99; i >= 0; --i) other[std::to_string(i)] = i;
  CHECK(hash_of(one) == hash_of(other));
  std::swap(other["1"], other["2"]);
  CHECK(hash_of(one) != hash_of(other));
  CHECK(hash_of(std::unordered_multiset<int>{1, 1}) != hash_of(std::unordered_multiset<int>{}));
  CHECK(hash_of(std::unordered_multiset<int>{1, 4}) != hash_of(std::unordered_multiset<int>{2, 3}));
}

TEST_CASE("the order of parts and the borders between them count") {
  using Strings = std::vector<std::string>;
  using Lists = std::vector<std::vector<int>>;
  CHECK(hash_of(std::pair{1, 2}) != hash_of(std::pair{2, 1}));
  CHECK(hash_of(std::vector{1.0, 2.0}) != hash_of(std::vector{2.0, 1.0}));
  CHECK(hash_of(Strings{"ab", "c"}) != hash_of(Strings{"a", "bc"}));
  CHECK(hash_of(Strings{"ab"}) != hash_of(Strings{"ab", ""}));
  CHECK(hash_of(Lists{{1}, {2}}) != hash_of(Lists{{1, 2}, {}}));
  CHECK(hash_of(Lists{{}, {1}}) != hash_of(Lists{{1}, {}}));
  CHECK(hash_of(std::list<std::list<double>>{{}}) != hash_of(std::list<std::list<double>>{}));
  CHECK(hash_of(std::vector<bool>{false}) != hash_of(std::vector<bool>{false, false}));
  CHECK(hash_of(std::list{0.0}) != hash_of(std::list<double>{}));
  CHECK(hash_of(std::optional<int>{}) != hash_of(std::optional{0}));
  CHECK(hash_of(std::variant<int, int>{std::in_place_index<0>, 1}) !=
        hash_of(std::variant<int, int>{std::in_place_index<1>, 1}));
}

TEST_CASE("zero has one hash and what is not a number can be hashed") {
  CHECK(hash_of(0.0) == hash_of(-0.0));
  CHECK(hash_of(0.0F) == hash_of(-0.0F));
  CHECK(hash_of(0.0L) == hash_of(-0.0L));
  CHECK(hash_of(std::vector{0.0, 1.0}) == hash_of(std::vector{-0.0, 1.0}));
  CHECK(hash_of(1.0) != hash_of(-1.0));
  CHECK(hash_of(std::numeric_limits<double>::quiet_NaN()) != hash_of(0.0));
}

TEST_CASE("pointers are hashed by address") {
  const std::string text = "a";
  const std::string same = "a";
  CHECK(hash_of(text.c_str()) != hash_of(same.c_str()));
  CHECK(hash_of(&text) == hash_of(&text));
  CHECK(hash_of(static_cast<int*>(nullptr)) == hash_of(nullptr));

  Owner owner{std::make_unique<int>(1), nullptr};
  const std::size_t before = hash_of(owner);
  *owner.owned = 2;
  CHECK(hash_of(owner) == before);
  owner.shared = std::make_shared<int>(3);
  CHECK(hash_of(owner) != before);
}

TEST_CASE("a hash of the user's is preferred, also for the parts of something else") {
  CHECK(hash_of(Word{"A"}) == hash_of(std::string{"a"}));
  CHECK(hash_of(std::vector<Word>{{"A"}, {"b"}}) == hash_of(std::vector<Word>{{"a"}, {"B"}}));
  CHECK(hash_of(std::pair{1, Word{"A"}}) == hash_of(std::pair{1, Word{"a"}}));
  CHECK(hash_of(std::optional{Word{"A"}}) == hash_of(std::optional{Word{"a"}}));
  struct Page {
    Word title;
    int size;
    bool operator==(const Page&) const = default;
  };
  CHECK(hash_of(Page{{"A"}, 1}) == hash_of(Page{{"a"}, 1}));
  CHECK(hash_of(Number{3}) == hash_of(3));
  CHECK(hash_of(Named{"ab"}) == hash_of(Named{"cd"}));  // std::hash<Named> is the length
  CHECK(hash_of(Named{"ab"}) != Named{"ab"}.name().size());
}

TEST_CASE("a variant without a value can be hashed") {
  struct Explosive {
    operator std::string() const { throw std::runtime_error{"converted"}; }
  };
  using Pair = std::pair<int, std::string>;
  using Variant = std::variant<int, Pair>;
  Variant variant{1};
  CHECK_THROWS_AS(variant.emplace<Pair>(1, Explosive{}), std::runtime_error);
  REQUIRE(variant.valueless_by_exception());
  CHECK(equal(variant, Variant{variant}));
  CHECK(hash_of(variant) == hash_of(Variant{variant}));
  CHECK(hash_of(variant) != hash_of(Variant{0}));
}

TEST_CASE("what a hash throws comes through") {
  CHECK_THROWS_WITH_AS(hash_of(Throwing{-1}), "hashed", std::runtime_error);
  CHECK_THROWS_WITH_AS(hash_of(std::vector<Throwing>{{1}, {-1}}), "hashed", std::runtime_error);
  struct Holder {
    int id;
    std::optional<Throwing> value;
  };
  CHECK_THROWS_WITH_AS(hash_of(Holder{1, {{-1}}}), "hashed", std::runtime_error);
  CHECK(hash_of(Holder{1, {{1}}}) == hash_of(Holder{1, {{2}}}));
}

TEST_CASE("a hash serves the standard containers") {
  std::unordered_set<std::pair<int, std::string>, taskmgr::hash<std::pair<int, std::string>>> set;
  CHECK(set.insert({1, "a"}).second);
  CHECK_FALSE(set.insert({1, "a"}).second);
  CHECK(set.contains({1, "a"}));
  CHECK_FALSE(set.contains({2, "a"}));
}

/// How unevenly 2^12 hashes fall on 2^12 places by 12 bits of them: the sum of squares of the numbers at each place, of
/// which 2^13 is expected, with a deviation of 90.
std::size_t unevenness(const std::vector<std::size_t>& hashes, unsigned shift) {
  std::vector<std::size_t> places(1U << 12U);
  for (const std::size_t hash : hashes) ++places[(hash >> shift) % places.size()];
  std::size_t sum = 0;
  for (const std::size_t count : places) sum += count * count;
  return sum;
}

void check_spread(const std::string& keys, const std::function<std::size_t(std::uint64_t)>& hash_of_key) {
  CAPTURE(keys);
  std::vector<std::size_t> hashes;
  for (std::uint64_t i = 0; i < 1U << 12U; ++i) hashes.push_back(hash_of_key(i));
  for (const unsigned shift : {0U, 7U, 16U, 20U, 32U, 40U, 52U}) {
    CAPTURE(shift);
    CHECK(unevenness(hashes, shift) < 8192 + 7 * 90);
  }
}

TEST_CASE("regular keys are spread as if at random, by all bits of their hashes") {
  using Index = std::uint64_t;
  check_spread("numbers", [](Index i) { return hash_of(i); });
  check_spread("negative", [](Index i) { return hash_of(-static_cast<int>(i)); });
  check_spread("multiples of 1000", [](Index i) { return hash_of(i * 1000); });
  check_spread("multiples of 2^20", [](Index i) { return hash_of(i << 20U); });
  check_spread("multiples of 2^52", [](Index i) { return hash_of(i << 52U); });
  check_spread("doubles", [](Index i) { return hash_of(static_cast<double>(i)); });
  check_spread("pointers", [](Index i) { return hash_of(reinterpret_cast<const int*>(0x7f0000001000 + i * 64)); });
  check_spread("pairs", [](Index i) { return hash_of(std::pair{static_cast<int>(i % 64), static_cast<int>(i / 64)}); });
  check_spread("lists", [](Index i) { return hash_of(std::list{static_cast<int>(i % 64), static_cast<int>(i / 64)}); });
  check_spread("names", [](Index i) { return hash_of("task " + std::to_string(i)); });
  check_spread("paths", [](Index i) { return hash_of("/var/lib/some/" + std::to_string(i) + "/a/long/name.txt"); });
  check_spread("structs", [](Index i) { return hash_of(Plain{static_cast<int>(i % 64), "a", double(i / 64)}); });
  check_spread("std::hash", [](Index i) { return hash_of(Named{std::string(i, 'x')}); });
}

TEST_CASE("the multiplication by halves is the multiplication") {
  using taskmgr::detail::fold;
  using taskmgr::detail::fold_halves;
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  static_assert(fold_halves(most, most) == fold(most, most));
  static_assert(fold_halves(0xFFFFFFFF, 0xFFFFFFFF) == fold(0xFFFFFFFF, 0xFFFFFFFF));
  static_assert(fold_halves(most, 1) == fold(most, 1) && fold_halves(0, most) == 0);
  INFO("TASKMGR_SEED=" << support::seed());
  support::Random random;
  int different = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t a = random.word();
    const std::uint64_t b = random.word() >> random.below(64);
    different += fold_halves(a, b) != fold(a, b) || fold_halves(b, a) != fold(b, a);
  }
  CHECK(different == 0);
}

}  // namespace
