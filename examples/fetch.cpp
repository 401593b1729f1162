// SPDX-License-Identifier: MIT

/// \file
/// fetch: checks links, many at a time on one thread.
///
///     fetch https://example.org http://example.org/nothing
///     grep -oh 'https\?://[^)> "]*' *.md | sort -u | fetch --json --retries 3 --timeout 20 >links.json
///
/// How. A link is a task of a `TaskManager` in coroutine mode, which sees to deadlines and retries, and lets no more than a few
/// links of a host be looked at together. Each host is a task of another manager, which starts the first one for the links
/// of that host. It all comes together in `check_all`.
///
/// The transfers are libcurl's, which tells the sockets and the time that it waits for. They are put together in one epoll
/// descriptor, and a coroutine waits until that is readable (`Client::drive`). A task waits on a `Condition` until its transfer
/// has ended. If it is told to stop, at its deadline say, that wait throws, and the `Transfer` is given up on the way out.
///
/// `fetch --help` says what it promises.

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <taskmgr/taskmgr.hpp>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using std::chrono::nanoseconds;
using taskmgr::Async, taskmgr::Mode, taskmgr::TaskManager;

struct Settings {
  std::vector<std::string> urls;
  std::size_t hosts = 64;
  std::size_t per_host = 4;
  double timeout = 10;
  int retries = 2;
  double retry_delay = 0.5;
  int redirects = 10;
  std::string ca;
  bool json = false;
  bool bar = false;
};

/// What a server has answered.
struct Answer {
  long status = 0;  // of the last one, behind all redirects; 0: there was none
  std::uint64_t bytes = 0;
  long redirects = 0;
  std::string url;  // from which it came in the end
};

/// There is no good answer.
class BadLink : public taskmgr::Error {
 public:
  explicit BadLink(const std::string& why, Answer answer = {}) : Error(why), answer_(std::move(answer)) {}
  /// As far as there was one.
  [[nodiscard]] const Answer& answer() const noexcept { return answer_; }

 private:
  Answer answer_;
};

/// The same, but there may be one the next time.
class BadLinkNow : public BadLink {
 public:
  using BadLink::BadLink;
};

// --- libcurl on an event loop ----------------------------------------------------------------------------------------

void must(bool good, const char* what) {
  if (!good) throw std::system_error(errno, std::system_category(), what);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) { must(fd >= 0, "cannot make a descriptor"); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { ::close(fd_); }
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

template <auto end>
struct EndBy {
  template <class T>
  void operator()(T* thing) const noexcept {
    end(thing);
  }
};
using Multi = std::unique_ptr<CURLM, EndBy<curl_multi_cleanup>>;
using Easy = std::unique_ptr<CURL, EndBy<curl_easy_cleanup>>;

class Transfer;

/// All transfers, and the connections that are kept for the next ones.
class Client {
 public:
  explicit Client(std::size_t connections) {
    if (multi_ == nullptr) throw std::bad_alloc{};
    curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETFUNCTION, &Client::watch);
    curl_multi_setopt(multi_.get(), CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi_.get(), CURLMOPT_TIMERFUNCTION, &Client::set_timer);
    curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(connections));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = timer_.get();
    must(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, timer_.get(), &event) == 0, "epoll_ctl");
  }

  void begin(CURL* transfer) {
    const CURLMcode code = curl_multi_add_handle(multi_.get(), transfer);
    if (code != CURLM_OK) throw std::runtime_error(fmt::format("libcurl: {}", curl_multi_strerror(code)));
  }
  void end(CURL* transfer) noexcept { curl_multi_remove_handle(multi_.get(), transfer); }

  /// Works at the transfers until `close`.
  Async<> drive() {
    while (!closed_) {
      co_await taskmgr::readable(epoll_.get());
      work();
    }
  }
  void close() noexcept {
    closed_ = true;
    set_timer(multi_.get(), 0, this);
  }

 private:
  void work();

  /// libcurl wants to know when `socket` is ready.
  static int watch(CURL*, curl_socket_t socket, int what, void* self, void*) noexcept {
    const int epoll = static_cast<Client*>(self)->epoll_.get();
    epoll_event event{};
    event.events = ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0U) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0U);
    event.data.fd = socket;
    if (what == CURL_POLL_REMOVE) ::epoll_ctl(epoll, EPOLL_CTL_DEL, socket, nullptr);
    else if (::epoll_ctl(epoll, EPOLL_CTL_MOD, socket, &event) != 0) return ::epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event);
    return 0;
  }

  /// libcurl wants to be called in `ms` milliseconds; not at all, if that is negative.
  static int set_timer(CURLM*, long ms, void* self) noexcept {
    itimerspec when{};
    when.it_value.tv_sec = ms > 0 ? ms / 1000 : 0;
    when.it_value.tv_nsec = ms > 0 ? ms % 1000 * 1'000'000 : ms == 0 ? 1 : 0;  // all zeros would disarm it
    return ::timerfd_settime(static_cast<Client*>(self)->timer_.get(), 0, &when, nullptr);
  }

  Descriptor epoll_{::epoll_create1(EPOLL_CLOEXEC)};
  Descriptor timer_{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
  Multi multi_{curl_multi_init()};
  bool closed_ = false;
};

