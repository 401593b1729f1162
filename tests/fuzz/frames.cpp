// SPDX-License-Identifier: MIT
// What a worker process may have written into its pipe, a damaged one included: it is heard, or refused with a CodecError. The
// parts of large results are put together as a run does it.
#include <taskmgr/run/hand.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <taskmgr/run/codec.hpp>
#include <taskmgr/run/partial.hpp>
#include <taskmgr/run/remote_error.hpp>

using namespace taskmgr::detail;

namespace {

volatile unsigned seen = 0;

/// All of it may be read, which whoever watches memory sees.
template <class R>
[[nodiscard]] unsigned sum_of(const R& result) {
  const auto* const bytes = reinterpret_cast<const unsigned char*>(result.data());
  unsigned sum = 0;
  for (std::size_t k = 0; k < result.size() * sizeof result[0]; ++k) sum += bytes[k];
  return sum;
}

/// Of a pipe's bytes those that are frames from their beginning to their end.
std::size_t whole_frames(const std::uint8_t* data, std::size_t size) {
  std::size_t at = 0;
  FrameHead head{.kind = FrameKind::value};
  while (size - at >= sizeof head) {
    std::memcpy(&head, data + at, sizeof head);
    if (size - at - sizeof head < head.bytes) break;
    at += sizeof head + static_cast<std::size_t>(head.bytes);
  }
  return at;
}

template <class R>
void receive(const std::uint8_t* data, std::size_t size) {
  Hand hand;
  {
    auto [frames, theirs] = Descriptor::pipe();
    if (::write(theirs.get(), data, size) != static_cast<ssize_t>(size)) std::abort();  // it has room for all
    ::fcntl(frames.get(), F_SETFL, O_NONBLOCK);
    hand.frames = std::move(frames);
  }
  Partial<R> partial;
  unsigned sum = 0;
  const auto hear = [&](const FrameHead& head, taskmgr::Reader& reader) {
    if (head.bytes != reader.remaining()) std::abort();
    switch (head.kind) {
      case FrameKind::value: static_cast<void>(taskmgr::Codec<std::vector<std::string>>::decode(reader)); break;
      case FrameKind::parts: partial.begin(reader); break;
      case FrameKind::part: partial.add(reader); break;
      case FrameKind::all_parts: sum += sum_of(partial.take()); break;
      case FrameKind::retry:
      case FrameKind::no_retry: static_cast<void>(decode_error(reader)); break;
      default: break;
    }
  };
  try {
    hand.receive(hear);
    if (hand.in.size() != size - whole_frames(data, size)) std::abort();  // what is not heard waits for the rest of its frame
  } catch (const taskmgr::CodecError&) {
  }
  seen = sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  receive<std::string>(data, size);
  receive<std::vector<std::array<std::uint32_t, 3>>>(data, size);
  return 0;
}
