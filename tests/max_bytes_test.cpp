#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <random>

#include "behaviour.hpp"
#include "child.hpp"
#include "outside.hpp"

namespace kvstore::test {
namespace {

constexpr std::uint64_t bound = 128U << 10U;

std::string key_of(int number) {
  return "key" + std::to_string(number);
}

/// A value that takes about this many bytes.
json value_of(std::size_t bytes) {
  return std::string(bytes, 'v');
}

class MaxBytes : public OnEveryEngine {
 protected:
  [[nodiscard]] KVStore bounded(std::uint64_t max_bytes = bound) {
    Options bounded = options();
    bounded.max_bytes = max_bytes;
    return open_in(*cache_dir_, bounded);
  }

  /// Keys of 1 KiB values until there are about twice as many as fit.
  static constexpr int many = 200;
  static void fill(KVStore& store, int first = 0, int count = many) {
    for (int i = first; i < first + count; ++i) store.set(key_of(i), value_of(1024));
  }

  std::unique_ptr<TempDir> cache_dir_ = std::make_unique<TempDir>();
};
KVSTORE_TEST_ON_EVERY_ENGINE(MaxBytes);

TEST_P(MaxBytes, EvictsWhatWasStoredLongestAgo) {
  KVStore store = bounded();
  fill(store);
  const int left = static_cast<int>(store.count());
  EXPECT_GT(left, 60);
  EXPECT_LT(left, 128);
  for (int i = 0; i < many; ++i) EXPECT_EQ(store.contains(key_of(i)), i >= many - left) << i;
}

TEST_P(MaxBytes, StoringAgainMakesAnEntryYoung) {
  KVStore store = bounded();
  fill(store, 0, 50);
  store.set(key_of(0), "again");
  store.update(key_of(1), [](json& value) { value = "again"; });
  store.set_many({{key_of(2), "again"}});
  fill(store, 50, 40);
  EXPECT_EQ(store.get(key_of(0)), json("again"));
  EXPECT_EQ(store.get(key_of(1)), json("again"));
  EXPECT_EQ(store.get(key_of(2)), json("again"));
  EXPECT_FALSE(store.contains(key_of(3)));
}

TEST_P(MaxBytes, ReadingAndTouchingMakeNothingYoung) {
  KVStore store = bounded();
  fill(store, 0, 50);
  EXPECT_TRUE(store.touch(key_of(0), std::nullopt));
  EXPECT_TRUE(store.contains(key_of(1)));
  fill(store, 50, 40);
  EXPECT_FALSE(store.contains(key_of(0)));
  EXPECT_FALSE(store.contains(key_of(1)));
  EXPECT_TRUE(store.contains(key_of(49)));
}

TEST_P(MaxBytes, WhatHasExpiredGoesFirst) {
  KVStore store = bounded();
  store.set("oldest", 1);
  for (int i = 0; i < 80; ++i) store.set(key_of(i), value_of(1024), {.ttl = Duration(1000)});
  clock_.advance(Duration(1000));
  fill(store, 100, 60);
  EXPECT_TRUE(store.contains("oldest"));
}

TEST_P(MaxBytes, RefusesAnEntryThatDoesNotFitByItselfAndChangesNothing) {
  KVStore store = bounded();
  fill(store, 0, 20);
  EXPECT_KV_ERROR(store.set("large", value_of(bound)), ErrorCode::full, "\"large\"");
  EXPECT_EQ(store.count(), 20U);
  store.set("fits", value_of(bound / 2));
  EXPECT_TRUE(store.contains("fits"));
}

TEST_P(MaxBytes, ATransactionGoesOnAfterARefusedEntry) {
  KVStore store = bounded();
  store.set("before", 1);
  store.transaction([&](Transaction& tx) {
    tx.set("a", 1);
    EXPECT_KV_ERROR(tx.set("large", value_of(bound)), ErrorCode::full, "Options::max_bytes");
    tx.set("b", 2);
  });
  EXPECT_EQ(store.keys(), (std::vector<std::string>{"a", "b", "before"}));
}

TEST_P(MaxBytes, OfASeriesThatIsTooLongTheLastEntriesStay) {
  KVStore store = bounded();
  std::vector<std::pair<std::string, json>> items;
  for (int i = 0; i < 5 * many; ++i) items.emplace_back(key_of(i), value_of(1024));
  EXPECT_EQ(store.set_many(items), items.size());
  const int left = static_cast<int>(store.count());
  EXPECT_GT(left, 60);
  EXPECT_TRUE(store.contains(key_of(5 * many - left)));
  const Stats stats = store.stats();
  EXPECT_LE(stats.used_bytes, bound);
  EXPECT_LE(stats.file_bytes, bound + bound / 4) << "the file grew by what did not stay";
}

TEST_P(MaxBytes, OfATransactionThatIsTooLongTheLastEntriesStay) {
  KVStore store = bounded();
  store.transaction([](Transaction& tx) {
    for (int i = 0; i < 5 * many; ++i) tx.set(key_of(i), value_of(1024));
  });
  const int left = static_cast<int>(store.count());
  EXPECT_GT(left, 60);
  EXPECT_TRUE(store.contains(key_of(5 * many - left)));
  const Stats stats = store.stats();
  EXPECT_LE(stats.used_bytes, bound);
  EXPECT_LE(stats.file_bytes, bound + bound / 4) << "the file grew by what did not stay";
}

TEST_P(MaxBytes, WhatATransactionEvictedIsBackWhenItIsRolledBack) {
  KVStore store = bounded();
  fill(store, 0, 60);
  {
    Transaction tx = store.begin();
    for (int i = 0; i < many; ++i) tx.set("other" + std::to_string(i), value_of(1024));
    EXPECT_FALSE(tx.contains(key_of(0)));
  }
  EXPECT_EQ(store.count(), 60U);
  fill(store, 60, 60);
  EXPECT_LE(store.stats().used_bytes, bound);
}

TEST_P(MaxBytes, CountAgainWhatAFailedCallHadRemoved) {
  constexpr std::size_t size = 10'000;
  KVStore store = bounded(8 * bound);
  for (int i = 0; i < 64; ++i) store.set(key_of(i), value_of(size), {.ttl = Duration(1000)});
  for (int i = 100; i < 135; ++i) store.set(key_of(i), value_of(size));
  clock_.advance(Duration(1000));
  std::vector<std::pair<std::string, json>> items(7, {"item", value_of(size)});
  for (std::size_t i = 0; i < items.size(); ++i) items[i].first += std::to_string(i);
  items.emplace_back("bad", std::numeric_limits<double>::quiet_NaN());
  store.transaction([&](Transaction& tx) {
    EXPECT_KV_ERROR(tx.set_many(items), ErrorCode::invalid_value, "bad");
    tx.set("large", value_of(bound));
  });
  EXPECT_LE(store.stats().used_bytes, 8 * bound);
}

TEST_P(MaxBytes, RevisionsGrowOverAnEviction) {
  KVStore store = bounded();
  Revision first = 0;
  for (int i = 0; i < 40; ++i) first = store.set("key", i);
  fill(store);
  ASSERT_FALSE(store.contains("key"));
  EXPECT_GT(store.set("key", 1), first);
}

TEST_P(MaxBytes, LessThanAStoreNeedsIsMisuse) {
  EXPECT_KV_ERROR(bounded(1), ErrorCode::misuse, "Options::max_bytes");
  EXPECT_KV_ERROR(bounded((64U << 10U) - 1), ErrorCode::misuse, "65536");
  KVStore store = bounded(64U << 10U);
  fill(store);
  EXPECT_GT(store.count(), 10U);
}

/// A store and what must be in it: each key with the number of the write that stored it last.
class RandomWrites {
 public:
  RandomWrites(KVStore& store, std::uint64_t seed, int keys)
      : store_(store), random_(seed), keys_(keys) {}

