// SPDX-License-Identifier: MIT

/// \file
/// dupes: finds files with the same content, and says what their copies cost.
///
///     dupes ~/Pictures /mnt/backup
///     dupes --json --min-size 1MB . | jq -r '.groups[] | .files[1:][] | .path'
///
/// How. The folders are listed, a level at a time. Files that have their size in common are a task for a `TaskTree`: it is split
/// into its files, the first block of each is hashed, then all of those that are still alike; groups do not wait for each other.
/// What has equal hashes is compared byte by byte. Managers share out the tasks of each step among their workers, repeat what may
/// work the next time, and show the bar; which files could not be read, and why, is an answer like others.
///
/// What counts as a duplicate, and where that differs from `jdupes -r`:
///
/// * Regular files of equal content. Symbolic links are not followed, except one that is given as an argument. Empty files
///   are left out, as jdupes does without -z, unless --min-size is 0.
/// * The names of one file (hard links) are one file, shown by the first of its names. jdupes does that with the first file
///   of a group only: it lists other files once for each name, as if each of them took room.
/// * A file that cannot be read, or changes meanwhile, is an error with a reason, and makes the exit code 1; all others are
///   compared. jdupes ends with 0, and if it cannot read the first file of a group, it loses the whole group. Files of a size
///   that no other has are not opened at all.
/// * Files may be given as well as folders. What is given twice, or lies in another folder that is given, counts once.
///
/// Names. As text, a name is written as it is if it is UTF-8 without control characters, and else in the shell's notation,
/// $'a\nb\xff'. In JSON, "path" is a string in which U+FFFD stands for each byte that is not UTF-8; such a file also has
/// "path_hex", the bytes of its name as hexadecimal digits. With --null, names are written as they are, each with a zero byte
/// behind it, and one more behind each group, as `jdupes -0` does.
///
/// Exit code: 0 if everything was read, whether or not there are duplicates; 1 if something was not; 2 for wrong usage, or if
/// the result could not be written.

#include <dirent.h>
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
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "text.hpp"

namespace {

using namespace std::chrono_literals;
using taskmgr::Mode, taskmgr::TaskManager;
using text::count_of, text::for_people, text::human, text::in_json, text::path_in_json;

struct Settings {
  std::vector<std::string> roots{"."};
  Mode mode = Mode::thread;
  std::size_t workers = 0;
  std::uint64_t min_size = 1;
  bool json = false;
  bool null = false;
  bool bar = false;
};

struct File {
  std::string path;
  std::uint64_t size;
  dev_t device;
  ino_t inode;
};

struct Problem {
  std::string path;
  std::string reason;
  int attempts = 1;
  auto operator<=>(const Problem&) const = default;
};

/// Files that may be equal, or are, by their numbers in `Result::files`.
using Group = std::vector<std::uint32_t>;
using Groups = std::vector<Group>;

struct Result {
  std::vector<File> files;
  Groups groups;
  std::vector<Problem> problems;
};

// --- reading ---------------------------------------------------------------------------------------------------------

/// What is at `path` cannot be read.
class Unreadable : public taskmgr::Error {
 public:
  Unreadable(std::string path, const std::string& reason) : Error(reason), path_(std::move(path)) {}
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

/// The same, but it may work the next time.
class UnreadableNow : public Unreadable {
 public:
  using Unreadable::Unreadable;
};

[[nodiscard]] std::string reason(int error) { return std::system_category().message(error); }

[[noreturn]] void fail(const std::string& path, int error) {
  constexpr std::array passing{EINTR, EAGAIN, EIO, EBUSY, ENOMEM, EMFILE, ENFILE, ENOBUFS, ETIMEDOUT, ESTALE};
  if (std::find(passing.begin(), passing.end(), error) != passing.end()) throw UnreadableNow(path, reason(error));
  throw Unreadable(path, reason(error));
}

/// A file, from its start to its end. Throws `Unreadable`, also if it is not what it was when it was found.
class Reader {
 public:
  explicit Reader(const File& file)
      : file_(file), fd_{::open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)} {
    struct stat now {};
    if (fd_.number < 0 || ::fstat(fd_.number, &now) != 0) fail(file.path, errno);
    const auto size = static_cast<std::uint64_t>(now.st_size);
    if (now.st_dev != file.device || now.st_ino != file.inode || size != file.size) changed();
  }

