#include <thread>
#include <utility>

#include <kvstore/error.hpp>
#include <kvstore/internal/write_queue.hpp>

namespace kvstore::internal {

using std::chrono::milliseconds;

WriteQueue::WriteQueue(std::string name, bool shared) : name_(std::move(name)), shared_(shared) {}

WriteQueue::Turn::~Turn() noexcept {
  queue_->finish();
}

WriteQueue::Turn WriteQueue::wait(Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  if (!taken_) {
    taken_ = true;
  } else {
    const auto started = Clock::now();
    const auto self = waiters_.emplace(waiters_.end());
    const bool ready = self->wake.wait_until(lock, deadline, [&] { return self->ready; });
    waiters_.erase(self);
    if (!ready) {
      const auto waited = std::chrono::duration_cast<milliseconds>(Clock::now() - started);
      throw Error(ErrorCode::busy, "cannot write " + name_ + ": other writers of this process " +
                                       "held it for " + std::to_string(waited.count()) +
                                       " ms; try again, or raise Options::busy_timeout");
    }
  }
  lock.unlock();
  if (shared_) leave_room();
  return Turn(*this);
}

void WriteQueue::leave_room() {
  constexpr milliseconds back_to_back{1};
  constexpr milliseconds longest_run{50};
  const auto now = Clock::now();
  if (now - ended_ > back_to_back) busy_since_ = now;
  if (now - busy_since_ < longest_run) return;
  const milliseconds window(others_within(std::chrono::seconds(10)) ? 7 : 2);
  const auto into_period = now.time_since_epoch() % window_period;
  if (into_period < window) {
    std::this_thread::sleep_for(window - into_period);
  } else if (now - paused_ > 2 * window_period) {
    std::this_thread::sleep_for(window);  // its transactions are longer than the period
  } else {
    return;
  }
  paused_ = Clock::now();
}

bool WriteQueue::others_within(std::chrono::seconds span) const noexcept {
  return others_seen_ != Clock::time_point{} && Clock::now() - others_seen_ < span;
}

void WriteQueue::finish() noexcept {
  ended_ = Clock::now();
  const std::lock_guard lock(mutex_);
  for (Waiter& waiter : waiters_) {
    if (waiter.ready) continue;
    waiter.ready = true;
    waiter.wake.notify_one();
    return;
  }
  taken_ = false;
}

}  // namespace kvstore::internal
