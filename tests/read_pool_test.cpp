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

class ReadPoolOfTwo : public ::testing::Test {
 protected:
  test::TempDir directory_;
  std::unique_ptr<engine::Engine> engine_ =
      engine::open_sqlite_file(directory_.file("store.db"), {});
  IdleTimer idle_{std::chrono::hours(1), [] {}};
  ReadPool pool_{*engine_, 2, milliseconds(20), idle_};
};

using engine::State;

State state_of(const ReadPool::Loan& loan) {
  return loan.connection().state();
}

/// A pool whose only connection has been used for so long that it stays.
class StayingReadPool : public ReadPoolOfTwo {
 protected:
  StayingReadPool() {
    const auto start = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - start < std::chrono::seconds(30)) {
      if (state_of(pool_.borrow_for_statements()) == State::open) return;
    }
    ADD_FAILURE() << "it never stays";
  }

  /// What it reads, in the transaction in which it stays if it does.
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

TEST_F(ReadPoolOfTwo, DoesNotLetAConnectionStayThatIsUsedNowAndThen) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(state_of(pool_.borrow_for_statements()), State::idle);
}

TEST_F(ReadPoolOfTwo, LetsNoConnectionStayWithoutATimerToEndIt) {
  idle_.stop();
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < milliseconds(200)) {
    static_cast<void>(pool_.borrow_for_statements());
    ASSERT_FALSE(test::log_is_pinned(directory_.file("store.db")));
  }
}

TEST_F(StayingReadPool, SeesWhatSomebodyElseHasCommittedSince) {
  test::Outside other(directory_.file("store.db"));
  other.run("PRAGMA synchronous = OFF");
  const auto start = std::chrono::steady_clock::now();
  int stays = 0;
  for (std::int64_t written = 1; stays < 100; ++written) {
    ASSERT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
    other.run("UPDATE kv_floor SET revision = " + std::to_string(written));
    for (int i = 0; i < 3; ++i) ASSERT_EQ(revision(), written);
    if (state_of(pool_.borrow_for_statements()) == State::open) ++stays;
  }
}

TEST_F(StayingReadPool, TakesABreakAfterAWhile) {
  const auto start = std::chrono::steady_clock::now();
  while (state_of(pool_.borrow_for_statements()) == State::open) {
    ASSERT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  }
}

TEST_F(StayingReadPool, LendsAnIdleConnectionForMoreThanStatements) {
  EXPECT_EQ(state_of(pool_.borrow()), State::idle);
}

TEST_F(StayingReadPool, LeavesWhenItIsTold) {
  pool_.leave();
  EXPECT_FALSE(test::log_is_pinned(directory_.file("store.db")));
}

TEST_F(StayingReadPool, LetsNoConnectionStayDuringABreak) {
  const ReadPool::Break no_stays(pool_);
  EXPECT_FALSE(test::log_is_pinned(directory_.file("store.db")));
  const auto start = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - start < milliseconds(200)) {
    ASSERT_EQ(state_of(pool_.borrow_for_statements()), State::idle);
  }
}

TEST_F(StayingReadPool, EndsTheStayOfAConnectionThatComesBackDuringABreak) {
  std::optional<ReadPool::Break> no_stays;
  {
    const ReadPool::Loan loan = pool_.borrow_for_statements();
    no_stays.emplace(pool_);
  }
  EXPECT_FALSE(test::log_is_pinned(directory_.file("store.db")));
}

TEST_F(StayingReadPool, Closes) {
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
