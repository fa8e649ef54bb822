#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <random>
#include <set>

#include "child.hpp"
#include "outside.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

namespace fs = std::filesystem;

using Entries = std::map<std::string, Entry, std::less<>>;

constexpr std::size_t page_bytes = 4096;

const std::string damaged_page(page_bytes, '\xA5');

/// A file with a damaged copy of it, and a place for what is rescued.
class Salvage : public ::testing::Test {
 protected:
  Salvage() { fill_store(); }

  void fill_store(int entries = 400) {
    Options options{.durability = Durability::normal, .clock = clock_.source()};
    KVStore store(file_, options);
    store.transaction([&](Transaction& tx) {
      for (int i = 0; i < entries; ++i) {
        const std::string key = "key" + std::to_string(i);
        const SetOptions how = i % 3 == 0 ? SetOptions{.ttl = Duration(1'000'000)} : SetOptions{};
        // Some are longer than a page, and so on pages of their own.
        const std::size_t length = i % 50 == 7 ? 20'000 : static_cast<std::size_t>(i) % 100;
        tx.set(key, {{"n", i}, {"text", std::string(length, 'v')}}, how);
      }
    });
    entries_.clear();
    for (const Entry& entry : store.scan()) entries_[entry.key] = entry;
  }

  /// Damages the copy, in a way that `damage` does to the bytes of the file.
  void damage(const std::function<void(std::string&)>& damage) {
    std::string bytes = bytes_of(file_);
    damage(bytes);
    write_bytes(damaged_, bytes);
  }

  SalvageReport rescue() {
    fs::remove(rescued_);
    SalvageReport report = salvage(damaged_, rescued_, options_);
    EXPECT_FALSE(fs::exists(rescued_ + ".kvstore-part"));
    EXPECT_FALSE(fs::exists(rescued_ + ".pages.kvstore-part"));
    EXPECT_FALSE(fs::exists(rescued_ + "-wal"));
    return report;
  }

  /// What was rescued is as it was, and a sound store. Returns the keys that are gone.
  std::set<std::string> expect_sound_rest(const SalvageReport& report) {
    const KVStore store(rescued_, options_);
    EXPECT_TRUE(store.check().ok());
    std::set<std::string> gone;
    for (const auto& [key, entry] : entries_) gone.insert(key);
    std::size_t found = 0;
    for (const Entry& entry : store.scan()) {
      ++found;
      const auto original = entries_.find(entry.key);
      if (original == entries_.end()) {
        ADD_FAILURE() << entry.key << " was never there";
        continue;
      }
      EXPECT_EQ(entry.value, original->second.value);
      EXPECT_EQ(entry.revision, original->second.revision);
      EXPECT_EQ(entry.updated_at, original->second.updated_at);
      EXPECT_EQ(entry.expires_at, original->second.expires_at);
      gone.erase(entry.key);
    }
    EXPECT_EQ(report.saved, found);
    return gone;
  }

  static std::set<std::string> named(const SalvageReport& report) {
    std::set<std::string> keys;
    for (const Problem& problem : report.problems) {
      if (!problem.key.empty()) keys.insert(problem.key);
    }
    return keys;
  }

  /// Whether something beside the lost keys is told that holds this text.
  static bool says(const SalvageReport& report, std::string_view text) {
    return std::ranges::any_of(report.problems, [&](const Problem& problem) {
      return problem.key.empty() && problem.what.find(text) != std::string::npos;
    });
  }

  /// Everything but these keys is there, and they are named.
  void expect_lost(const SalvageReport& report, const std::set<std::string>& keys) {
    EXPECT_EQ(expect_sound_rest(report), keys);
    EXPECT_EQ(named(report), keys);
    EXPECT_EQ(report.lost, keys.size());
  }

  std::size_t root_of(const std::string& name) {
    return std::stoul(
        Outside(file_).one("SELECT rootpage FROM sqlite_master WHERE name = '" + name + "'"));
  }

  FakeClock clock_;
  Options options_{.durability = Durability::normal, .clock = clock_.source()};
  TempDir dir_;
  std::string file_ = dir_.file("store.db"), damaged_ = dir_.file("damaged.db"),
              rescued_ = dir_.file("rescued.db");
  Entries entries_;
};