  void step() {
    switch (random_() % 12) {
      case 0:
        forget(any_key());
        break;
      case 1:
        store_.touch(any_key(), std::nullopt);
        break;
      case 2: {
        std::vector<std::pair<std::string, json>> items;
        for (std::size_t i = random_() % 40; i > 0; --i) {
          items.emplace_back(noted(any_key()), value_of(any_size()));
        }
        store_.set_many(items);
        break;
      }
      case 3:
        store_.transaction([&](Transaction& tx) {
          for (std::size_t i = random_() % 10; i > 0; --i) {
            tx.set(noted(any_key()), value_of(any_size()));
          }
        });
        break;
      case 4:
        store_.update(noted(any_key()), 0, [&](json& value) { value = value_of(any_size()); });
        break;
      default:
        store_.set(noted(any_key()), value_of(any_size()));
    }
  }

  /// Of all that was stored, exactly the youngest is there.
  void expect_the_youngest() const {
    std::size_t youngest_evicted = 0;
    std::size_t oldest_kept = writes_ + 1;
    for (const auto& [key, write] : stored_) {
      if (store_.contains(key)) {
        oldest_kept = std::min(oldest_kept, write);
      } else {
        youngest_evicted = std::max(youngest_evicted, write);
      }
    }
    EXPECT_LT(youngest_evicted, oldest_kept);
  }

