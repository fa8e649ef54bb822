#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace kvstore::internal {

/// Calls back again and again, as long as there is something to do. Its thread starts when there is
/// for the first time, and sleeps while there is nothing.
class Ticker {
 public:
  /// `tick` returns whether there is nothing left to do. It must not throw.
  Ticker(std::chrono::milliseconds period, std::function<bool()> tick);
  ~Ticker() noexcept;
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;
  Ticker(Ticker&&) = delete;
  Ticker& operator=(Ticker&&) = delete;

  /// There is something to do: a call of `tick` that begins after this will come. Costs nothing
  /// when that is known. False: there is no thread for it. Threads: any.
  bool start() noexcept;

  /// No call comes any more when it returns.
  void stop() noexcept;

 private:
  void loop() noexcept;

  const std::chrono::milliseconds period_;
  const std::function<bool()> tick_;
  std::atomic<bool> ticking_{false};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace kvstore::internal
