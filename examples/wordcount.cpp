// SPDX-License-Identifier: MIT

/// \file
/// wordcount: the most frequent words of the text files below a folder.
///
///     wordcount --top 20 /usr/share/doc
///     wordcount --json ~/notes | jq -r '.words[] | "\(.count) \(.word)"'
///
/// It counts what these count of a file:
///
///     tr 'A-Z' 'a-z' <FILE | tr -cs '0-9a-z\200-\377' '\n' | sort | uniq -c | sort -rn | head
///
/// So a word is made of ASCII letters, which count as small ones, of digits, and of all characters that are not ASCII.
///
/// How. A `TaskTree` whose initial tasks are the files. Each splits into blocks, which are counted some at a time, whichever
/// file they are of; what the blocks of a file come to is merged, and in the end the files are added up. A file that cannot be
/// read is an error with a reason, and the others are counted. The blocks need not know of each other: each has the words that
/// begin in it, and reads on until its last one ends.
///
/// A file with a zero byte in its first block is no text, and left out. Symbolic links are not followed, except one that is
/// given as an argument. Exit code: 0 if everything was read, 1 if something was not, 2 for wrong usage, or if the result could
/// not be written.

#include <fmt/format.h>
#include <sys/stat.h>
#include <taskmgr/taskmgr.hpp>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text.hpp"

namespace {

using taskmgr::Duplicates, taskmgr::Mode, taskmgr::TaskManager, taskmgr::TaskTree, taskmgr::TreeMode;
namespace fs = std::filesystem;

struct Settings {
  std::vector<std::string> roots{"."};
  TreeMode mode = TreeMode::pipeline;
  std::size_t workers = 0;
  std::size_t top = 10;
  std::uint64_t block = 256 * 1024;
  bool json = false;
};

/// What is at `path` cannot be read: what to tell.
struct Problem {
  std::string path;
  std::string reason;
};

// --- the stages ------------------------------------------------------------------------------------------------------

struct Text {
  std::string path;
  std::uint64_t size = 0;
  bool is_text = true;
};

/// The words that begin in [from, to).
struct Block {
  std::string path;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
};

using Word = std::pair<std::string, std::uint64_t>;
struct Counts {
  std::uint64_t bytes = 0;
  std::uint64_t lines = 0;
  std::uint64_t words = 0;
  std::vector<Word> by_word;  // in no order
};

class Sum {
 public:
  void add(const Counts& counts) {
    bytes_ += counts.bytes;
    lines_ += counts.lines;
    words_ += counts.words;
    for (const auto& [word, count] : counts.by_word) by_word_[word] += count;
  }
  [[nodiscard]] Counts counts() const { return {bytes_, lines_, words_, {by_word_.begin(), by_word_.end()}}; }

 private:
  std::uint64_t bytes_ = 0, lines_ = 0, words_ = 0;
  std::unordered_map<std::string, std::uint64_t> by_word_;
};

/// A file from a place on, byte by byte. Throws `std::system_error`.
class Bytes {
 public:
  Bytes(const std::string& path, std::uint64_t from) : file_{std::fopen(path.c_str(), "rbe"), &std::fclose}, at_(from) {
    if (file_ == nullptr || ::fseeko(file_.get(), static_cast<off_t>(from), SEEK_SET) != 0) fail();
  }
  /// Of the whole file.
  [[nodiscard]] std::uint64_t size() const {
    struct stat about {};
    if (::fstat(::fileno(file_.get()), &about) != 0) fail();
    return static_cast<std::uint64_t>(about.st_size);
  }
  /// Whether there is one more.
  [[nodiscard]] bool next(unsigned char& byte) {
    if (used_ == size_) {
      used_ = 0;
      size_ = std::fread(room_.data(), 1, room_.size(), file_.get());
      if (size_ == 0 && std::ferror(file_.get()) != 0) fail();
      if (size_ == 0) return false;
    }
    byte = room_[used_++];
    ++at_;
    return true;
  }
  /// How many bytes of the file lie before the next one.
  [[nodiscard]] std::uint64_t at() const noexcept { return at_; }

