#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <thread>

#include "child.hpp"
#include "outside.hpp"
#include "told.hpp"

namespace kvstore::test {
namespace {

namespace fs = std::filesystem;
using Lines = std::vector<std::string>;

/// What a watch is told of commits that others make to the same file.
class WatchOfOthers : public testing::Test {
 protected:
  WatchOfOthers() {
    options_.clock = clock_.source();
    options_.durability = Durability::normal;
    options_.on_background_error = errors_.on_error();
    store_ = std::make_unique<KVStore>(file_, options_);
  }

  [[nodiscard]] Subscription watch(const std::string& prefix = "") {
    return store_->watch(prefix, told_.callback());
  }

  /// What was told of all that was committed so far.
  Lines all_told(const std::string& last = "~end") {
    run_outside(file_, "INSERT INTO kv (key, value) VALUES ('" + last + "', '" +
                           std::to_string(++ends_) +
                           "') ON CONFLICT (key) DO UPDATE SET value = "
                           "excluded.value");
    Lines lines = told_.until("set " + last + " " + std::to_string(ends_));
    if (!lines.empty()) lines.pop_back();
    return lines;
  }

  /// Fills the store with "k/0" and so on, and "other/0" and so on.
  void fill(int keys, int others) {
    std::map<std::string, int> items;
    for (int i = 0; i < keys; ++i) items["k/" + std::to_string(i)] = i;
    for (int i = 0; i < others; ++i) items["other/" + std::to_string(i)] = i;
    store_->set_many(items);
  }

