#include "child.hpp"
#include "outside.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* plain_upsert =
    "INSERT INTO kv(key, value) VALUES('old', '\"from outside\"') ON CONFLICT(key) DO UPDATE SET "
    "value = excluded.value, updated_at = CURRENT_TIMESTAMP";

class OlderFile : public testing::Test {
 protected:
  void SetUp() override {
    run_outside(file_, std::string(older_table));
    run_outside(file_,
                "INSERT INTO kv VALUES('old', '{\"a\": [1, 2.5, \"\\u00e9\"]}', "
                "'2021-03-04 05:06:07')");
  }

  TempDir dir_;
  std::string file_ = dir_.file("older.db");
};

TEST_F(OlderFile, KeepsWhatIsInIt) {
  const KVStore store(file_);
  EXPECT_EQ(store.get("old"), json::parse(R"({"a": [1, 2.5, "é"]})"));
}

TEST_F(OlderFile, KeepsTheTextOfItsValues) {
  const KVStore store(file_);
  EXPECT_EQ(store.get_text("old"), "{\"a\": [1, 2.5, \"\\u00e9\"]}");
}

TEST_F(OlderFile, ShowsRevisionZeroAndTheTimeThatWasStored) {
  const KVStore store(file_);
  const auto entry = store.entry("old");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->revision, 0);
  EXPECT_EQ(entry->updated_at.time_since_epoch(), std::chrono::seconds(1'614'834'367));
  EXPECT_FALSE(entry->expires_at);
}

TEST_F(OlderFile, IsNotFilledInByTheUpgrade) {
  { const KVStore store(file_); }
  EXPECT_EQ(Outside(file_).one("SELECT expires_at, revision, checksum FROM kv"), "NULL|NULL|NULL");
}

TEST_F(OlderFile, GivesARevisionWithTheFirstWrite) {
  KVStore store(file_);
  const Revision revision = store.set("old", 1);
  EXPECT_GT(revision, 0);
  EXPECT_EQ(store.entry("old")->revision, revision);
}

TEST_F(OlderFile, GivesARevisionWithTheFirstPlainUpsert) {
  KVStore store(file_);
  run_outside(file_, plain_upsert);
  EXPECT_EQ(store.get("old"), json("from outside"));
  EXPECT_GT(store.entry("old")->revision, 0);
}

TEST_F(OlderFile, IsReplacedByTheRevisionThatItShows) {
  KVStore store(file_);
  EXPECT_TRUE(store.replace("old", 1, 0));
  EXPECT_FALSE(store.replace("old", 2, 0));
}

TEST_F(OlderFile, CanBeErasedAndGetsALaterRevisionAfterwards) {
  KVStore store(file_);
  const Revision first = store.set("old", 1);
  EXPECT_TRUE(store.erase("old"));
  EXPECT_GT(store.set("old", 2), first);
}

TEST_F(OlderFile, TakesAnExpiryForAnEntryThatHasNoRevision) {
  FakeClock clock;
  KVStore store(file_, {.clock = clock.source()});
  EXPECT_TRUE(store.touch("old", Duration(1000)));
  clock.advance(Duration(1000));
  EXPECT_FALSE(store.get("old"));
}

TEST_F(OlderFile, IsMarkedAndInWalModeAfterwards) {
  { const KVStore store(file_); }
  Outside outside(file_);
  EXPECT_EQ(outside.one("PRAGMA user_version"), "1");
  EXPECT_EQ(outside.one("PRAGMA journal_mode"), "wal");
}

TEST_F(OlderFile, HasTheColumnsOfAFreshOne) {
  const std::string fresh = dir_.file("fresh.db");
  { const KVStore upgraded(file_); }
  { const KVStore made(fresh); }
  const std::string columns =
      "SELECT name, type, \"notnull\", dflt_value, pk "
      "FROM pragma_table_xinfo('kv')";
  EXPECT_EQ(Outside(file_).rows(columns), Outside(fresh).rows(columns));
}

TEST_F(OlderFile, OpensAgainAfterTheUpgrade) {
  { KVStore(file_).set("new", 1); }
  EXPECT_EQ(KVStore(file_).count(), 2U);
}

TEST_F(OlderFile, IsUpgradedBesideAnOpenReader) {
  Outside reader(file_);
  reader.run("BEGIN");
  ASSERT_EQ(reader.one("SELECT count(*) FROM kv"), "1");
  reader.run("COMMIT");
  const KVStore store(file_);
  EXPECT_EQ(reader.one("SELECT count(*) FROM kv"), "1");
  reader.run(plain_upsert);
  EXPECT_EQ(store.get("old"), json("from outside"));
}

TEST_F(OlderFile, IsBusyWhileAnotherProgramKeepsItLocked) {
  Outside writer(file_);
  writer.run("BEGIN IMMEDIATE");
  EXPECT_KV_ERROR(KVStore(file_, {.busy_timeout = Duration(20)}), ErrorCode::busy,
                  "other connections");
  writer.run("ROLLBACK");
  EXPECT_EQ(KVStore(file_).count(), 1U);
}

TEST_F(OlderFile, IsLeftAsItIsByAReadOnlyStore) {
  const std::string before = bytes_of(file_);
  EXPECT_KV_ERROR(KVStore(file_, {.read_only = true}), ErrorCode::read_only, "older layout");
  EXPECT_TRUE(bytes_of(file_) == before);
}

TEST_F(OlderFile, IsFinishedWhenAnUpgradeWasHalfDone) {
  run_outside(file_,
              "ALTER TABLE kv ADD COLUMN expires_at TIMESTAMP; "
              "ALTER TABLE kv ADD COLUMN revision INTEGER; "
              "ALTER TABLE kv ADD COLUMN checksum INTEGER");
  KVStore store(file_);
  EXPECT_GT(store.set("old", 1), 0);
  EXPECT_TRUE(store.check().ok());
}

TEST_F(OlderFile, IsUpgradedOnceByManyProcesses) {
  std::vector<std::unique_ptr<Process>> processes;
  for (int i = 0; i < 4; ++i) {
    processes.push_back(
        std::make_unique<Process>(worker({"open", file_, "by" + std::to_string(i)})));
    ASSERT_EQ(processes.back()->line(), "ready");
  }
  for (const auto& process : processes) process->write_line("go");
  for (const auto& process : processes) EXPECT_EQ(process->wait(), 0);
  EXPECT_EQ(KVStore(file_).count(), 5U);
  EXPECT_EQ(Outside(file_).one("SELECT count(*) FROM kv_floor"), "1");
}

class Fixture : public testing::Test {
 protected:
  /// A copy, since opening may change the file.
  std::string copy_of(const std::string& name) {
    std::string copy = dir_.file(name);
    fs::copy_file(fs::path(KVSTORE_TEST_FILES) / "fixtures" / name, copy);
    fs::permissions(copy, fs::perms(0600));
    return copy;
  }

  TempDir dir_;
};

TEST_F(Fixture, OfFormatOneReadsAsItWasWritten) {
  FakeClock clock;
  const KVStore store(copy_of("format-1.db"), {.clock = clock.source()});
  EXPECT_EQ(store.get("number"), json(42));
  EXPECT_EQ(store.get("größe/ü"), json({{"nested", {1, nullptr, true, 1.5}}}));
  EXPECT_EQ(store.get(""), json("the empty key"));
  EXPECT_EQ(store.get("outside"), json("no checksum"));
  const auto expiring = store.entry("expiring");
  ASSERT_TRUE(expiring);
  EXPECT_EQ(expiring->revision, 1'700'000'000'000'003);
  EXPECT_EQ(expiring->updated_at.time_since_epoch(), Duration(1'700'000'000'000));
  EXPECT_EQ(expiring->expires_at->time_since_epoch(), Duration(4'102'444'800'000));
  EXPECT_TRUE(store.check().ok());
}

TEST_F(Fixture, OfFormatOneVerifiesItsChecksums) {
  const std::string file = copy_of("format-1.db");
  EXPECT_EQ(Outside(file).one("SELECT count(checksum) FROM kv"), "4");
}

TEST_F(Fixture, OfTheOlderFormReadsAsItWasWritten) {
  KVStore store(copy_of("older.db"));
  EXPECT_EQ(store.get("settings"), json::parse(R"({"theme": "dark", "size": 12})"));
  EXPECT_EQ(store.get("text"), json("é \xF0\x9F\x98\x80"));
  EXPECT_EQ(store.count(), 3U);
  EXPECT_GT(store.set("settings", 1), 0);
}

}  // namespace
}  // namespace kvstore::test
