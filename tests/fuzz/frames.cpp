// SPDX-License-Identifier: MIT
// What a worker process may have written into its pipe, a damaged one included: it is heard, or refused with a CodecError.
#include <taskmgr/run/hand.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <taskmgr/run/codec.hpp>
#include <taskmgr/run/remote_error.hpp>

using namespace taskmgr::detail;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Hand hand;
  {
    auto [frames, theirs] = Descriptor::pipe();
    if (::write(theirs.get(), data, size) != static_cast<ssize_t>(size)) std::abort();  // it has room for all
    ::fcntl(frames.get(), F_SETFL, O_NONBLOCK);
    hand.frames = std::move(frames);
  }
  std::size_t heard = 0;
  const auto hear = [&heard](const FrameHead& head, taskmgr::Reader& reader) {
    heard += sizeof head + reader.remaining();
    if (head.kind == FrameKind::value) static_cast<void>(taskmgr::Codec<std::vector<std::string>>::decode(reader));
    else if (head.kind >= FrameKind::retry) static_cast<void>(decode_error(reader));
  };
  try {
    hand.receive(hear);
    if (heard + hand.in.size() != size) std::abort();  // what is not heard waits for the rest of its frame
  } catch (const taskmgr::CodecError&) {
  }
  return 0;
}