/// A request for one URL and its answer. It begins when this is made, and is given up when this ends.
class Transfer {
 public:
  Transfer(Client& client, const std::string& url, const Settings& settings) : client_(client) {
    if (easy_ == nullptr) throw std::bad_alloc{};
    set(CURLOPT_PRIVATE, this);
    set(CURLOPT_ERRORBUFFER, error_.data());
    set(CURLOPT_WRITEFUNCTION, &Transfer::take);
    set(CURLOPT_WRITEDATA, this);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_QUICK_EXIT, 1L);  // a deadline does not wait for a name server
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    set(CURLOPT_FOLLOWLOCATION, 1L);
    set(CURLOPT_MAXREDIRS, static_cast<long>(settings.redirects));
    set(CURLOPT_USERAGENT, "taskmgr-fetch");
    if (!settings.ca.empty()) set(CURLOPT_CAINFO, settings.ca.c_str());
    set(CURLOPT_URL, url.c_str());
    client_.begin(easy_.get());
  }
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer() { client_.end(easy_.get()); }

  /// For the client.
  void ended(CURLcode code) {
    code_ = code;
    changed_.notify_all();
  }

  Async<CURLcode> end() {
    while (!code_) co_await changed_.wait();
    co_return *code_;
  }

  [[nodiscard]] Answer answer() const {
    Answer answer;
    answer.bytes = bytes_;
    const char* url = nullptr;
    curl_easy_getinfo(easy_.get(), CURLINFO_RESPONSE_CODE, &answer.status);
    curl_easy_getinfo(easy_.get(), CURLINFO_REDIRECT_COUNT, &answer.redirects);
    curl_easy_getinfo(easy_.get(), CURLINFO_EFFECTIVE_URL, &url);
    if (url != nullptr) answer.url = url;
    return answer;
  }

  /// Why there is none, or no whole one.
  [[nodiscard]] std::string error() const { return error_[0] != '\0' ? error_.data() : curl_easy_strerror(*code_); }

 private:
  template <class T>
  void set(CURLoption option, T value) {
    const CURLcode code = curl_easy_setopt(easy_.get(), option, value);
    if (code != CURLE_OK) throw BadLink(fmt::format("option {} of libcurl: {}", int{option}, curl_easy_strerror(code)));
  }

  static std::size_t take(const char*, std::size_t one, std::size_t count, void* self) noexcept {
    static_cast<Transfer*>(self)->bytes_ += one * count;
    return one * count;
  }

  Client& client_;
  Easy easy_{curl_easy_init()};
  std::array<char, CURL_ERROR_SIZE> error_{};
  std::uint64_t bytes_ = 0;
  std::optional<CURLcode> code_;
  taskmgr::Condition changed_;
};