  /// Fills `room`; with less only at the end of the file.
  [[nodiscard]] std::span<const char> read(std::span<char> room) {
    std::size_t count = 0;
    while (count < room.size()) {
      const ssize_t got = ::read(fd_.number, room.data() + count, room.size() - count);
      if (got < 0) fail(file_.path, errno);
      if (got == 0) break;
      count += static_cast<std::size_t>(got);
    }
    read_ += count;
    if (read_ > file_.size || (count < room.size() && read_ < file_.size)) changed();
    return room.first(count);
  }

 private:
  [[noreturn]] void changed() const { throw Unreadable(file_.path, "it changed while it was looked at"); }

  struct Descriptor {
    int number;
    Descriptor(int fd) : number(fd) {}  // NOLINT: what open gives
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
      if (number >= 0) ::close(number);
    }
  };
  const File& file_;
  Descriptor fd_;
  std::uint64_t read_ = 0;
};

using Digest = std::pair<std::uint64_t, std::uint64_t>;

constexpr std::size_t first_block = 16 * 1024;
using Buffer = std::array<char, 64 * 1024>;

[[nodiscard]] Digest hash_of_first_block(const File& file) {
  std::array<char, first_block> room;  // NOLINT: written by read
  const std::span<const char> block = Reader{file}.read(room);
  const XXH128_hash_t hash = XXH3_128bits(block.data(), block.size());
  return {hash.high64, hash.low64};
}

[[nodiscard]] Digest hash_of_all(const File& file) {
  thread_local Buffer room;
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state{XXH3_createState(), &XXH3_freeState};
  if (state == nullptr || XXH3_128bits_reset(state.get()) != XXH_OK) throw std::bad_alloc{};
  Reader reader{file};
  for (;;) {
    const std::span<const char> block = reader.read(room);
    XXH3_128bits_update(state.get(), block.data(), block.size());
    if (block.size() < room.size()) break;
  }
  const XXH128_hash_t hash = XXH3_128bits_digest(state.get());
  return {hash.high64, hash.low64};
}

[[nodiscard]] bool same_content(const File& a, const File& b) {
  thread_local Buffer room_a, room_b;
  Reader reader_a{a}, reader_b{b};
  for (;;) {
    const std::span<const char> block_a = reader_a.read(room_a);
    const std::span<const char> block_b = reader_b.read(room_b);
    if (!std::equal(block_a.begin(), block_a.end(), block_b.begin(), block_b.end())) return false;
    if (block_a.size() < room_a.size()) return true;
  }
}

// --- searching -------------------------------------------------------------------------------------------------------

/// What one look into a folder shows.
struct Listing {
  std::vector<File> files;
  std::vector<std::string> folders;
  std::vector<Problem> problems;

  void add(const std::string& path, const struct stat& about) {
    if (S_ISDIR(about.st_mode)) folders.push_back(path);
    if (S_ISREG(about.st_mode)) {
      files.push_back({path, static_cast<std::uint64_t>(about.st_size), about.st_dev, about.st_ino});
    }
  }
};

[[nodiscard]] Listing list(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> opened{::opendir(folder.c_str()), &::closedir};
  if (opened == nullptr) fail(folder, errno);
  const std::string before = folder.ends_with('/') ? folder : folder + '/';
  Listing found;
  errno = 0;
  for (const dirent* entry = nullptr; (entry = ::readdir(opened.get())) != nullptr; errno = 0) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    // most file systems say what it is: then only files are looked at, and those from here, not from the root
    if (entry->d_type != DT_REG && entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) continue;
    std::string path = before;
    path += name;
    struct stat about {};
    if (entry->d_type == DT_DIR) found.folders.push_back(std::move(path));
    else if (::fstatat(::dirfd(opened.get()), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) == 0) found.add(path, about);
    else found.problems.push_back({std::move(path), reason(errno)});
  }
  if (errno != 0) fail(folder, errno);
  return found;
}

class Search {
 public:
  explicit Search(const Settings& settings) : settings_(settings) {}

  [[nodiscard]] Result run() && {
    result_.files = walk();
    std::map<std::uint64_t, Group, std::greater<>> by_size;  // large files first: small ones fill the gaps at the end
    for (std::uint32_t file = 0; file < result_.files.size(); ++file) by_size[result_.files[file].size].push_back(file);
    result_.groups = compare(hash(several_of(std::move(by_size))));
    put_in_order();
    return std::move(result_);
  }

