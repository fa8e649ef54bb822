#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <kvstore/error.hpp>
#include <kvstore/internal/holder.hpp>
#include <kvstore/internal/store.hpp>

namespace kvstore::internal {

/// A write transaction that lives from one call to the next, with the savepoints inside it.
///
/// Each level, the transaction itself and every savepoint, has a number that never comes back. Only
/// the innermost can be used. It belongs to the thread that began it; ending it is open to any.
class OpenTransaction final : public Holder {
 public:
  using Level = std::uint64_t;
  static constexpr Level outermost = 1;

  /// Takes the write lock. Throws: busy, read_only, misuse, and what a write throws.
  static std::shared_ptr<OpenTransaction> open(std::shared_ptr<Store> store);

  explicit OpenTransaction(std::shared_ptr<Store> store);
  ~OpenTransaction() noexcept override;
  OpenTransaction(const OpenTransaction&) = delete;
  OpenTransaction& operator=(const OpenTransaction&) = delete;
  OpenTransaction(OpenTransaction&&) = delete;
  OpenTransaction& operator=(OpenTransaction&&) = delete;

  void read(Level level, engine::FunctionRef<void(Reading&)> body);
  void write(Level level, engine::FunctionRef<void(Writing&)> body);

  /// Sets a savepoint inside a level. Returns the new level.
  Level begin(Level level);
  void commit(Level level);
  void rollback(Level level);

  /// Rolls a level back with all inside it, if it still lives. Threads: any.
  void abandon(Level level) noexcept;

  [[nodiscard]] Store& store() noexcept { return *store_; }

  void let_go() noexcept override;

 private:
  void refuse(Level level) const;
  [[nodiscard]] bool has(Level level) const noexcept;
  void run(Level level, engine::FunctionRef<void()> body);
  void undo(std::size_t levels) noexcept;
  void undo_call() noexcept;
  bool undo_abandoned() noexcept;
  void end() noexcept;
  void note_loss(const Error& cause);

  std::shared_ptr<Store> store_;
  std::thread::id thread_ = std::this_thread::get_id();
  std::mutex mutex_;  ///< Held by a call; guards all that follows.
  std::unique_ptr<Store::WriteTransaction> transaction_;
  std::vector<Level> levels_{outermost};
  Level latest_level_ = outermost;
  std::optional<Error> cause_{};            ///< Why the engine has ended the transaction.
  std::optional<Level> abandoned_{};        ///< Inside a call, which then ends it.
  std::atomic<std::thread::id> calling_{};  ///< The thread that is inside a call.
};

/// The session of one level of a transaction.
class TransactionSession final : public Session {
 public:
  TransactionSession(std::shared_ptr<OpenTransaction> transaction, OpenTransaction::Level level)
      : transaction_(std::move(transaction)), level_(level) {}

  void read(Span /*span*/, engine::FunctionRef<void(Reading&)> body) override {
    transaction_->read(level_, body);
  }
  using Session::write;
  void write(Grouping /*grouping*/, engine::FunctionRef<void(Writing&)> body) override {
    // The caller's code may drop the handle that keeps this session.
    const std::shared_ptr<OpenTransaction> kept = transaction_;
    kept->write(level_, body);
  }
  Store& store() noexcept override { return transaction_->store(); }

  [[nodiscard]] std::shared_ptr<TransactionSession> begin() const {
    return std::make_shared<TransactionSession>(transaction_, transaction_->begin(level_));
  }
  void commit() {
    transaction_->commit(level_);
    over_ = true;
  }
  void rollback() {
    transaction_->rollback(level_);
    over_ = true;
  }
  void abandon() noexcept { transaction_->abandon(level_); }

  /// Whether the caller has ended it.
  [[nodiscard]] bool over() const noexcept { return over_; }

 private:
  std::shared_ptr<OpenTransaction> transaction_;
  OpenTransaction::Level level_;
  bool over_ = false;
};

}  // namespace kvstore::internal
