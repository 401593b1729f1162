// SPDX-License-Identifier: MIT
#include <taskmgr/core/context.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

using namespace std::chrono_literals;
using taskmgr::Context, taskmgr::EventKind, taskmgr::Level;
using taskmgr::detail::ContextAccess;

namespace context_test {

/// Writes down what a task says.
class Notes final : public taskmgr::detail::Ear {
 public:
  explicit Notes(bool listens) : listens_(listens) {}
  void heard_progress(const Context& from, double done, double total) override {
    lines.push_back(std::to_string(from.number()) + ": " + std::to_string(static_cast<int>(done)) + " of " +
                    std::to_string(static_cast<int>(total)));
  }
  void heard_log(const Context& from, Level level, std::string_view message) override {
    lines.push_back(std::to_string(from.number()) + ": " + (level == Level::warning ? "warning: " : "") + std::string(message));
  }
  bool listens(EventKind kind) const noexcept override {
    return listens_ && (kind == EventKind::task_progress || kind == EventKind::task_log);
  }
  std::vector<std::string> lines;

 private:
  bool listens_;
};

/// Counts how often it is formatted.
struct Costly {
  int* formatted;
};

}  // namespace context_test

template <>
struct fmt::formatter<context_test::Costly> : fmt::formatter<std::string_view> {
  template <class FormatContext>
  auto format(const context_test::Costly& costly, FormatContext& context) const {
    ++*costly.formatted;
    return fmt::formatter<std::string_view>::format("costly", context);
  }
};

using context_test::Costly, context_test::Notes;

TEST_CASE("a context of no run can be made, to test a task with") {
  Context context;
  CHECK(context.attempt() == 1);
  CHECK(context.number() == 0);
  CHECK(context.worker() == 0);
  CHECK_FALSE(context.stop_requested());
  CHECK_FALSE(context.stop_token().stop_possible());
  context.progress(1, 2);
  context.log(Level::error, "nobody hears {}", "this");
  static_assert(!std::is_copy_constructible_v<Context> && !std::is_copy_assignable_v<Context>);
}

TEST_CASE("a context knows its attempt, its task and its worker") {
  Context context;
  const int task = 3;
  ContextAccess::bind(context, 4, nullptr, {});
  ContextAccess::task(context, 17, 2, &task);
  CHECK(context.attempt() == 2);
  CHECK(context.number() == 17);
  CHECK(context.worker() == 4);
  CHECK(ContextAccess::subject(context) == &task);
}

TEST_CASE("a stop is requested when the run's token says so") {
  Context context;
  std::stop_source stop;
  ContextAccess::bind(context, 0, nullptr, stop.get_token());
  CHECK_FALSE(context.stop_requested());
  CHECK(context.stop_token() == stop.get_token());
  stop.request_stop();
  CHECK(context.stop_requested());
  CHECK(context.stop_token().stop_requested());
}

TEST_CASE("a stop is requested once the deadline has passed, whoever may be late to say so") {
  Context context;
  std::stop_source stop;
  ContextAccess::deadline(context, std::chrono::steady_clock::now() + 1h, stop.get_token());
  CHECK_FALSE(context.stop_requested());
  CHECK(context.stop_token() == stop.get_token());
  ContextAccess::deadline(context, std::chrono::steady_clock::now(), stop.get_token());
  CHECK(context.stop_requested());
}

TEST_CASE("progress and log lines reach whoever listens") {
  Notes notes{true};
  Context context;
  ContextAccess::bind(context, 0, &notes, {});
  ContextAccess::task(context, 9, 1, nullptr);
  context.progress(3, 10);
  const std::string host = "example.org";
  context.log(Level::warning, "{} answers after {} ms", host, 250);
  context.log(Level::info, "done");
  context.log(Level::info, "{:>5}|{:#x}", std::string("x"), 255);  // temporaries are fine
  CHECK(notes.lines == std::vector<std::string>{"9: 3 of 10", "9: warning: example.org answers after 250 ms", "9: done",
                                                "9:     x|0xff"});
}

TEST_CASE("a long line is not cut") {
  Notes notes{true};
  Context context;
  ContextAccess::bind(context, 0, &notes, {});
  context.log(Level::info, "{}", std::string(10'000, 'x'));
  REQUIRE(notes.lines.size() == 1);
  CHECK(notes.lines[0].size() == 10'003);
}

TEST_CASE("a line that nobody wants is not formatted") {
  int formatted = 0;
  Notes deaf{false};
  Context context;
  context.log(Level::info, "{}", Costly{&formatted});
  ContextAccess::bind(context, 0, &deaf, {});
  context.log(Level::info, "{}", Costly{&formatted});
  context.progress(1, 2);
  CHECK(formatted == 0);
  CHECK(deaf.lines.empty());
  Notes notes{true};
  ContextAccess::bind(context, 0, &notes, {});
  context.log(Level::info, "{}", Costly{&formatted});
  CHECK(formatted == 1);
  CHECK(notes.lines == std::vector<std::string>{"0: costly"});
}
