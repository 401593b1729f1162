// SPDX-License-Identifier: MIT
#include <taskmgr/observe/progress_bar.hpp>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/environment.hpp"
#include "support/manager.hpp"
#include "support/modes.hpp"
#include "support/terminal.hpp"

using taskmgr::Event, taskmgr::EventKind, taskmgr::Observer, taskmgr::Progress, taskmgr::ProgressBar;
using taskmgr::ProgressBarOptions;
using namespace std::chrono_literals;
using Lines = std::vector<std::string>;
using support::ScopedVariable, support::ScreenModel, support::Terminal;

namespace {

/// The surroundings in which most people see a bar.
struct Usual {
  ScopedVariable term{"TERM", "xterm-256color"};
  ScopedVariable no_color{"NO_COLOR", nullptr};
  ScopedVariable lc_all{"LC_ALL", "C.UTF-8"};
};

/// Tells an observer of a run as a manager does.
class FakeRun {
 public:
  /// It began so long `ago`, and tells it `late`.
  FakeRun(Observer& observer, std::string name, std::size_t total = 0, std::chrono::nanoseconds ago = 0ns,
          std::chrono::nanoseconds late = 0ns)
      : observer_(observer), name_(std::move(name)), batch_(++last_batch) {
    Event event = of(EventKind::batch_started);
    event.progress.total = total;
    event.time = std::chrono::steady_clock::now() - ago + late;
    event.progress.elapsed = late;
    tell(event);
    progress.total = total;
  }
  void tick(std::chrono::nanoseconds elapsed) {
    progress.elapsed = elapsed;
    taskmgr::detail::ObserverAccess::call(observer_, [&](Observer& observer) { observer.on_tick(progress); });
  }
  void tick(std::chrono::nanoseconds elapsed, std::size_t succeeded) {
    progress.succeeded = succeeded;
    tick(elapsed);
  }
  void finish(std::chrono::nanoseconds elapsed) {
    progress.elapsed = elapsed;
    Event event = of(EventKind::batch_finished);
    event.progress = progress;
    tell(event);
  }

  Progress progress{};

 private:
  [[nodiscard]] Event of(EventKind kind) const {
    Event event;
    event.kind = kind;
    event.manager = name_;
    event.batch = batch_;
    return event;
  }
  void tell(const Event& event) {
    if (!observer_.wants(event.kind)) throw std::logic_error("a bar must want the start and the end of runs");
    taskmgr::detail::ObserverAccess::call(observer_, [&](Observer& observer) { observer.on_event(event); });
  }

  inline static std::uint64_t last_batch = 0;
  Observer& observer_;
  std::string name_;
  std::uint64_t batch_;
};

/// All that was written to a pipe, which ends with this.
class Pipe {
 public:
  Pipe() { REQUIRE(::pipe2(ends_.data(), O_CLOEXEC) == 0); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_reader();
    close_writer();
  }
  [[nodiscard]] int fd() const { return ends_[1]; }
  void close_reader() { close_end(0); }
  [[nodiscard]] std::string contents() {
    close_writer();
    std::string all;
    std::array<char, 4096> bytes{};
    for (ssize_t count = 0; (count = ::read(ends_[0], bytes.data(), bytes.size())) > 0;) {
      all.append(bytes.data(), static_cast<std::size_t>(count));
    }
    return all;
  }

