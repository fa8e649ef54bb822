#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <kvstore/engine/function_ref.hpp>

namespace kvstore::internal {

class Writing;

/// Lets the writers of this process take turns, and leaves room for those of other processes.
///
/// A turn that ends is for whoever comes first, mostly the thread that had it: if it were always
/// handed to the next in line, each write would wait for another thread to wake up. Only who has
/// waited for 1 ms, or half of the time until its deadline, gets it handed. Nobody is told anything
/// while the queue's mutex is held, which the woken thread may need at once.
///
/// Who writes back to back for longer than 50 ms while anybody else has the database open leaves
/// the lock free in windows that are the same for all processes of the machine, because they share
/// the steady clock: 7 of every 47 ms while others are seen to write, else 0.1 of every 2.35 ms,
/// which as few polls hit as would 2 of 47, but which no write has to wait for long. Without them
/// one busy thread let another process commit once in ten seconds, and then fail with "database is
/// locked". The long period is no divisor of the steps in which SQLite polls for the lock (25, 50
/// and 100 ms): a poll that misses one window comes 6 ms later in the period of the next, and so
/// hits one of 7 ms within eight polls.
class WriteQueue {
  class Waiter;
  using Waiters = std::vector<std::shared_ptr<Waiter>>;

 public:
  /// `has_neighbours`: whether there is somebody to leave room for; asked by whoever has the turn.
  WriteQueue(std::string name, std::function<bool()> has_neighbours);

  /// The right to write, until it is destroyed.
  class Turn {
   public:
    Turn() noexcept = default;
    explicit Turn(WriteQueue& queue) noexcept : queue_(&queue) {}
    ~Turn() noexcept;
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    Turn(Turn&& other) noexcept : queue_(std::exchange(other.queue_, nullptr)) {}
    Turn& operator=(Turn&&) = delete;

   private:
    WriteQueue* queue_ = nullptr;
  };

  /// A call that waits for its turn, or until somebody whose turn it is has done its work.
  struct Member {
    /// `apart`: it was not done, and is to be done by itself.
    enum class Outcome : std::uint8_t { apart, stored, failed };

    engine::FunctionRef<void(Writing&)> body;
    Outcome outcome = Outcome::apart;
    std::exception_ptr error{};  ///< Why it failed.
  };

  /// Calls that were taken to be done by whoever has the turn. At its end they learn their outcome.
  class Group {
   public:
    explicit Group(WriteQueue& queue);
    ~Group() noexcept;
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;
    Group(Group&&) = delete;
    Group& operator=(Group&&) = delete;

    [[nodiscard]] std::vector<Member*> members() const;

   private:
    Waiters taken_;  ///< Out of the line.
  };

  using Clock = std::chrono::steady_clock;

  /// Throws: busy, when the turn has not come by `deadline`.
  [[nodiscard]] Turn wait(Clock::time_point deadline) { return *wait(deadline, nullptr); }

  /// The same, unless somebody has taken `member` into a group. Absent: its outcome is known.
  [[nodiscard]] std::optional<Turn> wait(Clock::time_point deadline, Member* member);

  /// Notes that another process wants to write; called by whoever has the turn.
  void saw_others() noexcept {
    others_seen_ = Clock::now();
    undisturbed_ = false;
  }

  /// Whether it has been written back to back for 5 ms, and nobody else had the database open when
  /// that was looked at last, some ms ago; called by whoever has the turn.
  [[nodiscard]] bool undisturbed() const noexcept { return undisturbed_; }

  /// Runs `body` if nobody has had the turn since `moment`, and lets nobody take it meanwhile.
  /// Returns whether it ran. It must be short, and not use the queue.
  bool if_idle_since(Clock::time_point moment, engine::FunctionRef<void()> body);

  /// Whether another process was seen within `span`; called by whoever has the turn.
  [[nodiscard]] bool others_within(std::chrono::seconds span) const noexcept;

 private:
  /// A call that waits in line. It is shared with whoever has news for it.
  class Waiter {
   public:
    enum class News : std::uint8_t {
      none,
      free,  ///< Nobody has the turn: it may try to take it.
      turn,  ///< It has the turn.
      done,  ///< Somebody has done its work.
    };

    Waiter(Member* waiting, Clock::time_point deadline) noexcept;
    void tell(News news) noexcept;
    /// None, if there is nothing by `deadline`.
    News hear(Clock::time_point deadline);

    Member* const member;  ///< Or null: it must have the turn itself.
    const Clock::time_point since = Clock::now();
    const Clock::time_point patient_until;  ///< From then on the turn is handed to it.

   private:
    std::mutex mutex_;
    std::condition_variable told_;
    News news_ = News::none;
  };

  struct Windows {
    std::chrono::microseconds length, period;
  };
  static constexpr Windows beside_others{.length = std::chrono::milliseconds(7),
                                         .period = std::chrono::milliseconds(47)};
  static constexpr Windows alone{.length = std::chrono::microseconds(100),
                                 .period = std::chrono::microseconds(2350)};

  bool wait_in_line(std::unique_lock<std::mutex>& lock, Clock::time_point deadline, Member* member);
  void leave_room();
  void finish() noexcept;

  std::mutex mutex_;
  Waiters waiters_;  ///< In the order in which they came.
  bool taken_ = false;
  std::string name_;
  std::function<bool()> has_neighbours_;
  // Owned by whoever has the turn.
  Clock::time_point others_seen_{}, busy_since_{}, ended_{}, paused_{};
  bool undisturbed_ = false;
};

}  // namespace kvstore::internal
