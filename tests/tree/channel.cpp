// SPDX-License-Identifier: MIT
#include <taskmgr/tree/channel.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <semaphore>
#include <stdexcept>
#include <thread>
#include <vector>

#include <taskmgr/run/job.hpp>

#include "support/random.hpp"

using taskmgr::detail::Channel;
using taskmgr::detail::Item;
using taskmgr::detail::Job;
using taskmgr::detail::job_for;
using taskmgr::detail::job_of;

namespace {

/// Values that are counted.
struct Counted {
  static inline std::atomic<int> alive{0};
  explicit Counted(std::size_t n) : number(n) { ++alive; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --alive; }
  std::size_t number;
};

void put(Channel<Counted>& channel, std::size_t number) {
  REQUIRE(channel.has_room());
  channel.put(number, [&] { return Counted{number}; });
}

/// The number of the item in front, which is taken.
std::size_t take(Channel<Counted>& channel) {
  Item<Counted>* const item = channel.front();
  REQUIRE(item != nullptr);
  const std::size_t number = item->value.number;
  CHECK(item->origin == number);
  channel.pop();
  return number;
}

/// Somebody who waits until he is called.
class Waiter {
 public:
  [[nodiscard]] Job job() { return job_of<&Waiter::call>(*this); }
  template <class News>
  void wait_for(const News& news) {
    while (!news()) called_.acquire();
  }

 private:
  void call() noexcept { called_.release(); }
  std::counting_semaphore<> called_{0};
};

}  // namespace

