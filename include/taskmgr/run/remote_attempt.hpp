// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Attempts that other processes make: what is sent there, how it is run there, and what is made of the answer here.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include "attempt.hpp"
#include "codec.hpp"
#include "coroutine.hpp"
#include "errand.hpp"
#include "partial.hpp"
#include "process.hpp"
#include "remote_error.hpp"

namespace taskmgr::detail {

/// Attempts of `F` at tasks that `Home` keeps, here or in worker processes. `Home::sends_tasks` says that a worker has not
/// inherited the tasks, so that they have to be sent; for the rest see `Attempts`.
template <class Home, class F, class Task, class R>
class RemoteAttempts : public AsyncAttempts<Home, F, Task, R>, public Remote {
  using Base = AsyncAttempts<Home, F, Task, R>;

 protected:
  using Base::Base;

  /// Has worker processes run it, driven by the calling thread, until nothing more is to be done; if there cannot be any, no
  /// task is begun any more.
  void employ() noexcept;

  // --- Remote
  void write_task(std::size_t id, Writer& writer) override;
  void announce(const Errand& errand, Clock::time_point at, Seat& seat) noexcept override;
  [[nodiscard]] bool answered(const Errand& errand, FrameKind kind, std::chrono::nanoseconds took, Reader& reader,
                              Seat& seat) noexcept override;
  void answered_all(const Errand* errands, std::size_t count, Reader& reader, Seat& seat) override;
  [[nodiscard]] bool lost(const Errand& errand, TaskError::Kind kind, std::exception_ptr why, std::chrono::nanoseconds took,
                          Seat& seat) noexcept override;
  void said(const Errand& errand, const FrameHead& head, Reader& reader, Seat& seat) override;
  void given_up(const Errand& errand, const std::exception_ptr& why, Seat& seat) noexcept override;
  void cancelled(const Errand& errand, Seat& seat) noexcept override { this->cancel_task(errand.id, errand.attempt - 1, seat); }
  [[nodiscard]] bool is_in_haste() const noexcept override { return Home::sends_tasks; }
  void perform(std::size_t id, int attempt, Reader& sent, Answers& answers, Seat& seat) override;

 private:
  struct Decoded {
    Reader& reader;
    bool alone;  // nothing follows
    R operator()() const {
      R value = Codec<R>::decode(reader);
      if (alone) reader.finish();
      return value;
    }
  };
  static constexpr std::size_t packed_size = flat<R>() ? sizeof(R) : 0;
  /// Many results share a frame: each takes as many bytes as the others, and few.
  static constexpr bool packs = (flat<R>() && sizeof(R) <= 256) || std::is_same_v<R, std::monostate>;

  void perform_on(const Task& task, std::uint64_t number, int attempt, Answers& answers, Seat& seat);
  void answer_failure(Failure& failure, int attempt, std::chrono::nanoseconds took, ByteBuffer& answers);

