#include <array>
#include <atomic>
#include <thread>

#include "behaviour.hpp"

namespace kvstore::test {
namespace {

class Snapshots : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(Snapshots);

TEST_P(Snapshots, SeeNothingThatIsWrittenLater) {
  store_.set_many({{"a", 1}, {"b", 2}});
  const Snapshot snapshot = store_.snapshot();
  store_.set("a", 10);
  store_.erase("b");
  store_.set("c", 3);
  EXPECT_EQ(snapshot.get("a"), json(1));
  EXPECT_EQ(snapshot.keys(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(snapshot.count(), 2U);
  int sum = 0;
  for (const Entry& entry : snapshot.scan()) sum += entry.value.get<int>();
  EXPECT_EQ(sum, 3);
  EXPECT_EQ(store_.keys(), (std::vector<std::string>{"a", "c"}));
}

TEST_P(Snapshots, LetNothingExpire) {
  store_.set("k", 1, {.ttl = Duration(10)});
  const Snapshot snapshot = store_.snapshot();
  clock_.advance(Duration(100));
  store_.purge_expired();
  EXPECT_EQ(snapshot.get("k"), json(1));
  EXPECT_EQ(snapshot.count(), 1U);
  EXPECT_FALSE(store_.contains("k"));
}

TEST_P(Snapshots, AreCountedWithTheirAge) {
  EXPECT_EQ(store_.stats().oldest_snapshot, std::nullopt);
  const Snapshot older = store_.snapshot();
  clock_.advance(Duration(50));
  {
    const Snapshot younger = store_.snapshot();
    clock_.advance(Duration(25));
    EXPECT_EQ(store_.stats().snapshots, 2U);
    EXPECT_EQ(store_.stats().oldest_snapshot, Duration(75));
  }
  EXPECT_EQ(store_.stats().snapshots, 1U);
}

TEST_P(Snapshots, AreNotBoundedInNumber) {
  std::vector<Snapshot> snapshots;
  for (int i = 0; i < 20; ++i) {
    store_.set("k", i);
    snapshots.push_back(store_.snapshot());
  }
  for (int i = 0; i < 20; ++i) EXPECT_EQ(snapshots[static_cast<std::size_t>(i)].get("k"), json(i));
  EXPECT_EQ(store_.get("k"), json(19));
}

TEST_P(Snapshots, EndTheirCursors) {
  store_.set_many({{"a", 1}, {"b", 2}});
  std::optional<Snapshot> snapshot = store_.snapshot();
  Cursor cursor = snapshot->scan();
  snapshot.reset();
  EXPECT_KV_ERROR(cursor.begin(), ErrorCode::misuse, "snapshot");
}

TEST_P(Snapshots, AssignedToEndWhatTheyHeld) {
  store_.set("k", 1);
  Snapshot snapshot = store_.snapshot();
  store_.set("k", 2);
  snapshot = store_.snapshot();
  EXPECT_EQ(snapshot.get("k"), json(2));
  EXPECT_EQ(store_.stats().snapshots, 1U);
}

TEST_P(Snapshots, CanBeReadWhileATransactionLives) {
  store_.set("k", 1);
  const Snapshot snapshot = store_.snapshot();
  Transaction tx = store_.begin();
  tx.set("k", 2);
  EXPECT_EQ(snapshot.get("k"), json(1));
  EXPECT_EQ(tx.get("k"), json(2));
}

TEST_P(Snapshots, AreOfTheNewestMomentAlsoWhereOthersEnd) {
  std::atomic<bool> over{false};
  const auto begin_and_end = [&] {
    while (!over) EXPECT_FALSE(store_.snapshot().contains("absent"));
  };
  std::array threads = {std::thread(begin_and_end), std::thread(begin_and_end)};
  for (int i = 0; i < 3'000; ++i) {
    store_.set("k", i);
    EXPECT_EQ(store_.snapshot().get("k"), i);
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
}

TEST(SnapshotOfAFile, KeepsTheLogAndSaysSo) {
  const TempDir directory;
  KVStore store(directory.file("store.db"), {.durability = Durability::normal});
  store.set("k", 0);
  constexpr std::size_t size = 100'000;
  const Snapshot snapshot = store.snapshot();
  for (int i = 0; i < 100; ++i) {
    store.set("big", std::string(size, static_cast<char>('a' + i % 20)));
  }
  EXPECT_GT(store.stats().wal_bytes, 100 * size);
  EXPECT_TRUE(store.stats().oldest_snapshot);
  EXPECT_FALSE(snapshot.contains("big"));
}

TEST(SnapshotOfAFile, GivesItsConnectionBack) {
  const TempDir directory;
  KVStore store(directory.file("store.db"));
  store.set("k", 1);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(store.snapshot().contains("k"));
  EXPECT_LE(store.stats().read_connections, 2U);
}

TEST(SnapshotOfAFile, SeesOneMomentOfManyTransactions) {
  const TempDir directory;
  KVStore store(directory.file("store.db"), {.durability = Durability::normal});
  store.set_many({{"a", 0}, {"b", 0}});
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    for (int i = 1; !stop; ++i) {
      store.transaction([&](Transaction& tx) {
        tx.set("a", i);
        tx.set("b", -i);
      });
    }
  });
  for (int i = 0; i < 300; ++i) {
    const Snapshot snapshot = store.snapshot();
    EXPECT_EQ(snapshot.get("a")->get<int>() + snapshot.get("b")->get<int>(), 0);
  }
  stop = true;
  writer.join();
}

}  // namespace
}  // namespace kvstore::test
