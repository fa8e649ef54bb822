#include <sys/stat.h>

#include <map>

#include "child.hpp"
#include "outside.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

namespace fs = std::filesystem;

/// Every file of a directory with its bytes; of what is no regular file only the name.
std::map<std::string, std::string> contents_of(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    files[entry.path().filename()] = entry.is_regular_file() ? bytes_of(entry.path()) : "";
  }
  return files;
}

std::string readable(testing::TestParamInfo<std::pair<const char*, const char*>> info) {
  return info.param.first;
}

class Refused : public testing::Test {
 protected:
  /// Expects that opening fails with this code and this text, and changes nothing on the disk.
  void expect_refused(ErrorCode code, const std::string& part, const Options& options = {}) {
    const auto before = contents_of(dir_.path());
    EXPECT_KV_ERROR(KVStore(file_, options), code, part);
    const auto after = contents_of(dir_.path());
    ASSERT_EQ(names(before), names(after));
    EXPECT_TRUE(before == after) << "a refused file was changed";
  }

  static std::vector<std::string> names(const std::map<std::string, std::string>& files) {
    std::vector<std::string> all;
    for (const auto& [name, bytes] : files) all.push_back(name);
    return all;
  }

  TempDir dir_;
  std::string file_ = dir_.file("file.db");
};

TEST_F(Refused, IsAFileTooShortToBeADatabase) {
  for (const std::size_t size : {1U, 2U, 15U, 16U, 100U, 511U}) {
    SCOPED_TRACE(size);
    write_bytes(file_, std::string(size, 'x'));
    expect_refused(ErrorCode::not_a_store, "too short");
  }
}

TEST_F(Refused, IsATextFile) {
  for (const std::size_t size : {512U, 513U, 1024U, 4096U, 5000U}) {
    SCOPED_TRACE(size);
    write_bytes(file_, std::string(size, 'x'));
    expect_refused(ErrorCode::not_a_store, "file.db");
  }
}

TEST_F(Refused, IsAFileOfZeros) {
  write_bytes(file_, std::string(4096, '\0'));
  expect_refused(ErrorCode::not_a_store, "file.db");
}

TEST_F(Refused, IsADirectory) {
  fs::create_directory(file_);
  expect_refused(ErrorCode::not_a_store, "directory");
}

TEST_F(Refused, IsADirectoryWithASlashBehindIt) {
  fs::create_directory(file_);
  EXPECT_KV_ERROR(KVStore(file_ + "/"), ErrorCode::not_a_store, "directory");
}

TEST_F(Refused, IsANamedPipe) {
  ASSERT_EQ(mkfifo(file_.c_str(), 0600), 0);
  expect_refused(ErrorCode::not_a_store, "not a regular file");
}

TEST_F(Refused, IsAFileWithTwoNames) {
  { KVStore(file_).set("k", 1); }
  fs::create_hard_link(file_, dir_.path() / "other.db");
  expect_refused(ErrorCode::not_a_store, "hard link");
}

TEST_F(Refused, IsANewerFormat) {
  { KVStore(file_).set("k", 1); }
  run_outside(file_, "PRAGMA user_version = 2");
  expect_refused(ErrorCode::newer_format, "format 2");
}

TEST_F(Refused, IsANewerFormatThatOnlyTheLogTellsOf) {
  { KVStore(file_).set("k", 1); }
  Outside newer(file_);
  newer.run("PRAGMA user_version = 2");
  EXPECT_KV_ERROR(KVStore{file_}, ErrorCode::newer_format, "format 2");
}

/// Nobody knows what is in the log before its index is made.
TEST_F(Refused, IsAStoreThatAnotherProcessRecovers) {
  { KVStore(file_).set("k", 1); }
  Process newer(worker({"leave-open", file_, "PRAGMA user_version = 2"}));
  ASSERT_EQ(newer.line(), "ready");
  newer.kill_now();
  newer.wait();
  Process recoverer(worker({"recover", file_}));
  ASSERT_EQ(recoverer.line(), "ready");
  const Options impatient{.busy_timeout = std::chrono::milliseconds(1)};
  EXPECT_KV_ERROR(KVStore(file_, impatient), ErrorCode::busy, "file.db");
  recoverer.close_input();
  ASSERT_EQ(recoverer.wait(), 0);
  EXPECT_KV_ERROR(KVStore(file_, impatient), ErrorCode::newer_format, "format 2");
}

