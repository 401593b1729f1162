// SPDX-License-Identifier: MIT
#include <taskmgr/manager/with_args.hpp>

#include <taskmgr/core/context.hpp>

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

using taskmgr::Context, taskmgr::with_args, taskmgr::with_result;
using taskmgr::detail::CallableWith, taskmgr::detail::ListTask, taskmgr::detail::ResultOf;

namespace with_args_test {

struct Job {
  int width = 0;
  int height = 0;
  std::string name{};
  [[nodiscard]] int area() const { return width * height; }
};

struct Named : Job {};

struct Other {
  int depth = 0;
};

/// Calls `f` as a run does; the attempt is the second.
template <class F, class Task>
decltype(auto) called(const F& f, const Task& task) {
  Context context;
  taskmgr::detail::ContextAccess::task(context, 7, 2, &task);
  return taskmgr::detail::call(f, context, task);
}

int area(int width, int height) { return width * height; }

const Job job{3, 4, "a job with a name that is long enough to be kept elsewhere"};

}  // namespace with_args_test
using namespace with_args_test;

TEST_CASE("members of a task become arguments") {
  CHECK(called(with_args(&area, &Job::width, &Job::height), job) == 12);
  CHECK(called(with_args([](int a) { return a + 1; }, &Job::area), job) == 13);
  CHECK(called(with_args([](int a, int w) { return a + w; }, &Job::area, &Job::width), job) == 15);
  CHECK(called(with_args(&area, &Job::width, &Job::height), Named{job}) == 12);
  CHECK(called(with_args(&area, &Job::width, &Job::height), std::make_shared<Job>(job)) == 12);
}

TEST_CASE("a projection gives a value, or a tuple that is unpacked") {
  CHECK(called(with_args(&area, [](const Job& j) { return std::tuple{j.width, j.height}; }), job) == 12);
  CHECK(called(with_args(&area, [](const Job& j) { return std::pair{j.width, 2}; }), job) == 6);
  CHECK(called(with_args(&area, [](const auto& j) { return std::tie(j.width, j.height); }), job) == 12);
  CHECK(called(with_args([](int w) { return w; }, [](const Job& j) { return j.width; }), job) == 3);
  CHECK(called(with_args([](const std::tuple<int, int>& both) { return std::get<1>(both); },
                         [](const Job& j) { return std::tuple{j.width, j.height}; }),
               job) == 4);
}

TEST_CASE("several projections give an argument each, and tuples among them stay whole") {
  const auto sum = [](const std::pair<int, int>& pair, int third) { return pair.first + pair.second + third; };
  CHECK(called(with_args(sum, [](const Job& j) { return std::pair{j.width, j.height}; }, [](const Job&) { return 100; }), job) == 107);
  CHECK(called(with_args([](const auto&... all) { return sizeof...(all); }, &Job::width, &Job::height, &Job::name), job) == 3);
}

TEST_CASE("an adapted function may take a context first") {
  CHECK(called(with_args([](Context& context, int w) { return 10 * context.attempt() + w; }, &Job::width), job) == 23);
  CHECK(called(with_args([](Context& context, int w, int h) { return context.attempt() * w * h; }, &Job::width, &Job::height), job) ==
        24);
  CHECK(called(with_args([](Context& context, int w, int h) { return context.attempt() * w * h; },
                         [](const Job& j) { return std::tuple{j.width, j.height}; }),
               job) == 24);
}

TEST_CASE("members are referred to, not copied") {
  const void* seen = nullptr;
  const void* other = nullptr;
  called(with_args([&](const std::string& name) { seen = &name; }, &Job::name), job);
  CHECK(seen == &job.name);
  called(with_args([&](const std::string& name, const int& w) { seen = &name, other = &w; }, &Job::name, &Job::width), job);
  CHECK(seen == &job.name);
  CHECK(other == &job.width);
}

TEST_CASE("what a projection makes may be move-only") {
  const auto make = [](const Job& j) { return std::make_unique<int>(j.width); };
  CHECK(called(with_args([](const std::unique_ptr<int>& p) { return *p; }, make), job) == 3);
  CHECK(called(with_args([](const std::unique_ptr<int>& p, int h) { return *p * h; }, make, &Job::height), job) == 12);
}

TEST_CASE("a string that a projection gives reaches a parameter of characters") {
  const auto length = [](const char* text) { return std::string_view(text).size(); };
  CHECK(called(with_args(length, &Job::name), job) == job.name.size());
}

TEST_CASE("a reference into what a projection has made does not outlive it") {
  const auto copy = [](const Job& j) { return j; };
  CHECK(called(with_args(&Job::name, copy), job) == job.name);
  CHECK(called(with_args([](const std::string& a, const std::string&) -> const std::string& { return a; },
                         [](const Job& j) { return j.name + "!"; }, &Job::name),
               job) == job.name + "!");
  CHECK(called(with_result(copy, [](const Job&, const Job& made) -> const std::string& { return made.name; }), job) == job.name);
  static_assert(std::is_same_v<ResultOf<decltype(with_args(&Job::name, copy)), Job>, std::string>);
}

