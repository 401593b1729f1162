// SPDX-License-Identifier: MIT

/// \file
/// An HTTP server on 127.0.0.1 for the test of fetch, with all that can be wrong with one.
///
///     moody_server LOG
///
/// Prints the port that it listens at, and one at which nobody does. Adds a line to LOG for each request, as it comes: the
/// path, and how many requests are being answered, with this one; and "gone" with the path when somebody does not wait for
/// an answer. It ends with the process that has started it.
///
///     /ok/N              N bytes, at once
///     /slow/MS           an answer after so many milliseconds, in pieces
///     /status/CODE       a short answer with that status
///     /retry/CODE/N/KEY  the first N times, that status; then a good answer
///     /reset/N/KEY       the first N times, the connection is reset; then a good answer
///     /after/N/KEY       503 until N requests for /ok have come since it was asked for first
///     /together/N        an answer as soon as N requests of this kind are there at the same time, 503 if that takes too long
///     /silent            no answer, ever
///     /stuck             the start of an answer, and no more
///     /close             the connection is closed instead of an answer
///     /short             fewer bytes than promised
///     /garbage           no HTTP
///     /redirect/N        N redirects, and then a good answer
///     /loop              a redirect to itself
///     /away/URL          a redirect to another URL

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;

/// What all connections share.
struct State {
  std::mutex mutex;
  std::condition_variable changed;
  std::FILE* log = nullptr;
  int answering = 0;
  int together = 0;
  int groups = 0;  // that have been together
  std::map<std::string, int> tries;
  int oks = 0;
  std::map<std::string, int> oks_before;
};

/// Of /a/b/c: "", "a", "b", "c".
std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts{""};
  for (const char c : path) {
    if (c == '/') parts.emplace_back();
    else parts.back() += c;
  }
  return parts;
}

class Connection {
 public:
  Connection(State& state, int socket) : state_(state), socket_(socket) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { ::close(socket_); }

  void serve() {
    for (std::string path; read_request(path);) {
      {
        const std::scoped_lock lock(state_.mutex);
        std::fprintf(state_.log, "%s %d\n", path.c_str(), ++state_.answering);
        std::fflush(state_.log);
      }
      answered_ = false;
      const bool goes_on = answer(path);
      done();
      if (!goes_on) return;
    }
  }

 private:
  /// It is not being answered any more.
  void done() {
    const std::scoped_lock lock(state_.mutex);
    if (!std::exchange(answered_, true)) --state_.answering;
  }

  /// False when there are no more.
  bool read_request(std::string& path) {
    std::size_t end = 0;
    while ((end = read_.find("\r\n\r\n")) == std::string::npos) {
      if (!read_more() || read_.front() < 'A') return false;  // TLS, say
    }
    path = read_.substr(0, read_.find("\r\n"));
    path = path.substr(path.find(' ') + 1);
    path = path.substr(0, path.find(' '));
    read_.erase(0, end + 4);
    return true;
  }

  bool read_more() {
    char room[4096];
    const ssize_t got = ::recv(socket_, room, sizeof room, 0);
    if (got <= 0) return false;
    read_.append(room, static_cast<std::size_t>(got));
    return true;
  }