void Client::work() {
  std::array<epoll_event, 64> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  int running = 0;
  for (int k = 0; k < count; ++k) {
    const epoll_event& event = events[static_cast<std::size_t>(k)];
    if (event.data.fd == timer_.get()) {
      std::uint64_t times = 0;
      if (::read(timer_.get(), &times, sizeof times) < 0) continue;  // it was set anew meanwhile
      curl_multi_socket_action(multi_.get(), CURL_SOCKET_TIMEOUT, 0, &running);
    } else {
      const int ready = ((event.events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                        ((event.events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                        ((event.events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
      curl_multi_socket_action(multi_.get(), event.data.fd, ready, &running);
    }
  }
  while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &running)) {
    char* transfer = nullptr;
    if (message->msg != CURLMSG_DONE) continue;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    reinterpret_cast<Transfer*>(transfer)->ended(message->data.result);
  }
}

// --- checking --------------------------------------------------------------------------------------------------------

/// A connection that failed may be possible the next time; a wrong URL stays wrong.
[[nodiscard]] bool may_pass(CURLcode code) {
  constexpr std::array passing{CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY, CURLE_COULDNT_CONNECT,
                               CURLE_SSL_CONNECT_ERROR,    CURLE_OPERATION_TIMEDOUT,    CURLE_GOT_NOTHING,
                               CURLE_SEND_ERROR,           CURLE_RECV_ERROR,            CURLE_PARTIAL_FILE,
                               CURLE_HTTP2,                CURLE_HTTP2_STREAM,          CURLE_OUT_OF_MEMORY};
  return std::find(passing.begin(), passing.end(), code) != passing.end();
}

/// What a link leads to. Throws `BadLinkNow` for what is to be tried again, and `BadLink`; an answer such as 404 is a result.
Async<Answer> check(Client& client, const std::string& url, const Settings& settings) {
  if (url.find('\0') != url.npos) throw BadLink("it has a zero byte");
  Transfer transfer{client, url, settings};
  const CURLcode code = co_await transfer.end();
  const Answer answer = transfer.answer();
  if (may_pass(code)) throw BadLinkNow(transfer.error(), answer);
  if (code != CURLE_OK) throw BadLink(transfer.error(), answer);
  constexpr long too_many_requests = 429, internal_error = 500;  // and what comes behind
  if (answer.status == too_many_requests || answer.status >= internal_error) {
    throw BadLinkNow(fmt::format("status {}", answer.status), answer);
  }
  co_return answer;
}

using Links = std::vector<std::string>;  // of one host
using LinkReport = taskmgr::Report<std::string, Answer>;
using HostReport = taskmgr::Report<Links, LinkReport>;

/// One bar for the links of all hosts, each of which is a run.
class Bar : public taskmgr::Observer {
 public:
  explicit Bar(std::size_t links) {
    sum_.total = links;
    tell(taskmgr::EventKind::batch_started);
  }
  ~Bar() override { tell(taskmgr::EventKind::batch_finished); }

  void on_event(const taskmgr::Event& event) override {
    switch (event.kind) {
      case taskmgr::EventKind::task_succeeded: ++sum_.succeeded; break;
      case taskmgr::EventKind::task_failed: ++sum_.failed; break;
      case taskmgr::EventKind::task_duplicate: ++sum_.duplicates; break;
      case taskmgr::EventKind::task_retrying: ++sum_.retries; break;
      default: break;
    }
  }
  void on_tick(const taskmgr::Progress&) override {
    sum_.elapsed = Clock::now() - began_;
    bar_.on_tick(sum_);
  }

 private:
  using Clock = std::chrono::steady_clock;

  void tell(taskmgr::EventKind kind) {
    sum_.elapsed = Clock::now() - began_;
    taskmgr::Event event{};
    event.kind = kind;
    event.manager = "links";
    event.time = began_;
    event.progress = sum_;
    bar_.on_event(event);
  }

  Clock::time_point began_ = Clock::now();
  taskmgr::Progress sum_{};
  taskmgr::ProgressBar bar_;
};

[[nodiscard]] nanoseconds seconds(double count) {
  return std::chrono::duration_cast<nanoseconds>(std::chrono::duration<double>(count));
}

template <class Hosts>
Async<HostReport> check_all(Client& client, const Hosts& manager, const std::vector<Links>& hosts) {
  struct Closing {
    Client& client;
    ~Closing() { client.close(); }
  };
  const Closing closing{client};
  auto pending = manager.start_async(hosts);
  co_return co_await pending;
}

[[nodiscard]] HostReport check_all(const std::vector<Links>& hosts, std::size_t count, const Settings& settings) {
  Client client{settings.hosts * settings.per_host};
  TaskManager links{[&](const std::string& url) { return check(client, url, settings); },
                    {.mode = Mode::coroutine,
                     .workers = settings.per_host,
                     .retry = {.max_retries = settings.retries,
                               .base_delay = seconds(settings.retry_delay),
                               .on = taskmgr::retry_on<BadLinkNow, taskmgr::TimeoutError>()},
                     .timeout = seconds(settings.timeout),
                     .name = "links",
                     .timings = true}};
  std::optional<Bar> bar;
  if (settings.bar) links.observe(bar.emplace(count));
  const TaskManager by_host{[&](const Links& of_host) { return links.start_async(of_host); },
                            {.mode = Mode::coroutine, .workers = settings.hosts, .name = "hosts"}};
  auto [nothing, report] = taskmgr::run(taskmgr::when_all(client.drive(), check_all(client, by_host, hosts)));
  report.throw_if_failed();
  return std::move(report);
}

// --- telling ---------------------------------------------------------------------------------------------------------

/// What became of a link.
struct Row {
  std::string link;
  Answer answer;
  bool good = false;
  std::string why;  // if it is not
  double seconds = 0;  // of all attempts
  int attempts = 0;
};

[[nodiscard]] Row row_of(const taskmgr::Outcome<std::string, Answer>& outcome) {
  Row row;
  row.link = outcome.task();
  row.seconds = std::chrono::duration<double>(outcome.duration()).count();
  row.attempts = outcome.attempts();
  try {
    row.answer = outcome.value();
    row.good = row.answer.status >= 200 && row.answer.status < 400;
    if (!row.good) row.why = fmt::format("status {}", row.answer.status);
  } catch (const BadLink& bad) {
    row.answer = bad.answer();
    row.why = bad.what();
  } catch (const std::exception& error) {
    row.why = error.what();
  }
  return row;
}

/// As a URL is written where only ASCII may stand: without control characters, spaces, and bytes beyond.
[[nodiscard]] std::string plain(std::string_view url) {
  std::string out;
  for (const char c : url) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x20 && byte < 0x7F) out += c;
    else out += fmt::format("%{:02X}", byte);
  }
  return out;
}

[[nodiscard]] std::string in_json(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') (out += '\\') += c;
    else if (byte < 0x20 || byte >= 0x7F) out += fmt::format("\\u{:04x}", byte);
    else out += c;
  }
  return out + '"';
}

template <class Number>
[[nodiscard]] std::string count_of(Number number, const char* what) {
  return fmt::format("{} {}{}", number, what, number == 1 ? "" : "s");
}

[[nodiscard]] std::string human(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double number = static_cast<double>(bytes);
  std::size_t unit = 0;
  constexpr std::string_view units = "KMGTPE";
  for (number /= 1024; number >= 1023.95 && unit + 1 < units.size(); ++unit) number /= 1024;
  return fmt::format("{:.1f} {}iB", number, units[unit]);
}

struct Sums {
  std::size_t good = 0, bad = 0, retries = 0;
  explicit Sums(const std::vector<Row>& rows) {
    for (const Row& row : rows) {
      ++(row.good ? good : bad);
      retries += static_cast<std::size_t>(std::max(row.attempts, 1) - 1);
    }
  }
};

void write_text(const std::vector<Row>& rows, double elapsed) {
  for (const Row& row : rows) {
    const Answer& answer = row.answer;
    std::string line = fmt::format("{:>3}  {:>8.3f} s  {:>9}  {}", answer.status != 0 ? std::to_string(answer.status) : "-",
                                   row.seconds, human(answer.bytes), plain(row.link));
    if (answer.redirects != 0) line += fmt::format(" -> {} ({})", plain(answer.url), count_of(answer.redirects, "redirect"));
    if (!row.good) line += ": " + row.why;
    if (row.attempts > 1) line += fmt::format(" (after {} attempts)", row.attempts);
    fmt::print("{}\n", line);
  }
  const Sums sums{rows};
  fmt::print("{}: {} good, {} bad; {}, {:.3f} s\n", count_of(rows.size(), "link"), sums.good, sums.bad,
             sums.retries == 1 ? "1 retry" : fmt::format("{} retries", sums.retries), elapsed);
}

void write_json(const std::vector<Row>& rows, double elapsed) {
  std::string links;
  for (const Row& row : rows) {
    links += links.empty() ? "\n    {" : ",\n    {";
    links += fmt::format("\"link\": {}, \"good\": {}, \"status\": {}, \"bytes\": {}, \"seconds\": {:.6f}, ",
                         in_json(plain(row.link)), row.good, row.answer.status, row.answer.bytes, row.seconds);
    links += fmt::format("\"redirects\": {}, \"url\": {}, \"attempts\": {}, \"error\": {}}}", row.answer.redirects,
                         in_json(plain(row.answer.url)), row.attempts, row.good ? "null" : in_json(row.why));
  }
  const Sums sums{rows};
  fmt::print("{{\n  \"links\": [{}],\n", links);
  fmt::print("  \"good\": {}, \"bad\": {}, \"retries\": {}, \"seconds\": {:.6f}\n}}\n", sums.good, sums.bad, sums.retries,
             elapsed);
}

// --- all together ----------------------------------------------------------------------------------------------------

/// In lower case; empty for what is no URL.
[[nodiscard]] std::string host_of(const std::string& url) {
  const std::unique_ptr<CURLU, EndBy<curl_url_cleanup>> parsed{curl_url()};
  char* found = nullptr;
  if (curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_GUESS_SCHEME) != CURLUE_OK ||
      curl_url_get(parsed.get(), CURLUPART_HOST, &found, 0) != CURLUE_OK) {
    return "";
  }
  const std::unique_ptr<char, EndBy<curl_free>> text{found};
  std::string host = found;
  for (char& c : host) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return host;
}

