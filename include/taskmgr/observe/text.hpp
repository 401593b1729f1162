// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Texts of unknown origin and numbers, as observers show them: on one line, in known columns, at a glance.
///
/// Nothing here looks at the C or C++ locale: programs set it or not, and a log must not change with it.
///
/// Every program that includes taskmgr compiles this, and few call it often: `gnu::cold` has it compiled for size, in
/// half the time, and plain loops stand where an algorithm would be a template more.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace taskmgr::detail {

/// The first character of a text that is not empty. What is no UTF-8 decodes byte by byte, each to U+FFFD.
struct CodePoint {
  char32_t value;
  std::size_t bytes;  ///< from 1
  bool valid;
};
[[nodiscard]] CodePoint first_code_point(std::string_view text) noexcept;

/// Does it move the cursor, end a line or reorder what follows, instead of showing something?
[[nodiscard]] bool is_control(char32_t code) noexcept;

/// The columns that a terminal gives a character: 0, 1 or 2. Where terminals differ, the larger number. Source: East
/// Asian Width (UAX #11) W and F, and Emoji_Presentation, of Unicode 15, by blocks where those are all wide.
[[nodiscard]] int columns_of(char32_t code) noexcept;

/// The columns of a text without controls. Never less than what a terminal takes for it.
[[nodiscard]] std::size_t columns_of(std::string_view text) noexcept;

/// The text on one line, without what could disturb it: escape sequences and controls are gone, line ends and tabs are
/// blanks, what is no UTF-8 is U+FFFD; unless `utf8`, each character beyond ASCII is a question mark.
[[nodiscard, gnu::cold]] std::string on_one_line(std::string_view text, bool utf8);

/// A text of `on_one_line`, cut to at most so many columns; an ellipsis shows where.
[[nodiscard, gnu::cold]] std::string cut_to(std::string_view text, std::size_t columns, bool utf8);

/// Appends the text in double quotes, from which it can be had back byte by byte: `\"`, `\\`, `\n`, `\r`, `\t`, `\x1b`
/// for other bytes that are controls or no UTF-8, `\u2028` for controls beyond ASCII.
void append_quoted(std::string& out, std::string_view text);

/// The same, but without quotes if the text is one plain word.
void append_word(std::string& out, std::string_view text);

/// What a run is called: "manager", or "manager / stage"; a stage that has its manager's name, by that alone.
[[nodiscard, gnu::cold]] std::string name_of(std::string_view manager, std::string_view stage);

void append_number(std::string& out, std::uint64_t number);
/// With so many digits after the point, at most 9; a point in every locale.
[[gnu::cold]] void append_fixed(std::string& out, double number, int decimals);

/// Three digits and a unit: "1.23us", "12.3ms", "123s". Seconds are the largest unit.
void append_duration(std::string& out, std::chrono::nanoseconds duration);

[[nodiscard]] constexpr double seconds_of(std::chrono::nanoseconds duration) noexcept {
  return static_cast<double>(duration.count()) * 1e-9;
}

/// As clocks show it: "0:07", "12:34", "1:02:03", "3d 01:02:03".
[[nodiscard, gnu::cold]] std::string clock_text(std::chrono::nanoseconds duration);

/// Three digits of how many there are in a second, minute or hour: "52.1/s", "1.23k/s", "12.0/min", "3.50/h".
[[nodiscard, gnu::cold]] std::string rate_text(double per_second);

// ---------------------------------------------------------------------------------------------------------------------

inline CodePoint first_code_point(std::string_view text) noexcept {
  constexpr CodePoint wrong{0xFFFD, 1, false};
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes) return wrong;
  char32_t code = lead & (0xFFU >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return wrong;
    code = (code << 6U) | (byte(i) & 0x3FU);
  }
  constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < least[bytes] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return wrong;
  return {code, bytes, true};
}

inline bool is_control(char32_t code) noexcept {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0x061C || code == 0x200E || code == 0x200F ||
         (code >= 0x2028 && code <= 0x202E) || (code >= 0x2066 && code <= 0x2069) || code == 0xFEFF;
}