TEST_F(Salvage, OfASoundStoreIsAllOfIt) {
  damage([](std::string&) {});
  const SalvageReport report = rescue();
  expect_lost(report, {});
  EXPECT_TRUE(report.problems.empty());
  EXPECT_EQ(report.unreadable_pages, 0U);
}

TEST_F(Salvage, LeavesTheDamagedFileAsItIs) {
  damage([](std::string& bytes) { bytes.replace(5 * page_bytes, page_bytes, damaged_page); });
  const std::string before = bytes_of(damaged_);
  rescue();
  EXPECT_EQ(bytes_of(damaged_), before);
  EXPECT_FALSE(fs::exists(damaged_ + "-wal"));
}

TEST_F(Salvage, KeepsExpiredEntriesToo) {
  damage([](std::string&) {});
  clock_.advance(Duration(10'000'000));
  EXPECT_EQ(rescue().saved, entries_.size());
}

TEST_F(Salvage, LosesOneEntryToOneDamagedByte) {
  damage([](std::string& bytes) { bytes[bytes.find(R"({"n":70,)") + 5] = '9'; });
  expect_lost(rescue(), {"key70"});
}

TEST_F(Salvage, LosesALongEntryToADamagedPageOfIts) {
  damage([](std::string& bytes) {
    const std::size_t inside = bytes.find(std::string(page_bytes - 4, 'v')) / page_bytes;
    bytes.replace(inside * page_bytes, page_bytes, damaged_page);
  });
  const SalvageReport report = rescue();
  EXPECT_EQ(expect_sound_rest(report).size(), 1U);
  EXPECT_EQ(report.lost, 1U);
}

TEST_F(Salvage, LosesNothingToADamagedIndex) {
  damage([&](std::string& bytes) {
    bytes.replace((root_of("sqlite_autoindex_kv_1") - 1) * page_bytes, page_bytes, damaged_page);
  });
  const SalvageReport report = rescue();
  EXPECT_TRUE(expect_sound_rest(report).empty());
  EXPECT_EQ(report.lost, 0U);
  EXPECT_EQ(report.unreadable_pages, 1U);
  EXPECT_FALSE(report.problems.empty());
}

TEST_F(Salvage, LosesNothingToADamagedRootOfTheTable) {
  damage([&](std::string& bytes) {
    bytes.replace((root_of("kv") - 1) * page_bytes, page_bytes, damaged_page);
  });
  const SalvageReport report = rescue();
  expect_lost(report, {});
  EXPECT_EQ(report.unreadable_pages, 1U);
}

TEST_F(Salvage, LosesNothingToAPointerThatLeadsIntoAnotherTree) {
  damage([&](std::string& bytes) {
    const std::size_t table = (root_of("kv") - 1) * page_bytes;
    ASSERT_EQ(bytes[table], '\x05') << "the root has no children";
    const auto high = static_cast<unsigned char>(bytes[table + 12]);
    const auto low = static_cast<unsigned char>(bytes[table + 13]);
    const std::size_t cell = table + high * 256U + low;
    bytes.replace(cell, 4, {'\0', '\0', '\0', static_cast<char>(root_of("sqlite_autoindex_kv_1"))});
  });
  const SalvageReport report = rescue();
  expect_lost(report, {});
  EXPECT_TRUE(report.problems.empty()) << report.problems[0].what;
}

TEST_F(Salvage, TakesNoRowOfAnotherTable) {
  run_outside(file_,
              "CREATE TABLE kv_other(key, value, updated_at, expires_at, revision, checksum); "
              "INSERT INTO kv_other VALUES('other', '1', NULL, NULL, NULL, NULL); "
              "CREATE TABLE settings(key TEXT PRIMARY KEY, value TEXT, at TEXT); "
              "INSERT INTO settings VALUES('setting', '1', NULL)");
  damage([&](std::string& bytes) {
    bytes.replace((root_of("kv") - 1) * page_bytes, page_bytes, damaged_page);
  });
  expect_lost(rescue(), {});
}

