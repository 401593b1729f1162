// SPDX-License-Identifier: MIT
#include <taskmgr/observe/log_file.hpp>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "support/folder.hpp"
#include "support/full_disk.hpp"

using support::CapturedError, support::SmallFiles, support::TemporaryFolder, support::contents_of, support::lines_of;
using taskmgr::detail::LogFile;

namespace {

constexpr std::string_view stamp = "2026-03-14 09:26:53.589";

std::tm day(int year, int month, int of_month) {
  std::tm parts{};
  parts.tm_year = year - 1900;
  parts.tm_mon = month - 1;
  parts.tm_mday = of_month;
  parts.tm_isdst = -1;
  std::tm whole = parts;
  const std::time_t time = ::timegm(&whole);
  ::gmtime_r(&time, &whole);
  return whole;
}

}  // namespace

TEST_CASE("lines wait until they are flushed, and are appended to what the file has") {
  const TemporaryFolder folder;
  const auto path = folder / "deep/er/run.log";
  {
    LogFile file{path.string()};
    file.add("one", {});
    file.add("two", {});
    CHECK(contents_of(path).empty());
    file.flush();
    CHECK(contents_of(path) == "one\ntwo\n");
    file.add("three", {});
  }
  CHECK(contents_of(path) == "one\ntwo\nthree\n");
  LogFile{path.string()}.add("four", {});
  CHECK(contents_of(path) == "one\ntwo\nthree\nfour\n");
}

TEST_CASE("many lines are flushed on the way, and a line may be larger than the buffer") {
  const TemporaryFolder folder;
  const auto path = folder / "run.log";
  LogFile file{path.string()};
  const std::string line(1000, 'x');
  for (int i = 0; i < 200; ++i) file.add(line, {});
  CHECK(contents_of(path).size() > 100'000);
  file.add(std::string(300'000, 'y'), {});
  file.flush();
  const auto lines = lines_of(contents_of(path));
  REQUIRE(lines.size() == 201);
  CHECK(lines[200].size() == 300'000);
  CHECK(file.lost() == 0);
}

TEST_CASE("a line of a later day begins a new file, one of an earlier day does not go back") {
  const TemporaryFolder folder;
  LogFile file{(folder / "logs").string(), day(2025, 12, 31)};
  file.add("old year", day(2025, 12, 31));
  file.add("new year", day(2026, 1, 1));
  file.add("late", day(2025, 12, 31));
  file.add("same day", day(2026, 1, 1));
  file.add("later", day(2026, 3, 14));
  file.flush();
  CHECK(contents_of(folder / "logs/taskmgr-2025-12-31.log") == "old year\n");
  CHECK(contents_of(folder / "logs/taskmgr-2026-01-01.log") == "new year\nlate\nsame day\n");
  CHECK(contents_of(folder / "logs/taskmgr-2026-03-14.log") == "later\n");
}

TEST_CASE("a file that cannot be opened is an error with its path") {
  const TemporaryFolder folder;
  std::ofstream(folder / "file") << "x";
  const std::string path = (folder / "file/run.log").string();
  try {
    LogFile file{path};
    FAIL("opened a file below a file");
  } catch (const std::system_error& error) {
    CHECK(error.code() == std::errc::not_a_directory);
    CHECK(std::string{error.what()}.find(path) != std::string::npos);
  }
  CHECK_THROWS_AS(LogFile{folder.path().string()}, std::system_error);  // a folder
}

TEST_CASE("lines that a full disk loses are counted, and the file tells of them when it takes lines again") {
  const TemporaryFolder folder;
  const auto path = folder / "run.log";
  LogFile file{path.string()};
  const std::string line = std::string{stamp} + " info first";
  CapturedError error;
  file.add(line, {});
  file.flush();
  {
    const SmallFiles small{2 * line.size() + 12};  // one line more, and a part of the next
    file.add(line, {});
    file.add(line, {});
    file.add(line, {});
    file.flush();
    CHECK(file.lost() == 2);
    file.add(line, {});
    file.flush();
    CHECK(file.lost() == 3);
  }
  file.add(std::string{stamp} + " info again", {});
  file.flush();
  CHECK(file.lost() == 3);
  CHECK(error.take() ==
        "taskmgr: cannot write to the log file " + path.string() + ": File too large; lines are lost\n");  // once
  const auto lines = lines_of(contents_of(path));
  REQUIRE(lines.size() == 5);
  CHECK(lines[1] == line);
  CHECK(lines[2] == line.substr(0, lines[2].size()));  // torn, and ended
  CHECK(lines[3] == std::string{stamp} + " warning taskmgr lost lines=3");
  CHECK(lines[4] == std::string{stamp} + " info again");
}

TEST_CASE("a new day whose file cannot be opened loses lines until it can") {
  const TemporaryFolder folder;
  const auto logs = folder / "logs";
  LogFile file{logs.string(), day(2026, 3, 14)};
  file.add("before", day(2026, 3, 14));
  std::filesystem::rename(logs, folder / "moved");
  std::ofstream(logs) << "in the way";
  CapturedError error;
  file.add("lost", day(2026, 3, 15));
  file.flush();
  CHECK(file.lost() == 1);
  std::filesystem::remove(logs);
  file.add(std::string{stamp} + " found", day(2026, 3, 15));
  file.flush();
  CHECK(error.take().find("/taskmgr-2026-03-15.log: Not a directory; lines are lost\n") != std::string::npos);
  CHECK(contents_of(folder / "moved/taskmgr-2026-03-14.log") == "before\n");
  CHECK(contents_of(logs / "taskmgr-2026-03-15.log") ==
        std::string{stamp} + " warning taskmgr lost lines=1\n" + std::string{stamp} + " found\n");
}

TEST_CASE("lines of several processes do not mix, and a forked child does not write its parent's") {
  const TemporaryFolder folder;
  const auto path = folder / "run.log";
  LogFile file{path.string()};
  file.add("of the parent", {});
  std::cout.flush();  // or the child has a copy to write
  std::vector<pid_t> children;
  for (char c = 'a'; c < 'd'; ++c) {
    const pid_t child = ::fork();
    if (child == 0) {
      file.notice_fork();
      for (std::size_t i = 0; i < 300; ++i) {
        file.add(std::string(i + 1, c), {});
        if (i % 7 == 0) file.flush();
      }
      file.flush();
      ::_exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
  file.flush();
  const auto lines = lines_of(contents_of(path));
  CHECK(lines.size() == 901);
  CHECK(lines.back() == "of the parent");
  for (const std::string& line : lines) CHECK((line == lines.back() || line == std::string(line.size(), line[0])));
}