TEST_F(Refused, IsANewerFormatThatLooksDifferent) {
  run_outside(file_,
              "CREATE TABLE kv(id, body); PRAGMA user_version = 3; "
              "PRAGMA application_id = 1802924916");
  expect_refused(ErrorCode::newer_format, "format 3");
}

TEST_F(Refused, IsAnotherApplicationsFileInWalMode) {
  run_outside(file_, "PRAGMA journal_mode = WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1)");
  ASSERT_FALSE(fs::exists(file_ + "-wal"));
  expect_refused(ErrorCode::not_a_store, "another application");
}

TEST_F(Refused, IsAnotherApplicationsFileWhoseOwnerCrashed) {
  Process owner(worker({"leave-open", file_,
                        "PRAGMA journal_mode = WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1)"}));
  ASSERT_EQ(owner.line(), "ready");
  owner.kill_now();
  const std::string file = bytes_of(file_);
  const std::string log = bytes_of(file_ + "-wal");
  ASSERT_FALSE(log.empty());
  EXPECT_KV_ERROR(KVStore{file_}, ErrorCode::not_a_store, "another application");
  EXPECT_TRUE(bytes_of(file_) == file);
  EXPECT_TRUE(bytes_of(file_ + "-wal") == log);
  EXPECT_EQ(Outside(file_).one("SELECT x FROM t"), "1");
}

TEST_F(Refused, IsAnotherApplicationsFileWhileItsOwnerUsesIt) {
  Process owner(worker({"leave-open", file_,
                        "PRAGMA journal_mode = WAL; CREATE TABLE t(x); INSERT INTO t VALUES(1)"}));
  ASSERT_EQ(owner.line(), "ready");
  const std::string log = in_child([&] { return bytes_of(file_ + "-wal"); });
  EXPECT_KV_ERROR(KVStore{file_}, ErrorCode::not_a_store, "another application");
  EXPECT_TRUE(in_child([&] { return bytes_of(file_ + "-wal"); }) == log);
}

TEST_F(Refused, IsAnotherApplicationsFileForAReadOnlyStore) {
  run_outside(file_, "CREATE TABLE t(x)");
  expect_refused(ErrorCode::not_a_store, "another application", {.read_only = true});
}

TEST_F(Refused, IsAStoreThatGotAUniqueIndex) {
  { const KVStore store(file_); }
  run_outside(file_, "CREATE UNIQUE INDEX mine ON kv(value)");
  expect_refused(ErrorCode::not_a_store, "mine");
}

TEST_F(Refused, IsAStoreWithTheMarkOfAnotherApplication) {
  { const KVStore store(file_); }
  run_outside(file_, "PRAGMA application_id = 1");
  expect_refused(ErrorCode::not_a_store, "application_id");
}

TEST_F(Refused, IsAStoreInUtf16) {
  { const KVStore store(file_); }
  const std::string schema =
      Outside(file_).one("SELECT group_concat(sql, ';\n') FROM sqlite_master");
  for (const char* mode : {"DELETE", "WAL"}) {
    SCOPED_TRACE(mode);
    fs::remove(file_);
    {
      Outside other(file_);
      other.run("PRAGMA encoding = 'UTF-16'");
      other.run(std::string("PRAGMA journal_mode = ") + mode);
      other.run(schema);
      other.run("PRAGMA user_version = 1; PRAGMA application_id = 1802924916");
    }
    expect_refused(ErrorCode::not_a_store, "UTF-8");
  }
}

TEST_F(Refused, IsAStoreThatGotAColumn) {
  { const KVStore store(file_); }
  run_outside(file_, "ALTER TABLE kv ADD COLUMN extra");
  expect_refused(ErrorCode::not_a_store, "another definition");
}

TEST_F(Refused, IsAStoreWithoutItsTable) {
  { const KVStore store(file_); }
  run_outside(file_, "DROP TABLE kv");
  expect_refused(ErrorCode::not_a_store, "no table kv");
}

/// A name, and what makes a database that is no store.
class RefusedDatabase : public Refused,
                        public testing::WithParamInterface<std::pair<const char*, const char*>> {};

TEST_P(RefusedDatabase, IsLeftAsItWas) {
  run_outside(file_, GetParam().second);
  expect_refused(ErrorCode::not_a_store, "file.db");
}

TEST_P(RefusedDatabase, IsLeftAsItWasInWalMode) {
  run_outside(file_, GetParam().second);
  run_outside(file_, "PRAGMA journal_mode = WAL");
  expect_refused(ErrorCode::not_a_store, "file.db");
}

