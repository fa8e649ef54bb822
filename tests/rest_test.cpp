#include <array>
#include <atomic>
#include <chrono>
#include <iostream>
#include <memory>
#include <random>
#include <thread>
#include <utility>

#include <kvstore/engine/sqlite.hpp>
#include <kvstore/engine/sqlite_open.hpp>
#include <kvstore/engine/sqlite_schema.hpp>

#include "announcements.hpp"
#include "child.hpp"
#include "outside.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

namespace fs = std::filesystem;

/// A store that nobody has open.
class AtRest : public testing::Test {
 protected:
  AtRest() {
    KVStore store(file_);
    store.set("k", "old");
    store.set("other", 2);
  }

  [[nodiscard]] bool has_log() const { return fs::exists(file_ + "-wal"); }

  /// What another process does while the store is open here.
  void elsewhere(const std::string& sql) const {
    const std::string script = "import sqlite3\ndb = sqlite3.connect('" + file_ +
                               "', timeout=20, isolation_level=None)\n" + "db.executescript(\"" +
                               sql + "\")\ndb.close()\n";
    std::string output;
    ASSERT_EQ(run_program({"python3", "-c", script}, &output), 0) << output;
  }

  TempDir dir_;
  std::string file_ = dir_.file("store.db");
};

constexpr auto change = "UPDATE kv SET value = '\\\"new\\\"' WHERE key = 'k';";

TEST_F(AtRest, IsReadWithoutAnyFileBesideIt) {
  const KVStore store(file_);
  EXPECT_EQ(store.get("k"), "old");
  EXPECT_EQ(store.get("nobody"), std::nullopt);
  EXPECT_EQ(store.get_text("other"), "2");
  EXPECT_TRUE(store.contains("k"));
  EXPECT_EQ(store.entry("k")->value, "old");
  EXPECT_GT(store.stats().file_bytes, 0U);
  const auto begin = fs::directory_iterator(dir_.path());
  EXPECT_EQ(std::distance(begin, fs::directory_iterator()), 1);
}

TEST_F(AtRest, ShowsWhatAnotherProcessHasCommittedSinceItWasOpened) {
  const KVStore store(file_);
  elsewhere(change);
  EXPECT_EQ(store.get("k"), "new");
}

TEST_F(AtRest, ShowsWhatAnotherProcessHasCommittedSinceItWasRead) {
  const KVStore store(file_);
  EXPECT_EQ(store.get("k"), "old");
  elsewhere(change);
  EXPECT_EQ(store.get("k"), "new");
}

TEST_F(AtRest, ShowsWhatWasMovedFromALogThatIsEmptyNow) {
  const KVStore store(file_);
  EXPECT_EQ(store.get("k"), "old");
  elsewhere(std::string(change) + "PRAGMA wal_checkpoint(TRUNCATE);");
  EXPECT_EQ(store.get("k"), "new");
}

TEST_F(AtRest, ShowsWhatThisProcessHasCommittedOverAnotherHandle) {
  const KVStore store(file_);
  EXPECT_EQ(store.get("k"), "old");
  KVStore(file_).set("k", "new");
  EXPECT_EQ(store.get("k"), "new");
}

TEST_F(AtRest, ShowsWhatTheStoreItselfWrites) {
  KVStore store(file_);
  EXPECT_EQ(store.get("k"), "old");
  store.set("k", "new");
  EXPECT_EQ(store.get("k"), "new");
}

TEST_F(AtRest, MovesTheLogIntoTheFileThatAnotherProcessCouldNot) {
  {
    const KVStore store(file_);
    EXPECT_EQ(store.get("k"), "old");
    elsewhere(change);
    EXPECT_TRUE(has_log());
  }
  EXPECT_FALSE(has_log());
  EXPECT_EQ(KVStore(file_).get("k"), "new");
}

TEST_F(AtRest, MovesThatLogAlsoWhenItWasNeverRead) {
  {
    const KVStore store(file_);
    elsewhere(change);
    EXPECT_TRUE(has_log());
  }
  EXPECT_FALSE(has_log());
  EXPECT_EQ(KVStore(file_).get("k"), "new");
}

