// SPDX-License-Identifier: MIT
// For libFuzzer: any bytes are an error or a value; and what is written of a value is read as the same again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include <taskmgr/run/remote_error.hpp>

#include "support/sent.hpp"

namespace {

using namespace support::sent;

template <class T>
void try_type(std::span<const std::byte> bytes) {
  taskmgr::Reader reader{bytes};
  const T value = taskmgr::Codec<T>::decode(reader);
  const std::string once = encoded(value);
  const std::string twice = encoded(decoded<T>(once));
  if (once.size() != twice.size()) std::abort();  // the order of an unordered container may differ
}

void try_error(std::span<const std::byte> bytes) {
  taskmgr::Reader reader{bytes};
  const taskmgr::detail::SentError error = taskmgr::detail::decode_error(reader);
  taskmgr::ByteBuffer buffer;
  taskmgr::Writer writer{buffer};
  taskmgr::detail::encode_error(writer, error.kind, error.exception);
  taskmgr::Reader again{buffer.bytes()};
  static_cast<void>(taskmgr::detail::decode_error(again));
  again.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span{data + 1, size - 1});
  try {
    switch (data[0] % 9) {
      case 0: try_type<std::string>(bytes); break;
      case 1: try_type<Scalars>(bytes); break;
      case 2: try_type<Sequences>(bytes); break;
      case 3: try_type<Tables>(bytes); break;
      case 4: try_type<Choices>(bytes); break;
      case 5: try_type<Node>(bytes); break;
      case 6: try_type<Json>(bytes); break;
      case 7: try_type<Tree>(bytes); break;
      default: try_error(bytes);
    }
  } catch (const taskmgr::CodecError&) {
  }
  return 0;
}