INSTANTIATE_TEST_SUITE_P(
    Open, RefusedDatabase,
    testing::Values(
        std::pair("AnotherApplicationId",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TIMESTAMP "
                  "DEFAULT CURRENT_TIMESTAMP); PRAGMA application_id = 1234"),
        std::pair("AnotherApplicationIdAndNoTable", "PRAGMA application_id = 1234"),
        std::pair("AnotherUserVersion",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TIMESTAMP "
                  "DEFAULT CURRENT_TIMESTAMP); PRAGMA user_version = 7"),
        std::pair("AnUnknownTable", "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT)"),
        std::pair("AnUnknownTableBesideTheOlderOne",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TIMESTAMP "
                  "DEFAULT CURRENT_TIMESTAMP); CREATE TABLE notes(body)"),
        std::pair("AViewBesideTheOlderTable",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TIMESTAMP "
                  "DEFAULT CURRENT_TIMESTAMP); CREATE VIEW notes AS SELECT key FROM kv"),
        std::pair("AView",
                  "CREATE TABLE kv_rows(key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at "
                  "TIMESTAMP); CREATE VIEW kv AS SELECT key, value, updated_at FROM kv_rows"),
        std::pair("AVirtualTable", "CREATE VIRTUAL TABLE kv USING fts5(key, value, updated_at)"),
        std::pair("NoCase",
                  "CREATE TABLE kv(key TEXT COLLATE NOCASE PRIMARY KEY, value TEXT NOT NULL, "
                  "updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"),
        std::pair("OnConflictIgnore",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY ON CONFLICT IGNORE, value TEXT NOT NULL, "
                  "updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"),
        std::pair("ACheck",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL CHECK(value <> ''), "
                  "updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"),
        std::pair("AUniqueColumn",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL UNIQUE, "
                  "updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"),
        std::pair("AUniqueConstraint",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TIMESTAMP "
                  "DEFAULT CURRENT_TIMESTAMP, UNIQUE(value))"),
        std::pair("WithoutRowid",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TIMESTAMP "
                  "DEFAULT CURRENT_TIMESTAMP) WITHOUT ROWID"),
        std::pair("Strict",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TEXT "
                  "DEFAULT CURRENT_TIMESTAMP) STRICT"),
        std::pair("OtherColumns", "CREATE TABLE kv(k TEXT PRIMARY KEY, v TEXT NOT NULL)"),
        std::pair("AColumnMore",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TIMESTAMP "
                  "DEFAULT CURRENT_TIMESTAMP, owner TEXT)"),
        std::pair("AnotherType",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value BLOB NOT NULL, updated_at TIMESTAMP "
                  "DEFAULT CURRENT_TIMESTAMP)"),
        std::pair("NullableValues",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT, updated_at TIMESTAMP "
                  "DEFAULT CURRENT_TIMESTAMP)"),
        std::pair("ATextDefault",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TIMESTAMP "
                  "DEFAULT 'CURRENT_TIMESTAMP')"),
        std::pair("AUniqueIndex",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TIMESTAMP "
                  "DEFAULT CURRENT_TIMESTAMP); CREATE UNIQUE INDEX mine ON kv(value)"),
        std::pair("ATrigger",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TIMESTAMP "
                  "DEFAULT CURRENT_TIMESTAMP); CREATE TRIGGER mine AFTER INSERT ON kv BEGIN "
                  "DELETE FROM kv; END"),
        std::pair("Utf16",
                  "PRAGMA encoding = 'UTF-16'; CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT "
                  "NOT NULL, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)")),
    readable);

class Accepted : public testing::Test {
 protected:
  void expect_works() {
    KVStore store(file_);
    store.set("new", 1);
    EXPECT_EQ(store.get("new"), json(1));
    EXPECT_TRUE(store.check().ok());
  }

  TempDir dir_;
  std::string file_ = dir_.file("file.db");
};

TEST_F(Accepted, IsAFileOfNoBytes) {
  write_bytes(file_, "");
  expect_works();
}

TEST_F(Accepted, IsAnEmptyDatabase) {
  run_outside(file_, "CREATE TABLE t(x); DROP TABLE t; VACUUM");
  ASSERT_GE(fs::file_size(file_), 512U);
  expect_works();
}

TEST_F(Accepted, IsAPlainIndexOfAnOutsider) {
  { const KVStore store(file_); }
  run_outside(file_, "CREATE INDEX by_name ON kv(json_extract(value, '$.name'))");
  expect_works();
}

