#include <algorithm>
#include <utility>

#include <kvstore/internal/open_transaction.hpp>
#include <kvstore/internal/statements.hpp>

namespace kvstore::internal {

std::shared_ptr<OpenTransaction> OpenTransaction::open(std::shared_ptr<Store> store) {
  auto transaction = std::make_shared<OpenTransaction>(std::move(store));
  transaction->store_->adopt(transaction);
  return transaction;
}

OpenTransaction::OpenTransaction(std::shared_ptr<Store> store)
    : store_(std::move(store)), transaction_(std::make_unique<Store::WriteTransaction>(*store_)) {}

OpenTransaction::~OpenTransaction() noexcept {
  // In a forked child the write lock is the parent's.
  if (store_->forked()) {
    static_cast<void>(transaction_.release());  // NOLINT(bugprone-unused-return-value)
  }
}

bool OpenTransaction::has(Level level) const noexcept {
  return std::ranges::find(levels_, level) != levels_.end();
}

void OpenTransaction::refuse(Level level) const {
  const std::string name = "the transaction on " + store_->name();
  if (cause_) {
    throw Error(cause_->code(), name + " was rolled back, with all its changes, because of this: " +
                                    cause_->what());
  }
  if (!has(level)) {
    store_->refuse_closed();
    throw Error(ErrorCode::misuse, name + " is over: it was committed or rolled back; begin anew");
  }
  if (levels_.back() != level) {
    throw Error(ErrorCode::misuse,
                name + " was used while one inside it lives; end the inner one first");
  }
}

/// Every call on the transaction: one at a time, on its own thread, of its innermost level.
void OpenTransaction::run(Level level, engine::FunctionRef<void()> body) {
  store_->refuse_forked();
  const std::thread::id self = std::this_thread::get_id();
  if (self != thread_) {
    throw Error(ErrorCode::misuse, "a transaction on " + store_->name() +
                                       " was used by another thread than the one that began it");
  }
  if (calling_.load(std::memory_order_relaxed) == self) {
    throw Error(ErrorCode::misuse, "a transaction on " + store_->name() +
                                       " was used inside a callback of its own; use what the "
                                       "callback was given");
  }
  const std::lock_guard lock(mutex_);
  refuse(level);
  {
    const ThreadMark calling(calling_);
    try {
      body();
    } catch (const Error& error) {
      note_loss(error);
      undo_abandoned();
      throw;
    } catch (...) {
      // Out of memory ends it, too.
      note_loss(Error(ErrorCode::io, "the engine could not go on with it"));
      undo_abandoned();
      throw;
    }
  }
  if (undo_abandoned()) refuse(level);
}

/// Ends what was abandoned while a call was under way.
bool OpenTransaction::undo_abandoned() noexcept {
  if (!abandoned_) return false;
  const auto found = std::ranges::find(levels_, *abandoned_);
  abandoned_.reset();
  undo(static_cast<std::size_t>(levels_.end() - found));
  return true;
}

/// The engine may have ended the transaction by itself; what followed would be committed alone.
void OpenTransaction::note_loss(const Error& cause) {
  if (transaction_ == nullptr || transaction_->connection().state() == engine::State::open) return;
  cause_ = cause;
  end();
}

void OpenTransaction::read(Level level, engine::FunctionRef<void(Reading&)> body) {
  run(level, [&] {
    Writing writing = transaction_->writing();
    body(writing);
  });
}

void OpenTransaction::write(Level level, engine::FunctionRef<void(Writing&)> body) {
  run(level, [&] {
    engine::Connection& connection = transaction_->connection();
    // A call that throws has changed nothing, also inside a transaction.
    connection.run(statements.savepoint);
    try {
      Writing writing = transaction_->writing();
      const ThreadMark mark = store_->mark_callback();
      body(writing);
      connection.run(statements.release);
    } catch (...) {
      undo_call();
      throw;
    }
  });
}

OpenTransaction::Level OpenTransaction::begin(Level level) {
  run(level, [&] {
    levels_.reserve(levels_.size() + 1);
    transaction_->connection().run(statements.savepoint);
    levels_.push_back(++latest_level_);
  });
  return latest_level_;
}

void OpenTransaction::commit(Level level) {
  run(level, [&] {
    if (level != outermost) {
      transaction_->connection().run(statements.release);
      levels_.pop_back();
      return;
    }
    try {
      transaction_->commit();
    } catch (const Error& error) {
      cause_ = error;
      end();
      throw;
    }
    end();
  });
}

void OpenTransaction::rollback(Level level) {
  run(level, [&] { undo(1); });
}

void OpenTransaction::abandon(Level level) noexcept {
  if (store_->forked()) return;
  if (calling_.load(std::memory_order_relaxed) == std::this_thread::get_id()) {
    // In a callback of a call on this very transaction, which goes on after it.
    abandoned_ = std::min(level, abandoned_.value_or(level));
    return;
  }
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(levels_, level);
  if (found != levels_.end()) undo(static_cast<std::size_t>(levels_.end() - found));
}

void OpenTransaction::let_go() noexcept {
  const std::lock_guard lock(mutex_);
  end();
}

/// Rolls back the innermost levels.
void OpenTransaction::undo(std::size_t levels) noexcept {
  for (; levels > 0 && !levels_.empty(); --levels) {
    if (levels_.size() == 1) return end();
    undo_call();
    if (transaction_->connection().state() != engine::State::open) return end();
    levels_.pop_back();
  }
}

/// Rolls back to the latest savepoint; where that fails, everything.
void OpenTransaction::undo_call() noexcept {
  engine::Connection& connection = transaction_->connection();
  if (connection.state() != engine::State::open) return;  // the engine has rolled back already
  try {
    connection.run(statements.rollback_to_savepoint);
    connection.run(statements.release);
  } catch (...) {
    connection.rollback();
  }
}

void OpenTransaction::end() noexcept {
  transaction_.reset();
  levels_.clear();
}

}  // namespace kvstore::internal
