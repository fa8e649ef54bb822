#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <iostream>
#include <memory>
#include <random>
#include <thread>
#include <utility>

#include <kvstore/engine/sqlite.hpp>
#include <kvstore/engine/sqlite_descriptors.hpp>
#include <kvstore/engine/sqlite_open.hpp>
#include <kvstore/engine/sqlite_rest.hpp>
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

  /// How often this process has the file open, or one beside it.
  [[nodiscard]] int openings_here(std::string_view suffix = "") const {
    int openings = 0;
    engine::each_descriptor([&](int /*number*/, std::string_view file) {
      if (file == file_ + std::string(suffix)) ++openings;
    });
    return openings;
  }

  /// Whether this process has opened the log, as a connection to the store does.
  [[nodiscard]] bool log_is_open_here() const { return openings_here("-wal") > 0; }

  /// Whether a read-only store is read without a connection, and nobody else has it open.
  [[nodiscard]] bool rests_read_only() const {
    return openings_here() == 1 && openings_here("-shm") == 0;
  }

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

const Options read_only{.read_only = true};

constexpr auto change = "UPDATE kv SET value = '\\\"new\\\"' WHERE key = 'k';";

TEST_F(AtRest, IsReadWithoutAnyFileBesideIt) {
  const KVStore store(file_);
  EXPECT_EQ(store.get("k"), "old");
  EXPECT_EQ(store.get("nobody"), std::nullopt);
  EXPECT_EQ(store.get_text("other"), "2");
  EXPECT_TRUE(store.contains("k"));
  EXPECT_EQ(store.entry("k")->value, "old");
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

TEST_F(AtRest, IsReadWithoutAConnectionWhereItIsReadOnly) {
  const KVStore store(file_, read_only);
  EXPECT_EQ(store.get("k"), "old");
  EXPECT_EQ(store.get("nobody"), std::nullopt);
  EXPECT_TRUE(rests_read_only());
  EXPECT_EQ(store.count(), 2U);
  EXPECT_EQ(store.get("k"), "old");
  EXPECT_FALSE(rests_read_only());
}

TEST_F(AtRest, IsReadWithoutAConnectionByAReadOnlyStoreAlsoAfterAnotherProcessWroteIt) {
  const KVStore store(file_, read_only);
  EXPECT_EQ(store.get("k"), "old");
  elsewhere(change);
  EXPECT_EQ(store.get("k"), "new");
  EXPECT_TRUE(rests_read_only());
}

TEST_F(AtRest, KeepsNoWriterFromPuttingItsLogAwayWhereItIsReadOnly) {
  const KVStore store(file_, read_only);
  EXPECT_EQ(store.get("k"), "old");
  elsewhere(change);
  EXPECT_FALSE(has_log());
}

TEST_F(AtRest, ShowsAReadOnlyStoreWhatIsInALogAlone) {
  const KVStore store(file_, read_only);
  EXPECT_EQ(store.get("k"), "old");
  KVStore writer(file_);
  writer.set("k", "new");
  EXPECT_EQ(store.get("k"), "new");
}

/// Who closes a store has the file alone while it moves the log into it and removes it. SQLite
/// makes a new log where it finds none.
TEST_F(AtRest, LeavesNoLogWhereAReadOnlyStoreWaitedForAWriterThatClosed) {
  Process closing({"python3", "-c",
                   "import fcntl, os, sys\n"
                   "file, log = sys.argv[1], sys.argv[1] + '-wal'\n"
                   "sys.stdin.readline()\n"
                   "with open(file, 'r+b') as alone, open(log, 'w') as moved:\n"
                   "    fcntl.lockf(alone, fcntl.LOCK_EX, 510, 0x40000002)\n"
                   "    moved.write('moved')\n"
                   "    moved.flush()\n"
                   "    print('alone', flush=True)\n"
                   "    sys.stdin.readline()\n"
                   "    os.remove(log)\n",
                   file_});
  std::atomic<bool> closes{false};
  Options options = read_only;
  // Asked right before the file is.
  options.clock = [&] {
    if (closes.exchange(false)) closing.write_line("close");
    return Time();
  };
  const KVStore store(file_, options);
  closing.write_line("begin");
  ASSERT_EQ(closing.line(), "alone");
  closes = true;
  EXPECT_EQ(store.count(), 2U);
  EXPECT_EQ(closing.wait(), 0);
  const auto begin = fs::directory_iterator(dir_.path());
  EXPECT_EQ(std::distance(begin, fs::directory_iterator()), 1);
}

/// A text on pages of its own, which a read of another entry does not bring into memory.
std::string large(char letter) {
  std::string text(100'000, letter);
  return text;
}

TEST_F(AtRest, IsNotReadAsAMixtureByAReadOnlyStoreWhenALogWasThereMeanwhileAndWasEmptied) {
  KVStore(file_).set_many({{"k", large('a')}, {"other", large('a')}});
  const KVStore store(file_, read_only);
  const Snapshot snapshot = store.snapshot();
  ASSERT_EQ(snapshot.get("k"), large('a'));
  elsewhere("UPDATE kv SET value = replace(value, 'a', 'b'); PRAGMA wal_checkpoint(TRUNCATE)");
  EXPECT_KV_ERROR(snapshot.get("other"), ErrorCode::busy, "another process wrote");
  EXPECT_EQ(store.get("other"), large('b'));
}

TEST_F(AtRest, IsNotShownAsAMixtureByAScanOfAReadOnlyStore) {
  KVStore(file_).set_many({{"k", large('a')}, {"other", large('a')}}, {.ttl = Duration(60'000)});
  bool passes = false;
  Options options = read_only;
  // Asked between the two entries.
  options.clock = [&] {
    if (std::exchange(passes, false)) {
      elsewhere("UPDATE kv SET value = replace(value, 'a', 'b'); PRAGMA wal_checkpoint(TRUNCATE)");
    }
    return std::chrono::floor<Duration>(std::chrono::system_clock::now());
  };
  const KVStore store(file_, options);
  ASSERT_EQ(store.count(), 2U);
  passes = true;
  EXPECT_KV_ERROR(store.scan().begin(), ErrorCode::busy, "another process wrote");
}

TEST_F(AtRest, MayBeOpenedAndClosedByOthersAllTheTimeWhileAReadOnlyStoreTakesSnapshots) {
  Process writer({"python3", "-c",
                  "import sqlite3, sys\n"
                  "while True:\n"
                  "    db = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)\n"
                  "    db.execute('UPDATE kv SET value = value + 1 WHERE key = \"other\"')\n"
                  "    db.close()\n"
                  "    print('closed', flush=True)\n",
                  file_});
  for (int stores = 0; stores < 50; ++stores) {
    ASSERT_TRUE(writer.line());
    const KVStore store(file_, {.busy_timeout = Duration(20'000), .read_only = true});
    for (int i = 0; i < 20; ++i) EXPECT_NO_THROW(static_cast<void>(store.snapshot()));
  }
}

TEST_F(AtRest, IsNotReadAsAMixtureByAReadOnlyStoreBesideWhoeverHasAnEmptyLogOpen) {
  KVStore(file_).set_many({{"k", large('a')}, {"other", large('a')}});
  Process holder({"python3", "-c",
                  "import sqlite3, sys\n"
                  "db = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)\n"
                  "for text in 'a', 'b':\n"
                  "    db.execute(\"UPDATE kv SET value = replace(value, 'a', ?)\", text)\n"
                  "    db.execute('PRAGMA wal_checkpoint(TRUNCATE)')\n"
                  "    print('emptied', flush=True)\n"
                  "    sys.stdin.readline()\n",
                  file_});
  ASSERT_EQ(holder.line(), "emptied");
  ASSERT_EQ(fs::file_size(file_ + "-wal"), 0U);
  const KVStore store(file_, read_only);
  const Snapshot snapshot = store.snapshot();
  ASSERT_EQ(snapshot.get("k"), large('a'));
  holder.write_line("go on");
  ASSERT_EQ(holder.line(), "emptied");
  EXPECT_EQ(snapshot.get("other"), large('a'));
  EXPECT_EQ(store.get("other"), large('b'));
}

TEST_F(AtRest, TellsAReadOnlyStoreAtOnceThatItCannotBeOpened) {
  const KVStore store(file_, read_only);
  struct rlimit before {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const struct rlimit none { 0, before.rlim_max };
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_KV_ERROR(store.count(), ErrorCode::io, "open");
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(store.count(), 2U);
}

TEST_F(AtRest, IsReadWholeOrNotAtAllByAReadOnlyStoreWhileOthersWriteIt) {
  Process writer({"python3", "-c",
                  "import itertools, sqlite3, sys\n"
                  "for number in itertools.count():\n"
                  "    db = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)\n"
                  "    text = '\"' + str(number % 10) * 100_000 + '\"'\n"
                  "    db.execute('UPDATE kv SET value = ?', (text,))\n"
                  "    db.close()\n"
                  "    print(number, flush=True)\n",
                  file_});
  int whole = 0;
  for (int number = 0; number < 50; ++number) {
    ASSERT_TRUE(writer.line());
    const KVStore store(file_, {.busy_timeout = Duration(20'000), .read_only = true});
    for (int reads = 0; reads < 20; ++reads) {
      try {
        const auto all = store.get_many({"k", "other"});
        const std::string text = all[0]->get<std::string>();
        EXPECT_EQ(text, std::string(100'000, text[0])) << "a mixture";
        EXPECT_EQ(all[0], all[1]);
        ++whole;
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::busy) << error.what();
      }
    }
  }
  EXPECT_GT(whole, 0);
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

TEST_F(AtRest, IsReadOnAndCheckedWhereAPageIsDamagedThatEntriesDoNotNeed) {
  const std::string root =
      Outside(file_).one("SELECT rootpage FROM sqlite_master WHERE name = 'kv_floor'");
  std::string bytes = bytes_of(file_);
  const std::size_t page = (std::stoul(root) - 1) * engine::usual_page_bytes;
  write_bytes(file_, bytes.replace(page, engine::usual_page_bytes, engine::usual_page_bytes, '?'));
  KVStore store(file_);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(store.get("k"), "old");
  const Report report = store.check();
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.entries, 2U);
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

TEST_F(AtRest, IsNotReadByAReadOnlyStoreWhenItWasReplaced) {
  const KVStore store(file_, read_only);
  EXPECT_EQ(store.get("k"), "old");
  KVStore(dir_.file("other.db")).set("k", "other");
  fs::rename(dir_.file("other.db"), file_);
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
  EXPECT_TRUE(log_is_open_here());
}

/// Of what the first page says only the texts of the schema and four numbers count: damage to the
/// rest is for the first read to tell.
TEST_F(AtRest, IsNotAFileThatSqliteTakesForAnotherThanACurrentStore) {
  const std::string sound = bytes_of(file_);
  const std::string page = sound.substr(0, engine::usual_page_bytes);
  ASSERT_TRUE(engine::shape_of_current_store(page, sound.size()).has_value());
  std::minstd_rand random(static_cast<unsigned>(seed()));
  int taken = 0;
  int refused = 0;
  for (int round = 0; round < 2'000; ++round) {
    std::string bytes = sound;
    for (auto changes = random() % 3 + 1; changes > 0; --changes) {
      bytes[random() % page.size()] = static_cast<char>(random());
    }
    if (!engine::shape_of_current_store(bytes.substr(0, page.size()), bytes.size())) {
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
    const auto shape = engine::shape_of_current_store(page.substr(0, length), file.size());
    EXPECT_FALSE(shape.has_value()) << length;
  }
}

TEST_F(AtRest, IsNotAFileThatWasCutOff) {
  const std::string bytes = bytes_of(file_);
  write_bytes(file_, bytes.substr(0, bytes.size() - engine::usual_page_bytes));
  EXPECT_KV_ERROR(KVStore(file_), ErrorCode::corrupt, "store.db");
}

/// A store that another process has open, and has written.
class Held : public AtRest {
 protected:
  Held() {
    KVStore(file_).transaction([](Transaction& tx) {
      for (int i = 0; i < 1'000; ++i) tx.set("many/" + std::to_string(1'000 + i), i);
    });
    EXPECT_EQ(holder_.line(), "ready");
    tell("set other 3");
  }

  void tell(const std::string& order) {
    holder_.write_line(order);
    ASSERT_EQ(holder_.line(), "done");
  }

  void end_holder() {
    holder_.close_input();
    ASSERT_EQ(holder_.wait(), 0);
  }

  /// In another process: to close the file in this one would drop its locks.
  void overwrite(const std::string& file, std::ptrdiff_t place, const std::string& bytes) const {
    const std::string from = dir_.file("bytes");
    write_bytes(from, bytes);
    std::string output;
    const std::string script = "with open('" + from + "', 'rb') as new, open('" + file +
                               "', 'r+b') as old:\n    old.seek(" + std::to_string(place) +
                               ")\n    old.write(new.read())\n";
    ASSERT_EQ(run_program({"python3", "-c", script}, &output), 0) << output;
  }

  /// Moves the log into the file, all of it. The holder, if it takes itself for a busy writer, lets
  /// that happen some 10 ms after its last commit. Returns what SQLite says: busy, frames, frames
  /// moved.
  std::string move_log(const std::string& how) const {
    std::string said;
    for (int attempt = 0; attempt < 1'000; ++attempt) {
      said = Outside(file_).rows("PRAGMA wal_checkpoint(" + how + ")").at(0);
      const std::size_t last = said.rfind('|');
      const bool all = said.starts_with("0|") && said.substr(2, last - 2) == said.substr(last + 1);
      if (all) break;
      std::this_thread::yield();
    }
    return said;
  }

  Process holder_{worker({"obey", file_})};
};

TEST_F(Held, IsReadWithoutTheLogOfWhichAllIsInTheFile) {
  for (const std::string how : {"PASSIVE", "RESTART", "TRUNCATE"}) {
    SCOPED_TRACE(how);
    tell("set k " + json(how).dump());
    ASSERT_EQ(move_log(how).substr(0, 2), "0|");
    const KVStore store(file_);
    EXPECT_EQ(store.get("k"), how);
    EXPECT_EQ(store.get("many/1500"), 500);
    EXPECT_EQ(store.get("nobody"), std::nullopt);
    EXPECT_FALSE(log_is_open_here());
  }
}

TEST_F(Held, IsReadWithoutTheLogWhereThatHasOtherPages) {
  move_log("TRUNCATE");
  tell("set k 1");
  const KVStore store(file_);
  EXPECT_EQ(store.get("many/1999"), 999);
  EXPECT_FALSE(log_is_open_here());
  EXPECT_EQ(store.get("k"), 1);
  EXPECT_TRUE(log_is_open_here());
}

TEST_F(Held, IsReadWithoutTheLogAlsoWhereItIsReadOnly) {
  move_log("PASSIVE");
  const KVStore store(file_, read_only);
  EXPECT_EQ(store.get("k"), "old");
  EXPECT_FALSE(log_is_open_here());
  tell("set k 1");
  EXPECT_EQ(store.get("k"), 1);
  EXPECT_TRUE(log_is_open_here());
}

TEST_F(Held, IsReadOnByAReadOnlyStoreWhenItsHolderHasClosedIt) {
  move_log("PASSIVE");
  const KVStore store(file_, read_only);
  EXPECT_EQ(store.get("k"), "old");
  tell("set k 1");
  end_holder();
  EXPECT_EQ(store.get("k"), 1);
  EXPECT_EQ(store.count(), 1'002U);
}

TEST_F(Held, ShowsWhatIsInTheLogAlone) {
  tell("set k 1");
  EXPECT_EQ(KVStore(file_).get("k"), 1);
}

TEST_F(Held, ShowsWhatTheOtherProcessHasCommittedSinceItWasRead) {
  move_log("TRUNCATE");
  const KVStore store(file_);
  EXPECT_EQ(store.get("k"), "old");
  EXPECT_FALSE(log_is_open_here());
  tell("set k 1");
  EXPECT_EQ(store.get("k"), 1);
}

TEST_F(Held, ShowsWhatWasMovedIntoTheFileSinceItWasRead) {
  move_log("TRUNCATE");
  const KVStore store(file_);
  EXPECT_EQ(store.get("k"), "old");
  tell("set k 1");
  move_log("RESTART");
  tell("set k 2");
  move_log("TRUNCATE");
  EXPECT_EQ(store.get("k"), 2);
  EXPECT_FALSE(log_is_open_here());
}

/// Where the roots of its trees were, there may be leaves of them then.
TEST_F(AtRest, IsReadWhereItsTreesAreAfterTheyHaveMoved) {
  for (int others = 1; others <= 12; ++others) {
    SCOPED_TRACE(others);
    const std::string file = dir_.file("moved" + std::to_string(others));
    Outside holder(file);
    for (int i = 0; i < others; ++i) {
      holder.run("CREATE TABLE kv_" + std::to_string(i) + "(x)");
    }
    holder.run(std::string(older_table));
    KVStore(file).transaction([](Transaction& tx) {
      for (int i = 0; i < 2'000; ++i) tx.set("many/" + std::to_string(1'000 + i), i);
    });
    holder.run("SELECT count(*) FROM kv");  // opens the log
    const engine::DatabaseFile place(file, {});
    ASSERT_NE(engine::RestingFile::find(place, false), nullptr);
    const KVStore store(file);
    EXPECT_EQ(store.get("many/1500"), 500);
    for (int i = 0; i < others; ++i) holder.run("DROP TABLE kv_" + std::to_string(i));
    holder.run("VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
    EXPECT_EQ(store.get("many/1500"), 500);
    EXPECT_EQ(store.get("many/2999"), 1'999);
  }
}

TEST_F(Held, IsOpenedWhileItsLogIsBeingMoved) {
  move_log("TRUNCATE");
  for (const bool was_read : {false, true}) {
    SCOPED_TRACE(was_read);
    const KVStore store(file_);
    if (was_read) {
      EXPECT_EQ(store.get("k"), "old");
    }
    EXPECT_FALSE(log_is_open_here());
    Process mover(worker({"move", file_}));
    ASSERT_EQ(mover.line(), "ready");
    EXPECT_EQ(store.get("k"), "old");
    EXPECT_TRUE(log_is_open_here());
  }
}

TEST_F(Held, IsOpenedWhereTheIndexOfItsLogIsDamaged) {
  move_log("TRUNCATE");
  const KVStore store(file_);
  EXPECT_EQ(store.get("k"), "old");
  overwrite(file_ + "-shm", 0, std::string(96, '\0'));
  EXPECT_EQ(store.get("k"), "old");
  EXPECT_TRUE(log_is_open_here());
  tell("set k 1");
  EXPECT_EQ(store.get("k"), 1);
}

TEST_F(Held, IsReadWhereItsLogIsLongerThanAPartOfItsIndex) {
  constexpr int first_part = 4'062;
  Outside writer(file_);
  writer.run("PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF");
  for (int i = 0; i <= first_part; ++i) {
    writer.run("UPDATE kv SET value = '" + std::to_string(i) + "' WHERE key = 'k'");
  }
  const KVStore store(file_);
  EXPECT_EQ(store.get("k"), first_part);
  EXPECT_EQ(store.get("many/1999"), 999);
}

TEST_F(Held, ShowsADocumentOfWhichTheLogHasAnOverflowPageAlone) {
  const auto document = [](char last) { return std::string(20'000, 'v') + last; };
  tell("set k " + json(document('1')).dump());
  move_log("TRUNCATE");
  const std::string before = bytes_of(file_);
  tell("set k " + json(document('2')).dump());
  EXPECT_EQ(KVStore(file_).get("k"), document('2'));
  move_log("TRUNCATE");
  const std::string after = bytes_of(file_);
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t at = 0; at < before.size(); at += engine::usual_page_bytes) {
    if (before.compare(at, engine::usual_page_bytes, after, at, engine::usual_page_bytes) == 0) {
      continue;
    }
    EXPECT_EQ(after[at], '\0') << "a page of a b-tree";
  }
}

TEST_F(Held, ShowsWhatIsCommittedAfterItsHolderWasKilled) {
  move_log("TRUNCATE");
  {
    const KVStore store(file_);
    EXPECT_EQ(store.get("k"), "old");
    EXPECT_FALSE(log_is_open_here());
    holder_.kill_now();
    holder_.wait();
    elsewhere(change);
    EXPECT_EQ(store.get("k"), "new");
  }
  EXPECT_FALSE(has_log());
}

/// As a checkpoint leaves it that was killed: what it was writing is in the log still.
TEST_F(Held, DoesNotReadPagesThatWereHalfMovedIntoTheFile) {
  move_log("TRUNCATE");
  const std::string before = bytes_of(file_);
  tell("set k 1");
  move_log("PASSIVE");
  const std::string after = bytes_of(file_);
  tell("set k 2");
  ASSERT_EQ(before.size(), after.size());
  const auto change = std::ranges::mismatch(before, after).in1 - before.begin();
  const auto page = change / engine::usual_page_bytes;
  ASSERT_GT(page, 0);
  const auto place = page * engine::usual_page_bytes;
  overwrite(file_, place, before.substr(static_cast<std::size_t>(place), engine::usual_page_bytes));
  EXPECT_EQ(KVStore(file_).get("k"), 2);
}

TEST_F(Held, LetsTheLogBeMovedWhileItIsOpen) {
  move_log("TRUNCATE");
  const KVStore store(file_);
  EXPECT_EQ(store.get("k"), "old");
  EXPECT_FALSE(log_is_open_here());
  tell("set k 1");
  EXPECT_EQ(move_log("TRUNCATE"), "0|0|0");
}

TEST_F(Held, KeepsItsLogWhenItIsClosedHere) {
  move_log("TRUNCATE");
  {
    const KVStore store(file_);
    EXPECT_EQ(store.get("k"), "old");
    EXPECT_FALSE(log_is_open_here());
  }
  EXPECT_TRUE(has_log());
  tell("set k 1");
  EXPECT_EQ(KVStore(file_).get("k"), 1);
}

TEST_F(Held, HasItsLogMovedByWhoeverClosesItLast) {
  move_log("TRUNCATE");
  {
    const KVStore store(file_);
    EXPECT_EQ(store.get("k"), "old");
    EXPECT_FALSE(log_is_open_here());
    tell("set k 1");
    end_holder();
    EXPECT_TRUE(has_log());
  }
  EXPECT_FALSE(has_log());
  EXPECT_EQ(KVStore(file_).get("k"), 1);
}

TEST_F(Held, IsWhatAKilledHolderLeft) {
  move_log("TRUNCATE");
  tell("set k 1");
  holder_.kill_now();
  holder_.wait();
  EXPECT_EQ(KVStore(file_).get("k"), 1);
  EXPECT_FALSE(has_log());
}

/// A process stores numbers in passing: it opens the file, commits, moves the log into the file and
/// closes. A read that starts after it has announced a number must see it, whenever the store was
/// opened that is read.
class NeverOlder : public AtRest {
 protected:
  static constexpr std::size_t keys = 16;

  NeverOlder() {
    KVStore store(file_);
    for (std::size_t key = 0; key < keys; ++key) store.set(std::to_string(key), 0);
  }

  /// A process that keeps the store open.
  [[nodiscard]] std::unique_ptr<Process> held() const {
    auto holder = std::make_unique<Process>(worker({"obey", file_}));
    EXPECT_EQ(holder->line(), "ready");
    holder->write_line("set other 3");
    EXPECT_EQ(holder->line(), "done");
    return holder;
  }

  /// `rests`: whether a store that is open is still read at rest.
  void expect_never_older(const Options& options, const std::function<bool()>& rests) const {
    constexpr std::size_t reads = keys;  // not so many that the store is opened for them
    const auto duration = std::chrono::milliseconds(long_run() ? 15'000 : 1'000);
    const Announcements announced(dir_.file("announced"), keys);
    Process writer(worker({"announce-in-passing", file_, dir_.file("announced")}));
    ASSERT_EQ(writer.line(), "ready");
    std::uint64_t stores = 0;
    std::uint64_t began_at_rest = 0;
    std::uint64_t rested = 0;
    std::uint64_t rested_reads = 0;
    std::uint64_t disturbed = 0;
    std::uint64_t stale = 0;
    const auto begin = std::chrono::steady_clock::now();
    const auto passed = [&] { return std::chrono::steady_clock::now() - begin; };
    // One that takes its lock anew for each read hardly rests to its end beside such a writer.
    const std::uint64_t& least = options.read_only ? rested_reads : rested;
    const auto shown = [&] { return least > 0 && disturbed > 0; };
    for (; passed() < duration || (!shown() && passed() < 30 * duration); ++stores) {
      const KVStore store(file_, options);
      bool at_rest = rests();
      began_at_rest += at_rest ? 1 : 0;
      for (std::size_t read = 0; read < reads; ++read) {
        const std::size_t key = read % keys;
        const std::int64_t at_least = announced.of(key);
        const std::optional<json> value = store.get(std::to_string(key));
        if (!value || value->get<std::int64_t>() < at_least) ++stale;
        if (!at_rest) continue;
        at_rest = rests();
        ++(at_rest ? rested_reads : disturbed);
      }
      rested += at_rest ? 1 : 0;
    }
    writer.kill_now();
    writer.wait();
    std::cout << stores << " stores, " << began_at_rest << " of them at rest, " << disturbed
              << " not to the end; " << rested_reads << " reads at rest; " << announced.largest()
              << " numbers\n";
    EXPECT_EQ(stale, 0U);
    EXPECT_GT(least, 0U);
    EXPECT_GT(disturbed, 0U);
    EXPECT_TRUE(KVStore(file_).check().ok());
  }
};

const Options patient{.busy_timeout = Duration(20'000)};
const Options patient_read_only{.busy_timeout = Duration(20'000), .read_only = true};

TEST_F(NeverOlder, IsAStoreAtRestThanWhatAnotherProcessHasAnnounced) {
  expect_never_older(patient, [&] { return !has_log(); });
}

TEST_F(NeverOlder, IsAReadOnlyStoreAtRestThanWhatAnotherProcessHasAnnounced) {
  expect_never_older(patient_read_only, [&] { return rests_read_only(); });
}

TEST_F(NeverOlder, IsAStoreThatIsHeldThanWhatAnotherProcessHasAnnounced) {
  const auto holder = held();
  expect_never_older(patient, [&] { return !log_is_open_here(); });
}

TEST_F(NeverOlder, IsAReadOnlyStoreThatIsHeldThanWhatAnotherProcessHasAnnounced) {
  const auto holder = held();
  expect_never_older(patient_read_only, [&] { return !log_is_open_here(); });
}

}  // namespace
}  // namespace kvstore::test
