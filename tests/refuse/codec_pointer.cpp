// SPDX-License-Identifier: MIT
// expect: taskmgr::Codec: a pointer means nothing in another process: send the value, or a std::unique_ptr that owns one object
#include <taskmgr/run/codec.hpp>

#include <memory>

int main() {
  taskmgr::ByteBuffer buffer;
  taskmgr::Reader reader{buffer.bytes()};
#ifdef ALLOWED
  static_cast<void>(taskmgr::Codec<std::unique_ptr<int>>::decode(reader));
#else
  static_cast<void>(taskmgr::Codec<int*>::decode(reader));
#endif
}
