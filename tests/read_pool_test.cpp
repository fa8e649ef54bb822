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

using std::chrono::microseconds;
using std::chrono::milliseconds;

class ReadPoolOfTwo : public ::testing::Test {
 protected:
  /// Somebody reads from the log: here nobody does but a connection that keeps reading.
  [[nodiscard]] bool keeps_reading() const { return test::log_is_pinned(file_); }

  /// Uses a connection for a statement that much later, and returns whether it keeps reading.
  bool use(ReadPool::Clock::duration later) {
    now += later;
    static_cast<void>(pool_.borrow_for_statements());
    return keeps_reading();
  }

  static inline ReadPool::Clock::time_point now{std::chrono::hours(1)};

  test::TempDir directory_;
  std::string file_ = directory_.file("store.db");
  std::unique_ptr<engine::Engine> engine_ = engine::open_sqlite_file(file_, {});
  Ticker ticker_{std::chrono::hours(1), [] { return true; }};
  ReadPool pool_{*engine_, 2, milliseconds(20), ticker_, [] { return now; }};
};

/// A pool whose only connection has been used for so long that it keeps reading.
class ReadPoolThatKeepsReading : public ReadPoolOfTwo {
 protected:
  void SetUp() override {
    other_.run("UPDATE kv_floor SET revision = -1");  // so that there is a log to read from
    if (!test::locks_can_be_seen(file_)) GTEST_SKIP() << "the system does not tell of locks";
    for (int i = 0; i < 200 && !use(microseconds(400)); ++i) {
    }
    ASSERT_TRUE(keeps_reading());
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

  test::Outside other_{file_};
};

TEST_F(ReadPoolThatKeepsReading, TellsTheMarkOfWhatIsReadAndNotThatOfNow) {
  now += microseconds(400);
  const ReadPool::Loan loan = pool_.borrow_for_statements();
  const engine::Mark before = engine_->mark();
  other_.run("UPDATE kv_floor SET revision = 7");
  EXPECT_EQ(loan.mark(), before);
  EXPECT_NE(engine_->mark(), before);
}

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
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(use(milliseconds(2)));
}

TEST_F(ReadPoolOfTwo, KeepsNoReadBeforeALongRunOfUses) {
  for (int i = 0; i < 124; ++i) EXPECT_FALSE(use(microseconds(400)));
}

TEST_F(ReadPoolOfTwo, KeepsNoReadWithoutATickerToEndIt) {
  ticker_.start();
  ticker_.stop();
  for (int i = 0; i < 200; ++i) ASSERT_FALSE(use(microseconds(400)));
}

TEST_F(ReadPoolThatKeepsReading, SeesWhatSomebodyElseHasCommittedSince) {
  for (std::int64_t written = 1; written <= 100; ++written) {
    other_.run("UPDATE kv_floor SET revision = " + std::to_string(written));
    for (int i = 0; i < 3; ++i) ASSERT_EQ(revision(), written);
    ASSERT_TRUE(use(microseconds(200)));
  }
}

TEST_F(ReadPoolThatKeepsReading, TakesABreakAfterTwoMilliseconds) {
  EXPECT_TRUE(use(microseconds(900)));
  EXPECT_TRUE(use(microseconds(900)));
  EXPECT_FALSE(use(microseconds(900)));
  EXPECT_FALSE(use(microseconds(100)));
  EXPECT_TRUE(use(microseconds(100)));
}

TEST_F(ReadPoolThatKeepsReading, EndsAReadThatWasNotUsedForAWhile) {
  EXPECT_FALSE(use(milliseconds(3)));
}

TEST_F(ReadPoolThatKeepsReading, LendsAConnectionThatDoesNotForMoreThanStatements) {
  const ReadPool::Loan loan = pool_.borrow();
  EXPECT_FALSE(keeps_reading());
}

TEST_F(ReadPoolThatKeepsReading, LendsAConnectionForASnapshot) {
  const ReadPool::Loan loan = pool_.borrow_for_snapshot();
  EXPECT_FALSE(keeps_reading());
  loan.connection().begin(engine::Access::snapshot, milliseconds(20));
}

TEST_F(ReadPoolThatKeepsReading, EndsIdleReadsWhenItIsTold) {
  EXPECT_TRUE(pool_.end_idle_reads());
  EXPECT_FALSE(keeps_reading());
}

TEST_F(ReadPoolThatKeepsReading, EndsNoReadThatWasUsedLately) {
  EXPECT_FALSE(pool_.end_idle_reads(now));
  EXPECT_TRUE(keeps_reading());
}

TEST_F(ReadPoolThatKeepsReading, EndsTheReadOfAConnectionThatOthersAreUsedInsteadOf) {
  for (int i = 0; i < 200; ++i) {
    now += microseconds(400);
    const ReadPool::Loan above = pool_.borrow_for_statements();
    static_cast<void>(pool_.borrow_for_statements());
  }
  const auto both_were_used = now;
  for (int i = 0; i < 2; ++i) use(microseconds(400));
  EXPECT_FALSE(pool_.end_idle_reads(both_were_used + microseconds(1)));
  EXPECT_FALSE(use(milliseconds(3))) << "the other one still keeps reading";
}

TEST_F(ReadPoolThatKeepsReading, KeepsNoReadDuringABreak) {
  const ReadPool::Break no_reads_kept(pool_);
  EXPECT_FALSE(keeps_reading());
  for (int i = 0; i < 200; ++i) ASSERT_FALSE(use(microseconds(400)));
}

TEST_F(ReadPoolThatKeepsReading, EndsTheReadOfAConnectionThatComesBackDuringABreak) {
  std::optional<ReadPool::Break> no_reads_kept;
  {
    const ReadPool::Loan loan = pool_.borrow_for_statements();
    no_reads_kept.emplace(pool_);
  }
  EXPECT_FALSE(keeps_reading());
}

TEST_F(ReadPoolThatKeepsReading, EndsItsReadsWhenItCloses) {
  pool_.close();
  EXPECT_FALSE(keeps_reading());
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
