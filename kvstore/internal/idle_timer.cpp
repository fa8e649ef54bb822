#include <utility>

#include <kvstore/internal/idle_timer.hpp>

namespace kvstore::internal {

IdleTimer::IdleTimer(std::chrono::milliseconds after, std::function<bool()> act)
    : after_(after), act_(std::move(act)) {}

IdleTimer::~IdleTimer() noexcept {
  stop();
}

bool IdleTimer::touch() noexcept {
  touches_.fetch_add(1);
  if (waiting_.load()) return true;
  try {
    const std::lock_guard lock(mutex_);
    if (stopping_) return false;
    if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
    waiting_ = true;
    changed_.notify_one();
    return true;
  } catch (...) {
    return false;
  }
}

void IdleTimer::stop() noexcept {
  std::thread thread;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
    thread.swap(thread_);
  }
  if (thread.joinable()) thread.join();
}

void IdleTimer::loop() noexcept {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!waiting_) {
      changed_.wait(lock);
      continue;
    }
    const std::uint64_t touches = touches_;
    changed_.wait_for(lock, after_, [this] { return stopping_; });
    if (stopping_) continue;
    // Whoever touches it from here on waits for the mutex, to start the wait anew.
    waiting_ = false;
    if (touches_ != touches) {
      waiting_ = true;
      continue;
    }
    lock.unlock();
    const bool acted = act_();
    lock.lock();
    if (!acted) waiting_ = true;
  }
}

}  // namespace kvstore::internal
