// SPDX-License-Identifier: MIT
// expect: retry_if takes a bool(const std::exception&) or a bool(const std::exception_ptr&, int)
#include <taskmgr/taskmgr.hpp>

#include <exception>
#include <string>

int main() {
#ifdef ALLOWED
  static_cast<void>(taskmgr::retry_if([](const std::exception&) { return true; }));
#else
  static_cast<void>(taskmgr::retry_if([](const std::string&) { return true; }));
#endif
}
