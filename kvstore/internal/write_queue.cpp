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

WriteQueue::Waiter::Waiter(Member* waiting, Clock::time_point deadline) noexcept
    : member(waiting),
      patient_until(since + std::min<Clock::duration>(milliseconds(1), (deadline - since) / 2)) {}

void WriteQueue::Waiter::tell(News news) noexcept {
  {
    const std::lock_guard lock(mutex_);
    // `free` may come later than what has made it void, because the queue is not locked any more.
    if (news <= news_) return;
    news_ = news;
  }
  told_.notify_one();
}

WriteQueue::Waiter::News WriteQueue::Waiter::hear(Clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  told_.wait_until(lock, deadline, [&] { return news_ != News::none; });
  return std::exchange(news_, News::none);
}

std::optional<WriteQueue::Turn> WriteQueue::wait(Clock::time_point deadline, Member* member) {
  {
    std::unique_lock lock(mutex_);
    if (!taken_) {
      taken_ = true;
    } else if (!wait_in_line(lock, deadline, member)) {
      return std::nullopt;
    }
  }
  Turn turn(*this);
  leave_room();
  return turn;
}

/// Whether it got the turn, or else its work was done.
bool WriteQueue::wait_in_line(std::unique_lock<std::mutex>& lock, Clock::time_point deadline,
                              Member* member) {
  using News = Waiter::News;
  const std::shared_ptr<Waiter> self =
      waiters_.emplace_back(std::make_shared<Waiter>(member, deadline));
  while (true) {
    lock.unlock();
    const News news = self->hear(deadline);
    if (news == News::turn || news == News::done) return news == News::turn;
    lock.lock();
    const auto place = std::find(waiters_.begin(), waiters_.end(), self);
    if (place == waiters_.end()) {
      // Whoever handed it the turn, or does its work, is going to tell it.
      deadline = Clock::time_point::max();
    } else if (!taken_) {
      waiters_.erase(place);
      return taken_ = true;
    } else if (news == News::none) {
      waiters_.erase(place);
      const auto waited = std::chrono::duration_cast<milliseconds>(Clock::now() - self->since);
      throw Error(ErrorCode::busy, "cannot write " + name_ + ": other writers of this process " +
                                       "held it for " + std::to_string(waited.count()) +
                                       " ms; try again, or raise Options::busy_timeout");
    }
  }
}

bool WriteQueue::if_idle_since(Clock::time_point moment, engine::FunctionRef<void()> body) {
  const std::lock_guard lock(mutex_);
  if (taken_ || ended_ >= moment) return false;
  body();
  return true;
}

WriteQueue::Group::Group(WriteQueue& queue) {
  constexpr std::size_t most = 64;
  const std::lock_guard lock(queue.mutex_);
  if (queue.waiters_.empty()) return;
  Waiters staying;
  for (const std::shared_ptr<Waiter>& waiter : queue.waiters_) {
    const bool stays = waiter->member == nullptr || taken_.size() == most;
    (stays ? staying : taken_).push_back(waiter);
  }
  queue.waiters_.swap(staying);
}

WriteQueue::Group::~Group() noexcept {
  for (const std::shared_ptr<Waiter>& waiter : taken_) waiter->tell(Waiter::News::done);
}

std::vector<WriteQueue::Member*> WriteQueue::Group::members() const {
  std::vector<Member*> members;
  members.reserve(taken_.size());
  for (const std::shared_ptr<Waiter>& waiter : taken_) members.push_back(waiter->member);
  return members;
}

void WriteQueue::leave_room() {
  constexpr milliseconds back_to_back{1};
  constexpr milliseconds shortest_run{5};
  constexpr milliseconds longest_run{50};
  const auto now = Clock::now();
  if (now - ended_ > back_to_back) {
    busy_since_ = now;
    undisturbed_ = false;
  }
  const auto run = now - busy_since_;
  if (run < shortest_run) return;
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
  undisturbed_ = !others_within(std::chrono::seconds(1)) && !has_neighbours_();
  if (!undisturbed_ && run >= longest_run) std::this_thread::sleep_for(pause);
  paused_ = Clock::now();
}

bool WriteQueue::others_within(std::chrono::seconds span) const noexcept {
  return others_seen_ != Clock::time_point{} && Clock::now() - others_seen_ < span;
}

void WriteQueue::finish() noexcept {
  ended_ = Clock::now();
  std::shared_ptr<Waiter> next;
  Waiter::News news = Waiter::News::free;
  {
    const std::lock_guard lock(mutex_);
    taken_ = false;
    if (waiters_.empty()) return;
    next = waiters_.front();
    if (ended_ >= next->patient_until) {
      news = Waiter::News::turn;
      waiters_.erase(waiters_.begin());
      taken_ = true;
    }
  }
  next->tell(news);
}

}  // namespace kvstore::internal
