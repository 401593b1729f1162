// SPDX-License-Identifier: MIT
#include <taskmgr/observe/text.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <string_view>

using namespace taskmgr::detail;
using namespace std::chrono_literals;

namespace {

std::string quoted(std::string_view text) {
  std::string out;
  append_quoted(out, text);
  return out;
}

std::string word(std::string_view text) {
  std::string out;
  append_word(out, text);
  return out;
}

std::string fixed(double number, int decimals) {
  std::string out;
  append_fixed(out, number, decimals);
  return out;
}

std::string duration(std::chrono::nanoseconds time) {
  std::string out;
  append_duration(out, time);
  return out;
}

/// Takes quotes and escapes off again.
std::string unquoted(std::string_view text) {
  std::string out;
  const auto hexadecimal = [&](std::size_t at, std::size_t count) {
    return static_cast<unsigned>(std::stoul(std::string{text.substr(at, count)}, nullptr, 16));
  };
  for (std::size_t i = 1; i + 1 < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    ++i;
    if (text[i] == 'n') out += '\n';
    if (text[i] == 'r') out += '\r';
    if (text[i] == 't') out += '\t';
    if (text[i] == '"' || text[i] == '\\') out += text[i];
    if (text[i] == 'x') {
      out += static_cast<char>(hexadecimal(i + 1, 2));
      i += 2;
    }
    if (text[i] == 'u') {
      const unsigned code = hexadecimal(i + 1, 4);
      if (code >= 0x800) out += static_cast<char>(0xE0U | (code >> 12U));
      out += static_cast<char>(code >= 0x800 ? 0x80U | ((code >> 6U) & 0x3FU) : 0xC0U | (code >> 6U));
      out += static_cast<char>(0x80U | (code & 0x3FU));
      i += 4;
    }
  }
  return out;
}

/// Texts made of what gives trouble.
std::string random_text(std::mt19937_64& random) {
  static constexpr std::string_view pieces[] = {"a",
                                                "Z",
                                                " ",
                                                "\n",
                                                "\r",
                                                "\t",
                                                "\x1b[31m",
                                                "\x1b",
                                                "\x1b]0;t",
                                                "\a",
                                                "\"",
                                                "\\",
                                                "é",
                                                "e\xCC\x81",
                                                "漢",
                                                "🎉",
                                                "\xE2\x9D\xA4\xEF\xB8\x8F",
                                                "\xff",
                                                "\xC2",
                                                "\xE2\x80\xA8",
                                                "\xC2\x85",
                                                "\xE2\x80\xAE",
                                                "\x7f",
                                                "\xF0\x9F",
                                                "\xED\xA0\x80",
                                                "\xF5",
                                                "\xC0\xAF"};
  std::string text;
  for (auto count = random() % 20; count > 0; --count) text += pieces[random() % std::size(pieces)];
  if (random() % 2 == 0) text += '\0';
  return text;
}

unsigned long seed_of_tests() {
  const char* given = std::getenv("TASKMGR_SEED");
  return given != nullptr ? std::strtoul(given, nullptr, 10) : std::random_device{}();
}

}  // namespace

