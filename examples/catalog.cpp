// SPDX-License-Identifier: MIT

/// \file
/// catalog: writes an index.json into each folder, which says what its files are, and small versions of its images.
///
///     catalog ~/scans
///     jq -r '.files[] | select(.kind == "image") | .thumbnail' ~/scans/index.json
///
/// How. A `TaskTree` whose initial tasks are the folders. Each splits into its files, which are routed by how they begin:
///
///     folder -> files -> kind -> image: a thumbnail in .thumbnails/ ---> index.json
///                             -> text: its first line, and how many --->
///                             -> anything else: its XXH3 digest ------->
///
/// and merged again: when all files of a folder are done, its index is written. A file that cannot be read has its reason in
/// the index; if a folder cannot be read, or its index not be written, the others are.
///
/// Images are binary PPM and PGM files (P6, P5) with 8 bits a sample. Text is a file without a zero byte in its first 4 KiB. Names
/// that begin with a dot, and index.json, are left out. Symbolic links are not followed, except one that is given as an argument.
/// Exit code: 0 if all went well, 1 if something could not be read or written, 2 for wrong usage.

#include <fmt/format.h>
#include <taskmgr/taskmgr.hpp>
#include <xxhash.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "text.hpp"

namespace {

using taskmgr::Duplicates, taskmgr::Mode, taskmgr::TaskManager, taskmgr::TaskTree, taskmgr::TreeMode;
namespace fs = std::filesystem;

struct Settings {
  std::vector<std::string> roots{"."};
  TreeMode mode = TreeMode::pipeline;
  std::size_t workers = 0;
  std::size_t size = 64;  // the width or height of a thumbnail, whichever is more
};

// --- what goes from stage to stage -----------------------------------------------------------------------------------

struct Folder {
  std::string path;
  std::vector<std::string> names;  // of its files, in order
};
struct File {
  std::string folder;
  std::string name;
  [[nodiscard]] std::string path() const { return folder + '/' + name; }
};
struct Image {
  File file;
};
struct Text {
  File file;
};
struct Other {
  File file;
  std::string why;  // it cannot be read, if it cannot
};
using Kind = std::variant<Image, Text, Other>;

/// A file of an index: what is known of it, as members of a JSON object, or why nothing is.
struct Entry {
  std::string name;
  std::string members;
  std::string problem;
};
struct Index {
  std::size_t files = 0;
  std::vector<std::string> problems;
};

// --- the stages ------------------------------------------------------------------------------------------------------

[[nodiscard]] std::string error_text() { return std::system_category().message(errno); }

[[nodiscard]] std::string read(const std::string& path, std::size_t most = std::string::npos) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::fopen(path.c_str(), "rbe"), &std::fclose};
  if (file == nullptr) throw std::runtime_error(error_text());
  std::string bytes;
  for (std::size_t got = 1; got != 0 && bytes.size() < most;) {
    const std::size_t before = bytes.size();
    bytes.resize(before + std::min<std::size_t>(most - before, 64 * 1024));
    got = std::fread(bytes.data() + before, 1, bytes.size() - before, file.get());
    bytes.resize(before + got);
  }
  if (std::ferror(file.get()) != 0) throw std::runtime_error(error_text());
  return bytes;
}

void write(const std::string& path, std::string_view bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) throw std::runtime_error(fmt::format("cannot write {}: {}", text::for_people(path), error_text()));
}

[[nodiscard]] Folder list(const std::string& path) {
  Folder folder{path, {}};
  std::error_code error;
  fs::directory_iterator entry{path, error};
  for (; !error && entry != fs::directory_iterator{}; entry.increment(error)) {
    const std::string name = entry->path().filename().native();
    const bool left_out = name.starts_with('.') || name == "index.json";
    std::error_code gone;
    if (!left_out && entry->symlink_status(gone).type() == fs::file_type::regular) folder.names.push_back(name);
  }
  if (error) throw std::runtime_error(error.message());
  std::sort(folder.names.begin(), folder.names.end());
  return folder;
}

[[nodiscard]] std::vector<File> files_of(const Folder& folder) {
  std::vector<File> files;
  for (const std::string& name : folder.names) files.push_back({folder.path, name});
  return files;
}

[[nodiscard]] Kind kind_of(const File& file) {
  try {
    const std::string start = read(file.path(), 4096);
    if (start.starts_with("P5") || start.starts_with("P6")) return Image{file};
    if (start.find('\0') == std::string::npos) return Text{file};
    return Other{file, {}};
  } catch (const std::exception& error) {
    return Other{file, error.what()};
  }
}