/// Code points, the last included.
struct CodeRange {
  char32_t first;
  char32_t last;
};

/// Is the character in one of the ranges, which are sorted?
[[nodiscard]] inline bool is_within(const CodeRange* ranges, std::size_t count, char32_t code) noexcept {
  std::size_t begin = 0;
  while (count > 0) {  // the first range that ends at the character or behind it
    const std::size_t half = count / 2;
    if (ranges[begin + half].last < code) {
      begin += half + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return ranges[begin].first <= code;
}

inline int columns_of(char32_t code) noexcept {
  static constexpr CodeRange end{0xFFFFFFFF, 0xFFFFFFFF};
  static constexpr CodeRange none[] = {  // combining marks of the scripts in common use, joiners, variation selectors
      {0x0300, 0x036F}, {0x0483, 0x0489}, {0x0591, 0x05BD}, {0x05BF, 0x05BF}, {0x05C1, 0x05C2}, {0x05C4, 0x05C5},
      {0x0610, 0x061A}, {0x064B, 0x065F}, {0x0670, 0x0670}, {0x06D6, 0x06DC}, {0x06DF, 0x06E4}, {0x06E7, 0x06E8},
      {0x0900, 0x0902}, {0x093C, 0x093C}, {0x0941, 0x0948}, {0x094D, 0x094D}, {0x0E31, 0x0E31}, {0x0E34, 0x0E3A},
      {0x0E47, 0x0E4E}, {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200D}, {0x2060, 0x2064}, {0x20D0, 0x20F0},
      {0x302A, 0x302D}, {0x3099, 0x309A}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}, {0xE0100, 0xE01EF}, end};
  static constexpr CodeRange wide[] = {
      {0x1100, 0x115F},   {0x231A, 0x231B},   {0x2329, 0x232A},   {0x23E9, 0x23EC},   {0x23F0, 0x23F0},
      {0x23F3, 0x23F3},   {0x25FD, 0x25FE},   {0x2614, 0x2615},   {0x2648, 0x2653},   {0x267F, 0x267F},
      {0x2693, 0x2693},   {0x26A1, 0x26A1},   {0x26AA, 0x26AB},   {0x26BD, 0x26BE},   {0x26C4, 0x26C5},
      {0x26CE, 0x26CE},   {0x26D4, 0x26D4},   {0x26EA, 0x26EA},   {0x26F2, 0x26F3},   {0x26F5, 0x26F5},
      {0x26FA, 0x26FA},   {0x26FD, 0x26FD},   {0x2705, 0x2705},   {0x270A, 0x270B},   {0x2728, 0x2728},
      {0x274C, 0x274C},   {0x274E, 0x274E},   {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},
      {0x27B0, 0x27B0},   {0x27BF, 0x27BF},   {0x2B1B, 0x2B1C},   {0x2B50, 0x2B50},   {0x2B55, 0x2B55},
      {0x2E80, 0x303E},   {0x3041, 0x4DBF},   {0x4E00, 0xA4CF},   {0xA960, 0xA97C},   {0xAC00, 0xD7A3},
      {0xF900, 0xFAFF},   {0xFE10, 0xFE19},   {0xFE30, 0xFE6B},   {0xFF01, 0xFF60},   {0xFFE0, 0xFFE6},
      {0x16FE0, 0x18CFF}, {0x1AFF0, 0x1B2FF}, {0x1F004, 0x1F004}, {0x1F0CF, 0x1F0CF}, {0x1F18E, 0x1F18E},
      {0x1F191, 0x1F19A}, {0x1F1E6, 0x1F265}, {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F7E0, 0x1F7F0},
      {0x1F900, 0x1FAFF}, {0x20000, 0x3FFFD}, end};
  if (code < 0x0300) return is_control(code) ? 0 : 1;
  if (is_control(code) || is_within(none, sizeof none / sizeof none[0] - 1, code)) return 0;
  return is_within(wide, sizeof wide / sizeof wide[0] - 1, code) ? 2 : 1;
}

struct Extent {
  std::size_t bytes = 0;
  std::size_t columns = 0;
};

/// The longest start of a text that takes at most so many columns.
[[nodiscard]] inline Extent start_within(std::string_view text, std::size_t most) noexcept {
  Extent start;
  int before = 0;
  while (start.bytes < text.size()) {
    const CodePoint code = first_code_point(text.substr(start.bytes));
    // The emoji selector makes a narrow character a wide one.
    const int columns = code.value == 0xFE0F && before == 1 ? 1 : columns_of(code.value);
    if (start.columns + static_cast<std::size_t>(columns) > most) break;
    start.columns += static_cast<std::size_t>(columns);
    start.bytes += code.bytes;
    before = columns;
  }
  return start;
}

inline std::size_t columns_of(std::string_view text) noexcept { return start_within(text, text.size() * 2).columns; }

/// The length of the escape sequence (ECMA-48) that the text begins with.
[[nodiscard]] inline std::size_t escape_length(std::string_view text) noexcept {
  if (text.size() < 2) return text.size();
  const auto is = [&](std::size_t i, unsigned char low, unsigned char high) {
    return i < text.size() && static_cast<unsigned char>(text[i]) >= low && static_cast<unsigned char>(text[i]) <= high;
  };
  std::size_t end = 2;
  if (text[1] == '[') {
    while (is(end, 0x20, 0x3F)) ++end;
    return is(end, 0x40, 0x7E) ? end + 1 : end;
  }
  if (std::string_view("]PX^_").find(text[1]) == std::string_view::npos) {
    end = 1;
    while (is(end, 0x20, 0x2F)) ++end;
    return is(end, 0x30, 0x7E) ? end + 1 : end;
  }
  for (; end < text.size(); ++end) {  // a string, ended by BEL or ESC \, or by the end of the line
    if (text[end] == '\a') return end + 1;
    if (text[end] == '\x1b') return text.substr(end, 2) == "\x1b\\" ? end + 2 : end;
    if (text[end] == '\n' || text[end] == '\r') return end;
  }
  return end;
}

inline std::string on_one_line(std::string_view text, bool utf8) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint code = first_code_point(text);
    std::size_t length = code.bytes;
    if (code.value == 0x1B) {
      length = escape_length(text);
    } else if (code.value == '\n' || code.value == '\t') {
      out += ' ';
    } else if (is_control(code.value)) {
      // gone
    } else if (code.value >= 0x80 && !utf8) {
      if (columns_of(code.value) != 0) out += '?';
    } else if (!code.valid) {
      out += "\xEF\xBF\xBD";
    } else {
      out += text.substr(0, code.bytes);
    }
    text.remove_prefix(length);
  }
  return out;
}

