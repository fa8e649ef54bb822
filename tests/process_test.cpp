#include "child.hpp"
#include "outside.hpp"
#include "support.hpp"

#include <random>

namespace kvstore::test {
namespace {

namespace fs = std::filesystem;

TEST(Processes, OpenANewFileTogetherWithoutFailure) {
  constexpr int together = 8;
  const int rounds = long_run() ? 200 : 20;
  for (int round = 0; round < rounds; ++round) {
    const TempDir dir;
    const std::string file = dir.file("store.db");
    std::vector<std::unique_ptr<Process>> processes;
    for (int i = 0; i < together; ++i) {
      processes.push_back(
          std::make_unique<Process>(worker({"open", file, "by" + std::to_string(i)})));
    }
    for (const auto& process : processes) ASSERT_EQ(process->line(), "ready");
    for (const auto& process : processes) process->write_line("go");
    for (const auto& process : processes) EXPECT_EQ(process->wait(), 0) << "round " << round;
    const KVStore store(file);
    ASSERT_EQ(store.count(), std::size_t{together}) << "round " << round;
    ASSERT_TRUE(store.check().ok());
  }
}

/// Kills writers at moments of chance and looks for every write that they said was acknowledged.
void expect_no_acknowledged_write_lost(const std::string& durability) {
  const TempDir dir;
  const std::string file = dir.file("store.db");
  const int kills = long_run() ? 150 : 10;
  std::mt19937_64 random(seed());
  std::size_t acknowledged = 0;
  for (int round = 0; round < kills; ++round) {
    const std::string prefix = "round" + std::to_string(round) + "/";
    Process writer(worker({"write", file, prefix, durability}));
    const std::size_t wanted = 1 + random() % 150;
    std::size_t told = 0;
    while (told < wanted && writer.line()) ++told;
    ASSERT_EQ(told, wanted) << "the writer failed";
    writer.kill_now();
    told += writer.lines().size();
    const KVStore store(file);
    for (std::size_t i = 0; i < told; ++i) {
      ASSERT_EQ(store.get(prefix + std::to_string(i)), json(i)) << prefix << i << " was lost";
    }
    acknowledged += told;
  }
  const KVStore store(file);
  // A write that was killed before it was acknowledged may have happened.
  EXPECT_GE(store.count(), acknowledged);
  EXPECT_LE(store.count(), acknowledged + static_cast<std::size_t>(kills));
  EXPECT_TRUE(store.check().ok());
}

TEST(Processes, LoseNoAcknowledgedWriteWhenKilled) {
  expect_no_acknowledged_write_lost("full");
}

TEST(Processes, LoseNoAcknowledgedWriteWhenKilledAtNormalDurability) {
  expect_no_acknowledged_write_lost("normal");
}

TEST(Processes, LoseNoWriteWhenAnotherOneIsKilled) {
  const TempDir dir;
  const std::string file = dir.file("store.db");
  KVStore store(file);
  for (int round = 0; round < 5; ++round) {
    Process victim(worker({"write", file, "victim" + std::to_string(round) + "/", "full"}));
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(victim.line());
      store.set("own" + std::to_string(round) + "/" + std::to_string(i), i);
    }
    victim.kill_now();
    store.set("after" + std::to_string(round), true);
  }
  EXPECT_EQ(store.count({.prefix = "own"}), 250U);
  EXPECT_EQ(store.count({.prefix = "after"}), 5U);
  EXPECT_GE(store.count({.prefix = "victim"}), 250U);
  EXPECT_TRUE(store.check().ok());
}

TEST(Processes, LoseNothingWhenTwoCountTogether) {
  const TempDir dir;
  const std::string file = dir.file("store.db");
  const int count = long_run() ? 5000 : 300;
  Process first(worker({"increment", file, "n", std::to_string(count)}));
  Process second(worker({"increment", file, "n", std::to_string(count)}));
  EXPECT_EQ(first.wait(), 0);
  EXPECT_EQ(second.wait(), 0);
  EXPECT_EQ(KVStore(file).get("n"), json(2 * count));
}

TEST(Processes, SeeWhatAnotherCommittedAtOnce) {
  const TempDir dir;
  const std::string file = dir.file("store.db");
  const KVStore store(file);
  ASSERT_FALSE(store.get("w0"));
  Process writer(worker({"write", file, "w", "full"}));
  for (int i = 0; i < 200; ++i) {
    const auto told = writer.line();
    ASSERT_TRUE(told);
    ASSERT_EQ(store.get("w" + *told), json(i));
  }
}

class MovedFile : public testing::Test {
 protected:
  MovedFile() : store_(file_) { store_.set("k", 1); }

  void expect_writes_refused() {
    EXPECT_KV_ERROR(store_.set("k", 2), ErrorCode::io, "deleted, renamed or replaced");
    EXPECT_KV_ERROR(store_.update("k", [](json&) {}), ErrorCode::io, "open it again");
    EXPECT_KV_ERROR(store_.erase("k"), ErrorCode::io, "deleted, renamed or replaced");
  }

  /// Writes until the file has been at its place for so long that its path need not be looked at.
  static void write_for_a_while(KVStore& store) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
    while (std::chrono::steady_clock::now() < end) store.set("k", 1);
  }