 private:
  static constexpr int retries = 3;
  [[nodiscard]] taskmgr::Options options(std::string name, bool bar) const {
    return {.mode = settings_.mode,
            .workers = settings_.workers,
            .retry = {.max_retries = retries, .base_delay = 20ms, .on = taskmgr::retry_on<UnreadableNow>()},
            .name = std::move(name),
            .show_progress = bar && settings_.bar};
  }

  /// All files below the roots, once each, in the order of their inodes: about as they lie on the disk.
  [[nodiscard]] std::vector<File> walk() {
    Listing found;
    for (const std::string& root : settings_.roots) {
      struct stat about {};
      if (::stat(root.c_str(), &about) == 0) found.add(root, about);
      else result_.problems.push_back({root, reason(errno)});
    }
    std::vector<File> files = std::move(found.files);
    TaskManager lister{list, options("folders", false)};
    for (std::vector<std::string> level = std::move(found.folders); !level.empty();) {
      auto report = lister.start(std::exchange(level, {}));
      for (const auto& [folder, error] : report.error_map()) note(error, folder);
      for (auto& [folder, listing] : std::move(report).success_map()) {
        std::move(listing.files.begin(), listing.files.end(), std::back_inserter(files));
        std::move(listing.folders.begin(), listing.folders.end(), std::back_inserter(level));
        std::move(listing.problems.begin(), listing.problems.end(), std::back_inserter(result_.problems));
      }
    }
    std::erase_if(files, [this](const File& file) { return file.size < settings_.min_size; });
    std::sort(files.begin(), files.end(), [](const File& a, const File& b) {
      return std::tie(a.device, a.inode, a.path) < std::tie(b.device, b.inode, b.path);
    });
    const auto same_file = [](const File& a, const File& b) { return a.device == b.device && a.inode == b.inode; };
    files.erase(std::unique(files.begin(), files.end(), same_file), files.end());
    return files;
  }

  [[nodiscard]] const File& file(std::uint32_t number) const { return result_.files[number]; }

  /// What a look at a file has come to: a hash, or the reason why there is none.
  struct Look {
    std::uint32_t file = 0;
    Digest digest;
    std::optional<Problem> problem;
  };
  struct Found {
    Groups groups;
    std::vector<Problem> problems;
  };

  /// A file that cannot be read is no failure of its group: the others go on.
  [[nodiscard]] auto hasher(const char* step, Digest (*digest)(const File&)) const {
    return TaskManager{[this, digest](taskmgr::Context& context, std::uint32_t number) -> Look {
                         try {
                           return {number, digest(file(number)), {}};
                         } catch (const Unreadable& error) {
                           const bool passes = dynamic_cast<const UnreadableNow*>(&error) != nullptr;
                           if (passes && context.attempt() <= retries) throw;
                           return {number, {}, Problem{error.path(), error.what(), context.attempt()}};
                         }
                       },
                       options(step, true)};
  }

  /// Divides groups of files of one size by what they hold. Each goes its own way through a tree: its files are tasks of their
  /// own, come together again by their hashes, and while the first blocks of one group are read, whole files of others are.
  [[nodiscard]] Groups hash(const Groups& of_one_size) {
    const auto each = [](const Group& group) { return group; };
    taskmgr::TaskTree<Group> tree{"dupes"};
    tree.set_mode(settings_.mode == Mode::serial ? taskmgr::TreeMode::serial : taskmgr::TreeMode::pipeline);
    const auto groups = tree.root(TaskManager{each, {.duplicates = taskmgr::Duplicates::run}});
    const auto first = tree.then(tree.split(groups, each), hasher("first blocks", hash_of_first_block));
    const auto alike = tree.merge([this](const std::vector<Look>& looks) { return alike_so_far(looks); }, first);
    const auto whole = tree.then(tree.split(alike, each), hasher("whole files", hash_of_all));
    const auto found = tree.merge(&Search::alike_to_the_end, first, whole);

    const auto report = tree.start(of_one_size);
    for (const auto& [group, error] : report.error_map()) {
      for (const std::uint32_t number : group) note(error, file(number).path);
    }
    Groups all;
    for (const auto& [group, of_group] : report.results(found)) {
      for (const Found& parts : of_group) {
        all.insert(all.end(), parts.groups.begin(), parts.groups.end());
        result_.problems.insert(result_.problems.end(), parts.problems.begin(), parts.problems.end());
      }
    }
    return all;
  }

