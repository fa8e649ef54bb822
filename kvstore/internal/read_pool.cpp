#include <utility>

#include <kvstore/error.hpp>
#include <kvstore/internal/read_pool.hpp>

namespace kvstore::internal {

ReadPool::ReadPool(engine::Engine& engine, std::size_t most, std::chrono::milliseconds patience,
                   Ticker& ticker, Clock::time_point (*now)())
    : engine_(engine),
      name_(engine.name()),
      most_(most),
      patience_(patience),
      ticker_(ticker),
      now_(now) {
  idle_.reserve(most);  // giving back must not fail
}

ReadPool::Loan::Loan(ReadPool& pool, Reader reader, engine::Access role) noexcept
    : pool_(&pool), reader_(std::move(reader)), role_(role) {}

ReadPool::Loan::~Loan() noexcept {
  pool_->give_back(std::move(reader_), role_);
}

ReadPool::Break::Break(ReadPool& pool) noexcept : pool_(pool) {
  ++pool_.breaks_;
  pool_.end_idle_reads();
}

ReadPool::Loan ReadPool::borrow() {
  return {*this, take(engine::Access::read), engine::Access::read};
}

ReadPool::Loan ReadPool::borrow_for_statements(engine::Access role) {
  return {*this, settled(take_as_it_is(role)), role};
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

ReadPool::Reader ReadPool::take(engine::Access role) {
  Reader reader = take_as_it_is(role);
  end_read(reader);
  return reader;
}

ReadPool::Reader ReadPool::take_as_it_is(engine::Access role) {
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
      Reader reader = std::move(idle_.back());
      idle_.pop_back();
      return reader;
    }
    ++open_;
  }
  try {
    return {.connection = engine_.connect(role)};
  } catch (...) {
    forget_one();
    throw;
  }
}

/// Sees to it that a connection keeps reading only what a new transaction would read as well.
ReadPool::Reader ReadPool::settled(Reader reader) noexcept {
  constexpr std::chrono::milliseconds longest_gap(5);
  constexpr std::chrono::milliseconds shortest_run(50);
  constexpr std::chrono::microseconds at_once(500);
  constexpr std::chrono::milliseconds longest_read(2);
  constexpr std::chrono::microseconds shortest_break(150);
  const auto now = now_();
  const engine::Mark mark = engine_.mark();
  const bool may_keep = mark.known && mark == reader.mark && breaks_ == 0;
  const auto gap = now - reader.used;
  reader.mark = mark;
  if (gap > longest_gap) reader.busy_since = now;
  reader.used = now;
  if (reader.keeps_reading) {
    if (!may_keep || now - reader.turned >= longest_read) end_read(reader);
  } else if (may_keep && gap <= at_once && now - reader.busy_since >= shortest_run &&
             now - reader.turned >= shortest_break) {
    // Whatever was committed since `mark` was asked for makes the next use find another one.
    reader.keeps_reading = reader.connection->keep_reading();
    reader.turned = now;
  }
  return reader;
}

void ReadPool::end_read(Reader& reader) noexcept {
  if (!reader.keeps_reading) return;
  reader.connection->end_read();
  reader.keeps_reading = false;
  reader.turned = now_();
}

bool ReadPool::end_idle_reads(Clock::time_point moment) noexcept {
  const std::lock_guard lock(mutex_);
  bool none = true;
  for (Reader& reader : idle_) {
    if (reader.used < moment) end_read(reader);
    none = none && !reader.keeps_reading;
  }
  return none;
}

void ReadPool::give_back(Reader reader, engine::Access role) noexcept {
  if (reader.connection->state() != engine::State::idle) reader.connection->rollback();
  std::unique_ptr<engine::Connection> superfluous;
  {
    const std::lock_guard lock(mutex_);
    if (role == engine::Access::snapshot) --most_;
    // Under the lock: whoever is to end its read later finds it among those that are idle.
    if (reader.keeps_reading && (breaks_ != 0 || !ticker_.start())) end_read(reader);
    // Where there is only one connection, this is one to a copy of a moment that has passed.
    const bool reusable =
        reader.connection->state() == engine::State::idle && !engine_.traits().one_connection;
    if (reusable && open_ <= most_) {
      idle_.push_back(std::move(reader));
    } else {
      superfluous = std::move(reader.connection);
    }
  }
  if (superfluous == nullptr) {
    returned_.notify_all();
  } else {
    superfluous.reset();
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
