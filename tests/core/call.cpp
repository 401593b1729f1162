// SPDX-License-Identifier: MIT
#include <taskmgr/core/call.hpp>

#include <taskmgr/core/context.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

using taskmgr::Context;
using taskmgr::detail::call_kind, taskmgr::detail::CallableWith, taskmgr::detail::CallKind, taskmgr::detail::ListTask,
    taskmgr::detail::ResultOf;

namespace call_test {

using Pair = std::pair<int, int>;
using Triple = std::tuple<int, std::string, double>;

/// Calls `f` in the way that was chosen for it.
template <class F, class Task>
decltype(auto) called(const F& f, const Task& task) {
  Context context;
  taskmgr::detail::ContextAccess::task(context, 41, 2, &task);
  return taskmgr::detail::call(f, context, task);
}

int add(int x, int y) { return x + y; }
int twice(int x) noexcept { return 2 * x; }
std::size_t length(const char* text) { return std::string_view(text).size(); }

struct Job {
  int width = 0;
  int height = 0;
  [[nodiscard]] int area() const { return width * height; }
  [[nodiscard]] int scaled(int by) const noexcept { return by * area(); }
  int change() { return ++width; }
};

struct Overloaded {
  int operator()(const Pair&) const { return 1; }
  int operator()(int, int) const { return 2; }
  int operator()(Context&, const Pair&) const { return 3; }
  int operator()(Context&, int, int) const { return 4; }
};
struct AllButWhole {
  int operator()(int, int) const { return 2; }
  int operator()(Context&, const Pair&) const { return 3; }
  int operator()(Context&, int, int) const { return 4; }
};
struct InContext {
  int operator()(Context&, const Pair&) const { return 3; }
  int operator()(Context&, int, int) const { return 4; }
};

/// A tuple of its own making: the protocol of structured bindings.
struct Point {
  int x;
  int y;
  template <std::size_t I>
  friend const int& get(const Point& point) {
    if constexpr (I == 0) return point.x;
    else return point.y;
  }
};

}  // namespace call_test

template <>
struct std::tuple_size<call_test::Point> : std::integral_constant<std::size_t, 2> {};
template <std::size_t I>
struct std::tuple_element<I, call_test::Point> {
  using type = int;
};

using namespace call_test;

TEST_CASE("the first of the four ways that fits is taken") {
  CHECK(called(Overloaded{}, Pair{1, 2}) == 1);
  CHECK(called(AllButWhole{}, Pair{1, 2}) == 2);
  CHECK(called(InContext{}, Pair{1, 2}) == 3);
  CHECK(called([](Context&, int x, int y) { return x * 10 + y; }, Pair{1, 2}) == 12);
  static_assert(call_kind<Overloaded, Pair>() == CallKind::whole);
  static_assert(call_kind<AllButWhole, Pair>() == CallKind::unpacked);
  static_assert(call_kind<InContext, Pair>() == CallKind::context_whole);
  static_assert(call_kind<decltype(&add), int>() == CallKind::none);
}

TEST_CASE("tuples, pairs and arrays are unpacked") {
  CHECK(called(&add, Pair{1, 2}) == 3);
  CHECK(called(&add, std::tuple<int, int>{3, 4}) == 7);
  CHECK(called(&add, std::array<int, 2>{5, 6}) == 11);
  CHECK(called(&twice, std::tuple<int>{7}) == 14);
  CHECK(called(&add, std::pair<const int, int>{1, 2}) == 3);  // of a std::map
  CHECK(called([](int n, const std::string& text, double x) { return text + std::to_string(n + static_cast<int>(x)); },
               Triple{1, "a", 2.5}) == "a3");
  CHECK(called([] { return 5; }, std::tuple<>{}) == 5);
}

TEST_CASE("elements are converted like arguments") {
  CHECK(called([](long x, double y) { return static_cast<double>(x) + y; }, std::tuple<int, float>{1, 0.5F}) == 1.5);
  CHECK(called([](std::string_view a, const std::string& b) { return a == b; }, std::tuple<std::string, std::string>{"x", "x"}));
  CHECK(called([](std::span<const int> numbers, int last) { return numbers.back() == last; },
               std::tuple<std::vector<int>, int>{{1, 2, 3}, 3}));
}

TEST_CASE("a class with the tuple protocol of its own is unpacked too") {
  CHECK(called(&add, Point{3, 4}) == 7);
  CHECK(called([](const Point& point) { return point.x; }, Point{3, 4}) == 3);
}

