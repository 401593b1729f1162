// SPDX-License-Identifier: MIT
// What a progress bar costs that is drawn on a terminal: a run of half a second, and two hundred short ones.
#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <taskmgr/taskmgr.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "../harness.hpp"
#include "../jobs.hpp"

namespace {

using namespace std::chrono_literals;
using taskmgr::Duplicates, taskmgr::Mode, taskmgr::TaskManager;

/// A terminal of 80 by 24 whose other side is read, as by an emulator that draws nothing.
class Terminal {
 public:
  Terminal() {
    winsize size{};
    size.ws_col = 80;
    size.ws_row = 24;
    if (::openpty(&emulator_, &program_, nullptr, nullptr, &size) != 0) {
      throw std::system_error(errno, std::generic_category(), "openpty");
    }
    reader_ = std::thread{[this] { read_all(); }};
  }
  ~Terminal() {
    ::close(program_);  // the reader then gets an error
    reader_.join();
    ::close(emulator_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  [[nodiscard]] int fd() const noexcept { return program_; }
  /// How often a line was begun anew since the last call.
  [[nodiscard]] std::size_t drawn() noexcept { return drawn_.exchange(0); }

 private:
  void read_all() noexcept {
    std::array<char, 4096> text{};
    for (;;) {
      const ssize_t count = ::read(emulator_, text.data(), text.size());
      if (count <= 0) return;
      std::size_t begun = 0;
      for (const char c : std::string_view{text.data(), static_cast<std::size_t>(count)}) begun += c == '\r' ? 1U : 0U;
      drawn_ += begun;
    }
  }

  int emulator_ = -1;
  int program_ = -1;
  std::atomic<std::size_t> drawn_{0};
  std::thread reader_;
};

/// `starts` runs of the tasks, with the bar and without.
template <class Task, class Job>
void compare(bench::Suite& suite, Terminal& terminal, const char* what, std::vector<Task> all, Job job,
             std::size_t starts) {
  const auto tasks = std::make_shared<const std::vector<Task>>(std::move(all));
  Task sum = 0;
  for (const Task task : *tasks) sum += job(task);
  const auto runs = [=, &terminal](bool bar) {
    const auto manager = std::make_shared<TaskManager<Job>>(
        job, taskmgr::Options{.mode = Mode::thread, .workers = 2, .duplicates = Duplicates::run, .name = "bench"});
    if (bar) manager->observe(std::make_shared<taskmgr::ProgressBar>(taskmgr::ProgressBarOptions{.fd = terminal.fd()}));
    return [=, &terminal] {
      bench::Stopwatch watch;
      for (std::size_t k = 0; k < starts; ++k) {
        const auto report = manager->start(*tasks);
        if (k + 1 != starts) continue;
        watch.pause();
        Task found = 0;
        for (const auto& outcome : report.outcomes()) found += outcome.value();
        bench::require(found == sum, "sum");
        watch.go_on();
      }
      const double seconds = watch.seconds();
      std::this_thread::sleep_for(20ms);  // what was drawn reaches the reader
      bench::require((terminal.drawn() >= starts) == bar, "drawings on the terminal");
      return seconds;
    };
  };
  suite.compare({.job = what,
                 .tasks = static_cast<double>(tasks->size() * starts),
                 .contenders = {{bench::Role::ours, "bar", runs(true)}, {bench::Role::peer, "no bar", runs(false)}},
                 .criteria = {bench::at_most_times_peer(1.03)}});
}

}  // namespace

int main(int argc, char** argv) {
  ::setenv("TERM", "xterm-256color", 1);
  ::setenv("LC_ALL", "C.UTF-8", 1);
  ::unsetenv("NO_COLOR");
  bench::Suite suite{"bar", argc, argv};
  Terminal terminal;

  constexpr std::size_t million = 1'000'000;
  std::vector<std::uint64_t> seeds(million);
  for (std::size_t i = 0; i < million; ++i) seeds[i] = i;
  const auto churn = [steps = bench::steps_for(1us)](std::uint64_t seed) { return bench::churn(seed, steps); };
  compare(suite, terminal, "bar on a terminal, 1e6 tasks of 1 us", std::move(seeds), churn, 1);
  compare(suite, terminal, "bar on a terminal, 20 starts of 1e7 x + 1", bench::numbers(10 * million),
          [](std::int64_t x) { return bench::next(x); }, 20);
  return suite.run();
}
