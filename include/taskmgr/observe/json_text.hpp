// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Texts and numbers as JSON (RFC 8259).

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "log_line.hpp"
#include "text.hpp"

namespace taskmgr::detail {

/// Appends the text as a JSON string, with its quotes. What is no UTF-8 becomes U+FFFD, byte by byte.
void append_json(std::string& out, std::string_view text);

/// Appends the number with three decimals at most; what is none, which JSON has no word for, as `null`.
void append_json(std::string& out, double number);

// ---------------------------------------------------------------------------------------------------------------------

inline void append_json(std::string& out, std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
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
        if (code.value < 0x20) {
          out += "\\u00";
          out += digits[code.value >> 4U];
          out += digits[code.value & 0xFU];
        } else if (!code.valid) {
          out += "\xEF\xBF\xBD";
        } else {
          out += text.substr(0, code.bytes);
        }
    }
    text.remove_prefix(code.bytes);
  }
  out += '"';
}

inline void append_json(std::string& out, double number) {
  if (number != number) {
    out += "null";
  } else {
    append_plain(out, number);
  }
}

}  // namespace taskmgr::detail
