#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>

namespace kvstore::internal {

/// Lets the writers of this process take turns, in the order in which they came, and leaves room
/// for those of other processes.
///
/// Who writes back to back for longer than 50 ms leaves the lock free in a window that is the same
/// for all processes of the machine, because they share the steady clock: 2 ms long, or 7 ms while
/// others are seen to write. Without it one busy thread let another process commit once in ten
/// seconds, and then fail with "database is locked". The period of the windows is no divisor of the
/// steps in which SQLite polls for the lock (25, 50 and 100 ms): a poll that misses one window
/// comes 6 ms later in the period of the next, and so hits one of 7 ms within eight polls.
class WriteQueue {
 public:
  /// `shared`: other processes can write too, so that there is somebody to leave room for.
  WriteQueue(std::string name, bool shared);

  /// The right to write, until it is destroyed.
  class Turn {
   public:
    explicit Turn(WriteQueue& queue) noexcept : queue_(&queue) {}
    ~Turn() noexcept;
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    Turn(Turn&&) = delete;
    Turn& operator=(Turn&&) = delete;

   private:
    WriteQueue* queue_;
  };

  using Clock = std::chrono::steady_clock;

  /// Throws: busy, when the turn has not come by `deadline`.
  [[nodiscard]] Turn wait(Clock::time_point deadline);

  /// Notes that another process wants to write; called by whoever has the turn.
  void saw_others() noexcept { others_seen_ = Clock::now(); }

  /// Whether another process was seen within `span`; called by whoever has the turn.
  [[nodiscard]] bool others_within(std::chrono::seconds span) const noexcept;

 private:
  struct Waiter {
    std::condition_variable wake;
    bool ready = false;
  };

  static constexpr std::chrono::milliseconds window_period{47};

  void leave_room();
  void finish() noexcept;

  std::mutex mutex_;
  std::list<Waiter> waiters_;
  bool taken_ = false;
  std::string name_;
  bool shared_;
  // Owned by whoever has the turn.
  Clock::time_point others_seen_{}, busy_since_{}, ended_{}, paused_{};
};

}  // namespace kvstore::internal
