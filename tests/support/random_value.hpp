// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// Random values of the types of sent.hpp.

#include <taskmgr/core/aggregate.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "support/random.hpp"
#include "support/sent.hpp"

namespace support::sent {

class RandomValue {
 public:
  template <class T>
  [[nodiscard, gnu::noinline]] T make() {
    if constexpr (std::is_same_v<T, Badge>) {
      return {make<int>(), make<Id>(), make<std::unique_ptr<std::string>>(), {make<Id>(), make<Id>()}, {make<Id>(), make<Id>()}};
    } else if constexpr (std::is_same_v<T, std::pair<Arrays, Badge>>) {
      return {make<Arrays>(), make<Badge>()};
    } else if constexpr (std::is_same_v<T, Id>) {
      return Id{make<std::uint32_t>()};
    } else if constexpr (std::is_same_v<T, Choices>) {
      return {make<std::tuple_element_t<0, T>>(), make<std::tuple_element_t<1, T>>(), make<std::tuple_element_t<2, T>>(),
              make<std::tuple_element_t<3, T>>(), make<std::tuple_element_t<4, T>>(), make<std::tuple_element_t<5, T>>(),
              make<std::tuple_element_t<6, T>>()};
    } else {
      T value = T();  // clang 14 crashes on `T value{}` for some
      fill(value);
      return value;
    }
  }

 private:
  template <class T>
    requires std::is_arithmetic_v<T>
  void fill(T& value) {
    if constexpr (std::is_same_v<T, bool>) value = below(2) == 1;
    else value = static_cast<T>(below(3) == 0 ? random_.word() : below(100));
  }
  void fill(Colour& value) { value = static_cast<Colour>(static_cast<int>(below(3)) - 1); }
  void fill(Answer& value) { value = below(2) == 1 ? Answer::yes : Answer::no; }
  void fill(std::byte& value) { value = static_cast<std::byte>(below(256)); }
  void fill(std::nullptr_t&) {}
  void fill(std::filesystem::path& value) { value = make<std::string>(); }
  void fill(std::bitset<13>& value) { value = below(1 << 13); }
  void fill(Pixel& value) { value = {make<std::uint8_t>(), make<std::uint8_t>(), make<std::uint8_t>()}; }
  void fill(std::complex<double>& value) { value = {make<double>(), make<double>()}; }
  void fill(std::chrono::year_month_day& value) { value = std::chrono::sys_days{std::chrono::days{below(30'000)}}; }
  template <class Rep, class Period>
  void fill(std::chrono::duration<Rep, Period>& value) {
    value = std::chrono::duration<Rep, Period>{make<Rep>()};
  }
  void fill(std::chrono::system_clock::time_point& value) { value += make<std::chrono::system_clock::duration>(); }
  template <class A, class B>
  void fill(std::pair<A, B>& value) {
    fill(value.first), fill(value.second);
  }
  template <class... A>
  void fill(std::tuple<A...>& value) {
    std::apply([this](auto&... part) { (this->fill(part), ...); }, value);
  }
  template <class A>
  void fill(std::optional<A>& value) {
    if (below(3) != 0) fill(value.emplace());
  }
  template <class A>
  void fill(std::unique_ptr<A>& value) {
    if (deep()) return;
    ++depth_;
    if (below(3) != 0) value = std::make_unique<A>(make<A>());
    --depth_;
  }
  template <class... A>
  void fill(std::variant<A...>& value) {
    std::size_t chosen = below(sizeof...(A));
    ((chosen-- == 0 ? void(value.template emplace<A>(make<A>())) : void()), ...);
  }
  template <class A, std::size_t size>
  void fill(A (&value)[size]) {
    for (auto& element : value) fill(element);
  }
  template <class A, std::size_t size>
  void fill(std::array<A, size>& value) {
    for (auto& element : value) fill(element);
  }
  template <class T>
    requires taskmgr::detail::Container<T>
  void fill(T& value) {
    if (deep()) return;
    ++depth_;
    for (std::size_t n = below(4); n > 0; --n) {
      if constexpr (requires { typename T::mapped_type; }) {
        auto key = make<typename T::key_type>();
        value.emplace(std::move(key), make<typename T::mapped_type>());
      } else if constexpr (requires { value.push_front(make<typename T::value_type>()); }) {
        value.push_front(make<typename T::value_type>());
      } else {
        value.insert(value.end(), make<typename T::value_type>());
      }
    }
    --depth_;
  }
  template <taskmgr::detail::Aggregate T>
    requires(!taskmgr::detail::Container<T>)
  void fill(T& value) {
    taskmgr::detail::visit_members(value, [this](auto&... member) { (this->fill(member), ...); });
  }

  bool deep() const { return depth_ > 4; }
  std::size_t below(std::size_t n) { return random_.below(n); }

  Random random_;
  int depth_ = 0;
};

}  // namespace support::sent