TEST_CASE("a generic lambda takes the task whole if it can, and is never asked a question it cannot answer") {
  // Each of these bodies is a hard error if it is looked at with other arguments.
  CHECK(called([](auto x, auto y) { return x + y; }, Pair{1, 2}) == 3);
  CHECK(called([](auto x) { return x * 2; }, 4) == 8);
  CHECK(called([](const auto& pair) { return pair.first - pair.second; }, Pair{5, 3}) == 2);
  CHECK(called([](Context& context, auto x) { return context.attempt() + x; }, 4) == 6);
  CHECK(called([](Context& context, const auto& pair) { return context.attempt() + pair.first; }, Pair{5, 3}) == 7);
  CHECK(called([](Context& context, auto x, auto y) { return context.attempt() * x * y; }, Pair{5, 3}) == 30);
  CHECK(called([](const auto&... all) { return sizeof...(all); }, Pair{1, 2}) == 1);
  CHECK(called([](auto&& x) { return std::is_same_v<decltype(x), const int&>; }, 4));
}

TEST_CASE("a context comes first, by reference") {
  CHECK(called([](Context& context, int x) { return static_cast<int>(context.number()) + x; }, 1) == 42);
  CHECK(called([](const Context& context, int x) { return static_cast<int>(context.number()) + x; }, 1) == 42);
  CHECK(called([](Context& context, int x, int y) { return context.attempt() + x + y; }, Pair{1, 2}) == 5);
  static_assert(taskmgr::detail::wants_context<void (*)(Context&, int), int>);
  static_assert(taskmgr::detail::wants_context<void (*)(const Context&, int, int), Pair>);
  static_assert(!taskmgr::detail::wants_context<decltype(&twice), int>);
}

TEST_CASE("functions, members and functors of all kinds are called") {
  const Job job{3, 4};
  CHECK(called(&twice, 4) == 8);
  CHECK(called(&Job::area, job) == 12);
  CHECK(called(&Job::width, job) == 3);
  CHECK(called(&Job::scaled, std::tuple{job, 2}) == 24);
  CHECK(called(&Job::area, std::make_shared<Job>(job)) == 12);
  CHECK(called(std::function<int(int, int)>{&add}, Pair{1, 2}) == 3);
  CHECK(called(std::plus<>{}, Pair{1, 2}) == 3);
  CHECK(called(std::bind_front(&add, 10), 5) == 15);
  CHECK(called(std::mem_fn(&Job::area), job) == 12);
}

TEST_CASE("a task is passed as it is stored: a constant, not a copy") {
  const std::string task = "task";
  const void* seen = nullptr;
  called([&seen](const std::string& text) { seen = &text; }, task);
  CHECK(seen == &task);
  const std::pair<std::string, int> pair{"a", 1};
  called([&seen](const std::string& text, int) { seen = &text; }, pair);
  CHECK(seen == &pair.first);
  static_assert(!CallableWith<void (*)(std::string&), std::string>);
  static_assert(!CallableWith<void (*)(std::string&&), std::string>);
  static_assert(!CallableWith<decltype(&Job::change), Job>);
}

TEST_CASE("a move-only task is looked at, not moved") {
  const auto task = std::make_unique<int>(5);
  CHECK(called([](const std::unique_ptr<int>& x) { return *x; }, task) == 5);
  const std::tuple<std::unique_ptr<int>, int> pair{std::make_unique<int>(5), 6};
  CHECK(called([](const std::unique_ptr<int>& x, int y) { return *x + y; }, pair) == 11);
  static_assert(!CallableWith<void (*)(std::unique_ptr<int>), std::unique_ptr<int>>);
}

TEST_CASE("the callable is called as a constant") {
  auto counter = [n = 0]() mutable { return ++n; };
  static_assert(!CallableWith<decltype(counter), std::tuple<>>);
  struct Both {
    int operator()(int) { return 1; }
    int operator()(int) const { return 2; }
  };
  Both both;
  CHECK(both(1) == 1);
  CHECK(called(both, 1) == 2);
}

TEST_CASE("a string reaches a parameter of characters") {
  CHECK(called(&length, std::string("four")) == 4);
  CHECK(called([](const char* a, const char* b) { return *a == *b; }, std::tuple<std::string, std::string>{"x1", "x2"}));
  CHECK(called([](const char* a, const std::string& b, std::string_view c, std::string d, int e) {
          return std::string(a) + b + std::string(c) + d + std::to_string(e);
        },
               std::tuple<std::string, std::string, std::string, std::string, int>{"a", "b", "c", "d", 5}) == "abcd5");
  CHECK(called([](Context& context, const char* text) { return context.attempt() == 2 && *text == 'z'; }, std::string("z")));
  CHECK(called([](Context&, const char* text, int n) { return std::string(text) + std::to_string(n); },
               std::pair<std::string, int>{"n", 1}) == "n1");
}

