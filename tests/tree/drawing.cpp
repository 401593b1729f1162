// SPDX-License-Identifier: MIT
#include <taskmgr/tree/drawing.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

using taskmgr::StageSummary;
using taskmgr::detail::bottleneck;
using taskmgr::detail::Drawing;
using namespace std::chrono_literals;

TEST_CASE("names cannot break out of a drawing") {
  const Drawing drawing{.name = "a \"tree\"\n", .boxes = {{.name = "back\\slash", .note = "<b>&#;"}}};
  CHECK(to_dot(drawing).find("digraph \"a \\\"tree\\\"\\n\" {") == 0);
  CHECK(to_dot(drawing).find("label=\"back\\\\slash\\n<b>&#;\"") != std::string::npos);
  CHECK(to_mermaid(drawing).find("[\"back\\slash<br/>#60;b#62;#38;#35;;\"]") != std::string::npos);
}

TEST_CASE("the bottleneck is the stage whose workers ran the longest, where that is known") {
  std::vector<StageSummary> stages(3);
  CHECK(bottleneck(stages) == 3);
  CHECK(bottleneck(std::vector<StageSummary>{}) == 0);
  stages[0].running = 10ms;
  stages[1] = {.name = "b", .workers = 4, .running = 20ms};
  CHECK(bottleneck(stages) == 0);
  stages[1].workers = 1;
  CHECK(bottleneck(stages) == 1);
  CHECK(taskmgr::detail::note_of(stages[1]) == "0 in, 0 out, 20 ms");
}