struct Picture {
  std::size_t width = 0, height = 0, samples = 0;  // a pixel
  std::string bytes;                               // row by row
};

/// Throws `std::runtime_error` for what is no such image.
[[nodiscard]] Picture parse(const std::string& file) {
  std::size_t at = 2;
  const auto number = [&] {
    for (; at < file.size(); ++at) {
      if (file[at] == '#') at = std::min(file.find('\n', at), file.size() - 1);
      else if (std::isspace(static_cast<unsigned char>(file[at])) == 0) break;
    }
    std::size_t value = 0;
    const std::size_t first = at;
    for (; at < file.size() && file[at] >= '0' && file[at] <= '9' && value < 1'000'000; ++at) {
      value = 10 * value + static_cast<std::size_t>(file[at] - '0');
    }
    if (at == first) throw std::runtime_error("no PPM or PGM image: a number is missing");
    return value;
  };
  Picture picture{.width = number(), .height = number(), .samples = file[1] == '6' ? 3U : 1U, .bytes = {}};
  if (number() != 255) throw std::runtime_error("an image with more or less than 8 bits a sample");
  const std::size_t size = picture.width * picture.height * picture.samples;
  if (size == 0 || file.size() - at < size + 1) throw std::runtime_error("an image that ends too early");
  picture.bytes = file.substr(at + 1, size);
  return picture;
}

/// Each pixel is the mean of those that it stands for.
[[nodiscard]] Picture shrink(const Picture& from, std::size_t most) {
  const std::size_t by = (std::max(from.width, from.height) + most - 1) / most;
  Picture to{(from.width + by - 1) / by, (from.height + by - 1) / by, from.samples, {}};
  for (std::size_t y = 0; y < from.height; y += by) {
    for (std::size_t x = 0; x < from.width; x += by) {
      for (std::size_t sample = 0; sample < from.samples; ++sample) {
        std::size_t sum = 0, count = 0;
        for (std::size_t v = y; v < std::min(y + by, from.height); ++v) {
          for (std::size_t u = x; u < std::min(x + by, from.width); ++u, ++count) {
            sum += static_cast<unsigned char>(from.bytes[(v * from.width + u) * from.samples + sample]);
          }
        }
        to.bytes += static_cast<char>((sum + count / 2) / count);
      }
    }
  }
  return to;
}

/// The entry whose members `look` gives. What it throws is the file's problem, and not that of its folder.
template <class F>
[[nodiscard]] Entry entry(const File& file, F look) {
  try {
    return {file.name, look(file.path()), {}};
  } catch (const std::exception& error) {
    return {file.name, "\"error\": " + text::in_json(error.what()), error.what()};
  }
}

[[nodiscard]] Entry thumbnail(const Image& image, std::size_t most) {
  return entry(image.file, [&](const std::string& path) {
    const Picture picture = parse(read(path));
    const Picture small = shrink(picture, most);
    const int kind = small.samples == 3 ? 6 : 5;
    const std::string folder = image.file.folder + "/.thumbnails";
    std::error_code there;
    fs::create_directory(folder, there);
    write(folder + '/' + image.file.name, fmt::format("P{}\n{} {}\n255\n{}", kind, small.width, small.height, small.bytes));
    return fmt::format("\"kind\": \"image\", \"width\": {}, \"height\": {}, \"thumbnail\": {}", picture.width, picture.height,
                       text::in_json(".thumbnails/" + image.file.name));
  });
}

[[nodiscard]] Entry first_line(const Text& text) {
  return entry(text.file, [](const std::string& path) {
    const std::string bytes = read(path);
    const auto ends = std::count(bytes.begin(), bytes.end(), '\n');
    return fmt::format("\"kind\": \"text\", \"lines\": {}, \"first\": {}", bytes.empty() || bytes.ends_with('\n') ? ends : ends + 1,
                       text::in_json(bytes.substr(0, bytes.find('\n'))));
  });
}

[[nodiscard]] Entry digest(const Other& other) {
  return entry(other.file, [&](const std::string& path) {
    if (!other.why.empty()) throw std::runtime_error(other.why);
    const std::string bytes = read(path);
    return fmt::format("\"kind\": \"other\", \"bytes\": {}, \"xxh3\": \"{:016x}\"", bytes.size(),
                       XXH3_64bits(bytes.data(), bytes.size()));
  });
}

