#include <cmath>
#include <iterator>
#include <list>
#include <map>
#include <sstream>
#include <unordered_map>

#include "behaviour.hpp"

namespace kvstore::test {
namespace {

class Writes : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(Writes);

TEST_P(Writes, SetStoresAndReplaces) {
  store_.set("k", {1, 2});
  EXPECT_EQ(store_.get("k"), json({1, 2}));
  store_.set("k", "three");
  EXPECT_EQ(store_.get("k"), json("three"));
  EXPECT_EQ(store_.count(), 1U);
}

TEST_P(Writes, SetTextKeepsTheTextToTheLastBlank) {
  const std::string text = " {\"z\" : 1.50, \"a\":[ 1e2 ],\n\"\\u0041\": \"\\/\" } ";
  const Revision revision = store_.set_text("k", text);
  EXPECT_EQ(store_.get_text("k"), text);
  EXPECT_EQ(store_.get("k"), json({{"z", 1.5}, {"a", {100.0}}, {"A", "/"}}));
  EXPECT_EQ(store_.entry("k")->revision, revision);
}

TEST_P(Writes, InsertStoresOnlyWhereNothingIs) {
  const std::optional<Revision> revision = store_.insert("k", 1);
  ASSERT_TRUE(revision);
  EXPECT_EQ(store_.insert("k", 2), std::nullopt);
  EXPECT_EQ(store_.get("k"), json(1));
  EXPECT_EQ(store_.entry("k")->revision, revision);
}

TEST_P(Writes, InsertGivesAnExpiry) {
  store_.insert("k", 1, {.ttl = Duration(5)});
  EXPECT_EQ(store_.entry("k")->expires_at, clock_.now() + Duration(5));
}

TEST_P(Writes, ReplaceStoresOnlyOverTheExpectedRevision) {
  const Revision first = store_.set("k", 1);
  const std::optional<Revision> second = store_.replace("k", 2, first);
  ASSERT_TRUE(second);
  EXPECT_EQ(store_.replace("k", 3, first), std::nullopt);
  EXPECT_EQ(store_.get("k"), json(2));
  EXPECT_EQ(store_.entry("k")->revision, second);
}

TEST_P(Writes, ReplaceOfAnAbsentKeyStoresNothing) {
  const Revision gone = store_.set("k", 1);
  store_.erase("k");
  EXPECT_EQ(store_.replace("k", 2, gone), std::nullopt);
  EXPECT_EQ(store_.replace("k", 2, 0), std::nullopt);
  EXPECT_FALSE(store_.contains("k"));
}

TEST_P(Writes, ReplaceSetsTheExpiryAnew) {
  const Revision first = store_.set("k", 1, {.ttl = Duration(5)});
  const Revision second = store_.replace("k", 2, first).value();
  EXPECT_EQ(store_.entry("k")->expires_at, std::nullopt);
  ASSERT_TRUE(store_.replace("k", 3, second, {.ttl = Duration(7)}));
  EXPECT_EQ(store_.entry("k")->expires_at, clock_.now() + Duration(7));
}

TEST_P(Writes, UpdateChangesInPlaceAndReturnsTheNewValue) {
  store_.set("k", {{"n", 1}});
  const auto raise = [](json& value) { value["n"] = value["n"].get<int>() + 1; };
  EXPECT_EQ(store_.update("k", raise), json({{"n", 2}}));
  EXPECT_EQ(store_.get("k"), json({{"n", 2}}));
}

TEST_P(Writes, UpdateOfAnAbsentKeyDoesNotCallBack) {
  bool called = false;
  EXPECT_EQ(store_.update("k", [&](json&) { called = true; }), std::nullopt);
  EXPECT_FALSE(called);
  EXPECT_FALSE(store_.contains("k"));
}

TEST_P(Writes, UpdateWithAnInitialValueStartsFromIt) {
  const auto append = [](json& value) { value.push_back(value.size()); };
  EXPECT_EQ(store_.update("k", json::array(), append), json::array({0}));
  EXPECT_EQ(store_.update("k", json::array(), append), json({0, 1}));
  EXPECT_EQ(store_.get("k"), json({0, 1}));
}

TEST_P(Writes, AnInitialArrayOfOneStaysAnArray) {
  EXPECT_EQ(store_.update("k", json::array({json::array({1})}), [](json&) {}),
            json::array({json::array({1})}));
}

TEST_P(Writes, WhatAnUpdateThrowsArrivesUnchangedAndNothingIsStored) {
  store_.set("k", 1);
  const Revision before = store_.entry("k")->revision;
  const auto fail = [](json& value) {
    value = 2;
    throw std::logic_error("the caller's own");
  };
  try {
    store_.update("k", fail);
    ADD_FAILURE() << "nothing arrived";
  } catch (const std::logic_error& error) {
    EXPECT_STREQ(error.what(), "the caller's own");
  }
  EXPECT_THROW(store_.update("absent", json(1), fail), std::logic_error);
  EXPECT_EQ(store_.get("k"), json(1));
  EXPECT_EQ(store_.entry("k")->revision, before);
  EXPECT_FALSE(store_.contains("absent"));
}

TEST_P(Writes, TheStoreWorksAfterAnUpdateThrew) {
  store_.set("k", 1);
  EXPECT_THROW(store_.update("k", [](json&) { throw 1; }), int);
  store_.set("k", 2);
  EXPECT_EQ(store_.update("k", [](json& value) { value = 3; }), json(3));
}

TEST_P(Writes, EraseSaysWhetherThereWasAnEntry) {
  store_.set("k", 1);
  EXPECT_TRUE(store_.erase("k"));
  EXPECT_FALSE(store_.contains("k"));
  EXPECT_FALSE(store_.erase("k"));
}

TEST_P(Writes, EraseWithARevisionSparesANewerEntry) {
  const Revision old = store_.set("k", 1);
  const Revision current = store_.set("k", 2);
  EXPECT_FALSE(store_.erase("k", old));
  EXPECT_TRUE(store_.contains("k"));
  EXPECT_TRUE(store_.erase("k", current));
  EXPECT_FALSE(store_.contains("k"));
  EXPECT_FALSE(store_.erase("k", current));
}

TEST_P(Writes, TouchChangesTheExpiryAndNothingElse) {
  store_.set("k", {1});
  const Entry before = store_.entry("k").value();
  clock_.advance(Duration(3));
  EXPECT_TRUE(store_.touch("k", Duration(5)));
  const Entry after = store_.entry("k").value();
  EXPECT_EQ(after.value, before.value);
  EXPECT_EQ(after.revision, before.revision);
  EXPECT_EQ(after.updated_at, before.updated_at);
  EXPECT_EQ(after.expires_at, clock_.now() + Duration(5));
  EXPECT_TRUE(store_.touch("k", std::nullopt));
  EXPECT_EQ(store_.entry("k")->expires_at, std::nullopt);
}

TEST_P(Writes, TouchOfAnAbsentKeySaysSo) {
  EXPECT_FALSE(store_.touch("k", Duration(5)));
  EXPECT_FALSE(store_.contains("k"));
}

class SetMany : public OnEveryEngine {};
KVSTORE_TEST_ON_EVERY_ENGINE(SetMany);

TEST_P(SetMany, TakesABracedList) {
  EXPECT_EQ(store_.set_many({{"a", 1}, {"b", {1, 2}}, {"c", "x"}}), 3U);
  EXPECT_EQ(store_.get_many({"a", "b", "c"}),
            (std::vector<std::optional<json>>{1, json({1, 2}), "x"}));
}

TEST_P(SetMany, TakesPairsOfAnyContainer) {
  const std::vector<std::pair<std::string, int>> vector = {{"a", 1}, {"b", 2}};
  const std::map<std::string, std::string> map = {{"c", "x"}, {"d", "y"}};
  const std::unordered_map<std::string, json> hashed = {{"e", json::array()}};
  EXPECT_EQ(store_.set_many(vector), 2U);
  EXPECT_EQ(store_.set_many(map), 2U);
  EXPECT_EQ(store_.set_many(hashed), 1U);
  EXPECT_EQ(store_.set_many(std::list<std::pair<const char*, double>>{{"f", 0.5}}), 1U);
  EXPECT_EQ(store_.get_many({"a", "b", "c", "d", "e", "f"}),
            (std::vector<std::optional<json>>{1, 2, "x", "y", json::array(), 0.5}));
}

TEST_P(SetMany, TakesTheItemsOfADocument) {
  const json document = {{"a", 1}, {"b", {{"c", 2}}}};
  EXPECT_EQ(store_.set_many(document.items()), 2U);
  EXPECT_EQ(store_.get("b"), json({{"c", 2}}));
}

TEST_P(SetMany, TakesEntriesWithTheirOwnExpiry) {
  const Time soon = clock_.now() + Duration(7);
  const std::vector<Entry> entries = {{.key = "a", .value = 1, .expires_at = soon},
                                      {.key = "b", .value = 2}};
  EXPECT_EQ(store_.set_many(entries), 2U);
  EXPECT_EQ(store_.entry("a")->expires_at, soon);
  EXPECT_EQ(store_.entry("b")->expires_at, std::nullopt);
  EXPECT_EQ(store_.set_many(entries, {.ttl = Duration(3)}), 2U);
  EXPECT_EQ(store_.entry("a")->expires_at, clock_.now() + Duration(3));
  EXPECT_EQ(store_.entry("b")->expires_at, clock_.now() + Duration(3));
}

TEST_P(SetMany, TakesTheScanOfAnotherStore) {
  const TempDir dir;
  KVStore source = open_in(dir, options());
  for (int i = 0; i < 600; ++i) source.set("k" + std::to_string(i), i);
  EXPECT_EQ(store_.set_many(source.scan()), 600U);
  EXPECT_EQ(store_.keys(), source.keys());
  EXPECT_EQ(store_.get("k599"), json(599));
}

/// Something that names its key and its value in its own way, and can be read only once.
struct Word {
  std::string text{};
  [[nodiscard]] const std::string& key() const { return text; }
  [[nodiscard]] json value() const { return text + text; }
  friend std::istream& operator>>(std::istream& in, Word& word) { return in >> word.text; }
};

struct Words {
  std::istream* in;
  [[nodiscard]] auto begin() const { return std::istream_iterator<Word>(*in); }
  [[nodiscard]] static auto end() { return std::istream_iterator<Word>(); }
};

TEST_P(SetMany, ReadsAnInputRangeOnce) {
  std::istringstream words("a b c");
  EXPECT_EQ(store_.set_many(Words{&words}), 3U);
  EXPECT_EQ(store_.get("c"), json("cc"));
}

TEST_P(SetMany, OfNothingIsNothing) {
  EXPECT_EQ(store_.set_many(std::vector<Entry>()), 0U);
  EXPECT_EQ(store_.count(), 0U);
}

TEST_P(SetMany, KeepsTheLastOfAKeyThatComesTwice) {
  EXPECT_EQ(store_.set_many({{"a", 1}, {"b", 1}, {"a", 2}}), 3U);
  EXPECT_EQ(store_.get("a"), json(2));
  EXPECT_EQ(store_.count(), 2U);
}

TEST_P(SetMany, StoresAllOrNone) {
  store_.set("a", "before");
  EXPECT_KV_ERROR(store_.set_many({{"a", 1}, {"b", 2}, {"c", std::nan("")}, {"d", 3}}),
                  ErrorCode::invalid_value, "\"c\"");
  EXPECT_KV_ERROR(store_.set_many({{"a", 1}, {"\xFF", 2}}), ErrorCode::invalid_key, "UTF-8");
  EXPECT_EQ(store_.keys(), std::vector<std::string>{"a"});
  EXPECT_EQ(store_.get("a"), json("before"));
}

TEST_P(SetMany, GivesAllItemsTheSameTtl) {
  store_.set_many({{"a", 1}, {"b", 2}}, {.ttl = Duration(5)});
  EXPECT_EQ(store_.entry("a")->expires_at, clock_.now() + Duration(5));
  EXPECT_EQ(store_.entry("b")->expires_at, clock_.now() + Duration(5));
}

TEST_P(SetMany, StoresMoreThanOneBatchOfAnything) {
  std::vector<std::pair<std::string, std::size_t>> items;
  for (std::size_t i = 0; i < 5000; ++i) items.emplace_back("k" + std::to_string(i), i);
  EXPECT_EQ(store_.set_many(items), 5000U);
  EXPECT_EQ(store_.count(), 5000U);
  EXPECT_EQ(store_.get("k4999"), json(4999));
}

}  // namespace
}  // namespace kvstore::test
