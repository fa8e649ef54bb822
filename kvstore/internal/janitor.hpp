#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include <kvstore/engine/engine.hpp>

namespace kvstore::internal {

/// Does the engine's housekeeping on a thread of its own, which starts when there is something to
/// do. After an attempt that did not do all it rests and tries again; the rest grows, up to a
/// second, as long as others are in the way.
class Janitor {
 public:
  Janitor(std::function<engine::Tidied()> work, std::function<void(std::exception_ptr)> on_error);
  ~Janitor() noexcept;
  Janitor(const Janitor&) = delete;
  Janitor& operator=(const Janitor&) = delete;
  Janitor(Janitor&&) = delete;
  Janitor& operator=(Janitor&&) = delete;

  /// What goes wrong here is reported, not thrown: the write that noticed the need has succeeded.
  void wake() noexcept;

  /// Waits until all is done, but not past `deadline`, and not while others stay in the way. This
  /// and the next return at once in the error handler of an attempt, which could not end.
  void wait(std::chrono::steady_clock::time_point deadline);

  /// Asks for an attempt, and waits until one that began after this call has done all there was,
  /// but not past `deadline`.
  void finish(std::chrono::steady_clock::time_point deadline);

  /// Whether the caller is the error handler of an attempt.
  [[nodiscard]] bool is_this_thread();

  /// Lets a running attempt end.
  void stop() noexcept;

 private:
  void ask();
  void loop() noexcept;
  engine::Tidied attempt() noexcept;

  std::function<engine::Tidied()> work_;
  std::function<void(std::exception_ptr)> on_error_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool asked_ = false, running_ = false, stopping_ = false;
  bool again_ = false;  ///< Asked for during an attempt that may have begun too early.
  int hindered_ = 0;    ///< Attempts in a row that others were in the way of.
  std::thread thread_;
  std::thread::id thread_id_{};  ///< Of the thread, while it runs.
};

}  // namespace kvstore::internal
