#include <utility>

#include <kvstore/internal/ticker.hpp>

namespace kvstore::internal {

Ticker::Ticker(std::chrono::milliseconds period, std::function<bool()> tick)
    : period_(period), tick_(std::move(tick)) {}

Ticker::~Ticker() noexcept {
  stop();
}

bool Ticker::start() noexcept {
  if (ticking_) return true;
  try {
    const std::lock_guard lock(mutex_);
    if (stopping_) return false;
    if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
    ticking_ = true;
    changed_.notify_one();
    return true;
  } catch (...) {
    return false;
  }
}

void Ticker::stop() noexcept {
  std::thread thread;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    ticking_ = false;
    changed_.notify_one();
    thread.swap(thread_);
  }
  if (thread.joinable()) thread.join();
}

void Ticker::loop() noexcept {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!ticking_) {
      changed_.wait(lock);
      continue;
    }
    changed_.wait_for(lock, period_, [this] { return stopping_; });
    if (stopping_) return;
    // Before the call: what it may not have seen any more starts it anew.
    ticking_ = false;
    lock.unlock();
    const bool done = tick_();
    lock.lock();
    if (!done && !stopping_) ticking_ = true;
  }
}

}  // namespace kvstore::internal