 private:
  void close_end(std::size_t end) {
    if (ends_[end] >= 0) ::close(std::exchange(ends_[end], -1));
  }
  void close_writer() { close_end(1); }
  std::array<int, 2> ends_{-1, -1};
};

std::size_t count_of(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

/// The screen is as a bar has to leave it: no line broken, nothing strange, no colour left on.
void check_clean(const ScreenModel& screen) {
  CHECK(screen.unknown().empty());
  CHECK(screen.wraps() == 0);
  CHECK_FALSE(screen.colored());
  CHECK(screen.cursor_column() == 0);
}

bool is_ascii(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("a bar at 80 columns shows all there is to know, and its last state stays") {
  const Usual usual;
  Terminal terminal{80, 24};
  ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
  FakeRun run{bar, "resize", 1000};
  run.progress.succeeded = 628;
  run.progress.failed = 2;
  run.progress.retries = 5;
  run.tick(12s);
  CHECK(terminal.text() == "resize  63% ━━━━━━━━━──────   630/1000  0:12 <0:08  52.5/s  2 failed  5 retries\n");
  CHECK(terminal.screen().cursor_row() == 0);
  check_clean(terminal.screen());
  CHECK(terminal.screen().was_colored());

  run.progress.succeeded = 998;
  run.finish(19234ms);
  CHECK(terminal.text() == "resize 100% ━━━━━━━━━━━━━━━━━━━━  1000/1000  19.2s  52.0/s  2 failed  5 retries\n");
  CHECK(terminal.screen().cursor_row() == 1);
  check_clean(terminal.screen());
}

TEST_CASE("a bar at 30 columns leaves out what is less important") {
  const Usual usual;
  Terminal terminal{30, 24};
  ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
  FakeRun run{bar, "resize", 1000};
  run.tick(12s, 630);
  CHECK(terminal.text() == "resize  63% ━━━━━━╸──── <0:08\n");
  run.progress.failed = 2;
  run.tick(13s, 698);
  CHECK(terminal.text() == "resize  70% ━━━━╸──  2 failed\n");
  run.finish(20s);
  check_clean(terminal.screen());
}

TEST_CASE("a bar follows the terminal's width, and leaves no remains on it") {
  const Usual usual;
  for (const bool reflow : {true, false}) {
    CAPTURE(reflow);
    Terminal terminal{80, 24};
    ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
    ProgressBar::print_above("before", terminal.fd());
    FakeRun first{bar, "first", 100};
    FakeRun second{bar, "second", 200};
    for (auto time : {1s, 2s}) {
      first.tick(time, 10);
      second.tick(time, 50);
    }
    CHECK(terminal.lines().size() == 3);
    for (const std::size_t columns : {30U, 12U, 50U, 120U, 20U, 80U}) {
      CAPTURE(columns);
      terminal.resize(columns, 24, reflow);
      const auto elapsed = first.progress.elapsed + 1s;
      first.tick(elapsed);
      second.tick(elapsed);
      const Lines lines = terminal.lines();
      REQUIRE(lines.size() == 3);
      CHECK(lines[0] == "before");
      CHECK(lines[1].find("10%") != std::string::npos);
      CHECK(lines[2].find("25%") != std::string::npos);
      CHECK(terminal.screen().cursor_row() == 1);
      check_clean(terminal.screen());
    }
    first.finish(20s);
    second.finish(20s);
    CHECK(terminal.lines().size() == 3);
    check_clean(terminal.screen());
  }
}

TEST_CASE("several bars stand in line below each other, those that ended above them") {
  const Usual usual;
  Terminal terminal{60, 24};
  ProgressBar one{ProgressBarOptions{.fd = terminal.fd()}};
  ProgressBar other{ProgressBarOptions{.fd = terminal.fd()}};
  FakeRun a{one, "load", 10};
  FakeRun b{other, "convert all", 10};
  FakeRun c{one, "save", 10};
  for (auto time : {1s, 2s, 3s}) {
    a.tick(time, 5);
    b.tick(time, 2);
    c.tick(time, 1);
  }
  CHECK(terminal.text() ==
        "load         50% ━━━━━━╸──────   5/10  0:03 <0:04  1.50/s\n"
        "convert all  20% ━━╸──────────   2/10  0:02 <0:09  57.0/min\n"
        "save         10% ━────────────   1/10  0:02 <0:19  28.5/min\n");
  CHECK(terminal.screen().cursor_row() == 0);
  b.finish(4s);
  CHECK(terminal.text() ==
        "convert all  20% ━━━╸──────────────   2/10  4.00s  30.0/min\n"
        "load  50% ━━━━━━━━━━──────────   5/10  0:03 <0:04  1.50/s\n"
        "save  10% ━━──────────────────   1/10  0:03 <0:30  18.1/min\n");
  CHECK(terminal.screen().cursor_row() == 1);
  c.finish(4s);
  a.finish(5s);
  CHECK(terminal.text() ==
        "convert all  20% ━━━╸──────────────   2/10  4.00s  30.0/min\n"
        "save  10% ━━╸──────────────────────   1/10  4.00s  15.0/min\n"
        "load  50% ━━━━━━━━━━━━━╸─────────────   5/10  5.00s  1.00/s\n");
  CHECK(terminal.screen().cursor_row() == 3);
  check_clean(terminal.screen());
}

TEST_CASE("runs of one bar at the same time keep apart, also when their totals are the same, and whenever they were told") {
  const Usual usual;
  for (const auto late : {0s, 45s}) {
    CAPTURE(late.count());
    Terminal terminal{80, 24};
    ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
    FakeRun older{bar, "older", 100, 50s, late};
    FakeRun newer{bar, "newer", 100, 10s};
    for (auto time : {0s, 1s, 2s}) {
      newer.tick(10s + time, 30);
      older.tick(50s + time, 40);
    }
    const Lines lines = terminal.lines();
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].find("older  40%") == 0);
    CHECK(lines[1].find("newer  30%") == 0);
  }
}

TEST_CASE("a run whose total is not known has a spinner and a count, and neither percentage nor time left") {
  const Usual usual;
  Terminal terminal{80, 24};
  ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
  FakeRun run{bar, "crawl"};
  run.tick(2s, 60);
  CHECK(terminal.text() == "crawl ⠙ 60 done  0:02  30.0/s\n");
  run.tick(3s, 90);
  CHECK(terminal.text() == "crawl ⠹ 90 done  0:03  30.0/s\n");
  run.progress.total = 180;  // now it is known
  run.tick(4s, 120);
  CHECK(terminal.lines()[0].find("crawl  66% ━") == 0);
  run.progress.total = 0;
  run.finish(5s);
  CHECK(terminal.text() == "crawl 120 done  5.00s  24.0/s\n");
  check_clean(terminal.screen());
}

TEST_CASE("lines printed above a bar stay, in order, whole, and the bar stays below them") {
  const Usual usual;
  Terminal terminal{40, 6};
  ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
  CHECK(ProgressBar::print_above("before any bar", terminal.fd()));
  FakeRun run{bar, "hash", 10};
  CHECK(ProgressBar::print_above("before the first drawing\n", terminal.fd()));
  run.tick(1s, 1);
  CHECK(ProgressBar::print_above("one", terminal.fd()));
  CHECK(ProgressBar::print_above("two\nthree\n", terminal.fd()));
  CHECK(ProgressBar::print_above("", terminal.fd()));
  run.tick(2s, 2);
  const std::string wide(50, 'w');
  CHECK(ProgressBar::print_above(wide, terminal.fd()));  // is broken by the terminal
  for (int i = 0; i < 7; ++i) ProgressBar::print_above("line " + std::to_string(i), terminal.fd());  // scroll
  run.tick(3s, 3);
  const auto joined = [](const Lines& lines) {
    std::string text;
    for (const std::string& line : lines) text += line + '\n';
    return text;
  };
  Lines expected{"before any bar",     "before the first drawing", "one", "two", "three",
                 std::string(40, 'w'), std::string(10, 'w')};
  for (int i = 0; i < 7; ++i) expected.push_back("line " + std::to_string(i));
  expected.push_back("hash  30% ━━━───────   3/10  0:03 <0:07");
  CHECK(terminal.text() == joined(expected));
  run.finish(4s);
  CHECK(ProgressBar::print_above("after", terminal.fd()));
  expected.back() = "hash  30% ━━━━╸──────────   3/10  4.00s";
  expected.push_back("after");
  CHECK(terminal.text() == joined(expected));
  CHECK(terminal.screen().unknown().empty());
}

TEST_CASE("lines printed from many threads stay whole while bars are drawn") {
  const Usual usual;
  Terminal terminal{40, 10};
  ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
  FakeRun run{bar, "hash", 100};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&terminal, t] {
      for (int i = 0; i < 25; ++i) ProgressBar::print_above(std::to_string(100 * t + i), terminal.fd());
    });
  }
  for (int i = 1; i < 50; ++i) run.tick(i * 1s, 1);
  for (std::thread& thread : threads) thread.join();
  run.tick(60s, 99);
  Lines lines = terminal.lines();
  REQUIRE(lines.size() == 101);
  CHECK(lines.back().find("hash  99%") == 0);
  lines.pop_back();
  std::vector<int> next{0, 100, 200, 300};
  for (const std::string& line : lines) {
    const int number = std::stoi(line);
    CHECK(line == std::to_string(number));
    CHECK(next[static_cast<std::size_t>(number / 100)]++ == number);
  }
  run.finish(61s);
}

