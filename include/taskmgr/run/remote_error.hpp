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

#include "../core/aggregate.hpp"
#include "../core/error.hpp"
#include "codec.hpp"
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

/// Made of a text that is all of them.
using TextErrors = Types<std::logic_error, std::domain_error, std::invalid_argument, std::length_error,
                         std::out_of_range, std::runtime_error, std::range_error, std::overflow_error,
                         std::underflow_error, Error, TimeoutError, Cancelled, CodecError, UsageError>;

/// Without anything in them.
using PlainErrors = Types<std::exception, std::bad_alloc, std::bad_array_new_length, std::bad_cast, std::bad_typeid,
                          std::bad_exception, std::bad_function_call, std::bad_weak_ptr, std::bad_optional_access,
                          std::bad_variant_access, std::bad_any_cast>;

enum class ErrorForm : std::uint8_t { remote, text, plain, crash, system, ios, filesystem, future };

/// With a code. `argument` is the text that the constructor was given, where it was.
struct CodedError {
  std::uint8_t category = 0;
  int value = 0;
  std::optional<std::string> argument;
};

inline constexpr std::uint8_t category_count = 4;

inline const std::error_category& category_of(std::uint8_t index) {
  switch (index) {
    case 0: return std::generic_category();
    case 1: return std::system_category();
    case 2: return std::iostream_category();
    default: return std::future_category();
  }
}

/// Nothing if the code is of another category, or the text is not made as the standard library makes it.
inline std::optional<CodedError> take_apart(const std::system_error& error) {
  CodedError result;
  result.value = error.code().value();
  while (result.category < category_count && error.code().category() != category_of(result.category)) ++result.category;
  if (result.category == category_count) return std::nullopt;
  const std::string message = error.code().message();
  std::string text = error.std::system_error::what();  // without what a class derived from it may put around
  if (text == message) return result;
  if (!text.ends_with(": " + message)) return std::nullopt;
  text.resize(text.size() - message.size() - 2);
  result.argument = std::move(text);
  return result;
}

template <class T>
void encode_all(Writer& writer, const T& value) {
  Codec<T>::encode(writer, value);
}

template <class... Error>
bool encode_one_of(Writer& writer, const std::exception& error, ErrorForm form, Types<Error...>) {
  std::uint8_t index = 0;
  if (!((typeid(error) == typeid(Error) || (++index, false)) || ...)) return false;
  detail::encode_all(writer, form);
  detail::encode_all(writer, index);
  detail::encode_all<std::string>(writer, error.what());
  return true;
}

/// Whether it is a stream's failure: of the class that libstdc++ throws itself, derived from the one that has a name.
inline bool is_stream_failure(const std::exception& error) {
  const std::type_info& type = typeid(error);
  return type == typeid(std::ios_base::failure) || std::string_view{type.name()} == "St13__ios_failure";
}

inline bool encode_coded(Writer& writer, const std::system_error& error) {
  ErrorForm form = ErrorForm::system;
  if (is_stream_failure(error)) form = ErrorForm::ios;
  else if (typeid(error) == typeid(std::filesystem::filesystem_error)) form = ErrorForm::filesystem;
  else if (typeid(error) != typeid(std::system_error)) return false;
  const std::optional<CodedError> coded = detail::take_apart(error);
  if (!coded || (form != ErrorForm::system && !coded->argument)) return false;
  detail::encode_all(writer, form);
  detail::encode_all(writer, *coded);
  if (form == ErrorForm::filesystem) {
    const auto& of_files = static_cast<const std::filesystem::filesystem_error&>(error);
    detail::encode_all(writer, of_files.path1());
    detail::encode_all(writer, of_files.path2());
  }
  return true;
}

/// False, and nothing is written, if it cannot come back as what it is.
inline bool encode_exactly(Writer& writer, const std::exception& error) {
  if (detail::encode_one_of(writer, error, ErrorForm::text, TextErrors{})) return true;
  if (detail::encode_one_of(writer, error, ErrorForm::plain, PlainErrors{})) return true;
  if (const auto* const system = dynamic_cast<const std::system_error*>(&error))
    return detail::encode_coded(writer, *system);
  if (typeid(error) == typeid(WorkerCrashed)) {
    const auto& crash = static_cast<const WorkerCrashed&>(error);
    detail::encode_all(writer, ErrorForm::crash);
    detail::encode_all<std::string>(writer, crash.what());
    detail::encode_all(writer, crash.signal());
    detail::encode_all(writer, crash.exit_code());
    return true;
  }
  if (typeid(error) == typeid(RemoteError)) {
    detail::encode_all(writer, ErrorForm::remote);
    detail::encode_all(writer, static_cast<const RemoteError&>(error).type());
    detail::encode_all<std::string>(writer, error.what());
    return true;
  }
  if (typeid(error) == typeid(std::future_error)) {
    detail::encode_all(writer, ErrorForm::future);
    detail::encode_all(writer, static_cast<const std::future_error&>(error).code().value());
    return true;
  }
  return false;
}

