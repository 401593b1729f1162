// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How the examples write names of files, sizes and JSON.

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace text {

/// A name on one line, so that no two names look the same: as it is if it is UTF-8 without control characters, and else in the
/// shell's notation, $'a\nb\xff'.
[[nodiscard]] std::string for_people(const std::string& path);

/// A JSON string, with its quotes. U+FFFD stands for each byte that is not UTF-8.
[[nodiscard]] std::string in_json(std::string_view text);

/// The members of an object that tell a path: "path", and if that is not UTF-8 "path_hex", its bytes as hexadecimal digits.
[[nodiscard]] std::string path_in_json(const std::string& path);

/// "1.5 MiB"
[[nodiscard]] std::string human(std::uint64_t bytes);

/// "1 file", "2 files"
[[nodiscard]] std::string count_of(std::uint64_t number, const char* what);

// ---------------------------------------------------------------------------------------------------------------------

/// How many bytes the UTF-8 character at the start of `text` takes; 0 if there is none.
[[nodiscard]] inline std::size_t character_at(std::string_view text) {
  const auto byte = [&](std::size_t k) { return k < text.size() ? static_cast<unsigned char>(text[k]) : 0U; };
  const auto follows = [&](std::size_t k, unsigned from = 0x80, unsigned to = 0xBF) { return byte(k) >= from && byte(k) <= to; };
  const unsigned lead = byte(0);
  if (lead < 0x80) return text.empty() ? 0 : 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    return follows(1, lead == 0xE0 ? 0xA0 : 0x80, lead == 0xED ? 0x9F : 0xBF) && follows(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    return follows(1, lead == 0xF0 ? 0x90 : 0x80, lead == 0xF4 ? 0x8F : 0xBF) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

/// Calls `with(part, is_utf8)` for each character of `text`, and for each byte that is part of none.
template <class F>
void for_each_character(std::string_view text, F with) {
  while (!text.empty()) {
    const std::size_t size = character_at(text);
    const std::string_view part = text.substr(0, size != 0 ? size : 1);
    with(part, size != 0);
    text.remove_prefix(part.size());
  }
}

[[nodiscard]] inline bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  return first < 0x20 || first == 0x7F || (first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0);
}

inline std::string for_people(const std::string& path) {
  bool plain = !path.starts_with("$'");
  std::string quoted = "$'";
  for_each_character(path, [&](std::string_view part, bool is_utf8) {
    if (is_utf8 && !is_control(part)) {
      if (part == "'" || part == "\\") quoted += '\\';
      quoted += part;
      return;
    }
    plain = false;
    if (part == "\n") quoted += "\\n";
    else for (const char byte : part) quoted += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  });
  return plain ? path : quoted + '\'';
}

inline std::string in_json(std::string_view text) {
  std::string out = "\"";
  for_each_character(text, [&](std::string_view part, bool is_utf8) {
    if (!is_utf8) out += "\\ufffd";
    else if (part == "\"" || part == "\\") (out += '\\') += part;
    else if (part.size() == 1 && is_control(part)) out += fmt::format("\\u{:04x}", static_cast<unsigned char>(part[0]));
    else out += part;
  });
  return out + '"';
}

inline std::string path_in_json(const std::string& path) {
  bool is_text = true;
  std::string hex;
  for_each_character(path, [&](std::string_view part, bool is_utf8) {
    is_text = is_text && is_utf8;
    for (const char byte : part) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  });
  const std::string member = "\"path\": " + in_json(path);
  return is_text ? member : member + ", \"path_hex\": \"" + hex + '"';
}

inline std::string human(std::uint64_t bytes) {
  constexpr std::array units{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double number = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  for (; number >= 1023.95 && unit + 1 < units.size(); ++unit) number /= 1024;
  return fmt::format("{:.1f} {}", number, units[unit]);
}

inline std::string count_of(std::uint64_t number, const char* what) {
  return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

}  // namespace text
