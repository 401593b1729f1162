// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A tree as a picture: for Graphviz, for Mermaid, and for a terminal.
///
/// Templates, so that a program without trees does not compile them.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/event.hpp"
#include "../observe/text.hpp"
#include "report.hpp"

namespace taskmgr::detail {

/// A tree as boxes and arrows. Stages are known by their number; each has those before it in front.
struct Drawing {
  struct Box {
    std::string name;
    std::string note;  // a second line; empty: none
    bool marked = false;
    std::vector<std::size_t> from{};
  };
  std::string name;
  std::vector<Box> boxes{};
};

template <class Picture>
[[nodiscard]] std::string to_dot(const Picture& drawing);
template <class Picture>
[[nodiscard]] std::string to_mermaid(const Picture& drawing);
template <class Picture>
[[nodiscard]] std::string to_text(const Picture& drawing);

/// What is said of a stage after a run: counts, and the time if it was measured.
template <class Summary>
[[nodiscard]] std::string note_of(const Summary& stage);

/// The stage that held up the others, if that was measured; else none: the number of stages.
template <class Summary>
[[nodiscard]] std::size_t bottleneck(const std::vector<Summary>& stages);

// ---------------------------------------------------------------------------------------------------------------------

template <class By>
std::string replaced(std::string_view text, std::string_view characters, const By& by) {
  std::string safe;
  for (const char c : text) {
    if (characters.find(c) != std::string_view::npos) safe += by(c);
    else safe += c;
  }
  return safe;
}

template <class Text>
std::string in_dot(const Text& text) {
  return replaced(text, "\"\\\n", [](char c) { return c == '\n' ? std::string("\\n") : std::string{'\\', c}; });
}

template <class Picture>
std::string to_dot(const Picture& drawing) {
  std::string dot = "digraph \"" + in_dot(drawing.name) + "\" {\n  rankdir=LR;\n  node [shape=box];\n";
  for (std::size_t k = 0; k < drawing.boxes.size(); ++k) {
    const auto& box = drawing.boxes[k];
    dot += "  s" + std::to_string(k) + " [label=\"" + in_dot(box.name);
    if (!box.note.empty()) dot += "\\n" + in_dot(box.note);
    dot += box.marked ? "\", style=bold, color=red];\n" : "\"];\n";
    for (const std::size_t from : box.from) dot += "  s" + std::to_string(from) + " -> s" + std::to_string(k) + ";\n";
  }
  return dot + "}\n";
}

template <class Text>
std::string in_mermaid(const Text& text) {
  return replaced(text, "\"#<>&\n", [](char c) {
    return c == '\n' ? std::string("<br/>") : '#' + std::to_string(static_cast<int>(static_cast<unsigned char>(c))) + ';';
  });
}

template <class Picture>
std::string to_mermaid(const Picture& drawing) {
  std::string text = "flowchart LR\n";
  for (std::size_t k = 0; k < drawing.boxes.size(); ++k) {
    const auto& box = drawing.boxes[k];
    const std::string id = 's' + std::to_string(k);
    text += "  " + id + "[\"" + in_mermaid(box.name);
    if (!box.note.empty()) text += "<br/>" + in_mermaid(box.note);
    text += "\"]\n";
    for (const std::size_t from : box.from) text += "  s" + std::to_string(from) + " --> " + id + "\n";
    if (box.marked) text += "  style " + id + " stroke:#f00,stroke-width:3px\n";
  }
  return text;
}

template <class Picture>
std::string to_text(const Picture& drawing) {
  std::string text = on_one_line(drawing.name, true) + "\n";
  std::vector<std::size_t> depths;
  for (const auto& box : drawing.boxes) {
    const std::size_t depth = box.from.empty() ? 0 : depths[box.from.front()] + 1;
    depths.push_back(depth);
    text += std::string(2 * depth, ' ') + "-> " + on_one_line(box.name, true);
    if (!box.note.empty()) text += ": " + box.note;
    if (box.marked) text += " (the slowest)";
    text += '\n';
  }
  return text;
}

template <class Summary>
std::string note_of(const Summary& stage) {
  const Progress& of = stage.progress;
  std::string note = std::to_string(of.total) + " in, " + std::to_string(of.succeeded) + " out";
  if (of.failed != 0) note += ", " + std::to_string(of.failed) + " failed";
  if (of.cancelled != 0) note += ", " + std::to_string(of.cancelled) + " cancelled";
  if (of.retries != 0) note += ", " + std::to_string(of.retries) + " retries";
  if (stage.running.count() != 0) {
    note += ", " + std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(stage.running).count()) + " ms";
  }
  return note;
}

template <class Summary>
std::size_t bottleneck(const std::vector<Summary>& stages) {
  const auto slower = [](const Summary& a, const Summary& b) { return a.per_worker() < b.per_worker(); };
  const auto slowest = std::max_element(stages.begin(), stages.end(), slower);
  if (slowest == stages.end() || slowest->running.count() == 0) return stages.size();
  return static_cast<std::size_t>(slowest - stages.begin());
}

}  // namespace taskmgr::detail