inline void encode_error(Writer& writer, TaskError::Kind kind, const std::exception_ptr& exception) {
  detail::encode_all(writer, static_cast<std::uint8_t>(kind));
  if (exception != nullptr) {
    try {
      std::rethrow_exception(exception);
    } catch (const std::exception& error) {
      if (detail::encode_exactly(writer, error)) return;
    } catch (...) {
    }
  }
  const Description description = detail::describe(exception);
  detail::encode_all(writer, ErrorForm::remote);
  detail::encode_all<std::string>(writer,
                                  description.type != nullptr ? detail::type_name(*description.type) : "unknown");
  detail::encode_all(writer, description.message);
}

template <class T>
T decode_all(Reader& reader) {
  return Codec<T>::decode(reader);
}

template <class T>
std::exception_ptr make_text(const std::string& text) {
  return std::make_exception_ptr(T(text));
}

/// The text of `bad_variant_access` is chosen by the library, at the place that throws it.
template <class T>
std::exception_ptr make_plain(const std::string& text) {
  if constexpr (std::is_same_v<T, std::bad_variant_access>) {
    try {
      static_cast<void>(std::get<0>(std::variant<int, char>{'a'}));
    } catch (const std::bad_variant_access& error) {
      if (text == error.what()) return std::current_exception();
    }
  }
  return std::make_exception_ptr(T{});
}

using MakeError = std::exception_ptr (*)(const std::string&);
template <class... T>
std::exception_ptr make_one_of(Reader& reader, const MakeError (&makers)[sizeof...(T)], Types<T...>) {
  const auto index = detail::decode_all<std::uint8_t>(reader);
  if (index >= sizeof...(T)) detail::fail_damaged("an exception of an unknown type");
  return makers[index](detail::decode_all<std::string>(reader));
}
template <class... T>
std::exception_ptr decode_text(Reader& reader, Types<T...> types) {
  return detail::make_one_of(reader, {&detail::make_text<T>...}, types);
}
template <class... T>
std::exception_ptr decode_plain(Reader& reader, Types<T...> types) {
  return detail::make_one_of(reader, {&detail::make_plain<T>...}, types);
}

inline std::exception_ptr decode_coded(Reader& reader, ErrorForm form) {
  const auto coded = detail::decode_all<CodedError>(reader);
  if (coded.category >= category_count) detail::fail_damaged("an error code of an unknown category");
  const std::error_code code{coded.value, category_of(coded.category)};
  const std::string argument = coded.argument.value_or("");
  if (form == ErrorForm::ios) return std::make_exception_ptr(std::ios_base::failure(argument, code));
  if (form == ErrorForm::filesystem) {
    using std::filesystem::filesystem_error;
    const auto one = detail::decode_all<std::filesystem::path>(reader);
    const auto other = detail::decode_all<std::filesystem::path>(reader);
    if (!other.empty()) return std::make_exception_ptr(filesystem_error(argument, one, other, code));
    if (!one.empty()) return std::make_exception_ptr(filesystem_error(argument, one, code));
    return std::make_exception_ptr(filesystem_error(argument, code));
  }
  if (!coded.argument) return std::make_exception_ptr(std::system_error(code));
  return std::make_exception_ptr(std::system_error(code, argument));
}

inline std::exception_ptr decode_exception(Reader& reader) {
  const auto form = detail::decode_all<ErrorForm>(reader);
  switch (form) {
    case ErrorForm::remote: {
      auto type = detail::decode_all<std::string>(reader);
      return std::make_exception_ptr(RemoteError(std::move(type), detail::decode_all<std::string>(reader)));
    }
    case ErrorForm::text: return detail::decode_text(reader, TextErrors{});
    case ErrorForm::plain: return detail::decode_plain(reader, PlainErrors{});
    case ErrorForm::crash: {
      const auto text = detail::decode_all<std::string>(reader);
      const auto signal = detail::decode_all<int>(reader);
      return std::make_exception_ptr(WorkerCrashed(text, signal, detail::decode_all<int>(reader)));
    }
    case ErrorForm::system:
    case ErrorForm::ios:
    case ErrorForm::filesystem: return detail::decode_coded(reader, form);
    case ErrorForm::future:
      return std::make_exception_ptr(
          std::future_error(static_cast<std::future_errc>(detail::decode_all<int>(reader))));
  }
  detail::fail_damaged("an exception of an unknown form");
}

inline SentError decode_error(Reader& reader) {
  const auto kind = detail::decode_all<std::uint8_t>(reader);
  if (kind > static_cast<std::uint8_t>(TaskError::Kind::crash)) detail::fail_damaged("an unknown kind of failure");
  return {static_cast<TaskError::Kind>(kind), detail::decode_exception(reader)};
}

}  // namespace taskmgr::detail
