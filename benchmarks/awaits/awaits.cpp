// SPDX-License-Identifier: MIT
// The least that coroutines do: let another go first, and come and go.
#include <taskmgr/taskmgr.hpp>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <cstdint>

#include "../harness.hpp"

namespace {

using taskmgr::Async;
constexpr int million = 1'000'000;

Async<int> yield_by_taskmgr(int times) {
  int done = 0;
  for (; done < times; ++done) co_await taskmgr::yield();
  co_return done;
}

asio::awaitable<void> yield_by_asio(int times, int& done) {
  const auto executor = co_await asio::this_coro::executor;
  for (; done < times; ++done) co_await asio::post(executor, asio::use_awaitable);
}

Async<std::int64_t> next_by_taskmgr(std::int64_t x) { co_return x + 1; }

Async<std::int64_t> count_by_taskmgr(int times) {
  std::int64_t sum = 0;
  for (int k = 0; k < times; ++k) sum = co_await next_by_taskmgr(sum);
  co_return sum;
}

asio::awaitable<std::int64_t> next_by_asio(std::int64_t x) { co_return x + 1; }

asio::awaitable<void> count_by_asio(int times, std::int64_t& sum) {
  for (int k = 0; k < times; ++k) sum = co_await next_by_asio(sum);
}

/// `async(times)` gives `times`, which is checked.
template <class F>
bench::Contender ours(const F& async, int times) {
  return {bench::Role::ours, "taskmgr", [=] {
            bench::Stopwatch watch;
            const auto done = taskmgr::run(async(times));
            const double seconds = watch.seconds();
            bench::require(done == times, "count");
            return seconds;
          }};
}

/// `awaitable(times, done)` counts to `times`, which is checked.
template <class T, class F>
bench::Contender asio_with(const F& awaitable, int times) {
  return {bench::Role::peer, "Asio", [=] {
            T done = 0;
            bench::Stopwatch watch;
            asio::io_context loop(1);
            asio::co_spawn(loop, awaitable(times, done), asio::detached);
            loop.run();
            const double seconds = watch.seconds();
            bench::require(done == times, "count");
            return seconds;
          }};
}

}  // namespace

int main(int argc, char** argv) {
  bench::Suite suite{"awaits", argc, argv};
  constexpr int often = 4 * million;
  suite.compare({.job = "yield and resume",
                 .tasks = often,
                 .contenders = {ours(yield_by_taskmgr, often), asio_with<int>(yield_by_asio, often)},
                 .criteria = {bench::at_most_times_peer(1.0 / 6)}});
  suite.compare({.job = "create, resume and destroy a coroutine",
                 .tasks = often,
                 .contenders = {ours(count_by_taskmgr, often), asio_with<std::int64_t>(count_by_asio, often)},
                 .criteria = {bench::at_most_times_peer(1)}});
  return suite.run();
}
