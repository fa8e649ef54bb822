#include "behaviour.hpp"

namespace kvstore::test {
namespace {

class Behaviour : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(Behaviour);

/// What a store shows, without revisions and times, which no two stores share.
json picture(const KVStore& store) {
  json picture = json::object();
  for (const Entry& entry : store.scan()) {
    picture[entry.key] = {{"value", entry.value}, {"expires", entry.expires_at.has_value()}};
  }
  return picture;
}

TEST_P(Behaviour, AnExpiredEntryIsNotThereForAnyVerb) {
  for (const Verb& verb : verbs_of_one_key()) {
    SCOPED_TRACE(verb.name);
    const TempDir dir_of_absent;
    const TempDir dir_of_expired;
    KVStore absent = open_in(dir_of_absent, options());
    KVStore expired = open_in(dir_of_expired, options());
    expired.set("k", {{"a", 1}}, {.ttl = Duration(10)});
    clock_.advance(Duration(10));
    EXPECT_EQ(verb.call(expired, "k"), verb.call(absent, "k"));
    EXPECT_EQ(picture(expired), picture(absent));
  }
}

TEST_P(Behaviour, AVerbLeavesOtherKeysAsTheyAre) {
  const std::vector<std::string> others = {"", "K", "j", "k ", "k/a", "kk", "l"};
  for (const Verb& verb : verbs_of_one_key()) {
    SCOPED_TRACE(verb.name);
    const TempDir dir;
    KVStore store = open_in(dir, options());
    for (const std::string& other : others) store.set(other, other, {.ttl = Duration(1000)});
    store.set("k", {{"a", 1}});
    std::vector<Revision> revisions;
    for (const std::string& other : others) revisions.push_back(store.entry(other)->revision);
    verb.call(store, "k");
    for (std::size_t i = 0; i < others.size(); ++i) {
      const std::optional<Entry> entry = store.entry(others[i]);
      ASSERT_TRUE(entry) << others[i];
      EXPECT_EQ(entry->value, others[i]);
      EXPECT_EQ(entry->revision, revisions[i]);
      EXPECT_EQ(entry->expires_at, clock_.now() + Duration(1000));
    }
  }
}

TEST_P(Behaviour, ARefusedKeyIsRefusedByEveryVerbAndChangesNothing) {
  const std::vector<std::pair<std::string, std::string>> refused = {
      {std::string("a\0b", 3), "NUL"},  {std::string("\0", 1), "NUL"}, {"\xFF", "UTF-8"},
      {"a\xC0\xAF", "UTF-8"},         // overlong
      {"\xED\xA0\x80", "UTF-8"},      // a surrogate
      {"\xF4\x90\x80\x80", "UTF-8"},  // past U+10FFFF
      {"12345678\xC3", "UTF-8"},      // cut short behind eight plain bytes
      {std::string(1025, 'k'), "1024"},
  };
  store_.set("witness", 1);
  for (const auto& [key, part] : refused) {
    for (const Verb& verb : verbs_of_one_key()) {
      SCOPED_TRACE(verb.name);
      EXPECT_KV_ERROR(verb.call(store_, key), ErrorCode::invalid_key, part);
    }
  }
  EXPECT_EQ(store_.keys(), std::vector<std::string>{"witness"});
}

TEST_P(Behaviour, EveryKeyOfUtf8WithoutNulIsAKeyOfItsOwn) {
  std::vector<std::string> keys = {"",
                                   " ",
                                   "'",
                                   "\"",
                                   "%",
                                   "_",
                                   "*",
                                   "?",
                                   "\\",
                                   "\n",
                                   "\x01",
                                   "\x7F",
                                   "0",
                                   "00",
                                   "1",
                                   "1.0",
                                   "-1",
                                   "NULL",
                                   "a",
                                   "A",
                                   "a ",
                                   "a/b",
                                   "a//b",
                                   "/a",
                                   "\xC3\xA9",
                                   "e\xCC\x81",
                                   "\xC3\x89",
                                   "\xEF\xBB\xBF",
                                   "\xEF\xBF\xBF",
                                   "\xF0\x9F\x98\x80",
                                   "\xF4\x8F\xBF\xBF",
                                   "'; DROP TABLE kv; --",
                                   std::string(1024, 'k')};
  for (std::size_t i = 0; i < keys.size(); ++i) store_.set(keys[i], i);
  for (std::size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(store_.get(keys[i]), json(i)) << keys[i];
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(store_.keys(), keys);
}

TEST_P(Behaviour, TheLimitOfAKeyCountsItsBytes) {
  Options small = options();
  small.max_key_bytes = 4;
  const TempDir dir;
  KVStore store = open_in(dir, small);
  store.set("\xC3\xA9\xC3\xA9", 1);
  EXPECT_EQ(store.get("\xC3\xA9\xC3\xA9"), json(1));
  EXPECT_KV_ERROR(store.set("\xC3\xA9\xC3\xA9x", 1), ErrorCode::invalid_key, "5 bytes");
}

TEST_P(Behaviour, EveryWriteOfAKeyHasALaterRevisionAlsoWithinOneTick) {
  Revision last = store_.set("k", 1);
  const auto expect_later = [&](Revision revision) {
    EXPECT_GT(revision, last);
    last = revision;
    EXPECT_EQ(store_.entry("k")->revision, revision);
  };
  expect_later(store_.set("k", 1));
  expect_later(store_.set_text("k", "{}"));
  expect_later(store_.set("k", json::json_pointer("/a"), 1));
  expect_later(store_.replace("k", 2, last).value());
  store_.update("k", [](json&) {});
  expect_later(store_.entry("k")->revision);
  store_.set_many({{"k", 1}});
  expect_later(store_.entry("k")->revision);
  store_.erase("k");
  expect_later(store_.insert("k", 3).value());
  store_.erase_range({.prefix = "k"});
  expect_later(store_.set("k", 4));
  static_cast<void>(store_.erase("k", last));
  expect_later(store_.set("k", 5));
  store_.set("k", 6, {.ttl = Duration(1)});
  last = store_.entry("k")->revision;
  clock_.advance(Duration(1));
  store_.purge_expired();
  clock_.advance(Duration(-1));
  expect_later(store_.set("k", 7));
}

TEST_P(Behaviour, ARevisionIsAtLeastTheClockInMicroseconds) {
  clock_.advance(std::chrono::hours(1));
  EXPECT_GE(store_.set("k", 1), clock_.now().time_since_epoch() / std::chrono::microseconds(1));
}

TEST_P(Behaviour, AnEntryTellsWhenItWasWritten) {
  store_.set("k", 1);
  const Time first = clock_.now();
  EXPECT_EQ(store_.entry("k")->updated_at, first);
  clock_.advance(Duration(1));
  store_.update("k", [](json& value) { value = 2; });
  EXPECT_EQ(store_.entry("k")->updated_at, first + Duration(1));
}

TEST_P(Behaviour, AFreshStoreIsEmptyAndSound) {
  EXPECT_EQ(store_.count(), 0U);
  EXPECT_TRUE(store_.keys().empty());
  EXPECT_TRUE(all_entries(store_).empty());
  EXPECT_EQ(store_.erase_range({}), 0U);
  EXPECT_EQ(store_.purge_expired(), 0U);
  EXPECT_TRUE(store_.check().ok());
}

}  // namespace
}  // namespace kvstore::test
