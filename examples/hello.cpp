#include <fmt/format.h>
#include <taskmgr/taskmgr.hpp>

#include <cmath>
#include <stdexcept>

using namespace std::chrono_literals;
using taskmgr::Mode, taskmgr::TaskManager;

int main() {
  TaskManager root{[](double x) {
                     if (x < 0) throw std::domain_error("no root of a negative number");
                     return std::sqrt(x);
                   },
                   {.mode = Mode::thread, .retry = {.max_retries = 2, .base_delay = 10ms}, .name = "root"}};

  auto report = root.start({1.0, 2.25, -4.0, 9.0, 9.0});

  for (const auto& [task, result] : report.success_map()) fmt::print("root of {} is {}\n", task, result);
  for (const auto& [task, error] : report.error_map()) fmt::print("root of {}: {}\n", task, error.message());
  fmt::print("{} tasks: {} succeeded, {} failed, {} duplicate\n", report.total, report.succeeded, report.failed,
             report.duplicates);
}