 private:
  [[noreturn]] static void fail() { throw std::system_error(errno, std::system_category()); }
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
  std::array<unsigned char, 16 * 1024> room_;  // NOLINT: written by fread
  std::size_t used_ = 0, size_ = 0;
  std::uint64_t at_;
};

/// What a byte is in a word, 0 if it is between words.
constexpr std::array<char, 256> letters = [] {
  std::array<char, 256> all{};
  for (std::size_t byte = 0; byte < all.size(); ++byte) {
    const bool upper = byte >= 'A' && byte <= 'Z';
    const bool taken = upper || (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte >= 0x80;
    if (taken) all[byte] = static_cast<char>(upper ? byte - 'A' + 'a' : byte);
  }
  return all;
}();

[[nodiscard]] Text look_at(const std::string& path) {
  Bytes bytes{path, 0};
  Text text{path, bytes.size(), true};
  unsigned char byte = 1;
  while (byte != 0 && bytes.at() < 16 * 1024 && bytes.next(byte)) continue;
  text.is_text = byte != 0;
  return text;
}

[[nodiscard]] std::vector<Block> blocks_of(const Text& text, std::uint64_t size) {
  std::vector<Block> blocks;
  for (std::uint64_t from = 0; text.is_text && from < text.size; from += size) {
    blocks.push_back({text.path, from, std::min(from + size, text.size)});
  }
  return blocks;
}

[[nodiscard]] Counts count_words(const Block& block) {
  Counts counts;
  std::unordered_map<std::string, std::uint64_t> by_word;
  std::string word;
  const auto end_word = [&] {
    if (word.empty()) return;
    ++counts.words;
    ++by_word[word];
    word.clear();
  };
  unsigned char byte = 0;
  Bytes bytes{block.path, block.from != 0 ? block.from - 1 : 0};
  bool began_before = block.from != 0 && bytes.next(byte) && letters[byte] != 0;
  while ((bytes.at() < block.to || !word.empty()) && bytes.next(byte)) {
    if (bytes.at() <= block.to) {
      ++counts.bytes;
      if (byte == '\n') ++counts.lines;
    }
    began_before = began_before && letters[byte] != 0;
    if (began_before) continue;
    if (letters[byte] != 0) word += letters[byte];
    else end_word();
  }
  end_word();
  counts.by_word.assign(by_word.begin(), by_word.end());
  return counts;
}

[[nodiscard]] Counts add_up(const std::vector<Counts>& blocks) {
  if (blocks.size() == 1) return blocks[0];
  Sum sum;
  for (const Counts& block : blocks) sum.add(block);
  return sum.counts();
}

// --- all of them -----------------------------------------------------------------------------------------------------

struct Result {
  std::size_t files = 0;
  std::size_t left_out = 0;
  Counts counts;
  std::vector<Problem> problems;
};

/// The files at and below `paths`.
[[nodiscard]] std::vector<std::string> files_below(std::vector<std::string> paths, std::vector<Problem>& problems) {
  std::vector<std::string> files, folders;
  std::error_code error;
  const auto sort_out = [&](const std::string& path, fs::file_type type) {
    if (type == fs::file_type::directory) folders.push_back(path);
    if (type == fs::file_type::regular) files.push_back(path);
  };
  for (const std::string& path : paths) {
    const fs::file_type type = fs::status(path, error).type();
    if (error) problems.push_back({path, error.message()});
    else sort_out(path, type);
  }
  while (!folders.empty()) {
    const std::string folder = std::move(folders.back());
    folders.pop_back();
    fs::directory_iterator entry{folder, error};
    for (; !error && entry != fs::directory_iterator{}; entry.increment(error)) {
      std::error_code gone;  // since then: it counts as if it had never been there
      sort_out(entry->path().native(), entry->symlink_status(gone).type());
    }
    if (error) problems.push_back({folder, error.message()});
  }
  std::sort(files.begin(), files.end());
  return files;
}

[[nodiscard]] Result count_all(const Settings& settings) {
  Result result;
  TaskTree<std::string> tree{"wordcount"};
  tree.set_mode(settings.mode);
  const auto texts = tree.root(TaskManager{look_at, {.name = "look"}});
  const auto blocks = tree.split(texts, TaskManager{[&](const Text& text) { return blocks_of(text, settings.block); },
                                                    {.duplicates = Duplicates::run, .name = "split"}});
  const auto counts = tree.then(blocks, TaskManager{count_words,
                                                    {.mode = Mode::thread,
                                                     .workers = settings.workers,
                                                     .duplicates = Duplicates::run,
                                                     .name = "count"}});
  const auto totals = tree.merge(TaskManager{add_up, {.name = "add up"}}, counts);

  const auto report = tree.start(files_below(settings.roots, result.problems));
  for (const auto& [path, error] : report.error_map()) result.problems.push_back({path, error.message()});
  Sum sum;
  for (const auto& [path, total] : report.results(totals)) {
    if (total.empty()) continue;  // an error
    if (!report.results(texts).at(path).front().is_text) {
      ++result.left_out;
      continue;
    }
    ++result.files;
    sum.add(total.front());
  }
  result.counts = sum.counts();
  return result;
}

// --- telling ---------------------------------------------------------------------------------------------------------

void write(const Result& result, const Settings& settings) {
  const Counts& counts = result.counts;
  std::vector<Word> words = counts.by_word;
  const auto end = words.begin() + static_cast<std::ptrdiff_t>(std::min(settings.top, words.size()));
  std::partial_sort(words.begin(), end, words.end(), [](const Word& a, const Word& b) {
    return std::tie(b.second, a.first) < std::tie(a.second, b.first);  // those that are as frequent by their bytes
  });
  words.erase(end, words.end());
  if (!settings.json) {
    for (const auto& [word, count] : words) fmt::print("{:>8} {}\n", count, text::for_people(word));
    fmt::print("{}, {} different, in {} and {} of {}; {} left out, {}\n", text::count_of(counts.words, "word"),
               counts.by_word.size(), text::count_of(counts.lines, "line"), text::human(counts.bytes),
               text::count_of(result.files, "file"), result.left_out, text::count_of(result.problems.size(), "error"));
    return;
  }
  std::string rows, errors;
  for (const auto& [word, count] : words) {
    rows += fmt::format("{}\n    {{\"word\": {}, \"count\": {}}}", rows.empty() ? "" : ",", text::in_json(word), count);
  }
  for (const auto& [path, reason] : result.problems) {
    errors += fmt::format("{}\n    {{{}, \"reason\": {}}}", errors.empty() ? "" : ",", text::path_in_json(path), text::in_json(reason));
  }
  fmt::print("{{\n  \"words\": [{}],\n  \"errors\": [{}],\n", rows, errors);
  fmt::print("  \"total\": {}, \"different\": {}, \"lines\": {}, \"bytes\": {}, \"files\": {}, \"left_out\": {}\n}}\n",
             counts.words, counts.by_word.size(), counts.lines, counts.bytes, result.files, result.left_out);
}

int run(const Settings& settings) {
  const Result result = count_all(settings);
  for (const auto& [path, reason] : result.problems) {
    fmt::print(stderr, "wordcount: cannot read {}: {}\n", text::for_people(path), reason);
  }
  write(result, settings);
  if (std::fflush(stdout) != 0) throw std::system_error(errno, std::system_category(), "cannot write the result");
  return result.problems.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  const std::map<std::string, TreeMode> modes{
      {"serial", TreeMode::serial}, {"pipeline", TreeMode::pipeline}, {"process", TreeMode::process}};
  CLI::App app{"The most frequent words of the text files below a folder.", "wordcount"};
  app.add_option("FOLDER", settings.roots, "Where to look, files too; the current folder if nothing is given");
  app.add_option("--top", settings.top, "How many words to show; 10 if not given")->type_name("N");
  app.add_option_function<std::string>("--mode", [&](const std::string& name) { settings.mode = modes.at(name); },
                                       "How the stages run: serial, pipeline (the default) or process")
      ->check(CLI::IsMember(modes))
      ->type_name("MODE");
  app.add_option("--workers", settings.workers, "How many blocks to count at a time; as many as there are CPUs if not given")
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
  app.add_option("--block", settings.block, "How large a block is: 4096, 64KB, 1MiB; 256KiB if not given")
      ->transform(CLI::AsSizeValue(true))
      ->check(CLI::PositiveNumber)
      ->type_name("BYTES");
  app.add_flag("--json", settings.json, "Write JSON");
  app.footer("Exit code: 0 if everything was read, 1 if something was not, 2 for wrong usage or if the result cannot be written.");
  try {
    app.parse(argc, argv);
    return run(settings);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "wordcount: {}\n", error.what());
    return 2;
  }
}
