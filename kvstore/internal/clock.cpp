#include <algorithm>
#include <chrono>
#include <utility>

#include <kvstore/internal/clock.hpp>
#include <kvstore/internal/timestamp.hpp>

namespace kvstore::internal {
namespace {

std::int64_t never_back(std::atomic<std::int64_t>& latest, std::int64_t now) {
  std::int64_t seen = latest.load(std::memory_order_relaxed);
  while (seen < now && !latest.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
  }
  return std::max(seen, now);
}

std::int64_t system_micros() {
  static std::atomic<std::int64_t> latest{0};
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return never_back(latest, std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

}  // namespace

Clock::Clock(std::function<Time()> source) : source_(std::move(source)) {}

std::int64_t Clock::micros() {
  if (!source_) return system_micros();
  // What no timestamp can hold could overflow below.
  const std::chrono::microseconds given =
      std::clamp(source_(), Time(), latest_time()).time_since_epoch();
  return never_back(latest_, given.count());
}

Time Clock::now() {
  return Time(std::chrono::floor<Duration>(std::chrono::microseconds(micros())));
}

}  // namespace kvstore::internal
