// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Reports and the enumerations as text, by fmt.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hash.hpp"
#include "hash_index.hpp"
#include "names.hpp"
#include "report.hpp"
#include "task_text.hpp"

namespace taskmgr {

namespace detail {

/// "830 ns", "12.5 ms", "3.21 s", "2 min 05 s", "1 h 12 min".
[[nodiscard]] std::string human(std::chrono::nanoseconds duration);

/// A report as one line; with `errors`, then a line for each kind of error: how often, type, message, first task.
template <class Task, class R>
[[nodiscard]] std::string text(const Report<Task, R>& report, bool errors);

}  // namespace detail

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

// By `vformat`: to check a form while compiling costs every user of the header 10 ms.

inline std::string human(std::chrono::nanoseconds duration) {
  const auto n = static_cast<double>(duration.count());
  const auto in_units = [n](std::string_view form, double unit) {
    const double units = n / unit;
    return fmt::vformat(form, fmt::make_format_args(units));
  };
  if (n < 1e3) return in_units("{:.0f} ns", 1);
  if (n < 999.5e3) return in_units("{:.3g} us", 1e3);  // what is not rounded up to 1e+03
  if (n < 999.5e6) return in_units("{:.3g} ms", 1e6);
  if (n < 60e9) return in_units("{:.3g} s", 1e9);
  const auto minutes = static_cast<long long>(n / 60e9);
  const auto seconds = static_cast<long long>(n / 1e9) % 60;
  const auto hours = minutes / 60;
  const auto rest = minutes % 60;
  if (hours == 0) return fmt::vformat("{} min {:02} s", fmt::make_format_args(minutes, seconds));
  return fmt::vformat("{} h {:02} min", fmt::make_format_args(hours, rest));
}

template <class Task, class R>
std::string text(const Report<Task, R>& report, bool errors) {
  std::string line = fmt::format("{} tasks: {} succeeded, {} failed, {} cancelled, {} duplicates; {} retries in {}",
                                 report.total, report.succeeded, report.failed, report.cancelled, report.duplicates,
                                 report.retries, human(report.elapsed));
  if (!errors || report.failed == 0) return line;

  struct Group {
    std::string what;
    std::string first;
    std::size_t hash;
    std::size_t count = 0;
  };
  std::vector<Group> groups;
  HashIndex index;
  const Store<Task, R>& store = ReportAccess::store(report);
  for (std::size_t slot = 0; slot < store.size(); ++slot) {
    if (store.slot(slot).state() != State::failed) continue;
    const TaskError& error = store.errors()[store.slot(slot).error()];
    std::string what = error.type() + ": " + error.message();
    const std::size_t hash = KeyHash<std::string>{}(what);
    index.make_room(groups.size() + 1, groups.size() + 1, [&](std::size_t k) { return groups[k].hash; });
    std::size_t place = index.find_or_insert(hash, groups.size(), [&](std::size_t k) { return groups[k].what == what; });
    if (place == HashIndex::npos) {
      place = groups.size();
      groups.push_back({std::move(what), task_text(store.task(slot), store.number(slot)), hash});
    }
    ++groups[place].count;
  }
  std::vector<std::pair<std::size_t, std::size_t>> order;  // of equal counts, the one that came first
  for (std::size_t k = 0; k < groups.size(); ++k) order.emplace_back(report.failed - groups[k].count, k);
  std::sort(order.begin(), order.end());
  for (const auto& [rarity, place] : order) {
    const Group& group = groups[place];
    line += fmt::format("\n  {} x {} (first: {})", group.count, group.what, group.first);
  }
  return line;
}

}  // namespace detail

}  // namespace taskmgr

/// `{}`: one line. `{:#}`: then the errors, grouped by type and message, the most frequent first.
template <class Task, class R>
struct fmt::formatter<taskmgr::Report<Task, R>> {
  bool errors = false;

  constexpr auto parse(fmt::format_parse_context& context) -> fmt::format_parse_context::iterator {
    auto at = context.begin();
    if (at != context.end() && *at == '#') {
      errors = true;
      ++at;
    }
    return at;
  }
  template <class FormatContext>
  auto format(const taskmgr::Report<Task, R>& report, FormatContext& context) const {
    const std::string text = taskmgr::detail::text(report, errors);
    return std::copy(text.begin(), text.end(), context.out());  // format_to would have all of fmt compiled here
  }
};

#define TASKMGR_FORMAT_BY_NAME(type)                                          \
  template <>                                                                 \
  struct fmt::formatter<type> : fmt::formatter<std::string_view> {            \
    template <class FormatContext>                                            \
    auto format(type value, FormatContext& context) const {                   \
      return fmt::formatter<std::string_view>::format(taskmgr::name_of(value), context); \
    }                                                                         \
  }
TASKMGR_FORMAT_BY_NAME(taskmgr::State);
TASKMGR_FORMAT_BY_NAME(taskmgr::Mode);
TASKMGR_FORMAT_BY_NAME(taskmgr::Level);
TASKMGR_FORMAT_BY_NAME(taskmgr::EventKind);
TASKMGR_FORMAT_BY_NAME(taskmgr::TaskError::Kind);
#undef TASKMGR_FORMAT_BY_NAME
