// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Types of all shapes that a codec takes apart, to be sent by tests.

#include <taskmgr/run/codec.hpp>

#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

namespace support::sent {

enum class Colour : signed char { red = -1, green, blue };
enum class Answer : bool { no, yes };

struct Point {
  double x = 0;
  double y = 0;
};

struct Plain {
  int id;
  std::string name;
  Point at;
  bool marked;
};

struct Arrays {
  char name[8];
  std::string words[2][2];
  Point points[2];
  bool flags[3];
};

struct Empty {};

/// Recursive in all ways that there are.
struct Node {
  std::string name;
  std::vector<Node> children;
  std::unique_ptr<Node> next;
  std::map<std::string, Node> named;
};

struct Json {
  std::variant<std::nullptr_t, bool, double, std::string, std::vector<Json>, std::map<std::string, Json>> value;
};

struct Tree : std::vector<Tree> {};

/// Neither default-constructible nor assignable.
class Id {
 public:
  explicit Id(std::uint32_t value) : value_(value) {}
  Id(Id&&) = default;
  Id& operator=(Id&&) = delete;
  [[nodiscard]] std::uint32_t value() const { return value_; }
  bool operator==(const Id& other) const { return value_ == other.value_; }
  bool operator<(const Id& other) const { return value_ < other.value_; }

 private:
  std::uint32_t value_;
};

struct Badge {
  const int number;
  Id id;
  std::unique_ptr<std::string> owner;
  Id others[2];
  std::array<Id, 2> more;
};

struct Pixel {
  [[nodiscard]] int sum() const { return red_ + green_ + blue_; }
  Pixel() = default;
  Pixel(std::uint8_t red, std::uint8_t green, std::uint8_t blue) : red_(red), green_(green), blue_(blue) {}

 private:
  std::uint8_t red_ = 0, green_ = 0, blue_ = 0;
};

using Sequences = std::tuple<std::vector<int>, std::vector<bool>, std::deque<std::string>, std::list<Plain>,
                             std::forward_list<std::string>, std::vector<Point>, std::deque<std::uint16_t>,
                             std::vector<Colour>, std::u16string, std::vector<std::monostate>>;
using Tables = std::tuple<std::set<std::string>, std::multiset<int>, std::unordered_set<int>,
                          std::map<int, std::vector<std::string>>, std::multimap<int, std::string>,
                          std::unordered_map<std::string, Plain>, std::unordered_multimap<int, int>, std::set<Id>>;
using Scalars =
    std::tuple<bool, char, std::int64_t, float, long double, Colour, Answer, std::byte, std::nullptr_t, Empty,
               std::chrono::milliseconds, std::chrono::system_clock::time_point, std::chrono::year_month_day,
               std::complex<double>, std::bitset<13>, std::filesystem::path, Pixel>;
using Choices = std::tuple<std::optional<std::string>, std::variant<std::monostate, int, std::string, Plain>,
                           std::unique_ptr<Plain>, std::optional<std::optional<int>>, std::pair<Arrays, Badge>,
                           std::array<std::optional<Point>, 3>, std::vector<std::unique_ptr<int>>>;

}  // namespace support::sent

template <>
struct taskmgr::Codec<support::sent::Id> {
  static void encode(Writer& writer, const support::sent::Id& id) { Codec<std::uint32_t>::encode(writer, id.value()); }
  static support::sent::Id decode(Reader& reader) { return support::sent::Id{Codec<std::uint32_t>::decode(reader)}; }
};
template <>
inline constexpr bool taskmgr::as_bytes<support::sent::Pixel> = true;

namespace support::sent {

template <class T>
[[gnu::noinline]] std::string encoded(const T& value) {
  taskmgr::ByteBuffer buffer;
  taskmgr::Writer writer{buffer};
  taskmgr::Codec<T>::encode(writer, value);
  return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}

/// Of bytes that end where the string does, for a sanitizer to see a read beyond.
template <class T>
[[gnu::noinline]] T decoded(const std::string& bytes) {
  const std::vector<char> exact(bytes.begin(), bytes.end());
  taskmgr::Reader reader{std::as_bytes(std::span{exact})};
  T value = taskmgr::Codec<T>::decode(reader);
  reader.finish();
  return value;
}

}  // namespace support::sent
