#include <kvstore/engine/sqlite.hpp>

#include "locks.hpp"
#include "outside.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

using engine::Access;
using engine::AfterCommit;

/// A write connection that has committed and keeps reading.
class KeptRead : public testing::Test {
 protected:
  KeptRead() { write(); }
  void SetUp() override {
    if (!locks_can_be_seen(file_)) GTEST_SKIP() << "the system does not tell of locks";
    ASSERT_TRUE(log_is_pinned(file_)) << "it does not keep reading; the test proves nothing";
  }

  void write() {
    writer_->begin(Access::write, patience);
    writer_->run("UPDATE kv_floor SET revision = revision + 1");
    writer_->commit(AfterCommit::keep_reading);
  }

  /// From here on it keeps the read alone.
  void give_the_lock_back() {
    writer_->end_read();
    ASSERT_TRUE(writer_->keep_reading());
  }

  std::int64_t revision() {
    std::int64_t revision = 0;
    writer_->run("SELECT revision FROM kv_floor", {}, [&](engine::Row row) {
      revision = std::get<std::int64_t>(row[0]);
      return true;
    });
    return revision;
  }

  static constexpr std::chrono::milliseconds patience{5000};
  TempDir dir_;
  std::string file_ = dir_.file("store.db");
  std::unique_ptr<engine::Engine> engine_ = engine::open_sqlite_file(file_, Options{});
  std::unique_ptr<engine::Connection> writer_ = engine_->connect(Access::write);
  Outside other_{file_};
};

TEST_F(KeptRead, EndsWhenTheConnectionEndsIt) {
  writer_->end_read();
  EXPECT_FALSE(log_is_pinned(file_));
  EXPECT_FALSE(log_is_locked(file_));
}

TEST_F(KeptRead, EndsWithAnOrdinaryCommit) {
  writer_->begin(Access::write, patience);
  writer_->commit();
  EXPECT_FALSE(log_is_pinned(file_));
  EXPECT_FALSE(log_is_locked(file_));
}

TEST_F(KeptRead, EndsWithARollback) {
  writer_->begin(Access::write, patience);
  writer_->rollback();
  EXPECT_FALSE(log_is_pinned(file_));
  EXPECT_FALSE(log_is_locked(file_));
}

TEST_F(KeptRead, EndsWithTheConnection) {
  writer_.reset();
  EXPECT_FALSE(log_is_pinned(file_));
  EXPECT_FALSE(log_is_locked(file_));
}

TEST_F(KeptRead, GoesOnFromWriteToWrite) {
  for (int i = 0; i < 3; ++i) write();
  EXPECT_TRUE(log_is_pinned(file_));
  EXPECT_EQ(revision(), 4);
}

TEST_F(KeptRead, KeepsTheWriteLockUntilItEnds) {
  EXPECT_TRUE(log_is_locked(file_));
  EXPECT_EQ(other_.try_to("UPDATE kv_floor SET revision = 10"), SQLITE_BUSY);
  writer_->end_read();
  EXPECT_EQ(other_.try_to("UPDATE kv_floor SET revision = 10"), SQLITE_OK);
}

TEST_F(KeptRead, KeepsNobodyFromReading) {
  EXPECT_EQ(other_.one("SELECT revision FROM kv_floor"), "1");
}

TEST_F(KeptRead, KeepsNoLockThatItDoesNotHold) {
  give_the_lock_back();
  EXPECT_FALSE(log_is_locked(file_));
  EXPECT_EQ(other_.try_to("UPDATE kv_floor SET revision = 10"), SQLITE_OK);
}

TEST_F(KeptRead, IsOverForAWriteWhenSomebodyElseHasWritten) {
  give_the_lock_back();
  other_.run("UPDATE kv_floor SET revision = 10");
  write();
  EXPECT_EQ(other_.one("SELECT revision FROM kv_floor"), "11");
}

TEST_F(KeptRead, IsWhatStatementsSee) {
  give_the_lock_back();
  other_.run("UPDATE kv_floor SET revision = 10");
  EXPECT_EQ(revision(), 1);
  writer_->end_read();
  EXPECT_EQ(revision(), 10);
}

TEST_F(KeptRead, BeginsAlsoWithoutAWrite) {
  writer_->end_read();
  EXPECT_TRUE(writer_->keep_reading());
  EXPECT_TRUE(log_is_pinned(file_));
}

TEST_F(KeptRead, EndsForHousekeeping) {
  write();
  const auto with_writer = [&](auto body) { body(*writer_); };
  EXPECT_EQ(engine_->tidy(with_writer), engine::Tidied::done);
}

TEST_F(KeptRead, IsOverForAReadTransaction) {
  give_the_lock_back();
  other_.run("UPDATE kv_floor SET revision = 10");
  writer_->begin(Access::read, patience);
  EXPECT_EQ(revision(), 10);
  writer_->commit();
}

