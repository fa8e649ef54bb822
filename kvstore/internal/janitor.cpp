#include <algorithm>
#include <utility>

#include <kvstore/error.hpp>
#include <kvstore/internal/janitor.hpp>
#include <kvstore/internal/report.hpp>

namespace kvstore::internal {

using std::chrono::milliseconds;

namespace {

/// Whoever is in the way of fewer attempts than this, which take a third of a second with the rests
/// between them, may only have been without a processor.
constexpr int most_in_vain = 6;

}  // namespace

Janitor::Janitor(std::function<engine::Tidied()> work,
                 std::function<void(std::exception_ptr)> on_error)
    : work_(std::move(work)), on_error_(std::move(on_error)) {}

Janitor::~Janitor() noexcept {
  stop();
}

void Janitor::ask() {
  if (stopping_) return;
  if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
  asked_ = true;
  changed_.notify_all();
}

void Janitor::wake() noexcept {
  try {
    const std::lock_guard lock(mutex_);
    ask();
  } catch (...) {
    report(on_error_);
  }
}

bool Janitor::is_this_thread() {
  const std::lock_guard lock(mutex_);
  return thread_id_ == std::this_thread::get_id();
}

void Janitor::wait(std::chrono::steady_clock::time_point deadline) {
  if (is_this_thread()) return;
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline,
                      [this] { return stopping_ || !asked_ || hindered_ >= most_in_vain; });
}

void Janitor::finish(std::chrono::steady_clock::time_point deadline) {
  if (is_this_thread()) return;
  std::unique_lock lock(mutex_);
  ask();
  again_ = running_;
  changed_.wait_until(lock, deadline, [this] { return stopping_ || !asked_; });
}

void Janitor::stop() noexcept {
  std::thread thread;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    thread.swap(thread_);
  }
  if (thread.joinable()) thread.join();
}

void Janitor::loop() noexcept {
  constexpr milliseconds shortest_rest{10};
  constexpr milliseconds longest_rest{1000};
  milliseconds rest = shortest_rest;
  std::unique_lock lock(mutex_);
  thread_id_ = std::this_thread::get_id();
  while (!stopping_) {
    if (!asked_) {
      changed_.wait(lock);
      continue;
    }
    running_ = true;
    lock.unlock();
    const engine::Tidied tidied = attempt();
    lock.lock();
    running_ = false;
    hindered_ = tidied == engine::Tidied::incomplete ? hindered_ + 1 : 0;
    if (tidied == engine::Tidied::done) asked_ = std::exchange(again_, false);
    changed_.notify_all();
    if (tidied != engine::Tidied::done) {
      changed_.wait_for(lock, rest, [this] { return stopping_; });
    }
    rest = hindered_ > 0 ? std::min(rest * 2, longest_rest) : shortest_rest;
  }
  thread_id_ = {};
}

engine::Tidied Janitor::attempt() noexcept {
  try {
    return work_();
  } catch (const Error& error) {
    // Others being in the way is no failure.
    if (error.code() != ErrorCode::busy) report(on_error_);
  } catch (...) {
    report(on_error_);
  }
  return engine::Tidied::incomplete;
}

}  // namespace kvstore::internal
