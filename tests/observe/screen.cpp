// SPDX-License-Identifier: MIT
#include <taskmgr/observe/screen.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "support/terminal.hpp"

using taskmgr::detail::BarState, taskmgr::detail::Looks, taskmgr::detail::Screen;
using namespace std::chrono_literals;
using support::Terminal;

namespace {

constexpr Looks unicode{.live = true, .color = false, .utf8 = true, .blocks = true};

BarState state(std::string label, std::size_t succeeded = 5, std::size_t total = 10) {
  return {.label = std::move(label), .progress = {.total = total, .succeeded = succeeded, .elapsed = 1s}, .rate = 5};
}

}  // namespace

TEST_CASE("a bar that was opened takes no room until it is shown") {
  Terminal terminal{30, 10};
  Screen& screen = Screen::instance();
  const auto one = screen.open(terminal.fd(), unicode);
  const auto two = screen.open(terminal.fd(), unicode);
  CHECK(one != two);
  CHECK(terminal.take().empty());
  screen.update(two, state("two"));
  CHECK(terminal.text() == "two  50% ━━━╸───   5/10 <0:01\n");
  screen.update(one, state("one"));
  screen.update(two, state("two"));
  CHECK(terminal.text() ==
        "one  50% ━━━╸───   5/10 <0:01\ntwo  50% ━━━╸───   5/10 <0:01\n");  // in the order of opening
  screen.close(one, nullptr);
  CHECK(terminal.text() == "two  50% ━━━╸───   5/10 <0:01\n");
  screen.close(two, nullptr);
  CHECK(terminal.text().empty());
  const BarState again = state("again");
  screen.close(two, &again);  // there is no such bar
  screen.update(two, again);
  CHECK(terminal.text().empty());
}

TEST_CASE("terminals do not see each other's bars") {
  Terminal left{30, 10}, right{30, 10};
  Screen& screen = Screen::instance();
  const auto a = screen.open(left.fd(), unicode);
  const auto b = screen.open(right.fd(), unicode);
  screen.update(a, state("a"));
  screen.update(b, state("b"));
  CHECK(screen.print_above(left.fd(), "for the left"));
  CHECK(left.text() == "for the left\na  50% ━━━━╸────   5/10 <0:01\n");
  CHECK(right.text() == "b  50% ━━━━╸────   5/10 <0:01\n");
  screen.close(a, nullptr);
  screen.close(b, nullptr);
}

TEST_CASE("a second descriptor of the same terminal writes above the same bars, and may close before the first") {
  Terminal terminal{30, 10};
  Screen& screen = Screen::instance();
  const int other = ::dup(terminal.fd());
  const auto a = screen.open(other, unicode);
  const auto b = screen.open(terminal.fd(), unicode);
  screen.update(a, state("a"));
  screen.update(b, state("b"));
  screen.close(a, nullptr);
  ::close(other);
  CHECK(screen.print_above(terminal.fd(), "above"));
  screen.update(b, state("b", 6));
  CHECK(terminal.text() == "above\nb  60% ━━━━━────   6/10 <0:01\n");
  screen.close(b, nullptr);
}

TEST_CASE("bars below each other have labels and bars of one length") {
  Terminal terminal{60, 10};
  Screen& screen = Screen::instance();
  const auto a = screen.open(terminal.fd(), unicode);
  const auto b = screen.open(terminal.fd(), unicode);
  screen.update(a, state("short", 5, 100000));
  screen.update(b, state("somewhat longer"));
  screen.update(a, state("short", 5, 100000));
  CHECK(terminal.text() ==
        "short             0% ────────       5/100000  0:01 <5:33:19\n"
        "somewhat longer  50% ━━━━────   5/10  0:01 <0:01  5.00/s\n");
  screen.close(a, nullptr);
  screen.close(b, nullptr);
}

TEST_CASE("bars come, go and print from many threads at once") {
  Terminal terminal{40, 10};
  Screen& screen = Screen::instance();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&screen, &terminal, t] {
      for (int i = 0; i < 20; ++i) {
        const auto bar = screen.open(terminal.fd(), unicode);
        screen.update(bar, state("t" + std::to_string(t)));
        screen.print_above(terminal.fd(), "line");
        screen.update(bar, state("t" + std::to_string(t), 6));
        const BarState last = state("end", 10);
        screen.close(bar, &last);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto lines = terminal.lines();
  CHECK(lines.size() == 160);
  int printed = 0;
  for (const std::string& line : lines) {
    const bool plain = line == "line";
    printed += plain ? 1 : 0;
    if (!plain) CHECK(line.find("end 100% ━") == 0);
  }
  CHECK(printed == 80);
  CHECK(terminal.screen().wraps() == 0);
}
