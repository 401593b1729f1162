// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Exceptions on their way from one process to another: written as bytes there, and made again here.

#include <any>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <future>
#include <ios>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <typeinfo>
#include <utility>
#include <variant>

#include "../core/error.hpp"
#include "../core/list.hpp"
#include "decode.hpp"
#include "wire.hpp"

namespace taskmgr::detail {

/// Why an attempt failed in another process.
struct SentError {
  TaskError::Kind kind;
  std::exception_ptr exception;
};

/// Writes an exception, to be read by `decode_error` in this program or a fork of it.
///
/// An exception whose type is exactly one of these comes back as it was:
/// * those of <stdexcept>, with their text;
/// * `std::exception`, and `bad_alloc`, `bad_array_new_length`, `bad_cast`, `bad_typeid`, `bad_exception`,
///   `bad_function_call`, `bad_weak_ptr`, `bad_optional_access`, `bad_variant_access`, `bad_any_cast`;
/// * `std::system_error`, `ios_base::failure`, `filesystem_error`, `future_error` with text, paths and code, if the
///   category of the code is that of generic, system, iostream or future errors;
/// * the library's own, with all that is in them.
/// All else comes back as a `RemoteError` with the name of its type and its message: what is derived from these, what
/// has others nested in it (their messages joined, outermost first), `std::regex_error`, `throw 42`.
///
/// Throws `std::bad_alloc`. Thread safety: as reading the exception.
void encode_error(Writer& writer, TaskError::Kind kind, const std::exception_ptr& exception);

/// Throws `CodecError` where the bytes are none that `encode_error` has written.
[[nodiscard]] SentError decode_error(Reader& reader);

// ---------------------------------------------------------------------------------------------------------------------

enum class ErrorForm : std::uint8_t { remote, text, plain, crash, system, ios, filesystem, future };

/// An exception taken apart, for all kinds alike: what a form has no use for is empty.
struct ErrorParts {
  ErrorForm form = ErrorForm::remote;
  std::uint8_t index = 0;    // of the type, or of the category of the code
  std::int32_t number = 0;   // the code, or the signal
  std::int32_t other = 0;    // the exit code; 1 if a text stands before the code's message
  std::string text;
  std::string first;         // the name of a foreign type; a path
  std::string second;
};
inline constexpr ErrorForm last_error_form = ErrorForm::future;

/// Made of a text that is all of them; `throw_text` has them in the same order.
inline constexpr const std::type_info* text_errors[] = {
    &typeid(std::logic_error),    &typeid(std::domain_error),   &typeid(std::invalid_argument), &typeid(std::length_error),
    &typeid(std::out_of_range),   &typeid(std::runtime_error),  &typeid(std::range_error),      &typeid(std::overflow_error),
    &typeid(std::underflow_error), &typeid(Error),              &typeid(TimeoutError),          &typeid(Cancelled),
    &typeid(CodecError),          &typeid(UsageError)};

[[noreturn]] inline void throw_text(std::uint8_t index, const std::string& text) {
  switch (index) {
    case 0: throw std::logic_error(text);
    case 1: throw std::domain_error(text);
    case 2: throw std::invalid_argument(text);
    case 3: throw std::length_error(text);
    case 4: throw std::out_of_range(text);
    case 5: throw std::runtime_error(text);
    case 6: throw std::range_error(text);
    case 7: throw std::overflow_error(text);
    case 8: throw std::underflow_error(text);
    case 9: throw Error(text);
    case 10: throw TimeoutError(text);
    case 11: throw Cancelled(text);
    case 12: throw CodecError(text);
    default: throw UsageError(text);
  }
}

/// Without anything in them; `throw_plain` has them in the same order.
inline constexpr const std::type_info* plain_errors[] = {
    &typeid(std::exception),         &typeid(std::bad_alloc),          &typeid(std::bad_array_new_length),
    &typeid(std::bad_cast),          &typeid(std::bad_typeid),         &typeid(std::bad_exception),
    &typeid(std::bad_function_call), &typeid(std::bad_weak_ptr),       &typeid(std::bad_optional_access),
    &typeid(std::bad_any_cast),      &typeid(std::bad_variant_access)};

[[noreturn]] inline void throw_plain(std::uint8_t index, const std::string& text) {
  switch (index) {
    case 0: throw std::exception();
    case 1: throw std::bad_alloc();
    case 2: throw std::bad_array_new_length();
    case 3: throw std::bad_cast();
    case 4: throw std::bad_typeid();
    case 5: throw std::bad_exception();
    case 6: throw std::bad_function_call();
    case 7: throw std::bad_weak_ptr();
    case 8: throw std::bad_optional_access();
    case 9: throw std::bad_any_cast();
    default: break;
  }
  // Its text is chosen by the library, at the place that throws it.
  try {
    static_cast<void>(std::get<1>(std::variant<char, char>{}));
  } catch (const std::bad_variant_access& error) {
    if (text == error.what()) throw;
  }
  throw std::bad_variant_access();
}

/// Where `error`'s type stands among `types`; their number if it is none of them.
[[nodiscard]] inline std::size_t place_among(Items<const std::type_info* const> types, const std::exception& error) {
  std::size_t place = 0;
  while (place != types.size() && typeid(error) != *types[place]) ++place;
  return place;
}

inline constexpr std::uint8_t category_count = 4;

inline const std::error_category& category_of(std::uint8_t index) {
  switch (index) {
    case 0: return std::generic_category();
    case 1: return std::system_category();
    case 2: return std::iostream_category();
    default: return std::future_category();
  }
}

/// False if the code is of another category, or the text is not made as the standard library makes it.
inline bool take_apart_code(const std::system_error& error, ErrorParts& parts) {
  parts.number = error.code().value();
  while (parts.index < category_count && error.code().category() != category_of(parts.index)) ++parts.index;
  if (parts.index == category_count) return false;
  const std::string message = error.code().message();
  parts.text = error.std::system_error::what();  // without what a class derived from it may put around
  if (parts.text == message) {
    parts.text.clear();
    return true;
  }
  if (!parts.text.ends_with(": " + message)) return false;
  parts.text.resize(parts.text.size() - message.size() - 2);
  parts.other = 1;
  return true;
}

/// Whether it is a stream's failure: of the class that libstdc++ throws itself, derived from the one that has a name.
inline bool is_stream_failure(const std::exception& error) {
  const std::type_info& type = typeid(error);
  return type == typeid(std::ios_base::failure) || std::string_view{type.name()} == "St13__ios_failure";
}

inline bool take_apart_system(const std::system_error& error, ErrorParts& parts) {
  if (!take_apart_code(error, parts)) return false;
  if (typeid(error) == typeid(std::system_error)) {
    parts.form = ErrorForm::system;
    return true;
  }
  if (parts.other == 0) return false;
  if (is_stream_failure(error)) {
    parts.form = ErrorForm::ios;
    return true;
  }
  if (typeid(error) != typeid(std::filesystem::filesystem_error)) return false;
  const auto& of_files = static_cast<const std::filesystem::filesystem_error&>(error);
  parts.form = ErrorForm::filesystem;
  parts.first = of_files.path1().native();
  parts.second = of_files.path2().native();
  return true;
}

/// False if it cannot come back as what it is.
inline bool take_apart(const std::exception& error, ErrorParts& parts) {
  if (const std::size_t place = place_among(text_errors, error); place != std::size(text_errors)) {
    parts = {ErrorForm::text, static_cast<std::uint8_t>(place), 0, 0, error.what(), {}, {}};
  } else if (const std::size_t plain = place_among(plain_errors, error); plain != std::size(plain_errors)) {
    parts = {ErrorForm::plain, static_cast<std::uint8_t>(plain), 0, 0, error.what(), {}, {}};
  } else if (typeid(error) == typeid(WorkerCrashed)) {
    const auto& crash = static_cast<const WorkerCrashed&>(error);
    parts = {ErrorForm::crash, 0, crash.signal(), crash.exit_code(), crash.what(), {}, {}};
  } else if (typeid(error) == typeid(RemoteError)) {
    parts = {ErrorForm::remote, 0, 0, 0, error.what(), static_cast<const RemoteError&>(error).type(), {}};
  } else if (typeid(error) == typeid(std::future_error)) {
    parts = {ErrorForm::future, 0, static_cast<const std::future_error&>(error).code().value(), 0, {}, {}, {}};
  } else if (const auto* const system = dynamic_cast<const std::system_error*>(&error)) {
    return take_apart_system(*system, parts);
  } else {
    return false;
  }
  return true;
}

inline void write_text(Writer& writer, const std::string& text) {
  writer.write_size(text.size());
  writer.write(text.data(), text.size());
}

inline void encode_error(Writer& writer, TaskError::Kind kind, const std::exception_ptr& exception) {
  ErrorParts parts;
  bool exactly = false;
  try {
    if (exception != nullptr) std::rethrow_exception(exception);
  } catch (const std::exception& error) {
    exactly = take_apart(error, parts);
  } catch (...) {
  }
  if (!exactly) {
    Description description = detail::describe(exception);
    parts = {};
    parts.text = std::move(description.message);
    parts.first = description.type != nullptr ? detail::type_name(*description.type) : "unknown";
  }
  const std::uint8_t head[] = {static_cast<std::uint8_t>(kind), static_cast<std::uint8_t>(parts.form), parts.index};
  const std::int32_t numbers[] = {parts.number, parts.other};
  writer.write(head, sizeof head);
  writer.write(numbers, sizeof numbers);
  for (const std::string* const text : {&parts.text, &parts.first, &parts.second}) write_text(writer, *text);
}

[[noreturn]] inline void throw_coded(const ErrorParts& parts) {
  using std::filesystem::filesystem_error;
  const auto path = [](std::string text) { return std::filesystem::path(std::move(text)); };
  const std::error_code code{parts.number, category_of(parts.index)};
  switch (parts.form) {
    case ErrorForm::ios: throw std::ios_base::failure(parts.text, code);
    case ErrorForm::filesystem:
      if (!parts.second.empty()) throw filesystem_error(parts.text, path(parts.first), path(parts.second), code);
      if (!parts.first.empty()) throw filesystem_error(parts.text, path(parts.first), code);
      throw filesystem_error(parts.text, code);
    default:
      if (parts.other == 0) throw std::system_error(code);
      throw std::system_error(code, parts.text);
  }
}

[[noreturn]] inline void throw_again(const ErrorParts& parts) {
  switch (parts.form) {
    case ErrorForm::remote: throw RemoteError(parts.first, parts.text);
    case ErrorForm::text: throw_text(parts.index, parts.text);
    case ErrorForm::plain: throw_plain(parts.index, parts.text);
    case ErrorForm::crash: throw WorkerCrashed(parts.text, parts.number, parts.other);
    case ErrorForm::future: throw std::future_error(static_cast<std::future_errc>(parts.number));
    default: throw_coded(parts);
  }
}

inline SentError decode_error(Reader& reader) {
  std::uint8_t head[3];
  std::int32_t numbers[2];
  reader.read(head, sizeof head);
  reader.read(numbers, sizeof numbers);
  if (head[0] > static_cast<std::uint8_t>(TaskError::Kind::crash)) detail::fail_damaged("an unknown kind of failure");
  if (head[1] > static_cast<std::uint8_t>(last_error_form)) detail::fail_damaged("an exception of an unknown form");
  ErrorParts parts{static_cast<ErrorForm>(head[1]), head[2], numbers[0], numbers[1], {}, {}, {}};
  const std::size_t indices = parts.form == ErrorForm::text    ? std::size(text_errors)
                              : parts.form == ErrorForm::plain ? std::size(plain_errors)
                                                                      : category_count;
  if (parts.index >= indices) detail::fail_damaged("an exception of an unknown type or category");
  for (std::string* const text : {&parts.text, &parts.first, &parts.second}) {
    const std::size_t size = reader.read_size();
    text->assign(reinterpret_cast<const char*>(reader.skip(size)), size);
  }
  try {
    throw_again(parts);
  } catch (...) {
    return {static_cast<TaskError::Kind>(head[0]), std::current_exception()};
  }
}

}  // namespace taskmgr::detail
