#include <kvstore/engine/sqlite.hpp>

#include "locks.hpp"
#include "outside.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

using engine::Access;
using engine::After;

/// A write connection that has committed and stays.
class Stay : public testing::Test {
 protected:
  Stay() { write(); }
  void SetUp() override {
    if (!locks_can_be_seen(file_)) GTEST_SKIP() << "the system does not tell of locks";
    ASSERT_TRUE(log_is_pinned(file_)) << "it does not stay; the test proves nothing";
  }

  void write() {
    writer_->begin(Access::write, patience);
    writer_->run("UPDATE kv_floor SET revision = revision + 1");
    writer_->commit(After::stay);
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

TEST_F(Stay, EndsWhenTheConnectionLeaves) {
  writer_->leave();
  EXPECT_FALSE(log_is_pinned(file_));
}

TEST_F(Stay, EndsWithACommitThatLeaves) {
  writer_->begin(Access::write, patience);
  writer_->commit();
  EXPECT_FALSE(log_is_pinned(file_));
}

TEST_F(Stay, EndsWithARollback) {
  writer_->begin(Access::write, patience);
  writer_->rollback();
  EXPECT_FALSE(log_is_pinned(file_));
}

TEST_F(Stay, EndsWithTheConnection) {
  writer_.reset();
  EXPECT_FALSE(log_is_pinned(file_));
}

TEST_F(Stay, GoesOnFromWriteToWrite) {
  for (int i = 0; i < 3; ++i) write();
  EXPECT_TRUE(log_is_pinned(file_));
  EXPECT_EQ(revision(), 4);
}

TEST_F(Stay, KeepsNobodyFromWriting) {
  EXPECT_EQ(other_.try_to("UPDATE kv_floor SET revision = 10"), SQLITE_OK);
}

TEST_F(Stay, IsOverForAWriteWhenSomebodyElseHasWritten) {
  other_.run("UPDATE kv_floor SET revision = 10");
  write();
  EXPECT_EQ(other_.one("SELECT revision FROM kv_floor"), "11");
}

TEST_F(Stay, IsOverForAStatement) {
  other_.run("UPDATE kv_floor SET revision = 10");
  EXPECT_EQ(revision(), 10);
}

TEST_F(Stay, IsOverForAReadTransaction) {
  other_.run("UPDATE kv_floor SET revision = 10");
  writer_->begin(Access::read, patience);
  EXPECT_EQ(revision(), 10);
  writer_->commit();
}

TEST_F(Stay, WaitsForTheLockAsAnyWriteDoes) {
  other_.run("BEGIN IMMEDIATE");
  EXPECT_KV_ERROR(writer_->begin(Access::write, std::chrono::milliseconds(1)), ErrorCode::busy,
                  "store.db");
  other_.run("COMMIT");
  write();
}

/// Writes back to back, for longer than it takes to find out that nobody else is there.
void write_for_a_while(KVStore& store) {
  constexpr std::chrono::milliseconds run(400);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; std::chrono::steady_clock::now() - start < run; ++i) store.set("k", i);
}

TEST_F(Stay, EndsForHousekeeping) {
  write();
  const auto with_writer = [&](auto body) { body(*writer_); };
  EXPECT_EQ(engine_->tidy(with_writer), engine::Tidied::done);
}

TEST_F(Stay, OfAStoreBeginsInALongRunOfWritesAndEndsSoonAfterIt) {
  constexpr std::chrono::seconds most(30);
  const std::string file = dir_.file("own.db");
  KVStore store(file);
  const auto start = std::chrono::steady_clock::now();
  const auto is_late = [&] { return std::chrono::steady_clock::now() - start > most; };
  // On a busy machine it may end before it can be seen.
  for (bool stays = false; !stays; stays = log_is_pinned(file)) {
    ASSERT_FALSE(is_late()) << "it never stays";
    write_for_a_while(store);
  }
  while (log_is_pinned(file)) ASSERT_FALSE(is_late()) << "it does not end";
}

TEST_F(Stay, OfAStoreBeginsInALongRunOfReadsAndEndsSoonAfterIt) {
  constexpr std::chrono::milliseconds run(100);
  constexpr std::chrono::seconds most(30);
  const std::string file = dir_.file("own.db");
  KVStore store(file, {.cache_bytes = 0});
  store.set("k", 0);
  const auto start = std::chrono::steady_clock::now();
  const auto since = [](auto moment) { return std::chrono::steady_clock::now() - moment; };
  // On a busy machine it may end before it can be seen, and it takes breaks.
  for (bool stays = false; !stays; stays = log_is_pinned(file)) {
    ASSERT_LT(since(start), most) << "it never stays";
    const auto run_start = std::chrono::steady_clock::now();
    while (since(run_start) < run) EXPECT_EQ(store.get("k"), 0);
  }
  while (log_is_pinned(file)) ASSERT_LT(since(start), most) << "it does not end";
}

TEST_F(Stay, OfAStoreDoesNotBeginWhileSomebodyElseHasItOpen) {
  const std::string file = dir_.file("own.db");
  KVStore store(file);
  store.set("k", 0);
  Outside other(file);
  other.run("SELECT * FROM kv");
  write_for_a_while(store);
  EXPECT_FALSE(log_is_pinned(file));
}

}  // namespace
}  // namespace kvstore::test
