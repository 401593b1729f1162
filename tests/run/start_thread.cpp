// SPDX-License-Identifier: MIT
#include <taskmgr/run/start_thread.hpp>

#include <doctest/doctest.h>

#include <thread>

TEST_CASE("a thread is started with what it works on") {
  std::thread::id ran_on{};
  std::thread thread =
      taskmgr::detail::start_thread([](void* id) { *static_cast<std::thread::id*>(id) = std::this_thread::get_id(); }, &ran_on);
  const std::thread::id started = thread.get_id();
  thread.join();
  CHECK(ran_on == started);
  CHECK(ran_on != std::this_thread::get_id());
}
