#include "behaviour.hpp"

namespace kvstore::test {
namespace {

class Reads : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(Reads);

TEST_P(Reads, AnswerAbsenceWithNothing) {
  EXPECT_EQ(store_.get("k"), std::nullopt);
  EXPECT_EQ(store_.get("k", json::json_pointer("/a")), std::nullopt);
  EXPECT_EQ(store_.get<int>("k"), std::nullopt);
  EXPECT_EQ(store_.get_shared("k"), nullptr);
  EXPECT_EQ(store_.get_text("k"), std::nullopt);
  EXPECT_FALSE(store_.entry("k"));
  EXPECT_FALSE(store_.contains("k"));
}

TEST_P(Reads, TellAStoredNullFromAbsence) {
  store_.set("k", nullptr);
  ASSERT_TRUE(store_.get("k"));
  EXPECT_TRUE(store_.get("k")->is_null());
  EXPECT_EQ(store_.get_text("k"), "null");
  ASSERT_NE(store_.get_shared("k"), nullptr);
  EXPECT_TRUE(store_.contains("k"));
  EXPECT_TRUE(store_.get_many({"k"}).at(0).has_value());
}

TEST_P(Reads, AllShowTheSameDocument) {
  const json document = {{"a", {1, 2.5, "x", nullptr, true}}, {"b", {{"c", json::object()}}}};
  store_.set("k", document);
  EXPECT_EQ(store_.get("k"), document);
  EXPECT_EQ(*store_.get_shared("k"), document);
  EXPECT_EQ(store_.get_text("k"), document.dump());
  EXPECT_EQ(store_.get_many({"k"}).at(0), document);
  EXPECT_EQ(store_.entry("k")->value, document);
  EXPECT_EQ(all_entries(store_).at(0).value, document);
}

TEST_P(Reads, ASharedDocumentOutlivesItsEntryAndTheStore) {
  store_.set("k", {1, 2, 3});
  const std::shared_ptr<const json> document = store_.get_shared("k");
  store_.erase("k");
  store_.close();
  EXPECT_EQ(*document, json({1, 2, 3}));
}

TEST_P(Reads, ASharedDocumentDoesNotFollowLaterWrites) {
  store_.set("k", 1);
  const std::shared_ptr<const json> document = store_.get_shared("k");
  store_.set("k", 2);
  EXPECT_EQ(*document, 1);
  EXPECT_EQ(*store_.get_shared("k"), 2);
}

TEST_P(Reads, ManyKeysComeInTheOrderOfTheCallWithAbsentAndRepeatedOnes) {
  store_.set_many({{"a", 1}, {"b", 2}, {"c", 3}});
  const std::vector<std::string> keys = {"c", "x", "a", "c"};
  const std::vector<std::optional<json>> expected = {3, std::nullopt, 1, 3};
  EXPECT_EQ(store_.get_many(keys), expected);
  EXPECT_EQ(store_.get_many({"c", "x", "a", "c"}), expected);
}

TEST_P(Reads, NoKeysAreNoValues) {
  EXPECT_TRUE(store_.get_many(std::vector<std::string>()).empty());
}

TEST_P(Reads, OneRefusedKeyAmongManyRefusesTheCall) {
  store_.set("a", 1);
  EXPECT_KV_ERROR(store_.get_many({"a", "\xFF"}), ErrorCode::invalid_key, "\\xff");
  EXPECT_EQ(store_.get("a"), json(1));
}

TEST_P(Reads, AnEntryHasTheRevisionThatItsWriteReturned) {
  const Revision revision = store_.set("k", 1, {.ttl = Duration(5)});
  const std::optional<Entry> entry = store_.entry("k");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->key, "k");
  EXPECT_EQ(entry->value, 1);
  EXPECT_EQ(entry->revision, revision);
  EXPECT_EQ(entry->updated_at, clock_.now());
  EXPECT_EQ(entry->expires_at, clock_.now() + Duration(5));
}

TEST_P(Reads, AnEntryWithoutExpiryHasNone) {
  store_.set("k", 1);
  EXPECT_EQ(store_.entry("k")->expires_at, std::nullopt);
}

TEST_P(Reads, ChangeNothing) {
  store_.set("k", {{"a", 1}});
  const Revision before = store_.entry("k")->revision;
  for (const Verb& verb : reading_verbs()) {
    verb.call(store_, "k");
    verb.call(store_, "absent");
  }
  EXPECT_EQ(store_.keys(), std::vector<std::string>{"k"});
  EXPECT_EQ(store_.entry("k")->revision, before);
}

}  // namespace
}  // namespace kvstore::test