TEST_F(Accepted, IsWhatAnalyzeLeaves) {
  { KVStore(file_).set("k", 1); }
  run_outside(file_, "ANALYZE");
  ASSERT_EQ(Outside(file_).one("SELECT count(*) > 0 FROM sqlite_stat1"), "1");
  expect_works();
}

TEST_F(Accepted, IsATableOfTheStoreThatALaterVersionMade) {
  { const KVStore store(file_); }
  run_outside(file_, "CREATE TABLE kv_later(a, b); CREATE INDEX kv_later_a ON kv_later(a)");
  expect_works();
  EXPECT_EQ(Outside(file_).one("SELECT count(*) FROM kv_later"), "0");
}

TEST_F(Accepted, IsAStoreThatLostItsMarkInADump) {
  Revision revision = 0;
  { revision = KVStore(file_).set("k", 1); }
  run_outside(file_, "PRAGMA application_id = 0; PRAGMA user_version = 0");
  expect_works();
  EXPECT_EQ(KVStore(file_).entry("k")->revision, revision);
  EXPECT_EQ(Outside(file_).one("PRAGMA user_version"), "1");
}

class AcceptedOlderTable : public Accepted,
                           public testing::WithParamInterface<std::pair<const char*, const char*>> {
};

TEST_P(AcceptedOlderTable, KeepsItsEntries) {
  run_outside(file_, GetParam().second);
  run_outside(file_, "INSERT INTO kv(key, value) VALUES('old', '[1, 2]')");
  expect_works();
  EXPECT_EQ(KVStore(file_).get("old"), json({1, 2}));
}

INSTANTIATE_TEST_SUITE_P(
    Open, AcceptedOlderTable,
    testing::Values(
        std::pair("Quoted",
                  "CREATE TABLE \"kv\"(\"key\" TEXT PRIMARY KEY, [value] TEXT NOT NULL, "
                  "`updated_at` TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"),
        std::pair("Commented",
                  "CREATE TABLE kv ( -- settings\n key TEXT PRIMARY KEY, /* a, b */\n value TEXT "
                  "NOT NULL, updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP -- the end\n)"),
        std::pair("InOddCase",
                  "create table KV(Key text Primary Key, VALUE Text not null, Updated_At timestamp "
                  "default current_timestamp)"),
        std::pair("IfNotExists",
                  "CREATE TABLE IF NOT EXISTS kv (\n  key TEXT PRIMARY KEY,\n\tvalue TEXT NOT "
                  "NULL,\r\n  updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP\n)"),
        std::pair("WithAnIndex",
                  "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, updated_at TIMESTAMP "
                  "DEFAULT CURRENT_TIMESTAMP); CREATE INDEX recent ON kv(updated_at)")),
    readable);

TEST(Path, NeedsAnExistingDirectory) {
  const TempDir dir;
  EXPECT_KV_ERROR(KVStore(dir.file("missing/store.db")), ErrorCode::not_found, "missing");
}

TEST(Path, MayNotBeEmpty) {
  EXPECT_KV_ERROR(KVStore(""), ErrorCode::misuse, "empty");
}

