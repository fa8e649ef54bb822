#include <algorithm>
#include <random>
#include <thread>

#include <kvstore/engine/patience.hpp>

namespace kvstore::engine {

bool Patience::wait() {
  using std::chrono::microseconds;
  const auto now = std::chrono::steady_clock::now();
  if (started_ == std::chrono::steady_clock::time_point{}) started_ = now;
  const auto left = std::chrono::duration_cast<microseconds>(started_ + limit_ - now);
  if (left <= microseconds::zero()) return false;
  thread_local std::minstd_rand random{std::random_device{}()};
  const microseconds step{std::uniform_int_distribution<int>(200, 1700)(random)};
  std::this_thread::sleep_for(std::min(step, left));
  return true;
}

std::chrono::milliseconds Patience::waited() const noexcept {
  if (started_ == std::chrono::steady_clock::time_point{}) return {};
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               started_);
}

}  // namespace kvstore::engine
