// SPDX-License-Identifier: MIT
// expect: taskmgr::Codec: a class that inherits from a container and has members besides needs a taskmgr::Codec of its own
#include <taskmgr/run/codec.hpp>

#include <vector>

struct Plain : std::vector<int> {};
struct Labelled : std::vector<int> {
  int label;
};

int main() {
  taskmgr::ByteBuffer buffer;
  taskmgr::Reader reader{buffer.bytes()};
#ifdef ALLOWED
  static_cast<void>(taskmgr::Codec<Plain>::decode(reader));
#else
  static_cast<void>(taskmgr::Codec<Labelled>::decode(reader));
#endif
}