 private:
  std::string any_key() { return key_of(std::uniform_int_distribution<int>(1, keys_)(random_)); }

  std::size_t any_size() { return random_() % 8 == 0 ? random_() % 20'000 : random_() % 600; }

  std::string noted(std::string key) {
    stored_[key] = ++writes_;
    return key;
  }

  void forget(const std::string& key) {
    store_.erase(key);
    stored_.erase(key);
  }

  KVStore& store_;
  std::mt19937_64 random_;
  int keys_;
  std::map<std::string, std::size_t> stored_;
  std::size_t writes_ = 0;
};

TEST_P(MaxBytes, HoldsAfterEveryCommitAndKeepsExactlyTheYoungest) {
  // With the larger bound the pages are not counted at every commit.
  for (const std::uint64_t max_bytes : {bound, 8 * bound}) {
    SCOPED_TRACE(max_bytes);
    cache_dir_ = std::make_unique<TempDir>();
    KVStore store = bounded(max_bytes);
    RandomWrites writes(store, seed(), static_cast<int>(max_bytes / 500));
    const int steps = long_run() ? 100'000 : 1'000;
    for (int i = 0; i < steps; ++i) {
      writes.step();
      ASSERT_LE(store.stats().used_bytes, max_bytes) << "step " << i;
      if (i % 50 == 0) writes.expect_the_youngest();
      if (HasFailure()) FAIL() << "step " << i;
    }
    EXPECT_GT(store.stats().used_bytes, max_bytes / 2);
    EXPECT_TRUE(store.check().ok());
  }
}

class MaxBytesOfAFile : public ::testing::Test {
 protected:
  [[nodiscard]] KVStore open(std::uint64_t max_bytes) {
    return KVStore(
        file_,
        {.durability = Durability::normal, .max_bytes = max_bytes, .clock = clock_.source()});
  }

  static void fill(KVStore& store, const std::string& prefix, int count) {
    for (int i = 0; i < count; ++i) store.set(prefix + std::to_string(i), value_of(1024));
  }

