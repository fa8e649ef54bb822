#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <kvstore/engine/engine.hpp>

namespace kvstore::internal {

/// Read connections, opened as they are needed, up to a bound; so readers never wait for a writer.
class ReadPool {
 public:
  ReadPool(engine::Engine& engine, std::size_t most, std::chrono::milliseconds patience);

  /// A connection for the length of one call, or of a snapshot.
  class Loan {
   public:
    Loan(ReadPool& pool, std::unique_ptr<engine::Connection> connection,
         engine::Access role) noexcept;
    ~Loan() noexcept;
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    Loan(Loan&&) = delete;
    Loan& operator=(Loan&&) = delete;
    [[nodiscard]] engine::Connection& connection() const noexcept { return *connection_; }

   private:
    ReadPool* pool_;
    std::unique_ptr<engine::Connection> connection_;
    engine::Access role_;
  };

  /// Throws: busy, when all stay in use; misuse, after `close`.
  [[nodiscard]] Loan borrow();

  /// For a snapshot, which may live long: the bound is one higher meanwhile.
  [[nodiscard]] Loan borrow_for_snapshot();

  /// Waits for loans to come back and closes all connections; no more are given out.
  void close() noexcept;

  [[nodiscard]] std::size_t size();

 private:
  std::unique_ptr<engine::Connection> take(engine::Access role);
  void give_back(std::unique_ptr<engine::Connection> connection, engine::Access role) noexcept;
  void forget_one() noexcept;

  engine::Engine& engine_;
  std::string name_;
  std::size_t most_;
  std::chrono::milliseconds patience_;
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::unique_ptr<engine::Connection>> idle_;
  std::size_t open_ = 0;
  bool closed_ = false;
};

}  // namespace kvstore::internal
