// SPDX-License-Identifier: MIT
#include <taskmgr/core/error.hpp>

#include <doctest/doctest.h>

#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

using taskmgr::Cancelled, taskmgr::RemoteError, taskmgr::TaskError, taskmgr::TimeoutError, taskmgr::UsageError,
    taskmgr::WorkerCrashed;
using Kind = taskmgr::TaskError::Kind;

namespace error_test {

struct Own : std::runtime_error {
  explicit Own(const std::string& text) : std::runtime_error(text) {}
};

struct NoException {
  int value = 0;
};

/// Throws what `throw_it` throws, and keeps it as a task's error.
template <class Throw>
TaskError error_of(Throw throw_it, int attempts = 1, Kind kind = Kind::exception) {
  try {
    throw_it();
  } catch (...) {
    return TaskError{kind, std::current_exception(), attempts};
  }
  throw std::logic_error("nothing was thrown");
}

}  // namespace error_test
using error_test::error_of;

TEST_CASE("the library's exceptions have the base classes that they promise") {
  static_assert(std::is_base_of_v<std::runtime_error, taskmgr::Error>);
  static_assert(std::is_base_of_v<taskmgr::Error, TimeoutError>);
  static_assert(std::is_base_of_v<taskmgr::Error, WorkerCrashed>);
  static_assert(std::is_base_of_v<taskmgr::Error, RemoteError>);
  static_assert(std::is_base_of_v<taskmgr::Error, Cancelled>);
  static_assert(std::is_base_of_v<std::logic_error, UsageError>);
  static_assert(!std::is_base_of_v<taskmgr::Error, UsageError>);

  CHECK(std::string_view(Cancelled{}.what()) == "the task was cancelled");
  CHECK(std::string_view(Cancelled{"enough"}.what()) == "enough");
  const WorkerCrashed crashed{"killed", 9, 0};
  CHECK(crashed.signal() == 9);
  CHECK(crashed.exit_code() == 0);
  CHECK(std::string_view(crashed.what()) == "killed");
  const RemoteError remote{"their::Error", "broken"};
  CHECK(remote.type() == "their::Error");
  CHECK(std::string_view(remote.what()) == "broken");
}

TEST_CASE("an error has the kind, the attempts and the exception that it was made of") {
  const TaskError error = error_of([] { throw error_test::Own("down"); }, 3, Kind::timeout);
  CHECK(error.kind() == Kind::timeout);
  CHECK(error.attempts() == 3);
  CHECK(error.message() == "down");
  CHECK(error.exception() != nullptr);
  CHECK_THROWS_WITH_AS(error.rethrow(), "down", error_test::Own);
  CHECK_THROWS_WITH_AS(error.rethrow(), "down", error_test::Own);  // as often as one likes
}

TEST_CASE("the type of an error is the demangled one of what was thrown, not of the class that caught it") {
  CHECK(error_of([] { throw std::invalid_argument("x"); }).type() == "std::invalid_argument");
  CHECK(error_of([] { throw error_test::Own("x"); }).type() == "error_test::Own");
  CHECK(error_of([] { throw error_test::NoException{}; }).type() == "error_test::NoException");
  CHECK(error_of([] { throw std::bad_alloc{}; }).type() == "std::bad_alloc");
  CHECK(error_of([] { throw Cancelled{}; }).type() == "taskmgr::Cancelled");
  CHECK(error_of([] { throw std::vector<int>{}; }).type() == "std::vector<int, std::allocator<int> >");
  CHECK(error_of([] { throw 42; }).type() == "int");
  CHECK(error_of([] { throw 4.2; }).type() == "double");
  CHECK(error_of([] { throw std::string("x"); }).type() == "std::string");
  CHECK(error_of([] { throw "x"; }).type() == "char const*");
  CHECK(error_of([] { throw nullptr; }).type() == "decltype(nullptr)");
}

TEST_CASE("what came from another process keeps the type that it had there") {
  CHECK(error_of([] { throw RemoteError("their::Error", "x"); }).type() == "their::Error");
}

TEST_CASE("whatever was thrown has a message") {
  CHECK(error_of([] { throw std::runtime_error("no route to host"); }).message() == "no route to host");
  CHECK(error_of([] { throw std::runtime_error(""); }).message().empty());
  CHECK(error_of([] { throw 42; }).message() == "42");
  CHECK(error_of([] { throw -1; }).message() == "-1");
  CHECK(error_of([] { throw std::string("a string"); }).message() == "a string");
  CHECK(error_of([] { throw "characters"; }).message() == "characters");
  CHECK(error_of([] { throw static_cast<const char*>(nullptr); }).message() == "a null pointer to characters");
  CHECK(error_of([] { throw error_test::NoException{}; }).message() == "an exception that is no std::exception");
  CHECK(error_of([] { throw std::error_code{}; }).message() == "an exception that is no std::exception");
}

TEST_CASE("an exception whose what() is a null pointer has an empty message") {
  struct Silent : std::exception {
    const char* what() const noexcept override { return nullptr; }
  };
  CHECK(error_of([] { throw Silent{}; }).message().empty());
}

TEST_CASE("nested exceptions are joined, outermost first") {
  const auto open = [] { throw std::system_error(std::make_error_code(std::errc::permission_denied)); };
  const auto load = [&] {
    try {
      open();
    } catch (...) {
      std::throw_with_nested(std::runtime_error("cannot load"));
    }
  };
  const auto start = [&] {
    try {
      load();
    } catch (...) {
      std::throw_with_nested(error_test::Own("cannot start"));
    }
  };
  const TaskError error = error_of(start);
  CHECK(error.message() == "cannot start: cannot load: Permission denied");
  CHECK(error.type() == "error_test::Own");  // not the library's class around it
  CHECK_THROWS_AS(error.rethrow(), error_test::Own);
}

TEST_CASE("what is nested need not be an exception") {
  const TaskError error = error_of([] {
    try {
      throw 42;
    } catch (...) {
      std::throw_with_nested(std::runtime_error("failed"));
    }
  });
  CHECK(error.message() == "failed: 42");
}

TEST_CASE("a nested exception of nothing ends the message") {
  struct Empty : std::runtime_error, std::nested_exception {
    Empty() : std::runtime_error("alone") {}
  };
  CHECK(error_of([] { throw Empty{}; }).message() == "alone");
}

TEST_CASE("a very long chain of causes is cut") {
  std::exception_ptr chain = std::make_exception_ptr(std::runtime_error("0"));
  for (int k = 1; k < 10'000; ++k) {
    try {
      std::rethrow_exception(chain);
    } catch (...) {
      try {
        std::throw_with_nested(std::runtime_error(std::to_string(k)));
      } catch (...) {
        chain = std::current_exception();
      }
    }
  }
  const TaskError error{Kind::exception, chain, 1};
  CHECK(error.message().starts_with("9999: 9998: 9997"));
  CHECK(error.message().size() < 1'000);
}

TEST_CASE("errors are values") {
  static_assert(std::is_copy_constructible_v<TaskError> && std::is_nothrow_move_constructible_v<TaskError>);
  TaskError first = error_of([] { throw 1; }, 4);
  const TaskError copy = first;
  first = error_of([] { throw 2; });
  CHECK(copy.message() == "1");
  CHECK(copy.attempts() == 4);
  CHECK(first.message() == "2");
}