TEST(Path, MayNotHoldANulByte) {
  const TempDir dir;
  EXPECT_KV_ERROR(KVStore(dir.file(std::string("a\0b", 3))), ErrorCode::misuse, "NUL");
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(Path, MayGoThroughAFileInVain) {
  const TempDir dir;
  write_bytes(dir.file("plain"), "x");
  EXPECT_KV_ERROR(KVStore(dir.file("plain/store.db")), ErrorCode::io, "plain");
}

TEST(Path, IsTakenByteForByte) {
  const TempDir dir;
  for (const std::string name : {"a?b", "a#b", "a%41", "a b ", "a\nb", "\xFF\xFE", "a&mode=ro",
                                 "x?mode=memory", "ü", "'\""}) {
    SCOPED_TRACE(name);
    { KVStore(dir.file(name)).set("k", name.size()); }
    EXPECT_TRUE(fs::exists(dir.path() / name));
    EXPECT_EQ(KVStore(dir.file(name)).get("k"), json(name.size()));
  }
}

TEST(Path, MayBeRelative) {
  const TempDir dir;
  EXPECT_EQ(in_child([&] {
              fs::current_path(dir.path());
              KVStore("store.db").set("k", 1);
              return fs::exists("store.db") ? "there" : "missing";
            }),
            "there");
}

TEST(Path, IsPlainAlsoWhenItLooksLikeAUri) {
  const TempDir dir;
  EXPECT_EQ(in_child([&] {
              fs::current_path(dir.path());
              KVStore("file:store.db?mode=memory").set("k", 1);
              return fs::exists("file:store.db?mode=memory") ? "there" : "missing";
            }),
            "there");
}

TEST(Path, OfAFileMayBeCalledMemory) {
  const TempDir dir;
  EXPECT_EQ(in_child([&] {
              fs::current_path(dir.path());
              { KVStore(fs::path(":memory:")).set("k", 1); }
              return KVStore(fs::path(":memory:")).get("k") == json(1) && fs::exists(":memory:")
                         ? "a file"
                         : "no file";
            }),
            "a file");
}

TEST(Path, InQuestionIsNamedInTheError) {
  const TempDir dir;
  EXPECT_KV_ERROR(KVStore(dir.file("nowhere.db"), {.create = false}), ErrorCode::not_found,
                  dir.file("nowhere.db"));
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

/// What another user may do; only root can try it.
class Permissions : public testing::Test {
 protected:
  void SetUp() override {
    if (!is_root()) GTEST_SKIP() << "only root can become another user";
    fs::permissions(dir_.path(), fs::perms(0777));
    KVStore(file_).set("k", 1);
  }

  std::string opened_by_nobody() {
    return as_nobody([&] {
      KVStore(file_).set("k", 2);
      return "opened";
    });
  }

  TempDir dir_;
  std::string file_ = dir_.file("store.db");
};

TEST_F(Permissions, OfAFileThatMayOnlyBeReadNameTheOption) {
  fs::permissions(file_, fs::perms(0444));
  const std::string outcome = opened_by_nobody();
  EXPECT_TRUE(outcome.starts_with("read_only: ")) << outcome;
  EXPECT_NE(outcome.find("Options::read_only"), std::string::npos) << outcome;
}

TEST_F(Permissions, OfADirectoryThatMayNotBeWrittenAreAskedFor) {
  fs::permissions(file_, fs::perms(0666));
  fs::permissions(dir_.path(), fs::perms(0555));
  const std::string outcome = opened_by_nobody();
  EXPECT_TRUE(outcome.starts_with("read_only: ")) << outcome;
  EXPECT_NE(outcome.find("directory"), std::string::npos) << outcome;
}

TEST_F(Permissions, OfSomebodyElsesFileAreAskedFor) {
  fs::permissions(file_, fs::perms(0600));
  const std::string outcome = opened_by_nobody();
  EXPECT_TRUE(outcome.starts_with("io: ")) << outcome;
  EXPECT_NE(outcome.find("permissions"), std::string::npos) << outcome;
}

TEST_F(Permissions, ToCreateAFileAreAskedFor) {
  fs::permissions(dir_.path(), fs::perms(0555));
  const std::string outcome = as_nobody([&] {
    const KVStore store(dir_.file("new.db"));
    return "opened";
  });
  EXPECT_TRUE(outcome.starts_with("read_only: ") || outcome.starts_with("io: ")) << outcome;
  EXPECT_NE(outcome.find("directory"), std::string::npos) << outcome;
}

TEST_F(Permissions, ToEnterTheDirectoryAreAskedFor) {
  fs::permissions(dir_.path(), fs::perms(0700));
  const std::string outcome = opened_by_nobody();
  EXPECT_TRUE(outcome.starts_with("io: ")) << outcome;
  EXPECT_NE(outcome.find("permissions"), std::string::npos) << outcome;
}

TEST_F(Permissions, AreLeftAsTheyWereWhenOpeningFails) {
  fs::permissions(file_, fs::perms(0444));
  const std::string before = bytes_of(file_);
  opened_by_nobody();
  EXPECT_EQ(fs::status(file_).permissions(), fs::perms(0444));
  EXPECT_TRUE(bytes_of(file_) == before);
}

TEST(Opening, AndAFewCallsStartNoThread) {
  const TempDir dir;
  const auto before = threads();
  {
    KVStore store(dir.file("store.db"));
    store.set("k", 1);
    EXPECT_EQ(store.get("k"), json(1));
    EXPECT_EQ(store.keys().size(), 1U);
    EXPECT_EQ(threads(), before);
  }
  EXPECT_EQ(threads(), before);
}

}  // namespace
}  // namespace kvstore::test