TEST_F(Salvage, LosesNothingToADamagedTableOfTables) {
  damage([](std::string& bytes) { bytes.replace(100, 3000, std::string(3000, '\xA5')); });
  EXPECT_THROW(KVStore{damaged_}, Error);
  EXPECT_TRUE(expect_sound_rest(rescue()).empty());
}

TEST_F(Salvage, LosesNothingToADamagedHeaderOfTheFile) {
  damage([](std::string& bytes) { bytes.replace(0, 100, std::string(100, '\xA5')); });
  EXPECT_THROW(KVStore{damaged_}, Error);
  const SalvageReport report = rescue();
  EXPECT_TRUE(expect_sound_rest(report).empty());
  EXPECT_EQ(report.lost, 0U);
}

TEST_F(Salvage, LosesNothingToADamagedNameOfTheTable) {
  damage([](std::string& bytes) {
    const std::size_t at = bytes.find("tablekvkv");  // type, name and table
    ASSERT_NE(at, std::string::npos);
    bytes.replace(at + 5, 2, "\xA5\xA5");
  });
  expect_lost(rescue(), {});
}

TEST_F(Salvage, OfAFileThatWasCutOffHasWhatIsLeft) {
  damage([](std::string& bytes) { bytes.resize(bytes.size() / 2 + 100); });
  const SalvageReport report = rescue();
  const std::set<std::string> gone = expect_sound_rest(report);
  EXPECT_GT(report.saved, 0U);
  EXPECT_FALSE(gone.empty());
}

/// Each page in turn: what stood on it is lost and named, and nothing else.
TEST_F(Salvage, LosesToAnyDamagedPageOnlyWhatStoodOnIt) {
  const std::string sound = bytes_of(file_);
  const std::size_t pages = sound.size() / page_bytes;
  const std::size_t index_root = root_of("sqlite_autoindex_kv_1");
  std::mt19937_64 random(seed());
  for (std::size_t page = 0; page < pages; ++page) {
    // Most pages belong to long values and are all alike.
    if (!long_run() && page > 5 && random() % 10 != 0) continue;
    SCOPED_TRACE(page);
    damage([&](std::string& bytes) { bytes.replace(page * page_bytes, page_bytes, damaged_page); });
    const SalvageReport report = rescue();
    const std::set<std::string> gone = expect_sound_rest(report);
    for (const std::string& key : gone) {
      // The key stands on its page, with its value or the beginning of it.
      const bool there =
          sound.substr(page * page_bytes, page_bytes).find(key) != std::string::npos ||
          entries_.at(key).value["text"].get_ref<const std::string&>().size() > page_bytes;
      EXPECT_TRUE(there) << key;
    }
    EXPECT_EQ(report.lost, page + 1 == index_root ? 0U : gone.size());
    EXPECT_EQ(named(report), gone);
    EXPECT_LT(gone.size(), 60U);
  }
}

/// The head of a record: types of one column after the other. A bit joins two of them to one, so
/// that the checksum is taken for the revision, and there is none.
TEST_F(Salvage, OfABitThatHidesTheChecksumSavesNothingFalse) {
  const auto plain = std::ranges::find_if(
      entries_, [](const auto& entry) { return !entry.second.expires_at.has_value(); });
  ASSERT_NE(plain, entries_.end());
  const std::string types("\x3B\x00\x06\x06", 4);  // of updated_at to checksum
  damage([&](std::string& bytes) {
    const std::size_t at = bytes.find(types + plain->first);
    ASSERT_NE(at, std::string::npos);
    bytes[at + 1] = static_cast<char>(0x80);
  });
  expect_lost(rescue(), {plain->first});
}

TEST_F(Salvage, OfAnySingleBitSavesAllButOneEntryAndNothingFalse) {
  const int flips = long_run() ? 2000 : 12;
  std::mt19937_64 random(seed());
  for (int i = 0; i < flips; ++i) {
    std::size_t bit = 0;
    damage([&](std::string& bytes) {
      bit = random() % (bytes.size() * 8);
      bytes[bit / 8] =
          static_cast<char>(static_cast<unsigned char>(bytes[bit / 8]) ^ (1U << (bit % 8)));
    });
    SCOPED_TRACE("bit " + std::to_string(bit));
    // In the header of a page a bit can take some of its entries with it.
    EXPECT_LT(expect_sound_rest(rescue()).size(), 60U);
  }
}