  struct Nothing {};
  std::conditional_t<InParts<R>, Array<Partial<R>>, Nothing> partials_;  // by seats
};

// ---------------------------------------------------------------------------------------------------------------------

template <class Home, class F, class Task, class R>
void RemoteAttempts<Home, F, Task, R>::employ() noexcept {
  try {
    if constexpr (InParts<R>) partials_ = Array{new Partial<R>[this->seats().size()]};
    Fleet{*this, *this, this->seats(), this->options()}.drive();
  } catch (...) {
    this->thrown().keep(std::current_exception());
    this->halt();
  }
}

template <class Home, class F, class Task, class R>
void RemoteAttempts<Home, F, Task, R>::write_task([[maybe_unused]] std::size_t id, [[maybe_unused]] Writer& writer) {
  if constexpr (Home::sends_tasks && Encodable<Task>) {
    const std::uint64_t number = this->home().number(id);
    writer.write(&number, sizeof number);
    Codec<Task>::encode(writer, std::as_const(this->home()).task(id));
  }
}

template <class Home, class F, class Task, class R>
void RemoteAttempts<Home, F, Task, R>::announce(const Errand& errand, Clock::time_point at, Seat& seat) noexcept {
  const Task& task = std::as_const(this->home()).task(errand.id);
  if (this->listens(EventKind::task_started)) {
    const Clock::time_point now = Clock::now();
    if (at <= Clock::time_point{} || at > now) at = now;  // not said, or not by our worker
  }
  this->began(seat, this->home().number(errand.id), errand.attempt, &task, at);
}

template <class Home, class F, class Task, class R>
bool RemoteAttempts<Home, F, Task, R>::answered(const Errand& errand, FrameKind kind, std::chrono::nanoseconds took,
                                                Reader& reader, Seat& seat) noexcept {
  Failure failure{TaskError::Kind::exception, nullptr};
  Asked asked = kind == FrameKind::retry ? Asked::may : Asked::may_not;
  try {
    if (kind == FrameKind::all_parts) {
      if constexpr (InParts<R>) this->home().slot(errand.id).succeed(errand.attempt, [&] { return partials_[seat.number].take(); });
      else fail_answer("sent parts of a result that has none");
    } else if (kind != FrameKind::value) {
      SentError sent = decode_error(reader);
      failure = {sent.kind, std::move(sent.exception)};
    } else if constexpr (Encodable<R>) {
      this->home().slot(errand.id).succeed(errand.attempt, Decoded{reader, true});
    }
  } catch (...) {
    failure.exception = std::current_exception();
    asked = Asked::may_not;  // the same bytes would come again
  }
  return this->settle(errand.id, errand.attempt, failure, took, seat, asked) == Step::settled;
}

template <class Home, class F, class Task, class R>
void RemoteAttempts<Home, F, Task, R>::answered_all([[maybe_unused]] const Errand* errands, std::size_t count, Reader& reader,
                                                    [[maybe_unused]] Seat& seat) {
  if (!packs || this->careful() || reader.remaining() != count * packed_size) fail_answer("sent results of another size");
  if constexpr (packs) {
    for (std::size_t k = 0; k < count; ++k) {
      const Errand& errand = errands[k];
      if (!errand.announced) this->began(seat, 0, errand.attempt, nullptr, {});  // nobody is told: it is counted
      this->home().slot(errand.id).succeed(errand.attempt, Decoded{reader, false});
      this->home().finished(errand.id, seat);
    }
    seat.succeeded.add(count);
  }
}

template <class Home, class F, class Task, class R>
bool RemoteAttempts<Home, F, Task, R>::lost(const Errand& errand, TaskError::Kind kind, std::exception_ptr why,
                                            std::chrono::nanoseconds took, Seat& seat) noexcept {
  Failure failure = kind == TaskError::Kind::timeout ? this->timed_out(this->options().timeout) : Failure{kind, std::move(why)};
  if (this->measures()) this->home().add_duration(errand.id, took);
  return this->settle_failure(errand.id, errand.attempt, failure, took, seat, Asked::no) == Step::settled;
}

template <class Home, class F, class Task, class R>
void RemoteAttempts<Home, F, Task, R>::said(const Errand& errand, const FrameHead& head, Reader& reader, Seat& seat) {
  if (head.kind == FrameKind::parts || head.kind == FrameKind::part) {
    if constexpr (InParts<R>) return head.kind == FrameKind::parts ? partials_[seat.number].begin(reader) : partials_[seat.number].add(reader);
    else fail_answer("sent parts of a result that has none");
  }
  const Task& task = std::as_const(this->home()).task(errand.id);
  ContextAccess::task(seat.context, this->home().number(errand.id), errand.attempt, &task);
  if (head.kind == FrameKind::progress) {
    double parts[2];
    reader.read(parts, sizeof parts);
    this->heard_progress(seat.context, parts[0], parts[1]);
  } else {
    const std::size_t size = reader.remaining();
    const std::string_view text{reinterpret_cast<const char*>(reader.skip(size)), size};
    if (head.number > static_cast<std::uint64_t>(Level::error)) throw CodecError("a line for the log has no level");
    this->heard_log(seat.context, static_cast<Level>(head.number), text);
  }
}

template <class Home, class F, class Task, class R>
void RemoteAttempts<Home, F, Task, R>::given_up(const Errand& errand, const std::exception_ptr& why, Seat& seat) noexcept {
  const Task& task = std::as_const(this->home()).task(errand.id);
  this->fail_for_good(errand.id, {TaskError::Kind::crash, why},
                      {.seat = &seat, .number = this->home().number(errand.id), .attempt = errand.attempt, .task = &task}, seat);
}

// --- in a worker process

template <class Home, class F, class Task, class R>
void RemoteAttempts<Home, F, Task, R>::perform([[maybe_unused]] std::size_t id, int attempt, [[maybe_unused]] Reader& sent,
                                               Answers& answers, Seat& seat) {
  if constexpr (!Home::sends_tasks) {
    perform_on(std::as_const(this->home()).task(id), this->home().number(id), attempt, answers, seat);
  } else if constexpr (Encodable<Task>) {
    std::uint64_t number = 0;
    std::optional<Task> task;
    Failure failure{TaskError::Kind::exception, nullptr};
    try {
      sent.read(&number, sizeof number);
      task.emplace(Codec<Task>::decode(sent));
    } catch (...) {
      failure.exception = std::current_exception();
    }
    if (task) perform_on(*task, number, attempt, answers, seat);
    else answer_failure(failure, attempt, {}, answers);
  }
}

template <class Home, class F, class Task, class R>
void RemoteAttempts<Home, F, Task, R>::perform_on(const Task& task, std::uint64_t number, int attempt, Answers& answers,
                                                  Seat& seat) {
  if constexpr (Encodable<R>) {
    const std::chrono::nanoseconds timeout = this->options().timeout;
    const bool timed = this->measures() || timeout.count() != 0;
    const Clock::time_point begin = timed ? answers.began() : Clock::time_point{};
    const auto taken = [&] { return timed ? Clock::now() - begin : std::chrono::nanoseconds{0}; };
    ContextAccess::task(seat.context, number, attempt, &task);
    if (timeout.count() != 0) ContextAccess::deadline(seat.context, later(begin, timeout));
    Failure failure{TaskError::Kind::exception, nullptr};
    try {
      const R result = this->made(seat, task);
      if constexpr (packs) {
        if (!this->careful()) return answers.add_value(std::addressof(result), packed_size);
      }
      const std::chrono::nanoseconds took = taken();
      if constexpr (InParts<R>) {
        if (result.size() > part_size / sizeof(*result.begin())) {
          answers.write_parts(std::to_address(result.begin()), result.size(), sizeof(*result.begin()));
          return Frame{answers, FrameKind::all_parts}.finish(took);
        }
      }
      Frame frame{answers, FrameKind::value};
      Writer writer{answers};
      Codec<R>::encode(writer, result);
      frame.finish(took);
      return;
    } catch (...) {
      failure.exception = std::current_exception();
    }
    answer_failure(failure, attempt, taken(), answers);
  }
}

template <class Home, class F, class Task, class R>
void RemoteAttempts<Home, F, Task, R>::answer_failure(Failure& failure, int attempt, std::chrono::nanoseconds took,
                                                      ByteBuffer& answers) {
  const bool again = this->may_retry(failure, attempt);
  Frame frame{answers, again ? FrameKind::retry : FrameKind::no_retry};
  Writer writer{answers};
  encode_error(writer, failure.kind, failure.exception);
  frame.finish(took);
}

}  // namespace taskmgr::detail
