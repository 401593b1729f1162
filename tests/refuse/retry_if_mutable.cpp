// SPDX-License-Identifier: MIT
// expect: retry_if takes a bool(const std::exception&) or a bool(const std::exception_ptr&, int)
#include <taskmgr/core/retry.hpp>

#include <exception>

int main() {
#ifdef ALLOWED
  static_cast<void>(taskmgr::retry_if([](const std::exception_ptr&, int attempt) { return attempt < 3; }));
#else
  static_cast<void>(taskmgr::retry_if([left = 3](const std::exception&) mutable { return left-- > 0; }));
#endif
}
