#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <map>

#include <kvstore/engine/sqlite.hpp>
#include <kvstore/engine/sqlite_open.hpp>

#include "child.hpp"
#include "outside.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

namespace fs = std::filesystem;

/// SQL without white space and case, which change nothing.
std::string squeezed(std::string_view sql) {
  std::string out;
  for (const char c : sql) {
    if (std::isspace(static_cast<unsigned char>(c)) == 0) {
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return out;
}

/// The schema as it is documented, by name.
const std::map<std::string, std::string, std::less<>>& documented_schema() {
  static const std::map<std::string, std::string, std::less<>> schema = {
      {"kv", R"(CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL,
          updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP, expires_at TIMESTAMP, revision INTEGER,
          checksum INTEGER))"},
      {"kv_expires_at",
       "CREATE INDEX kv_expires_at ON kv(expires_at) WHERE expires_at IS NOT NULL"},
      {"kv_floor", "CREATE TABLE kv_floor(revision INTEGER NOT NULL)"},
      {"kv_outside_replace", R"(CREATE TRIGGER kv_outside_replace BEFORE INSERT ON kv BEGIN
          UPDATE kv_floor SET revision = (SELECT k.revision FROM kv k WHERE k.key = NEW.key)
          WHERE revision < (SELECT k.revision FROM kv k WHERE k.key = NEW.key); END)"},
      {"kv_outside_insert", R"(CREATE TRIGGER kv_outside_insert AFTER INSERT ON kv BEGIN
          SELECT RAISE(ABORT, 'kv: key must be text, value must be JSON text')
          WHERE typeof(NEW.key) || typeof(NEW.value) <> 'texttext' OR instr(NEW.key, char(0))
          OR instr(NEW.value, char(0)) OR NOT json_valid(NEW.value);
          UPDATE kv SET checksum = NULL, updated_at = coalesce(NEW.updated_at, CURRENT_TIMESTAMP),
          expires_at = strftime('%Y-%m-%d %H:%M:%f', NEW.expires_at),
          revision = max(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000,
          (SELECT revision FROM kv_floor) + 1) WHERE rowid = NEW.rowid; END)"},
      {"kv_outside_update", R"(CREATE TRIGGER kv_outside_update AFTER UPDATE OF key, value ON kv
          BEGIN SELECT RAISE(ABORT, 'kv: key must be text, value must be JSON text')
          WHERE typeof(NEW.key) || typeof(NEW.value) <> 'texttext' OR instr(NEW.key, char(0))
          OR instr(NEW.value, char(0)) OR NOT json_valid(NEW.value);
          UPDATE kv SET checksum = NULL,
          updated_at = coalesce(nullif(NEW.updated_at, OLD.updated_at), CURRENT_TIMESTAMP),
          expires_at = strftime('%Y-%m-%d %H:%M:%f', nullif(NEW.expires_at, OLD.expires_at)),
          revision = max(CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000,
          coalesce(OLD.revision, 0) + 1, (SELECT revision FROM kv_floor) + 1)
          WHERE rowid = NEW.rowid; END)"},
      {"kv_outside_touch", R"(CREATE TRIGGER kv_outside_touch
          AFTER UPDATE OF updated_at, expires_at, revision ON kv WHEN NEW.checksum IS NOT NULL BEGIN
          UPDATE kv SET checksum = NULL WHERE rowid = NEW.rowid; END)"},
      {"kv_outside_delete", R"(CREATE TRIGGER kv_outside_delete AFTER DELETE ON kv
          WHEN OLD.revision > (SELECT revision FROM kv_floor) BEGIN
          UPDATE kv_floor SET revision = OLD.revision; END)"}};
  return schema;
}

void expect_documented_schema(const std::string& file) {
  Outside outside(file);
  std::size_t found = 0;
  for (const auto& [name, sql] : documented_schema()) {
    SCOPED_TRACE(name);
    const auto texts = outside.rows("SELECT sql FROM sqlite_master WHERE name = '" + name + "'");
    ASSERT_EQ(texts.size(), 1U);
    EXPECT_EQ(squeezed(texts[0]), squeezed(sql));
    ++found;
  }
  EXPECT_EQ(outside.one("SELECT count(*) FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"),
            std::to_string(found));
}

unsigned mode_of(const std::string& file) {
  struct stat facts {};
  return stat(file.c_str(), &facts) == 0 ? facts.st_mode & 07777U : 0;
}

/// The permissions of file, -wal and -shm of a new store, and the umask afterwards.
std::string modes_under(mode_t mask, const std::string& file, const Options& options) {
  return in_child([&] {
    umask(mask);
    KVStore store(file, options);
    store.set("k", 1);
    std::ostringstream text;
    text << std::oct << mode_of(file) << ' ' << mode_of(file + "-wal") << ' '
         << mode_of(file + "-shm") << ' ' << umask(0);
    return text.str();
  });
}

std::int64_t setting(sqlite3* database, int option) {
  int now = -1;
  sqlite3_db_config(database, option, -1, &now);
  return now;
}

std::int64_t pragma(sqlite3* database, const std::string& name) {
  std::int64_t value = -1;
  engine::execute(database, "PRAGMA " + name, name,
                  [&](sqlite3_stmt* row) { value = sqlite3_column_int64(row, 0); });
  return value;
}

std::int64_t pragma(engine::Connection& connection, const std::string& name) {
  std::int64_t value = -1;
  connection.run("PRAGMA " + name, {}, [&](engine::Row row) {
    value = std::get<std::int64_t>(row[0]);
    return true;
  });
  return value;
}

class FileFormat : public testing::Test {
 protected:
  TempDir dir_;
  std::string file_ = dir_.file("store.db");
};

TEST_F(FileFormat, HasExactlyTheDocumentedSchema) {
  { const KVStore store(file_); }
  expect_documented_schema(file_);
}

TEST_F(FileFormat, HasTheDocumentedColumnsInTheirOrder) {
  { const KVStore store(file_); }
  Outside outside(file_);
  const std::vector<std::string> expected = {"key|TEXT|0|NULL|1",
                                             "value|TEXT|1|NULL|0",
                                             "updated_at|TIMESTAMP|0|CURRENT_TIMESTAMP|0",
                                             "expires_at|TIMESTAMP|0|NULL|0",
                                             "revision|INTEGER|0|NULL|0",
                                             "checksum|INTEGER|0|NULL|0"};
  EXPECT_EQ(outside.rows("SELECT name, type, \"notnull\", dflt_value, pk "
                         "FROM pragma_table_xinfo('kv')"),
            expected);
}

TEST_F(FileFormat, IsMarkedAsVersionOne) {
  { const KVStore store(file_); }
  Outside outside(file_);
  EXPECT_EQ(outside.one("PRAGMA application_id"), std::to_string(0x6B767374));
  EXPECT_EQ(outside.one("PRAGMA user_version"), "1");
}

TEST_F(FileFormat, StaysInWalModeAfterItIsClosed) {
  { const KVStore store(file_); }
  EXPECT_EQ(Outside(file_).one("PRAGMA journal_mode"), "wal");
}

TEST_F(FileFormat, BeginsWithOneFloorOfZero) {
  { const KVStore store(file_); }
  EXPECT_EQ(Outside(file_).one("SELECT revision, typeof(revision) FROM kv_floor"), "0|integer");
}

TEST_F(FileFormat, StoresARowInTheDocumentedForm) {
  FakeClock clock;
  KVStore store(file_, {.clock = clock.source()});
  const Revision revision = store.set("k", {{"b", 1}, {"a", "é"}}, {.ttl = Duration(90'001)});
  EXPECT_EQ(Outside(file_).one("SELECT key, value, updated_at, expires_at, revision, "
                               "typeof(key), typeof(value), typeof(checksum) FROM kv"),
            "k|{\"a\":\"é\",\"b\":1}|2023-11-14 22:13:20.000|2023-11-14 22:14:50.001|" +
                std::to_string(revision) + "|text|text|integer");
}

TEST_F(FileFormat, LeavesExpiryNullForAnEntryThatNeverExpires) {
  KVStore store(file_);
  store.set("k", 1);
  EXPECT_EQ(Outside(file_).one("SELECT expires_at FROM kv"), "NULL");
}

TEST_F(FileFormat, SaturatesATtlInTheYear9999) {
  KVStore store(file_);
  store.set("k", 1, {.ttl = Duration::max()});
  EXPECT_EQ(Outside(file_).one("SELECT expires_at FROM kv"), "9999-12-31 23:59:59.999");
}

TEST_F(FileFormat, CountsRevisionsFromTheClockInMicroseconds) {
  FakeClock clock;
  KVStore store(file_, {.clock = clock.source()});
  EXPECT_GE(store.set("k", 1), 1'700'000'000'000'000);
}

TEST_F(FileFormat, RaisesTheFloorToTheRevisionOfAnErasedRow) {
  KVStore store(file_);
  const Revision revision = store.set("k", 1);
  store.erase("k");
  EXPECT_EQ(Outside(file_).one("SELECT revision FROM kv_floor"), std::to_string(revision));
}

TEST_F(FileFormat, LeavesTheFloorWhereItIsWhenAnExistingKeyIsSet) {
  KVStore store(file_);
  store.set("k", 1);
  store.set("k", 2);
  EXPECT_EQ(Outside(file_).one("SELECT revision FROM kv_floor"), "0");
}

TEST_F(FileFormat, NeverRepeatsARevisionAfterAnEraseAndAClockThatStepsBack) {
  FakeClock clock;
  Revision before = 0;
  {
    KVStore store(file_, {.clock = clock.source()});
    before = store.set("k", 1);
    store.erase("k");
  }
  clock.advance(Duration(-86'400'000));
  KVStore store(file_, {.clock = clock.source()});
  EXPECT_GT(store.set("k", 2), before);
}

TEST_F(FileFormat, RaisesTheFloorWhenARangeIsErased) {
  KVStore store(file_);
  store.set("a", 1);
  const Revision last = store.set("b", 2);
  store.erase_range({});
  EXPECT_EQ(Outside(file_).one("SELECT revision FROM kv_floor"), std::to_string(last));
}

TEST_F(FileFormat, RaisesTheFloorWhenExpiredEntriesArePurged) {
  FakeClock clock;
  KVStore store(file_, {.clock = clock.source()});
  const Revision revision = store.set("k", 1, {.ttl = Duration(1)});
  clock.advance(Duration(2));
  EXPECT_EQ(store.purge_expired(), 1U);
  EXPECT_EQ(Outside(file_).one("SELECT revision FROM kv_floor"), std::to_string(revision));
}

TEST_F(FileFormat, IsPrivateToItsOwnerUnderAnOpenUmask) {
  EXPECT_EQ(modes_under(0, file_, {}), "600 600 600 0");
}

TEST_F(FileFormat, IsPrivateToItsOwnerUnderAStrictUmask) {
  EXPECT_EQ(modes_under(077, file_, {}), "600 600 600 77");
}

TEST_F(FileFormat, GetsExactlyTheModeThatWasAskedFor) {
  EXPECT_EQ(modes_under(077, file_, {.file_mode = fs::perms(0660)}), "660 660 660 77");
}

TEST_F(FileFormat, KeepsTheModeOfAFileThatExists) {
  { const KVStore store(file_); }
  fs::permissions(file_, fs::perms(0640));
  EXPECT_EQ(modes_under(022, file_, {.file_mode = fs::perms(0600)}), "640 640 640 22");
}

TEST_F(FileFormat, LiesWhereASymbolicLinkPoints) {
  fs::create_directory(dir_.path() / "real");
  { KVStore(dir_.file("real/store.db")).set("k", 1); }
  fs::create_symlink("real/store.db", dir_.path() / "link.db");
  KVStore by_link(dir_.file("link.db"));
  by_link.set("k", 2);
  EXPECT_TRUE(fs::exists(dir_.path() / "real/store.db-wal"));
  EXPECT_FALSE(fs::exists(dir_.path() / "link.db-wal"));
  EXPECT_EQ(KVStore(dir_.file("real/store.db")).get("k"), json(2));
}

TEST_F(FileFormat, IsCreatedWhereADanglingSymbolicLinkPoints) {
  fs::create_directory(dir_.path() / "real");
  fs::create_symlink("real/new.db", dir_.path() / "link.db");
  KVStore store(dir_.file("link.db"));
  store.set("k", 1);
  EXPECT_TRUE(fs::is_symlink(dir_.path() / "link.db"));
  EXPECT_EQ(mode_of(dir_.file("real/new.db")), 0600U);
  EXPECT_TRUE(fs::exists(dir_.path() / "real/new.db-wal"));
}

TEST_F(FileFormat, RefusesALoopOfSymbolicLinks) {
  fs::create_symlink("b.db", dir_.path() / "a.db");
  fs::create_symlink("a.db", dir_.path() / "b.db");
  EXPECT_KV_ERROR(KVStore(dir_.file("a.db")), ErrorCode::io, "symbolic links");
}

TEST_F(FileFormat, HasNoLogBesideItAfterTheLastClose) {
  {
    KVStore first(file_);
    KVStore second(file_);
    first.set("k", 1);
    second.set("k", 2);
  }
  EXPECT_FALSE(fs::exists(file_ + "-wal"));
  EXPECT_FALSE(fs::exists(file_ + "-shm"));
}

TEST_F(FileFormat, IsReadWithTriggersViewsAndExtensionsOff) {
  { const KVStore store(file_); }
  const engine::Database database = engine::DatabaseFile(file_, {}).open({});
  EXPECT_EQ(setting(database.get(), SQLITE_DBCONFIG_DEFENSIVE), 1);
  EXPECT_EQ(setting(database.get(), SQLITE_DBCONFIG_ENABLE_TRIGGER), 0);
  EXPECT_EQ(setting(database.get(), SQLITE_DBCONFIG_ENABLE_VIEW), 0);
  EXPECT_EQ(setting(database.get(), SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION), 0);
  EXPECT_EQ(setting(database.get(), SQLITE_DBCONFIG_TRUSTED_SCHEMA),
            sqlite3_libversion_number() < 3041000 ? 1 : 0);
}

TEST_F(FileFormat, IsReadWithCarefulPragmas) {
  { const KVStore store(file_); }
  const engine::Database database = engine::DatabaseFile(file_, {}).open({});
  EXPECT_EQ(pragma(database.get(), "mmap_size"), 0);
  EXPECT_EQ(pragma(database.get(), "wal_autocheckpoint"), 0);
}

TEST_F(FileFormat, IsWrittenByAConnectionThatLooksAtEachCell) {
  { const KVStore store(file_); }
  const std::unique_ptr<engine::Engine> engine = engine::open_sqlite_file(file_, {});
  for (const char* which : {"the one that opened the file", "a later one"}) {
    EXPECT_EQ(pragma(*engine->connect(engine::Access::write), "cell_size_check"), 1) << which;
  }
}

TEST_F(FileFormat, IsWrittenByAConnectionThatErasesWhatItFreesWhereThatCostsNoWrite) {
  { const KVStore store(file_); }
  const std::unique_ptr<engine::Engine> engine = engine::open_sqlite_file(file_, {});
  for (const char* which : {"the one that opened the file", "a later one"}) {
    EXPECT_EQ(pragma(*engine->connect(engine::Access::write), "secure_delete"), 2) << which;
  }
}

TEST_F(FileFormat, IsWrittenByAConnectionThatSyncsAsTheDurabilityAsks) {
  { const KVStore store(file_); }
  for (const auto& [durability, level] :
       {std::pair(Durability::full, 2), {Durability::normal, 1}}) {
    const std::unique_ptr<engine::Engine> engine =
        engine::open_sqlite_file(file_, {.durability = durability});
    EXPECT_EQ(pragma(*engine->connect(engine::Access::write), "synchronous"), level);
  }
}

TEST_F(FileFormat, IsSyncedByWhoOnlyReadsWhenTheyCloseItLast) {
  { const KVStore store(file_); }
  const std::unique_ptr<engine::Engine> engine = engine::open_sqlite_file(file_, {});
  EXPECT_EQ(pragma(*engine->connect(engine::Access::read), "synchronous"), 2);
}

TEST_F(FileFormat, RunsNoTriggerOfAStrangerForItsOwnWrites) {
  { const KVStore store(file_); }
  run_outside(file_, "CREATE TRIGGER evil AFTER INSERT ON kv BEGIN DELETE FROM kv; END");
  KVStore store(file_);
  store.set("k", 1);
  EXPECT_EQ(store.get("k"), json(1));
}

TEST_F(FileFormat, GetsBackAPartThatAnOutsiderDropped) {
  { const KVStore store(file_); }
  run_outside(file_, "DROP TRIGGER kv_outside_update; DROP INDEX kv_expires_at");
  { const KVStore store(file_); }
  expect_documented_schema(file_);
}

TEST_F(FileFormat, GetsBackAPartWhoseDroppingIsInTheLogAlone) {
  { const KVStore store(file_); }
  Outside outside(file_);
  outside.run("DROP TRIGGER kv_outside_update");
  { const KVStore store(file_); }
  expect_documented_schema(file_);
}

}  // namespace
}  // namespace kvstore::test
