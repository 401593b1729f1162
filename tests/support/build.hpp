// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How this program was built, for what must be left out or done less often under a sanitizer.

namespace support {

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TASKMGR_TEST_TSAN 1
#endif
#if __has_feature(address_sanitizer)
#define TASKMGR_TEST_ASAN 1
#endif
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define TASKMGR_TEST_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TASKMGR_TEST_TSAN 1
#endif
#if defined(__SANITIZE_ADDRESS__)
#define TASKMGR_TEST_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define TASKMGR_TEST_SANITIZED 1
#endif

#if defined(TASKMGR_TEST_SANITIZED)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

/// So many repetitions of a stress test; a tenth of them where each takes ten times as long.
constexpr int times(int n) noexcept { return sanitized ? (n + 9) / 10 : n; }

}  // namespace support
