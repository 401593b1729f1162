// SPDX-License-Identifier: MIT
#include <taskmgr/core/event.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

using namespace std::chrono_literals;
using taskmgr::Event, taskmgr::EventKind, taskmgr::Level, taskmgr::Observer, taskmgr::Progress;
using taskmgr::detail::ObserverAccess;

namespace {

class Counting : public Observer {
 public:
  void on_event(const Event&) override {
    const int now = ++inside_;
    if (now > most_inside) most_inside = now;
    ++calls;
    std::this_thread::yield();
    --inside_;
  }
  int calls = 0;
  int most_inside = 0;

 private:
  std::atomic<int> inside_{0};
};

std::string write_number(const void* task, std::uint64_t number) {
  return std::to_string(*static_cast<const int*>(task)) + " at " + std::to_string(number);
}

}  // namespace

TEST_CASE("what is finished is the sum of what became of the tasks") {
  constexpr Progress progress{.total = 20, .started = 12, .succeeded = 4, .failed = 3, .cancelled = 2, .duplicates = 1, .retries = 7};
  static_assert(progress.finished() == 10);
  CHECK(Progress{}.finished() == 0);
}

TEST_CASE("an event of nothing says nothing") {
  const Event event;
  CHECK(event.kind == EventKind::batch_started);
  CHECK(event.manager.empty());
  CHECK(event.stage.empty());
  CHECK(event.attempt == 0);
  CHECK(event.duration == 0ns);
  CHECK(event.delay == 0ns);
  CHECK(event.error == nullptr);
  CHECK(event.level == Level::info);
  CHECK(event.progress.total == 0);
  CHECK(event.task_text().empty());
}

TEST_CASE("the text of an event's task is made when it is asked for") {
  int task = 5;
  Event event;
  event.task = 17;
  event.subject = &task;
  event.writer = &write_number;
  task = 6;
  CHECK(event.task_text() == "6 at 17");
}

TEST_CASE("an observer wants everything, and no tick, unless it says so") {
  Counting observer;
  for (const EventKind kind : {EventKind::batch_started, EventKind::task_started, EventKind::task_log, EventKind::batch_finished}) {
    CHECK(observer.wants(kind));
  }
  observer.on_tick(Progress{});
  CHECK(observer.calls == 0);
}

TEST_CASE("observers can be copied, like values") {
  struct Named : Observer {
    explicit Named(std::string text) : name(std::move(text)) {}
    void on_event(const Event&) override {}
    std::string name;
  };
  static_assert(std::is_copy_constructible_v<Named> && std::is_copy_assignable_v<Named>);
  Named first{"first"};
  const Named second{"second"};
  Named third = first;
  CHECK(third.name == "first");
  third = second;
  CHECK(third.name == "second");
}

TEST_CASE("calls of one observer never overlap") {
  Counting observer;
  std::vector<std::thread> threads;
  for (int k = 0; k < 4; ++k) {
    threads.emplace_back([&observer] {
      for (int n = 0; n < 500; ++n) ObserverAccess::call(observer, [](Observer& called) { called.on_event(Event{}); });
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(observer.calls == 2'000);
  CHECK(observer.most_inside == 1);
}

TEST_CASE("a thread knows whether it is inside a call of an observer, also after one that threw") {
  Counting observer;
  CHECK_FALSE(ObserverAccess::inside(observer));
  bool within = false;
  bool elsewhere = true;
  ObserverAccess::call(observer, [&](Observer& called) {
    within = ObserverAccess::inside(called);
    std::thread{[&] { elsewhere = ObserverAccess::inside(called); }}.join();
  });
  CHECK(within);
  CHECK_FALSE(elsewhere);
  CHECK_FALSE(ObserverAccess::inside(observer));
  CHECK_THROWS_AS(ObserverAccess::call(observer, [](Observer&) { throw std::runtime_error("x"); }), std::runtime_error);
  CHECK_FALSE(ObserverAccess::inside(observer));
}

TEST_CASE("an event that comes up within on_event is told when that call has returned, with its own message") {
  struct Notes : Observer {
    void on_event(const Event& event) override {
      lines.push_back("< " + std::string(event.message));
      if (event.message == "first" || event.message == "second") {
        for (const char* part : {" a", " b"}) {
          const std::string message = std::string(event.message) + part;  // ends before it is told
          Event inner;
          inner.message = message;
          ObserverAccess::defer(*this, inner);
        }
      }
      lines.push_back("> " + std::string(event.message));
    }
    std::vector<std::string> lines;
  };
  Notes notes;
  for (const char* message : {"first", "second"}) {
    ObserverAccess::call(notes, [message](Observer& observer) {
      Event event;
      event.message = message;
      observer.on_event(event);
      ObserverAccess::tell_deferred(observer);
    });
  }
  CHECK(notes.lines == std::vector<std::string>{"< first", "> first", "< first a", "> first a", "< first b", "> first b",
                                                "< second", "> second", "< second a", "> second a", "< second b",
                                                "> second b"});
}
