// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// A call to be made elsewhere, and the thread that makes one.
///
/// They do what `std::function` and `std::thread` do, as far as the library needs it, and are here for the time that a
/// compilation takes: those cost it 100 functions, these ten.

#include <pthread.h>

#include <stop_token>
#include <system_error>
#include <type_traits>
#include <utility>

namespace taskmgr::detail {

/// The call `run(subject)`. Owns nothing: what it works on must be there when it is made. `run` is as `pthread_create` has
/// it, and returns null.
struct Job {
  void* (*run)(void*);
  void* subject;

  void operator()() const { run(subject); }
};

/// The job of calling `callable()`.
template <class Callable>
[[nodiscard]] Job job_for(Callable& callable) noexcept {
  return {[](void* subject) -> void* {
            (*static_cast<Callable*>(subject))();
            return nullptr;
          },
          const_cast<std::remove_const_t<Callable>*>(&callable)};  // it is called as what it is
}

/// The job of calling `(object.*method)()`.
template <auto method, class Object>
[[nodiscard]] Job job_of(Object& object) noexcept {
  return {[](void* subject) -> void* {
            (static_cast<Object*>(subject)->*method)();
            return nullptr;
          },
          &object};
}

/// Does a job, which must not throw, when stop is requested. One type for all, since each costs a compilation its functions.
using OnStop = std::stop_callback<Job>;

/// A thread that does one job. To be joined or detached before its owner ends.
class Thread {
 public:
  Thread() = default;

  /// Throws `std::system_error` if the system gives no thread.
  explicit Thread(Job job) {
    const int error = ::pthread_create(&handle_, nullptr, job.run, job.subject);
    if (error != 0) throw std::system_error(error, std::generic_category(), "taskmgr: cannot start a thread");
    joinable_ = true;
  }
  Thread(Thread&& other) noexcept : handle_(other.handle_), joinable_(std::exchange(other.joinable_, false)) {}
  Thread& operator=(Thread&& other) noexcept {
    handle_ = other.handle_;
    joinable_ = std::exchange(other.joinable_, false);
    return *this;
  }

  [[nodiscard]] bool joinable() const noexcept { return joinable_; }
  [[nodiscard]] bool is_current() const noexcept { return joinable_ && ::pthread_equal(handle_, ::pthread_self()) != 0; }
  [[nodiscard]] pthread_t handle() const noexcept { return handle_; }

  void join() noexcept {
    ::pthread_join(handle_, nullptr);
    joinable_ = false;
  }
  void detach() noexcept {
    joinable_ = false;
    ::pthread_detach(handle_);
  }

 private:
  pthread_t handle_{};
  bool joinable_ = false;
};

}  // namespace taskmgr::detail