/// Called once for each folder, with its files of each kind.
[[nodiscard]] Index write_index(const std::vector<Folder>& folder, std::vector<Entry> images, const std::vector<Entry>& texts,
                                const std::vector<Entry>& others) {
  std::vector<Entry> all = std::move(images);
  all.insert(all.end(), texts.begin(), texts.end());
  all.insert(all.end(), others.begin(), others.end());
  std::sort(all.begin(), all.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
  Index index{all.size(), {}};
  std::string rows;
  for (const Entry& file : all) {
    rows += fmt::format("{}\n    {{\"name\": {}, {}}}", rows.empty() ? "" : ",", text::in_json(file.name), file.members);
    if (!file.problem.empty()) {
      index.problems.push_back(fmt::format("{}: {}", text::for_people(folder[0].path + '/' + file.name), file.problem));
    }
  }
  write(folder[0].path + "/index.json", fmt::format("{{\n  \"files\": [{}]\n}}\n", rows));
  return index;
}

// --- all of them -----------------------------------------------------------------------------------------------------

/// `folder`, and those below it. One that cannot be read is told of by the task that it becomes.
void add_folders(const std::string& folder, std::vector<std::string>& all) {
  all.push_back(folder);
  std::error_code error;
  fs::directory_iterator entry{folder, error};
  for (; !error && entry != fs::directory_iterator{}; entry.increment(error)) {
    const bool hidden = entry->path().filename().native().starts_with('.');
    std::error_code gone;
    if (!hidden && entry->symlink_status(gone).type() == fs::file_type::directory) add_folders(entry->path().native(), all);
  }
}

int run(const Settings& settings) {
  const auto options = [&](const char* name) {
    return taskmgr::Options{.mode = Mode::thread, .workers = settings.workers, .duplicates = Duplicates::run, .name = name};
  };
  TaskTree<std::string> tree{"catalog"};
  tree.set_mode(settings.mode);
  const auto folders = tree.root(TaskManager{list, {.name = "list"}});
  const auto files = tree.split(folders, files_of);
  const auto kinds = tree.route(files, TaskManager{kind_of, options("kind")});
  const auto images = tree.then(kinds.get<Image>(), TaskManager{[&](const Image& image) { return thumbnail(image, settings.size); },
                                                                options("thumbnail")});
  const auto texts = tree.then(kinds.get<Text>(), TaskManager{first_line, options("first line")});
  const auto others = tree.then(kinds.get<Other>(), TaskManager{digest, options("digest")});
  const auto indexes = tree.merge(TaskManager{write_index, {.name = "index"}}, folders, images, texts, others);

  std::vector<std::string> all;
  for (const std::string& root : settings.roots) add_folders(root, all);
  const auto report = tree.start(all);

  std::size_t written = 0, entries = 0, problems = 0;
  const auto tell = [&](const std::string& problem) {
    ++problems;
    fmt::print(stderr, "catalog: {}\n", problem);
  };
  for (const auto& [folder, error] : report.error_map()) tell(text::for_people(folder) + ": " + error.message());
  for (const auto& [folder, index] : report.results(indexes)) {
    if (index.empty()) continue;  // an error
    ++written;
    entries += index[0].files;
    for (const std::string& problem : index[0].problems) tell(problem);
  }
  fmt::print("{} of {}, {}\n", written == 1 ? "1 index" : fmt::format("{} indexes", written), text::count_of(entries, "file"),
             text::count_of(problems, "error"));
  return problems == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  const std::map<std::string, TreeMode> modes{
      {"serial", TreeMode::serial}, {"pipeline", TreeMode::pipeline}, {"process", TreeMode::process}};
  CLI::App app{"Writes an index.json into each folder, and small versions of its images.", "catalog"};
  app.add_option("FOLDER", settings.roots, "Where to look, and in all folders below; the current folder if nothing is given");
  app.add_option("--size", settings.size, "How wide and high a thumbnail is at most; 64 if not given")
      ->check(CLI::Range(1, 65536))
      ->type_name("PIXELS");
  app.add_option_function<std::string>("--mode", [&](const std::string& name) { settings.mode = modes.at(name); },
                                       "How the stages run: serial, pipeline (the default) or process")
      ->check(CLI::IsMember(modes))
      ->type_name("MODE");
  app.add_option("--workers", settings.workers, "How many files of a kind to read at a time; as many as there are CPUs if not given")
      ->check(CLI::Range(1, 4096))
      ->type_name("N");
  app.footer("Exit code: 0 if all went well, 1 if something could not be read or written, 2 for wrong usage.");
  try {
    app.parse(argc, argv);
    return run(settings);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "catalog: {}\n", error.what());
    return 2;
  }
}
