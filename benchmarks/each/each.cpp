// SPDX-License-Identifier: MIT
// The example `each`: a command that does nothing, for each of 5,000 lines, two at a time. Against GNU parallel, which keeps
// the output of a job apart as `each` does, and xargs, which does not.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "../harness.hpp"
#include "../program.hpp"

namespace {

/// The numbers from 1 on, a line each, in a file that lives as long.
class Lines {
 public:
  explicit Lines(std::size_t count) : file_(std::tmpfile(), std::fclose) {
    for (std::size_t k = 1; file_ && k <= count; ++k) fmt::print(file_.get(), "{}\n", k);
    bench::require(file_ && std::fflush(file_.get()) == 0, "cannot write the lines");
  }
  [[nodiscard]] std::string path() const { return fmt::format("/proc/self/fd/{}", ::fileno(file_.get())); }

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

}  // namespace

int main(int argc, char** argv) {
  bench::Suite suite{"each", argc, argv};
  const std::size_t count = suite.quick() ? 1'000 : 5'000;
  const std::size_t fewer = suite.quick() ? 500 : 1'000;  // for one that is slow
  const Lines all{count}, some{fewer}, few{10};

  const auto contender = [&](bench::Role role, const char* name, std::vector<std::string> words, const Lines& lines,
                             double part) -> bench::Contender {
    const auto running = [&](const char* command, const Lines& input) {
      std::vector<std::string> call = words;
      call.insert(call.end(), {command, "{}"});
      return bench::Program{call, input.path()};
    };
    if (role != bench::Role::ours && !running("true", few).works()) return {role, name, {}};
    const std::string said = running("echo", few).output();
    bench::require(std::count(said.begin(), said.end(), '\n') == 10, "jobs run");
    return {role, name, [program = running("true", lines)] { return program.seconds(); }, part};
  };
  suite.compare({.job = fmt::format("each: true, {} lines, 2 at a time", count),
                 .tasks = static_cast<double>(count),
                 .rounds = 5,
                 .contenders = {contender(bench::Role::ours, "each", {EACH, "-j2"}, all, 1),
                                contender(bench::Role::peer, "GNU parallel", {"parallel", "--will-cite", "-j2"}, some,
                                          static_cast<double>(fewer) / static_cast<double>(count)),
                                contender(bench::Role::peer, "xargs", {"xargs", "-P2", "-I{}"}, all, 1)},
                 .criteria = {bench::rate_at_least(4.5, "GNU parallel"), bench::rate_at_least(1, "xargs")}});
  return suite.run();
}