TEST_CASE("what one thread puts another takes, in order, and no more is there than may be") {
  INFO("TASKMGR_SEED=", support::seed());
  support::Random random;
  for (const std::size_t capacity : {std::size_t{1}, 2 + random.below(10), std::size_t{300}, std::size_t{20'000}}) {
    CAPTURE(capacity);
    const std::size_t count = capacity < 100 ? 2'000 : 20'000;  // a small one is two switches of threads each time
    Waiter putter;
    Waiter taker;
    std::atomic<int> most{0};
    {
      Channel<Counted> channel{capacity};
      channel.connect(putter.job(), taker.job(), random.below(2) != 0);
      std::vector<std::size_t> together(count);  // are put before the other is told
      for (std::size_t& n : together) n = 1 + random.below(300);
      std::vector<std::size_t> in_a_row(count);  // are put and taken, if there is room for so many; 0: one by itself
      for (std::size_t& n : in_a_row) n = random.below(20);
      std::jthread other{[&] {
        for (std::size_t k = 0; k < count;) {
          if (!channel.has_room()) {
            channel.announce();
            putter.wait_for([&] { return channel.has_room(); });
          }
          if (in_a_row[k] == 0) {
            channel.put(k, [&] { return Counted{k}; });
            ++k;
          } else {
            Channel<Counted>::Putting places{channel};
            for (std::size_t n = std::min({in_a_row[k], places.room(), count - k}); n != 0; --n, ++k) {
              places.put(k, [&] { return Counted{k}; });
            }
          }
          if (most < Counted::alive) most = Counted::alive.load();
          if (channel.untold() >= together[k - 1]) channel.announce();
        }
        channel.announce();
        channel.close();
      }};
      std::size_t next = 0;
      while (!channel.ended()) {
        taker.wait_for([&] { return channel.has_news(); });
        while (Item<Counted>* const item = channel.front()) {
          if (item->origin != next || item->value.number != next) FAIL("another one, after ", next);
          if (in_a_row[next] == 0) {
            ++next;
            channel.pop();
            continue;
          }
          Channel<Counted>::Taking items{channel};
          REQUIRE(items.size() != 0);
          for (std::size_t n = std::min(in_a_row[next], items.size()); n != 0; --n, ++next) {
            if (items.origin() != next || items.task().number != next) FAIL("another one, after ", next);
            items.pop();
          }
        }
      }
      CHECK(next == count);
    }
    CHECK(most > 0);
    CHECK(static_cast<std::size_t>(most) <= capacity);
    CHECK(Counted::alive == 0);
  }
}

TEST_CASE("who puts is called when half of the room is free, who takes when he is told") {
  int rooms = 0;
  int news = 0;
  const auto room = [&] { ++rooms; };
  const auto told = [&] { ++news; };
  Channel<Counted> channel{8};
  channel.connect(job_for(room), job_for(told), true);
  CHECK(channel.taker_looks());
  CHECK(channel.front() == nullptr);
  for (std::size_t k = 0; k < 8; ++k) put(channel, k);
  CHECK(news == 0);
  CHECK(channel.untold() == 8);
  CHECK(channel.has_news());
  channel.announce();
  channel.announce();
  CHECK(news == 1);

  CHECK(take(channel) == 0);
  CHECK(take(channel) == 1);  // nobody has found it full
  CHECK(rooms == 0);
  put(channel, 8);
  put(channel, 9);
  CHECK_FALSE(channel.has_room());
  for (std::size_t k = 2; k < 5; ++k) CHECK(take(channel) == k);
  CHECK(rooms == 0);
  CHECK_FALSE(channel.has_room());
  CHECK(take(channel) == 5);
  CHECK(rooms == 1);
  for (std::size_t k = 10; k < 14; ++k) put(channel, k);
  CHECK_FALSE(channel.has_room());

  channel.set_capacity(16);
  channel.open_wide();
  CHECK(rooms == 2);
  for (std::size_t k = 14; k < 2000; ++k) put(channel, k);
  channel.close();
  CHECK(news == 2);
  CHECK_FALSE(channel.ended());
  for (std::size_t k = 6; k < 2000; ++k) CHECK(take(channel) == k);
  CHECK(channel.ended());
  CHECK(rooms == 2);
}

TEST_CASE("items put in a row are there one by one, those taken in a row make room at their end, and who does not look is told of each") {
  for (const bool looks : {true, false}) {
    CAPTURE(looks);
    int rooms = 0;
    int news = 0;
    const auto room = [&] { ++rooms; };
    const auto told = [&] { ++news; };
    Channel<Counted> channel{8};
    channel.connect(job_for(room), job_for(told), looks);
    for (std::size_t put = 0; put != 8;) {
      Channel<Counted>::Putting places{channel};
      REQUIRE(places.room() == (looks ? 8U : 1U));
      for (std::size_t n = places.room(); n != 0; --n, ++put) {
        places.put(put, [&] { return Counted{put}; });
        REQUIRE(channel.has_news());
      }
      CHECK(news == (looks ? 0 : static_cast<int>(put) - 1));  // before its end
    }
    CHECK(news == (looks ? 0 : 8));
    CHECK(Channel<Counted>::Putting{channel}.room() == 0);
    for (std::size_t taken = 0; taken != 4;) {
      CHECK(rooms == 0);
      Channel<Counted>::Taking items{channel};
      REQUIRE(items.size() == 2);  // a quarter of what there may be
      for (int n = 0; n != 2; ++n, ++taken) {
        CHECK(items.task().number == taken);
        items.pop();
      }
      CHECK(Counted::alive == 8 - static_cast<int>(taken));
    }
    CHECK(rooms == 1);
    CHECK(channel.has_room());
  }
  CHECK(Counted::alive == 0);
}

TEST_CASE("an item whose making throws is not there, and what nobody takes ends with its channel") {
  {
    Channel<Counted> channel{1000};
    CHECK_THROWS_AS(channel.put(0, []() -> Counted { throw std::runtime_error("not made"); }), std::runtime_error);
    CHECK_FALSE(channel.has_news());
    for (std::size_t k = 0; k < 700; ++k) {
      put(channel, k);
      if (k % 256 == 255) {
        CHECK_THROWS_AS(channel.put(0, []() -> Counted { throw std::runtime_error("not made"); }), std::runtime_error);
      }
    }
    for (std::size_t k = 0; k < 300; ++k) CHECK(take(channel) == k);
    CHECK(Counted::alive == 400);

    channel.connect({nullptr, nullptr}, {nullptr, nullptr}, true);  // no call is worth it before the next announcement
    const auto put_two = [&] {
      Channel<Counted>::Putting places{channel};
      REQUIRE(places.room() > 2);
      places.put(700, [] { return Counted{700}; });
      places.put(701, []() -> Counted { throw std::runtime_error("not made"); });
    };
    CHECK_THROWS_AS(put_two(), std::runtime_error);
    CHECK(Counted::alive == 401);
    put(channel, 701);
    CHECK(channel.untold() == 702);
  }
  CHECK(Counted::alive == 0);
}
