// SPDX-License-Identifier: MIT
#include <taskmgr/run/cpus.hpp>

#include <doctest/doctest.h>
#include <sched.h>

#include <cstddef>
#include <thread>

using taskmgr::detail::parse_cpu_max;
using taskmgr::detail::usable_cpus;

TEST_CASE("a quota is the share of a period") {
  CHECK(parse_cpu_max("200000 100000") == 2.0);
  CHECK(parse_cpu_max("50000 100000") == 0.5);
  CHECK(parse_cpu_max("150000 100000\n") == 1.5);
}

TEST_CASE("what sets no limit, or is no quota, gives none") {
  for (const char* text : {"max 100000", "-1 100000", "", " ", "max", "200000", "0 100000", "100000 0", "200000 ", "a b",
                           " 100000", "nan 100000"}) {
    CAPTURE(text);
    CHECK(parse_cpu_max(text) == 0);
  }
}

TEST_CASE("there is a usable processor, and none beyond the affinity mask") {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  REQUIRE(sched_getaffinity(0, sizeof mask, &mask) == 0);
  CHECK(usable_cpus() >= 1);
  CHECK(usable_cpus() <= static_cast<std::size_t>(CPU_COUNT(&mask)));
}

TEST_CASE("bound to one processor, a thread may use one") {
  std::size_t seen = 0;
  std::thread([&] {  // the mask is a thread's own
    cpu_set_t mask;
    CPU_ZERO(&mask);
    if (sched_getaffinity(0, sizeof mask, &mask) != 0) return;
    std::size_t first = 0;
    while (!CPU_ISSET(first, &mask)) ++first;
    CPU_ZERO(&mask);
    CPU_SET(first, &mask);
    if (sched_setaffinity(0, sizeof mask, &mask) == 0) seen = usable_cpus();
  }).join();
  CHECK(seen == 1);
}
