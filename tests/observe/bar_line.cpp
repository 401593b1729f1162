// SPDX-License-Identifier: MIT
#include <taskmgr/observe/bar_line.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>

using namespace taskmgr::detail;
using taskmgr::Progress;
using namespace std::chrono_literals;

namespace {

constexpr Looks unicode{.live = true, .color = false, .utf8 = true, .blocks = true};
constexpr Looks ascii{.live = true, .color = false, .utf8 = false, .blocks = false};

BarState resize() {
  BarState state;
  state.label = "resize";
  state.progress = {.total = 1000, .started = 640, .succeeded = 628, .failed = 2, .retries = 5, .elapsed = 12s};
  state.rate = 52.1;
  return state;
}

std::string line(const BarState& state, std::size_t columns, Looks looks = unicode) {
  return BarLine{state, columns, columns_of(state.label), looks}.text();
}

}  // namespace

TEST_CASE("the narrower it gets, the less is shown, the percentage to the last") {
  const BarState state = resize();
  CHECK(line(state, 100) ==
        "resize  63% ━━━━━━━━━━━━━━━━━━━━━━╸─────────────   630/1000  0:12 <0:08  52.1/s  2 failed  5 retries");
  CHECK(line(state, 79) == "resize  63% ━━━━━━━━━──────   630/1000  0:12 <0:08  52.1/s  2 failed  5 retries");
  CHECK(line(state, 69) == "resize  63% ━━━━━━━━━━──────   630/1000  0:12 <0:08  52.1/s  2 failed");
  CHECK(line(state, 49) == "resize  63% ━━━━━━────   630/1000 <0:08  2 failed");
  CHECK(line(state, 39) == "resize  63% ━━━━━━╸──── <0:08  2 failed");
  CHECK(line(state, 29) == "resize  63% ━━━━───  2 failed");
  CHECK(line(state, 25) == "resize  63%  2 failed");
  CHECK(line(state, 20) == "resize  63% ━━━━━───");
  CHECK(line(state, 11) == "resize  63%");
  CHECK(line(state, 10) == "resi…  63%");
  CHECK(line(state, 8) == " 63%");
  CHECK(line(state, 4) == " 63%");
}

TEST_CASE("without line graphics the bar is ASCII") {
  CHECK(line(resize(), 79, ascii) == "resize  63% [========>    ]   630/1000  0:12 <0:08  52.1/s  2 failed  5 retries");
  BarState crawl = resize();
  crawl.progress.total = 0;
  CHECK(line(crawl, 79, ascii) == "resize | 630 done  0:12  52.1/s  2 failed  5 retries");
}

TEST_CASE("the bar is empty at nothing, full at all, and not full before") {
  BarState state;
  state.progress.total = 1000;
  CHECK(line(state, 16) == "  0% ───────────");
  state.progress.succeeded = 999;
  CHECK(line(state, 16) == " 99% ━━━━━━━━━━╸");
  state.progress.succeeded = 1000;
  CHECK(line(state, 16) == "100% ━━━━━━━━━━━");
  state.progress.succeeded = 1500;  // a source that gave more than it said
  CHECK(line(state, 16) == "100% ━━━━━━━━━━━");
  state.progress.succeeded = 1;
  CHECK(line(state, 16, ascii) == "  0% [>        ]");
}

TEST_CASE("what is left is told while there is a rate to tell it by") {
  BarState state = resize();
  const auto left = [&](double rate) {
    state.rate = rate;
    const std::string text = line(state, 200);
    const auto at = text.find('<');
    return text.substr(at, text.find(' ', at) - at);
  };
  CHECK(left(370) == "<0:01");
  CHECK(left(371e6) == "<0:01");
  CHECK(left(0.1) == "<1:01:40");
  CHECK(left(0) == "<-:--");
  CHECK(left(1e-12) == "<-:--");
  state.progress.cancelled = 370;  // nothing is left, though not all is done
  CHECK(left(1) == "<0:00");
}

