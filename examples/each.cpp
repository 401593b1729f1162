// SPDX-License-Identifier: MIT

/// \file
/// each: runs a command for each line of its input, several at a time, as people use `xargs -P` and GNU parallel.
///
///     each gzip -9k ::: *.log
///     find . -name '*.png' -print0 | each -0 --bar --retries 2 --timeout 30 --joblog jobs.tsv cwebp {} -o {}.webp
///
/// How. A job is a task of a `TaskManager`: it is run again when it fails, asked to stop at its deadline, kept in order and
/// counted by the library, which also decides when to halt and shows the bar. The lines are pulled through
/// `TaskManager::stream`, a few ahead of the jobs: endless input works, and memory stays flat. What is left for this file: to
/// read lines, to run a process, and an `Observer` that writes what became of each job as soon as that is known. It all comes
/// together in `run_all`, near the end.
///
/// `each --help` says what it promises.

#include <fcntl.h>
#include <fmt/format.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <taskmgr/taskmgr.hpp>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <iterator>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using taskmgr::Mode, taskmgr::TaskManager;

constexpr const char* help = R"(usage: each [OPTION]... COMMAND [WORD]... [::: ARGUMENT...]

Runs COMMAND once for each line of standard input, or for each ARGUMENT, several at a time.

In the words of the command, {} stands for the line, {#} for the number of the job, and {%} for the number of the worker
that runs it, both from 1. Where none of them occurs, the line is added as a last word. It reaches the command as one word,
whatever it holds: no shell is involved, unless the command is one:  each sh -c 'wc -l "$1" | sort' sh {}  Equal lines are
all run; an empty line is an empty word. Jobs read nothing: their standard input is /dev/null.

  -j, --jobs N         run N jobs at a time; as many as there are CPUs if not given
  -0, --null           lines end with a zero byte, as find -print0 writes them
  -k, --keep-order     write output in the order of the input
      --retries N      run a failed job up to N times more
      --retry-delay T  wait so long before the first retry, twice as long before the next, ...; 0.1 if not given
      --timeout T      end a run that takes longer; it has failed then
      --halt WHEN      soon,fail=N: start no new job when N have failed; now,fail=N: and end those that run;
                       fail=P% instead: when so many of the jobs that ended have failed, looked at from the 20th on
      --joblog FILE    write a table of the jobs: a line each, as they end, separated by tabs
      --bar            show progress on standard error
      --help           print this

Times are seconds, or end with ms, s, m or h.

Output. What a job writes is kept whole: its standard output and its standard error are held in memory, and each is written
to ours in one piece when the job has ended. Of a job that is run again, the last run's is written. A job has ended when its
command has: what that leaves running in the background is left alone.

Stopping. Each job has a process group of its own. To end a job, at its timeout, by --halt now, or when each gets SIGINT,
SIGTERM or SIGHUP, that group gets SIGTERM; what is left of it when the command has ended, or 200 ms later, gets SIGKILL.

A job fails if its command ends with another exit code than 0, is killed by a signal, takes too long, or cannot be started
(which is tried again only if it may work then). A line for each of them goes to standard error, and a last line that counts.

The job log has the columns of GNU parallel: Seq Host Starttime JobRuntime Send Receive Exitval Signal Command. It tells of a
job's last run. Exitval is 127 where there is no such command, 126 where it cannot be started, -1 after a timeout.

Exit code: the number of jobs that failed, 101 if more than 100 did; 255 for wrong usage, or if each cannot do its own work.
After a signal, each dies of that signal.
)";

// --- settings --------------------------------------------------------------------------------------------------------

struct Settings {
  std::size_t jobs = 0;
  char line_end = '\n';
  bool keep_order = false;
  bool bar = false;
  taskmgr::Retry retry{};
  nanoseconds timeout{0};
  taskmgr::Halt halt{};
  bool halt_now = false;
  std::string joblog;
  std::vector<std::string> command;
  std::optional<std::vector<std::string>> arguments;  // those after :::
};

