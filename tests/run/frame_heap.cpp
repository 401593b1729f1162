// SPDX-License-Identifier: MIT
#include <taskmgr/run/frame_heap.hpp>

#include <doctest/doctest.h>
#include <malloc.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "support/random.hpp"

using taskmgr::detail::FrameHeap;

namespace {

/// A frame that is filled with a byte of its own, and says whether it still is.
class Filled {
 public:
  Filled(std::size_t size, unsigned char byte) : frame_(FrameHeap::allocate(size)), size_(size), byte_(byte) {
    std::memset(frame_, byte, size);
  }
  [[nodiscard]] bool intact() const {
    const auto* const at = static_cast<const unsigned char*>(frame_);
    for (std::size_t k = 0; k < size_; ++k) {
      if (at[k] != byte_) return false;
    }
    return true;
  }
  [[nodiscard]] bool aligned() const { return reinterpret_cast<std::uintptr_t>(frame_) % __STDCPP_DEFAULT_NEW_ALIGNMENT__ == 0; }
  void release() const { FrameHeap::release(frame_, size_); }

 private:
  void* frame_;
  std::size_t size_;
  unsigned char byte_;
};

std::vector<Filled> filled(std::size_t count, std::size_t size) {
  std::vector<Filled> frames;
  for (std::size_t k = 0; k < count; ++k) frames.emplace_back(size, static_cast<unsigned char>(k));
  return frames;
}

std::size_t in_use() { return ::mallinfo2().uordblks + ::mallinfo2().hblkhd; }

}  // namespace

TEST_CASE("frames are made and freed in any order, and none lies in another") {
  INFO("TASKMGR_SEED=" << support::seed());
  support::Random random;
  std::vector<Filled> frames;
  for (int k = 0; k < 100'000; ++k) {
    const bool grows = k / 20'000 % 2 == 0;
    if (frames.empty() || random.below(4) < (grows ? 3U : 1U)) {
      const std::size_t size = 1 + random.below(FrameHeap::largest + 100);
      frames.emplace_back(size, static_cast<unsigned char>(random.word()));
      REQUIRE(frames.back().aligned());
    } else {
      std::swap(frames[random.below(frames.size())], frames.back());
      REQUIRE(frames.back().intact());
      frames.back().release();
      frames.pop_back();
    }
  }
  for (const Filled& frame : frames) {
    REQUIRE(frame.intact());
    frame.release();
  }
}

TEST_CASE("frames that are made in a row lie in a row") {
  std::thread([] {  // which has nothing to use again
    constexpr std::size_t size = 112;
    auto* const first = static_cast<std::byte*>(FrameHeap::allocate(size));
    auto* const second = static_cast<std::byte*>(FrameHeap::allocate(size));
    CHECK(second == first + size);
    FrameHeap::release(first, size);
    CHECK(FrameHeap::allocate(size) == first);
    FrameHeap::release(first, size);
    FrameHeap::release(second, size);
  }).join();
}

TEST_CASE("a frame may be freed on another thread, where it was made or while more are made") {
  constexpr std::size_t rounds = 50;
  constexpr std::size_t count = 1'000;
  std::atomic<int> wrong{0};
  std::vector<Filled> handed;
  std::thread receiver;
  for (std::size_t k = 0; k < rounds; ++k) {
    std::vector<Filled> frames = filled(count, 16 + k % 5 * 100);
    if (receiver.joinable()) receiver.join();
    handed = std::move(frames);
    receiver = std::thread([&handed, &wrong] {
      for (const Filled& frame : handed) {
        if (!frame.intact()) ++wrong;
        frame.release();
      }
    });
  }
  receiver.join();
  CHECK(wrong == 0);
}

TEST_CASE("frames outlive the thread that made them, and several threads free them at a time") {
  for (int round = 0; round < 20; ++round) {
    std::vector<Filled> frames;
    std::thread([&frames] { frames = filled(4'000, 64); }).join();
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (std::size_t first = 0; first < 4; ++first) {
      threads.emplace_back([&, first] {
        for (std::size_t k = first; k < frames.size(); k += 4) {
          if (!frames[k].intact()) ++wrong;
          frames[k].release();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("frames are freed elsewhere while the thread that made them ends") {
  for (int round = 0; round < 200; ++round) {
    std::atomic<std::vector<Filled>*> made{nullptr};
    std::vector<Filled> frames;
    std::thread maker([&] {
      frames = filled(300, 48);
      made = &frames;
    });
    while (made == nullptr) std::this_thread::yield();
    for (const Filled& frame : frames) frame.release();
    maker.join();
    CHECK(frames.size() == 300);
  }
}

TEST_CASE("a thread that ends leaves no memory behind") {
  constexpr std::size_t threads = 100;
  const std::size_t before = in_use();
  for (std::size_t k = 0; k < threads; ++k) {
    std::thread([] {
      for (const Filled& frame : filled(3, 64)) frame.release();
    }).join();
  }
  CHECK(in_use() < before + threads * 1024);
}

TEST_CASE("what many frames took is given back") {
  constexpr std::size_t size = 112;
  constexpr std::size_t count = 100'000;
  std::vector<void*> frames(count);
  const std::size_t before = in_use();
  for (void*& frame : frames) frame = FrameHeap::allocate(size);
  const std::size_t most = in_use();
  for (std::size_t k = 0; k < count; ++k) FrameHeap::release(frames[k * 7'919 % count], size);  // in another order
  const std::size_t after = in_use();
  if (most == before) return;  // an allocator that counts nothing, as the sanitizers'
  CHECK(most - before < count * (size + 8));
  CHECK(after < before + (most - before) / 10);
}