  /// Runs SQL that no trigger notices.
  void behind_the_triggers(const std::string& sql) const {
    Outside outside(file_);
    sqlite3_db_config(outside.handle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    outside.run(sql);
  }

  FakeClock clock_;
  Options options_;
  TempDir dir_;
  std::string file_ = dir_.file("store.db");
  Told told_, errors_;
  std::unique_ptr<KVStore> store_;
  int ends_ = 0;
};

TEST_F(WatchOfOthers, TellsOfAnotherStoreOnTheSameFile) {
  KVStore other(file_, options_);
  const Subscription subscription = watch();
  const Revision revision = other.set("k", {{"n", 1}});
  const Change change = told_.one();
  EXPECT_EQ(line_of(change), "set k {\"n\":1}");
  EXPECT_EQ(change.revision, revision);
  other.erase("k");
  EXPECT_EQ(line_of(told_.one()), "erased k");
}

TEST_F(WatchOfOthers, TellsOfAnotherProcess) {
  store_->set("gone", 1);
  const Subscription subscription = watch();
  Process other(worker({"obey", file_}));
  ASSERT_EQ(other.line(), "ready");
  other.write_line("set k [1, 2]");
  EXPECT_EQ(line_of(told_.one()), "set k [1,2]");
  other.write_line("erase gone");
  EXPECT_EQ(line_of(told_.one()), "erased gone");
}

TEST_F(WatchOfOthers, TellsOfTheShell) {
  store_->set_many({{"a", 1}, {"b", 2}, {"c", 3}});
  const Subscription subscription = watch();
  run_outside(file_,
              "BEGIN; INSERT INTO kv (key, value) VALUES ('new', '4');"
              "UPDATE kv SET value = '20' WHERE key = 'b';"
              "UPDATE kv SET key = 'c2' WHERE key = 'c';"
              "DELETE FROM kv WHERE key = 'a'; COMMIT");
  EXPECT_EQ(all_told(), (Lines{"erased a", "set b 20", "erased c", "set c2 3", "set new 4"}));
}

TEST_F(WatchOfOthers, TellsOfReplacedRows) {
  const Revision revision = store_->set("k", 1);
  const Subscription subscription = watch();
  run_outside(file_, "REPLACE INTO kv (key, value) VALUES ('k', '2')");
  const Change change = told_.one();
  EXPECT_EQ(line_of(change), "set k 2");
  EXPECT_GT(change.revision, revision);
}

TEST_F(WatchOfOthers, TellsNothingOfTheirOtherKeysAndRolledBackWrites) {
  const Subscription subscription = watch("k/");
  run_outside(file_, "INSERT INTO kv (key, value) VALUES ('other', '1')");
  run_outside(file_, "BEGIN; INSERT INTO kv (key, value) VALUES ('k/x', '1'); ROLLBACK");
  run_outside(file_, "CREATE TABLE strange (x)");
  EXPECT_EQ(all_told("k/~"), Lines{});
}

TEST_F(WatchOfOthers, TellsOfExpiriesThatTheySet) {
  KVStore other(file_, options_);
  const Subscription subscription = watch();
  other.set("k", 1, {.ttl = Duration(1000)});
  other.set("never visible", 1, {.ttl = Duration(0)});
  other.set("moved", 1, {.ttl = Duration(1000)});
  other.touch("moved", Duration(2000));
  EXPECT_EQ(all_told(), (Lines{"set k 1", "set moved 1"}));
  clock_.advance(Duration(1000));
  other.purge_expired();
  EXPECT_EQ(all_told(), Lines{"expired k"});
  clock_.advance(Duration(1000));
  EXPECT_EQ(line_of(told_.one()), "expired moved");
}

TEST_F(WatchOfOthers, ComparesManyKeysInTheOrderOfTheTable) {
  fill(3000, 100);
  const Subscription subscription = watch("k/");
  run_outside(file_,
              "BEGIN; UPDATE kv SET value = '7' WHERE key IN ('k/5', 'other/5');"
              "DELETE FROM kv WHERE key IN ('k/6', 'other/6');"
              "INSERT INTO kv (key, value) VALUES ('k/5000', '8'); COMMIT");
  EXPECT_EQ(all_told("k/~"), (Lines{"set k/5 7", "set k/5000 8", "erased k/6"}));
}

TEST_F(WatchOfOthers, ComparesFewKeysOfManyByThemselves) {
  fill(1200, 20'000);
  const Subscription subscription = watch("k/");
  for (const std::string value : {"7", "8"}) {
    run_outside(file_, "UPDATE kv SET value = '" + value + "' WHERE key IN ('k/5', 'other/5')");
    EXPECT_EQ(all_told("k/~"), Lines{"set k/5 " + value});
  }
}

TEST_F(WatchOfOthers, MissesNoneBetweenOurOwnCommits) {
  const Subscription subscription = watch("theirs");
  std::atomic<bool> over{false};
  std::thread busy([&] {
    for (int i = 0; !over; ++i) store_->set("ours", i);
  });
  KVStore other(file_, options_);
  const int commits = long_run() ? 500 : 20;
  for (int i = 0; i < commits; ++i) {
    other.set("theirs", i);
    told_.until("set theirs " + std::to_string(i));
  }
  over = true;
  busy.join();
}

TEST_F(WatchOfOthers, ShowsASlowCallbackTheNewestState) {
  std::atomic<bool> first{true};
  KVStore other(file_, options_);
  const Subscription subscription = store_->watch("", [&](const Change& change) {
    if (first.exchange(false)) {
      for (int i = 0; i < 50; ++i) other.set("k", i);
    }
    told_.callback()(change);
  });
  other.set("a", 1);
  EXPECT_EQ(told_.until("set k 49"), (Lines{"set a 1", "set k 49"}));
}

TEST_F(WatchOfOthers, NoticesAChangeWithoutARevision) {
  store_->set_many({{"a", 1}, {"b", 1}, {"c", 1}});
  behind_the_triggers("UPDATE kv SET revision = NULL, checksum = NULL");
  const Subscription subscription = watch();
  behind_the_triggers("UPDATE kv SET value = '2' WHERE key = 'a'");
  behind_the_triggers("UPDATE kv SET updated_at = '2030-01-01 00:00:00' WHERE key = 'b'");
  behind_the_triggers("DELETE FROM kv WHERE key = 'c'");
  EXPECT_EQ(all_told(), (Lines{"set a 2", "set b 1", "erased c"}));
}

TEST_F(WatchOfOthers, NoticesARevisionThatFell) {
  store_->set("k", 1);
  const Subscription subscription = watch();
  behind_the_triggers("UPDATE kv SET value = '2', revision = 5, checksum = NULL");
  const Change change = told_.one();
  EXPECT_EQ(line_of(change), "set k 2");
  EXPECT_EQ(change.revision, 5);
}

TEST_F(WatchOfOthers, ReportsADamagedRowOnceAndLivesOn) {
  store_->set_many({{"bad", "value"}, {"good", 1}});
  const Subscription subscription = watch();
  behind_the_triggers(
      "UPDATE kv SET value = '\"walue\"', revision = revision + 1 WHERE key = 'bad'");
  EXPECT_EQ(errors_.one().key.substr(0, 21), "corrupt: the entry \"b");
  run_outside(file_, "UPDATE kv SET value = '2' WHERE key = 'good'");
  EXPECT_EQ(all_told(), Lines{"set good 2"});
  EXPECT_EQ(errors_.size(), 0U);
  store_->set("bad", "mended");
  EXPECT_EQ(all_told(), Lines{"set bad \"mended\""});
}

TEST_F(WatchOfOthers, ReportsADamagedExpiryInsteadOfBelievingIt) {
  store_->set("k", 1, {.ttl = Duration(1'000'000)});
  const Subscription subscription = watch();
  behind_the_triggers("UPDATE kv SET expires_at = '1999-01-01 00:00:00.000'");
  EXPECT_EQ(errors_.one().key.substr(0, 8), "corrupt:");
  EXPECT_EQ(all_told(), Lines{});
  EXPECT_EQ(errors_.size(), 0U);
}

TEST_F(WatchOfOthers, ReportsAValueThatIsNotAcceptedAndLivesOn) {
  const Subscription subscription = watch();
  run_outside(file_, "INSERT INTO kv (key, value) VALUES ('k', '1e400')");
  EXPECT_EQ(errors_.one().key.substr(0, 14), "invalid_value:");
  run_outside(file_, "UPDATE kv SET value = '1e4' WHERE key = 'k'");
  EXPECT_EQ(all_told(), Lines{"set k 10000.0"});
}

TEST_F(WatchOfOthers, ReportsOnceThatTheFileWasReplaced) {
  const Subscription subscription = watch();
  const std::string other = dir_.file("other.db");
  KVStore(other).set("k", 1);
  fs::rename(other, file_);
  EXPECT_EQ(errors_.one().key.substr(0, 3), "io:");
  KVStore(file_).set("k", 2);
  EXPECT_EQ(told_.size(), 0U);
}

TEST_F(WatchOfOthers, ReportsThatTheFileWasDeleted) {
  const Subscription subscription = watch();
  fs::remove(file_);
  const std::string report = errors_.one().key;
  EXPECT_EQ(report.substr(0, 3), "io:");
  EXPECT_NE(report.find("deleted"), std::string::npos) << report;
}

TEST_F(WatchOfOthers, WorksForAReaderBesideAWriter) {
  options_.read_only = true;
  const KVStore keeps_the_log(file_, options_);
  KVStore reader(file_, options_);
  const Subscription subscription = reader.watch("", told_.callback());
  store_->set("k", 1);
  EXPECT_EQ(line_of(told_.one()), "set k 1");
}

TEST_F(WatchOfOthers, WorksForAReaderOfAClosedFile) {
  store_->set("k", 0);
  store_->close();
  options_.read_only = true;
  KVStore reader(file_, options_);
  const Subscription subscription = reader.watch("", told_.callback());
  Process other(worker({"obey", file_}));
  ASSERT_EQ(other.line(), "ready");
  for (int i = 1; i <= 10; ++i) {
    other.write_line("set k " + std::to_string(i));
    told_.until("set k " + std::to_string(i));
  }
  other.close_input();
  EXPECT_EQ(other.wait(), 0);
  EXPECT_EQ(reader.get("k"), json(10));
}

class WatchOfPython : public testing::Test {
 protected:
  void SetUp() override {
    if (run_program({"/usr/bin/python3", "-c", "import sqlite3"}) != 0) {
      GTEST_SKIP() << "there is no Python with its sqlite3 module";
    }
    python({"create", file_, "20"});
  }

  static void python(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(),
                     {"/usr/bin/python3", KVSTORE_TEST_FILES "/python/older_program.py"});
    std::string output;
    ASSERT_EQ(run_program(arguments, &output), 0) << output;
  }

  TempDir dir_;
  std::string file_ = dir_.file("python.db");
  Told told_;
};

TEST_F(WatchOfPython, TellsOfItsPlainUpserts) {
  KVStore store(file_);
  const Subscription subscription = store.watch("old", told_.callback());
  python({"write", file_, "old", "3"});
  EXPECT_EQ(told_.until("set old2 2").back(), "set old2 2");
  EXPECT_EQ(store.get("old0"), json(0));
}

TEST_F(WatchOfPython, TellsOfChangedRowsThatNeverHadARevision) {
  KVStore store(file_);
  ASSERT_EQ(store.entry("old7")->revision, 0);
  const Subscription subscription = store.watch("old7", told_.callback());
  python({"write", file_, "old", "10"});
  const Change change = told_.one();
  EXPECT_EQ(line_of(change), "set old7 7");
  EXPECT_GT(change.revision, 0);
}

}  // namespace
}  // namespace kvstore::test
