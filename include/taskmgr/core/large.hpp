// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Memory for what may become large: a million slots, or the index over them.

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>

namespace taskmgr::detail {

/// `new (large) T[n]` is `new T[n]`, and is given back like it, by `delete[]`.
///
/// Where it comes to megabytes, the system is asked for huge pages (2 MiB instead of 4 KiB on most machines). Looks at
/// random places then miss the processor's table of pages far less often, and the first touch of all of it costs a page
/// fault where it would cost five hundred. It is an advice: where there are none, nothing changes.
struct Large {};
inline constexpr Large large{};

/// Asks that of memory that has been allocated and not been touched.
inline void advise_large(void* memory, std::size_t bytes) noexcept {
  constexpr std::size_t worth_it = std::size_t{4} << 20U;
  constexpr std::uintptr_t page = 4096;  // or a multiple: then it is no advice, and no harm
  if (bytes < worth_it) return;
  const std::uintptr_t first = (reinterpret_cast<std::uintptr_t>(memory) + page - 1) / page * page;
  const std::uintptr_t last = (reinterpret_cast<std::uintptr_t>(memory) + bytes) / page * page;
  const int error = errno;
  static_cast<void>(::madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE));  // NOLINT: its address
  errno = error;
}

/// Has the system bring in memory that is about to be written: at once, where the first touches would cost an exception for
/// each page, a fifth more in all.
inline void populate([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) noexcept {
#ifdef MADV_POPULATE_WRITE
  constexpr std::uintptr_t page = 4096;
  const std::uintptr_t first = (reinterpret_cast<std::uintptr_t>(memory) + page - 1) / page * page;
  const std::uintptr_t last = (reinterpret_cast<std::uintptr_t>(memory) + bytes) / page * page;
  const int error = errno;
  if (first < last) static_cast<void>(::madvise(reinterpret_cast<void*>(first), last - first, MADV_POPULATE_WRITE));  // NOLINT
  errno = error;
#endif
}

}  // namespace taskmgr::detail

[[nodiscard]] inline void* operator new[](std::size_t bytes, taskmgr::detail::Large) {
  void* const memory = ::operator new[](bytes);
  taskmgr::detail::advise_large(memory, bytes);
  return memory;
}
[[nodiscard]] inline void* operator new[](std::size_t bytes, std::align_val_t alignment, taskmgr::detail::Large) {
  void* const memory = ::operator new[](bytes, alignment);
  taskmgr::detail::advise_large(memory, bytes);
  return memory;
}
// where a constructor throws
inline void operator delete[](void* memory, taskmgr::detail::Large) noexcept { ::operator delete[](memory); }
inline void operator delete[](void* memory, std::align_val_t alignment, taskmgr::detail::Large) noexcept {
  ::operator delete[](memory, alignment);
}
