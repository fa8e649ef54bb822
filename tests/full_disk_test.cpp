#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "child.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

namespace fs = std::filesystem;

std::string key(int number) {
  return std::string("k").append(std::to_string(number));
}

/// A small file system of its own.
class FullDisk : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(disk_);
    mounted_ = mount("none", disk_.c_str(), "tmpfs", 0, "size=4m") == 0;
    if (!mounted_) GTEST_SKIP() << "mounting is not permitted here";
    file_ = (disk_ / "store.db").string();
    filler_ = (disk_ / "filler").string();
    write_bytes(filler_, std::string(2U << 20U, 'x'));
  }
  void TearDown() override {
    if (mounted_) umount2(disk_.c_str(), MNT_DETACH);
  }

  void make_room() { fs::remove(filler_); }

  /// Stores until the disk is full. Returns how many writes were acknowledged.
  static int fill(KVStore& store) {
    for (int i = 0; i < 10'000; ++i) {
      try {
        store.set(key(i), std::string(20'000, 'v'));
      } catch (const Error& error) {
        EXPECT_EQ(to_string(error.code()), to_string(ErrorCode::full)) << error.what();
        EXPECT_NE(std::string(error.what()).find("make room"), std::string::npos) << error.what();
        return i;
      }
    }
    ADD_FAILURE() << "the disk was never full";
    return 0;
  }

  static void expect_intact(const KVStore& store, int acknowledged) {
    EXPECT_EQ(store.count({.prefix = "k"}), static_cast<std::size_t>(acknowledged));
    for (int i = 0; i < acknowledged; ++i) {
      ASSERT_EQ(store.get(key(i)), json(std::string(20'000, 'v')));
    }
  }

  TempDir dir_;
  fs::path disk_ = dir_.path() / "disk";
  std::string file_, filler_;
  bool mounted_ = false;
};

TEST_F(FullDisk, IsATypedErrorAndTheStoreStaysReadable) {
  KVStore store(file_);
  const int acknowledged = fill(store);
  EXPECT_GT(acknowledged, 10);
  expect_intact(store, acknowledged);
  EXPECT_TRUE(store.check().ok());
}

TEST_F(FullDisk, IsTheSameErrorForEveryFurtherWrite) {
  KVStore store(file_);
  fill(store);
  const std::string large(500'000, 'v');
  EXPECT_KV_ERROR(store.set("n", large), ErrorCode::full, "make room");
  EXPECT_KV_ERROR(store.insert("n", large), ErrorCode::full, "make room");
  EXPECT_KV_ERROR(store.set_many({{"m", large}, {"n", large}}), ErrorCode::full, "make room");
  EXPECT_KV_ERROR(store.update("k0", [&](json& value) { value = large; }), ErrorCode::full,
                  "make room");
  EXPECT_FALSE(store.contains("n"));
  EXPECT_EQ(store.get("k0"), json(std::string(20'000, 'v')));
}

TEST_F(FullDisk, WorksAgainWithoutReopeningWhenThereIsRoom) {
  KVStore store(file_);
  const int acknowledged = fill(store);
  make_room();
  store.set("n", 1);
  EXPECT_EQ(store.get("n"), json(1));
  expect_intact(store, acknowledged);
  EXPECT_TRUE(store.check().ok());
}

TEST_F(FullDisk, LosesNothingWhenTheStoreIsClosedAndOpenedAgain) {
  int acknowledged = 0;
  {
    KVStore store(file_);
    acknowledged = fill(store);
  }
  make_room();
  const KVStore store(file_);
  expect_intact(store, acknowledged);
  EXPECT_TRUE(store.check().ok());
}

TEST_F(FullDisk, CanBeOpenedForReadingTheStore) {
  int acknowledged = 0;
  {
    KVStore store(file_);
    acknowledged = fill(store);
  }
  const KVStore store(file_, {.read_only = true});
  expect_intact(store, acknowledged);
}

TEST_F(FullDisk, RefusesToCreateAStoreAndLetsItBeCreatedLater) {
  std::string rest(1U << 20U, 'x');
  for (int i = 0; i < 8; ++i) write_bytes((disk_ / ("more" + std::to_string(i))).string(), rest);
  EXPECT_KV_ERROR(KVStore{file_}, ErrorCode::full, "make room");
  make_room();
  KVStore store(file_);
  store.set("k", 1);
  EXPECT_EQ(store.get("k"), json(1));
  EXPECT_TRUE(store.check().ok());
}

/// Stores in a transaction until the engine, out of room, rolls it back.
void fill_within(Transaction& tx) {
  for (int i = 0; i < 1000; ++i) tx.set("t" + std::to_string(i), std::string(20'000, 'v'));
}

TEST_F(FullDisk, EndsATransactionWhichAnswersWithThisCauseFromThenOn) {
  KVStore store(file_);
  store.set("before", 1);
  Transaction tx = store.begin();
  EXPECT_KV_ERROR(fill_within(tx), ErrorCode::full, "make room");
  make_room();  // but what was written before is gone, so nothing more may be added
  EXPECT_KV_ERROR(tx.set("k", 1), ErrorCode::full, "was rolled back");
  EXPECT_KV_ERROR(tx.get("before"), ErrorCode::full, "was rolled back");
  EXPECT_KV_ERROR(tx.begin(), ErrorCode::full, "was rolled back");
  EXPECT_KV_ERROR(tx.commit(), ErrorCode::full, "was rolled back");
  EXPECT_EQ(store.keys(), std::vector<std::string>{"before"});
  store.transaction([](Transaction& next) { next.set("k", 2); });
  EXPECT_EQ(store.get("k"), json(2));
  EXPECT_TRUE(store.check().ok());
}

TEST_F(FullDisk, EndsATransactionWithTheSavepointsInsideIt) {
  KVStore store(file_);
  store.set("before", 1);
  Transaction tx = store.begin();
  tx.set("outer", 1);
  Transaction inner = tx.begin();
  inner.set("inner", 1);
  Transaction innermost = inner.begin();
  EXPECT_KV_ERROR(fill_within(innermost), ErrorCode::full, "make room");
  make_room();
  EXPECT_KV_ERROR(innermost.commit(), ErrorCode::full, "was rolled back");
  EXPECT_KV_ERROR(inner.set("k", 1), ErrorCode::full, "was rolled back");
  EXPECT_KV_ERROR(inner.rollback(), ErrorCode::full, "was rolled back");
  EXPECT_KV_ERROR(tx.set("k", 1), ErrorCode::full, "was rolled back");
  EXPECT_KV_ERROR(tx.commit(), ErrorCode::full, "was rolled back");
  EXPECT_EQ(store.keys(), std::vector<std::string>{"before"});
}

/// What a program does that skips the items of a batch which fail must not store half a batch.
TEST_F(FullDisk, FailsABatchThatSkipsItsBadItems) {
  KVStore store(file_);
  EXPECT_KV_ERROR(store.transaction([](Transaction& tx) {
    for (int i = 0; i < 300; ++i) {
      try {
        tx.transaction([&](Transaction& item) { item.set(key(i), std::string(20'000, 'v')); });
      } catch (const Error&) {  // NOLINT(bugprone-empty-catch): skipped
      }
    }
  }),
                  ErrorCode::full, "make room");
  make_room();
  EXPECT_EQ(store.count(), 0U);
  store.set("k", 1);
}

TEST(FileSizeLimit, IsATypedErrorAndLeavesTheStoreUsable) {
  const TempDir dir;
  const std::string file = dir.file("store.db");
  const std::string outcome = in_child([&]() -> std::string {
    signal(SIGXFSZ, SIG_IGN);
    KVStore store(file);
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    const rlim_t most = limit.rlim_cur;
    limit.rlim_cur = 1U << 20U;
    setrlimit(RLIMIT_FSIZE, &limit);
    int acknowledged = 0;
    std::string code = "none";
    try {
      for (; acknowledged < 1000; ++acknowledged) {
        store.set(key(acknowledged), std::string(20'000, 'v'));
      }
    } catch (const Error& error) {
      code = std::string(to_string(error.code()));
    }
    for (int i = 0; i < acknowledged; ++i) {
      if (!store.contains(key(i))) return "lost " + key(i);
    }
    limit.rlim_cur = most;
    setrlimit(RLIMIT_FSIZE, &limit);
    store.set("after", 1);
    return code + (store.check().ok() && store.get("after") == json(1) ? ", works" : ", broken");
  });
  EXPECT_EQ(outcome, "full, works");
}

}  // namespace
}  // namespace kvstore::test
