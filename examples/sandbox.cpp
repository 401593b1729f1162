// SPDX-License-Identifier: MIT

/// \file
/// sandbox: feeds files to a parser that nobody trusts, and tells which of them kill it, and how.
///
///     sandbox --timeout 2 --memory 512 ./libparser.so corpus/*
///
/// The parser is a shared library with the function that fuzzers call, `int LLVMFuzzerTestOneInput(const uint8_t*, size_t)`:
/// what is at hand for most parsers that were ever fuzzed. Every file is a task of a `TaskManager` in process mode. A worker
/// process loads the library and limits its own memory before its first file; a crash, a hang, an abort or an `exit` inside
/// of the parser costs the file it was at, and nothing else.
///
/// `sandbox --help` says what it promises.

#include <dlfcn.h>
#include <fmt/format.h>
#include <getopt.h>
#include <sys/resource.h>
#include <taskmgr/taskmgr.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using taskmgr::Mode, taskmgr::TaskError, taskmgr::TaskManager;
using Parser = int (*)(const std::uint8_t* data, std::size_t size);

constexpr std::string_view help = R"(Usage: sandbox [OPTION]... LIBRARY FILE...

Calls LLVMFuzzerTestOneInput of the shared LIBRARY for each FILE, in worker processes.
Each file that kills or stops the parser is told with the reason, in the order given.

  -t, --timeout SECONDS  for each file (10)
  -m, --memory MIB       of address space a worker may have (1024; 0: any)
  -j, --workers N        files at a time (the CPUs)
  -b, --bar              show a progress bar
      --help             show this

Exit code: 0 if the parser bore all files, 1 if not, 2 if nothing could be run.
)";

struct Arguments {
  double timeout = 10;
  unsigned long memory = 1024;
  std::size_t workers = 0;
  bool bar = false;
  bool help = false;
  std::string parser;  // the shared library that it is in
  std::vector<std::string> files;
};

/// Throws `std::invalid_argument` for what is no number, or a negative one.
double number(const char* option, const std::string& text) {
  std::size_t end = 0;
  double value = -1;
  try {
    value = std::stod(text, &end);
  } catch (const std::exception&) {
  }
  if (end != text.size() || !(value >= 0) || value > 1e9) {
    throw std::invalid_argument(fmt::format("--{} needs a number that is not negative, but got '{}'", option, text));
  }
  return value;
}

Arguments read_arguments(int argc, char** argv) {
  constexpr int help_option = 1000;
  const option options[] = {{"timeout", required_argument, nullptr, 't'}, {"memory", required_argument, nullptr, 'm'},
                            {"workers", required_argument, nullptr, 'j'}, {"bar", no_argument, nullptr, 'b'},
                            {"help", no_argument, nullptr, help_option},  {nullptr, 0, nullptr, 0}};
  Arguments result;
  for (int found; (found = getopt_long(argc, argv, "+t:m:j:b", options, nullptr)) != -1;) {
    switch (found) {
      case 't': result.timeout = number("timeout", optarg); break;
      case 'm': result.memory = static_cast<unsigned long>(number("memory", optarg)); break;
      case 'j': result.workers = static_cast<std::size_t>(number("workers", optarg)); break;
      case 'b': result.bar = true; break;
      case help_option: result.help = true; return result;
      default: throw std::invalid_argument("see sandbox --help");
    }
  }
  if (argc - optind < 2) throw std::invalid_argument("a library and at least one file are needed: see sandbox --help");
  result.parser = argv[optind];
  result.files.assign(argv + optind + 1, argv + argc);
  return result;
}

Parser load(const std::string& library) {
  void* const opened = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (opened == nullptr) throw std::runtime_error(dlerror());
  void* const found = dlsym(opened, "LLVMFuzzerTestOneInput");
  if (found == nullptr) throw std::runtime_error(dlerror());
  return reinterpret_cast<Parser>(found);
}

void limit_memory(unsigned long mebibytes) {
  if (mebibytes == 0) return;
  const rlimit most{mebibytes << 20U, mebibytes << 20U};
  if (setrlimit(RLIMIT_AS, &most) != 0) throw std::runtime_error("cannot limit the memory of a worker");
  const rlimit no_core{0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
}

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (!file) throw std::runtime_error("cannot be read");
  return bytes;
}

int run(const Arguments& arguments) {
  Parser parse = nullptr;  // of each worker its own: the library is never loaded into this process
  TaskManager sandbox{[&parse](const std::string& path) {
                        const std::string bytes = read(path);
                        return parse(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
                      },
                      {.mode = Mode::process,
                       .workers = arguments.workers,
                       .timeout = std::chrono::nanoseconds{static_cast<std::int64_t>(arguments.timeout * 1e9)},
                       .name = "sandbox",
                       .show_progress = arguments.bar,
                       .on_worker_start = [&](std::size_t) {
                         limit_memory(arguments.memory);
                         parse = load(arguments.parser);
                       }}};
  const auto report = sandbox.start(arguments.files);
  for (const auto& [path, error] : report.error_map()) {
    const bool dead = error.kind() != TaskError::Kind::exception;
    fmt::print("{}: {}\n", path, dead ? error.message() : error.type() + ": " + error.message());
  }
  fmt::print("{} files: {} borne, {} not\n", report.total - report.duplicates, report.succeeded, report.failed);
  return report.ok() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Arguments arguments = read_arguments(argc, argv);
    if (!arguments.help) return run(arguments);
    fmt::print("{}", help);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "sandbox: {}\n", error.what());
    return 2;
  }
}
