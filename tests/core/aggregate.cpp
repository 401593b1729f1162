// SPDX-License-Identifier: MIT
#include <taskmgr/core/aggregate.hpp>

#include <any>
#include <array>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <doctest/doctest.h>

namespace {

using taskmgr::detail::Aggregate;
using taskmgr::detail::member_count;
using taskmgr::detail::member_types;
using taskmgr::detail::members;
using taskmgr::detail::Types;
using taskmgr::detail::visit_members;

/// The number of members, or -1.
template <class T>
constexpr int count() {
  if constexpr (Aggregate<T>) return static_cast<int>(member_count<T>);
  else return -1;
}

/// Defines a struct with these members, and checks how many are found.
#define COUNTS(name, expected, ...) \
  struct name {                     \
    __VA_ARGS__                     \
  };                                \
  static_assert(count<name>() == (expected))

struct NoDefault {
  explicit(false) NoDefault(int) {}
};
struct ExplicitDefault {
  explicit ExplicitDefault() = default;
};
struct Immovable {
  Immovable(int, int) {}
  Immovable(Immovable&&) = delete;
};
struct Greedy {
  template <class Anything>
  Greedy(Anything&&) {}
};
enum class Colour { red, green };
union Number {
  int whole;
  double real;
};
struct Point {
  int x;
  int y;
};

// Plain members.
COUNTS(None, 0, );
COUNTS(One, 1, int a;);
COUNTS(Plain, 6, int id; std::string url; double weight; bool urgent; Colour colour; const char* note;);
COUNTS(WithDefaults, 3, int a = 1; std::string b = "b"; std::vector<int> c{1, 2};);
COUNTS(WithConst, 3, const int a; const std::string b; const char c[3];);
COUNTS(WithPointers, 5, int* a; void (*b)(int); int Point::* c; std::nullptr_t d; std::unique_ptr<int> e;);
COUNTS(WithLibrary, 8, std::optional<int> a; std::variant<int, std::string> b; std::variant<int> c; std::tuple<int> d;
       std::pair<int, int> e; std::string_view f; std::map<int, std::string> g; std::vector<bool> h;);

// Members that swallow whatever they are initialised with.
COUNTS(WithAny, 3, std::any a; int b; std::tuple<std::any> c;);
COUNTS(WithFunction, 2, std::function<void(int)> a; int b;);
COUNTS(WithGreedy, 3, Greedy a; int b; Greedy c;);
COUNTS(OnlyGreedy, 1, Greedy a;);

// Members that cannot be made or moved.
COUNTS(WithMutex, 3, std::mutex a; std::atomic<int> b; std::once_flag c;);
COUNTS(WithoutDefaults, 3, int a; NoDefault b; int c;);
COUNTS(LastWithoutDefault, 2, int a; NoDefault b;);
COUNTS(WithExplicitDefault, 3, int a; ExplicitDefault b; int c;);
COUNTS(WithImmovable, 2, Immovable a; int b;);

// C arrays, whose braces may be left out, and what looks like them.
COUNTS(OnlyArray, 1, int a[3];);
COUNTS(ArrayOfOne, 3, int a[1]; int b[1]; int c;);
COUNTS(ArrayFirst, 2, char a[16]; int b;);
COUNTS(ArrayLast, 2, int a; double b[7];);
COUNTS(ArrayOfArrays, 3, std::string a; int b[2][3]; int c;);
COUNTS(ArrayOfStructs, 2, Point a[4]; int b;);
COUNTS(ArrayOfStrings, 3, int a; std::string b[3]; int c;);
COUNTS(ArrayWithoutDefault, 3, NoDefault a[3]; int b; NoDefault c;);
COUNTS(ArrayBeforeNoDefault, 4, int a[2]; NoDefault b[3]; int c; NoDefault d;);
COUNTS(ArrayOfGreedy, 2, Greedy a[2]; Point b;);
COUNTS(LongArray, 3, char a[1000]; int b; std::string c;);
COUNTS(Nested, 4, int a; Point b; Point c[2]; std::array<int, 4> d;);
COUNTS(StdArrays, 3, std::array<int, 3> a; std::array<std::array<int, 2>, 2> b; std::array<char, 1 << 20> c;);

// A struct within itself.
COUNTS(Node, 2, int value; std::vector<Node> children;);
COUNTS(Json, 1, std::variant<double, std::string, std::vector<Json>, std::map<std::string, Json>> value;);
COUNTS(List, 2, int value; std::unique_ptr<List> next;);
COUNTS(Tree, 2, std::optional<std::vector<Tree>> children; std::map<std::string, std::vector<Tree>> named;);

// Up to 32.
COUNTS(ThirtyTwo, 32, int a, b, c, d, e, f, g, h; std::string i, j, k, l, m, n, o, p; double q, r, s, t, u, v, w, x;
       std::vector<int> A, B, C, D, E, F, G, H;);
COUNTS(ThirtyThree, -1, int a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z;
       std::string A, B, C, D, E, F, G;);

// What is not taken apart.
struct Derived : Point {
  int z;
};
struct DerivedOnly : Point {};
struct DerivedFromEmpty : None {
  int z;
};
struct Private {
  int a;

