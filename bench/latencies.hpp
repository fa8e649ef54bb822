#pragma once

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstddef>
#include <vector>

namespace bench {

/// How long single operations took. To take the time costs some 50 ns an operation.
class Latencies {
 public:
  /// Room for the operations that a state will ask for, by so many at once, so that no growth is
  /// measured.
  Latencies(const benchmark::State& state, std::size_t at_once);

  template <class Operation>
  void measure(const Operation& operation) {
    const auto start = std::chrono::steady_clock::now();
    operation();
    taken_.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
            .count());
  }

  /// Adds the counters p50_us, p99_us, p99.9_us and max_us.
  void report(benchmark::State& state);

 private:
  std::vector<double> taken_;  ///< Units: microseconds.
};

}  // namespace bench
