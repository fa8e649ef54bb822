#include "outside.hpp"
#include "child.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

/// What a program with plain SQLite does to a store, and what the store makes of it.
class OutsideWriter : public testing::Test {
 protected:
  /// The revision, checksum and expiry of "k" as they are stored.
  std::string marks() {
    return outside_.one("SELECT revision, checksum, expires_at FROM kv WHERE key = 'k'");
  }

  /// Changes "k" by this SQL and expects what every outside change has to leave behind.
  void expect_change(const std::string& sql, const json& value) {
    const Revision before = store_.set("k", "before", {.ttl = Duration(3'600'000)});
    outside_.run(sql);
    EXPECT_EQ(store_.get("k"), value);
    const auto entry = store_.entry("k");
    ASSERT_TRUE(entry);
    EXPECT_GT(entry->revision, before);
    EXPECT_FALSE(entry->expires_at);
    EXPECT_EQ(marks(), std::to_string(entry->revision) + "|NULL|NULL");
    EXPECT_GT(store_.set("k", "after"), entry->revision);
    EXPECT_TRUE(store_.check().ok());
  }

  /// Expects that SQL is refused by the file itself, and changes nothing.
  void expect_refused(const std::string& sql) {
    SCOPED_TRACE(sql);
    EXPECT_EQ(outside_.try_to(sql), SQLITE_CONSTRAINT);
    EXPECT_EQ(store_.count(), 1U);
    EXPECT_EQ(store_.get("k"), json("before"));
  }

  /// Expects that every read that meets the entry is an error that names it.
  void expect_unreadable(const std::string& key, const std::string& text) {
    SCOPED_TRACE(text.substr(0, 60));
    outside_.run("INSERT OR REPLACE INTO kv(key, value) VALUES('" + key + "', " + text + ")");
    EXPECT_KV_ERROR(store_.get(key), ErrorCode::invalid_value, key);
    EXPECT_KV_ERROR(store_.get_shared(key), ErrorCode::invalid_value, key);
    EXPECT_KV_ERROR(store_.get_text(key), ErrorCode::invalid_value, key);
    EXPECT_KV_ERROR(store_.entry(key), ErrorCode::invalid_value, key);
    EXPECT_KV_ERROR(store_.get_many({"k", key}), ErrorCode::invalid_value, key);
    EXPECT_KV_ERROR(store_.scan({.prefix = key}).begin(), ErrorCode::invalid_value, key);
    const Report report = store_.check();
    ASSERT_EQ(report.problems.size(), 1U);
    EXPECT_EQ(report.problems[0].key, key);
    outside_.run("DELETE FROM kv WHERE key = '" + key + "'");
  }

  TempDir dir_;
  std::string file_ = dir_.file("store.db");
  KVStore store_{file_};
  Outside outside_{file_};
};

TEST_F(OutsideWriter, MayUpsert) {
  expect_change(
      "INSERT INTO kv(key, value) VALUES('k', '1') ON CONFLICT(key) DO UPDATE SET "
      "value = excluded.value, updated_at = CURRENT_TIMESTAMP",
      1);
}

TEST_F(OutsideWriter, MayInsertOrReplace) {
  expect_change("INSERT OR REPLACE INTO kv(key, value) VALUES('k', '1')", 1);
}

TEST_F(OutsideWriter, MayReplace) {
  expect_change("REPLACE INTO kv(key, value) VALUES('k', '[1]')", {1});
}

TEST_F(OutsideWriter, MayUpdate) {
  expect_change("UPDATE kv SET value = '1' WHERE key = 'k'", 1);
}

TEST_F(OutsideWriter, MayDeleteAndInsert) {
  expect_change("DELETE FROM kv WHERE key = 'k'; INSERT INTO kv(key, value) VALUES('k', '1')", 1);
}

TEST_F(OutsideWriter, MayRenameAKeyToAndFro) {
  expect_change("UPDATE kv SET key = 'other'; UPDATE kv SET key = 'k'", "before");
}

TEST_F(OutsideWriter, MayUseRecursiveTriggers) {
  outside_.run("PRAGMA recursive_triggers = ON");
  expect_change("REPLACE INTO kv(key, value) VALUES('k', '1')", 1);
  expect_change("UPDATE kv SET value = '2' WHERE key = 'k'", 2);
}

TEST_F(OutsideWriter, MayInsertARowWithAllColumnsOfAnOldCopy) {
  expect_change(
      "CREATE TEMP TABLE copy AS SELECT * FROM kv; "
      "REPLACE INTO kv SELECT key, '1', updated_at, NULL, 5, 6 FROM copy",
      1);
}

