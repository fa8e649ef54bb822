#include <algorithm>
#include <thread>
#include <utility>

#include <kvstore/error.hpp>
#include <kvstore/internal/write_queue.hpp>

namespace kvstore::internal {

using std::chrono::milliseconds;

WriteQueue::WriteQueue(std::string name, std::function<bool()> has_neighbours)
    : name_(std::move(name)), has_neighbours_(std::move(has_neighbours)) {}

WriteQueue::Turn::~Turn() noexcept {
  if (queue_ != nullptr) queue_->finish();
}

std::optional<WriteQueue::Turn> WriteQueue::wait(Clock::time_point deadline, Member* member) {
  std::unique_lock lock(mutex_);
  if (!taken_) {
    taken_ = true;
  } else {
    const auto started = Clock::now();
    const auto self = waiters_.emplace(waiters_.end());
    self->member = member;
    const auto over = [&] { return self->ready || self->done; };
    self->wake.wait_until(lock, deadline, over);
    // Whoever does its work will be through with it.
    if (self->taken) self->wake.wait(lock, over);
    const bool ready = self->ready;
    const bool done = self->done;
    waiters_.erase(self);
    if (done) return std::nullopt;
    if (!ready) {
      const auto waited = std::chrono::duration_cast<milliseconds>(Clock::now() - started);
      throw Error(ErrorCode::busy, "cannot write " + name_ + ": other writers of this process " +
                                       "held it for " + std::to_string(waited.count()) +
                                       " ms; try again, or raise Options::busy_timeout");
    }
  }
  lock.unlock();
  Turn turn(*this);
  leave_room();
  return turn;
}

WriteQueue::Group::Group(WriteQueue& queue) : queue_(queue) {
  constexpr std::size_t most = 64;
  const std::lock_guard lock(queue_.mutex_);
  members_.reserve(std::min(most, queue_.waiters_.size()));
  for (Waiter& waiter : queue_.waiters_) {
    if (members_.size() == members_.capacity()) break;
    // Who was taken before may not have woken up yet to leave.
    if (waiter.member == nullptr || waiter.taken) continue;
    members_.push_back(waiter.member);
    waiter.taken = true;
  }
}

WriteQueue::Group::~Group() noexcept {
  const std::lock_guard lock(queue_.mutex_);
  for (Waiter& waiter : queue_.waiters_) {
    if (!waiter.taken) continue;
    waiter.done = true;
    waiter.wake.notify_one();
  }
}

void WriteQueue::leave_room() {
  constexpr milliseconds back_to_back{1};
  constexpr milliseconds longest_run{50};
  const auto now = Clock::now();
  if (now - ended_ > back_to_back) busy_since_ = now;
  if (now - busy_since_ < longest_run) return;
  const Windows& windows = others_within(std::chrono::seconds(10)) ? beside_others : alone;
  const auto into_period = now.time_since_epoch() % windows.period;
  const auto since_pause = now - std::max(paused_, busy_since_);
  Clock::duration pause{};
  if (into_period < windows.length) {
    pause = windows.length - into_period;
  } else if (since_pause > 2 * windows.period) {
    // Its transactions are longer than the period: the same share of the time.
    const auto owed = since_pause * windows.length.count() / windows.period.count();
    pause = std::min<Clock::duration>(owed, beside_others.length);
  }
  if (pause == Clock::duration::zero()) return;
  const bool just_seen = others_within(std::chrono::seconds(1));
  if (just_seen || has_neighbours_()) std::this_thread::sleep_for(pause);
  paused_ = Clock::now();
}

bool WriteQueue::others_within(std::chrono::seconds span) const noexcept {
  return others_seen_ != Clock::time_point{} && Clock::now() - others_seen_ < span;
}

void WriteQueue::finish() noexcept {
  ended_ = Clock::now();
  const std::lock_guard lock(mutex_);
  for (Waiter& waiter : waiters_) {
    if (waiter.ready || waiter.taken) continue;
    waiter.ready = true;
    waiter.wake.notify_one();
    return;
  }
  taken_ = false;
}

}  // namespace kvstore::internal
