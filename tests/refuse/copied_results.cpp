// SPDX-License-Identifier: MIT
// expect: to() copies these results, which cannot be copied: std::move(report).success_map().to<Map>() moves them
#include <taskmgr/core/report.hpp>

#include <map>
#include <memory>
#include <utility>

int main() {
  using Map = std::map<int, std::unique_ptr<int>>;
  taskmgr::Report<int, std::unique_ptr<int>> report;
#ifdef ALLOWED
  static_cast<void>(std::move(report).success_map().to<Map>());
#else
  static_cast<void>(report.success_map().to<Map>());
#endif
}