  bool send(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  bool respond(int status, const std::string& body, const std::string& more = "") {
    done();  // before it is known to be
    return send("HTTP/1.1 " + std::to_string(status) + " So\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + more +
                "\r\n" + body);
  }

  /// Until the other side has had enough.
  bool wait_for_end(const std::string& path) {
    while (read_more()) {
    }
    const std::scoped_lock lock(state_.mutex);
    std::fprintf(state_.log, "gone %s\n", path.c_str());
    std::fflush(state_.log);
    return false;
  }

  int count_try(const std::string& key) {
    const std::scoped_lock lock(state_.mutex);
    return ++state_.tries[key];
  }

  void count_ok() {
    const std::scoped_lock lock(state_.mutex);
    ++state_.oks;
  }

  int oks_since(const std::string& key) {
    const std::scoped_lock lock(state_.mutex);
    return state_.oks - state_.oks_before.try_emplace(key, state_.oks).first->second;
  }

  /// Waits until `count` are here at the same time.
  bool meet(int count) {
    std::unique_lock lock(state_.mutex);
    const int group = state_.groups;
    if (++state_.together == count) {
      state_.together = 0;
      ++state_.groups;
      state_.changed.notify_all();
      return true;
    }
    if (state_.changed.wait_for(lock, 20s, [&] { return state_.groups != group; })) return true;
    --state_.together;
    return false;
  }

  /// Whether the connection is good for another request.
  bool answer(const std::string& path) {
    const std::vector<std::string> parts = parts_of(path);
    const auto word = [&](std::size_t k) { return k < parts.size() ? parts[k] : std::string{}; };
    const auto number = [&](std::size_t k) { return std::atoi(word(k).c_str()); };
    const std::string kind = word(1);
    if (kind == "ok") {
      count_ok();
      return respond(200, std::string(static_cast<std::size_t>(number(2)), 'x'));
    }
    if (kind == "after") return respond(oks_since(path) >= number(2) ? 200 : 503, "body");
    if (kind == "slow") {
      send("HTTP/1.1 200 So\r\nContent-Length: 10\r\n\r\n");
      for (int k = 0; k < 10; ++k) {
        pollfd end{socket_, POLLRDHUP, 0};
        if (::poll(&end, 1, number(2) / 10) != 0 || !send("x")) return false;
      }
      return true;
    }
    if (kind == "status") return respond(number(2), "status");
    if (kind == "retry") return respond(count_try(path) <= number(3) ? number(2) : 200, "body");
    if (kind == "reset") {
      if (count_try(path) > number(2)) return respond(200, "body");
      const linger at_once{1, 0};
      ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      return false;
    }
    if (kind == "together") return respond(meet(number(2)) ? 200 : 503, "body");
    if (kind == "silent") return wait_for_end(path);
    if (kind == "stuck") return send("HTTP/1.1 200 So\r\nContent-Length: 10\r\n\r\nxxx") && wait_for_end(path);
    if (kind == "close") return false;
    if (kind == "short") return send("HTTP/1.1 200 So\r\nContent-Length: 10\r\n\r\nxxx") && false;
    if (kind == "garbage") return send("\x01\xff nothing that HTTP knows\r\n\r\n") && false;
    if (kind == "redirect") {
      if (number(2) == 0) return respond(200, "at last");
      return respond(302, "elsewhere", "Location: /redirect/" + std::to_string(number(2) - 1) + "\r\n");
    }
    if (kind == "loop") return respond(301, "", "Location: /loop\r\n");
    if (kind == "away") return respond(307, "", "Location: " + path.substr(std::string_view{"/away/"}.size()) + "\r\n");
    return respond(404, "there is no such thing");
  }

  State& state_;
  int socket_;
  std::string read_;
  bool answered_ = true;
};

/// A socket at a free port of 127.0.0.1.
std::pair<int, int> bound_socket() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::perror("moody_server: bind");
    std::exit(1);
  }
  return {socket, ntohs(address.sin_port)};
}

}  // namespace

int main(int argc, char** argv) {
  static State state;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  state.log = argc == 2 ? std::fopen(argv[1], "a") : nullptr;
  const auto [listener, port] = bound_socket();
  const auto [refuser, refusing_port] = bound_socket();
  if (state.log == nullptr || ::listen(listener, 1024) != 0) {
    std::perror("moody_server");
    return 1;
  }
  std::printf("%d %d\n", port, refusing_port);
  std::fclose(stdout);
  for (int socket = 0; (socket = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
    std::thread{[socket] { Connection{state, socket}.serve(); }}.detach();
  }
  std::perror("moody_server: accept");
  return 1;
}
