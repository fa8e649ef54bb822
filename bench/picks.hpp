#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

/// Which entries a workload asks for: the same in each run and for each peer.
namespace bench {

/// A quick generator, a nanosecond a number, so that it does not show in what is measured.
/// Source: https://prng.di.unimi.it/splitmix64.c
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15U);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }

  /// From 0 to `bound` - 1. `bound` is less than 2^32.
  std::size_t below(std::size_t bound) noexcept { return ((next() >> 32U) * bound) >> 32U; }

 private:
  std::uint64_t state_;
};

/// Indices of entries.
class Picks {
 public:
  /// Each of the first `among` with the same probability.
  static Picks even(std::size_t among, std::uint64_t seed = 1);

  /// Zipf's law with the exponent 0.99, as in YCSB: few entries, spread over all, are asked for
  /// most of the time.
  static Picks zipf(std::size_t among, std::uint64_t seed = 1);

  /// The same law, the most probable first: 0, 1, 2, …
  static Picks zipf_ranks(std::size_t among, std::uint64_t seed = 1);

  std::size_t next() noexcept {
    if (ranks_ == nullptr) return random_.below(among_);
    const std::size_t rank = (*ranks_)[position_++ % ranks_->size()];
    return rank * spread_ % among_;
  }

 private:
  Picks(std::size_t among, std::uint64_t seed, const std::vector<std::uint32_t>* ranks,
        std::size_t spread) noexcept;

  Random random_;
  std::size_t among_;
  const std::vector<std::uint32_t>* ranks_;  ///< Null: all are equal.
  std::size_t position_;
  std::size_t spread_;  ///< A prime, so that each rank has an entry of its own.
};

}  // namespace bench
