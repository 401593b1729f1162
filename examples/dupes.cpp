// SPDX-License-Identifier: MIT

/// \file
/// dupes: finds files with the same content, and says what their copies cost.
///
///     dupes ~/Pictures /mnt/backup
///     dupes --json --min-size 1000000 . | jq '.groups[] | .files[1:][].path'
///
/// How. The folders are listed, a level of the tree at a time. Of the files that have their size in common with another one,
/// the first block is hashed, then all of those that are still alike; what has equal hashes is compared byte by byte. Each of
/// these steps is a list of tasks for a `TaskManager`: it shares them out among the workers, repeats what may work the second
/// time, shows the bar, and tells in its report which files could not be read and why.
///
/// What counts as a duplicate, and how that compares to `jdupes -r`:
///
/// * Regular files of equal content. Symbolic links are not followed, except one that is given as an argument itself. Empty
///   files are left out, unless --min-size is 0 (jdupes: -z).
/// * The names of one file (hard links) are one file, shown by the first of its names. jdupes leaves out hard links to the
///   first file of a group only, and lists those to the others as if they could be reclaimed one by one.
/// * A file that cannot be read, or that changes meanwhile, is an error with a reason, and makes the exit code 1; the rest
///   goes on. jdupes ends with 0. Only files that share their size with another are ever opened.
/// * Files may be given as well as folders. What is given twice, or lies in another folder that is given, counts once.
///
/// Exit code: 0 if everything was read, whether or not there are duplicates; 1 if something was not; 2 for wrong usage.

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <taskmgr/taskmgr.hpp>
#include <unistd.h>
#include <xxhash.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using taskmgr::Mode, taskmgr::TaskManager;

struct Settings {
  std::vector<std::string> roots{"."};
  Mode mode = Mode::thread;
  std::size_t workers = 0;
  std::uint64_t min_size = 1;
  bool json = false;
  bool bar = true;
};

struct File {
  std::string path;
  std::uint64_t size = 0;
  dev_t device = 0;
  ino_t inode = 0;
};

/// Files that may be, or are, equal to each other.
using Group = std::vector<const File*>;
using Groups = std::vector<Group>;

/// Something at `path` cannot be read.
class Unreadable : public std::system_error {
 public:
  Unreadable(const std::string& path, int error) : std::system_error(error, std::system_category()), path_(path) {}

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  /// Without the words that a system_error puts around it.
  [[nodiscard]] std::string reason() const { return code() == changed ? "it changed meanwhile" : code().message(); }
  /// May it work the next time?
  [[nodiscard]] bool is_transient() const;

  /// Stands for what the system has no error for: this is not the file any more that was found.
  static inline const std::error_code changed{ESTALE, std::generic_category()};
  Unreadable(const std::string& path, std::error_code code) : std::system_error(code), path_(path) {}

 private:
  std::string path_;
};

