// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The functions that the tasks of the benchmarks call. Their bodies stand in a file of their own, so that no compiler
/// inlines them, nor knows that they do not throw.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace bench {

/// x + 1. Throws `std::domain_error` of a negative number.
[[nodiscard]] std::int64_t next(std::int64_t x);

/// The code of the last character, + 1. Throws `std::domain_error` of an empty string.
[[nodiscard]] std::int64_t next(const std::string& text);

/// So many steps of a linear congruential generator, each of which needs the one before: a fixed amount of arithmetic.
[[nodiscard]] std::uint64_t churn(std::uint64_t seed, std::size_t steps);

/// How many steps take so long here, now.
[[nodiscard]] std::size_t steps_for(std::chrono::nanoseconds time);

/// The numbers from 0 on.
[[nodiscard]] std::vector<std::int64_t> numbers(std::size_t count);

/// In another order, the same each time for a seed.
void shuffle(std::vector<std::int64_t>& numbers, std::uint64_t seed);

/// A text of 30 characters for each of these numbers below 10^8.
[[nodiscard]] std::vector<std::string> texts(const std::vector<std::int64_t>& numbers);

}  // namespace bench
