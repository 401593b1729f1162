// SPDX-License-Identifier: MIT
// The example `dupes` on a folder of the system, with two threads, against jdupes, which has one. The first run, which is not
// counted, brings what they read into memory. That both find the same groups is for tests/examples/dupes_jdupes.sh.
#include <fmt/format.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "../harness.hpp"
#include "../program.hpp"

namespace {

[[nodiscard]] std::size_t files_below(const std::string& folder) {
  namespace fs = std::filesystem;
  std::size_t files = 0;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator{folder, fs::directory_options::skip_permission_denied}) {
    if (entry.symlink_status().type() == fs::file_type::regular) ++files;
  }
  return files;
}

}  // namespace

int main(int argc, char** argv) {
  bench::Suite suite{"dupes", argc, argv};
  for (const std::string folder : {"/usr/share", "/usr/include"}) {
    if (!std::filesystem::is_directory(folder)) continue;
    const std::size_t files = files_below(folder);
    const auto contender = [&](bench::Role role, const char* name, std::vector<std::string> words) -> bench::Contender {
      words.push_back(folder);
      const bench::Program program{words};
      if (role != bench::Role::ours && !program.works()) return {role, name, {}};
      return {role, name, [program] { return program.seconds(); }};
    };
    suite.compare({.job = fmt::format("dupes: {}, a file", folder),
                   .tasks = static_cast<double>(files),
                   .contenders = {contender(bench::Role::ours, "dupes", {DUPES, "--workers", "2", "--no-bar"}),
                                  contender(bench::Role::peer, "jdupes", {"jdupes", "-r", "-q"})},
                   .criteria = {bench::rate_at_least(1, "jdupes")}});
  }
  return suite.run();
}
