// SPDX-License-Identifier: MIT
// expect: an Async is awaited in a coroutine that is an Async itself
#include <taskmgr/run/async.hpp>

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

taskmgr::Async<int> one() { co_return 1; }

#ifdef ALLOWED
taskmgr::Async<> waits() {
#else
Detached waits() {
#endif
  co_await one();
}

int main() { static_cast<void>(waits()); }
