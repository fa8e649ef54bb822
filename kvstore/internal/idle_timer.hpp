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
  /// `act` runs when there was no `touch` for `after`, and mostly before it was twice as long. It
  /// must not throw. False: it could not act now, and is to be called again.
  IdleTimer(std::chrono::milliseconds after, std::function<bool()> act);
  ~IdleTimer() noexcept;
  IdleTimer(const IdleTimer&) = delete;
  IdleTimer& operator=(const IdleTimer&) = delete;
  IdleTimer(IdleTimer&&) = delete;
  IdleTimer& operator=(IdleTimer&&) = delete;

  /// It happens. False: there is no thread for it, and nobody will act. Threads: any.
  bool touch() noexcept;

  /// Nobody acts any more when it returns.
  void stop() noexcept;

 private:
  void loop() noexcept;

  const std::chrono::milliseconds after_;
  const std::function<bool()> act_;
  std::atomic<std::uint64_t> touches_{0};
  std::atomic<bool> waiting_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace kvstore::internal