  TempDir dir_;
  FakeClock clock_;
  std::string file_ = dir_.file("store.db");
};

TEST_F(MaxBytesOfAFile, ThatHoldsMoreTakeEffectWithTheNextWrite) {
  {
    KVStore unbounded = open(0);
    fill(unbounded, "a", 300);
    unbounded.set("a0", "again");
  }
  KVStore store = open(bound);
  EXPECT_EQ(store.count(), 300U);
  store.set("new", 1);
  EXPECT_LE(store.stats().used_bytes, bound);
  const std::size_t left = store.count();
  EXPECT_GT(left, 60U);
  EXPECT_EQ(store.get("a0"), json("again"));
  EXPECT_TRUE(store.contains("new")) << "though its revision is lower than those of the others";
  // Besides the youngest of the others there are "a0" and "new".
  EXPECT_TRUE(store.contains("a" + std::to_string(302 - left)));
  EXPECT_FALSE(store.contains("a" + std::to_string(301 - left)));
}

TEST_F(MaxBytesOfAFile, HoldBesideAStoreWithoutThem) {
  KVStore store = open(bound);
  KVStore unbounded = open(0);
  fill(store, "a", 60);
  fill(unbounded, "b", 60);
  store.set("a0", "again");
  fill(unbounded, "c", 40);
  EXPECT_GT(store.stats().used_bytes, bound);
  store.set("d", 1);
  EXPECT_LE(store.stats().used_bytes, bound);
  EXPECT_TRUE(store.contains("a0"));
  EXPECT_FALSE(store.contains("a1"));
  EXPECT_TRUE(store.contains("b59"));
  EXPECT_TRUE(store.contains("c39"));
}

TEST_F(MaxBytesOfAFile, HoldWhenTwoStoresGiveOutTheSameRevisions) {
  // Their clock stands still, so both count up from the same number.
  KVStore one = open(bound);
  KVStore other = open(bound);
  fill(one, "a", 20);
  fill(other, "b", 20);
  for (int round = 0; round < 20; ++round) {
    fill(one, "a", 20);
    fill(other, "b", 20);
    fill(round % 2 == 0 ? one : other, "c" + std::to_string(round) + "/", 12);
    ASSERT_LE(one.stats().used_bytes, bound);
  }
  EXPECT_TRUE(one.contains("a19"));
  EXPECT_TRUE(one.contains("b19"));
  EXPECT_FALSE(one.contains("c0/0"));
  EXPECT_TRUE(one.check().ok());
}

TEST_F(MaxBytesOfAFile, HoldWhenAStoreIsOpenedAgain) {
  for (int round = 0; round < 5; ++round) {
    KVStore store = open(bound);
    fill(store, std::to_string(round) + "/", 60);
    EXPECT_LE(store.stats().used_bytes, bound);
    EXPECT_TRUE(store.contains(std::to_string(round) + "/0"));
  }
}

TEST_F(MaxBytesOfAFile, GiveANewEntryAPlaceOfItsOwnAlsoAfterAnErasure) {
  {
    KVStore before = open(bound);
    fill(before, "a", 5);
  }
  // The clock stands still, so the entries that are there have the revisions that come next.
  KVStore store = open(bound);
  EXPECT_TRUE(store.erase("a0"));
  store.set("new", 1);
  EXPECT_EQ(store.count(), 5U);
}

TEST_F(MaxBytesOfAFile, EvictWhatOutsidersWroteInItsTurn) {
  clock_.set(Time(std::chrono::floor<Duration>(std::chrono::system_clock::now())));
  KVStore store = open(bound);
  fill(store, "a", 30);
  Outside outside(file_);
  const std::string text = "'\"" + std::string(1024, 'o') + "\"'";
  outside.run("INSERT INTO kv (key, value) VALUES ('outside', " + text + ")");
  outside.run("UPDATE kv SET value = " + text + " WHERE key = 'a0'");
  clock_.advance(std::chrono::hours(1));
  fill(store, "b", 70);
  EXPECT_TRUE(store.contains("outside"));
  EXPECT_TRUE(store.contains("a0"));
  EXPECT_FALSE(store.contains("a1"));
  fill(store, "c", 60);
  EXPECT_FALSE(store.contains("outside"));
  EXPECT_FALSE(store.contains("a0"));
}

TEST_F(MaxBytesOfAFile, AreNotUsedUpByARowThatAnOutsiderPutLast) {
  KVStore store = open(bound);
  store.set("a", 1);
  run_outside(file_, "INSERT INTO kv (rowid, key, value) VALUES (9223372036854775807, 'last', 1)");
  fill(store, "b", 200);
  EXPECT_LE(store.stats().used_bytes, bound);
  EXPECT_FALSE(store.contains("a"));
  EXPECT_TRUE(store.contains("b199"));
}

TEST_F(MaxBytesOfAFile, EvictADamagedRowAndTrustNothingOfIt) {
  KVStore store = open(bound);
  const Revision first = store.set("damaged", 1);
  run_outside(file_, "UPDATE kv SET checksum = 1, value = 2 WHERE key = 'damaged'");
  {
    Outside outside(file_);
    sqlite3_db_config(outside.handle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    outside.run("UPDATE kv SET checksum = 1, revision = 9223372036854775807 WHERE key = 'damaged'");
  }
  fill(store, "a", 200);
  EXPECT_FALSE(store.contains("damaged"));
  const Revision later = store.set("damaged", 1);
  EXPECT_GT(later, first);
  EXPECT_LT(later, first + 1'000'000);
}

TEST_F(MaxBytesOfAFile, DoNotKeepAnErasureFromMakingRoom) {
  KVStore unbounded = open(0);
  unbounded.set("large", value_of(2 * bound));
  KVStore store = open(bound);
  EXPECT_TRUE(store.erase("large"));
  EXPECT_LE(store.stats().used_bytes, bound);
}

TEST_F(MaxBytesOfAFile, HoldForManyProcessesTogether) {
  const std::string count = long_run() ? "20000" : "1500";
  std::vector<std::unique_ptr<Process>> processes;
  for (const char* prefix : {"a", "b", "c"}) {
    processes.push_back(
        std::make_unique<Process>(worker({"fill", file_, prefix, count, std::to_string(bound)})));
  }
  for (const auto& process : processes) EXPECT_EQ(process->line(), "done");
  for (const auto& process : processes) EXPECT_EQ(process->wait(), 0);
  const KVStore store(file_);
  EXPECT_LE(store.stats().used_bytes, bound);
  EXPECT_GT(store.count(), 50U);
  EXPECT_TRUE(store.check().ok());
}

TEST_F(MaxBytesOfAFile, AreOfNoConcernToAReadOnlyStore) {
  { KVStore(file_, {.durability = Durability::normal}).set("large", value_of(2 * bound)); }
  const KVStore store(file_, {.max_bytes = bound, .read_only = true});
  EXPECT_TRUE(store.contains("large"));
}

}  // namespace
}  // namespace kvstore::test
