// SPDX-License-Identifier: MIT
// expect: taskmgr::Codec: a reference means nothing in another process: send a value
#include <taskmgr/run/codec.hpp>

#include <functional>

int main() {
  taskmgr::ByteBuffer buffer;
  taskmgr::Reader reader{buffer.bytes()};
#ifdef ALLOWED
  static_cast<void>(taskmgr::Codec<int>::decode(reader));
#else
  static_cast<void>(taskmgr::Codec<std::reference_wrapper<int>>::decode(reader));
#endif
}
