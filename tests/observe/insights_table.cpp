// SPDX-License-Identifier: MIT
#include <taskmgr/observe/insights_table.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

using taskmgr::SlowTask, taskmgr::TimeSpent, taskmgr::WorkerTime;
using taskmgr::detail::insights_text;
using Workers = std::vector<WorkerTime>;
using Tasks = std::vector<SlowTask>;
using namespace std::chrono_literals;

namespace {

/// What the table says of several names, below their lines.
std::string busiest_of(const Workers& workers) {
  const std::string text = insights_text(workers, Tasks{});
  const std::size_t at = std::min(text.find("busiest"), text.find("bottleneck"));
  return at == std::string::npos ? "" : text.substr(at);
}

}  // namespace

TEST_CASE("what was spent adds up") {
  TimeSpent sum{1us, 2us, 3us, 4us, 5};
  sum += TimeSpent{10us, 20us, 30us, 40us, 50};
  CHECK(sum.running == 11us);
  CHECK(sum.waiting_for_work == 22us);
  CHECK(sum.waiting_to_retry == 33us);
  CHECK(sum.between_processes == 44us);
  CHECK(sum.attempts == 55);
  CHECK(sum.elapsed() == 110us);
}

TEST_CASE("the table has a line for each name and worker, and what was slowest") {
  const Workers workers{{{75ms, 25ms, 0ns, 0ns, 3}, "nap", "", 0}, {{25ms, 50ms, 20ms, 5ms, 10}, "nap", "", 1}};
  const Tasks slowest{{"nap", "", 1, 7, "two\nlines", 2, 0, 60ms}, {"nap", "", 1, 3, std::string(100, 'x'), 1, 1, 1500ns}};
  CHECK(insights_text(workers, slowest) ==
        "            attempts      running  waiting for work  waiting to retry  between processes\n"
        "nap               13   100ms  50%       75.0ms  38%       20.0ms  10%        5.00ms   3%\n"
        "  worker 0         3  75.0ms  75%       25.0ms  25%          0ns   0%           0ns   0%\n"
        "  worker 1        10  25.0ms  25%       50.0ms  50%       20.0ms  20%        5.00ms   5%\n"
        "slowest\n"
        "    60.0ms  nap task 7, attempt 2: two lines\n"
        "    1.50us  nap task 3: " + std::string(59, 'x') + "\xE2\x80\xA6\n");
}

TEST_CASE("of many workers the first have lines, of several names the busiest is named") {
  Workers workers;
  for (std::size_t k = 0; k < 20; ++k) workers.push_back({{1ms, 9ms, 0ns, 0ns, 1}, "two\nlines", "", k});
  workers.push_back({{6ms, 4ms, 0ns, 0ns, 1}, "tree", "parse", 0});
  const std::string text = insights_text(workers, Tasks{});
  CAPTURE(text);
  for (const char* part : {"\ntwo lines ", "\n  worker 15 ", "\n  others: 4 ", "\ntree / parse ",
                           "busiest: tree / parse, running 60% of its workers' time, 6.00ms each\n"}) {
    CAPTURE(part);
    CHECK(text.find(part) != std::string::npos);
  }
  CHECK(text.find("worker 16") == std::string::npos);
  CHECK(text.find("slowest") == std::string::npos);
  CHECK(insights_text(Workers{}, Tasks{}).find("running") != std::string::npos);
}

TEST_CASE("of a tree's stages the one whose workers ran longest is named, and what its neighbours waited for") {
  const WorkerTime fetch{{30ms, 50ms, 10ms, 10ms, 5}, "fetch", "fetch", 0};
  const WorkerTime parse{{90ms, 10ms, 0ns, 0ns, 5}, "parse", "parse", 0};
  const WorkerTime save{{20ms, 10ms, 70ms, 0ns, 5}, "tasks", "save\n", 0};
  CHECK(busiest_of({fetch, parse, save}) ==
        "bottleneck: parse, running 90% of its workers' time, 90.0ms each\n"
        "  before it, fetch waited 70%, most of it for work or room\n"
        "  after it, tasks / save  waited 80%, most of it to retry\n");
  CHECK(busiest_of({parse, fetch, save}) ==
        "bottleneck: parse, running 90% of its workers' time, 90.0ms each\n"
        "  after it, fetch waited 70%, most of it for work\n");

  // by worker, not in all; and what is no stage stands aside
  const WorkerTime one{{10ms, 10ms, 0ns, 0ns, 1}, "wide", "wide", 0};
  const WorkerTime two{{20ms, 10ms, 0ns, 0ns, 1}, "wide", "wide", 1};
  const WorkerTime plain{{1s, 0ns, 0ns, 0ns, 1}, "plain", "", 0};
  const WorkerTime busy{{20ms, 0ns, 0ns, 0ns, 1}, "busy", "busy", 0};
  CHECK(busiest_of({one, two, plain, busy}) ==
        "bottleneck: busy, running 100% of its workers' time, 20.0ms each\n"
        "  before it, wide waited 40%, most of it for work or room\n");

  const WorkerTime sent{{10ms, 0ns, 5ms, 10ms, 1}, "sent", "sent", 0};
  const WorkerTime idle{{0ns, 0ns, 0ns, 0ns, 0}, "idle", "idle", 0};
  CHECK(busiest_of({idle, parse, sent}) ==
        "bottleneck: parse, running 90% of its workers' time, 90.0ms each\n"
        "  before it, idle did not wait\n"
        "  after it, sent waited 60%, most of it between processes\n");
  CHECK(busiest_of({parse}) == "");
}