TEST_CASE("a line that the program writes past the bars is not lost, and the bars go on below it") {
  const Usual usual;
  Terminal terminal{60, 24};
  ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
  FakeRun a{bar, "a", 10};
  FakeRun b{bar, "b", 20};
  const std::string line = "written straight to the terminal, a whole line of text\n";
  for (int second = 1; second <= 5; ++second) {
    a.tick(second * 1s, 1);
    b.tick(second * 1s, 2);
    if (second < 5) REQUIRE(::write(terminal.fd(), line.data(), line.size()) == static_cast<ssize_t>(line.size()));
  }
  const Lines lines = terminal.lines();
  REQUIRE(lines.size() == 6);
  for (std::size_t i = 0; i < 4; ++i) CHECK(lines[i].find(line.substr(0, line.size() - 1)) == 0);
  CHECK(lines[4].find("a  10%") == 0);
  CHECK(lines[5].find("b  10%") == 0);
  a.finish(9s);
  b.finish(9s);
}

TEST_CASE("an exception on the way leaves the state that was shown last as a line, and the cursor below it") {
  const Usual usual;
  Terminal terminal{80, 24};
  try {
    ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
    FakeRun run{bar, "resize", 100};
    FakeRun never_shown{bar, "too short", 50};
    run.tick(10s, 30);
    throw std::runtime_error("on the way");
  } catch (const std::runtime_error&) {
  }
  const Lines lines = terminal.lines();
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].find("resize  30% ━") == 0);
  CHECK(terminal.screen().cursor_row() == 1);
  check_clean(terminal.screen());
}

