// SPDX-License-Identifier: MIT
#include "jobs.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>

#include "measure.hpp"

namespace bench {

std::int64_t next(std::int64_t x) {
  if (x < 0) throw std::domain_error("next() of a negative number");
  return x + 1;
}

std::int64_t next(const std::string& text) {
  if (text.empty()) throw std::domain_error("next() of an empty text");
  return text.back() + 1;
}

std::uint64_t churn(std::uint64_t seed, std::size_t steps) {
  for (std::size_t k = 0; k < steps; ++k) seed = seed * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX
  return seed;
}

std::size_t steps_for(std::chrono::nanoseconds time) {
  constexpr std::size_t steps = 1'000'000;
  double least = std::numeric_limits<double>::max();
  std::uint64_t seed = 1;
  for (int k = 0; k < 20; ++k) {
    Stopwatch watch;
    seed = churn(seed, steps);
    least = std::min(least, watch.seconds());
  }
  [[maybe_unused]] const volatile std::uint64_t used = seed;  // or nothing would have to be computed
  return static_cast<std::size_t>(std::chrono::duration<double>(time).count() / least * static_cast<double>(steps)) + 1;
}

std::vector<std::int64_t> numbers(std::size_t count) {
  std::vector<std::int64_t> all(count);
  std::iota(all.begin(), all.end(), std::int64_t{0});
  return all;
}

void shuffle(std::vector<std::int64_t>& numbers, std::uint64_t seed) {
  std::mt19937_64 random{seed};
  std::shuffle(numbers.begin(), numbers.end(), random);
}

std::vector<std::string> texts(const std::vector<std::int64_t>& numbers) {
  std::vector<std::string> all;
  all.reserve(numbers.size());
  for (const std::int64_t number : numbers) {
    const std::string digits = std::to_string(number);
    all.push_back("https://example.org/p/" + std::string(8 - digits.size(), '0') + digits);
  }
  return all;
}

}  // namespace bench
