// SPDX-License-Identifier: MIT
// expect: taskmgr::Codec: a view owns nothing that could be sent: send a container
#include <taskmgr/run/codec.hpp>

#include <string>
#include <string_view>

int main() {
  taskmgr::ByteBuffer buffer;
  taskmgr::Reader reader{buffer.bytes()};
#ifdef ALLOWED
  static_cast<void>(taskmgr::Codec<std::string>::decode(reader));
#else
  static_cast<void>(taskmgr::Codec<std::string_view>::decode(reader));
#endif
}
