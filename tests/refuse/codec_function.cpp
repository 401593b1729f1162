// SPDX-License-Identifier: MIT
// expect: taskmgr::Codec: a function cannot be sent to another process: send data
#include <taskmgr/run/codec.hpp>

#include <functional>

int main() {
  taskmgr::ByteBuffer buffer;
  taskmgr::Reader reader{buffer.bytes()};
#ifdef ALLOWED
  static_cast<void>(taskmgr::Codec<int>::decode(reader));
#else
  static_cast<void>(taskmgr::Codec<std::function<void()>>::decode(reader));
#endif
}