[[nodiscard]] std::vector<std::string> read_lines(std::istream& in) {
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    const std::size_t first = line.find_first_not_of(" \t\r"), last = line.find_last_not_of(" \t\r");
    if (first != line.npos) lines.push_back(line.substr(first, last - first + 1));
  }
  return lines;
}

int run(const Settings& settings) {
  const auto began = std::chrono::steady_clock::now();
  std::vector<Links> hosts;
  std::unordered_map<std::string, std::size_t> host_numbers;
  std::vector<std::pair<std::size_t, std::size_t>> places;  // of each link: its host, and its number there
  for (const std::string& url : settings.urls) {
    const std::size_t host = host_numbers.try_emplace(host_of(url), hosts.size()).first->second;
    if (host == hosts.size()) hosts.emplace_back();
    places.emplace_back(host, hosts[host].size());
    hosts[host].push_back(url);
  }
  const HostReport report = check_all(hosts, settings.urls.size(), settings);
  std::vector<Row> rows;
  for (const auto& [host, number] : places) rows.push_back(row_of(report[host].value()[number]));
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (settings.json) write_json(rows, elapsed);
  else write_text(rows, elapsed);
  must(std::fflush(stdout) == 0, "cannot write the result");
  return std::all_of(rows.begin(), rows.end(), [](const Row& row) { return row.good; }) ? 0 : 1;
}