TEST_CASE("std::exit leaves the bars and puts the cursor below them; a forked child has no bars") {
  const Usual usual;
  Terminal terminal{80, 24, Terminal::Reader::slow};  // no thread that the child would miss
  std::cout.flush();
  std::fflush(stdout);
  ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
  FakeRun run{bar, "parent", 10};
  run.tick(1s, 5);
  CHECK(terminal.lines().size() == 1);
  const pid_t child = ::fork();
  if (child == 0) {
    ProgressBar own{ProgressBarOptions{.fd = terminal.fd()}};
    FakeRun one{own, "child one", 10};
    FakeRun two{own, "child two", 20};
    for (auto time : {1s, 2s}) {
      run.tick(time * 10, 6);  // of the parent: not ours to show
      one.tick(time, 1);
      two.tick(time, 1);
    }
    std::exit(0);
  }
  REQUIRE(child > 0);
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  const Lines lines = terminal.lines();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].find("child one  10%") == 0);
  CHECK(lines[1].find("child two   5%") == 0);
  CHECK(terminal.screen().cursor_row() == 2);
  check_clean(terminal.screen());
}

TEST_CASE("nothing is drawn in the first 100 ms, and then at most once in each 100 ms") {
  const Usual usual;
  Terminal terminal{80, 24};
  ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
  FakeRun run{bar, "quick", 1000};
  for (auto time = 0ms; time < 100ms; time += 10ms) run.tick(time, 1);
  CHECK(terminal.take().empty());
  for (auto time = 100ms; time < 1100ms; time += 5ms) run.tick(time, 2);
  const std::string drawn = terminal.take();
  CHECK(count_of(drawn, "quick") == 10);
  CHECK(count_of(drawn, "\x1b[J") == 10);

  SUBCASE("a run that ended before it was drawn has its final line") {
    FakeRun shorter{bar, "shorter", 3};
    shorter.progress.succeeded = 3;
    shorter.finish(20ms);
    CHECK(terminal.lines()[0].find("shorter 100%") == 0);
  }
}

