// SPDX-License-Identifier: MIT
#include <taskmgr/core/task_text.hpp>

#include <doctest/doctest.h>

#include <string>

#include <taskmgr/core/event.hpp>

using taskmgr::detail::write_task;

namespace {

struct Plain {
  int number;
};
struct Shown {
  int number;
};

}  // namespace

template <>
struct fmt::formatter<Shown> : fmt::formatter<int> {
  template <class FormatContext>
  auto format(const Shown& shown, FormatContext& context) const {
    return fmt::formatter<int>::format(shown.number, context);
  }
};

TEST_CASE("a task that formats is written by fmt") {
  const int number = 42;
  CHECK(write_task<int>(&number, 7) == "42");
  const std::string text = "a path";
  CHECK(write_task<std::string>(&text, 7) == "a path");
  const Shown shown{5};
  CHECK(write_task<Shown>(&shown, 7) == "5");
}

TEST_CASE("a task that does not is written as its number") {
  const Plain plain{42};
  CHECK(write_task<Plain>(&plain, 7) == "7");
}

TEST_CASE("an event asks for the text only when somebody wants it") {
  const int number = 42;
  taskmgr::Event event;
  CHECK(event.task_text().empty());
  event.subject = &number;
  event.writer = &write_task<int>;
  CHECK(event.task_text() == "42");
}