TEST_F(Salvage, OfRandomDamageEverywhereSavesNothingFalse) {
  const int rounds = long_run() ? 500 : 8;
  std::mt19937_64 random(seed());
  for (int round = 0; round < rounds; ++round) {
    damage([&](std::string& bytes) {
      for (int i = 0; i < 30; ++i) {
        const std::size_t at = random() % (bytes.size() - 64);
        for (std::size_t j = 0; j < 64; ++j) bytes[at + j] = static_cast<char>(random());
      }
    });
    expect_sound_rest(rescue());
  }
}

TEST_F(Salvage, BringsNoErasedEntryBack) {
  {
    KVStore store(file_, options_);
    store.erase_range({.prefix = "key1"});
    store.set("key2", {{"n", 2}, {"text", "changed"}});
    std::erase_if(entries_, [](const auto& item) { return item.first.starts_with("key1"); });
    entries_["key2"] = store.entry("key2").value();
  }
  damage([&](std::string& bytes) {
    bytes.replace((root_of("kv") - 1) * page_bytes, page_bytes, damaged_page);
  });
  expect_lost(rescue(), {});
}

TEST_F(Salvage, SaysSoWhereErasedEntriesMayHaveComeBack) {
  {
    KVStore store(file_, options_);
    store.erase_range({.prefix = "key1"});
  }
  for (const char byte : {'\0', '\xA5'}) {
    damage(
        [&](std::string& bytes) { bytes.replace(0, page_bytes, std::string(page_bytes, byte)); });
    EXPECT_TRUE(says(rescue(), "entries that were erased"));
  }
}

TEST_F(Salvage, SeesWhatIsStillInTheLog) {
  Process writer(worker({"write", file_, "w", "full"}));
  ASSERT_EQ(writer.line(), "0");
  writer.kill_now();
  ASSERT_TRUE(fs::exists(file_ + "-wal"));
  const SalvageReport report = salvage(file_, rescued_, options_);
  EXPECT_EQ(report.lost, 0U);
  EXPECT_EQ(KVStore(rescued_, options_).get("w0"), json(0));
}

TEST_F(Salvage, SeesWhatIsStillInTheLogOfAFileWhoseSchemaIsDamaged) {
  Outside other(file_);
  other.run(
      "INSERT INTO kv(key, value) VALUES('newest', '1'); PRAGMA writable_schema = ON; "
      "UPDATE sqlite_master SET sql = 'CREATE TRIGGER' WHERE name = 'kv_outside_insert'");
  write_bytes(damaged_, bytes_of(file_));
  write_bytes(damaged_ + "-wal", bytes_of(file_ + "-wal"));
  const SalvageReport report = rescue();
  EXPECT_EQ(report.lost, 0U);
  EXPECT_EQ(KVStore(rescued_, options_).get("newest"), 1);
}

TEST_F(Salvage, KeepsRowsOfOtherProgramsThatAreWhole) {
  run_outside(file_,
              "INSERT INTO kv(key, value, updated_at) "
              "VALUES('outside', '[1, 2]', '2024-05-01 12:00:00')");
  damage([](std::string& bytes) { bytes[bytes.find(R"({"n":70,)") + 5] = '9'; });
  const SalvageReport report = rescue();
  EXPECT_EQ(named(report), std::set<std::string>{"key70"});
  const KVStore store(rescued_, options_);
  EXPECT_EQ(store.get_text("outside"), "[1, 2]");
  EXPECT_EQ(store.entry("outside")->updated_at, Time(Duration(1'714'564'800'000)));
}

TEST_F(Salvage, KeepsRowsThatAreOlderThanTheStore) {
  fs::remove(file_);
  run_outside(file_, std::string(older_table) +
                         "; INSERT INTO kv VALUES('k', '{\"a\": 1}', '2020-01-01 00:00:00')");
  KVStore(file_, options_).set("new", 1);
  damage([](std::string&) {});
  const SalvageReport report = rescue();
  EXPECT_EQ(report.saved, 2U);
  const KVStore store(rescued_, options_);
  EXPECT_EQ(store.get_text("k"), "{\"a\": 1}");
  EXPECT_EQ(store.entry("k")->revision, 0);
}