struct Library {
  Library() { curl_global_init(CURL_GLOBAL_DEFAULT); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;
  ~Library() { curl_global_cleanup(); }
};

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  CLI::App app{"Checks links: which are good, where they lead, how long they take.", "fetch"};
  app.add_option("URL", settings.urls, "Which links; a line of standard input each if nothing is given");
  app.add_option("--timeout", settings.timeout, "How long an attempt may take, redirects and all, in seconds; 10 if not given")
      ->check(CLI::Range(0.001, 86'400.0))
      ->type_name("SECONDS");
  app.add_option("--retries", settings.retries, "How often to try again; 2 if not given")
      ->check(CLI::Range(0, 1000))
      ->type_name("N");
  app.add_option("--retry-delay", settings.retry_delay,
                 "Before the first retry, twice as long before the next, in seconds; 0.5 if not given")
      ->check(CLI::Range(0.0, 3600.0))
      ->type_name("SECONDS");
  app.add_option("--hosts", settings.hosts, "How many hosts at a time; 64 if not given")
      ->check(CLI::Range(1, 10'000))
      ->type_name("N");
  app.add_option("--per-host", settings.per_host, "How many links of a host at a time; 4 if not given")
      ->check(CLI::Range(1, 10'000))
      ->type_name("N");
  app.add_option("--redirects", settings.redirects, "How many to follow; 10 if not given")
      ->check(CLI::Range(0, 1000))
      ->type_name("N");
  app.add_option("--ca", settings.ca, "Whom to believe who a server is, instead of those whom the system believes")
      ->check(CLI::ExistingFile)
      ->type_name("FILE");
  app.add_flag("--json", settings.json, "Write JSON");
  app.add_flag("--bar", settings.bar, "Show progress on standard error");
  app.footer(
      "A link is good if it leads, through redirects or not, to an answer with a status from 200 to 399. Where there is no\n"
      "connection, no whole answer in time, or one with a status from 500 on or 429, it is tried again. Equal links are\n"
      "looked at once.\n\n"
      "Exit code: 0 if all links are good, 1 if one is not, 2 for wrong usage or if the result cannot be written.");
  try {
    app.parse(argc, argv);
    std::signal(SIGPIPE, SIG_IGN);  // a server may close while something is sent
    const Library library;
    if (app.count("URL") == 0) settings.urls = read_lines(std::cin);
    return run(settings);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "fetch: {}\n", error.what());
    return 2;
  }
}
