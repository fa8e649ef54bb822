#include "picks.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>

namespace bench {
namespace {

constexpr std::size_t drawn = 1U << 20U;

std::vector<std::uint32_t> draw_ranks(std::size_t among) {
  constexpr double exponent = 0.99;
  std::vector<double> up_to(among);
  double sum = 0;
  for (std::size_t rank = 0; rank < among; ++rank) {
    sum += std::pow(static_cast<double>(rank + 1), -exponent);
    up_to[rank] = sum;
  }
  constexpr double precision = 0x1p-53;
  Random random(among);
  std::vector<std::uint32_t> ranks(drawn);
  for (std::uint32_t& rank : ranks) {
    const double point = static_cast<double>(random.next() >> 11U) * precision * sum;
    const auto found = std::ranges::upper_bound(up_to, point);
    rank = static_cast<std::uint32_t>(
        std::min<std::ptrdiff_t>(found - up_to.begin(), std::ssize(up_to) - 1));
  }
  return ranks;
}

/// Drawn once for all peers: to draw costs a hundred times what a read from memory does.
const std::vector<std::uint32_t>& ranks_of(std::size_t among) {
  static std::mutex mutex;
  static std::map<std::size_t, std::vector<std::uint32_t>> made;
  const std::lock_guard lock(mutex);
  const auto found = made.find(among);
  if (found != made.end()) return found->second;
  return made.emplace(among, draw_ranks(among)).first->second;
}

}  // namespace

Picks::Picks(std::size_t among, std::uint64_t seed, const std::vector<std::uint32_t>* ranks,
             std::size_t spread) noexcept
    : random_(seed),
      among_(among),
      ranks_(ranks),
      position_(Random(seed).below(drawn)),
      spread_(spread) {}

Picks Picks::even(std::size_t among, std::uint64_t seed) {
  return {among, seed, nullptr, 1};
}

Picks Picks::zipf(std::size_t among, std::uint64_t seed) {
  constexpr std::size_t prime = 2'654'435'761;
  return {among, seed, &ranks_of(among), prime};
}

Picks Picks::zipf_ranks(std::size_t among, std::uint64_t seed) {
  return {among, seed, &ranks_of(among), 1};
}

}  // namespace bench