  [[nodiscard]] static Groups by_digest(const std::vector<Look>& looks) {
    std::map<Digest, Group> alike;
    for (const Look& look : looks) {
      if (!look.problem) alike[look.digest].push_back(look.file);
    }
    return several_of(std::move(alike));
  }
  /// Files of which more is to be read.
  [[nodiscard]] Group alike_so_far(const std::vector<Look>& looks) const {
    Group files;
    for (const Group& group : by_digest(looks)) {
      if (file(group[0]).size > first_block) files.insert(files.end(), group.begin(), group.end());
    }
    return files;
  }
  [[nodiscard]] static Found alike_to_the_end(const std::vector<Look>& first, const std::vector<Look>& whole) {
    Found found{by_digest(whole.empty() ? first : whole), {}};
    for (const std::vector<Look>* looks : {&first, &whole}) {
      for (const Look& look : *looks) {
        if (look.problem) found.problems.push_back(*look.problem);
      }
    }
    return found;
  }

  /// Each file is compared with the first of its group. Should the hashes have deceived us, those that differ from it are a
  /// group of their own in the next round.
  [[nodiscard]] Groups compare(Groups groups) {
    const TaskManager comparer{[this](std::uint32_t a, std::uint32_t b) { return same_content(file(a), file(b)); },
                               options("compare", true)};
    Groups equal;
    while (!groups.empty()) {
      std::vector<std::pair<std::uint32_t, std::uint32_t>> pairs;
      for (const Group& group : groups) {
        for (std::size_t k = 1; k < group.size(); ++k) pairs.emplace_back(group[0], group[k]);
      }
      const auto report = comparer.start(pairs);
      std::size_t pair = 0;
      Groups next;
      for (const Group& group : groups) {
        Group same{group[0]}, other;
        for (std::size_t k = 1; k < group.size(); ++k) {
          const auto outcome = report[pair++];
          if (outcome.state() == taskmgr::State::succeeded) {
            (outcome.value() ? same : other).push_back(group[k]);
          } else if (note(outcome.error(), file(group[k]).path) == file(group[0]).path) {
            other.push_back(group[k]);  // no fault of its own
          }
        }
        if (same.size() > 1) equal.push_back(std::move(same));
        if (other.size() > 1) next.push_back(std::move(other));
      }
      groups = std::move(next);
    }
    return equal;
  }

  template <class Map>
  [[nodiscard]] static Groups several_of(Map map) {
    Groups groups;
    for (auto& [key, group] : map) {
      if (group.size() > 1) groups.push_back(std::move(group));
    }
    return groups;
  }

  /// Keeps an error, and says which path it is about: the task's, unless the error knows better.
  std::string note(const taskmgr::TaskError& error, std::string path) {
    try {
      error.rethrow();
    } catch (const Unreadable& unreadable) {
      path = unreadable.path();
    } catch (const std::exception&) {
    }
    result_.problems.push_back({path, error.message(), error.attempts()});
    return path;
  }

  /// The groups that take the most room first; else all by name, so that the answer does not depend on who was faster.
  void put_in_order() {
    const auto by_path = [this](std::uint32_t a, std::uint32_t b) { return file(a).path < file(b).path; };
    for (Group& group : result_.groups) std::sort(group.begin(), group.end(), by_path);
    const auto room = [this](const Group& group) { return file(group[0]).size * (group.size() - 1); };
    std::sort(result_.groups.begin(), result_.groups.end(), [&](const Group& a, const Group& b) {
      return room(a) != room(b) ? room(a) > room(b) : by_path(a[0], b[0]);
    });
    std::vector<Problem>& problems = result_.problems;
    std::sort(problems.begin(), problems.end());
    problems.erase(std::unique(problems.begin(), problems.end()), problems.end());
  }

  const Settings& settings_;
  Result result_;
};

// --- telling ---------------------------------------------------------------------------------------------------------

struct Sums {
  std::uint64_t bytes = 0;
  std::uint64_t duplicates = 0;
  std::uint64_t reclaimable = 0;
};

[[nodiscard]] Sums sums_of(const Result& result) {
  Sums sums;
  for (const File& file : result.files) sums.bytes += file.size;
  for (const Group& group : result.groups) {
    sums.duplicates += group.size() - 1;
    sums.reclaimable += result.files[group[0]].size * (group.size() - 1);
  }
  return sums;
}

