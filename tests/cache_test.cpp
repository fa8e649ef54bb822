#include <atomic>
#include <functional>
#include <latch>
#include <map>
#include <thread>
#include <utility>

#include <kvstore/engine/sqlite_wal.hpp>

#include "behaviour.hpp"
#include "outside.hpp"

namespace kvstore::test {
namespace {

/// What the memory of a store keeps between two reads. Of a document that was kept every reader
/// gets the same.
class Cache : public OnEveryEngine {};
INSTANTIATE_TEST_SUITE_P(Engine, Cache, ::testing::ValuesIn(engines()), engine_name);

TEST_P(Cache, HandsOutTheSameDocumentAgain) {
  store_.set("k", {1, 2});
  const auto first = store_.get_shared("k");
  EXPECT_EQ(store_.get_shared("k"), first);
}

TEST_P(Cache, ReadsAChangedDocumentAgain) {
  store_.set("k", 1);
  const auto first = store_.get_shared("k");
  store_.set("k", 2);
  EXPECT_EQ(*store_.get_shared("k"), 2);
  EXPECT_EQ(*first, 1);
}

TEST_P(Cache, ReadsAgainAfterEveryVerbThatWrites) {
  for (const auto& [name, write] : std::map<std::string, std::function<void()>>{
           {"set_text", [&] { store_.set_text("k", "2"); }},
           {"set at a place", [&] { store_.set("k", ""_json_pointer, 2); }},
           {"update", [&] { store_.update("k", [](json& value) { value = 2; }); }},
           {"increment", [&] { store_.increment("k"); }},
           {"set_many",
            [&] {
              store_.set_many({{"k", 2}});
            }},
           {"erase", [&] { store_.erase("k"); }},
           {"erase_range", [&] { store_.erase_range({.prefix = "k"}); }},
           {"transaction", [&] { store_.transaction([](Transaction& tx) { tx.set("k", 2); }); }}}) {
    store_.set("k", 1);
    ASSERT_EQ(store_.get("k"), 1);
    write();
    EXPECT_EQ(store_.get("k").value_or(2), 2) << name;
  }
}

TEST_P(Cache, KeepsTheOtherDocumentsWhenOneChanges) {
  store_.set("k", 1);
  store_.set("other", 2);
  const auto other = store_.get_shared("other");
  store_.set("k", 3);
  EXPECT_EQ(store_.get_shared("other"), other);
}

TEST_P(Cache, KeepsDocumentsOverACommitThatChangedNothing) {
  store_.set("k", 1);
  const auto kept = store_.get_shared("k");
  store_.erase("absent");
  store_.transaction([](Transaction&) {});
  EXPECT_EQ(store_.get_shared("k"), kept);
}

TEST_P(Cache, ForgetsWhatARangeErased) {
  store_.set("a/1", 1);
  store_.set("b/1", 1);
  ASSERT_TRUE(store_.get("a/1") && store_.get("b/1"));
  store_.erase_range({.prefix = "a/"});
  EXPECT_FALSE(store_.get("a/1"));
  EXPECT_TRUE(store_.get("b/1"));
}

TEST_P(Cache, HandsOutNothingThatHasExpired) {
  store_.set("k", 1, {.ttl = Duration(1000)});
  ASSERT_TRUE(store_.get("k"));
  clock_.advance(Duration(999));
  EXPECT_TRUE(store_.get("k"));
  clock_.advance(Duration(1));
  EXPECT_FALSE(store_.get("k"));
}

TEST_P(Cache, FollowsATouch) {
  store_.set("k", 1, {.ttl = Duration(1000)});
  ASSERT_TRUE(store_.get("k"));
  store_.touch("k", std::nullopt);
  clock_.advance(Duration(2000));
  EXPECT_TRUE(store_.get("k"));
}

/// Every verb that stores one value; what was read before is kept as it is then.
TEST_P(Cache, KeepsWhatACallStoredInPlaceOfWhatWasRead) {
  for (const auto& [name, write] : std::map<std::string, std::function<void()>>{
           {"set", [&] { store_.set("k", 2); }},
           {"set_text", [&] { store_.set_text("k", " 2 "); }},
           {"update", [&] { store_.update("k", [](json& value) { value = 2; }); }},
           {"increment", [&] { store_.increment("k"); }},
           {"set_many", [&] {
              store_.set_many({{"k", 2}});
            }}}) {
    store_.set("k", 1);
    ASSERT_EQ(store_.get("k"), 1);
    write();
    const auto kept = store_.get_shared("k");
    EXPECT_EQ(*kept, 2) << name;
    EXPECT_TRUE(kept->is_number_unsigned()) << name << ": not as it is read from the file";
    EXPECT_EQ(store_.get_shared("k"), kept) << name;
  }
}

/// Large enough to be kept packed as long as it is only copied.
json large_document(int number) {
  json people = json::array();
  for (int i = 0; i < 50; ++i) people.push_back({{"id", number + i}, {"name", "a name"}});
  return people;
}

TEST_P(Cache, KeepsWhatWasStoredOnlyWhereItIsRead) {
  for (const auto& [name, write] : std::map<std::string, std::function<void()>>{
           {"a value", [&] { store_.set("k", 2); }},
           {"a large value", [&] { store_.set("k", large_document(2)); }},
           {"a text", [&] { store_.set_text("k", "2"); }}}) {
    store_.set("k", 1);
    EXPECT_EQ(store_.stats().cache_bytes, 0U) << name;
    for (int times = 0; times < 2; ++times) {
      ASSERT_TRUE(store_.get("k"));
      write();
      EXPECT_GT(store_.stats().cache_bytes, 0U) << name;
    }
    write();
    EXPECT_EQ(store_.stats().cache_bytes, 0U) << name;
  }
}

TEST_P(Cache, KeepsAStoredValueAsItWillBeReadUnlessItIsLargeAndCannotBePacked) {
  const json one_large_string{{"text", std::string(3'900, 'x')}, {"list", json::array_t(20)}};
  for (const json& value : {json{{"a", 2}}, large_document(2), one_large_string}) {
    store_.set("k", 1);
    ASSERT_EQ(store_.get("k"), 1);
    store_.set("k", value);
    const std::size_t stored = store_.stats().cache_bytes;
    EXPECT_EQ(store_.get("k"), value);
    EXPECT_EQ(store_.stats().cache_bytes == stored, value != one_large_string);
  }
}

TEST_P(Cache, KeepsAStoredValueThatIsLargerThanTheOneBeforeAlsoWhenItIsFull) {
  const TempDir dir;
  Options small = options();
  small.cache_bytes = 256U << 10U;
  KVStore store = open_in(dir, small);
  for (int i = 0; i < 1'000; ++i) {
    const std::string key = std::to_string(i);
    store.set(key, std::string(500, 'x'));
    for (int reads = 0; reads < 3; ++reads) ASSERT_TRUE(store.get(key));
  }
  for (int i = 900; i < 1'000; ++i) {
    const std::string key = std::to_string(i);
    ASSERT_TRUE(store.get(key));
    store.set(key, std::string(900, 'x'));
    const std::size_t bytes = store.stats().cache_bytes;
    EXPECT_LE(bytes, small.cache_bytes);
    ASSERT_TRUE(store.get(key));
    EXPECT_EQ(store.stats().cache_bytes, bytes) << i << " was not kept";
  }
}

TEST_P(Cache, KeepsAStoredValueAsItIsReadFromTheFile) {
  for (json value : {json{{"list", {1, -1, 1.0, -0.0, nullptr}}}, large_document(2)}) {
    store_.set("k", 1);
    ASSERT_EQ(store_.get("k"), 1);
    store_.set("k", value);
    const json read = json::parse(store_.get_text("k").value()).flatten();
    value.clear();
    const json kept = store_.get("k")->flatten();
    EXPECT_EQ(kept, read);
    for (const auto& [place, leaf] : kept.items()) EXPECT_EQ(leaf.type(), read[place].type());
  }
}

TEST_P(Cache, KeepsADocumentThatIsStoredAgainFromWhatIsKept) {
  store_.set("k", {{"a", 1}});
  ASSERT_TRUE(store_.get("k"));
  store_.set("k", *store_.get_shared("k"));
  EXPECT_EQ(store_.get("k"), json({{"a", 1}}));
}

TEST_P(Cache, DoesNotParseAllOfALongTextForOnePlaceOfIt) {
  json large{{"n", 0}, {"text", std::string(5000, 'x')}};
  store_.set("k", large);
  ASSERT_TRUE(store_.get("k"));
  store_.increment("k", "/n"_json_pointer);
  EXPECT_EQ(store_.get("k", "/n"_json_pointer), 1);
  EXPECT_EQ(store_.stats().cache_bytes, 0U);
}

TEST_P(Cache, KeepsTheNewExpiryOfWhatWasStored) {
  store_.set("k", 1);
  ASSERT_EQ(store_.get("k"), 1);
  store_.set("k", 2, {.ttl = Duration(1000)});
  ASSERT_EQ(store_.get("k"), 2);
  clock_.advance(Duration(1000));
  EXPECT_FALSE(store_.get("k"));
}

TEST_P(Cache, KeepsNothingOfACallThatWasTakenBack) {
  store_.set("k", 1);
  ASSERT_EQ(store_.get("k"), 1);
  Transaction tx = store_.begin();
  {
    Transaction inner = tx.begin();
    inner.set("k", 2);
    inner.rollback();
  }
  tx.commit();
  EXPECT_EQ(store_.get("k"), 1);
}

TEST_P(Cache, IsNotWrittenByWhatIsNotCommitted) {
  store_.set("k", 1);
  ASSERT_EQ(store_.get("k"), 1);
  Transaction tx = store_.begin();
  tx.set("k", 2);
  EXPECT_EQ(tx.get("k"), 2);
  json seen;
  std::thread([&] { seen = store_.get("k").value_or("absent"); }).join();
  EXPECT_EQ(seen, 1);
  tx.rollback();
  EXPECT_EQ(store_.get("k"), 1);
}

TEST_P(Cache, IsNotReadInsideATransaction) {
  store_.set("k", 1);
  ASSERT_EQ(store_.get("k"), 1);
  store_.transaction([](Transaction& tx) {
    tx.erase("k");
    EXPECT_FALSE(tx.get("k"));
    EXPECT_EQ(tx.get_shared("k"), nullptr);
  });
}

TEST_P(Cache, IsNotReadByASnapshot) {
  store_.set("k", 1);
  const Snapshot snapshot = store_.snapshot();
  store_.set("k", 2);
  ASSERT_EQ(store_.get("k"), 2);
  EXPECT_EQ(snapshot.get("k"), 1);
}

TEST_P(Cache, ServesAPlaceInsideADocument) {
  store_.set("k", {{"a", {1, 2}}});
  ASSERT_TRUE(store_.get("k"));
  EXPECT_EQ(store_.get("k", "/a/1"_json_pointer), 2);
  EXPECT_FALSE(store_.get("k", "/b"_json_pointer));
}

TEST_P(Cache, CopiesSoThatACallerCannotChangeWhatIsKept) {
  store_.set("k", {{"a", 1}});
  json first = store_.get("k").value();
  first["a"] = 2;
  EXPECT_EQ(store_.get("k", "/a"_json_pointer), 1);
}

TEST_P(Cache, CopiesALargeDocumentSoThatACallerCannotChangeWhatIsKept) {
  store_.set("k", large_document(1));
  for (int reads = 0; reads < 3; ++reads) {
    json copy = store_.get("k").value();
    EXPECT_EQ(copy, large_document(1)) << reads;
    copy.clear();
  }
}

TEST_P(Cache, TakesLessForALargeDocumentAsLongAsItIsOnlyCopied) {
  store_.set("k", large_document(1));
  ASSERT_TRUE(store_.get("k") && store_.get("k"));
  const std::size_t copied = store_.stats().cache_bytes;
  EXPECT_GT(copied, 0U);
  ASSERT_TRUE(store_.get_shared("k"));
  EXPECT_GT(store_.stats().cache_bytes, 4 * copied);
}

TEST_P(Cache, SharesALargeDocumentThatWasCopiedBefore) {
  store_.set("k", large_document(1));
  ASSERT_TRUE(store_.get("k"));
  const auto shared = store_.get_shared("k");
  EXPECT_EQ(*shared, large_document(1));
  EXPECT_EQ(store_.get("k"), large_document(1));
  EXPECT_EQ(store_.get_shared("k"), shared);
}

TEST_P(Cache, ServesAPlaceInsideALargeDocumentThatWasCopiedBefore) {
  store_.set("k", large_document(1));
  ASSERT_TRUE(store_.get("k"));
  EXPECT_EQ(store_.get("k", "/7/id"_json_pointer), 8);
  EXPECT_FALSE(store_.get("k", "/50"_json_pointer));
}

TEST_P(Cache, FollowsTheWritesToALargeDocumentThatWasCopied) {
  for (int number = 0; number < 5; ++number) {
    store_.set("k", large_document(number), {.ttl = Duration(1000)});
    EXPECT_EQ(store_.get("k"), large_document(number));
    EXPECT_EQ(store_.get("k"), large_document(number));
  }
  clock_.advance(Duration(1000));
  EXPECT_FALSE(store_.get("k"));
}

TEST_P(Cache, MakesRoomForAPackedDocumentThatIsShared) {
  const TempDir dir;
  Options small = options();
  small.cache_bytes = 1U << 20U;  // 64 KiB for each part of the keys: a few shared documents
  KVStore store = open_in(dir, small);
  constexpr int documents = 1'000;
  for (int i = 0; i < documents; ++i) store.set(std::to_string(i), large_document(i));
  for (int i = 0; i < documents; ++i) ASSERT_TRUE(store.get(std::to_string(i)));
  EXPECT_GT(store.stats().cache_bytes, small.cache_bytes / 2);
  for (int i = 0; i < documents; ++i) {
    const auto shared = store.get_shared(std::to_string(i));
    ASSERT_EQ(*shared, large_document(i));
    ASSERT_LE(store.stats().cache_bytes, small.cache_bytes);
  }
  EXPECT_GT(store.stats().cache_bytes, small.cache_bytes / 2);
}

TEST_P(Cache, KeepsADocumentThatIsSharedInsteadOfThePackedOne) {
  const TempDir dir;
  Options small = options();
  small.cache_bytes = 1U << 20U;
  KVStore store = open_in(dir, small);
  for (int i = 0; i < 100; ++i) {
    const std::string key = std::to_string(i);
    store.set(key, large_document(i));
    ASSERT_TRUE(store.get(key));
    const auto shared = store.get_shared(key);
    EXPECT_EQ(store.get_shared(key), shared) << i;
  }
}

TEST_P(Cache, KeepsADocumentPackedThatWouldNotFitToBeShared) {
  const TempDir dir;
  Options small = options();
  small.cache_bytes = 128U << 10U;  // 8 KiB for each part of the keys
  KVStore store = open_in(dir, small);
  store.set("k", large_document(1));
  ASSERT_TRUE(store.get("k"));
  const std::size_t packed = store.stats().cache_bytes;
  EXPECT_GT(packed, 0U);
  EXPECT_EQ(store.get("k", "/7/id"_json_pointer), 8);
  EXPECT_EQ(*store.get_shared("k"), large_document(1));
  EXPECT_EQ(store.stats().cache_bytes, packed);
}

TEST_P(Cache, PacksNoDocumentThatWouldNotBecomeMuchSmaller) {
  json dictionary = json::object();
  for (int i = 0; i < 200; ++i) dictionary["the name number " + std::to_string(i)] = i;
  store_.set("k", dictionary);
  ASSERT_TRUE(store_.get("k"));
  const std::size_t copied = store_.stats().cache_bytes;
  ASSERT_TRUE(store_.get_shared("k"));
  EXPECT_EQ(store_.stats().cache_bytes, copied);
}

TEST_P(Cache, StaysReadableAfterTheStoreIsClosed) {
  store_.set("k", "value");
  const auto kept = store_.get_shared("k");
  store_.close();
  EXPECT_EQ(*kept, "value");
  EXPECT_KV_ERROR(store_.get("k"), ErrorCode::misuse, "closed");
}

TEST_P(Cache, StaysWithinItsBytes) {
  const TempDir dir;
  Options small = options();
  small.cache_bytes = 64U << 10U;
  KVStore store = open_in(dir, small);
  for (int i = 0; i < 1'000; ++i) {
    const std::string key = std::to_string(i);
    store.set(key, std::string(500, 'x'));
    for (int reads = 0; reads < 3; ++reads) ASSERT_TRUE(store.get(key));
  }
  EXPECT_GT(store.stats().cache_bytes, small.cache_bytes / 2);
  EXPECT_LE(store.stats().cache_bytes, small.cache_bytes);
}

TEST_P(Cache, LeavesOutADocumentThatIsTooLarge) {
  const TempDir dir;
  Options small = options();
  small.cache_bytes = 64U << 10U;
  KVStore store = open_in(dir, small);
  store.set("large", std::string(100'000, 'x'));
  ASSERT_TRUE(store.get("large"));
  EXPECT_EQ(store.stats().cache_bytes, 0U);
}

TEST_P(Cache, IsPushedOutByNothingThatIsReadOnce) {
  const TempDir dir;
  Options small = options();
  small.cache_bytes = 256U << 10U;
  KVStore store = open_in(dir, small);
  const std::string document(500, 'x');
  for (int i = 0; i < 5'000; ++i) store.set("once/" + std::to_string(i), document);
  store.set("often", document);
  for (int i = 0; i < 1'000; ++i) ASSERT_TRUE(store.get("once/" + std::to_string(i)));  // fill it
  for (int reads = 0; reads < 3; ++reads) ASSERT_TRUE(store.get("often"));
  const auto often = store.get_shared("often");
  for (int i = 1'000; i < 5'000; ++i) ASSERT_TRUE(store.get("once/" + std::to_string(i)));
  EXPECT_EQ(store.get_shared("often"), often);
}

TEST_P(Cache, IsPushedOutByNothingThatIsReadAgainOnlyMuchLater) {
  const TempDir dir;
  Options small = options();
  small.cache_bytes = 256U << 10U;
  KVStore store = open_in(dir, small);
  const std::string document(500, 'x');
  for (int i = 0; i < 4'000; ++i) store.set("seldom/" + std::to_string(i), document);
  store.set("often", document);
  const auto read_all = [&] {
    for (int i = 0; i < 4'000; ++i) ASSERT_TRUE(store.get("seldom/" + std::to_string(i)));
  };
  read_all();
  for (int reads = 0; reads < 3; ++reads) ASSERT_TRUE(store.get("often"));
  const auto often = store.get_shared("often");
  read_all();
  EXPECT_EQ(store.get_shared("often"), often);
}

TEST_P(Cache, IsPushedOutByNothingLargeThatIsReadOnce) {
  const TempDir dir;
  Options small = options();
  small.cache_bytes = 1U << 20U;  // 64 KiB for each part of the keys: one of the two has room
  KVStore store = open_in(dir, small);
  for (int i = 0; i < 200; ++i) store.set("once/" + std::to_string(i), std::string(30'000, 'x'));
  store.set("often", std::string(40'000, 'x'));
  const auto often = store.get_shared("often");
  ASSERT_TRUE(store.get_shared("often") == often);
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(store.get("once/" + std::to_string(i)));
  EXPECT_TRUE(store.get_shared("often") == often);
}

TEST_P(Cache, CanBeTurnedOff) {
  const TempDir dir;
  Options none = options();
  none.cache_bytes = 0;
  KVStore store = open_in(dir, none);
  store.set("k", "a string that is longer than what fits into a std::string");
  const auto first = store.get_shared("k");
  EXPECT_NE(store.get_shared("k"), first);
  EXPECT_EQ(store.stats().cache_bytes, 0U);
}

TEST_P(Cache, GivesEveryThreadTheNewestValue) {
  constexpr int readers = 4;
  store_.set("k", 0);
  std::atomic<int> acknowledged{0};
  std::atomic<bool> over{false};
  std::atomic<int> stale{0};
  std::latch start(readers + 1);
  std::vector<std::thread> threads;
  for (int i = 0; i < readers; ++i) {
    threads.emplace_back([&] {
      start.arrive_and_wait();
      while (!over) {
        const int at_least = acknowledged.load();
        if (store_.get("k")->get<int>() < at_least) ++stale;
      }
    });
  }
  start.arrive_and_wait();
  for (int i = 1; i <= 2'000; ++i) {
    store_.set("k", i);
    acknowledged.store(i);
  }
  over = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(stale, 0);
}

TEST(CacheOfAFile, SeesWhatAnotherStoreWrites) {
  const TempDir dir;
  KVStore store(dir.file("store.db"));
  KVStore other(dir.file("store.db"));
  for (int i = 0; i < 100; ++i) {
    other.set("k", i);
    EXPECT_EQ(store.get("k"), i);
    store.set("mine", i);
    EXPECT_EQ(other.get("mine"), i);
  }
}

TEST(CacheOfAFile, MakesRoomAtOnceForWhatIsReadAfterAnotherStoreWrote) {
  const TempDir dir;
  KVStore store(dir.file("store.db"), {.cache_bytes = 256U << 10U});
  KVStore other(dir.file("store.db"));
  for (int i = 0; i < 3'000; ++i) store.set("old/" + std::to_string(i), std::string(500, 'x'));
  for (int i = 0; i < 3'000; ++i) ASSERT_TRUE(store.get("old/" + std::to_string(i)));  // fill it
  for (int i = 0; i < 50; ++i) other.set("new/" + std::to_string(i), std::string(500, 'x'));
  for (int i = 0; i < 50; ++i) {
    const auto first = store.get_shared("new/" + std::to_string(i));
    EXPECT_EQ(store.get_shared("new/" + std::to_string(i)), first) << i;
  }
}

TEST(CacheOfAFile, LosesNothingToACommitOfItsOwnAfterTheLogStartedAnew) {
  const TempDir dir;
  KVStore store(dir.file("store.db"), {.durability = Durability::normal});
  store.set("kept", 1);
  const auto kept = store.get_shared("kept");
  Outside outside(dir.file("store.db"));
  ASSERT_EQ(outside.one("SELECT count(*) FROM kv"), "1");
  const engine::WalIndex log(outside.handle());
  std::uint32_t frames = log.frames();
  bool anew = false;
  for (int i = 0; i < 300'000 && !anew; ++i) {
    store.set("k", i);
    anew = log.frames() < std::exchange(frames, log.frames());
  }
  ASSERT_TRUE(anew);
  EXPECT_EQ(store.get_shared("kept"), kept);
}

}  // namespace
}  // namespace kvstore::test
