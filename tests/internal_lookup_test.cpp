#include <random>
#include <set>

#include <kvstore/engine/sqlite_lookup.hpp>

#include "behaviour.hpp"
#include "outside.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

using engine::LookedUp;

constexpr std::size_t page_bytes = engine::usual_page_bytes;

/// Looks entries up in the bytes of a file, and compares them with what SQLite reads.
class Lookup : public ::testing::Test {
 protected:
  void load() {
    bytes_ = bytes_of(file_);
    const auto shape = engine::shape_of_current_store(bytes_.substr(0, page_bytes), bytes_.size());
    ASSERT_TRUE(shape.has_value());
    shape_ = *shape;
  }

  LookedUp look_up(std::string_view key) {
    pages_read_.clear();
    const auto read = [&](std::uint32_t number, std::string& page) {
      pages_read_.insert(number);
      if (number == 0 || number * page_bytes > bytes_.size()) return false;
      page.assign(bytes_, (number - 1) * page_bytes, page_bytes);
      return true;
    };
    return engine::look_up(read, shape_, key, row_);
  }

  /// The columns that were found, joined by '|' as `Outside` does.
  [[nodiscard]] std::string columns() const {
    std::string joined;
    for (const engine::Value& value : row_.columns) {
      if (!joined.empty()) joined += '|';
      if (const auto* text = std::get_if<std::string_view>(&value)) {
        joined += *text;
      } else if (const auto* number = std::get_if<std::int64_t>(&value)) {
        joined += std::to_string(*number);
      } else {
        joined += "NULL";
      }
    }
    return joined;
  }

  void expect_as_sqlite_reads() {
    load();
    const std::vector<std::string> rows = Outside(file_).rows("SELECT * FROM kv");
    ASSERT_FALSE(rows.empty());
    for (const std::string& row : rows) {
      const std::string key = row.substr(0, row.find('|'));
      if (look_up(key) == LookedUp::doubtful) {
        ++doubtful_;
        continue;
      }
      // Columns that were added later stand in no row from before.
      EXPECT_TRUE(row.starts_with(columns())) << row;
      EXPECT_EQ(row.find_first_not_of("NUL|", columns().size()), std::string::npos) << row;
    }
  }

  TempDir dir_;
  std::string file_ = dir_.file("store.db");
  std::string bytes_;
  engine::StoreShape shape_;
  engine::FoundRow row_;
  std::set<std::uint32_t> pages_read_;
  int doubtful_ = 0;
};

TEST_F(Lookup, FindsEveryEntryOfTreesOfManyLevels) {
  KVStore(file_).transaction([](Transaction& tx) {
    std::minstd_rand random(static_cast<unsigned>(seed()));
    for (int i = 0; i < 20'000; ++i) {
      tx.set(std::string(random() % 90, 'k') + std::to_string(random()), std::string(i % 200, 'v'));
    }
  });
  expect_as_sqlite_reads();
  EXPECT_EQ(doubtful_, 0);
  look_up("k1");
  EXPECT_GT(pages_read_.size(), 2U);
}

TEST_F(Lookup, FindsDocumentsThatFillManyPages) {
  KVStore(file_).transaction([](Transaction& tx) {
    for (int i = 0; i < 300; ++i) {
      tx.set("k" + std::to_string(i), std::string(static_cast<std::size_t>(i) * 97, 'v'));
    }
  });
  expect_as_sqlite_reads();
  EXPECT_EQ(doubtful_, 0);
}

TEST_F(Lookup, FindsRowsFromBeforeColumnsWereAdded) {
  run_outside(file_, std::string(older_table) +
                         "; INSERT INTO kv(key, value) VALUES ('a', '1'), ('b', '[2]')");
  KVStore(file_).set("c", 3);
  expect_as_sqlite_reads();
  EXPECT_EQ(doubtful_, 0);
  EXPECT_EQ(KVStore(file_).get("b"), json::array({2}));
}

