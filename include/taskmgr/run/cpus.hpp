// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// How many processors this process may really use.

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>

namespace taskmgr::detail {

/// The CPUs of the affinity mask, but no more than the CPU quota of the process's control groups (v1 and v2, of it and its
/// ancestors), rounded up; at least 1. `std::thread::hardware_concurrency` knows neither of containers nor of `taskset`.
[[nodiscard]] std::size_t usable_cpus();

/// `quota / period` of a cpu.max file ("200000 100000", "max 100000"); 0 where there is no limit, or no such text.
[[nodiscard]] double parse_cpu_max(const std::string& text);

// ---------------------------------------------------------------------------------------------------------------------

inline double parse_cpu_max(const std::string& text) {
  char* rest = nullptr;
  const double quota = std::strtod(text.c_str(), &rest);  // 0 for "max"
  const double period = std::strtod(rest, nullptr);
  return quota > 0 && period > 0 ? quota / period : 0;
}

inline std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// The lowest quota on the way from the process's control group to the root; infinite if there is none.
inline double cgroup_quota() {
  double lowest = INFINITY;
  const auto note = [&lowest](double quota) {
    if (quota > 0) lowest = std::min(lowest, quota);
  };
  std::ifstream groups("/proc/self/cgroup");  // lines "0::/path" (v2) and "4:cpu,cpuacct:/path" (v1)
  for (std::string line; std::getline(groups, line);) {
    const std::size_t names = line.find(':');
    const std::size_t colon = line.find(':', names + 1);
    if (colon == std::string::npos) continue;
    const bool unified = colon == names + 1;
    line[names] = line[colon] = ',';
    if (!unified && line.find(",cpu,", names) > colon) continue;
    for (std::string path = line.substr(colon + 1);; path.resize(path.rfind('/'))) {
      if (unified) {
        note(parse_cpu_max(first_line("/sys/fs/cgroup" + path + "/cpu.max")));
      } else {
        const std::string folder = "/sys/fs/cgroup/cpu" + path + "/cpu.cfs_";
        note(parse_cpu_max(first_line(folder + "quota_us") + " " + first_line(folder + "period_us")));
      }
      if (path.rfind('/') == std::string::npos) break;
    }
  }
  return lowest;
}

inline std::size_t usable_cpus() {
  std::size_t allowed = std::max(1U, std::thread::hardware_concurrency());
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) == 0) allowed = static_cast<std::size_t>(std::max(1, CPU_COUNT(&mask)));
  static const double quota = cgroup_quota();  // files: read once
  const double limit = std::ceil(quota);
  return limit < static_cast<double>(allowed) ? std::max<std::size_t>(1, static_cast<std::size_t>(limit)) : allowed;
}

}  // namespace taskmgr::detail