TEST_CASE("several bars that are updated in turn are redrawn once for all") {
  const Usual usual;
  Terminal terminal{80, 24};
  ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
  FakeRun a{bar, "a", 10};
  FakeRun b{bar, "b", 20};
  FakeRun c{bar, "c", 30};
  for (auto time = 100ms; time <= 2000ms; time += 100ms) {
    a.tick(time, 1);
    b.tick(time, 1);
    c.tick(time, 1);
  }
  const std::size_t redraws = count_of(terminal.take(), "\x1b[J");
  CHECK(redraws >= 20);
  CHECK(redraws <= 23);
  // One that hangs does not hold up the others.
  for (auto time = 2100ms; time <= 4000ms; time += 100ms) a.tick(time, 1);
  CHECK(count_of(terminal.take(), "\x1b[J") >= 19);
}

TEST_CASE("where there are more bars than rows, those that do not fit are counted") {
  const Usual usual;
  Terminal terminal{40, 4};
  ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
  ProgressBar::print_above("above", terminal.fd());
  std::vector<std::unique_ptr<FakeRun>> runs;
  for (std::size_t i = 0; i < 6; ++i)
    runs.push_back(std::make_unique<FakeRun>(bar, std::string(1, static_cast<char>('a' + i)), 10 + i));
  for (auto time : {1s, 2s, 3s}) {
    for (auto& run : runs) run->tick(time, 1);
  }
  const Lines lines = terminal.lines();
  REQUIRE(lines.size() == 4);
  CHECK(lines[0] == "above");
  CHECK(lines[1].find("a  10%") == 0);
  CHECK(lines[2].find("b   9%") == 0);
  CHECK(lines[3] == "and 4 more");
  for (auto& run : runs) run->finish(4s);
  CHECK(terminal.lines().size() == 7);
  check_clean(terminal.screen());
}

TEST_CASE("in a pipe there are plain lines, few of them, and no escape codes") {
  const Usual usual;
  Pipe pipe;
  {
    ProgressBar bar{ProgressBarOptions{.fd = pipe.fd()}};
    FakeRun run{bar, "resize", 1000};
    for (auto time = 100ms; time < 100s; time += 100ms) {
      run.tick(time, static_cast<std::size_t>(time.count() / 100));
    }
    run.progress.failed = 1;
    run.finish(100s);
  }
  const std::string written = pipe.contents();
  CHECK(is_ascii(written));
  CHECK(written.find('\x1b') == std::string::npos);
  CHECK(written.find('\r') == std::string::npos);
  CHECK(count_of(written, "\n") == 10);
  CHECK(written.find("resize: 10% 100/1000, 0:10, 1:30 left, 10.0/s\n") == 0);
  CHECK(written.find("resize: 90% 900/1000, 1:30, 0:10 left, 10.0/s\n") != std::string::npos);
  const std::string last = "\nresize: 100% 1000/1000 in 1:40, 10.0/s, 1 failed\n";
  CHECK(written.substr(written.size() - last.size()) == last);
}

TEST_CASE("in a pipe a long run of unknown total has lines at growing intervals") {
  const Usual usual;
  Pipe pipe;
  {
    ProgressBar bar{ProgressBarOptions{.fd = pipe.fd()}};
    FakeRun run{bar, "crawl"};
    for (auto time = 1s; time < 3600s; time += 1s) run.tick(time, 1);
    run.finish(3600s);
  }
  const std::string written = pipe.contents();
  CHECK(written.find("crawl: 1 done, 0:10, ") == 0);
  CHECK(written.find("\ncrawl: 1 done, 0:25, ") != std::string::npos);
  CHECK(count_of(written, "\n") < 22);
  CHECK(count_of(written, "\n") > 15);
}

