// SPDX-License-Identifier: MIT
#include <taskmgr/run/remote_error.hpp>

#include <exception>
#include <fstream>
#include <functional>
#include <regex>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <typeinfo>

#include <doctest/doctest.h>

#include "support/random.hpp"

namespace {

using taskmgr::CodecError, taskmgr::RemoteError, taskmgr::TaskError;
using taskmgr::detail::SentError;

std::string encoded(const std::exception_ptr& exception, TaskError::Kind kind = TaskError::Kind::exception) {
  taskmgr::ByteBuffer buffer;
  taskmgr::Writer writer{buffer};
  taskmgr::detail::encode_error(writer, kind, exception);
  return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}

SentError decoded(const std::string& bytes) {
  const std::vector<char> exact(bytes.begin(), bytes.end());
  taskmgr::Reader reader{std::as_bytes(std::span{exact})};
  SentError result = taskmgr::detail::decode_error(reader);
  reader.finish();
  return result;
}

template <class E>
std::exception_ptr sent(const E& error) {
  return decoded(encoded(std::make_exception_ptr(error))).exception;
}

/// The type and the text are the same, and so is all that `also` looks at.
template <class E, class Also>
void check_same(const E& error, Also also) {
  try {
    std::rethrow_exception(sent(error));
  } catch (const E& back) {
    CHECK(typeid(back) == typeid(E));
    CHECK(std::string{back.what()} == error.what());
    also(back);
  } catch (...) {
    FAIL("comes back as something else than ", typeid(E).name());
  }
}
template <class E>
void check_same(const E& error) {
  check_same(error, [](const E&) {});
}

template <class... E>
void check_texts() {
  for (const std::string& text : {std::string{}, std::string{"a text"}, std::string(300'000, '\xFE')})
    (check_same(E(text)), ...);
}
template <class... E>
void check_plain() {
  (check_same(E()), ...);
}

void check_remote(const std::exception_ptr& error, const std::string& type, const std::string& message) {
  const SentError back = decoded(encoded(error));
  const TaskError same{back.kind, back.exception, 1};
  CHECK(same.type() == type);
  CHECK(same.message() == message);
  CHECK_THROWS_AS(same.rethrow(), RemoteError);
}

TEST_CASE("standard exceptions come back as exactly what they were") {
  check_texts<std::logic_error, std::domain_error, std::invalid_argument, std::length_error, std::out_of_range,
              std::runtime_error, std::range_error, std::overflow_error, std::underflow_error>();
  check_plain<std::exception, std::bad_alloc, std::bad_array_new_length, std::bad_cast, std::bad_typeid,
              std::bad_exception, std::bad_function_call, std::bad_weak_ptr, std::bad_optional_access,
              std::bad_variant_access, std::bad_any_cast>();
  check_same(std::future_error(std::future_errc::broken_promise),
             [](const std::future_error& back) { CHECK(back.code() == std::future_errc::broken_promise); });
}

TEST_CASE("what the standard library throws comes back with its text") {
  const auto thrown = [](const std::function<void()>& errand) {
    try {
      errand();
    } catch (...) {
      const TaskError there{TaskError::Kind::exception, std::current_exception(), 1};
      const TaskError here{TaskError::Kind::exception, decoded(encoded(there.exception())).exception, 1};
      CHECK(here.message() == there.message());
      if (there.type() != "std::__ios_failure") CHECK(here.type() == there.type());
      return here.exception();
    }
    return std::exception_ptr{};
  };
  thrown([] { static_cast<void>(std::string{}.at(1)); });
  thrown([] { static_cast<void>(std::stoi("x")); });
  thrown([] { static_cast<void>(std::get<1>(std::variant<int, char>{})); });
  thrown([] { static_cast<void>(std::optional<int>{}.value()); });
  thrown([] { static_cast<void>(std::any_cast<int>(std::any{'a'})); });
  thrown([] { std::function<void()>{}(); });
  thrown([] { static_cast<void>(std::filesystem::file_size("/no such file")); });
  thrown([] { std::filesystem::rename("/no such file", "/nor this one"); });
  thrown([] { static_cast<void>(std::future<int>{}.get()); });
  CHECK_THROWS_AS(std::rethrow_exception(thrown([] {
                    std::ifstream file;
                    file.exceptions(std::ios::failbit);
                    file.open("/no such file");
                  })),
                  std::ios_base::failure);
}

TEST_CASE("an error code comes back where its category is a standard one") {
  const auto same_code = [](const std::error_code& code) {
    return [code](const std::system_error& back) { CHECK(back.code() == code); };
  };
  for (const std::error_category* category :
       {&std::generic_category(), &std::system_category(), &std::iostream_category(), &std::future_category()}) {
    const std::error_code code{2, *category};
    check_same(std::system_error(code), same_code(code));
    check_same(std::system_error(code, ""), same_code(code));
    check_same(std::system_error(code, "cannot open: x"), same_code(code));
    check_same(std::ios_base::failure("cannot open", code), same_code(code));
    check_same(std::filesystem::filesystem_error("cannot open", code), same_code(code));
  }
  using std::filesystem::filesystem_error;
  const std::error_code code = std::make_error_code(std::errc::permission_denied);
  check_same(filesystem_error("cannot open", "/a", code),
             [](const filesystem_error& back) { CHECK((back.path1() == "/a" && back.path2().empty())); });
  check_same(filesystem_error("cannot move", "/a", "/b c", code),
             [](const filesystem_error& back) { CHECK((back.path1() == "/a" && back.path2() == "/b c")); });

  struct Category : std::error_category {
    [[nodiscard]] const char* name() const noexcept override { return "mine"; }
    [[nodiscard]] std::string message(int) const override { return "mine alone"; }
  } mine;
  check_remote(std::make_exception_ptr(std::system_error({1, mine}, "x")), "std::system_error", "x: mine alone");
}

TEST_CASE("the library's own exceptions come back as exactly what they were") {
  check_texts<taskmgr::Error, taskmgr::TimeoutError, taskmgr::Cancelled, taskmgr::UsageError, CodecError>();
  check_same(taskmgr::WorkerCrashed("crashed", 11, -3), [](const taskmgr::WorkerCrashed& back) {
    CHECK(back.signal() == 11);
    CHECK(back.exit_code() == -3);
  });
  check_same(RemoteError("ns::Type", "text"), [](const RemoteError& back) { CHECK(back.type() == "ns::Type"); });
}

struct Own : std::out_of_range {
  using std::out_of_range::out_of_range;
};

TEST_CASE("all else comes back as a RemoteError with its type and message") {
  check_remote(std::make_exception_ptr(Own("own")), taskmgr::detail::type_name(typeid(Own)), "own");
  check_remote(std::make_exception_ptr(42), "int", "42");
  check_remote(std::make_exception_ptr(std::string("thrown")), "std::string", "thrown");
  check_remote(std::make_exception_ptr(1.5), "double", "an exception that is no std::exception");
  check_remote(std::make_exception_ptr(std::regex_error(std::regex_constants::error_brack)), "std::regex_error",
               std::regex_error(std::regex_constants::error_brack).what());
  check_remote(nullptr, "unknown", "");
}

TEST_CASE("nested exceptions are joined into one message, outermost first") {
  std::exception_ptr nested;
  try {
    try {
      throw std::out_of_range("no such line");
    } catch (...) {
      std::throw_with_nested(std::runtime_error("cannot read"));
    }
  } catch (...) {
    nested = std::current_exception();
  }
  check_remote(nested, "std::runtime_error", "cannot read: no such line");
}

TEST_CASE("the kind of a failure crosses with it") {
  for (const TaskError::Kind kind : {TaskError::Kind::exception, TaskError::Kind::timeout, TaskError::Kind::crash})
    CHECK(decoded(encoded(std::make_exception_ptr(42), kind)).kind == kind);
}

TEST_CASE("damaged bytes are an error or an exception, and nothing else") {
  INFO("TASKMGR_SEED=" << support::seed());
  support::Random random;
  const std::exception_ptr errors[] = {
      std::make_exception_ptr(std::out_of_range("text")), std::make_exception_ptr(std::bad_cast()),
      std::make_exception_ptr(std::system_error(2, std::generic_category(), "x")),
      std::make_exception_ptr(std::filesystem::filesystem_error("x", "/a", "/b", std::error_code{})),
      std::make_exception_ptr(std::future_error(std::future_errc::no_state)),
      std::make_exception_ptr(taskmgr::WorkerCrashed("crashed", 11, 0)), std::make_exception_ptr(42)};
  const auto survives = [](const std::string& bytes) {
    try {
      return decoded(bytes).exception != nullptr;
    } catch (const CodecError&) {
      return true;
    }
  };
  for (const std::exception_ptr& error : errors) {
    const std::string bytes = encoded(error);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      CHECK_THROWS_AS(decoded(bytes.substr(0, i)), CodecError);
      for (int value = 0; value < 256; ++value) {
        std::string damaged = bytes;
        damaged[i] = static_cast<char>(value);
        if (!survives(damaged)) FAIL("byte ", i, " as ", value);
      }
    }
  }
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes(random.below(40), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random.below(random.below(2) == 0 ? 12 : 256));
    if (!survives(bytes)) FAIL("random bytes");
  }
}

}  // namespace