TEST_CASE("no number makes a line too long for the terminal") {
  const char* given = std::getenv("TASKMGR_SEED");
  const unsigned long seed = given != nullptr ? std::strtoul(given, nullptr, 10) : std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random{seed};
  const auto some = [&]() -> std::size_t { return random() >> (random() % 64); };
  const std::string labels[] = {"", "a", "resize", "画像の変換と保存をする長い名前", "🎉🎉🎉", std::string(300, 'x')};
  for (int i = 0; i < 20000; ++i) {
    BarState state;
    state.label = labels[random() % std::size(labels)];
    state.progress = {.total = random() % 4 == 0 ? 0 : some(),
                      .succeeded = some() / 8,
                      .failed = some() / 8,
                      .cancelled = some() / 8,
                      .duplicates = some() / 8,
                      .retries = some(),
                      .elapsed = std::chrono::nanoseconds{static_cast<std::int64_t>(some() / 2)}};
    state.rate = std::ldexp(1.0, static_cast<int>(random() % 200) - 100);
    state.finished = random() % 2 == 0;
    state.frame = some();
    const std::size_t columns = 4 + random() % 120;
    const std::size_t label_columns = random() % 20;
    const bool utf8 = random() % 2 == 0;
    const Looks looks{.live = true, .color = false, .utf8 = utf8, .blocks = utf8};
    if (!utf8) state.label = on_one_line(state.label, false);
    const std::string text = BarLine{state, columns, label_columns, looks}.text();
    CAPTURE(text);
    CHECK(columns_of(text) <= columns);
    CHECK(BarLine(state, columns, label_columns, looks).text(6).size() <= text.size());
    CHECK(plain_line(state).find_first_of("\r\n\x1b") == std::string::npos);
  }
}

TEST_CASE("a plain line says the same in words") {
  BarState state = resize();
  CHECK(plain_line(state) == "resize: 63% 630/1000, 0:12, 0:08 left, 52.1/s, 2 failed, 5 retries");
  state.finished = true;
  state.progress.retries = 1;
  state.progress.cancelled = 3;
  state.progress.elapsed = 1234us;
  CHECK(plain_line(state) == "resize: 63% 630/1000 in 1.23ms, 52.1/s, 2 failed, 3 cancelled, 1 retry");
  state.progress.total = 0;
  CHECK(plain_line(state) == "resize: 630 done in 1.23ms, 52.1/s, 2 failed, 3 cancelled, 1 retry");
}

TEST_CASE("the rate of steady work is what it is, from the first sample on") {
  RateMeter meter;
  CHECK(meter.per_second() == 0);
  for (int second = 1; second <= 1000; ++second) {
    meter.add(std::chrono::seconds{second}, static_cast<std::size_t>(second) * 25);
    CHECK(meter.per_second() == doctest::Approx(25));
  }
  meter.add(500s, 1);  // an older sample says nothing
  CHECK(meter.per_second() == doctest::Approx(25));
}

TEST_CASE("the rate follows a change within its memory, and forgets none of a long run at once") {
  RateMeter meter;
  std::size_t tasks = 0;
  auto time = 0s;
  const auto run = [&](std::chrono::seconds how_long, std::size_t per_second) {
    for (const auto end = time + how_long; time < end;) {
      time += 1s;
      tasks += per_second;
      meter.add(time, tasks);
    }
  };
  run(20s, 100);
  run(30s, 10);
  CHECK(meter.per_second() > 10);
  CHECK(meter.per_second() < 25);
  run(3600s, 10);
  CHECK(meter.per_second() == doctest::Approx(10).epsilon(0.05));
  run(1s, 10000);  // one odd second in an hour
  CHECK(meter.per_second() < 25);
}

TEST_CASE("the rate of slow tasks does not jump with each of them") {
  RateMeter meter;
  for (int tick = 1; tick <= 6000; ++tick) {  // ten minutes, a task every 30 s
    meter.add(tick * 100ms, static_cast<std::size_t>(tick / 300));
    if (tick > 3000) CHECK(meter.per_second() == doctest::Approx(1.0 / 30).epsilon(0.25));
  }
}