TEST_CASE("NO_COLOR takes the colours, not the bar; an empty one takes nothing") {
  const Usual usual;
  for (const std::string value : {"1", ""}) {
    CAPTURE(value);
    const ScopedVariable no_color{"NO_COLOR", value.c_str()};
    Terminal terminal{80, 24};
    ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
    FakeRun run{bar, "resize", 100};
    run.progress.failed = 1;
    run.tick(1s, 50);
    run.finish(2s);
    CHECK(terminal.lines()[0].find("resize  51% ━") == 0);
    CHECK(terminal.screen().was_colored() == value.empty());
  }
}

TEST_CASE("a terminal that is dumb, or that nobody has named, has plain lines and no escape codes") {
  const Usual usual;
  for (const char* value : {"dumb", "", static_cast<const char*>(nullptr)}) {
    const ScopedVariable term{"TERM", value};
    Terminal terminal{80, 24};
    ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
    FakeRun run{bar, "resize", 100};
    for (auto time = 1s; time <= 15s; time += 1s) run.tick(time, 5);
    run.finish(16s);
    CHECK(terminal.take() == "resize: 5% 5/100, 0:10, 5:11 left, 18.4/min\r\nresize: 5% 5/100 in 16.0s, 18.8/min\r\n");
  }
}

TEST_CASE("in a locale that is not UTF-8 everything is ASCII") {
  const Usual usual;
  for (const std::string locale : {"C", "de_DE.ISO-8859-1", "ja_JP.eucJP"}) {
    CAPTURE(locale);
    const ScopedVariable lc_all{"LC_ALL", locale.c_str()};
    Terminal terminal{60, 24};
    ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
    FakeRun run{bar, "größe", 100};
    FakeRun crawl{bar, "crawl", 0};
    for (auto time : {1s, 2s}) {
      run.tick(time, 50);
      crawl.tick(time, 7);
    }
    CHECK(terminal.text() ==
          "gr??e  50% [========>        ]   50/100  0:02 <0:03  23.8/s\n"
          "crawl / 7 done  0:01  7.00/s\n");
    run.finish(2s);
    crawl.finish(2s);
    CHECK(is_ascii(terminal.take()));
  }
}

TEST_CASE("a label with controls or wide characters does not break the layout") {
  const Usual usual;
  Terminal terminal{50, 24};
  ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
  FakeRun evil{bar, "a\nb\tc\x1b[31m\x1b]0;title\x07\rd\x9b\x7f", 10};
  FakeRun wide{bar, "画像の変換と保存をする長い名前", 20};
  FakeRun wrong{bar, "\xff\xfe", 30};
  FakeRun emoji{bar, "🎉e\xCC\x81", 40};
  for (auto time : {1s, 2s}) {
    for (FakeRun* run : {&evil, &wide, &wrong, &emoji}) run->tick(time, 5);
  }
  const Lines lines = terminal.lines();
  REQUIRE(lines.size() == 4);
  CHECK(lines[0].find("a b cd�           50% ━") == 0);
  CHECK(lines[1].find("画像の変換と保…   25% ━") == 0);
  CHECK(lines[2].find("��                16% ━") == 0);
  CHECK(lines[3].find("🎉e\xCC\x81               12% ━") == 0);
  check_clean(terminal.screen());
  for (FakeRun* run : {&evil, &wide, &wrong, &emoji}) run->finish(3s);
  check_clean(terminal.screen());
}

TEST_CASE("a label of one's own takes the place of the manager's name") {
  const Usual usual;
  Terminal terminal{50, 24};
  ProgressBar bar{ProgressBarOptions{.fd = terminal.fd(), .label = "mine"}};
  FakeRun run{bar, "theirs", 10};
  run.tick(1s, 5);
  CHECK(terminal.lines()[0].find("mine  50%") == 0);
  run.finish(1s);
}

TEST_CASE("a cancelled run does not claim to be complete") {
  const Usual usual;
  Terminal terminal{80, 24};
  ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
  FakeRun run{bar, "resize", 100};
  run.progress.succeeded = 40;
  run.progress.duplicates = 10;
  run.progress.cancelled = 50;
  run.finish(10s);
  CHECK(terminal.text() == "resize  50% ━━━━━━━━━━━━━━╸──────────────   50/100  10.0s  4.00/s  50 cancelled\n");
}

