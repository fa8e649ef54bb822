#include "latencies.hpp"

#include <algorithm>

namespace bench {

Latencies::Latencies(const benchmark::State& state, std::size_t at_once) {
  taken_.reserve(static_cast<std::size_t>(state.max_iterations) + at_once);
}

void Latencies::report(benchmark::State& state) {
  if (taken_.empty()) return;
  std::ranges::sort(taken_);
  const auto at = [&](double part) {
    return taken_[static_cast<std::size_t>(part * static_cast<double>(taken_.size() - 1))];
  };
  state.counters["p50_us"] = at(0.5);
  state.counters["p99_us"] = at(0.99);
  state.counters["p99.9_us"] = at(0.999);
  state.counters["max_us"] = taken_.back();
}

}  // namespace bench
