#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <kvstore/engine/engine.hpp>
#include <kvstore/internal/ticker.hpp>

namespace kvstore::internal {

/// Read connections, opened as they are needed, up to a bound; so readers never wait for a writer.
///
/// To take a place in the log and to give it up again is a third of a read that finds its pages in
/// memory. So a connection that has been used back to back for 50 ms keeps one read transaction
/// from statement to statement, as long as the engine's mark tells that nobody has committed. No
/// checkpoint can pass it meanwhile, and no log start anew: that is why it never keeps one for
/// longer than 2 ms without a break, in which others find the gaps between reads that they find
/// anyway.
class ReadPool {
 public:
  using Clock = std::chrono::steady_clock;

 private:
  struct Reader {
    std::unique_ptr<engine::Connection> connection{};
    bool keeps_reading = false;                        ///< The moment of `mark`.
    engine::Mark mark{};                               ///< Before it was used last.
    Clock::time_point used{}, busy_since{}, turned{};  ///< `turned`: it began or ended that.
  };

 public:
  /// `ticker`: is to call `end_idle_reads`.
  ReadPool(engine::Engine& engine, std::size_t most, std::chrono::milliseconds patience,
           Ticker& ticker, Clock::time_point (*now)() = Clock::now);

  /// A connection for the length of one call, or of a snapshot.
  class Loan {
   public:
    Loan(ReadPool& pool, Reader reader, engine::Access role) noexcept;
    ~Loan() noexcept;
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    Loan(Loan&&) = delete;
    Loan& operator=(Loan&&) = delete;
    [[nodiscard]] engine::Connection& connection() const noexcept { return *reader_.connection; }

    /// Of a loan for statements: what they read is at least as new. Where the connection keeps
    /// reading it is no newer, though the engine's mark may have gone on.
    [[nodiscard]] const engine::Mark& mark() const noexcept { return reader_.mark; }

   private:
    ReadPool* pool_;
    Reader reader_;
    engine::Access role_;
  };

  /// While it lives no connection keeps reading, except for a statement that has begun.
  class Break {
   public:
    explicit Break(ReadPool& pool) noexcept;
    ~Break() noexcept { --pool_.breaks_; }
    Break(const Break&) = delete;
    Break& operator=(const Break&) = delete;
    Break(Break&&) = delete;
    Break& operator=(Break&&) = delete;

   private:
    ReadPool& pool_;
  };

  /// Throws: busy, when all stay in use; misuse, after `close`.
  [[nodiscard]] Loan borrow();

  /// For statements each of which may see a moment of its own; it may keep reading.
  /// `role`: what a connection is opened for, if that is needed.
  [[nodiscard]] Loan borrow_for_statements(engine::Access role = engine::Access::read);

  /// For a snapshot, which may live long: the bound is one higher meanwhile.
  [[nodiscard]] Loan borrow_for_snapshot();

  /// Ends the reads of connections that were not used after `moment`. Returns whether none is kept,
  /// unless by a connection in use.
  bool end_idle_reads(Clock::time_point moment = Clock::time_point::max()) noexcept;

  /// Waits for loans to come back and closes all connections; no more are given out.
  void close() noexcept;

  [[nodiscard]] std::size_t size();

 private:
  Reader take(engine::Access role);
  Reader take_as_it_is(engine::Access role);
  Reader settled(Reader reader) noexcept;
  void end_read(Reader& reader) noexcept;
  void give_back(Reader reader, engine::Access role) noexcept;
  void forget_one() noexcept;

  engine::Engine& engine_;
  std::string name_;
  std::size_t most_;
  std::chrono::milliseconds patience_;
  Ticker& ticker_;
  Clock::time_point (*now_)();
  std::atomic<int> breaks_{0};
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<Reader> idle_;
  std::size_t open_ = 0;
  bool closed_ = false;
};

}  // namespace kvstore::internal