TEST_F(OutsideWriter, ThatIgnoresConflictsChangesNothing) {
  store_.set("k", "before");
  const std::string before = marks();
  outside_.run("INSERT OR IGNORE INTO kv(key, value) VALUES('k', '1')");
  EXPECT_EQ(marks(), before);
  EXPECT_EQ(store_.get("k"), json("before"));
}

TEST_F(OutsideWriter, MayGiveAnExpiry) {
  store_.set("k", "before");
  outside_.run("UPDATE kv SET value = '1', expires_at = '2999-01-02 03:04:05' WHERE key = 'k'");
  EXPECT_EQ(outside_.one("SELECT expires_at FROM kv"), "2999-01-02 03:04:05.000");
  EXPECT_TRUE(store_.entry("k")->expires_at);
}

TEST_F(OutsideWriter, MayChangeTheExpiryAlone) {
  store_.set("k", "before");
  outside_.run("UPDATE kv SET expires_at = '2001-01-01 00:00:00.000'");
  EXPECT_FALSE(store_.get("k"));
  EXPECT_TRUE(store_.check().ok());
}

TEST_F(OutsideWriter, LeavesNoStaleChecksumByChangingTheRevision) {
  store_.set("k", "before");
  outside_.run("UPDATE kv SET revision = revision + 7");
  EXPECT_EQ(outside_.one("SELECT checksum FROM kv"), "NULL");
  EXPECT_EQ(store_.get("k"), json("before"));
}

TEST_F(OutsideWriter, MayNotStoreWhatIsNoJson) {
  store_.set("k", "before");
  for (const char* value : {"''", "'{'", "'nonsense'", "'{\"a\":}'", "NULL", "x'31'",
                            "CAST('1' || char(0) || 'x' AS TEXT)", "'1 2'"}) {
    expect_refused(std::string("INSERT INTO kv(key, value) VALUES('n', ") + value + ")");
    expect_refused(std::string("UPDATE kv SET value = ") + value);
    expect_refused(std::string("REPLACE INTO kv(key, value) VALUES('k', ") + value + ")");
  }
}

TEST_F(OutsideWriter, MayNotStoreAKeyThatIsNoText) {
  store_.set("k", "before");
  for (const char* key : {"NULL", "x'6B'", "'a' || char(0)", "char(0)"}) {
    expect_refused(std::string("INSERT INTO kv(key, value) VALUES(") + key + ", '1')");
    expect_refused(std::string("UPDATE kv SET key = ") + key);
  }
}

TEST_F(OutsideWriter, RaisesTheFloorByDeleting) {
  const Revision revision = store_.set("k", 1);
  outside_.run("DELETE FROM kv");
  EXPECT_EQ(outside_.one("SELECT revision FROM kv_floor"), std::to_string(revision));
}

TEST_F(OutsideWriter, NeverRepeatsARevisionOfAClockThatWasAhead) {
  FakeClock ahead;
  ahead.set(Time(Duration(4'102'444'800'000)));
  Revision last = 0;
  {
    KVStore future(file_, {.clock = ahead.source()});
    last = future.set("k", 1);
  }
  for (const char* sql :
       {"UPDATE kv SET value = '2'", "REPLACE INTO kv(key, value) VALUES('k', '3')",
        "DELETE FROM kv; INSERT INTO kv(key, value) VALUES('k', '4')",
        "INSERT INTO kv(key, value) VALUES('k', '5') ON CONFLICT(key) DO UPDATE SET "
        "value = excluded.value"}) {
    SCOPED_TRACE(sql);
    outside_.run(sql);
    const Revision now = store_.entry("k")->revision;
    EXPECT_GT(now, last);
    last = now;
  }
  EXPECT_GT(store_.set("k", 6), last);
}

TEST_F(OutsideWriter, MakesAStaleReplaceFail) {
  const Revision revision = store_.set("k", 1);
  outside_.run("UPDATE kv SET value = '2'");
  EXPECT_FALSE(store_.replace("k", 3, revision));
  EXPECT_FALSE(store_.erase("k", revision));
  EXPECT_EQ(store_.get("k"), json(2));
}

TEST_F(OutsideWriter, IsSeenByTheNextRead) {
  store_.set("k", 0);
  for (int i = 1; i < 200; ++i) {
    outside_.run("UPDATE kv SET value = '" + std::to_string(i) + "'");
    ASSERT_EQ(store_.get("k"), json(i));
  }
}

