// SPDX-License-Identifier: MIT
// 5,000 connections over the loopback device, each of which sends 64 bytes and waits until they have come back, again and
// again. The server is the same for both clients, in a process of its own.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <taskmgr/taskmgr.hpp>
#include <unistd.h>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <system_error>
#include <vector>

#include "../harness.hpp"

namespace {

using taskmgr::Async, taskmgr::Duplicates, taskmgr::Mode, taskmgr::TaskManager;
constexpr int connections = 5'000;
constexpr int trips = 20;  // of each connection, in a run
using Message = std::array<char, 64>;

int checked(int result, const char* what) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  return result;
}

/// Text that differs from connection to connection and from trip to trip.
Message message(int connection, int trip) {
  Message text;
  for (std::size_t k = 0; k < text.size(); ++k) text[k] = static_cast<char>(connection * 31 + trip * 7 + static_cast<int>(k));
  return text;
}

void close_all(const std::vector<int>& sockets) {
  for (const int socket : sockets) ::close(socket);
}

/// Sends back what it is sent, in a process of its own, until this one ends.
class Server {
 public:
  Server() : listener_(checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket")) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    checked(::bind(listener_, address(), size), "bind");
    checked(::listen(listener_, 1024), "listen");
    checked(::getsockname(listener_, address(), &size), "getsockname");
    id_ = checked(::fork(), "fork");
    if (id_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    serve();
    ::_exit(1);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    ::kill(id_, SIGKILL);
    ::close(listener_);
  }

  /// Connections to it, non-blocking.
  [[nodiscard]] std::vector<int> connect() {
    std::vector<int> sockets;
    for (int k = 0; k < connections; ++k) {
      const int socket = checked(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
      sockets.push_back(socket);
      checked(::connect(socket, address(), sizeof address_), "connect");
      const int on = 1;
      ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      checked(::fcntl(socket, F_SETFL, O_NONBLOCK), "fcntl");
    }
    return sockets;
  }

 private:
  sockaddr* address() noexcept { return reinterpret_cast<sockaddr*>(&address_); }  // NOLINT: as the call has it

  void serve() const noexcept {
    const int poll = ::epoll_create1(0);
    const auto wait_for = [poll](int fd) {
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.fd = fd;
      ::epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    };
    wait_for(listener_);
    for (;;) {
      epoll_event events[256];
      const int count = ::epoll_wait(poll, events, 256, -1);
      for (int k = 0; k < count; ++k) {
        const int fd = events[k].data.fd;
        if (fd == listener_) {
          const int accepted = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
          if (accepted < 0) continue;
          const int on = 1;
          ::setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
          wait_for(accepted);
          continue;
        }
        char bytes[4096];
        const ssize_t got = ::recv(fd, bytes, sizeof bytes, 0);
        if (got <= 0 || ::send(fd, bytes, static_cast<std::size_t>(got), MSG_NOSIGNAL) != got) ::close(fd);
      }
    }
  }

  sockaddr_in address_{};
  int listener_;
  pid_t id_ = 0;
};

Async<> send_all(int socket, const Message& text) {
  for (std::size_t sent = 0; sent != text.size();) {
    const ssize_t put = ::send(socket, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (put > 0) sent += static_cast<std::size_t>(put);
    else if (errno == EAGAIN) co_await taskmgr::writable(socket);
    else throw std::system_error(errno, std::generic_category(), "send");
  }
}

Async<> receive_all(int socket, Message& text) {
  for (std::size_t received = 0; received != text.size();) {
    co_await taskmgr::readable(socket);
    const ssize_t got = ::recv(socket, text.data() + received, text.size() - received, 0);
    if (got > 0) received += static_cast<std::size_t>(got);
    else if (got == 0 || errno != EAGAIN) throw std::system_error(errno, std::generic_category(), "recv");
  }
}

/// How many messages have come back as they were.
Async<int> talk_by_taskmgr(int socket, int connection) {
  int right = 0;
  for (int trip = 0; trip < trips; ++trip) {
    const Message sent = message(connection, trip);
    Message received{};
    co_await send_all(socket, sent);
    co_await receive_all(socket, received);
    if (received == sent) ++right;
  }
  co_return right;
}

double by_taskmgr(Server& server) {
  const std::vector<int> sockets = server.connect();
  std::vector<int> tasks(sockets.size());
  for (std::size_t k = 0; k < tasks.size(); ++k) tasks[k] = static_cast<int>(k);
  const TaskManager manager{[&](int connection) { return talk_by_taskmgr(sockets[static_cast<std::size_t>(connection)], connection); },
                            {.mode = Mode::coroutine, .workers = tasks.size(), .duplicates = Duplicates::run}};
  bench::Stopwatch watch;
  const auto report = manager.start(tasks);
  const double seconds = watch.seconds();
  close_all(sockets);
  bench::require(report.ok() && report.total == tasks.size(), "counts");
  for (std::size_t k = 0; k < tasks.size(); ++k) bench::require(report[k].value() == trips, "what came back");
  return seconds;
}

asio::awaitable<void> talk_by_asio(asio::ip::tcp::socket socket, int connection, int& right) {
  for (int trip = 0; trip < trips; ++trip) {
    const Message sent = message(connection, trip);
    Message received{};
    co_await asio::async_write(socket, asio::buffer(sent), asio::use_awaitable);
    co_await asio::async_read(socket, asio::buffer(received), asio::use_awaitable);
    if (received == sent) ++right;
  }
}

double by_asio(Server& server) {
  const std::vector<int> sockets = server.connect();
  asio::io_context loop(1);
  std::vector<int> right(sockets.size());
  bench::Stopwatch watch;
  for (std::size_t k = 0; k < sockets.size(); ++k) {
    asio::co_spawn(loop, talk_by_asio({loop, asio::ip::tcp::v4(), sockets[k]}, static_cast<int>(k), right[k]), asio::detached);
  }
  loop.run();
  const double seconds = watch.seconds();
  for (const int count : right) bench::require(count == trips, "what came back");
  return seconds;
}

/// Descriptors for all of them, as far as the system lets us.
void raise_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  raise_limit();
  Server server;
  bench::Suite suite{"echo", argc, argv};
  suite.compare({.job = "echo of 64 bytes, 5,000 connections",
                 .tasks = double{connections} * trips,
                 .contenders = {{bench::Role::ours, "taskmgr", [&] { return by_taskmgr(server); }},
                                {bench::Role::peer, "Asio", [&] { return by_asio(server); }}},
                 .criteria = {bench::rate_at_least(1, "Asio")}});
  return suite.run();
}
