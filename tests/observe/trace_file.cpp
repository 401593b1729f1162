// SPDX-License-Identifier: MIT
#include <taskmgr/observe/trace_file.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <filesystem>
#include <string>

#include "support/folder.hpp"
#include "support/full_disk.hpp"
#include "support/json.hpp"

using support::CapturedError, support::SmallFiles, support::TemporaryFolder, support::contents_of;
using taskmgr::detail::TraceFile;

namespace {

/// The events of a file that is a document.
std::size_t events_in(const std::filesystem::path& path) {
  return support::json_of(contents_of(path))["traceEvents"].items.size();
}

}  // namespace

TEST_CASE("the file is a document from the first on, and after each flush") {
  const TemporaryFolder folder;
  const auto path = folder / "deep/er/trace.json";
  {
    TraceFile file{path.string()};
    CHECK(events_in(path) == 0);
    file.add("{\"a\":1}");
    file.add("{\"a\":2}");
    CHECK(events_in(path) == 0);
    file.flush();
    CHECK(events_in(path) == 2);
    file.flush();
    CHECK(events_in(path) == 2);
    file.add("{\"a\":3}");
  }
  CHECK(events_in(path) == 3);
  CHECK(contents_of(path) == "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n{\"a\":1},\n{\"a\":2},\n{\"a\":3}\n]}\n");
  const TraceFile again{path.string()};
  CHECK(events_in(path) == 0);
}

TEST_CASE("an event may be larger than the buffer") {
  const TemporaryFolder folder;
  const auto path = folder / "trace.json";
  TraceFile file{path.string()};
  const std::string large = '"' + std::string(300'000, 'x') + '"';
  for (int k = 0; k < 3; ++k) file.add(large);
  file.add("1");
  file.flush();
  CHECK(events_in(path) == 4);
}

TEST_CASE("a full disk loses whole events, which are counted, and leaves a document, wherever it becomes full") {
  const TemporaryFolder folder;
  const std::string event = "{\"name\":\"0123456789\"}";
  for (std::size_t room = 0; room < 3 * event.size() + 10; ++room) {
    CAPTURE(room);
    const auto path = folder / "trace.json";
    CapturedError error;
    TraceFile file{path.string()};
    file.add(event);
    file.flush();
    const std::size_t size = contents_of(path).size();
    std::size_t kept = 1;
    {
      const SmallFiles small{size + room};
      for (int k = 0; k < 4; ++k) file.add(event);
      file.flush();
      kept = events_in(path);
      CHECK(kept >= 1);
      CHECK(file.lost() == 5 - kept);
      CHECK(contents_of(path).size() <= size + room);
      file.add(event);
      file.flush();
      CHECK(events_in(path) + file.lost() == 6);
      kept = events_in(path);
    }
    if (room == 2 * event.size() + 20) CHECK(kept >= 2);
    file.add(event);
    file.flush();
    CHECK(events_in(path) == kept + 1);
    CHECK(error.take() == "taskmgr: cannot write to the trace " + path.string() + ": File too large; events are lost\n");
  }
}