/// The command line is wrong; what is to be said about it.
class WrongUsage : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

template <class Number>
[[nodiscard]] Number number_in(std::string_view text, std::string_view option, Number least, Number most, std::string_view what) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || !(number >= least && number <= most)) {
    throw WrongUsage(fmt::format("{} takes {}, not '{}'", option, what, text));
  }
  return number;
}

[[nodiscard]] nanoseconds time_in(std::string_view text, std::string_view option) {
  constexpr std::array<std::pair<std::string_view, double>, 4> units{{{"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}}};
  std::string_view number = text;
  double unit = 1;
  for (const auto& [name, seconds] : units) {
    if (!number.ends_with(name)) continue;
    number.remove_suffix(name.size());
    unit = seconds;
    break;
  }
  constexpr double longest = 1e9;  // more than 30 years: nanoseconds do not reach much further
  const double count = number_in(number, option, 0.0, longest / unit, "a time such as 2, 0.5 or 10m");
  return std::chrono::duration_cast<nanoseconds>(std::chrono::duration<double>(count * unit));
}

void read_halt(std::string_view text, Settings& settings) {
  constexpr std::string_view forms = "soon,fail=N, soon,fail=P%, now,fail=N or now,fail=P%";
  const std::size_t number_at = text.find('=') + 1;
  const std::string_view when = text.substr(0, number_at), number = text.substr(number_at);
  if (when != "soon,fail=" && when != "now,fail=") throw WrongUsage(fmt::format("--halt takes {}, not '{}'", forms, text));
  settings.halt_now = when == "now,fail=";
  if (number.ends_with('%')) {
    settings.halt.failure_ratio = number_in(number.substr(0, number.size() - 1), "--halt", 1e-6, 100.0, forms) / 100;
  } else {
    settings.halt.failures = number_in<std::size_t>(number, "--halt", 1, SIZE_MAX, forms);
  }
}

[[nodiscard]] Settings read_command_line(int argc, char** argv) {
  enum Option { retries = 256, retry_delay, timeout, halt, joblog, bar, show_help };
  static constexpr std::array<option, 11> options{{{"jobs", required_argument, nullptr, 'j'},
                                                   {"null", no_argument, nullptr, '0'},
                                                   {"keep-order", no_argument, nullptr, 'k'},
                                                   {"retries", required_argument, nullptr, retries},
                                                   {"retry-delay", required_argument, nullptr, retry_delay},
                                                   {"timeout", required_argument, nullptr, timeout},
                                                   {"halt", required_argument, nullptr, halt},
                                                   {"joblog", required_argument, nullptr, joblog},
                                                   {"bar", no_argument, nullptr, bar},
                                                   {"help", no_argument, nullptr, show_help},
                                                   {nullptr, 0, nullptr, 0}}};
  Settings settings;
  opterr = 0;
  for (int found = 0; (found = ::getopt_long(argc, argv, "+:j:0k", options.data(), nullptr)) != -1;) {
    const std::string_view value = optarg != nullptr ? optarg : "";
    switch (found) {
      case 'j': settings.jobs = number_in<std::size_t>(value, "--jobs", 1, 100'000, "a number of jobs from 1 on"); break;
      case '0': settings.line_end = '\0'; break;
      case 'k': settings.keep_order = true; break;
      case retries: settings.retry.max_retries = number_in(value, "--retries", 0, 1'000'000, "a number of retries"); break;
      case retry_delay: settings.retry.base_delay = time_in(value, "--retry-delay"); break;
      case timeout: settings.timeout = time_in(value, "--timeout"); break;
      case halt: read_halt(value, settings); break;
      case joblog: settings.joblog = value; break;
      case bar: settings.bar = true; break;
      case show_help: fmt::print("{}", help); std::exit(0);
      case ':': throw WrongUsage(fmt::format("{} takes a value", argv[optind - 1]));
      default:
        if (optopt > 0 && optopt < 256) throw WrongUsage(fmt::format("there is no option -{}", static_cast<char>(optopt)));
        throw WrongUsage(fmt::format("{} is no option, or takes no value", argv[optind - 1]));
    }
  }
  for (int k = optind; k < argc; ++k) {
    if (std::string_view{argv[k]} != ":::") (settings.arguments ? *settings.arguments : settings.command).emplace_back(argv[k]);
    else if (!std::exchange(settings.arguments, std::vector<std::string>{})) continue;
    else throw WrongUsage("only one ::: is possible");
  }
  if (settings.command.empty()) throw WrongUsage("which command shall be run? To run each line as one: each sh -c");
  return settings;
}

// --- jobs ------------------------------------------------------------------------------------------------------------

/// The words of a command, for one job after another.
class Command {
 public:
  explicit Command(std::vector<std::string> words) : words_(std::move(words)) {
    const auto is_pattern = [](const std::string& word) { return fill(word, "", "", "") != word; };
    if (std::none_of(words_.begin(), words_.end(), is_pattern)) words_.emplace_back("{}");
  }

  [[nodiscard]] std::vector<std::string> words(std::string_view argument, std::uint64_t job, std::size_t worker) const {
    std::vector<std::string> filled;
    for (const std::string& word : words_) filled.push_back(fill(word, argument, std::to_string(job), std::to_string(worker)));
    return filled;
  }

 private:
  static std::string fill(std::string_view word, std::string_view argument, std::string_view job, std::string_view worker) {
    std::string filled;
    while (!word.empty()) {
      const auto replace = [&](std::string_view mark, std::string_view by) {
        if (!word.starts_with(mark)) return false;
        filled += by;
        word.remove_prefix(mark.size());
        return true;
      };
      if (replace("{}", argument) || replace("{#}", job) || replace("{%}", worker)) continue;
      filled += word.front();
      word.remove_prefix(1);
    }
    return filled;
  }

  std::vector<std::string> words_;
};

/// As a shell would have to be told it, and on one line.
[[nodiscard]] std::string shell_word(std::string_view word) {
  constexpr std::string_view harmless = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_^";
  if (!word.empty() && word.find_first_not_of(harmless) == word.npos) return std::string{word};
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  const bool controls = std::any_of(word.begin(), word.end(), is_control);
  std::string out = controls ? "$'" : "'";
  for (const char c : word) {
    if (is_control(c)) out += fmt::format("\\{:03o}", static_cast<unsigned char>(c));
    else if (controls && (c == '\'' || c == '\\')) (out += '\\') += c;
    else if (c == '\'') out += R"('\'')";
    else out += c;
  }
  return out + '\'';
}

/// A run of a job, as far as it has got.
struct JobRun {
  std::vector<std::string> words;
  std::chrono::system_clock::time_point started = std::chrono::system_clock::now();
  nanoseconds took{0};
  int status = W_EXITCODE(126, 0);  // as from waitpid
  std::string output, errors;
};

/// The command of a job has ended with a failure.
class CommandFailed : public taskmgr::Error {
 public:
  explicit CommandFailed(int status) : Error(what_was(status)) {}

 private:
  static std::string what_was(int status) {
    if (!WIFSIGNALED(status)) return fmt::format("exit code {}", WEXITSTATUS(status));
    return fmt::format("killed by signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  }
};

/// The command of a job cannot be started, and will not be the next time either.
class CannotStart : public taskmgr::Error {
 public:
  explicit CannotStart(const std::string& reason) : Error("cannot be started: " + reason) {}
};

// --- processes -------------------------------------------------------------------------------------------------------

[[noreturn]] void fail(const char* what, int error = errno) { throw std::system_error(error, std::system_category(), what); }

/// A file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { close(); }
  void close() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// A descriptor that can be read as soon as stop is requested.
class StopBell {
 public:
  explicit StopBell(std::stop_token token)
      : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), ring_(std::move(token), Ring{fd_.get()}) {
    if (!fd_.is_open()) fail("eventfd");
  }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }

 private:
  struct Ring {
    int fd;
    void operator()() const noexcept { ::eventfd_write(fd, 1); }
  };
  Fd fd_;
  std::stop_callback<Ring> ring_;
};

/// What a process writes to one of its standard streams.
class Output {
 public:
  explicit Output(std::string& text) : text_(text) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) fail("pipe");
    from_ = Fd{ends[0]};
    to_ = Fd{ends[1]};
  }
  [[nodiscard]] int for_child() const noexcept { return to_.get(); }
  void close_for_child() noexcept { to_.close(); }

  [[nodiscard]] int fd() const noexcept { return from_.get(); }
  [[nodiscard]] bool is_open() const noexcept { return from_.is_open(); }

  /// Something is there, or it is the end.
  std::size_t read() {
    thread_local std::array<char, 64 * 1024> room;
    const ssize_t got = ::read(from_.get(), room.data(), room.size());
    if (got < 0 && errno == EINTR) return 0;
    if (got < 0) fail("read");
    if (got == 0) from_.close();
    text_.append(room.data(), static_cast<std::size_t>(got));
    return static_cast<std::size_t>(got);
  }

  /// What is there now, and no more: somebody in the background may never stop writing.
  void read_rest() {
    int there = 0;
    if (!is_open() || ::ioctl(from_.get(), FIONREAD, &there) != 0) return;
    for (auto rest = static_cast<std::size_t>(there); rest > 0 && is_open();) rest -= std::min(rest, read());
  }

 private:
  std::string& text_;
  Fd from_, to_;
};

/// A command on its way.
class Process {
 public:
  /// Starts it in a process group of its own, with `mask` as the signals that it blocks.
  Process(JobRun& run, const sigset_t& mask) : run_(run), output_(run.output), errors_(run.errors) {
    struct Actions : posix_spawn_file_actions_t {
      Actions() { ::posix_spawn_file_actions_init(this); }
      Actions(const Actions&) = delete;
      Actions& operator=(const Actions&) = delete;
      ~Actions() { ::posix_spawn_file_actions_destroy(this); }
    } actions;
    struct Attributes : posix_spawnattr_t {
      Attributes() { ::posix_spawnattr_init(this); }
      Attributes(const Attributes&) = delete;
      Attributes& operator=(const Attributes&) = delete;
      ~Attributes() { ::posix_spawnattr_destroy(this); }
    } attributes;
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, output_.for_child(), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, errors_.for_child(), STDERR_FILENO);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setsigmask(&attributes, &mask);
    std::vector<char*> argv;
    for (std::string& word : run.words) argv.push_back(word.data());
    argv.push_back(nullptr);

    const int error = ::posix_spawnp(&pid_, argv[0], &actions, &attributes, argv.data(), environ);
    if (error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE) fail("cannot be started", error);
    if (error == ENOENT) run.status = W_EXITCODE(127, 0);
    if (error != 0) throw CannotStart(std::system_category().message(error));
    output_.close_for_child();
    errors_.close_for_child();
    exit_ = Fd{static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0))};  // where there is none, we look now and then
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    if (pid_ > 0) {  // left by an exception
      ::kill(-pid_, SIGKILL);
      while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
  }

  /// Returns when the command has ended; ends it when `bell` rings: then false.
  bool wait(const StopBell& bell) {
    while (!ended_ && !attend(bell.fd(), never)) {
    }
    const bool undisturbed = ended_;
    if (!undisturbed) {
      const auto deadline = Clock::now() + 200ms;
      ::kill(-pid_, SIGTERM);
      while ((!ended_ || output_.is_open() || errors_.is_open()) && Clock::now() < deadline) attend(-1, deadline);
      ::kill(-pid_, SIGKILL);  // until it has been waited for, nobody else can get its number
      while (!ended_) attend(-1, never);
    }
    output_.read_rest();
    errors_.read_rest();
    while (::waitpid(pid_, &run_.status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    return undisturbed;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr Clock::time_point never = Clock::time_point::max();

  /// Waits for what comes next, and attends to it. Did the bell ring?
  bool attend(int bell, Clock::time_point deadline) {
    std::array<pollfd, 4> fds{{{bell, POLLIN, 0},
                               {ended_ ? -1 : exit_.get(), POLLIN, 0},
                               {output_.fd(), POLLIN, 0},
                               {errors_.fd(), POLLIN, 0}}};
    auto patience = -1ms;
    if (deadline != never) patience = std::max(std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()), 0ms);
    const bool looks = !ended_ && !exit_.is_open();
    if (looks) patience = 10ms;
    if (::poll(fds.data(), fds.size(), static_cast<int>(patience.count())) < 0 && errno != EINTR) fail("poll");
    if (fds[2].revents != 0) output_.read();
    if (fds[3].revents != 0) errors_.read();
    if (fds[1].revents != 0 || looks) {
      siginfo_t info{};
      ended_ = ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_;
    }
    return fds[0].revents != 0;
  }

  JobRun& run_;
  Output output_, errors_;
  Fd exit_;
  pid_t pid_ = 0;
  bool ended_ = false;
};

// --- input and output ------------------------------------------------------------------------------------------------

/// The lines of a file, read as they are asked for. They end when stop is requested.
class Lines {
 public:
  Lines(int fd, char end, std::stop_token token) : fd_(fd), end_(end), stop_(std::move(token)) {}

  class iterator {
   public:
    using value_type = std::string;
    using difference_type = std::ptrdiff_t;
    explicit iterator(Lines& lines) : lines_(&lines) { ++*this; }
    [[nodiscard]] const std::string& operator*() const noexcept { return line_; }
    iterator& operator++() {
      at_end_ = !lines_->next(line_);
      return *this;
    }
    void operator++(int) { ++*this; }
    [[nodiscard]] bool operator==(std::default_sentinel_t) const noexcept { return at_end_; }

   private:
    Lines* lines_;
    std::string line_;
    bool at_end_ = false;
  };
  [[nodiscard]] iterator begin() { return iterator{*this}; }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

 private:
  bool next(std::string& line) {
    line.clear();
    for (;;) {
      const std::size_t end = read_.find(end_, at_);
      line.append(read_, at_, end - at_);  // all of it, where there is no end
      if (end != read_.npos) {
        at_ = end + 1;
        return true;
      }
      at_ = 0;
      if (!read_more()) return false;  // half a line is none
      if (read_.empty()) return !line.empty();
    }
  }

  /// Whether there was time: with stop requested, false. At the end it reads nothing.
  bool read_more() {
    for (;;) {
      std::array<pollfd, 2> fds{{{fd_, POLLIN, 0}, {stop_.fd(), POLLIN, 0}}};
      if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) fail("poll");
      if (fds[1].revents != 0) return false;
      if (fds[0].revents == 0) continue;
      read_.resize(64 * 1024);
      const ssize_t got = ::read(fd_, read_.data(), read_.size());
      if (got < 0 && errno != EINTR && errno != EAGAIN) fail("cannot read the lines");
      read_.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
      if (got >= 0) return true;
    }
  }

  int fd_;
  char end_;
  StopBell stop_;
  std::string read_;
  std::size_t at_ = 0;
};

/// 0, or why not all of it could be written.
[[nodiscard]] int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = ::write(fd, text.data(), text.size());
    if (wrote >= 0) {
      text.remove_prefix(static_cast<std::size_t>(wrote));
    } else if (errno == EAGAIN) {
      pollfd room{fd, POLLOUT, 0};
      ::poll(&room, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

/// Writes what became of each job as soon as the library says that it is final.
class Reporter : public taskmgr::Observer {
 public:
  Reporter(const Settings& settings, std::stop_source stop) : settings_(settings), stop_(std::move(stop)) {
    if (settings.joblog.empty()) return;
    joblog_ = Fd{::open(settings.joblog.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)};
    if (!joblog_.is_open()) fail(settings.joblog.c_str());
    write(joblog_.get(), "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n");
  }

  /// Where a worker keeps a new run of a job. What there was of an earlier run is gone.
  [[nodiscard]] JobRun& begin(std::uint64_t job) {
    const std::scoped_lock lock(mutex_);
    return runs_.insert_or_assign(job, JobRun{}).first->second;  // stays where it is, whatever else comes and goes
  }

  /// Why standard output or the job log could not be written; 0 if they could.
  [[nodiscard]] int error() const noexcept { return error_; }

  [[nodiscard]] bool wants(taskmgr::EventKind kind) const override {
    using enum taskmgr::EventKind;
    return kind == task_succeeded || kind == task_failed || kind == task_cancelled;
  }

  void on_event(const taskmgr::Event& event) override {
    JobRun run = take(event.task);
    if (!run.words.empty()) conclude(event, run);
    halt_now(event.kind);
    if (!settings_.keep_order) return write(run);
    waiting_.emplace(event.task, std::move(run));
    for (auto next = waiting_.begin(); next != waiting_.end() && next->first == turn_; next = waiting_.erase(next)) {
      write(next->second);
      ++turn_;
    }
  }

 private:
  /// The last run of a job; an empty one, if it was cancelled before it ran.
  [[nodiscard]] JobRun take(std::uint64_t job) {
    const std::scoped_lock lock(mutex_);
    auto node = runs_.extract(job);
    return node.empty() ? JobRun{} : std::move(node.mapped());
  }

  /// Logs the job, and puts the reason of a failure behind what it wrote.
  void conclude(const taskmgr::Event& event, JobRun& run) {
    std::string command;
    for (const std::string& word : run.words) (command += command.empty() ? "" : " ") += shell_word(word);
    if (joblog_.is_open()) {
      const bool timed_out = event.error != nullptr && event.error->kind() == taskmgr::TaskError::Kind::timeout;
      const int exit_code = timed_out ? -1 : WIFEXITED(run.status) ? WEXITSTATUS(run.status) : 0;
      const int signal = WIFSIGNALED(run.status) ? WTERMSIG(run.status) : 0;
      const std::chrono::duration<double> started = run.started.time_since_epoch(), took = run.took;
      write(joblog_.get(), fmt::format("{}\t:\t{:.3f}\t{:10.3f}\t0\t{}\t{}\t{}\t{}\n", event.task + 1, started.count(),
                                       took.count(), run.output.size(), exit_code, signal, command));
    }
    if (event.error == nullptr) return;
    const int runs = event.error->attempts();
    const std::string again = runs > 1 ? fmt::format(" (after {} runs)", runs) : "";
    if (!run.errors.empty() && run.errors.back() != '\n') run.errors += '\n';
    run.errors += fmt::format("each: job {}: {}{}: {}\n", event.task + 1, event.error->message(), again, command);
  }

  void halt_now(taskmgr::EventKind kind) {
    if (!settings_.halt_now || kind == taskmgr::EventKind::task_cancelled) return;
    constexpr std::size_t enough = 20;
    const taskmgr::Halt& halt = settings_.halt;
    ++ended_;
    if (kind == taskmgr::EventKind::task_failed) ++failed_;
    const bool by_number = halt.failures != 0 && failed_ >= halt.failures;
    const bool by_ratio = halt.failure_ratio > 0 && ended_ >= enough &&
                          static_cast<double>(failed_) >= halt.failure_ratio * static_cast<double>(ended_);
    if (by_number || by_ratio) stop_.request_stop();
  }

  void write(const JobRun& run) {
    write(STDOUT_FILENO, run.output);
    write(STDERR_FILENO, run.errors);
  }

  void write(int fd, std::string_view text) {
    if (text.empty() || error_ != 0) return;
    if (settings_.bar && ::isatty(fd) == 1) {
      taskmgr::ProgressBar::print_above(text, fd);
    } else if (const int error = write_all(fd, text); error != 0 && fd != STDERR_FILENO) {
      error_ = error;
      stop_.request_stop();  // nobody would see what further jobs write
    }
  }

  const Settings& settings_;
  std::stop_source stop_;
  Fd joblog_;
  std::mutex mutex_;  // of what workers keep here; events come one at a time
  std::unordered_map<std::uint64_t, JobRun> runs_;
  std::map<std::uint64_t, JobRun> waiting_;  // for their turn
  std::uint64_t turn_ = 0;
  std::size_t ended_ = 0, failed_ = 0;
  int error_ = 0;
};

/// Makes SIGINT, SIGTERM and SIGHUP a request to stop; the second one ends the program at once. To be made before any thread
/// is: a thread of its own waits for the signals, which are blocked in all others. So is SIGPIPE, for which we look at what
/// write returns, and SIGCHLD, which would only interrupt.
class Interrupts {
 public:
  Interrupts() {
    ::sigemptyset(&waited_for_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
      struct sigaction now {};
      if (::sigaction(signal, nullptr, &now) == 0 && now.sa_handler != SIG_IGN) ::sigaddset(&waited_for_, signal);
    }
    ::sigaddset(&waited_for_, wake_up);
    sigset_t blocked = waited_for_;
    ::sigaddset(&blocked, SIGPIPE);
    ::sigaddset(&blocked, SIGCHLD);
    ::pthread_sigmask(SIG_BLOCK, &blocked, &before_);
    thread_ = std::thread{[this] { wait(); }};
  }
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;
  ~Interrupts() {
    ::pthread_kill(thread_.native_handle(), wake_up);
    thread_.join();
  }

  [[nodiscard]] const std::stop_source& stop() const noexcept { return stop_; }
  /// The signals that were blocked before.
  [[nodiscard]] const sigset_t& before() const noexcept { return before_; }
  /// The signal that came; 0 if none did.
  [[nodiscard]] int signal() const noexcept { return signal_; }

  [[noreturn]] static void die_of(int signal) {
    ::signal(signal, SIG_DFL);
    sigset_t it;
    ::sigemptyset(&it);
    ::sigaddset(&it, signal);
    ::pthread_sigmask(SIG_UNBLOCK, &it, nullptr);
    ::raise(signal);
    std::_Exit(128 + signal);
  }

 private:
  const int wake_up = SIGRTMIN;

  void wait() {
    for (int came = 0; ::sigwait(&waited_for_, &came) == 0 && came != wake_up;) {
      if (signal_.exchange(came) != 0) die_of(came);
      stop_.request_stop();
    }
  }

  std::stop_source stop_;
  sigset_t waited_for_{}, before_{};
  std::atomic<int> signal_{0};
  std::thread thread_;
};

// --- all together ----------------------------------------------------------------------------------------------------

struct Tally {
  std::size_t succeeded = 0, failed = 0, stopped = 0, not_run = 0, retries = 0;
  std::map<std::string, std::size_t> reasons;

  void count(const taskmgr::Outcome<std::string, std::monostate>& outcome) {
    if (outcome.attempts() > 1) retries += static_cast<std::size_t>(outcome.attempts() - 1);
    if (outcome.state() == taskmgr::State::succeeded) ++succeeded;
    else if (outcome.state() == taskmgr::State::cancelled) ++(outcome.attempts() > 0 ? stopped : not_run);
    else ++failed, ++reasons[outcome.error().message()];
  }

  [[nodiscard]] std::string text() const {
    std::string why;
    for (const auto& [reason, count] : reasons) why += fmt::format("{}{} x {}", why.empty() ? " (" : ", ", count, reason);
    std::string line = fmt::format("{} succeeded, {} failed{}", succeeded, failed, why.empty() ? "" : why + ')');
    if (stopped != 0) line += fmt::format(", {} stopped", stopped);
    if (not_run != 0) line += fmt::format(", {} not run", not_run);
    if (retries != 0) line += fmt::format("; {} retries", retries);
    return line;
  }
};

/// Runs the command for each of the lines.
template <class Arguments>
Tally run_all(Arguments& arguments, const Settings& settings, Reporter& reporter, const Interrupts& interrupts,
              std::stop_token stop) {
  const Command command{settings.command};
  taskmgr::Retry retry = settings.retry;
  retry.on = taskmgr::retry_unless<CannotStart>();
  TaskManager jobs{
      [&](taskmgr::Context& context, const std::string& argument) {
        JobRun& run = reporter.begin(context.number());
        run.words = command.words(argument, context.number() + 1, context.worker() + 1);
        if (argument.find('\0') != argument.npos) throw CannotStart("its line has a zero byte");
        const StopBell bell{context.stop_token()};
        const auto began = std::chrono::steady_clock::now();
        Process process{run, interrupts.before()};
        const bool undisturbed = process.wait(bell);
        run.took = std::chrono::steady_clock::now() - began;
        if (!undisturbed) throw taskmgr::Cancelled{};  // of which the library makes a TimeoutError, if that is why
        if (run.status != 0) throw CommandFailed{run.status};
      },
      {.mode = Mode::thread,
       .workers = settings.jobs,
       .retry = std::move(retry),
       .timeout = settings.timeout,
       .duplicates = taskmgr::Duplicates::run,
       .halt = settings.halt,
       .name = settings.command.front(),
       .show_progress = settings.bar}};
  jobs.observe(reporter);

  // How far jobs may get ahead of one that takes long; with --keep-order also, how many outputs may have to wait in memory.
  const std::size_t window = settings.keep_order ? std::max<std::size_t>(256, 4 * settings.jobs) : 10'000;
  Tally tally;
  for (const auto& outcome : jobs.stream(arguments, {.ordered = settings.keep_order, .window = window}, std::move(stop))) {
    tally.count(outcome);
  }
  return tally;
}

/// Each job that runs has up to five descriptors: better to know before that they do not suffice.
void check_descriptors(const Settings& settings) {
  rlimit limit{};
  const rlim_t needed = 5 * settings.jobs + 16;
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < needed) {
    throw std::runtime_error(fmt::format("--jobs {} may need {} open files, and {} are allowed: see ulimit -n", settings.jobs,
                                         needed, limit.rlim_cur));
  }
}

int run(const Settings& settings) {
  check_descriptors(settings);
  for (int fd : {0, 1, 2}) {  // or a pipe of ours would take the place of one that is closed
    if (::fcntl(fd, F_GETFD) < 0) ::open("/dev/null", O_RDWR);
  }
  ::signal(SIGCHLD, SIG_DFL);  // ignored, it would keep exit codes from us
  const Interrupts interrupts;
  const std::stop_token stop = interrupts.stop().get_token();
  Reporter reporter{settings, interrupts.stop()};
  Tally tally;
  if (settings.arguments) {
    tally = run_all(*settings.arguments, settings, reporter, interrupts, stop);
  } else {
    Lines lines{STDIN_FILENO, settings.line_end, stop};
    tally = run_all(lines, settings, reporter, interrupts, stop);
  }
  if (reporter.error() == EPIPE) Interrupts::die_of(SIGPIPE);
  if (tally.failed + tally.stopped + tally.not_run != 0) fmt::print(stderr, "each: {}\n", tally.text());
  if (interrupts.signal() != 0) Interrupts::die_of(interrupts.signal());
  if (reporter.error() != 0) fail("cannot write", reporter.error());
  constexpr std::size_t many = 101;
  return static_cast<int>(std::min(tally.failed, many));
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int trouble = 255;
  try {
    return run(read_command_line(argc, argv));
  } catch (const WrongUsage& error) {
    fmt::print(stderr, "each: {}\neach --help says what it takes\n", error.what());
  } catch (const std::exception& error) {
    fmt::print(stderr, "each: {}\n", error.what());
  }
  return trouble;
}