TEST_CASE("UTF-8 is read character by character, and what is none byte by byte") {
  CHECK(first_code_point("a").value == 'a');
  CHECK(first_code_point("é").value == 0xE9);
  CHECK(first_code_point("漢").value == 0x6F22);
  CHECK(first_code_point("🎉").value == 0x1F389);
  CHECK(first_code_point("🎉").bytes == 4);
  CHECK(first_code_point("\xF4\x8F\xBF\xBF").value == 0x10FFFF);
  for (const std::string_view wrong :
       {"\x80", "\xC0\xAF", "\xC1\xBF", "\xC3", "\xC3(", "\xE2\x82", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
        "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "\xFF"}) {
    CHECK_FALSE(first_code_point(wrong).valid);
    CHECK(first_code_point(wrong).bytes == 1);
  }
}

TEST_CASE("columns are counted as terminals give them") {
  CHECK(columns_of("") == 0);
  CHECK(columns_of("abc") == 3);
  CHECK(columns_of("größe") == 5);
  CHECK(columns_of("漢字") == 4);
  CHECK(columns_of("한국") == 4);
  CHECK(columns_of("ﾊﾝｶｸ") == 4);  // half width
  CHECK(columns_of("Ｗｉｄｅ") == 8);
  CHECK(columns_of("e\xCC\x81") == 1);
  CHECK(columns_of("🎉") == 2);
  CHECK(columns_of("\xE2\x9D\xA4") == 1);              // a heart
  CHECK(columns_of("\xE2\x9D\xA4\xEF\xB8\x8F") == 2);  // the same as an emoji
  CHECK(columns_of("✅━╸─…") == 6);
  CHECK(columns_of("\xff") == 1);
}

TEST_CASE("a text on one line has no controls, whatever it was") {
  CHECK(on_one_line("a\nb\tc\rd", true) == "a b cd");
  CHECK(on_one_line("\x1b[1;31mred\x1b[0m", true) == "red");
  CHECK(on_one_line("\x1b]0;title\aafter\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", true) == "afterlink");
  CHECK(on_one_line("\x1b(Bb\x1bMc\x1b", true) == "bc");
  CHECK(on_one_line("\x1b]never ended", true) == "");
  CHECK(on_one_line("\xC2\x85\xE2\x80\xA8\xE2\x80\xAEx\x7f", true) == "x");
  CHECK(on_one_line("\xff", true) == "\xEF\xBF\xBD");
  CHECK(on_one_line("größe \xff 漢e\xCC\x81", false) == "gr??e ? ?e");
}

TEST_CASE("a text is cut between characters, and shows it") {
  CHECK(cut_to("resize", 6, true) == "resize");
  CHECK(cut_to("resize", 5, true) == "resi…");
  CHECK(cut_to("resize", 5, false) == "res..");
  CHECK(cut_to("resize", 2, false) == "r.");
  CHECK(cut_to("resize", 1, true) == "…");
  CHECK(cut_to("resize", 0, true) == "");
  CHECK(cut_to("漢字漢字", 6, true) == "漢字…");
  CHECK(cut_to("e\xCC\x81xyz", 2, true) == "e\xCC\x81…");
}

TEST_CASE("for any text: one line of so many columns, and quotes from which it comes back") {
  const unsigned long seed = seed_of_tests();
  CAPTURE(seed);
  std::mt19937_64 random{seed};
  for (int i = 0; i < 5000; ++i) {
    const std::string text = random_text(random);
    CAPTURE(quoted(text));
    CHECK(unquoted(quoted(text)) == text);
    for (const bool utf8 : {true, false}) {
      const std::string line = on_one_line(text, utf8);
      const std::size_t columns = random() % 12;
      const std::string cut = cut_to(line, columns, utf8);
      CHECK(columns_of(cut) <= columns);
      if (columns_of(line) <= columns) CHECK(cut == line);
      for (std::string_view rest = cut; !rest.empty(); rest.remove_prefix(first_code_point(rest).bytes)) {
        CHECK(first_code_point(rest).valid);
        CHECK_FALSE(is_control(first_code_point(rest).value));
        if (!utf8) CHECK(first_code_point(rest).value < 0x80);
      }
    }
    const std::string quotes = quoted(text);
    for (std::string_view rest = quotes; !rest.empty(); rest.remove_prefix(first_code_point(rest).bytes)) {
      CHECK(first_code_point(rest).valid);
      CHECK_FALSE(is_control(first_code_point(rest).value));
    }
  }
}

TEST_CASE("quotes and escapes are those that people know") {
  CHECK(quoted("plain") == "\"plain\"");
  CHECK(quoted("a\"b\\c\nd\re\tf") == R"("a\"b\\c\nd\re\tf")");
  CHECK(quoted("\x1b[0m\x7f\xff größe") == R"("\x1b[0m\x7f\xff größe")");
  CHECK(quoted("\xE2\x80\xA8\xC2\x85") == R"("\u2028\u0085")");
  CHECK(quoted(std::string_view("\0", 1)) == R"("\x00")");
  CHECK(word("std::runtime_error") == "std::runtime_error");
  CHECK(word("std::vector<int>") == "std::vector<int>");
  CHECK(word("two words") == "\"two words\"");
  CHECK(word("a=b") == "\"a=b\"");
  CHECK(word("größe") == "\"größe\"");
  CHECK(word("") == "\"\"");
}

TEST_CASE("numbers have a point and no locale") {
  CHECK(fixed(0, 0) == "0");
  CHECK(fixed(1.005, 1) == "1.0");
  CHECK(fixed(0.05, 1) == "0.1");
  CHECK(fixed(12.3456, 3) == "12.346");
  CHECK(fixed(-2.5, 1) == "-2.5");
  CHECK(fixed(99.999, 2) == "100.00");
  CHECK(fixed(std::numeric_limits<double>::quiet_NaN(), 1) == "nan");
  CHECK(fixed(1e300, 1) == "100000000000000000.0");  // the largest that is written
  std::string out;
  append_number(out, std::numeric_limits<std::uint64_t>::max());
  CHECK(out == "18446744073709551615");
}

TEST_CASE("a duration has three digits and a unit") {
  CHECK(duration(0ns) == "0ns");
  CHECK(duration(999ns) == "999ns");
  CHECK(duration(1234ns) == "1.23us");
  CHECK(duration(9996ns) == "10.0us");
  CHECK(duration(99960ns) == "100us");
  CHECK(duration(999499ns) == "999us");
  CHECK(duration(999500ns) == "1.00ms");
  CHECK(duration(100ms) == "100ms");
  CHECK(duration(1500ms) == "1.50s");
  CHECK(duration(2h) == "7200s");
  CHECK(duration(-5ms) == "-5.00ms");
}

TEST_CASE("a run is called by its manager and stage, by one word where they are the same") {
  CHECK(name_of("resize", "") == "resize");
  CHECK(name_of("tasks", "stage 2") == "tasks / stage 2");
  CHECK(name_of("parse", "parse") == "parse");
  CHECK(name_of("", "parse") == "parse");
  CHECK(name_of("", "") == "");
}

TEST_CASE("a clock shows minutes and seconds, and more only if there is more") {
  CHECK(clock_text(0ns) == "0:00");
  CHECK(clock_text(-3s) == "0:00");
  CHECK(clock_text(7999ms) == "0:07");
  CHECK(clock_text(12min + 34s) == "12:34");
  CHECK(clock_text(1h + 2min + 3s) == "1:02:03");
  CHECK(clock_text(73h + 2min + 3s) == "3d 01:02:03");
  CHECK(clock_text(24h) == "1d 00:00:00");
}

TEST_CASE("a rate has three digits and a unit in which it is not below one") {
  CHECK(rate_text(0) == "0.00/s");
  CHECK(rate_text(52.14) == "52.1/s");
  CHECK(rate_text(1) == "1.00/s");
  CHECK(rate_text(0.5) == "30.0/min");
  CHECK(rate_text(0.001) == "3.60/h");
  CHECK(rate_text(999.4) == "999/s");
  CHECK(rate_text(999.6) == "1.00k/s");
  CHECK(rate_text(1234567) == "1.23M/s");
  CHECK(rate_text(2.5e10) == "25.0G/s");
}
