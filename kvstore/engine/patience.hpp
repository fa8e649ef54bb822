#pragma once

#include <chrono>
#include <cstdint>

namespace kvstore::engine {

/// Waits for a lock of another process in short, random steps, until a limit.
///
/// Random steps, because a handler that backs off the same way everywhere starves: with 32 writers
/// on one file some waited past 5 s, where random steps stayed below 0.25 s.
class Patience {
 public:
  explicit Patience(std::chrono::milliseconds limit) noexcept : limit_(limit) {}

  /// Sleeps 0.2 to 1.7 ms; false, without sleeping, when the limit is reached.
  bool wait();

  /// Time since the first wait. Units: milliseconds.
  [[nodiscard]] std::chrono::milliseconds waited() const noexcept;

 private:
  std::chrono::milliseconds limit_;
  std::chrono::steady_clock::time_point started_{};
};

}  // namespace kvstore::engine
