// SPDX-License-Identifier: MIT
// expect: take() moves the result, which cannot be moved: look at value()
#include <taskmgr/core/report.hpp>

#include <mutex>

int main() {
  const taskmgr::Report<int, std::mutex> report;
#ifdef ALLOWED
  static_cast<void>(report[0].value());
#else
  static_cast<void>(report[0].take());
#endif
}
