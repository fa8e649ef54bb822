#include <gtest/gtest.h>

#include <latch>
#include <optional>
#include <thread>

#include <kvstore/engine/sqlite.hpp>
#include <kvstore/internal/read_pool.hpp>

#include "locks.hpp"
#include "outside.hpp"
#include "support.hpp"

namespace kvstore::internal {
namespace {

using std::chrono::milliseconds;

using engine::State;

State state_of(const ReadPool::Loan& loan) {
  return loan.connection().state();
}

class ReadPoolOfTwo : public ::testing::Test {
 protected:
  /// Uses a connection for a statement that much later, and returns whether it keeps reading.
  State use(ReadPool::Clock::duration later) {
    now += later;
    return state_of(pool_.borrow_for_statements());
  }

  static inline ReadPool::Clock::time_point now{std::chrono::hours(1)};
  test::TempDir directory_;
  std::unique_ptr<engine::Engine> engine_ =
      engine::open_sqlite_file(directory_.file("store.db"), {});
  IdleTimer idle_{std::chrono::hours(1), [] { return true; }};
  ReadPool pool_{*engine_, 2, milliseconds(20), idle_, [] { return now; }};
};

/// A pool whose only connection has been used for so long that it keeps reading.
class ReadPoolThatKeepsReading : public ReadPoolOfTwo {
 protected:
  ReadPoolThatKeepsReading() {
    for (int i = 0; i < 100; ++i) {
      if (use(milliseconds(1)) == State::open) return;
    }
    ADD_FAILURE() << "it never keeps reading";
  }

  /// What it reads, in the transaction that it keeps, if it does.
  std::int64_t revision() {
    std::int64_t revision = -1;
    const ReadPool::Loan loan = pool_.borrow_for_statements();
    loan.connection().run("SELECT revision FROM kv_floor", {}, [&](engine::Row row) {
      revision = std::get<std::int64_t>(row[0]);
      return true;
    });
    return revision;
  }
};

TEST_F(ReadPoolOfTwo, OpensNoConnectionBeforeOneIsNeeded) {
  EXPECT_EQ(pool_.size(), 0U);
}

TEST_F(ReadPoolOfTwo, UsesAReturnedConnectionAgain) {
  for (int i = 0; i < 3; ++i) static_cast<void>(pool_.borrow());
  EXPECT_EQ(pool_.size(), 1U);
}

TEST_F(ReadPoolOfTwo, GrowsWhenAllConnectionsAreInUse) {
  const ReadPool::Loan first = pool_.borrow();
  const ReadPool::Loan second = pool_.borrow();
  EXPECT_EQ(pool_.size(), 2U);
}

TEST_F(ReadPoolOfTwo, IsBusyBeyondItsBound) {
  const ReadPool::Loan first = pool_.borrow();
  const ReadPool::Loan second = pool_.borrow();
  EXPECT_KV_ERROR(static_cast<void>(pool_.borrow()), ErrorCode::busy, "2 read connections");
}

TEST_F(ReadPoolOfTwo, EndsATransactionThatALoanLeftOpen) {
  {
    const ReadPool::Loan loan = pool_.borrow();
    loan.connection().begin(engine::Access::read, milliseconds(20));
  }
  const ReadPool::Loan loan = pool_.borrow();
  EXPECT_EQ(loan.connection().state(), engine::State::idle);
}

TEST_F(ReadPoolOfTwo, KeepsNoReadOfAConnectionThatIsUsedNowAndThen) {
  for (int i = 0; i < 100; ++i) EXPECT_EQ(use(milliseconds(6)), State::idle);
}

TEST_F(ReadPoolOfTwo, KeepsNoReadBeforeALongRunOfUses) {
  for (int i = 0; i < 49; ++i) EXPECT_EQ(use(milliseconds(1)), State::idle);
}

TEST_F(ReadPoolOfTwo, KeepsNoReadWithoutATimerToEndIt) {
  idle_.stop();
  for (int i = 0; i < 100; ++i) {
    use(milliseconds(1));
    ASSERT_FALSE(test::log_is_pinned(directory_.file("store.db")));
  }
}

TEST_F(ReadPoolThatKeepsReading, SeesWhatSomebodyElseHasCommittedSince) {
  test::Outside other(directory_.file("store.db"));
  for (std::int64_t written = 1; written <= 100; ++written) {
    other.run("UPDATE kv_floor SET revision = " + std::to_string(written));
    for (int i = 0; i < 3; ++i) ASSERT_EQ(revision(), written);
    ASSERT_EQ(use(std::chrono::microseconds(200)), State::open);
  }
}

TEST_F(ReadPoolThatKeepsReading, TakesABreakAfterTwoMilliseconds) {
  EXPECT_EQ(use(std::chrono::microseconds(900)), State::open);
  EXPECT_EQ(use(std::chrono::microseconds(900)), State::open);
  EXPECT_EQ(use(std::chrono::microseconds(900)), State::idle);
  EXPECT_EQ(use(std::chrono::microseconds(100)), State::idle);
  EXPECT_EQ(use(std::chrono::microseconds(100)), State::open);
}

TEST_F(ReadPoolThatKeepsReading, EndsAReadThatWasNotUsedForAWhile) {
  EXPECT_EQ(use(milliseconds(5)), State::idle);
}

TEST_F(ReadPoolThatKeepsReading, LendsAnIdleConnectionForMoreThanStatements) {
  EXPECT_EQ(state_of(pool_.borrow()), State::idle);
}

TEST_F(ReadPoolThatKeepsReading, EndsTheReadsOfIdleConnectionsWhenItIsTold) {
  pool_.end_idle_reads();
  EXPECT_FALSE(test::log_is_pinned(directory_.file("store.db")));
}

TEST_F(ReadPoolThatKeepsReading, KeepsNoReadDuringABreak) {
  const ReadPool::Break no_reads_kept(pool_);
  EXPECT_FALSE(test::log_is_pinned(directory_.file("store.db")));
  for (int i = 0; i < 100; ++i) ASSERT_EQ(use(milliseconds(1)), State::idle);
}

TEST_F(ReadPoolThatKeepsReading, EndsTheReadOfAConnectionThatComesBackDuringABreak) {
  std::optional<ReadPool::Break> no_reads_kept;
  {
    const ReadPool::Loan loan = pool_.borrow_for_statements();
    no_reads_kept.emplace(pool_);
  }
  EXPECT_FALSE(test::log_is_pinned(directory_.file("store.db")));
}

TEST_F(ReadPoolThatKeepsReading, Closes) {
  pool_.close();
  EXPECT_FALSE(test::log_is_pinned(directory_.file("store.db")));
}

TEST_F(ReadPoolOfTwo, WaitsForLoansWhenItCloses) {
  std::latch borrowed(1);
  std::latch release(1);
  std::thread reader([&] {
    const ReadPool::Loan held = pool_.borrow();
    borrowed.count_down();
    release.wait();
    EXPECT_EQ(held.connection().run("SELECT 1"), 0);
  });
  borrowed.wait();
  std::thread closer([&] { pool_.close(); });
  release.count_down();
  closer.join();
  reader.join();
  EXPECT_EQ(pool_.size(), 0U);
}

TEST_F(ReadPoolOfTwo, LendsNothingAfterItWasClosed) {
  pool_.close();
  EXPECT_KV_ERROR(static_cast<void>(pool_.borrow()), ErrorCode::misuse, "was closed");
}

}  // namespace
}  // namespace kvstore::internal