TEST_CASE("a result is stored decayed, and nothing as a monostate") {
  static_assert(std::is_same_v<ResultOf<decltype(&add), Pair>, int>);
  static_assert(std::is_same_v<ResultOf<void (*)(int), int>, std::monostate>);
  static_assert(std::is_same_v<ResultOf<const std::string& (*)(int), int>, std::string>);
  static_assert(std::is_same_v<ResultOf<const std::string (*)(int), int>, std::string>);
  static_assert(std::is_same_v<ResultOf<decltype(&Job::width), Job>, int>);
  static_assert(std::is_same_v<ResultOf<std::unique_ptr<int> (*)(int), int>, std::unique_ptr<int>>);
  static_assert(std::is_same_v<ResultOf<const char (&(*)(int))[4], int>, const char*>);
  // the call itself keeps the kind of reference
  static_assert(std::is_same_v<decltype(called(&Job::width, std::declval<const Job&>())), const int&>);
}

TEST_CASE("a list in braces has the task type that the signature gives") {
  static_assert(std::is_same_v<ListTask<decltype(&twice)>, int>);
  static_assert(std::is_same_v<ListTask<decltype(&add)>, std::tuple<int, int>>);
  static_assert(std::is_same_v<ListTask<int (*)(const std::string&)>, std::string>);
  static_assert(std::is_same_v<ListTask<int (*)(const int)>, int>);
  static_assert(std::is_same_v<ListTask<int (*)(Pair)>, Pair>);
  static_assert(std::is_same_v<ListTask<int (*)(const std::vector<int>&, long)>, std::tuple<std::vector<int>, long>>);
  static_assert(std::is_same_v<ListTask<int (*)()>, std::tuple<>>);
  static_assert(std::is_same_v<ListTask<std::function<int(double, const Job&)>>, std::tuple<double, Job>>);

  const auto lambda = [](int, const std::string&) {};
  static_assert(std::is_same_v<ListTask<decltype(lambda)>, std::tuple<int, std::string>>);
  const auto silent = [](int) noexcept {};
  static_assert(std::is_same_v<ListTask<decltype(silent)>, int>);
}

TEST_CASE("a leading context is no part of a list's task") {
  static_assert(std::is_same_v<ListTask<int (*)(Context&, int)>, int>);
  static_assert(std::is_same_v<ListTask<int (*)(Context&, int, std::string)>, std::tuple<int, std::string>>);
  static_assert(std::is_same_v<ListTask<int (*)(const Context&, int)>, int>);
  static_assert(std::is_same_v<ListTask<int (*)(const Context&, int, int)>, std::tuple<int, int>>);
  static_assert(std::is_same_v<ListTask<int (*)(Context&)>, std::tuple<>>);
  const auto lambda = [](Context&, std::string_view) {};
  static_assert(std::is_same_v<ListTask<decltype(lambda)>, std::string>);
}

TEST_CASE("no task of a list dangles") {
  static_assert(std::is_same_v<ListTask<decltype(&length)>, std::string>);
  static_assert(std::is_same_v<ListTask<void (*)(std::string_view)>, std::string>);
  static_assert(std::is_same_v<ListTask<void (*)(const std::string_view&)>, std::string>);
  static_assert(std::is_same_v<ListTask<void (*)(std::span<const int>)>, std::vector<int>>);
  static_assert(std::is_same_v<ListTask<void (*)(std::span<const double, 3>)>, std::vector<double>>);
  static_assert(std::is_same_v<ListTask<void (*)(const char*, std::string_view, std::span<const std::byte>, int)>,
                               std::tuple<std::string, std::string, std::vector<std::byte>, int>>);
  // and it can be passed where it came from
  static_assert(CallableWith<decltype(&length), std::string>);
  static_assert(CallableWith<void (*)(std::span<const int>), std::vector<int>>);
  static_assert(CallableWith<void (*)(const char*, std::string_view, std::span<const std::byte>, int),
                             std::tuple<std::string, std::string, std::vector<std::byte>, int>>);
}

TEST_CASE("the task of a member is its object, then its parameters") {
  static_assert(std::is_same_v<ListTask<decltype(&Job::width)>, Job>);
  static_assert(std::is_same_v<ListTask<decltype(&Job::area)>, Job>);
  static_assert(std::is_same_v<ListTask<decltype(&Job::scaled)>, std::tuple<Job, int>>);
}

TEST_CASE("a callable with no one signature has no task for a list") {
  using taskmgr::detail::AnyTask;
  const auto generic = [](auto x) { return x; };
  static_assert(std::is_same_v<ListTask<decltype(generic)>, AnyTask>);
  static_assert(std::is_same_v<ListTask<Overloaded>, AnyTask>);
  static_assert(std::is_same_v<ListTask<std::plus<>>, AnyTask>);
  static_assert(std::is_same_v<ListTask<std::plus<int>>, std::tuple<int, int>>);
}