TEST_CASE("a terminal or a pipe that nobody reads any more stops no run and raises no signal") {
  const Usual usual;
  Terminal terminal{80, 24};
  Pipe pipe;
  ProgressBar on_terminal{ProgressBarOptions{.fd = terminal.fd()}};
  ProgressBar in_pipe{ProgressBarOptions{.fd = pipe.fd()}};
  ProgressBar nowhere{ProgressBarOptions{.fd = -1}};
  FakeRun first{on_terminal, "first", 10};
  first.tick(1s, 1);
  terminal.hang_up();
  pipe.close_reader();
  first.tick(2s, 2);
  first.finish(3s);
  for (ProgressBar* bar : {&on_terminal, &in_pipe, &nowhere}) {
    FakeRun run{*bar, "second", 10};
    run.tick(20s, 5);
    run.tick(60s, 5);
    run.finish(61s);
  }
  CHECK_FALSE(ProgressBar::print_above("lost", pipe.fd()));
  CHECK_FALSE(ProgressBar::print_above("lost", -1));
}

TEST_CASE("on a terminal that takes only a little at a time nothing is mixed up, whatever is left out") {
  const Usual usual;
  const char* given = std::getenv("TASKMGR_SEED");
  const unsigned long seed = given != nullptr ? std::strtoul(given, nullptr, 10) : std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random{seed};
  Terminal terminal{70, 10, Terminal::Reader::slow};
  REQUIRE(::fcntl(terminal.fd(), F_SETFL, O_NONBLOCK) == 0);
  ProgressBar bar{ProgressBarOptions{.fd = terminal.fd()}};
  FakeRun a{bar, "a", 1000};
  FakeRun b{bar, "b", 2000};
  // Full, so that bars find little room, until `read_some` makes some.
  const std::string junk(997, '.');
  std::size_t filled = 0;
  for (ssize_t count = 0; (count = ::write(terminal.fd(), junk.data(), junk.size())) > 0;)
    filled += static_cast<std::size_t>(count);
  for (std::size_t i = 1; i <= 1000; ++i) {
    a.tick(std::chrono::seconds{i}, i);
    b.tick(std::chrono::seconds{i}, i);
    terminal.read_some(random() % 700);
  }
  CHECK(terminal.screen().unknown().empty());  // reads all: from now on there is room
  a.tick(1001s, 1000);
  b.tick(1001s, 1000);
  a.tick(1002s, 1000);
  const Lines lines = terminal.lines();
  REQUIRE(lines.size() >= 2);
  CHECK(lines[lines.size() - 2].find("a 100% ━") == 0);
  CHECK(lines[lines.size() - 1].find("b  50% ━") == 0);
  std::size_t dots = 0;
  for (std::size_t i = 0; i + 2 < lines.size(); ++i) dots += count_of(lines[i], ".");
  CHECK(dots + 70 > filled);  // the bars took at most the line in which the cursor was
  CHECK(terminal.screen().unknown().empty());
  a.finish(1003s);
  b.finish(1003s);
}

namespace {

/// A run of two tasks, the second of which ends when the terminal shows that the first has.
support::Report start_until_seen(Terminal& terminal, taskmgr::Options options, const std::shared_ptr<Observer>& bar,
                                 const support::Sink& sink) {
  support::Manager manager{[&terminal](taskmgr::Context& context, int task) {
                             if (task == 1 && context.attempt() == 1) throw std::runtime_error("once");
                             while (task == 2 && terminal.text().find(" 50% ━") == std::string::npos)
                               std::this_thread::yield();
                             return task;
                           },
                           std::move(options)};
  if (bar != nullptr) manager.observe(bar);
  const std::vector<int> tasks{1, 2};
  return manager.start(tasks, sink);
}

/// Standard error is another file for a while.
class ErrorsTo {
 public:
  explicit ErrorsTo(int fd) : before_(::dup(STDERR_FILENO)) { ::dup2(fd, STDERR_FILENO); }
  ErrorsTo(const ErrorsTo&) = delete;
  ErrorsTo& operator=(const ErrorsTo&) = delete;
  ~ErrorsTo() {
    ::dup2(before_, STDERR_FILENO);
    ::close(before_);
  }

