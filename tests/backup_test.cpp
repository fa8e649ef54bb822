#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <latch>
#include <thread>

#include "behaviour.hpp"
#include "child.hpp"
#include "outside.hpp"

namespace kvstore::test {
namespace {

namespace fs = std::filesystem;

/// For stores that no test cuts the power of.
const Options quick{.durability = Durability::normal};

bool same(const Entry& a, const Entry& b) {
  return a.key == b.key && a.value == b.value && a.revision == b.revision &&
         a.updated_at == b.updated_at && a.expires_at == b.expires_at;
}

void expect_same_content(const Reader& a, const Reader& b) {
  const std::vector<Entry> left = all_entries(a);
  const std::vector<Entry> right = all_entries(b);
  ASSERT_EQ(left.size(), right.size());
  for (std::size_t i = 0; i < left.size(); ++i) EXPECT_TRUE(same(left[i], right[i])) << left[i].key;
}

/// What lies in a directory, sorted.
std::vector<std::string> names_in(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& item : fs::directory_iterator(directory))
    names.push_back(item.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

class EveryBackup : public OnEveryEngine {
 protected:
  TempDir place_;
  std::string copy_ = place_.file("copy.db");
};

TEST_P(EveryBackup, IsAStoreWithTheSameContent) {
  fill(store_, 300);
  store_.set("expiring", 1, {.ttl = Duration(60'000)});
  store_.set_text("odd spacing", " [1 , 1.0,\n -0 ] ");
  store_.backup(copy_);
  const KVStore copy(copy_, options());
  expect_same_content(store_, copy);
  EXPECT_EQ(copy.get_text("odd spacing"), " [1 , 1.0,\n -0 ] ");
  EXPECT_TRUE(copy.check().ok());
}

TEST_P(EveryBackup, OfAnEmptyStoreIsAnEmptyStore) {
  store_.backup(copy_);
  const KVStore copy(copy_);
  EXPECT_EQ(copy.count(), 0U);
  EXPECT_TRUE(copy.check().ok());
}

TEST_P(EveryBackup, LeavesNothingElseBehind) {
  store_.set("k", 1);
  store_.backup(copy_);
  EXPECT_EQ(names_in(place_.path()), std::vector<std::string>{"copy.db"});
}

TEST_P(EveryBackup, CanBeWrittenAndKeepsRevisionsGrowing) {
  const Revision before = store_.set("k", 1);
  store_.backup(copy_);
  KVStore copy(copy_, options());
  EXPECT_GT(copy.set("k", 2), before);
  EXPECT_EQ(store_.get("k"), json(1));
}

TEST_P(EveryBackup, ReplacesAnEarlierOne) {
  store_.set("k", 1);
  store_.backup(copy_);
  store_.set("k", 2);
  store_.backup(copy_);
  EXPECT_EQ(KVStore(copy_).get("k"), json(2));
}

TEST_P(EveryBackup, TellsItsProgressInBytes) {
  fill(store_, 2500);
  std::vector<std::pair<std::uint64_t, std::uint64_t>> told;
  store_.backup(copy_, [&](std::uint64_t done, std::uint64_t total) {
    told.emplace_back(done, total);
    return true;
  });
  ASSERT_GT(told.size(), 2U);
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
  EXPECT_EQ(told.back().first, fs::file_size(copy_));
  EXPECT_EQ(told.back().second, fs::file_size(copy_));
}

TEST_P(EveryBackup, ThatIsStoppedLeavesTheEarlierOneAsItWas) {
  fill(store_, 2500);
  store_.backup(copy_);
  const std::string before = bytes_of(copy_);
  store_.set("k0", "new");
  int calls = 0;
  EXPECT_KV_ERROR(store_.backup(copy_, [&](auto, auto) { return ++calls < 3; }),
                  ErrorCode::cancelled, "progress");
  EXPECT_EQ(bytes_of(copy_), before);
  EXPECT_EQ(names_in(place_.path()), std::vector<std::string>{"copy.db"});
}

TEST_P(EveryBackup, ComesThroughWithWhatItsCallbackThrows) {
  store_.set("k", 1);
  const auto backup = [&] {
    store_.backup(copy_, [](auto, auto) -> bool { throw std::range_error("mine"); });
  };
  EXPECT_THROW(backup(), std::range_error);
  EXPECT_TRUE(names_in(place_.path()).empty());
  store_.backup(copy_);
}

TEST_P(EveryBackup, IsOfTheMomentInWhichItBegan) {
  fill(store_, 2000);
  store_.backup(copy_, [&](auto, auto) {
    store_.set("k1", "later");
    store_.set("new", 1);
    return true;
  });
  const KVStore copy(copy_);
  EXPECT_EQ(copy.get("k1"), json(std::string(1000, 'b')));
  EXPECT_FALSE(copy.contains("new"));
  EXPECT_EQ(store_.get("k1"), json("later"));
}

TEST_P(EveryBackup, CannotBeEndedByClosingTheStoreInItsCallback) {
  store_.set("k", 1);
  store_.backup(copy_, [&](auto, auto) {
    EXPECT_KV_ERROR(store_.close(), ErrorCode::misuse, "progress callback");
    return true;
  });
  EXPECT_EQ(KVStore(copy_).get("k"), json(1));
  store_.close();
}

TEST_P(EveryBackup, OfAClosedStoreIsMisuse) {
  store_.close();
  EXPECT_KV_ERROR(store_.backup(copy_), ErrorCode::misuse, "closed");
}

TEST_P(EveryBackup, IsMisuseOnTheThreadOfATransaction) {
  const Transaction tx = store_.begin();
  EXPECT_KV_ERROR(store_.backup(copy_), ErrorCode::misuse, "transaction");
}

KVSTORE_TEST_ON_EVERY_ENGINE(EveryBackup);

class Backup : public ::testing::Test {
 protected:
  Backup() { store_.set("k", 1); }

  /// The failing backup leaves what is in its directory as it was.
  void expect_refused(const fs::path& to, ErrorCode code, const std::string& part) {
    const std::vector<std::string> before = names_in(dir_.path());
    EXPECT_KV_ERROR(store_.backup(to), code, part);
    EXPECT_EQ(names_in(dir_.path()), before);
    EXPECT_EQ(store_.get("k"), json(1));
  }

  TempDir dir_;
  std::string file_ = dir_.file("store.db"), copy_ = dir_.file("copy.db");
  KVStore store_{file_, quick};
};

TEST_F(Backup, HasThePermissionsOfAStore) {
  store_.backup(copy_);
  EXPECT_EQ(fs::status(copy_).permissions(), fs::perms(0600));
  const KVStore open_to_all(dir_.file("other.db"), {.file_mode = fs::perms(0664)});
  open_to_all.backup(dir_.file("other-copy.db"));
  EXPECT_EQ(fs::status(dir_.file("other-copy.db")).permissions(), fs::perms(0664));
}

TEST_F(Backup, IsCompleteWithoutALog) {
  store_.backup(copy_);
  EXPECT_FALSE(fs::exists(copy_ + "-wal"));
  EXPECT_EQ(Outside(copy_).one("PRAGMA integrity_check"), "ok");
  EXPECT_EQ(KVStore(copy_, {.read_only = true}).get("k"), json(1));
}

TEST_F(Backup, OfAReadOnlyStoreIsTheSame) {
  const KVStore live(file_, {.read_only = true});
  live.backup(copy_);
  EXPECT_EQ(KVStore(copy_).get("k"), json(1));
  store_.close();
  const KVStore at_rest(copy_, {.read_only = true});
  at_rest.backup(dir_.file("second.db"));
  EXPECT_EQ(KVStore(dir_.file("second.db")).get("k"), json(1));
}

TEST_F(Backup, OntoItselfIsMisuse) {
  expect_refused(file_, ErrorCode::misuse, "onto itself");
  expect_refused(dir_.path() / "." / "store.db", ErrorCode::misuse, "onto itself");
  fs::create_symlink(file_, dir_.file("link.db"));
  expect_refused(dir_.file("link.db"), ErrorCode::misuse, "onto itself");
}

TEST_F(Backup, OntoAnEmptyFileTakesItsPlace) {
  write_bytes(copy_, "");
  store_.backup(copy_);
  EXPECT_EQ(KVStore(copy_, quick).get("k"), json(1));
  EXPECT_FALSE(fs::exists(copy_ + "-journal"));
}

TEST_F(Backup, OntoAStoreThatThisProcessHasOpenIsRefused) {
  KVStore other(copy_, quick);
  other.set("k", "other");
  expect_refused(copy_, ErrorCode::busy, "is open");
  EXPECT_EQ(other.get("k"), json("other"));
}

TEST_F(Backup, OntoAStoreThatIsReadHereWithoutLocksIsRefused) {
  KVStore(copy_, quick).set("k", "other");
  const KVStore other(copy_, {.read_only = true});
  expect_refused(copy_, ErrorCode::busy, "is open");
  EXPECT_EQ(other.get("k"), json("other"));
}

TEST_F(Backup, OntoAStoreThatAnotherProcessHasOpenIsRefused) {
  KVStore(copy_, quick).set("k", "other");
  Process reader(worker({"pin", copy_}));
  ASSERT_EQ(reader.line(), "ready");
  expect_refused(copy_, ErrorCode::busy, "is open");
  reader.close_input();
  ASSERT_EQ(reader.wait(), 0);
  store_.backup(copy_);
  EXPECT_EQ(KVStore(copy_).get("k"), json(1));
}

TEST_F(Backup, OntoAStoreThatIsOpenedMeanwhileIsRefused) {
  KVStore(copy_, quick).set("k", "other");
  std::optional<KVStore> other;
  EXPECT_KV_ERROR(store_.backup(copy_,
                                [&](auto, auto) {
                                  if (!other) other.emplace(copy_, quick);
                                  return true;
                                }),
                  ErrorCode::busy, "is open");
  EXPECT_EQ(other->get("k"), json("other"));
}

TEST_F(Backup, OntoAStoreThatComesIntoBeingMeanwhileIsRefused) {
  EXPECT_KV_ERROR(store_.backup(copy_,
                                [&](auto, auto) {
                                  KVStore(copy_, quick).set("k", "other");
                                  return true;
                                }),
                  ErrorCode::conflict, "there is a file already");
  EXPECT_EQ(KVStore(copy_).get("k"), json("other"));
}

TEST_F(Backup, TakesTheLogOfAnEarlierOneAway) {
  // Killed with its writes still in the log.
  Process writer(worker({"write", copy_, "w", "full"}));
  ASSERT_EQ(writer.line(), "0");
  writer.kill_now();
  ASSERT_TRUE(fs::exists(copy_ + "-wal"));
  store_.backup(copy_);
  EXPECT_FALSE(fs::exists(copy_ + "-wal"));
  const KVStore copy(copy_);
  EXPECT_EQ(copy.keys(), std::vector<std::string>{"k"});
  EXPECT_TRUE(copy.check().ok());
}

TEST_F(Backup, IsNotWrittenBesideTheLogOfAnotherDatabase) {
  write_bytes(copy_ + "-wal", "what a lost database left");
  expect_refused(copy_, ErrorCode::conflict, "-wal");
}

TEST_F(Backup, IsNotWrittenWhereTheEngineKeepsItsFiles) {
  expect_refused(file_ + "-journal", ErrorCode::misuse, "belong to the database");
}

TEST_F(Backup, OntoWhatIsNoStoreIsRefused) {
  write_bytes(dir_.file("notes.txt"), std::string(2000, 'n'));
  expect_refused(dir_.file("notes.txt"), ErrorCode::not_a_store, "notes.txt");
  EXPECT_EQ(bytes_of(dir_.file("notes.txt")), std::string(2000, 'n'));
  run_outside(dir_.file("foreign.db"), "CREATE TABLE t(x)");
  expect_refused(dir_.file("foreign.db"), ErrorCode::not_a_store, "foreign.db");
  fs::create_directory(dir_.file("directory"));
  expect_refused(dir_.file("directory"), ErrorCode::not_a_store, "directory");
}

TEST_F(Backup, OntoADatabaseOfOthersLeavesItsLogAsItIs) {
  {
    const std::string other_file = dir_.file("other.db");
    Outside other(other_file);
    other.run("PRAGMA journal_mode = WAL; CREATE TABLE t(x)");
    write_bytes(copy_, bytes_of(other_file));
    write_bytes(copy_ + "-wal", bytes_of(other_file + "-wal"));
  }
  const std::string log = bytes_of(copy_ + "-wal");
  ASSERT_FALSE(log.empty());
  expect_refused(copy_, ErrorCode::not_a_store, "copy.db");
  EXPECT_EQ(bytes_of(copy_ + "-wal"), log);
}

TEST_F(Backup, OntoAStoreThatSomebodyElseHasLockedIsRefused) {
  KVStore(copy_, quick).set("k", "other");
  Outside other(copy_);
  other.run("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; UPDATE kv_floor SET revision = 1");
  expect_refused(copy_, ErrorCode::busy, "is open");
}

TEST_F(Backup, IntoAMissingDirectoryIsRefused) {
  expect_refused(dir_.path() / "missing" / "copy.db", ErrorCode::not_found, "missing");
  expect_refused("", ErrorCode::misuse, "empty");
}

TEST_F(Backup, FollowsALinkToTheFileItself) {
  const TempDir elsewhere;
  fs::create_symlink(elsewhere.file("real.db"), copy_);
  store_.backup(copy_);
  store_.backup(copy_);
  EXPECT_TRUE(fs::is_symlink(copy_));
  EXPECT_EQ(KVStore(elsewhere.file("real.db")).get("k"), json(1));
}

TEST_F(Backup, IntoADirectoryThatCannotBeWrittenIsRefused) {
  if (!is_root()) GTEST_SKIP() << "only root can become nobody";
  const TempDir closed;
  fs::permissions(closed.path(), fs::perms(0755));
  const std::string outcome = as_nobody([&]() -> std::string {
    KVStore memory(":memory:");
    memory.backup(closed.file("copy.db"));
    return "written";
  });
  EXPECT_TRUE(outcome.starts_with("read_only: ")) << outcome;
}

TEST_F(Backup, OfADamagedStoreDoesNotReplaceAGoodOne) {
  store_.backup(copy_);
  const std::string before = bytes_of(copy_);
  {
    Outside outside(file_);
    sqlite3_db_config(outside.handle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    outside.run("UPDATE kv SET value = '2'");
  }
  EXPECT_KV_ERROR(store_.backup(copy_), ErrorCode::corrupt, "\"k\"");
  EXPECT_EQ(bytes_of(copy_), before);
  EXPECT_FALSE(fs::exists(copy_ + ".kvstore-part"));
}

TEST_F(Backup, OfDamagedPagesDoesNotReplaceAGoodOne) {
  const std::string damaged = dir_.file("damaged.db");
  {
    KVStore store(damaged, quick);
    fill(store, 300);
  }
  std::string bytes = bytes_of(damaged);
  const std::size_t page = bytes.find(std::string(500, 'c')) / 4096;
  bytes.replace(page * 4096, 100, std::string(100, '\xA5'));
  write_bytes(damaged, bytes);
  store_.backup(copy_);
  const std::string before = bytes_of(copy_);
  EXPECT_KV_ERROR(KVStore(damaged).backup(copy_), ErrorCode::corrupt, "salvage");
  EXPECT_EQ(bytes_of(copy_), before);
}

TEST_F(Backup, OverwritesWhatAKilledOneLeft) {
  write_bytes(copy_ + ".kvstore-part", std::string(100'000, 'x'));
  store_.backup(copy_);
  EXPECT_FALSE(fs::exists(copy_ + ".kvstore-part"));
  EXPECT_EQ(KVStore(copy_).get("k"), json(1));
}

TEST_F(Backup, OfTwoToOnePlaceIsRefusedTheSecondTime) {
  int refused = 0;
  store_.backup(copy_, [&](auto, auto) {
    EXPECT_KV_ERROR(store_.backup(copy_), ErrorCode::busy, "another call");
    ++refused;
    return true;
  });
  EXPECT_GT(refused, 0);
  EXPECT_EQ(KVStore(copy_).get("k"), json(1));
}

TEST_F(Backup, DoesNotWriteThroughALinkInItsPlace) {
  write_bytes(dir_.file("precious"), "precious");
  fs::create_symlink(dir_.file("precious"), copy_ + ".kvstore-part");
  EXPECT_KV_ERROR(store_.backup(copy_), ErrorCode::io, "copy.db");
  EXPECT_EQ(bytes_of(dir_.file("precious")), "precious");
  fs::remove(copy_ + ".kvstore-part");
  fs::create_hard_link(dir_.file("precious"), copy_ + ".kvstore-part");
  EXPECT_KV_ERROR(store_.backup(copy_), ErrorCode::conflict, "in the way");
  EXPECT_EQ(bytes_of(dir_.file("precious")), "precious");
}

TEST_F(Backup, BesideAWritingProcessEndsAndIsAPrefixOfItsWrites) {
  fill(store_, 3000);
  Process writer(worker({"write", file_, "w", "normal"}));
  ASSERT_TRUE(writer.line().has_value());
  for (int round = 0; round < 3; ++round) {
    const std::optional<std::string> told = writer.line();
    ASSERT_TRUE(told.has_value());
    store_.backup(copy_);
    const KVStore copy(copy_);
    const std::size_t written = copy.count({.prefix = "w"});
    ASSERT_GT(written, std::stoul(*told));
    for (std::size_t i = 0; i < written; ++i) {
      ASSERT_EQ(copy.get("w" + std::to_string(i)), json(i));
    }
    EXPECT_EQ(copy.count({.prefix = "k"}), 3001U);
    EXPECT_TRUE(copy.check().ok());
  }
}

TEST_F(Backup, LetsWritersOfThisProcessGoOn) {
  fill(store_, 3000);
  std::latch copying(1);
  std::latch written(1);
  std::thread writer([&] {
    copying.wait();
    store_.set("during", 1);
    written.count_down();
  });
  bool first = true;
  store_.backup(copy_, [&](auto, auto) {
    if (std::exchange(first, false)) {
      copying.count_down();
      written.wait();
    }
    return true;
  });
  writer.join();
  EXPECT_FALSE(KVStore(copy_).contains("during"));
  EXPECT_TRUE(store_.contains("during"));
}

TEST_F(Backup, IsWaitedForByAClose) {
  fill(store_, 1000);
  std::latch copying(1);
  std::thread closer([&] {
    copying.wait();
    store_.close();
  });
  bool first = true;
  store_.backup(copy_, [&](auto, auto) {
    if (std::exchange(first, false)) copying.count_down();
    return true;
  });
  closer.join();
  EXPECT_EQ(KVStore(copy_).count({.prefix = "k"}), 1001U);
}

TEST_F(Backup, InAForkedChildIsMisuse) {
  EXPECT_NE(in_child([&]() -> std::string {
              store_.backup(copy_);
              return "written";
            }).find("misuse"),
            std::string::npos);
}

TEST_F(Backup, ThatIsKilledLeavesTheEarlierOneWhole) {
  fill(store_, 3000);
  store_.backup(copy_);
  const std::string before = bytes_of(copy_);
  const int rounds = long_run() ? 200 : 6;
  for (int round = 0; round < rounds; ++round) {
    Process copier(worker({"backup", file_, copy_, std::to_string(round % 3)}));
    ASSERT_EQ(copier.line(), "copying");
    copier.kill_now();
    EXPECT_EQ(bytes_of(copy_), before);
    EXPECT_FALSE(fs::exists(copy_ + "-wal"));
  }
  EXPECT_TRUE(fs::exists(copy_ + ".kvstore-part")) << "no backup was killed; this proves nothing";
  store_.backup(copy_);
  EXPECT_TRUE(KVStore(copy_).check().ok());
}

TEST_F(Backup, OnAFullDiskIsATypedErrorAndLeavesTheEarlierOne) {
  const fs::path disk = dir_.path() / "disk";
  fs::create_directory(disk);
  if (mount("none", disk.c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "mounting is not permitted here";
  }
  const std::string copy = (disk / "copy.db").string();
  store_.backup(copy);
  const std::string before = bytes_of(copy);
  fill(store_, 3000);
  EXPECT_KV_ERROR(store_.backup(copy), ErrorCode::full, "make room");
  EXPECT_EQ(names_in(disk), std::vector<std::string>{"copy.db"});
  EXPECT_EQ(bytes_of(copy), before);
  umount2(disk.c_str(), MNT_DETACH);
}

TEST_F(Backup, PastTheLimitOfAFileSizeIsATypedError) {
  const std::string outcome = in_child([&]() -> std::string {
    signal(SIGXFSZ, SIG_IGN);
    KVStore memory(":memory:");
    fill(memory, 3000);
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = 1U << 20U;
    setrlimit(RLIMIT_FSIZE, &limit);
    try {
      memory.backup(copy_);
    } catch (const Error& error) {
      return std::string(to_string(error.code()));
    }
    return "written";
  });
  EXPECT_EQ(outcome, "full");
  EXPECT_EQ(names_in(dir_.path()).size(), 3U);  // the store and its log
}

}  // namespace
}  // namespace kvstore::test