void write_text(const Result& result) {
  for (const Group& group : result.groups) {
    const std::uint64_t size = result.files[group[0]].size;
    fmt::print("{} files of {}, {} reclaimable:\n", group.size(), human(size), human(size * (group.size() - 1)));
    for (const std::uint32_t file : group) fmt::print("  {}\n", for_people(result.files[file].path));
    fmt::print("\n");
  }
  const Sums sums = sums_of(result);
  fmt::print("{} with {}, {} reclaimable; {} of {} looked at, {}\n", count_of(result.groups.size(), "group"),
             count_of(sums.duplicates, "duplicate"), human(sums.reclaimable), count_of(result.files.size(), "file"),
             human(sums.bytes), count_of(result.problems.size(), "error"));
}

void write_json(const Result& result) {
  const auto list_of = [](const char* indent, const auto& items, auto text_of) {
    std::string out;
    for (const auto& item : items) {
      out += out.empty() ? "[\n" : ",\n";
      out += indent;
      out += text_of(item);
    }
    return out.empty() ? "[]" : out + ']';
  };
  const Sums sums = sums_of(result);
  fmt::print("{{\n  \"groups\": {},\n", list_of("    ", result.groups, [&](const Group& group) {
               const std::uint64_t size = result.files[group[0]].size;
               return fmt::format("{{\"size\": {}, \"reclaimable\": {}, \"files\": {}}}", size, size * (group.size() - 1),
                                  list_of("      ", group, [&](std::uint32_t file) { return '{' + path_in_json(result.files[file].path) + '}'; }));
             }));
  fmt::print("  \"errors\": {},\n", list_of("    ", result.problems, [](const Problem& problem) {
               return fmt::format("{{{}, \"reason\": {}, \"attempts\": {}}}", path_in_json(problem.path),
                                  in_json(problem.reason), problem.attempts);
             }));
  fmt::print("  \"files\": {}, \"bytes\": {}, \"duplicates\": {}, \"reclaimable\": {}\n}}\n", result.files.size(), sums.bytes,
             sums.duplicates, sums.reclaimable);
}

void write_null(const Result& result) {
  for (const Group& group : result.groups) {
    for (const std::uint32_t file : group) fmt::print("{}{}", result.files[file].path, '\0');
    fmt::print("{}", '\0');
  }
}

int run(const Settings& settings) {
  const Result result = Search{settings}.run();
  for (const auto& [path, reason, attempts] : result.problems) {
    const std::string tries = attempts > 1 ? fmt::format(" (after {} attempts)", attempts) : "";
    fmt::print(stderr, "dupes: cannot read {}: {}{}\n", for_people(path), reason, tries);
  }
  if (settings.json) write_json(result);
  else if (settings.null) write_null(result);
  else write_text(result);
  if (std::fflush(stdout) != 0) throw std::system_error(errno, std::system_category(), "cannot write the result");
  return result.problems.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  const std::map<std::string, Mode> modes{
      {"serial", Mode::serial}, {"thread", Mode::thread}, {"process", Mode::process}, {"coroutine", Mode::coroutine}};
  bool no_bar = false;
  CLI::App app{"Finds files with the same content, and says what their copies cost.", "dupes"};
  app.add_option("FOLDER", settings.roots, "Where to look, files too; the current folder if nothing is given");
  app.add_option_function<std::string>("--mode", [&](const std::string& name) { settings.mode = modes.at(name); },
                                       "How to run: serial, thread (the default), process or coroutine")
      ->check(CLI::IsMember(modes))
      ->type_name("MODE");
  app.add_option("--workers", settings.workers, "How many files to read at a time; as many as there are CPUs if not given")
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
  app.add_option("--min-size", settings.min_size, "Leave out files smaller than this: 4096, 100KB, 2MiB; 1 if not given")
      ->transform(CLI::AsSizeValue(true))
      ->check(CLI::NonNegativeNumber)
      ->type_name("BYTES");
  CLI::Option* const json = app.add_flag("--json", settings.json, "Write JSON");
  app.add_flag("-0,--null", settings.null, "Write the names only, each with a zero byte behind it, one more behind each group")
      ->excludes(json);
  app.add_flag("--no-bar", no_bar, "Show no progress on the terminal");
  app.footer(
      "Hard links are one file. Symbolic links are not followed, except one that is given as an argument.\n"
      "What cannot be read is told on standard error, and does not stop the rest.\n\n"
      "Exit code: 0 if everything was read, 1 if something was not, 2 for wrong usage or if the result cannot be written.");
  try {
    app.parse(argc, argv);
    settings.bar = !no_bar && ::isatty(STDERR_FILENO) == 1;
    return run(settings);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "dupes: {}\n", error.what());
    return 2;
  }
}
