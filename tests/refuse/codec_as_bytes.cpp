// SPDX-License-Identifier: MIT
// expect: taskmgr::as_bytes is for trivially copyable types
#include <taskmgr/run/codec.hpp>

#include <string>

class Flat {
  [[maybe_unused]] int value_ = 0;
};
class Text {
  std::string value_;
};
template <>
inline constexpr bool taskmgr::as_bytes<Flat> = true;
template <>
inline constexpr bool taskmgr::as_bytes<Text> = true;

int main() {
  taskmgr::ByteBuffer buffer;
  taskmgr::Reader reader{buffer.bytes()};
#ifdef ALLOWED
  static_cast<void>(taskmgr::Codec<Flat>::decode(reader));
#else
  static_cast<void>(taskmgr::Codec<Text>::decode(reader));
#endif
}
