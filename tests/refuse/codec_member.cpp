// SPDX-License-Identifier: MIT
// expect: taskmgr::Codec: a pointer means nothing in another process
#include <taskmgr/run/codec.hpp>

#include <string>
#include <vector>

struct Owning {
  std::string name;
};
struct Borrowing {
  const char* name;
};

int main() {
  taskmgr::ByteBuffer buffer;
  taskmgr::Reader reader{buffer.bytes()};
#ifdef ALLOWED
  static_cast<void>(taskmgr::Codec<std::vector<Owning>>::decode(reader));
#else
  static_cast<void>(taskmgr::Codec<std::vector<Borrowing>>::decode(reader));
#endif
}
