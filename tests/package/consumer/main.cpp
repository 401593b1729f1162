// SPDX-License-Identifier: MIT
// Prints the version of the library if it works in the user's program.
#include <taskmgr/taskmgr.hpp>

#ifdef WITH_ASIO
#include <taskmgr/asio.hpp>
#endif

#include <fmt/format.h>

#include <vector>

#ifdef WITH_ASIO
#ifdef TASKMGR_BOOST_ASIO
namespace asio = boost::asio;
#endif

bool awaits() {
  const taskmgr::TaskManager tripled{[](int x) -> asio::awaitable<int> { co_return 3 * x; },
                                     {.mode = taskmgr::Mode::coroutine}};
  return tripled.start({1, 2}).success_map().at(2) == 6;
}
#else
bool awaits() { return true; }
#endif

int main() {
  const taskmgr::TaskManager doubled{[](int x) { return 2 * x; }, {.mode = taskmgr::Mode::thread, .workers = 2}};
  const auto report = doubled.start(std::vector{1, 2, 3});
  if (!report.ok() || report.success_map().at(3) != 6 || !awaits()) return 1;
  fmt::print("{}.{}.{}\n", TASKMGR_VERSION_MAJOR, TASKMGR_VERSION_MINOR, TASKMGR_VERSION_PATCH);
}
