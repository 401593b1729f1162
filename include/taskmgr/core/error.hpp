// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What can go wrong: the library's own exceptions, and `TaskError`, which keeps what a task threw.

#include <cxxabi.h>

#include <cstddef>
#include <cstdlib>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>

namespace taskmgr {

/// The base of every exception that the library throws into or on behalf of a task.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An attempt had no value at its deadline.
class TimeoutError : public Error {
 public:
  using Error::Error;
};

/// The run was cancelled. A task that throws it in a cancelled run is `State::cancelled`, not failed.
class Cancelled : public Error {
 public:
  using Error::Error;
  Cancelled() : Error("the task was cancelled") {}
};

/// A worker process ended while it ran the task.
class WorkerCrashed : public Error {
 public:
  /// `signal` and `exit_code` are 0 where they do not apply or are not known.
  WorkerCrashed(const std::string& message, int signal, int exit_code)
      : Error(message), signal_(signal), exit_code_(exit_code) {}

  [[nodiscard]] int signal() const noexcept { return signal_; }
  [[nodiscard]] int exit_code() const noexcept { return exit_code_; }

 private:
  int signal_;
  int exit_code_;
};

/// An exception from another process whose type cannot be rebuilt here.
class RemoteError : public Error {
 public:
  RemoteError(std::string type, const std::string& message) : Error(message), type_(std::move(type)) {}

  /// The demangled name of what was thrown there.
  [[nodiscard]] const std::string& type() const noexcept { return type_; }

 private:
  std::string type_;
};

/// The library was used in a way that cannot work; the message says what to write instead.
class UsageError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// A stage does not fit where it was to stand in a tree.
class StageMismatch : public UsageError {
 public:
  using UsageError::UsageError;
};

/// Why a task failed, after its last attempt.
///
/// Thread safety: immutable; any number of threads may call.
class TaskError {
 public:
  enum class Kind {
    exception,  ///< the task threw
    timeout,    ///< an attempt had no value at its deadline
    crash       ///< the worker process died
  };

  TaskError(Kind kind, std::exception_ptr exception, int attempts);

  [[nodiscard]] Kind kind() const noexcept { return kind_; }

  /// `what()` of the exception, then those nested in it (`std::throw_with_nested`), outermost first, joined by ": ". Of
  /// a thrown string the string, of a thrown integer its digits.
  [[nodiscard]] const std::string& message() const noexcept { return message_; }

  /// The demangled name of what was thrown, "std::invalid_argument" say; "int" for `throw 42`.
  [[nodiscard]] std::string type() const;

  /// How many attempts were made, at least 1.
  [[nodiscard]] int attempts() const noexcept { return attempts_; }

  /// What was thrown; never null.
  [[nodiscard]] const std::exception_ptr& exception() const noexcept { return exception_; }

  [[noreturn]] void rethrow() const { std::rethrow_exception(exception_); }

  /// The name of the stage of a tree in which it failed, "stage 2" if that has none; empty outside of trees.
  [[nodiscard]] const std::string& stage() const noexcept { return stage_; }

  /// The number of that stage, from 0.
  [[nodiscard]] std::size_t stage_index() const noexcept { return stage_index_; }

  /// For the library: the same error, of a stage of a tree.
  [[nodiscard]] TaskError at_stage(const std::string& name, std::size_t index) const;

 private:
  std::exception_ptr exception_;
  std::string message_;
  const std::type_info* type_ = nullptr;
  std::string stage_;
  std::size_t stage_index_ = 0;
  int attempts_;
  Kind kind_;
};

namespace detail {

/// "std::vector<int>" for `typeid(std::vector<int>)`; the mangled name where it cannot be demangled.
std::string type_name(const std::type_info& type);

/// An exception as text: its message with the nested ones, and its type.
struct Description {
  std::string message;
  const std::type_info* type = nullptr;
};
Description describe(const std::exception_ptr& exception);

}  // namespace detail

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

inline std::string type_name(const std::type_info& type) {
  int status = 0;
  const struct Demangled {
    char* name;
    ~Demangled() { std::free(name); }
  } demangled{abi::__cxa_demangle(type.name(), nullptr, nullptr, &status)};
  if (status != 0 || demangled.name == nullptr) return type.name();
  if (type == typeid(std::string)) return "std::string";
  std::string text = demangled.name;
  // what std::throw_with_nested makes of a T: libstdc++'s own class around it
  constexpr std::string_view nested = "std::_Nested_exception<";
  if (text.starts_with(nested) && text.ends_with('>')) text = text.substr(nested.size(), text.size() - nested.size() - 1);
  return text;
}

inline Description describe(const std::exception_ptr& exception) {
  constexpr int max_depth = 32;  // a chain of causes that is longer is of no use to a reader
  Description result;
  std::exception_ptr current = exception;
  for (int depth = 0; current != nullptr && depth < max_depth; ++depth) {
    std::exception_ptr next;
    std::string text;
    const std::type_info* type = nullptr;
    try {
      std::rethrow_exception(current);
    } catch (const std::exception& error) {
      type = abi::__cxa_current_exception_type();
      if (const char* const what = error.what()) text = what;
      if (const auto* nested = dynamic_cast<const std::nested_exception*>(&error)) next = nested->nested_ptr();
    } catch (const std::string& thrown) {
      type = &typeid(std::string);
      text = thrown;
    } catch (const char* thrown) {
      type = abi::__cxa_current_exception_type();
      text = thrown != nullptr ? thrown : "a null pointer to characters";
    } catch (int thrown) {
      type = &typeid(int);
      text = std::to_string(thrown);
    } catch (...) {
      type = abi::__cxa_current_exception_type();
      text = "an exception that is no std::exception";
    }
    if (depth == 0) {
      result = {std::move(text), type};
    } else {
      result.message += ": ";
      result.message += text;
    }
    current = std::move(next);
  }
  return result;
}

}  // namespace detail

inline TaskError::TaskError(Kind kind, std::exception_ptr exception, int attempts)
    : exception_(std::move(exception)), attempts_(attempts), kind_(kind) {
  detail::Description description = detail::describe(exception_);
  message_ = std::move(description.message);
  type_ = description.type;
}

inline TaskError TaskError::at_stage(const std::string& name, std::size_t index) const {
  TaskError error = *this;
  error.stage_ = name;
  error.stage_index_ = index;
  return error;
}

inline std::string TaskError::type() const {
  if (type_ == nullptr) return "unknown";
  if (*type_ == typeid(RemoteError)) {
    try {
      rethrow();
    } catch (const RemoteError& remote) {
      return remote.type();
    }
  }
  return detail::type_name(*type_);
}

}  // namespace taskmgr
