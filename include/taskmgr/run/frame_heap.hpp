// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Memory for the frames of coroutines.

#include <pthread.h>
#include <stdlib.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace taskmgr::detail {

/// Sanitizers are to see each frame: when it is freed, and that it was not.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool frames_are_watched = true;
#elif !defined(__has_feature)
inline constexpr bool frames_are_watched = false;
#elif __has_feature(address_sanitizer) || __has_feature(leak_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool frames_are_watched = true;
#else
inline constexpr bool frames_are_watched = false;
#endif

/// What a thread allocates frames from: blocks that each hold frames of one size, in the order in which they are made, without
/// a word between them. A million coroutines that are made in a row lie in a row, and the last frame of a block gives the
/// block back to the system, but for one of each size. One freed frame of each size is kept at hand: where coroutines come and
/// go one by one, each is made where the one before was.
///
/// Thread safety: a frame may be freed on any thread, also after the one that made it has ended. No lock is taken.
class FrameHeap {
 public:
  static constexpr std::size_t largest = 512;  // bytes; larger frames are allocated one by one

  /// Throws `std::bad_alloc`.
  [[nodiscard]] static void* allocate(std::size_t size) {
    if (size > largest) return ::operator new(size);
    const std::size_t kind = kind_of(size);
    if (mine_ == nullptr || mine_->last_[kind] == nullptr) return take_from_block(kind);
    return std::exchange(mine_->last_[kind], nullptr);
  }
  /// `size` as it was asked for.
  static void release(void* frame, std::size_t size) noexcept {
    if (size > largest) return ::operator delete(frame);
    Block& block = block_of(frame);
    if (block.heap != mine_ || mine_->last_[kind_of(size)] != nullptr) return put_into_block(block, frame);
    mine_->last_[kind_of(size)] = frame;
  }

 private:
  static constexpr std::size_t unit = 16;
  static constexpr std::size_t kinds = largest / unit;
  static constexpr std::size_t kind_of(std::size_t size) noexcept { return (size - 1) / unit; }
  static constexpr std::size_t block_size = std::size_t{1} << 15U;  // bytes, and the alignment

  struct Free {
    Free* next;
  };
  struct alignas(64) Block {
    FrameHeap* heap;
    std::uint32_t kind;
    std::uint32_t frame_size;
    std::byte* fresh;      // never used, from here on
    std::byte* last;       // where the last frame begins
    Free* free = nullptr;  // used before
    std::atomic<std::uint32_t> used{0};  // frames; written by one thread, until that has ended
    bool open = true;                    // it is in the list of those of its kind that have room
    Block* before = nullptr;
    Block* after = nullptr;

    [[nodiscard]] bool full() const noexcept { return free == nullptr && fresh > last; }
  };
  static constexpr std::size_t usable = block_size - 2 * sizeof(void*);  // malloc's own words come between two blocks

  FrameHeap() = default;

  [[nodiscard]] static FrameHeap& begin();
  static void end(void* heap) noexcept;

  // Each coroutine has a copy of what is inlined: these two are not.
  [[nodiscard, gnu::noinline]] static void* take_from_block(std::size_t kind) {
    FrameHeap& heap = mine_ != nullptr ? *mine_ : begin();
    Block* const block = heap.open_[kind];
    return heap.take(block != nullptr ? *block : heap.opened(kind));
  }
  [[gnu::noinline]] static void put_into_block(Block& block, void* frame) noexcept {
    if (block.heap == mine_) mine_->put(block, frame);
    else block.heap->put_from_elsewhere(block, frame);
  }

