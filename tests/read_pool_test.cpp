#include <gtest/gtest.h>

#include <latch>
#include <thread>

#include <kvstore/engine/sqlite.hpp>
#include <kvstore/internal/read_pool.hpp>

#include "support.hpp"

namespace kvstore::internal {
namespace {

using std::chrono::milliseconds;

class ReadPoolOfTwo : public ::testing::Test {
 protected:
  test::TempDir directory_;
  std::unique_ptr<engine::Engine> engine_ =
      engine::open_sqlite_file(directory_.file("store.db"), {});
  ReadPool pool_{*engine_, 2, milliseconds(20)};
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
