#include "scale.hpp"

#include <algorithm>

namespace bench {
namespace {

std::size_t divisor = 1;
bool growth_to_ten_million = false;

}  // namespace

void scale_down() {
  divisor = 20;
}

void scale_growth_up() {
  growth_to_ten_million = true;
}

std::size_t scaled(std::size_t count) {
  return std::max(count / divisor, std::size_t{1});
}

std::size_t cache_bytes() {
  return scaled(std::size_t{16} << 20U);
}

Data ordinary(std::size_t bytes) {
  const std::size_t entries = bytes < 1'000 ? 100'000 : bytes < 10'000 ? 10'000 : 4'000;
  return {.bytes = bytes, .entries = scaled(entries)};
}

Data far_larger_than_cache(std::size_t bytes) {
  return {.bytes = bytes, .entries = 10 * cache_bytes() / bytes};
}

std::vector<Data> growing() {
  constexpr std::size_t bytes = 115;
  std::vector<Data> steps;
  for (const std::size_t entries : {10'000, 100'000, 1'000'000}) {
    steps.push_back({.bytes = bytes, .entries = scaled(entries)});
  }
  if (growth_to_ten_million) steps.push_back({.bytes = bytes, .entries = scaled(10'000'000)});
  return steps;
}

}  // namespace bench
