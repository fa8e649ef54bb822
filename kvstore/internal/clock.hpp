#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

#include <kvstore/entry.hpp>

namespace kvstore::internal {

/// The present moment as the store sees it. It never goes back: what this process has seen expired
/// stays expired, and revisions grow, also when the system clock is set back.
class Clock {
 public:
  /// Default: the system clock, and one memory for all stores of the process.
  explicit Clock(std::function<Time()> source);

  [[nodiscard]] Time now();

  /// Units: microseconds since the epoch.
  [[nodiscard]] std::int64_t micros();

 private:
  std::function<Time()> source_;
  std::atomic<std::int64_t> latest_{0};
};

}  // namespace kvstore::internal