  TempDir dir_;
  std::string file_ = dir_.file("store.db");
  KVStore store_;
};

TEST_F(MovedFile, RefusesWritesWhenItWasDeletedLongAfterItWasOpened) {
  write_for_a_while(store_);
  fs::remove(file_);
  expect_writes_refused();
}

TEST_F(MovedFile, RefusesWritesWhenItWasRenamedLongAfterItWasOpened) {
  write_for_a_while(store_);
  fs::rename(file_, dir_.path() / "elsewhere.db");
  expect_writes_refused();
}

TEST_F(MovedFile, RefusesWritesWhenItWasReplacedLongAfterItWasOpened) {
  const std::string other = dir_.file("other.db");
  { KVStore(other).set("k", "another"); }
  write_for_a_while(store_);
  fs::rename(other, file_);
  expect_writes_refused();
}

TEST_F(MovedFile, RefusesWritesSoonAfterItsDirectoryWasRenamed) {
  const TempDir outer;
  const fs::path directory = outer.path() / "data";
  fs::create_directory(directory);
  KVStore store((directory / "store.db").native());
  write_for_a_while(store);
  fs::rename(directory, outer.path() / "elsewhere");
  const auto soon = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  const auto write_until_refused = [&] {
    while (std::chrono::steady_clock::now() < soon) store.set("k", 2);
  };
  EXPECT_KV_ERROR(write_until_refused(), ErrorCode::io, "deleted, renamed or replaced");
}

TEST_F(MovedFile, RefusesWritesWhenItIsRenamedOnceMoreAfterItCameBack) {
  const std::string file = dir_.file("moving.db");
  const fs::path other = dir_.path() / "other.db";
  const fs::path elsewhere = dir_.path() / "elsewhere.db";
  { KVStore(other.native()).set("k", "another"); }
  KVStore store(file);
  fs::rename(file, elsewhere);
  fs::rename(other, file);
  EXPECT_KV_ERROR(store.set("k", 1), ErrorCode::io, "replaced");
  fs::rename(file, other);
  fs::rename(elsewhere, file);
  write_for_a_while(store);
  fs::rename(file, elsewhere);
  EXPECT_KV_ERROR(store.set("k", 2), ErrorCode::io, "renamed");
}

TEST_F(MovedFile, KeepsTheLocksOfItsProcessWhenAnotherStoreOfItIsClosed) {
  { KVStore(file_).set("k", 2); }
  Process other({"python3", "-c", R"(
import fcntl, sys
try:
    shared_lock_of_sqlite = (510, 0x40000002)
    fcntl.lockf(open(sys.argv[1], "r+b"), fcntl.LOCK_EX | fcntl.LOCK_NB, *shared_lock_of_sqlite)
    print("free")
except OSError:
    print("locked")
)",
                 file_});
  EXPECT_EQ(other.line(), "locked");
}

TEST_F(MovedFile, RefusesWritesWhenItWasDeleted) {
  fs::remove(file_);
  expect_writes_refused();
}

TEST_F(MovedFile, RefusesWritesWhenItWasRenamed) {
  fs::rename(file_, dir_.path() / "elsewhere.db");
  expect_writes_refused();
}

TEST_F(MovedFile, RefusesWritesWhenItWasReplaced) {
  const std::string other = dir_.file("other.db");
  { KVStore(other).set("k", "another"); }
  fs::rename(other, file_);
  expect_writes_refused();
}

TEST_F(MovedFile, IsNotCreatedAnewByARead) {
  fs::remove(file_);
  EXPECT_KV_ERROR(store_.get("k"), ErrorCode::io, "deleted, renamed or replaced");
  EXPECT_FALSE(fs::exists(file_));
}

TEST_F(MovedFile, LetsNoNewConnectionReadTheFileThatReplacedIt) {
  const std::string other = dir_.file("other.db");
  { KVStore(other).set("k", "another"); }
  fs::rename(other, file_);
  EXPECT_KV_ERROR(store_.get("k"), ErrorCode::io, "deleted, renamed or replaced");
}

TEST_F(MovedFile, LeavesTheFileThatReplacedItAlone) {
  const std::string other = dir_.file("other.db");
  { KVStore(other).set("k", "another"); }
  const std::string before = bytes_of(other);
  fs::rename(other, file_);
  EXPECT_KV_ERROR(store_.set("k", 2), ErrorCode::io, "replaced");
  store_.close();
  EXPECT_TRUE(bytes_of(file_) == before);
}

TEST_F(MovedFile, CanBeOpenedAgainWhereItIsNow) {
  const fs::path elsewhere = dir_.path() / "elsewhere.db";
  fs::rename(file_, elsewhere);
  fs::rename(file_ + "-wal", elsewhere.string() + "-wal");
  store_.close();
  EXPECT_EQ(KVStore(elsewhere).get("k"), json(1));
}

TEST_F(MovedFile, WorksAgainWhenItIsBack) {
  fs::rename(file_, dir_.path() / "elsewhere.db");
  EXPECT_KV_ERROR(store_.set("k", 2), ErrorCode::io, "renamed");
  fs::rename(dir_.path() / "elsewhere.db", file_);
  store_.set("k", 3);
  EXPECT_EQ(store_.get("k"), json(3));
}

}  // namespace
}  // namespace kvstore::test