inline std::string cut_to(std::string_view text, std::size_t columns, bool utf8) {
  if (start_within(text, columns).bytes == text.size()) return std::string{text};
  const std::string_view mark = utf8 ? "\xE2\x80\xA6" : columns > 4 ? ".." : ".";
  const std::size_t needs = utf8 ? 1 : mark.size();
  std::string out{text.substr(0, start_within(text, columns > needs ? columns - needs : 0).bytes)};
  if (columns > 0) out += mark;
  return out;
}

inline void append_quoted(std::string& out, std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  const auto hexadecimal = [&](char32_t value, int count) {
    while (count-- > 0) out += digits[(value >> (4 * static_cast<unsigned>(count))) & 0xFU];
  };
  out += '"';
  while (!text.empty()) {
    const CodePoint code = first_code_point(text);
    switch (code.value) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (!code.valid || (code.value < 0x80 && is_control(code.value))) {
          out += "\\x";
          hexadecimal(static_cast<unsigned char>(text[0]), 2);
        } else if (is_control(code.value)) {
          out += "\\u";
          hexadecimal(code.value, 4);
        } else {
          out += text.substr(0, code.bytes);
        }
    }
    text.remove_prefix(code.bytes);
  }
  out += '"';
}

inline void append_word(std::string& out, std::string_view text) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:,/+*@%<>()[]{}#&|~!?^$;";
  if (!text.empty() && text.find_first_not_of(plain) == std::string_view::npos) {
    out += text;
  } else {
    append_quoted(out, text);
  }
}