TEST_F(Lookup, FindsNoKeyThatIsNotThere) {
  std::vector<std::pair<std::string, int>> items;
  for (int i = 0; i < 5'000; ++i) items.emplace_back("k" + std::to_string(i) + "/", i);
  KVStore(file_).set_many(items);
  load();
  for (int i = 0; i < 5'000; ++i) {
    const std::string key = "k" + std::to_string(i);
    EXPECT_EQ(look_up(key), LookedUp::absent);
    EXPECT_EQ(look_up(key + "/0"), LookedUp::absent);
  }
  EXPECT_EQ(look_up(""), LookedUp::absent);
  EXPECT_EQ(look_up("\xFF"), LookedUp::absent);
  EXPECT_EQ(look_up(std::string(10'000, 'k')), LookedUp::absent);
}

TEST_F(Lookup, FindsNothingInAnEmptyStore) {
  { const KVStore made(file_); }
  load();
  EXPECT_EQ(look_up("k"), LookedUp::absent);
}

TEST_F(Lookup, LeavesKeysThatAreLongerThanTheirPageToSqlite) {
  const std::string key(2'000, 'k');
  const Options options{.max_key_bytes = key.size()};
  KVStore(file_, options).set(key, 1);
  load();
  EXPECT_EQ(look_up(key), LookedUp::doubtful);
  EXPECT_EQ(KVStore(file_, options).get(key), 1);
}

TEST_F(Lookup, TakesPagesThatReferToThemselvesForDamage) {
  KVStore(file_).transaction([](Transaction& tx) {
    for (int i = 0; i < 5'000; ++i) tx.set("k" + std::to_string(i), i);
  });
  load();
  for (const std::uint32_t root : {shape_.keys, shape_.table}) {
    SCOPED_TRACE(root);
    const std::string sound = bytes_;
    const std::size_t page = (root - 1) * page_bytes;
    const std::size_t cells = engine::u16(bytes_, page + 3);
    const std::string itself = {0, 0, static_cast<char>(root >> 8U), static_cast<char>(root)};
    for (std::size_t i = 0; i < cells; ++i) {
      bytes_.replace(page + engine::u16(bytes_, page + 12 + 2 * i), 4, itself);
    }
    bytes_.replace(page + 8, 4, itself);
    EXPECT_EQ(look_up("k77"), LookedUp::doubtful);
    bytes_ = sound;
  }
}

/// Damage may also take the checksum away, as if another program had written the entry.
TEST_F(Lookup, GivesOutOfDamagedPagesOnlyWhatSqliteReadsThereToo) {
  constexpr int entries = 400;
  const auto document = [](int i) { return json{{"n", i}, {"text", std::string(i % 70, 'v')}}; };
  KVStore(file_).transaction([&](Transaction& tx) {
    for (int i = 0; i < entries; ++i) tx.set("k" + std::to_string(i), document(i));
  });
  const std::string sound = bytes_of(file_);
  std::minstd_rand random(static_cast<unsigned>(seed()));
  int given = 0;
  int refused = 0;
  for (int round = 0; round < (long_run() ? 2'000 : 500); ++round) {
    std::string bytes = sound;
    for (int change = 0; change < 20; ++change) {
      bytes[page_bytes + random() % (bytes.size() - page_bytes)] = static_cast<char>(random());
    }
    write_bytes(file_, bytes);
    const KVStore store(file_);
    for (int read = 0; read < 5; ++read) {
      const int i = static_cast<int>(random() % entries);
      const std::string key = "k" + std::to_string(i);
      try {
        const auto value = store.get(key);
        if (!value) continue;
        ++given;
        if (*value == document(i)) continue;
        const std::string text =
            Outside(file_).one("SELECT value FROM kv WHERE key = '" + key + "'");
        EXPECT_EQ(*value, json::parse(text));
      } catch (const std::exception&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(given, 0);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace kvstore::test