TEST_F(AtRest, StaysInWalModeAsLongAsItIsOpen) {
  const KVStore store(file_);
  EXPECT_EQ(store.get("k"), "old");
  std::string output;
  const std::string script = "import sqlite3\ndb = sqlite3.connect('" + file_ +
                             "', timeout=0)\ndb.execute('PRAGMA journal_mode = DELETE')\n";
  EXPECT_NE(run_program({"python3", "-c", script}, &output), 0);
  EXPECT_NE(output.find("locked"), std::string::npos) << output;
}

TEST_F(AtRest, IsOpenedForWhatNeedsOneMoment) {
  const KVStore store(file_);
  const std::array<std::string_view, 2> keys = {"k", "other"};
  EXPECT_EQ(store.get_many({keys[0], keys[1]}).size(), 2U);
  EXPECT_TRUE(has_log());
}

TEST_F(AtRest, IsOpenedWhenItIsReadOften) {
  const KVStore store(file_);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(store.get("k"), "old");
  EXPECT_TRUE(has_log());
  EXPECT_GT(store.stats().cache_bytes, 0U);
}

TEST_F(AtRest, HandsOutNoRowTwiceWhenAStatementTurnsOutToReadMore) {
  const auto engine = engine::open_sqlite_file(file_, {});
  const auto connection = engine->connect(engine::Access::read_row);
  std::vector<std::string> keys;
  connection->run("SELECT key FROM kv ORDER BY key", {}, [&](engine::Row row) {
    keys.emplace_back(std::get<std::string_view>(row[0]));
    return true;
  });
  EXPECT_EQ(keys, (std::vector<std::string>{"k", "other"}));
  EXPECT_TRUE(has_log());
}

TEST_F(AtRest, IsReadByManyThreadsAtOnce) {
  const KVStore store(file_);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) wrong += store.get("k") == "old" ? 0 : 1;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(AtRest, TellsAWatchWhatAnotherProcessCommits) {
  KVStore store(file_);
  std::atomic<bool> told{false};
  const Subscription watch = store.watch("k", [&](const Change& what) {
    told = what.value == "new";
    told.notify_all();
  });
  elsewhere(change);
  told.wait(false);
}

TEST_F(AtRest, IsNotReadWhenItsPathLeadsElsewhere) {
  fs::create_directory(dir_.file("first"));
  fs::create_directory(dir_.file("second"));
  fs::create_directory_symlink("first", dir_.file("link"));
  for (const std::string directory : {"first", "second"}) {
    KVStore(dir_.file(directory + "/store.db")).set("k", "old");
  }
  const KVStore store(dir_.file("link/store.db"));
  fs::remove(dir_.file("link"));
  fs::create_directory_symlink("second", dir_.file("link"));
  KVStore(dir_.file("first/store.db")).set("k", "new");
  EXPECT_KV_ERROR(store.get("k"), ErrorCode::io, "replaced");
}

TEST_F(AtRest, IsNotReadWhenItsDirectoryWasRenamed) {
  fs::create_directory(dir_.file("first"));
  KVStore(dir_.file("first/store.db")).set("k", "old");
  const KVStore store(dir_.file("first/store.db"));
  fs::rename(dir_.file("first"), dir_.file("second"));
  EXPECT_KV_ERROR(store.get("k"), ErrorCode::io, "renamed");
}

TEST_F(AtRest, IsNotWhatAKilledWriterLeft) {
  Process writer(worker({"leave-open", file_, "UPDATE kv SET value = '\"new\"' WHERE key = 'k'"}));
  ASSERT_EQ(writer.line(), "ready");
  writer.kill_now();
  writer.wait();
  EXPECT_EQ(KVStore(file_).get("k"), "new");
}

TEST_F(AtRest, IsNotAFileWithALogThatIsEmpty) {
  write_bytes(file_ + "-wal", "");
  const KVStore store(file_);
  EXPECT_EQ(store.get("k"), "old");
  EXPECT_TRUE(fs::exists(file_ + "-shm"));
}