inline std::string name_of(std::string_view manager, std::string_view stage) {
  std::string name{manager};
  if (stage.empty() || stage == manager) return name;
  if (!name.empty()) name += " / ";
  name += stage;
  return name;
}

inline void append_number(std::string& out, std::uint64_t number) {
  char digits[20];
  std::size_t first = sizeof digits;
  do {
    digits[--first] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number > 0);
  out.append(digits + first, sizeof digits - first);
}

inline void append_fixed(std::string& out, double number, int decimals) {
  // By whole numbers: the general conversion is a thousand lines of code in every program that includes this.
  if (number != number) {
    out += "nan";
    return;
  }
  if (number < 0) {
    out += '-';
    number = -number;
  }
  std::uint64_t one = 1;
  for (int i = 0; i < decimals; ++i) one *= 10;
  const double scaled = number * static_cast<double>(one) + 0.5;
  const auto whole = static_cast<std::uint64_t>(scaled < 1e18 ? scaled : 1e18);
  append_number(out, whole / one);
  if (decimals == 0) return;
  out += '.';
  for (std::uint64_t digit = one / 10; digit > 0; digit /= 10) out += static_cast<char>('0' + whole / digit % 10);
}

/// Three digits where there are three: "1.23", "12.3", "123", "1230".
inline void append_three_digits(std::string& out, double number) {
  append_fixed(out, number, number < 9.995 ? 2 : number < 99.95 ? 1 : 0);
}

inline void append_duration(std::string& out, std::chrono::nanoseconds duration) {
  auto value = static_cast<double>(duration.count());
  if (value < 0) {
    out += '-';
    value = -value;
  }
  if (value < 1000) {
    append_fixed(out, value, 0);
    out += "ns";
    return;
  }
  constexpr const char* units[] = {"us", "ms", "s"};
  int unit = 0;
  for (value /= 1000; value >= 999.5 && unit < 2; value /= 1000) ++unit;
  append_three_digits(out, value);
  out += units[unit];
}

/// With a zero before it, if there is something before it and it is one digit.
[[gnu::cold]] inline void append_two_digits(std::string& out, std::uint64_t number) {
  if (number < 10 && !out.empty()) out += '0';
  append_number(out, number);
}

inline std::string clock_text(std::chrono::nanoseconds duration) {
  const std::uint64_t seconds = duration.count() > 0 ? static_cast<std::uint64_t>(duration.count()) / 1'000'000'000 : 0;
  const std::uint64_t days = seconds / 86400;
  const std::uint64_t hours = seconds / 3600 % 24;
  std::string out;
  if (days > 0) {
    append_number(out, days);
    out += "d ";
  }
  if (days > 0 || hours > 0) {
    append_two_digits(out, hours);
    out += ':';
  }
  append_two_digits(out, seconds / 60 % 60);
  out += ':';
  append_two_digits(out, seconds % 60);
  return out;
}

inline std::string rate_text(double per_second) {
  std::string out;
  std::string_view unit = "/s";
  if (per_second > 0 && per_second < 0.995) {
    per_second *= 60;
    unit = "/min";
    if (per_second < 0.995) {
      per_second *= 60;
      unit = "/h";
    }
  }
  constexpr std::string_view thousands = " kMGT";
  std::size_t power = 0;
  for (; per_second >= 999.5 && power + 1 < thousands.size(); per_second /= 1000) ++power;
  append_three_digits(out, per_second);
  if (power > 0) out += thousands[power];
  out += unit;
  return out;
}

}  // namespace taskmgr::detail
