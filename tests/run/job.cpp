// SPDX-License-Identifier: MIT
#include <taskmgr/run/job.hpp>

#include <doctest/doctest.h>
#include <pthread.h>

#include <future>
#include <thread>
#include <utility>

using taskmgr::detail::Job, taskmgr::detail::job_for, taskmgr::detail::job_of, taskmgr::detail::Thread;

namespace {

struct Adder {
  void add() { sum += 2; }
  int sum = 0;
};

}  // namespace

TEST_CASE("a job calls what it was made for") {
  int calls = 0;
  auto call = [&calls] { ++calls; };
  const Job job = job_for(call);
  job();
  job();
  CHECK(calls == 2);
  Adder adder;
  job_of<&Adder::add>(adder)();
  CHECK(adder.sum == 2);
}

TEST_CASE("a thread does its job, and no thread is none") {
  std::thread::id ran_on{};
  bool known = false;
  Thread thread;
  CHECK_FALSE(thread.joinable());
  CHECK_FALSE(thread.is_current());
  std::promise<void> stored;
  auto work = [&] {
    stored.get_future().wait();
    ran_on = std::this_thread::get_id();
    known = thread.is_current();
  };
  thread = Thread{job_for(work)};
  CHECK(thread.joinable());
  CHECK_FALSE(thread.is_current());
  stored.set_value();
  thread.join();
  CHECK_FALSE(thread.joinable());
  CHECK(ran_on != std::thread::id{});
  CHECK(ran_on != std::this_thread::get_id());
  CHECK(known);
}

TEST_CASE("a thread moves, and may be left to itself") {
  std::promise<void> done;
  auto work = [&] { done.set_value(); };
  Thread one{job_for(work)};
  Thread two{std::move(one)};
  CHECK_FALSE(one.joinable());
  CHECK(two.joinable());
  two.detach();
  CHECK_FALSE(two.joinable());
  done.get_future().wait();
}
