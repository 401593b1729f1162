// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Peers that are other programs.

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "measure.hpp"

namespace bench {

/// A program that is run as often as is asked for, to its end. It shares our standard error.
class Program {
 public:
  explicit Program(std::vector<std::string> words, std::string input = "/dev/null")
      : words_(std::move(words)), input_(std::move(input)) {}

  /// Whether it can be run, and ends with exit code 0; what it says is not shown.
  [[nodiscard]] bool works() const;
  /// From before its start to after its end. What it prints goes to /dev/null. Throws if it fails.
  [[nodiscard]] double seconds() const;
  /// What it prints. Throws if it fails.
  [[nodiscard]] std::string output() const;
  /// The number that it prints: its own measure of the time, if it leaves its start out.
  [[nodiscard]] double number() const { return std::stod(output()); }

 private:
  /// Its exit code, or 128 and more.
  [[nodiscard]] int run(int output, bool silent) const;
  void require_success(int code) const {
    if (code != 0) throw std::runtime_error(words_[0] + " has failed: exit code " + std::to_string(code));
  }

  std::vector<std::string> words_;
  std::string input_;
};

/// Debian's Python, to which its packages belong; where there is none, the first of the path.
[[nodiscard]] inline std::string python() {
  const char* const debian = "/usr/bin/python3";
  return ::access(debian, X_OK) == 0 ? debian : "python3";
}

// ---------------------------------------------------------------------------------------------------------------------

/// `output`: a descriptor; -1: /dev/null.
inline int Program::run(int output, bool silent) const {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input_.c_str(), O_RDONLY, 0);
  if (output < 0) ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  else ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  if (silent) ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::vector<std::string> words = words_;
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return 127;
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

inline bool Program::works() const { return run(-1, true) == 0; }

inline double Program::seconds() const {
  Stopwatch watch;
  const int code = run(-1, false);
  const double seconds = watch.seconds();
  require_success(code);
  return seconds;
}

/// By way of a file, which holds whatever it prints.
inline std::string Program::output() const {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::tmpfile(), std::fclose};
  if (!file) throw std::system_error(errno, std::generic_category(), "tmpfile");
  require_success(run(::fileno(file.get()), false));
  std::rewind(file.get());
  std::string text;
  for (int c = 0; (c = std::fgetc(file.get())) != EOF;) text += static_cast<char>(c);
  return text;
}

}  // namespace bench