 private:
  [[maybe_unused]] int b_;
};
struct Constructed {
  Constructed() {}
  int a = 0;
};
struct Virtual {
  virtual void f() {}
  int a;
};
COUNTS(BitFields, -1, int a : 3; int b : 5;);
COUNTS(LateBitField, -1, std::string a; unsigned b : 32;);
COUNTS(Reference, -1, int a; int& b;);
COUNTS(ReferenceToConst, -1, const int& a; int b;);
COUNTS(NamedUnion, -1, int a; Number b;);
COUNTS(UnionFirst, -1, Number a; int b;);
COUNTS(AnonymousUnion, -1, int kind; union { int whole; double real; };);
COUNTS(UnionAndArray, -1, int a[3]; union { int whole; double real; }; int b[2];);
COUNTS(VeryLongArray, -1, char a[20'000]; int b;);
static_assert(!Aggregate<Derived> && !Aggregate<DerivedOnly> && !Aggregate<DerivedFromEmpty>);
static_assert(!Aggregate<Private> && !Aggregate<Constructed> && !Aggregate<Virtual>);
static_assert(!Aggregate<Number> && !Aggregate<int[3]> && !Aggregate<std::array<int, 3>>);
static_assert(!Aggregate<int> && !Aggregate<Colour> && !Aggregate<void> && !Aggregate<int&>);
static_assert(!Aggregate<std::string> && !Aggregate<std::pair<int, int>> && !Aggregate<std::tuple<int>>);
static_assert(!Aggregate<const Point> && !Aggregate<Point&>);

static_assert(std::is_same_v<member_types<WithConst>, Types<int, std::string, char[3]>>);
static_assert(std::is_same_v<member_types<None>, Types<>>);

template <class T>
concept HasMembers = requires { members(std::declval<T>()); };
static_assert(HasMembers<Point&> && HasMembers<const Point&>);
static_assert(!HasMembers<Point> && !HasMembers<const Point>);  // the references would dangle
static_assert(!HasMembers<Derived&> && !HasMembers<int&>);

TEST_CASE("members are references, const where the member or the object is") {
  struct Job {
    int id;
    const std::string url;
    int parts[2];
    Point at;
  };
  Job job{1, "a", {2, 3}, {4, 5}};
  const Job& constant = job;
  static_assert(std::is_same_v<decltype(members(job)), std::tuple<int&, const std::string&, int(&)[2], Point&>>);
  static_assert(std::is_same_v<decltype(members(constant)),
                               std::tuple<const int&, const std::string&, const int(&)[2], const Point&>>);

  std::get<0>(members(job)) = 7;
  std::get<2>(members(job))[1] = 8;
  CHECK(job.id == 7);
  CHECK(job.parts[1] == 8);
  CHECK(&std::get<1>(members(constant)) == &job.url);
  CHECK(&std::get<3>(members(constant)) == &job.at);
}

TEST_CASE("members can be visited without being copied or moved") {
  struct Pinned {
    std::mutex mutex;
    std::unique_ptr<int> pointer;
  };
  Pinned pinned{{}, std::make_unique<int>(3)};
  CHECK(visit_members(pinned, [](std::mutex& mutex, std::unique_ptr<int>& pointer) {
    const std::scoped_lock lock{mutex};
    return *std::exchange(pointer, nullptr);
  }) == 3);
  CHECK(pinned.pointer == nullptr);
}

TEST_CASE("an aggregate without members has none to visit") {
  CHECK(visit_members(None{}, [](const auto&... member) { return sizeof...(member); }) == 0);
  None none;
  static_assert(std::is_same_v<decltype(members(none)), std::tuple<>>);
}

TEST_CASE("thirty-two members are visited in the order of their declaration") {
  struct Letters {
    char a = 'a', b = 'b', c = 'c', d = 'd', e = 'e', f = 'f', g = 'g', h = 'h', i = 'i', j = 'j', k = 'k',
         l = 'l', m = 'm', n = 'n', o = 'o', p = 'p', q = 'q', r = 'r', s = 's', t = 't', u = 'u', v = 'v',
         w = 'w', x = 'x', y = 'y', z = 'z', A = 'A', B = 'B', C = 'C', D = 'D', E = 'E', F = 'F';
  };
  static_assert(member_count<Letters> == 32);
  const auto text = visit_members(Letters{}, [](auto... letter) { return std::string{letter...}; });
  CHECK(text == "abcdefghijklmnopqrstuvwxyzABCDEF");
}

template <std::size_t Size>
bool finds_the_members_around_an_array() {
  struct Bytes {
    char first;
    char rest[Size];
    char last;
  };
  const Bytes bytes{};
  const auto [first, rest, last] = members(bytes);
  return &first == &bytes.first && &rest == &bytes.rest && &last == &bytes.last && member_count<Bytes> == 3;
}

TEST_CASE("an array of any length is one member") {
  CHECK(finds_the_members_around_an_array<1>());
  CHECK(finds_the_members_around_an_array<2>());
  CHECK(finds_the_members_around_an_array<3>());
  CHECK(finds_the_members_around_an_array<15>());
  CHECK(finds_the_members_around_an_array<16>());
  CHECK(finds_the_members_around_an_array<17>());
  CHECK(finds_the_members_around_an_array<100>());
}

TEST_CASE("members are known while compiling") {
  constexpr Point point{3, 4};
  static_assert(visit_members(point, [](int x, int y) { return x * x + y * y; }) == 25);
  static_assert(std::get<1>(members(point)) == 4);
  CHECK(std::get<0>(members(point)) == 3);
}

}  // namespace
