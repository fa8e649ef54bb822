#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

namespace kvstore::internal {

/// Acts when something that happens often has not happened for a while. Its thread starts with the
/// first time it happens, and sleeps while there is nothing to wait for.
class IdleTimer {
 public:
  /// `act` must not throw. It runs between one and two times `after` later than the last `touch`.
  IdleTimer(std::chrono::milliseconds after, std::function<void()> act);
  ~IdleTimer() noexcept;
  IdleTimer(const IdleTimer&) = delete;
  IdleTimer& operator=(const IdleTimer&) = delete;
  IdleTimer(IdleTimer&&) = delete;
  IdleTimer& operator=(IdleTimer&&) = delete;

  /// It happens. False: there is no thread for it, and nobody will act. To be called by one thread
  /// at a time, and by `act` not at all.
  bool touch() noexcept;

  /// Nobody acts any more when it returns.
  void stop() noexcept;

 private:
  void loop() noexcept;

  const std::chrono::milliseconds after_;
  const std::function<void()> act_;
  std::atomic<std::uint64_t> touches_{0};
  std::atomic<bool> waiting_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace kvstore::internal
