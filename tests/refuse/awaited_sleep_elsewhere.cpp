// SPDX-License-Identifier: MIT
// expect: this is awaited in a coroutine that is a taskmgr::Async
#include <taskmgr/run/async.hpp>
#include <taskmgr/run/awaits.hpp>

#include <chrono>
#include <coroutine>

/// A coroutine type of somebody else, which no loop of ours drives.
struct Detached {
  struct promise_type {
    Detached get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept {}
  };
};

#ifdef ALLOWED
taskmgr::Async<> waits() {
#else
Detached waits() {
#endif
  co_await taskmgr::sleep_for(std::chrono::seconds{1});
}

int main() { static_cast<void>(waits()); }
