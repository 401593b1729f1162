// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A strict reader of JSON (RFC 8259), for what the library writes.

#include <cctype>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <taskmgr/observe/text.hpp>

namespace support {

struct Json {
  enum class Kind { null, boolean, number, string, array, object } kind = Kind::null;
  double number = 0;  // of a boolean: 0 or 1
  std::string text{};
  std::vector<Json> items{};
  std::map<std::string, Json> members{};

  [[nodiscard]] bool has(const std::string& name) const { return members.count(name) != 0; }
  [[nodiscard]] const Json& operator[](const std::string& name) const {
    const auto found = members.find(name);
    if (found == members.end()) throw std::runtime_error("JSON: no member " + name);
    return found->second;
  }
};

/// Throws `std::runtime_error` with the place where the text is no JSON.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  Json read() {
    Json value = read_value();
    skip_blanks();
    if (at_ != text_.size()) fail("something follows");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw std::runtime_error("JSON: " + why + " at " + std::to_string(at_) + ": " + std::string(text_.substr(at_, 40)));
  }
  void skip_blanks() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  [[nodiscard]] bool accept(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  void expect(std::string_view word) {
    skip_blanks();
    if (!accept(word)) fail("no " + std::string(word));
  }

  Json read_value() {
    skip_blanks();
    Json value;
    if (accept("null")) return value;
    if (accept("true")) return {.kind = Json::Kind::boolean, .number = 1};
    if (accept("false")) return {.kind = Json::Kind::boolean};
    if (text_.substr(at_, 1) == "\"") return {.kind = Json::Kind::string, .text = read_string()};
    if (accept("[")) return read_array();
    if (accept("{")) return read_object();
    return read_number();
  }
  Json read_array() {
    Json array{.kind = Json::Kind::array};
    skip_blanks();
    if (accept("]")) return array;
    for (;;) {
      array.items.push_back(read_value());
      skip_blanks();
      if (accept("]")) return array;
      expect(",");
    }
  }
  Json read_object() {
    Json object{.kind = Json::Kind::object};
    skip_blanks();
    if (accept("}")) return object;
    for (;;) {
      skip_blanks();
      const std::string name = read_string();
      expect(":");
      if (!object.members.emplace(name, read_value()).second) fail("a second member " + name);
      skip_blanks();
      if (accept("}")) return object;
      expect(",");
    }
  }
  Json read_number() {
    const std::size_t begin = at_;
    const auto digits = [this] {
      const std::size_t first = at_;
      while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
      if (at_ == first) fail("no digit");
      return at_ - first;
    };
    static_cast<void>(accept("-"));
    const bool zero = text_.substr(at_, 1) == "0";
    if (digits() > 1 && zero) fail("a leading zero");
    if (accept(".")) digits();
    if (accept("e") || accept("E")) {
      if (!accept("+")) static_cast<void>(accept("-"));
      digits();
    }
    return {.kind = Json::Kind::number, .number = std::strtod(std::string(text_.substr(begin, at_ - begin)).c_str(), nullptr)};
  }
  std::string read_string() {
    if (!accept("\"")) fail("no string");
    std::string out;
    for (;;) {
      if (at_ == text_.size()) fail("a string without an end");
      const taskmgr::detail::CodePoint code = taskmgr::detail::first_code_point(text_.substr(at_));
      if (!code.valid) fail("no UTF-8");
      if (code.value < 0x20) fail("a control character in a string");
      if (accept("\"")) return out;
      if (!accept("\\")) {
        out += text_.substr(at_, code.bytes);
        at_ += code.bytes;
        continue;
      }
      constexpr std::string_view escapes = "\"\\/bfnrt";
      const std::size_t which = at_ < text_.size() ? escapes.find(text_[at_]) : std::string_view::npos;
      if (which != std::string_view::npos) {
        out += std::string_view("\"\\/\b\f\n\r\t")[which];
        ++at_;
      } else if (accept("u00")) {  // the library escapes nothing beyond
        char* end = nullptr;
        const std::string hex{text_.substr(at_, 2)};
        out += static_cast<char>(std::strtol(hex.c_str(), &end, 16));
        if (hex.size() != 2 || *end != '\0') fail("no hexadecimal digits");
        at_ += 2;
      } else {
        fail("no escape");
      }
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

inline Json json_of(std::string_view text) { return JsonReader{text}.read(); }

}  // namespace support