TEST_F(KeptRead, WaitsForTheLockAsAnyWriteDoes) {
  give_the_lock_back();
  other_.run("BEGIN IMMEDIATE");
  EXPECT_KV_ERROR(writer_->begin(Access::write, std::chrono::milliseconds(1)), ErrorCode::busy,
                  "store.db");
  other_.run("COMMIT");
  write();
}

TEST_F(KeptRead, LetsAPartOfAWriteBeTakenBack) {
  writer_->begin(Access::write, patience);
  writer_->run("SAVEPOINT part");
  writer_->run("UPDATE kv_floor SET revision = 100");
  writer_->run("ROLLBACK TO part");
  writer_->run("RELEASE part");
  writer_->run("UPDATE kv_floor SET revision = revision + 1");
  writer_->commit(AfterCommit::keep_reading);
  EXPECT_EQ(other_.one("SELECT revision FROM kv_floor"), "2");
}

/// A store that writes or reads all the time, so long that it keeps reading.
class KeptReadOfAStore : public testing::Test {
 protected:
  using SteadyClock = std::chrono::steady_clock;

  void SetUp() override {
    store_.set("read", 0);
    if (!locks_can_be_seen(file_)) GTEST_SKIP() << "the system does not tell of locks";
  }

  /// Transactions of 0.2 ms each, back to back: the log is not so long for a while that a
  /// checkpoint would pin it.
  void write() {
    store_.transaction([&](Transaction& tx) {
      tx.set("k", ++written_);
      const auto start = SteadyClock::now();
      while (SteadyClock::now() - start < std::chrono::milliseconds(1)) {
      }
    });
  }
  void read() { EXPECT_EQ(store_.get("read"), 0); }

  /// Calls again and again until the log is pinned, or is not.
  template <class Call>
  void expect_pinned(bool pinned, const Call& call) {
    const auto start = SteadyClock::now();
    while (log_is_pinned(file_) != pinned) {
      ASSERT_LT(SteadyClock::now() - start, std::chrono::seconds(120));
      for (int i = 0; i < 10; ++i) call();
    }
  }
  static void nothing() {}

  TempDir dir_;
  std::string file_ = dir_.file("store.db");
  KVStore store_{file_, {.durability = Durability::normal, .cache_bytes = 0}};
  int written_ = 0;
};

TEST_F(KeptReadOfAStore, BeginsInALongRunOfWritesAndEndsSoonAfterIt) {
  expect_pinned(true, [&] { write(); });
  expect_pinned(false, nothing);
}

TEST_F(KeptReadOfAStore, KeepsTheWriteLockInALongRunOfWritesAndGivesItBackSoonAfterIt) {
  const auto start = SteadyClock::now();
  for (bool locked = false; !locked; locked = log_is_locked(file_)) {
    ASSERT_LT(SteadyClock::now() - start, std::chrono::seconds(120));
    for (int i = 0; i < 10; ++i) write();
  }
  while (log_is_locked(file_)) ASSERT_LT(SteadyClock::now() - start, std::chrono::seconds(120));
}

TEST_F(KeptReadOfAStore, BeginsInALongRunOfReadsAndEndsSoonAfterIt) {
  expect_pinned(true, [&] { read(); });
  expect_pinned(false, nothing);
}

TEST_F(KeptReadOfAStore, EndsForASnapshot) {
  expect_pinned(true, [&] { read(); });
  EXPECT_EQ(store_.snapshot().get("read"), 0);
}

TEST_F(KeptReadOfAStore, EndsForABackup) {
  expect_pinned(true, [&] { read(); });
  store_.backup(dir_.file("backup.db"));
  EXPECT_EQ(KVStore(dir_.file("backup.db")).get("read"), 0);
}

TEST_F(KeptReadOfAStore, EndsWhenSomebodyElseOpensTheFileThoughItIsWrittenOn) {
  expect_pinned(true, [&] { write(); });
  Outside other(file_);
  other.run("SELECT * FROM kv");
  // Who has it open in this process is counted twenty times a second.
  const auto start = SteadyClock::now();
  while (SteadyClock::now() - start < std::chrono::milliseconds(500)) write();
  for (int i = 0; i < 100; ++i) {
    write();
    ASSERT_FALSE(log_is_pinned(file_));
    ASSERT_FALSE(log_is_locked(file_));
  }
}

TEST_F(KeptReadOfAStore, IsNoneAfterItWasClosed) {
  expect_pinned(true, [&] { write(); });
  store_.close();
  EXPECT_FALSE(std::filesystem::exists(file_ + "-wal"));
  EXPECT_EQ(KVStore(file_).get("k"), written_);
}

}  // namespace
}  // namespace kvstore::test
