// SPDX-License-Identifier: MIT
// expect: taskmgr::Codec does not know how to take this type apart: make it an aggregate
#include <taskmgr/run/codec.hpp>

#include <vector>

struct Open {
  int value;
};
class Closed {
 public:
  explicit Closed(int value) : value_(value) {}

 private:
  [[maybe_unused]] int value_;
};

int main() {
  taskmgr::ByteBuffer buffer;
  taskmgr::Reader reader{buffer.bytes()};
#ifdef ALLOWED
  static_cast<void>(taskmgr::Codec<std::vector<Open>>::decode(reader));
#else
  static_cast<void>(taskmgr::Codec<std::vector<Closed>>::decode(reader));
#endif
}