 private:
  int before_;
};

}  // namespace

TEST_CASE("a manager's run is drawn while it lasts and leaves its final line, in every mode") {
  const Usual usual;
  for (const taskmgr::Mode mode : support::modes_that_block) {
    INFO("mode: ", support::name(mode));
    Terminal terminal{80, 24};
    const support::Report report = start_until_seen(
        terminal, {.mode = mode, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1ms}, .name = "resize"},
        std::make_shared<ProgressBar>(ProgressBarOptions{.fd = terminal.fd()}), [](support::Outcome&) {});
    CHECK(report.ok());
    REQUIRE(terminal.lines().size() == 1);
    CHECK(terminal.lines()[0].find("resize 100% ━") == 0);
    CHECK(terminal.lines()[0].find("  2/2  ") != std::string::npos);
    CHECK(terminal.lines()[0].find("  1 retry") != std::string::npos);
    check_clean(terminal.screen());
  }
}

TEST_CASE("show_progress draws on standard error") {
  const Usual usual;
  Terminal terminal{80, 24};
  {
    const ErrorsTo there{terminal.fd()};
    const support::Report report = start_until_seen(
        terminal, {.retry = {.max_retries = 1, .base_delay = 1ms}, .name = "resize", .show_progress = true}, nullptr,
        [](support::Outcome&) { ProgressBar::print_above("a line of the sink", STDERR_FILENO); });
    CHECK(report.ok());
  }
  REQUIRE(terminal.lines().size() == 3);
  CHECK(terminal.lines()[0] == "a line of the sink");
  CHECK(terminal.lines()[1] == "a line of the sink");
  CHECK(terminal.lines()[2].find("resize 100% ━") == 0);
  check_clean(terminal.screen());
}

TEST_CASE("when a sink throws the terminal is left as after any run") {
  const Usual usual;
  for (const taskmgr::Mode mode : support::modes_that_block) {
    INFO("mode: ", support::name(mode));
    Terminal terminal{80, 24};
    const taskmgr::Options options{
        .mode = mode, .workers = 2, .retry = {.max_retries = 1, .base_delay = 1ms}, .name = "resize"};
    const auto bar = std::make_shared<ProgressBar>(ProgressBarOptions{.fd = terminal.fd()});
    const support::Sink sink = [](support::Outcome&) { throw std::runtime_error("sink"); };
    CHECK_THROWS_WITH_AS(static_cast<void>(start_until_seen(terminal, options, bar, sink)), "sink", std::runtime_error);
    REQUIRE(terminal.lines().size() == 1);
    CHECK(terminal.lines()[0].find("resize 100% ━") == 0);
    check_clean(terminal.screen());
  }
}

TEST_CASE("runs at the same time, of one manager and of managers within each other, have a final line each") {
  const Usual usual;
  Terminal terminal{80, 24};
  const auto bar = std::make_shared<ProgressBar>(ProgressBarOptions{.fd = terminal.fd()});
  support::Manager inner{[](taskmgr::Context&, int task) { return task; },
                         {.mode = taskmgr::Mode::thread, .workers = 2, .name = "inner"}};
  inner.observe(bar);
  support::Manager outer{[&inner](taskmgr::Context&, int task) {
                           return inner.start(std::vector<int>{task, task + 1}).ok() ? 1 : 0;
                         },
                         {.mode = taskmgr::Mode::thread, .workers = 2, .name = "outer"}};
  outer.observe(bar);
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&outer, t] { CHECK(outer.start(std::vector<int>{10 * t, 10 * t + 5}).ok()); });
  for (std::thread& thread : threads) thread.join();
  std::size_t outers = 0;
  std::size_t inners = 0;
  for (const std::string& line : terminal.lines()) {
    outers += line.find("outer 100% ━") == 0 ? 1U : 0U;
    inners += line.find("inner 100% ━") == 0 ? 1U : 0U;
  }
  CHECK(outers == 2);
  CHECK(inners == 4);
  CHECK(terminal.lines().size() == 6);
  check_clean(terminal.screen());
}