TEST_F(OutsideWriter, CannotSlipInWhatOnlySqliteTakesForJson) {
  store_.set("k", "fine");
  const std::string deep = std::string(513, '[') + std::string(513, ']');
  expect_unreadable("bad", "'1e400'");
  expect_unreadable("bad", R"('{"a":1,"a":2}')");
  expect_unreadable("bad", R"('"\ud800"')");
  expect_unreadable("bad", "'" + deep + "'");
  expect_unreadable("bad", "CAST(x'22FF22' AS TEXT)");
  EXPECT_EQ(store_.get("k"), json("fine"));
}

TEST_F(OutsideWriter, CannotSlipInAKeyThatIsNoUtf8) {
  store_.set("k", "fine");
  outside_.run("INSERT INTO kv(key, value) VALUES(CAST(x'7AFF' AS TEXT), '1')");
  EXPECT_KV_ERROR(store_.scan({.prefix = "z"}).begin(), ErrorCode::invalid_key, "\"z");
  EXPECT_FALSE(store_.check().ok());
  EXPECT_EQ(store_.get("k"), json("fine"));
}

TEST_F(OutsideWriter, WithTriggersOffIsCaughtByTheChecksum) {
  store_.set("k", "before");
  sqlite3_db_config(outside_.handle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  outside_.run("UPDATE kv SET value = '\"after\"'");
  EXPECT_KV_ERROR(store_.get("k"), ErrorCode::corrupt, "\"k\"");
}

TEST_F(OutsideWriter, ThatLeavesNoNumberAsRevisionDoesNotSwallowTheNextWrite) {
  for (const char* revision : {"'x'", "1e300", "x'00'"}) {
    SCOPED_TRACE(revision);
    store_.set("k", "before");
    outside_.run(std::string("UPDATE kv SET revision = ") + revision);
    EXPECT_EQ(store_.check().problems.size(), 1U);
    const Revision revision_now = store_.set("k", "after");
    const auto entry = store_.entry("k");
    ASSERT_TRUE(entry);
    EXPECT_EQ(entry->value, json("after"));
    EXPECT_EQ(entry->revision, revision_now);
    EXPECT_EQ(store_.set_many({{"k", "again"}}), 1U);
    EXPECT_EQ(store_.get("k"), json("again"));
    EXPECT_TRUE(store_.check().ok());
  }
}

TEST_F(OutsideWriter, ThatLeavesARevisionOfTextDoesNotHideTheOthersFromARange) {
  store_.set("a/1", 1);
  store_.set("a/2", 1);
  outside_.run("UPDATE kv SET revision = 9000000000000000 WHERE key = 'a/1'");
  outside_.run("UPDATE kv SET revision = 'x' WHERE key = 'a/2'");
  EXPECT_EQ(store_.erase_range({.prefix = "a/"}), 2U);
  EXPECT_GT(store_.set("a/1", 2), 9000000000000000);
}

TEST_F(OutsideWriter, ThatLeavesTheLargestRevisionMakesWritesOfThatKeyFail) {
  store_.set("k", "before");
  outside_.run("UPDATE kv SET revision = 9223372036854775807");
  EXPECT_KV_ERROR(store_.set("k", "after"), ErrorCode::out_of_range, "UPDATE kv SET revision = 0");
  EXPECT_EQ(store_.get("k"), json("before"));
  store_.set("other", 1);
  outside_.run("UPDATE kv SET revision = 0");
  store_.set("k", "after");
  EXPECT_EQ(store_.get("k"), json("after"));
}

TEST_F(OutsideWriter, ThatLeavesAKeyThatIsNotUtf8IsReportedByKeys) {
  outside_.run("INSERT INTO kv(key, value) VALUES(CAST(x'7AC3' AS TEXT), '1')");
  EXPECT_KV_ERROR(store_.keys(), ErrorCode::invalid_key, "not valid UTF-8");
}

TEST_F(OutsideWriter, ThatHoldsTheFileMakesAWriteBusy) {
  KVStore hasty(file_, {.busy_timeout = Duration(20)});
  outside_.run("BEGIN IMMEDIATE");
  EXPECT_KV_ERROR(hasty.set("k", 1), ErrorCode::busy, "other connections");
  outside_.run("COMMIT");
  hasty.set("k", 2);
  EXPECT_EQ(hasty.get("k"), json(2));
}

TEST_F(OutsideWriter, ThatDropsTheTableIsAnErrorAndNoCrash) {
  store_.set("k", 1);
  outside_.run("DROP TABLE kv");
  EXPECT_THROW(static_cast<void>(store_.get("k")), Error);
  EXPECT_THROW(store_.set("k", 2), Error);
}

}  // namespace
}  // namespace kvstore::test