/// Of what the first page says only the texts of the schema and four numbers count: damage to the
/// rest is for the first read to tell.
TEST_F(AtRest, IsNotAFileThatSqliteTakesForAnotherThanACurrentStore) {
  const std::string sound = bytes_of(file_);
  const std::string page = sound.substr(0, engine::usual_page_bytes);
  ASSERT_TRUE(engine::is_current_store(page, sound.size()));
  std::minstd_rand random(static_cast<unsigned>(seed()));
  int taken = 0;
  int refused = 0;
  for (int round = 0; round < 2'000; ++round) {
    std::string bytes = sound;
    for (auto changes = random() % 3 + 1; changes > 0; --changes) {
      bytes[random() % page.size()] = static_cast<char>(random());
    }
    if (!engine::is_current_store(bytes.substr(0, page.size()), bytes.size())) {
      ++refused;
      continue;
    }
    ++taken;
    write_bytes(file_, bytes);
    try {
      const engine::Database database = engine::DatabaseFile(file_, {}).open_immutable();
      EXPECT_EQ(engine::examine_schema(database.get(), file_), engine::Schema::current);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::corrupt) << error.what();
    }
  }
  EXPECT_GT(taken, 0);
  EXPECT_GT(refused, 0);
}

TEST_F(AtRest, IsNotAFirstPageThatEndsEarly) {
  const std::string file = bytes_of(file_);
  const std::string page = file.substr(0, engine::usual_page_bytes);
  for (std::size_t length = 0; length < page.size(); ++length) {
    EXPECT_FALSE(engine::is_current_store(page.substr(0, length), file.size())) << length;
  }
}

TEST_F(AtRest, IsNotAFileThatWasCutOff) {
  const std::string bytes = bytes_of(file_);
  write_bytes(file_, bytes.substr(0, bytes.size() - engine::usual_page_bytes));
  EXPECT_KV_ERROR(KVStore(file_), ErrorCode::corrupt, "store.db");
}

/// A process stores numbers in passing: it opens the file, commits, moves the log into the file and
/// closes. A read that starts after it has announced a number must see it, whenever the store was
/// opened that is read.
TEST_F(AtRest, IsNeverOlderThanWhatAnotherProcessHasAnnounced) {
  constexpr std::size_t keys = 16;
  constexpr std::size_t reads = 3 * keys;
  const auto duration = std::chrono::milliseconds(long_run() ? 30'000 : 2'000);
  {
    KVStore store(file_);
    for (std::size_t key = 0; key < keys; ++key) store.set(std::to_string(key), 0);
  }
  const Announcements announced(dir_.file("announced"), keys);
  Process writer(worker({"announce-in-passing", file_, dir_.file("announced")}));
  ASSERT_EQ(writer.line(), "ready");
  std::uint64_t stores = 0;
  std::uint64_t rested = 0;
  std::uint64_t disturbed = 0;
  std::uint64_t stale = 0;
  const auto end = std::chrono::steady_clock::now() + duration;
  for (; std::chrono::steady_clock::now() < end; ++stores) {
    const KVStore store(file_, {.busy_timeout = Duration(20'000)});
    const bool at_rest = !has_log();
    for (std::size_t read = 0; read < reads; ++read) {
      const std::size_t key = read % keys;
      const std::int64_t at_least = announced.of(key);
      const auto value = store.get(std::to_string(key));
      if (!value || value->get<std::int64_t>() < at_least) ++stale;
    }
    if (at_rest) ++(has_log() ? disturbed : rested);
  }
  writer.kill_now();
  writer.wait();
  std::cout << stores << " stores, " << rested + disturbed << " of them at rest, " << disturbed
            << " not to the end; " << announced.largest() << " numbers\n";
  EXPECT_EQ(stale, 0U);
  EXPECT_GT(disturbed, 0U);
  EXPECT_TRUE(KVStore(file_).check().ok());
}

}  // namespace
}  // namespace kvstore::test