TEST_F(Salvage, KnowsBytesThatAFileReservesOnEachPage) {
  constexpr std::size_t number = 20;  // its place in the header
  damage([](std::string& bytes) { bytes[number] = 8; });
  EXPECT_TRUE(expect_sound_rest(rescue()).empty());
  fs::remove(file_);
  {
    Outside outside(file_);
    int reserved = 12;
    ASSERT_EQ(sqlite3_file_control(outside.handle(), "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved),
              SQLITE_OK);
    outside.run(std::string(older_table));
  }
  ASSERT_EQ(bytes_of(file_)[number], 12);
  fill_store();
  damage([](std::string&) {});
  expect_lost(rescue(), {});
  damage([](std::string& bytes) { bytes.replace(5 * page_bytes, page_bytes, damaged_page); });
  EXPECT_LT(expect_sound_rest(rescue()).size(), 60U);
}

TEST_F(Salvage, EvictsNothing) {
  damage([](std::string&) {});
  options_.max_bytes = 64U << 10U;
  expect_lost(rescue(), {});
}

/// For somebody who may only read the file and what lies beside it.
class SalvageByAnother : public Salvage {
 protected:
  void SetUp() override {
    if (!is_root()) GTEST_SKIP() << "only root can become another user";
    Process writer(worker({"write", file_, "w", "full"}));
    ASSERT_EQ(writer.line(), "0");
    writer.kill_now();
    fs::permissions(dir_.path(), fs::perms(0755));
    for (const auto& item : fs::directory_iterator(dir_.path())) {
      fs::permissions(item, fs::perms(0644));
    }
    fs::permissions(place_.path(), fs::perms(0777));
  }

  /// How often the first entry of the log is in what was salvaged, and all that is remarked.
  std::string rescue_as_nobody() {
    return as_nobody([&] {
      const SalvageReport report = salvage(file_, place_.file("rescued.db"), options_);
      std::string said = std::to_string(KVStore(place_.file("rescued.db")).contains("w0"));
      for (const Problem& problem : report.problems) said += " " + problem.what;
      return said;
    });
  }

  TempDir place_;
};

TEST_F(SalvageByAnother, SeesWhatIsStillInTheLog) {
  EXPECT_EQ(rescue_as_nobody(), "1");
}

TEST_F(SalvageByAnother, SaysSoWhenTheLogCannotBeRead) {
  fs::remove(file_ + "-shm");  // without it SQLite would have to write one
  const std::string said = rescue_as_nobody();
  EXPECT_TRUE(said.starts_with("0 ")) << said;
  EXPECT_NE(said.find("log beside the file could not be read"), std::string::npos) << said;
  EXPECT_EQ(said.find("damaged"), std::string::npos) << said;
}

/// Rows of other programs have no checksum; what an index says of them is all that speaks for them.
TEST_F(Salvage, LosesToADamagedPageNoRowsOfOtherPrograms) {
  fs::remove(file_);
  std::string rows = std::string(older_table) + "; BEGIN; ";
  for (int i = 0; i < 500; ++i) {
    rows += "INSERT INTO kv VALUES('old" + std::to_string(i) + "', '{\"text\": \"" +
            std::string(100, 'o') + "\"}', '2020-01-01 00:00:00'); ";
  }
  run_outside(file_, rows + "COMMIT");
  KVStore(file_, options_).set("new", 1);
  run_outside(file_, "INSERT INTO kv(key, value) VALUES('outside', '[1, 2]')");
  const std::size_t root = root_of("kv") - 1;
  const std::size_t index = root_of("sqlite_autoindex_kv_1") - 1;
  for (const std::vector<std::size_t>& pages :
       {std::vector<std::size_t>{root}, {0}, {root, index}}) {
    SCOPED_TRACE(pages.back());
    damage([&](std::string& bytes) {
      for (const std::size_t page : pages) {
        bytes.replace(page * page_bytes, page_bytes, damaged_page);
      }
    });
    // Keys that stood on the page of the index have lost their witness.
    EXPECT_GT(rescue().saved, pages.size() == 1 ? 501U : 450U);
    const KVStore store(rescued_, options_);
    EXPECT_TRUE(store.contains("old400"));
    EXPECT_EQ(store.get("outside"), json({1, 2}));
  }
}

TEST_F(Salvage, TakesNoMigrationASecondTime) {
  int taken = 0;
  const std::vector<Migration> steps = {
      {.version = 1, .name = "one", .up = [&](auto&) { ++taken; }},
      {.version = 2, .name = "two", .up = [&](auto&) { ++taken; }}};
  {
    KVStore store(file_, options_);
    migrate(store, steps);
  }
  clock_.advance(Duration(1000));
  damage([](std::string& bytes) { bytes[bytes.find(R"({"n":70,)") + 5] = '9'; });
  expect_lost(rescue(), {"key70"});
  KVStore store(rescued_, options_);
  migrate(store, steps);
  EXPECT_EQ(taken, 2);
  const std::vector<migration::Applied> history = migration::history(store);
  ASSERT_EQ(history.size(), 2U);
  EXPECT_EQ(history[1].name, "two");
  EXPECT_EQ(history[1].applied_at, clock_.now() - Duration(1000));
}

TEST_F(Salvage, SaysSoWhenTheMigrationsCannotBeKnown) {
  {
    KVStore store(file_, options_);
    migrate(store, {{.version = 1, .name = "one", .up = [](Transaction&) {}}});
  }
  const std::size_t list = root_of("kv_migration") - 1;
  for (const std::size_t page : {std::size_t{0}, list}) {
    damage([&](std::string& bytes) { bytes.replace(page * page_bytes, page_bytes, damaged_page); });
    const SalvageReport report = rescue();
    EXPECT_TRUE(expect_sound_rest(report).empty());
    EXPECT_TRUE(says(report, "migrations")) << page;
  }
  damage([](std::string&) {});
  EXPECT_FALSE(says(rescue(), "migrations"));
  run_outside(file_, "UPDATE kv_migration SET applied_at = x'00'");
  damage([](std::string&) {});
  EXPECT_TRUE(says(rescue(), "migrations"));
}

TEST_F(Salvage, LetsRevisionsGrow) {
  Revision erased = 0;
  {
    KVStore store(file_, options_);
    erased = store.set("erased", 1);
    store.erase("erased");
  }
  damage([](std::string& bytes) { bytes.replace(5 * page_bytes, page_bytes, damaged_page); });
  rescue();
  FakeClock behind;
  behind.set(Time());
  KVStore store(rescued_, {.clock = behind.source()});
  EXPECT_GT(store.set("erased", 2), erased);
  EXPECT_GT(store.set("key2", 2), entries_.at("key2").revision);
}

TEST_F(Salvage, OfAnOpenStoreIsOfOneMoment) {
  KVStore store(file_, options_);
  store.set("fresh", 1);
  entries_["fresh"] = store.entry("fresh").value();
  expect_lost(store.salvage(rescued_), {});
  store.set("after", 1);
  EXPECT_TRUE(store.check().ok());
}

TEST_F(Salvage, OutlivesTheStoreThatItsCallbackDrops) {
  // A clock that is gone with the options of the store, and needs memory of its own.
  const std::array<Time, 8> moments{clock_.now()};
  options_.clock = [moments] { return moments[0]; };
  auto store = std::make_unique<KVStore>(file_, options_);
  const KVStore& asked = *store;
  const SalvageReport report = asked.salvage(rescued_, [&](auto, auto) {
    store.reset();
    return true;
  });
  expect_lost(report, {});
}

TEST_F(Salvage, OfAStoreInMemoryIsUnsupported) {
  const KVStore memory(":memory:");
  EXPECT_KV_ERROR(memory.salvage(rescued_), ErrorCode::unsupported, "backup()");
}

TEST_F(Salvage, IntoWhatIsThereAlreadyIsRefused) {
  damage([](std::string&) {});
  write_bytes(rescued_, "precious");
  EXPECT_THROW(static_cast<void>(salvage(damaged_, rescued_)), Error);
  EXPECT_EQ(bytes_of(rescued_), "precious");
  KVStore(dir_.file("other.db"), options_).set("k", 1);
  EXPECT_KV_ERROR(salvage(damaged_, dir_.file("other.db")), ErrorCode::conflict, "already");
  EXPECT_KV_ERROR(salvage(damaged_, damaged_), ErrorCode::conflict, "already");
  EXPECT_KV_ERROR(salvage(damaged_, dir_.path() / "missing" / "x.db"), ErrorCode::not_found,
                  "missing");
}

TEST_F(Salvage, OfWhatIsNoStoreIsRefused) {
  write_bytes(damaged_, std::string(20'000, 'n'));
  EXPECT_KV_ERROR(salvage(damaged_, rescued_), ErrorCode::not_a_store, "nothing to salvage");
  fs::remove(damaged_);
  run_outside(damaged_, "CREATE TABLE t(a, b, c, d, e, f); INSERT INTO t VALUES(1,2,3,4,5,6)");
  EXPECT_KV_ERROR(salvage(damaged_, rescued_), ErrorCode::not_a_store, "nothing to salvage");
  EXPECT_KV_ERROR(salvage(dir_.file("missing.db"), rescued_), ErrorCode::not_found, "missing.db");
  EXPECT_FALSE(fs::exists(rescued_));
}

TEST_F(Salvage, ThatIsStoppedLeavesNothing) {
  damage([](std::string&) {});
  EXPECT_KV_ERROR(salvage(damaged_, rescued_, {}, [](auto, auto) { return false; }),
                  ErrorCode::cancelled, "progress");
  EXPECT_FALSE(fs::exists(rescued_));
  EXPECT_EQ(std::distance(fs::directory_iterator(dir_.path()), {}), 2);
}

TEST_F(Salvage, OnAFullDiskIsATypedErrorAndLeavesNothing) {
  const fs::path disk = dir_.path() / "disk";
  fs::create_directory(disk);
  if (mount("none", disk.c_str(), "tmpfs", 0, "size=300k") != 0) {
    GTEST_SKIP() << "mounting is not permitted here";
  }
  damage([](std::string&) {});
  EXPECT_KV_ERROR(salvage(damaged_, disk / "rescued.db"), ErrorCode::full, "make room");
  EXPECT_TRUE(fs::is_empty(disk));
  umount2(disk.c_str(), MNT_DETACH);
}

TEST_F(Salvage, IsWhatCheckAdvisesWhenAnIndexHidesKeys) {
  damage([&](std::string& bytes) {
    // A leaf of the index says that it has fewer keys.
    std::size_t leaf = 0;
    while (bytes[leaf] != '\x0A' || bytes.find("key", leaf) > leaf + page_bytes) leaf += page_bytes;
    bytes[leaf + 4] = static_cast<char>(bytes[leaf + 4] - 5);
  });
  const KVStore store(damaged_, options_);
  const Report report = store.check();
  std::set<std::string> hidden;
  for (const Problem& problem : report.problems) {
    if (problem.what.find("not found by its key") != std::string::npos) hidden.insert(problem.key);
  }
  ASSERT_FALSE(hidden.empty());
  for (const std::string& key : hidden) EXPECT_FALSE(store.contains(key)) << key;
  for (const auto& [key, entry] : entries_)
    EXPECT_EQ(store.contains(key), !hidden.contains(key)) << key;
  expect_lost(rescue(), {});
}

TEST_F(Salvage, SavesWhatCheckFindsOnDamagedPages) {
  damage([](std::string& bytes) {
    const std::size_t page = bytes.find(R"({"n":70,)") / page_bytes;
    bytes.replace(page * page_bytes, page_bytes, damaged_page);
  });
  const KVStore store(damaged_, options_);
  std::set<std::string> reported;
  for (const Problem& problem : store.check().problems) {
    if (!problem.key.empty()) reported.insert(problem.key);
  }
  EXPECT_GT(reported.size(), 1U);
  EXPECT_LT(reported.size(), 60U);
  expect_lost(store.salvage(rescued_), reported);
}

}  // namespace
}  // namespace kvstore::test
