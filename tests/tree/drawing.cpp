// SPDX-License-Identifier: MIT
#include <taskmgr/tree/drawing.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/folder.hpp"

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

TEST_CASE("Graphviz draws what to_dot says") {
  if (std::system("command -v dot >/dev/null") != 0) {
    MESSAGE("left out, for want of dot");
    return;
  }
  const support::TemporaryFolder folder;
  const Drawing drawing{.name = "a \"tree\"",
                        .boxes = {{.name = "root\\", .note = "3 in, \"2\" out"},
                                  {.name = "left", .note = {}, .marked = true, .from = {0}},
                                  {.name = "right\nside", .note = {}, .from = {0}},
                                  {.name = "<merge>", .note = {}, .from = {1, 2}}}};
  std::ofstream(folder / "tree.dot") << to_dot(drawing);
  const std::string command = "dot -Tsvg '" + (folder / "tree.dot").string() + "' -o '" + (folder / "tree.svg").string() + "' 2>&1";
  REQUIRE(std::system(command.c_str()) == 0);
  std::ifstream file(folder / "tree.svg");
  const std::string svg{std::istreambuf_iterator<char>(file), {}};
  CHECK(svg.find("<svg") != std::string::npos);
  CHECK(svg.find("&lt;merge&gt;") != std::string::npos);
  std::size_t arrows = 0;
  for (std::size_t at = svg.find("class=\"edge\""); at != std::string::npos; at = svg.find("class=\"edge\"", at + 1)) ++arrows;
  CHECK(arrows == 4);
}
