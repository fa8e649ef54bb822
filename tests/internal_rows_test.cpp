#include "behaviour.hpp"
#include "outside.hpp"

namespace kvstore::test {
namespace {

/// What reads make of rows that others left in the file: damaged ones, and ones that plain SQL
/// wrote.
class Rows : public ::testing::Test {
 protected:
  Rows() {
    std::vector<std::pair<std::string, int>> items;
    for (int i = 0; i < 60; ++i) items.emplace_back(numbered(i), i);
    KVStore(file_).set_many(items);
  }

  static std::string numbered(int number) {
    return (number < 10 ? "k0" : "k") + std::to_string(number);
  }

  /// Writes as a damaged disk would: the triggers that watch over outside writers see nothing.
  void damage(const std::string& sql) {
    Outside outside(file_);
    sqlite3_db_config(outside.handle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    outside.run(sql);
  }

  /// The keys that a scan shows before it fails with this code.
  static std::vector<std::string> shown_before(const KVStore& store, Range range, ErrorCode code) {
    std::vector<std::string> keys;
    Cursor cursor = store.scan(std::move(range));
    try {
      for (const Entry& entry : cursor) keys.push_back(entry.key);
      ADD_FAILURE() << "the scan did not fail";
    } catch (const Error& error) {
      EXPECT_EQ(to_string(error.code()), to_string(code)) << error.what();
    }
    EXPECT_EQ(cursor.begin(), Cursor::end());
    return keys;
  }

  TempDir dir_;
  std::string file_ = dir_.file("store.db");
};

TEST_F(Rows, ThatAreSoundAreShownByAScanBeforeItFailsAtADamagedOne) {
  for (const int damaged : {0, 1, 31, 32, 33, 59}) {
    SCOPED_TRACE(damaged);
    damage("UPDATE kv SET value = '[' || value || ']' WHERE key = '" + numbered(damaged) + "'");
    const KVStore store(file_);
    const std::vector<std::string> keys = store.keys();
    const std::vector<std::string> before(keys.begin(), keys.begin() + damaged);
    EXPECT_EQ(shown_before(store, {}, ErrorCode::corrupt), before);
    const std::vector<std::string> behind(keys.rbegin(), keys.rend() - damaged - 1);
    EXPECT_EQ(shown_before(store, {.descending = true}, ErrorCode::corrupt), behind);
    KVStore(file_).set(numbered(damaged), damaged);
  }
}

TEST_F(Rows, BesideADamagedOneAreReadAsEver) {
  damage("UPDATE kv SET value = '0' WHERE key = 'k30'");
  const KVStore store(file_);
  EXPECT_EQ(store.get("k29"), json(29));
  EXPECT_EQ(store.count(), 60U);
  EXPECT_EQ(store.keys({.from = "k30", .limit = 1}), std::vector<std::string>{"k30"});
  EXPECT_EQ(all_entries(store, {.after = "k30"}).size(), 29U);
  EXPECT_KV_ERROR(store.get_many({"k29", "k30"}), ErrorCode::corrupt, "\"k30\"");
}

TEST_F(Rows, WhoseExpiryWasDamagedDoNotVanishFromAScan) {
  damage("UPDATE kv SET expires_at = '1999-01-01 00:00:00.000' WHERE key = 'k30'");
  const KVStore store(file_);
  EXPECT_KV_ERROR(store.get("k30"), ErrorCode::corrupt, "\"k30\"");
  EXPECT_EQ(shown_before(store, {}, ErrorCode::corrupt).size(), 30U);
}

TEST_F(Rows, ThatAreDamagedAreNotChangedInPlace) {
  damage("UPDATE kv SET value = '0' WHERE key = 'k30'");
  KVStore store(file_);
  EXPECT_KV_ERROR(store.update("k30", [](json&) {}), ErrorCode::corrupt, "\"k30\"");
  EXPECT_KV_ERROR(store.touch("k30", Duration(5)), ErrorCode::corrupt, "\"k30\"");
  EXPECT_KV_ERROR(store.insert("k30", 1), ErrorCode::corrupt, "\"k30\"");
  EXPECT_KV_ERROR(store.replace("k30", 1, 1), ErrorCode::corrupt, "\"k30\"");
  store.set("k30", 1);
  EXPECT_EQ(store.get("k30"), json(1));
}

TEST_F(Rows, OfAnotherProgramAreShownWhenTheyAreAcceptable) {
  run_outside(file_, "INSERT INTO kv (key, value) VALUES ('outside', '{\"b\" : 1}')");
  const KVStore store(file_);
  EXPECT_EQ(store.get("outside"), json({{"b", 1}}));
  EXPECT_EQ(store.get_text("outside"), "{\"b\" : 1}");
  EXPECT_GT(store.entry("outside")->revision, 0);
}

TEST_F(Rows, OfAnotherProgramAreAnErrorWhenTheyAreNot) {
  run_outside(file_,
              "INSERT INTO kv (key, value) VALUES ('twice', '{\"a\":1,\"a\":2}'), "
              "('vast', '1e999'), ('lone', '\"\\ud800\"'), "
              "('deep', printf('%.*c', 600, '[') || printf('%.*c', 600, ']'))");
  KVStore store(file_);
  for (const char* key : {"twice", "vast", "lone", "deep"}) {
    SCOPED_TRACE(key);
    const std::string named = '"' + std::string(key) + '"';
    EXPECT_KV_ERROR(store.get(key), ErrorCode::invalid_value, named);
    EXPECT_KV_ERROR(store.get_text(key), ErrorCode::invalid_value, named);
    EXPECT_KV_ERROR(store.entry(key), ErrorCode::invalid_value, named);
    EXPECT_KV_ERROR(store.update(key, [](json&) {}), ErrorCode::invalid_value, named);
    EXPECT_TRUE(store.contains(key));
  }
  EXPECT_EQ(store.check().problems.size(), 4U);
  EXPECT_EQ(shown_before(store, {.from = "l"}, ErrorCode::invalid_value).size(), 0U);
}

TEST_F(Rows, OfAnotherProgramWithAKeyThatIsNotUtf8AreAnError) {
  run_outside(file_, "INSERT INTO kv (key, value) VALUES (CAST(x'6BFF' AS TEXT), '1')");
  const KVStore store(file_);
  EXPECT_EQ(shown_before(store, {}, ErrorCode::invalid_key).size(), 60U);
  const Report report = store.check();
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_EQ(report.problems[0].key, "k\xFF");
}

}  // namespace
}  // namespace kvstore::test
