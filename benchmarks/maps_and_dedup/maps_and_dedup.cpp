// SPDX-License-Identifier: MIT
// x + 1 of a million shuffled keys, where equal ones are run once and results and errors are found by key: taskmgr's
// report against oneTBB with a std::unordered_map that is filled from the slots afterwards. Both maps are walked. Then a
// million look-ups in them.
#include <taskmgr/taskmgr.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../harness.hpp"
#include "../jobs.hpp"
#include "../onetbb.hpp"
#include "../slots.hpp"

namespace {

using taskmgr::Mode, taskmgr::TaskManager;

const auto job = [](const auto& key) { return bench::next(key); };

/// What the peers make in place of a report. `sum` is what a walk over both maps came to.
template <class Key>
struct Maps {
  std::unordered_map<Key, std::int64_t> results{};
  std::unordered_map<Key, std::exception_ptr> errors{};
  bench::Slots<std::int64_t> slots{0};
  std::int64_t sum = 0;

  void walk() {
    for (const auto& [key, result] : results) sum += result;
    for (const auto& [key, error] : errors) sum -= error != nullptr ? 1 : 0;
  }
};

template <class Partitioner, class Key>
Maps<Key> by_onetbb(const std::vector<Key>& keys) {
  Maps<Key> made{.slots = bench::run_by_onetbb<Partitioner>(keys, job)};
  made.results.reserve(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (made.slots[i].error == nullptr) made.results.emplace(keys[i], made.slots[i].value);
    else made.errors.emplace(keys[i], made.slots[i].error);
  }
  made.walk();
  return made;
}

template <class Key>
Maps<Key> by_loop(const std::vector<Key>& keys) {
  Maps<Key> made;
  made.results.reserve(keys.size());
  for (const Key& key : keys) {
    try {
      const auto [place, first] = made.results.try_emplace(key);
      if (first) place->second = job(key);
    } catch (...) {
      made.results.erase(key);
      made.errors.emplace(key, std::current_exception());
    }
  }
  made.walk();
  return made;
}

template <class Report>
struct Walked {
  Report report;
  std::int64_t sum;
};

template <class Key, class Manager>
auto by_taskmgr(const Manager& manager, const std::vector<Key>& keys) {
  auto report = manager.start(keys);
  std::int64_t sum = 0;
  for (const auto& [key, result] : report.success_map()) sum += result;
  for (const auto& [key, error] : report.error_map()) sum -= error.attempts();
  return Walked<decltype(report)>{std::move(report), sum};
}

template <class Key>
void compare(bench::Suite& suite, const std::string& what, const std::vector<Key>& keys, const std::vector<Key>& wanted,
             double limit) {
  constexpr std::size_t threads = 2;
  const auto manager = std::make_shared<TaskManager<decltype(job)>>(
      job, taskmgr::Options{.mode = Mode::thread, .workers = threads});
  std::int64_t sum = 0;
  for (const Key& key : keys) sum += bench::next(key);

  const auto check_maps = [&keys, sum](const Maps<Key>& made) {
    bench::require(made.results.size() == keys.size() && made.errors.empty() && made.sum == sum, "results by key");
  };
  const auto check_report = [&keys, sum](const auto& made) {
    bench::require(made.report.success_map().size() == keys.size() && made.report.ok() && made.sum == sum,
                   "results by key");
  };
  const auto ours = [=, &keys] { return bench::seconds_of([&] { return by_taskmgr(*manager, keys); }, check_report); };
  const auto by_static = [=, &keys] {
    return bench::seconds_of([&] { return by_onetbb<tbb::static_partitioner>(keys); }, check_maps);
  };
  const auto by_auto = [=, &keys] {
    return bench::seconds_of([&] { return by_onetbb<tbb::auto_partitioner>(keys); }, check_maps);
  };
  const auto plain = [=, &keys] { return bench::seconds_of([&] { return by_loop(keys); }, check_maps); };
  suite.compare({.job = "results by key, 1e6 " + what,
                 .tasks = static_cast<double>(keys.size()),
                 .contenders = {{bench::Role::ours, "taskmgr", ours},
                                {bench::Role::peer, "oneTBB static", by_static},
                                {bench::Role::peer, "oneTBB auto", by_auto},
                                {bench::Role::plain, "loop", plain}},
                 .criteria = {bench::at_most_times_peer(limit)}});

  const auto report = std::make_shared<decltype(manager->start(keys))>(manager->start(keys));
  const auto results = std::make_shared<std::unordered_map<Key, std::int64_t>>(by_loop(keys).results);
  const auto looked_up = [&wanted, sum](const auto& value_of) {
    std::int64_t found = 0;
    double seconds = 0;
    for (int pass = 0; pass < 2; ++pass) {  // the first, which brings the map into the caches, does not count
      bench::Stopwatch watch;
      found = 0;
      for (const Key& key : wanted) found += value_of(key);
      seconds = watch.seconds();
    }
    bench::require(found == sum, "look-ups");
    return seconds;
  };
  suite.compare(
      {.job = "look-ups in random order, 1e6 " + what,
       .tasks = static_cast<double>(wanted.size()),
       .contenders = {{bench::Role::ours, "taskmgr at",
                       [=] {
                         const auto map = report->success_map();
                         return looked_up([&](const Key& key) { return map.at(key); });
                       }},
                      {bench::Role::peer, "unordered_map at",
                       [=] { return looked_up([&](const Key& key) { return results->at(key); }); }},
                      {bench::Role::plain, "unordered_map find",  // which need not be ready to throw
                       [=] {
                         return looked_up([&](const Key& key) {
                           const auto found = results->find(key);
                           bench::require(found != results->end(), "a key is missing");  // as `at` looks, too
                           return found->second;
                         });
                       }}},
       .criteria = {bench::at_most_times_peer(1.2)}});
}

}  // namespace

int main(int argc, char** argv) {
  bench::Suite suite{"maps_and_dedup", argc, argv};
  const bench::OneTbbThreads limit{2};
  std::vector<std::int64_t> keys = bench::numbers(1'000'000);
  bench::shuffle(keys, 1);
  std::vector<std::int64_t> wanted = keys;
  bench::shuffle(wanted, 2);
  const std::vector<std::string> text_keys = bench::texts(keys);
  const std::vector<std::string> wanted_texts = bench::texts(wanted);
  compare(suite, "int64", keys, wanted, 0.35);
  compare(suite, "texts", text_keys, wanted_texts, 0.28);
  return suite.run();
}
