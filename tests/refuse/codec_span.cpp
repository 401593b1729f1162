// SPDX-License-Identifier: MIT
// expect: taskmgr::Codec: a view owns nothing that could be sent: send a container
#include <taskmgr/run/codec.hpp>

#include <span>
#include <vector>

int main() {
  taskmgr::ByteBuffer buffer;
  taskmgr::Reader reader{buffer.bytes()};
#ifdef ALLOWED
  static_cast<void>(taskmgr::Codec<std::vector<int>>::decode(reader));
#else
  static_cast<void>(taskmgr::Codec<std::span<int>>::decode(reader));
#endif
}
