#include <atomic>
#include <latch>
#include <thread>

#include "behaviour.hpp"
#include "child.hpp"
#include "outside.hpp"

namespace kvstore::test {
namespace {

namespace fs = std::filesystem;

class EveryCompact : public OnEveryEngine {};

TEST_P(EveryCompact, GivesTheRoomOfErasedEntriesBack) {
  fill(store_, 1000);
  store_.set("stays", {{"n", 1}}, {.ttl = Duration(1000)});
  const std::optional<Entry> before = store_.entry("stays");
  const std::uint64_t large = store_.stats().file_bytes;
  store_.erase_range({.prefix = "k"});
  store_.compact();
  EXPECT_LT(store_.stats().file_bytes, large / 10);
  EXPECT_EQ(store_.stats().file_bytes, store_.stats().used_bytes);
  const std::optional<Entry> after = store_.entry("stays");
  EXPECT_EQ(after->value, before->value);
  EXPECT_EQ(after->revision, before->revision);
  EXPECT_EQ(after->expires_at, before->expires_at);
  EXPECT_TRUE(store_.check().ok());
}

TEST_P(EveryCompact, KeepsTheFloorOfTheRevisions) {
  const Revision erased = store_.set("k", 1);
  store_.erase("k");
  store_.compact();
  clock_.set(Time());
  EXPECT_GT(store_.set("k", 2), erased);
}

TEST_P(EveryCompact, OfAnEmptyStoreDoesNothing) {
  store_.compact();
  EXPECT_EQ(store_.count(), 0U);
  store_.set("k", 1);
  EXPECT_EQ(store_.get("k"), json(1));
}

TEST_P(EveryCompact, IsMisuseOnTheThreadOfATransaction) {
  Transaction tx = store_.begin();
  tx.set("k", 1);
  EXPECT_KV_ERROR(store_.compact(), ErrorCode::misuse, "transaction");
  tx.commit();
  EXPECT_EQ(store_.get("k"), json(1));
}

TEST_P(EveryCompact, LetsACursorGoOn) {
  fill(store_, 500);
  Cursor cursor = store_.scan();
  auto at = cursor.begin();
  store_.compact();
  EXPECT_EQ(std::distance(at, Cursor::end()), 500);
}

TEST_P(EveryCompact, OfAClosedStoreIsMisuse) {
  store_.close();
  EXPECT_KV_ERROR(store_.compact(), ErrorCode::misuse, "closed");
}

KVSTORE_TEST_ON_EVERY_ENGINE(EveryCompact);

class Compact : public ::testing::Test {
 protected:
  Compact() { fill(store_, 2000); }

  /// The size of the file itself, without its log.
  [[nodiscard]] std::uintmax_t file_bytes() const { return fs::file_size(file_); }

  TempDir dir_;
  std::string file_ = dir_.file("store.db");
  KVStore store_{file_, {.durability = Durability::normal, .busy_timeout = Duration(200)}};
};

TEST_F(Compact, MakesTheFileSmaller) {
  store_.compact();
  const std::uintmax_t large = file_bytes();
  EXPECT_GT(large, 2'000'000U);
  store_.erase_range({});
  store_.compact();
  EXPECT_LT(file_bytes(), 100'000U);
}

TEST_F(Compact, OfAReadOnlyStoreIsRefused) {
  const TempDir dir;
  store_.backup(dir.file("copy.db"));
  KVStore copy(dir.file("copy.db"), {.read_only = true});
  EXPECT_KV_ERROR(copy.compact(), ErrorCode::read_only, "read_only");
}

TEST_F(Compact, IsBusyWhenAnotherProcessKeepsTheWriteLock) {
  Process writer(worker({"leave-open", file_, "BEGIN IMMEDIATE"}));
  ASSERT_EQ(writer.line(), "ready");
  EXPECT_KV_ERROR(store_.compact(), ErrorCode::busy, "ms");
  writer.kill_now();
  store_.compact();
  EXPECT_TRUE(store_.check().ok());
}

TEST_F(Compact, BesideASnapshotLeavesItsMomentAndMakesTheFileSmallerLater) {
  std::optional<Snapshot> moment(store_.snapshot());
  const std::optional<json> before = store_.get("k7");
  store_.erase_range({});
  store_.compact();
  EXPECT_EQ(moment->count(), 2000U);
  EXPECT_EQ(moment->get("k7"), before);
  moment.reset();
  store_.compact();
  EXPECT_LT(file_bytes(), 100'000U);
}

TEST_F(Compact, LetsReadersAndWritersGoOn) {
  std::atomic<bool> over{false};
  std::atomic<int> failures{0};
  std::atomic<int> written{0};
  const std::optional<json> before = store_.get("k7");
  std::latch begun(2);
  std::thread reader([&] {
    begun.count_down();
    while (!over) failures += store_.get("k7") == before ? 0 : 1;
  });
  std::thread writer([&] {
    begun.count_down();
    for (int i = 0; !over; ++i) {
      try {
        store_.set("w" + std::to_string(i), i);
        ++written;
      } catch (const Error& error) {
        failures += error.code() == ErrorCode::busy ? 0 : 1;
        --i;
      }
    }
  });
  begun.wait();
  for (int round = 0; round < 3; ++round) store_.compact();
  over = true;
  reader.join();
  writer.join();
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(store_.count({.prefix = "w"}), static_cast<std::size_t>(written));
  EXPECT_TRUE(store_.check().ok());
}

TEST_F(Compact, LosesNothingOfAnotherProcessThatWrites) {
  Process writer(worker({"write", file_, "w", "normal"}));
  ASSERT_TRUE(writer.line().has_value());
  for (int round = 0; round < 3; ++round) {
    try {
      store_.compact();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::busy) << error.what();
    }
  }
  writer.kill_now();
  for (const std::string& told : writer.lines()) ASSERT_TRUE(store_.contains("w" + told)) << told;
  EXPECT_TRUE(store_.check().ok());
}

TEST_F(Compact, OfAFileThatWasReplacedIsAnError) {
  fs::rename(file_, dir_.file("moved.db"));
  EXPECT_KV_ERROR(store_.compact(), ErrorCode::io, "replaced");
}

}  // namespace
}  // namespace kvstore::test