  [[nodiscard]] void* take(Block& block) noexcept {
    block.used.store(block.used.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    void* frame = block.free;
    if (frame != nullptr) {
      block.free = block.free->next;
    } else {
      frame = block.fresh;
      block.fresh += block.frame_size;
    }
    if (block.full()) close(block);
    return frame;
  }
  void put(Block& block, void* frame) noexcept {
    block.free = ::new (frame) Free{block.free};
    const std::uint32_t used = block.used.load(std::memory_order_relaxed) - 1;
    block.used.store(used, std::memory_order_relaxed);
    if (!block.open) open(block);
    if (used == 0 && (block.before != nullptr || block.after != nullptr)) give_back(block);  // the last open one is kept
  }
  [[nodiscard]] Block& opened(std::size_t kind);
  void open(Block& block) noexcept;
  void close(Block& block) noexcept;
  void put_from_elsewhere(Block& block, void* frame) noexcept;
  void read_foreign() noexcept;
  void give_back(Block& block) noexcept {
    close(block);
    give_up(block);
  }
  void give_up(Block& block) noexcept {
    ::free(&block);
    leave();
  }
  void leave() noexcept {
    if (users_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }
  [[nodiscard]] static Block& block_of(void* frame) noexcept {
    return *reinterpret_cast<Block*>(reinterpret_cast<std::uintptr_t>(frame) & ~(block_size - 1));  // NOLINT: it lies there
  }

  static inline constinit thread_local FrameHeap* mine_ = nullptr;
  static inline constinit Free ended_{nullptr};

  void* last_[kinds] = {};  // a frame that was freed and, for its block, is in use: often the next is asked for at once
  Block* open_[kinds] = {};
  std::atomic<std::size_t> users_{1};    // its thread, and each block
  std::atomic<Free*> foreign_{nullptr};  // freed on other threads; `ended_`: there is no thread that would look
};

// ---------------------------------------------------------------------------------------------------------------------

inline FrameHeap& FrameHeap::begin() {
  // A key, not an object that is local to the thread: those that are may end later, and have coroutines.
  static const pthread_key_t key = [] {
    pthread_key_t made{};
    return ::pthread_key_create(&made, &FrameHeap::end) == 0 ? made : ~pthread_key_t{0};
  }();
  mine_ = new FrameHeap;
  ::pthread_setspecific(key, mine_);  // if it cannot, the blocks in use when the thread ends are lost
  return *mine_;
}

/// The blocks that are in use stay until the last of their frames is freed, and then go one by one.
inline void FrameHeap::end(void* ending) noexcept {
  FrameHeap& heap = *static_cast<FrameHeap*>(ending);
  mine_ = nullptr;
  for (void* const frame : heap.last_) {
    if (frame != nullptr) heap.put(block_of(frame), frame);
  }
  Free* none = nullptr;
  do {
    heap.read_foreign();
    for (Block* block : heap.open_) {
      for (Block* next = nullptr; block != nullptr; block = next) {
        next = block->after;
        if (block->used.load(std::memory_order_relaxed) == 0) heap.give_back(*block);
      }
    }
    none = nullptr;
  } while (!heap.foreign_.compare_exchange_strong(none, &ended_, std::memory_order_acq_rel));
  heap.leave();
}

inline FrameHeap::Block& FrameHeap::opened(std::size_t kind) {
  read_foreign();
  if (open_[kind] != nullptr) return *open_[kind];
  void* memory = nullptr;
  if (::posix_memalign(&memory, block_size, usable) != 0) throw std::bad_alloc{};
  auto* const first = static_cast<std::byte*>(memory);
  const std::size_t size = (kind + 1) * unit;
  Block& block = *::new (memory) Block{this, static_cast<std::uint32_t>(kind), static_cast<std::uint32_t>(size),
                                       first + sizeof(Block), first + usable - size};
  users_.fetch_add(1, std::memory_order_relaxed);
  open(block);
  return block;
}

inline void FrameHeap::open(Block& block) noexcept {
  Block*& first = open_[block.kind];
  block.open = true;
  block.after = first;
  if (first != nullptr) first->before = &block;
  first = &block;
}

inline void FrameHeap::close(Block& block) noexcept {
  block.open = false;
  (block.before != nullptr ? block.before->after : open_[block.kind]) = block.after;
  if (block.after != nullptr) block.after->before = block.before;
  block.before = block.after = nullptr;
}

inline void FrameHeap::put_from_elsewhere(Block& block, void* frame) noexcept {
  Free* const free = ::new (frame) Free{foreign_.load(std::memory_order_acquire)};
  while (free->next != &ended_) {
    if (foreign_.compare_exchange_weak(free->next, free, std::memory_order_acq_rel, std::memory_order_acquire)) return;
  }
  if (block.used.fetch_sub(1, std::memory_order_acq_rel) == 1) give_up(block);
}

inline void FrameHeap::read_foreign() noexcept {
  if (foreign_.load(std::memory_order_relaxed) == nullptr) return;
  for (Free* free = foreign_.exchange(nullptr, std::memory_order_acquire); free != nullptr;) {
    void* const frame = free;
    free = free->next;
    put(block_of(frame), frame);
  }
}

}  // namespace taskmgr::detail
