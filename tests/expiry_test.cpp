#include "behaviour.hpp"

namespace kvstore::test {
namespace {

constexpr Time year_9999 =
    std::chrono::sys_days(std::chrono::year(9999) / std::chrono::December / 31) +
    std::chrono::days(1) - Duration(1);

class Expiry : public OnEveryEngine {
 protected:
  [[nodiscard]] bool visible(std::string_view key) const { return store_.contains(key); }
};
KVSTORE_TEST_ON_EVERY_ENGINE(Expiry);

TEST_P(Expiry, HidesAnEntryAtTheVeryMomentItElapses) {
  store_.set("k", 1, {.ttl = Duration(1000)});
  clock_.advance(Duration(999));
  EXPECT_TRUE(visible("k"));
  clock_.advance(Duration(1));
  EXPECT_FALSE(visible("k"));
}

TEST_P(Expiry, HidesAnEntryFromEveryRead) {
  store_.set("gone", {{"a", 1}}, {.ttl = Duration(1)});
  store_.set("kept", 2);
  clock_.advance(Duration(1));
  for (const Verb& verb : reading_verbs()) {
    EXPECT_EQ(verb.call(store_, "gone"), verb.call(store_, "never there")) << verb.name;
  }
  EXPECT_EQ(store_.keys(), std::vector<std::string>{"kept"});
  EXPECT_EQ(store_.keys({.descending = true}), std::vector<std::string>{"kept"});
  EXPECT_EQ(store_.count(), 1U);
  EXPECT_EQ(all_entries(store_).size(), 1U);
  EXPECT_EQ(all_entries(store_, {.descending = true}).size(), 1U);
}

TEST_P(Expiry, DoesNotCountAgainstALimit) {
  store_.set_many({{"b", 1}, {"d", 1}});
  store_.set_many({{"a", 1}, {"c", 1}}, {.ttl = Duration(1)});
  clock_.advance(Duration(1));
  EXPECT_EQ(store_.keys({.limit = 2}), (std::vector<std::string>{"b", "d"}));
  EXPECT_EQ(store_.count({.limit = 2}), 2U);
  EXPECT_EQ(all_entries(store_, {.limit = 2}).at(1).key, "d");
}

TEST_P(Expiry, OfATtlThatIsNotPositiveIsAlwaysPast) {
  for (const Duration ttl : {Duration(0), Duration(-1), Duration::min()}) {
    SCOPED_TRACE(ttl.count());
    EXPECT_GT(store_.set("k", 1, {.ttl = ttl}), 0);
    EXPECT_FALSE(visible("k"));
    EXPECT_TRUE(store_.insert("k", 2, {.ttl = ttl}));
    EXPECT_FALSE(visible("k"));
    store_.set("k", 1);
    EXPECT_TRUE(store_.touch("k", ttl));
    EXPECT_FALSE(visible("k"));
    store_.set("k", 1);
    EXPECT_EQ(store_.set_many({{"k", 2}}, {.ttl = ttl}), 1U);
    EXPECT_EQ(store_.count(), 0U);
  }
}

TEST_P(Expiry, OfAVastTtlSaturatesAtTheEndOfTheYear9999) {
  for (const Duration ttl : {Duration::max(), Duration(std::chrono::hours(24 * 365 * 9000))}) {
    store_.set("k", 1, {.ttl = ttl});
    EXPECT_EQ(store_.entry("k")->expires_at, year_9999);
    store_.set("k", 1);
    store_.touch("k", ttl);
    EXPECT_EQ(store_.entry("k")->expires_at, year_9999);
  }
}

TEST_P(Expiry, IsClearedByEveryWriteOfAWholeValueWithoutTtl) {
  const auto expires = [&] { return store_.entry("k")->expires_at.has_value(); };
  const auto start = [&] { return store_.set("k", 1, {.ttl = Duration(10)}); };
  start();
  store_.set("k", 2);
  EXPECT_FALSE(expires());
  start();
  store_.set_text("k", "2");
  EXPECT_FALSE(expires());
  EXPECT_TRUE(store_.replace("k", 2, start()));
  EXPECT_FALSE(expires());
  start();
  store_.set_many({{"k", 2}});
  EXPECT_FALSE(expires());
}

TEST_P(Expiry, IsKeptByPartialWrites) {
  store_.set("k", {{"a", 1}}, {.ttl = Duration(10)});
  const std::optional<Time> expires_at = store_.entry("k")->expires_at;
  clock_.advance(Duration(1));
  store_.set("k", json::json_pointer("/b"), 2);
  EXPECT_EQ(store_.entry("k")->expires_at, expires_at);
  store_.update("k", [](json& value) { value["c"] = 3; });
  EXPECT_EQ(store_.entry("k")->expires_at, expires_at);
  store_.update("k", json(), [](json& value) { value["d"] = 4; });
  EXPECT_EQ(store_.entry("k")->expires_at, expires_at);
  EXPECT_EQ(store_.get("k"), json({{"a", 1}, {"b", 2}, {"c", 3}, {"d", 4}}));
}

TEST_P(Expiry, OfAnEarlierEntryIsNotInheritedByAPartialWrite) {
  store_.set("k", {{"a", 1}}, {.ttl = Duration(10)});
  clock_.advance(Duration(10));
  store_.set("k", json::json_pointer("/b"), 2);
  EXPECT_EQ(store_.get("k"), json({{"b", 2}}));
  EXPECT_EQ(store_.entry("k")->expires_at, std::nullopt);
}

TEST_P(Expiry, CountsFromTheMomentOfTheWriteNotOfTheOpening) {
  clock_.advance(std::chrono::hours(1));
  store_.set("k", 1, {.ttl = Duration(10)});
  EXPECT_EQ(store_.entry("k")->expires_at, clock_.now() + Duration(10));
}

TEST_P(Expiry, CanBePutOffByTouch) {
  store_.set("k", 1, {.ttl = Duration(10)});
  clock_.advance(Duration(9));
  EXPECT_TRUE(store_.touch("k", Duration(10)));
  clock_.advance(Duration(9));
  EXPECT_TRUE(visible("k"));
  clock_.advance(Duration(1));
  EXPECT_FALSE(visible("k"));
  EXPECT_FALSE(store_.touch("k", Duration(10)));
  EXPECT_FALSE(visible("k"));
}

TEST_P(Expiry, OfAnEntryCanBeTakenBackByTouch) {
  store_.set("k", 1, {.ttl = Duration(10)});
  EXPECT_TRUE(store_.touch("k", std::nullopt));
  clock_.advance(std::chrono::hours(1'000'000));
  EXPECT_TRUE(visible("k"));
}

TEST_P(Expiry, IsFinalAlsoWhenTheClockStepsBack) {
  store_.set("k", 1, {.ttl = Duration(1000)});
  clock_.advance(Duration(1000));
  EXPECT_FALSE(visible("k"));
  clock_.advance(Duration(-900));
  EXPECT_FALSE(visible("k"));
  EXPECT_EQ(store_.count(), 0U);
  EXPECT_TRUE(all_entries(store_).empty());
  EXPECT_FALSE(store_.touch("k", Duration(1000)));
}

TEST_P(Expiry, DoesNotWaitForAClockThatSteppedBack) {
  EXPECT_EQ(store_.count(), 0U);  // shows the present moment to the store
  const Time seen = clock_.now();
  clock_.advance(std::chrono::hours(-24));
  store_.set("k", 1, {.ttl = Duration(10)});
  EXPECT_EQ(store_.entry("k")->expires_at, seen + Duration(10));
}

TEST_P(Expiry, AndRevisionsGrowWhenTheClockStepsBack) {
  const Revision before = store_.set("k", 1);
  store_.set("erased", 1);
  const Revision erased = store_.entry("erased")->revision;
  store_.erase("erased");
  clock_.advance(std::chrono::hours(-24));
  EXPECT_GT(store_.set("k", 2), before);
  EXPECT_GT(store_.set("erased", 2), erased);
}

class Purge : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(Purge);

TEST_P(Purge, RemovesWhatHasExpiredAndCountsIt) {
  store_.set_many({{"a", 1}, {"b", 1}}, {.ttl = Duration(5)});
  store_.set("c", 1, {.ttl = Duration(6)});
  store_.set("d", 1);
  EXPECT_EQ(store_.purge_expired(), 0U);
  clock_.advance(Duration(5));
  EXPECT_EQ(store_.check().entries, 4U);
  EXPECT_EQ(store_.purge_expired(), 2U);
  EXPECT_EQ(store_.purge_expired(), 0U);
  EXPECT_EQ(store_.check().entries, 2U);
  EXPECT_EQ(store_.keys(), (std::vector<std::string>{"c", "d"}));
}

TEST_P(Purge, SparesAnEntryThatWasWrittenAgainInBetween) {
  store_.set("set", 1, {.ttl = Duration(5)});
  store_.set("prolonged", 1, {.ttl = Duration(5)});
  store_.set("kept", 1, {.ttl = Duration(5)});
  store_.touch("kept", std::nullopt);
  store_.touch("prolonged", Duration(6));
  clock_.advance(Duration(5));
  store_.set("set", 2);
  EXPECT_EQ(store_.purge_expired(), 0U);
  EXPECT_EQ(store_.keys(), (std::vector<std::string>{"kept", "prolonged", "set"}));
}

TEST_P(Purge, RemovesMoreThanOneBatch) {
  for (const std::size_t count : {999U, 1000U, 1001U, 2500U}) {
    std::vector<std::pair<std::string, int>> items;
    for (std::size_t i = 0; i < count; ++i) items.emplace_back("k" + std::to_string(i), 1);
    store_.set_many(items, {.ttl = Duration(1)});
    const std::size_t there = store_.check().entries;
    clock_.advance(Duration(1));
    EXPECT_EQ(store_.purge_expired(), there);
    EXPECT_EQ(store_.check().entries, 0U);
  }
}

TEST_P(Purge, HappensAlongTheWayOfWritesThatExpire) {
  std::vector<std::pair<std::string, int>> items;
  for (int i = 0; i < 200; ++i) items.emplace_back("old" + std::to_string(i), 1);
  store_.set_many(items);
  for (const auto& [key, value] : items) store_.touch(key, Duration(1));
  clock_.advance(Duration(1));
  ASSERT_EQ(store_.check().entries, 200U);
  for (int i = 0; i < 200; ++i) {
    store_.set("new" + std::to_string(i), 1, {.ttl = Duration(1000)});
  }
  EXPECT_EQ(store_.check().entries, 200U);
  EXPECT_EQ(store_.count(), 200U);
}

TEST_P(Purge, DoesNotHappenAlongTheWayOfWritesThatDoNotExpire) {
  store_.set("old", 1, {.ttl = Duration(1)});
  clock_.advance(Duration(1));
  for (int i = 0; i < 200; ++i) store_.set("new" + std::to_string(i), 1);
  EXPECT_EQ(store_.check().entries, 201U);
}

TEST(ExpiryInAFile, ASettingBackOfTheClockBetweenTwoOpeningsDoesNotRepeatARevision) {
  const TempDir dir;
  FakeClock clock;
  Options options;
  options.clock = clock.source();
  Revision kept = 0;
  Revision erased = 0;
  {
    KVStore store(dir.file("store.db"), options);
    kept = store.set("kept", 1);
    erased = store.set("erased", 1);
    store.erase("erased");
  }
  clock.advance(std::chrono::hours(-24));
  KVStore store(dir.file("store.db"), options);
  EXPECT_GT(store.set("kept", 2), kept);
  EXPECT_GT(store.insert("erased", 2), erased);
  EXPECT_EQ(store.get("kept"), json(2));
}

TEST(ExpiryInAFile, ASettingBackOfTheClockDoesNotLoseAValueOfManyWrites) {
  const TempDir dir;
  FakeClock clock;
  Options options;
  options.clock = clock.source();
  Revision before = 0;
  {
    KVStore store(dir.file("store.db"), options);
    store.set_many({{"a", 1}, {"b", 1}});
    before = store.entry("b")->revision;
  }
  clock.advance(std::chrono::hours(-24));
  KVStore store(dir.file("store.db"), options);
  EXPECT_EQ(store.set_many({{"a", 2}, {"b", 2}, {"a", 3}}), 3U);
  EXPECT_EQ(store.get("a"), json(3));
  EXPECT_EQ(store.get("b"), json(2));
  EXPECT_GT(store.entry("b")->revision, before);
}

TEST(ExpiryInAFile, OutlivesClosing) {
  const TempDir dir;
  FakeClock clock;
  Options options;
  options.clock = clock.source();
  KVStore(dir.file("store.db"), options).set("k", 1, {.ttl = Duration(10)});
  EXPECT_TRUE(KVStore(dir.file("store.db"), options).contains("k"));
  clock.advance(Duration(10));
  EXPECT_FALSE(KVStore(dir.file("store.db"), options).contains("k"));
}

TEST(ExpiryBySystemClock, HidesWhatIsPastAndShowsWhatIsNot) {
  KVStore store(":memory:");
  store.set("past", 1, {.ttl = Duration(-1)});
  store.set("later", 1, {.ttl = std::chrono::hours(24)});
  EXPECT_EQ(store.keys(), std::vector<std::string>{"later"});
}

}  // namespace
}  // namespace kvstore::test
