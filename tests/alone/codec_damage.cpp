// SPDX-License-Identifier: MIT
// Alone: it replaces operator new for its whole process, to see how much memory damaged bytes can ask for.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <malloc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>

#include "support/build.hpp"
#include "support/random_value.hpp"
#include "support/sent.hpp"

namespace {

std::size_t alive = 0;
std::size_t most = 0;

}  // namespace

#if !defined(TASKMGR_TEST_SANITIZED)

void* operator new(std::size_t size) {
  void* const room = std::malloc(size);
  if (room == nullptr) throw std::bad_alloc{};
  alive += malloc_usable_size(room);
  most = std::max(most, alive);
  return room;
}
void operator delete(void* room) noexcept {
  alive -= malloc_usable_size(room);
  std::free(room);
}
void operator delete(void* room, std::size_t) noexcept { operator delete(room); }

#endif

namespace {

using namespace support::sent;

struct Tally {
  int values = 0;
  int refused = 0;
  int other = 0;            // neither a value nor a CodecError
  std::size_t leaked = 0;   // bytes
  double worst = 0;         // bytes of memory for a byte read, of more than 4 KiB
};

/// Decodes, and sees what comes of it.
template <class T>
void try_one(const std::string& bytes, Tally& tally) {
  const std::size_t before = alive;
  most = alive;
  try {
    taskmgr::Reader reader{std::as_bytes(std::span{bytes})};
    const T value = taskmgr::Codec<T>::decode(reader);
    reader.finish();
    ++tally.values;
  } catch (const taskmgr::CodecError&) {
    ++tally.refused;
  } catch (...) {
    ++tally.other;
  }
  if (alive > before) tally.leaked += alive - before;
  if (most - before > 4096)
    tally.worst = std::max(tally.worst, static_cast<double>(most - before - 4096) / static_cast<double>(bytes.size() + 1));
}

/// Every prefix, every byte replaced, and random bytes.
template <class T>
[[gnu::noinline]] void check_damage(const std::string& type, double most_for_a_byte) {
  CAPTURE(type);
  INFO("TASKMGR_SEED=" << support::seed());
  support::Random random;
  RandomValue values;
  Tally cut;
  Tally damaged;
  for (int i = 0; i < 3; ++i) {
    const std::string bytes = encoded(values.make<T>());
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const std::string exact = bytes.substr(0, size);
      try_one<T>(exact, cut);
    }
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      for (const int flipped : {0x01, 0x80, 0xFF, 0x10}) {
        std::string other = bytes;
        other[at] = static_cast<char>(other[at] ^ flipped);
        try_one<T>(other, damaged);
      }
    }
  }
  for (int i = 0; i < 2000; ++i) {
    std::string bytes(random.below(200), '\0');
    const std::size_t range = std::size_t{1} << random.below(9);
    for (char& byte : bytes) byte = static_cast<char>(random.below(range));
    try_one<T>(bytes, damaged);
  }
  CHECK(cut.values == 0);
  CHECK(cut.other + damaged.other == 0);
  CHECK(cut.leaked + damaged.leaked == 0);
  CHECK(std::max(cut.worst, damaged.worst) < most_for_a_byte);
}

TEST_CASE("damaged bytes are an error or a value, and take no more memory than they justify") {
  check_damage<std::string>("string", 4);
  check_damage<Scalars>("scalars", 4);
  check_damage<Sequences>("sequences", 200);  // an element of a few bytes is an object with a node
  check_damage<Tables>("tables", 200);
  check_damage<Choices>("choices", 200);
  check_damage<Node>("node", 200);
  check_damage<Json>("json", 200);
  check_damage<Tree>("tree", 200);
}

}  // namespace