TEST_CASE("what a projection throws leaves the call") {
  const auto throws = [](const Job&) -> int { throw std::domain_error("projection"); };
  CHECK_THROWS_WITH_AS(called(with_args([](int) {}, throws), job), "projection", std::domain_error);
  CHECK_THROWS_WITH_AS(called(with_args(&area, &Job::width, throws), job), "projection", std::domain_error);
}

TEST_CASE("an adapted function is asked only about tasks that its projections take") {
  const auto by_members = with_args(&area, &Job::width, &Job::height);
  using F = std::remove_const_t<decltype(by_members)>;
  static_assert(CallableWith<F, Job> && CallableWith<F, Named> && !CallableWith<F, int> && !CallableWith<F, Other>);
  static_assert(!CallableWith<F, std::pair<Job, Job>>);
}

TEST_CASE("the tasks of a list are the objects that all of the members belong to") {
  static_assert(std::is_same_v<ListTask<decltype(with_args(&area, &Job::width, &Job::height))>, Job>);
  static_assert(std::is_same_v<ListTask<decltype(with_args([](int) {}, &Job::area))>, Job>);
  using taskmgr::detail::AnyTask;
  static_assert(std::is_same_v<ListTask<decltype(with_args(&area, &Job::width, &Other::depth))>, AnyTask>);
  static_assert(std::is_same_v<ListTask<decltype(with_args(&area, &Job::width, std::identity{}))>, AnyTask>);
}

TEST_CASE("with_result stores what the second function makes of task and result") {
  const auto text = [](int task, int result) { return std::to_string(task) + " -> " + std::to_string(result); };
  CHECK(called(with_result([](int x) { return 2 * x; }, text), 4) == "4 -> 8");
  const auto of_pair = [](const std::pair<int, int>& task, int result) { return result - task.first; };
  CHECK(called(with_result(&area, of_pair), std::pair{3, 4}) == 9);
  CHECK(called(with_result([](Context& context, int x) { return context.attempt() * x; }, text), 4) == "4 -> 8");
  CHECK(called(with_result(&Job::width, [](const Job& j, int width) { return j.height + width; }), job) == 7);
}

TEST_CASE("the second function gets the result itself, to move from") {
  const auto make = [](int x) { return std::make_unique<int>(x); };
  const auto keep = [](int, std::unique_ptr<int> made) { return made; };
  CHECK(*called(with_result(make, keep), 5) == 5);
  static_assert(std::is_same_v<ResultOf<decltype(with_result(make, keep)), int>, std::unique_ptr<int>>);
}

TEST_CASE("where the first function gives nothing, the second takes the task alone") {
  int ran = 0;
  const auto run = [&ran](int x) { ran += x; };
  CHECK(called(with_result(run, [&ran](int x) { return 10 * ran + x; }), 3) == 33);
  called(with_result(run, [&ran](int) { ran = -1; }), 3);
  CHECK(ran == -1);
}

TEST_CASE("what either function throws leaves the call, and the second is not called after the first threw") {
  bool called_second = false;
  const auto fails = [](int) -> int { throw std::domain_error("first"); };
  CHECK_THROWS_WITH_AS(called(with_result(fails, [&](int, int) { called_second = true; }), 1), "first", std::domain_error);
  CHECK_FALSE(called_second);
  CHECK_THROWS_WITH_AS(called(with_result([](int x) { return x; }, [](int, int) -> int { throw std::domain_error("second"); }), 1),
                       "second", std::domain_error);
}

TEST_CASE("with_result has the list task of its first function") {
  const auto any = [](const auto&...) {};
  static_assert(std::is_same_v<ListTask<decltype(with_result(&area, any))>, std::tuple<int, int>>);
  static_assert(std::is_same_v<ListTask<decltype(with_result(with_args(&area, &Job::width, &Job::height), any))>, Job>);
}

TEST_CASE("adapters can be nested") {
  const auto twice = [](const auto&, int result) { return 2 * result; };
  CHECK(called(with_result(with_args(&area, &Job::width, &Job::height), twice), job) == 24);
  CHECK(called(with_result(with_result(with_args(&area, &Job::width, &Job::height), twice), twice), job) == 48);
  CHECK(called(with_args(with_result(&area, twice), [](const Job& j) { return std::tuple{j.width, j.height}; }), job) == 24);
  CHECK(called(with_args(with_args(&area, &Job::width, &Job::height), [](const std::vector<Job>& jobs) { return jobs.back(); }),
               std::vector{job}) == 12);
}
