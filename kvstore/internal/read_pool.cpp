#include <utility>

#include <kvstore/error.hpp>
#include <kvstore/internal/read_pool.hpp>

namespace kvstore::internal {

ReadPool::ReadPool(engine::Engine& engine, std::size_t most, std::chrono::milliseconds patience)
    : engine_(engine), name_(engine.name()), most_(most), patience_(patience) {
  idle_.reserve(most);  // giving back must not fail
}

ReadPool::Loan::Loan(ReadPool& pool, std::unique_ptr<engine::Connection> connection,
                     engine::Access role) noexcept
    : pool_(&pool), connection_(std::move(connection)), role_(role) {}

ReadPool::Loan::~Loan() noexcept {
  pool_->give_back(std::move(connection_), role_);
}

ReadPool::Loan ReadPool::borrow() {
  return {*this, take(engine::Access::read), engine::Access::read};
}

ReadPool::Loan ReadPool::borrow_for_snapshot() {
  {
    const std::lock_guard lock(mutex_);
    idle_.reserve(most_ + 1);
    ++most_;
  }
  try {
    return {*this, take(engine::Access::snapshot), engine::Access::snapshot};
  } catch (...) {
    const std::lock_guard lock(mutex_);
    --most_;
    throw;
  }
}

std::unique_ptr<engine::Connection> ReadPool::take(engine::Access role) {
  {
    std::unique_lock lock(mutex_);
    const bool free = returned_.wait_for(
        lock, patience_, [&] { return closed_ || !idle_.empty() || open_ < most_; });
    if (closed_) throw Error(ErrorCode::misuse, name_ + " was closed; open it again");
    if (!free) {
      throw Error(ErrorCode::busy, "cannot read " + name_ + ": all " + std::to_string(most_) +
                                       " read connections are in use; " + "try again");
    }
    if (!idle_.empty()) {
      std::unique_ptr<engine::Connection> connection = std::move(idle_.back());
      idle_.pop_back();
      return connection;
    }
    ++open_;
  }
  try {
    return engine_.connect(role);
  } catch (...) {
    forget_one();
    throw;
  }
}

void ReadPool::give_back(std::unique_ptr<engine::Connection> connection,
                         engine::Access role) noexcept {
  if (connection->state() != engine::State::idle) connection->rollback();
  {
    const std::lock_guard lock(mutex_);
    if (role == engine::Access::snapshot) --most_;
    // Where there is only one connection, this is one to a copy of a moment that has passed.
    const bool reusable =
        connection->state() == engine::State::idle && !engine_.traits().one_connection;
    if (reusable && open_ <= most_) {
      idle_.push_back(std::move(connection));
    }
  }
  if (connection == nullptr) {
    returned_.notify_all();
  } else {
    connection.reset();
    forget_one();
  }
}

void ReadPool::forget_one() noexcept {
  {
    const std::lock_guard lock(mutex_);
    --open_;
  }
  returned_.notify_all();
}

void ReadPool::close() noexcept {
  std::unique_lock lock(mutex_);
  closed_ = true;
  returned_.notify_all();
  returned_.wait(lock, [&] { return idle_.size() == open_; });
  idle_.clear();
  open_ = 0;
}

std::size_t ReadPool::size() {
  const std::lock_guard lock(mutex_);
  return open_;
}

}  // namespace kvstore::internal
