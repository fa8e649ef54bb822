#include <map>
#include <random>

#include "outside.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

using Values = std::map<std::string, json, std::less<>>;

/// What a read answered for one key. Whatever is not the stored value must be an error or nothing.
enum class Answer : std::uint8_t { right, error, absent, wrong };

template <class Read>
Answer answer(const json& stored, Read read) {
  try {
    const std::optional<json> got = read();
    if (!got) return Answer::absent;
    return *got == stored ? Answer::right : Answer::wrong;
  } catch (const Error&) {
    return Answer::error;
  }
}

Answer scanned(const KVStore& store, const std::string& key, const json& stored) {
  return answer(stored, [&]() -> std::optional<json> {
    for (const Entry& entry : store.scan({.prefix = key, .limit = 1})) {
      if (entry.key == key) return entry.value;
    }
    return std::nullopt;
  });
}

/// The answers of every verb that returns values.
std::vector<Answer> answers(const KVStore& store, const std::string& key, const json& stored) {
  return {answer(stored, [&] { return store.get(key); }),
          answer(stored, [&] { return store.get_many({key})[0]; }),
          answer(stored,
                 [&]() -> std::optional<json> {
                   const auto text = store.get_text(key);
                   return text ? std::optional(json::parse(*text)) : std::nullopt;
                 }),
          answer(stored,
                 [&]() -> std::optional<json> {
                   const auto entry = store.entry(key);
                   return entry ? std::optional(entry->value) : std::nullopt;
                 }),
          scanned(store, key, stored)};
}

class Damage : public testing::Test {
 protected:
  Damage() {
    KVStore store(file_, {.clock = clock_.source()});
    for (int i = 0; i < 60; ++i) {
      const std::string key = "key" + std::to_string(i);
      const json value = {{"n", i}, {"text", std::string(static_cast<std::size_t>(i) * 7, 'v')}};
      const SetOptions how = i % 3 == 0 ? SetOptions{.ttl = Duration(1'000'000)} : SetOptions{};
      store.set(key, value, how);
      values_[key] = value;
    }
  }

  /// Changes a column of "key7" as bit rot would: no trigger, no revision, no new checksum.
  void rot(const std::string& assignment) {
    Outside outside(file_);
    sqlite3_db_config(outside.handle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    outside.run("UPDATE kv SET " + assignment + " WHERE key = 'key7'");
  }

  void expect_key7_kept_by_a_purge() {
    KVStore store(file_, {.clock = clock_.source()});
    EXPECT_EQ(store.purge_expired(), 0U);
    EXPECT_KV_ERROR(store.get("key7"), ErrorCode::corrupt, "key7");
  }

  void expect_key7_corrupt() {
    const KVStore store(file_, {.clock = clock_.source()});
    EXPECT_KV_ERROR(store.get("key7"), ErrorCode::corrupt, "key7");
    EXPECT_KV_ERROR(store.get_shared("key7"), ErrorCode::corrupt, "key7");
    EXPECT_KV_ERROR(store.get_text("key7"), ErrorCode::corrupt, "key7");
    EXPECT_KV_ERROR(store.entry("key7"), ErrorCode::corrupt, "key7");
    EXPECT_KV_ERROR(store.contains("key7"), ErrorCode::corrupt, "key7");
    EXPECT_KV_ERROR(store.get_many({"key1", "key7"}), ErrorCode::corrupt, "key7");
    EXPECT_KV_ERROR(store.scan({.prefix = "key7"}).begin(), ErrorCode::corrupt, "key7");
    EXPECT_EQ(store.get("key8"), values_.at("key8"));
  }

  FakeClock clock_;
  TempDir dir_;
  std::string file_ = dir_.file("store.db");
  Values values_;
};

TEST_F(Damage, OfAnExpiryDoesNotLetAPurgeRemoveTheEntry) {
  rot("expires_at = '1999-01-01 00:00:00.000'");
  expect_key7_kept_by_a_purge();
}

TEST_F(Damage, OfAnExpiredEntryDoesNotEndAPurgeEarly) {
  KVStore store(file_, {.clock = clock_.source()});
  store.transaction([](Transaction& tx) {
    for (int i = 0; i < 2'500; ++i) {
      tx.set("short/" + std::to_string(i), i, {.ttl = std::chrono::seconds(1)});
    }
  });
  Outside outside(file_);
  sqlite3_db_config(outside.handle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  outside.run("UPDATE kv SET value = '77' WHERE key = 'short/0'");
  clock_.advance(std::chrono::seconds(10));
  EXPECT_EQ(store.purge_expired(), 2'499U);
  EXPECT_EQ(outside.one("SELECT count(*) FROM kv WHERE key LIKE 'short/%'"), "1");
}

TEST_F(Damage, ToAValueIsSeenByEveryRead) {
  rot("value = replace(value, '7', '8')");
  expect_key7_corrupt();
}

TEST_F(Damage, ToAValueThatStaysJsonOfTheSameLengthIsSeen) {
  rot("value = replace(value, 'v', 'w')");
  expect_key7_corrupt();
}

TEST_F(Damage, ToTheTimeOfAChangeIsSeen) {
  rot("updated_at = '2023-11-14 22:13:21.000'");
  expect_key7_corrupt();
}

TEST_F(Damage, ToAnExpiryThatGainsATimeIsSeen) {
  rot("expires_at = '2999-01-01 00:00:00.000'");
  expect_key7_corrupt();
}

TEST_F(Damage, ToAnExpiryInThePastIsSeen) {
  rot("expires_at = '1999-01-01 00:00:00.000'");
  const KVStore store(file_, {.clock = clock_.source()});
  EXPECT_KV_ERROR(store.get("key7"), ErrorCode::corrupt, "key7");
}

TEST_F(Damage, ToTheRevisionIsSeen) {
  rot("revision = revision + 1");
  expect_key7_corrupt();
}

TEST_F(Damage, ToTheChecksumIsSeen) {
  rot("checksum = checksum + 1");
  expect_key7_corrupt();
}

TEST_F(Damage, ToTheTypeOfTheChecksumIsSeen) {
  rot("checksum = 'text'");
  expect_key7_corrupt();
}

TEST_F(Damage, ToTheTypeOfAValueIsSeen) {
  rot("value = CAST(value AS BLOB)");
  const KVStore store(file_, {.clock = clock_.source()});
  EXPECT_KV_ERROR(store.get("key7"), ErrorCode::corrupt, "");
  EXPECT_KV_ERROR(store.contains("key7"), ErrorCode::corrupt, "");
}

TEST_F(Damage, ThatTurnsAValueIntoABlobNamesTheKey) {
  rot("value = CAST(value AS BLOB)");
  const KVStore store(file_, {.clock = clock_.source()});
  EXPECT_KV_ERROR(store.get("key7"), ErrorCode::corrupt, "key7");
  bool named = false;
  for (const Problem& problem : store.check().problems) named |= problem.key == "key7";
  EXPECT_TRUE(named) << "check() did not name the key";
}

TEST_F(Damage, IsReportedByCheckWithTheKey) {
  rot("value = replace(value, '7', '8')");
  const Report report = KVStore(file_, {.clock = clock_.source()}).check();
  EXPECT_FALSE(report.ok());
  std::vector<std::string> keys;
  for (const Problem& problem : report.problems) {
    if (!problem.key.empty()) keys.push_back(problem.key);
  }
  EXPECT_EQ(keys, std::vector<std::string>{"key7"});
}

TEST_F(Damage, OfAnExpiredEntryIsReportedByCheck) {
  rot("value = replace(value, '7', '8'), expires_at = '1999-01-01 00:00:00.000'");
  const Report report = KVStore(file_, {.clock = clock_.source()}).check();
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_EQ(report.problems[0].key, "key7");
  EXPECT_EQ(report.entries, values_.size());
}

TEST_F(Damage, OfTheFloorOfTheRevisionsIsReportedByCheck) {
  run_outside(file_, "UPDATE kv_floor SET revision = 'text'");
  const Report report = KVStore(file_, {.clock = clock_.source()}).check();
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_NE(report.problems[0].what.find("kv_floor"), std::string::npos);
}

TEST_F(Damage, IsMendedBySettingTheEntryAgain) {
  rot("value = replace(value, '7', '8')");
  KVStore store(file_, {.clock = clock_.source()});
  store.set("key7", "mended");
  EXPECT_EQ(store.get("key7"), json("mended"));
}

TEST_F(Damage, CanBeErased) {
  rot("value = replace(value, '7', '8')");
  KVStore store(file_, {.clock = clock_.source()});
  store.erase_range({.prefix = "key7"});
  EXPECT_FALSE(store.contains("key7"));
}

TEST_F(Damage, IsNotCarriedIntoAChangeOfTheDocument) {
  rot("value = replace(value, '7', '8')");
  KVStore store(file_, {.clock = clock_.source()});
  EXPECT_KV_ERROR(store.update("key7", [](json& value) { value["more"] = 1; }), ErrorCode::corrupt,
                  "key7");
}

TEST_F(Damage, IsNotMadeValidByTouch) {
  rot("value = replace(value, '7', '8')");
  KVStore store(file_, {.clock = clock_.source()});
  try {
    store.touch("key7", Duration(1000));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::corrupt);
  }
  EXPECT_KV_ERROR(store.get("key7"), ErrorCode::corrupt, "key7");
}

/// Every bit of the file is the same as any other to a failing disk.
TEST_F(Damage, OfAnySingleBitNeverYieldsWrongData) {
  const std::string sound = bytes_of(file_);
  const std::string copy = dir_.file("copy.db");
  std::mt19937_64 random(seed());
  const int flips = long_run() ? 3000 : 300;
  std::map<Answer, int> seen;
  for (int i = 0; i < flips; ++i) {
    const std::size_t bit = random() % (sound.size() * 8);
    std::string damaged = sound;
    damaged[bit / 8] =
        static_cast<char>(static_cast<unsigned char>(damaged[bit / 8]) ^ (1U << (bit % 8)));
    write_bytes(copy, damaged);
    SCOPED_TRACE("bit " + std::to_string(bit) + " of " + std::to_string(sound.size() * 8));
    std::optional<KVStore> store;
    try {
      store.emplace(copy, Options{.clock = clock_.source()});
    } catch (const Error&) {
      ++seen[Answer::error];
      continue;
    }
    bool absent = false;
    for (const auto& [key, value] : values_) {
      for (const Answer got : answers(*store, key, value)) {
        ++seen[got];
        absent |= got == Answer::absent;
        ASSERT_NE(got, Answer::wrong) << key;
      }
    }
    if (absent) {
      EXPECT_FALSE(store->check().ok()) << "a key is gone and check() is content";
    }
  }
  EXPECT_GT(seen[Answer::error], 0) << "no flip hit anything; the test proves nothing";
  EXPECT_GT(seen[Answer::right], 0);
}

TEST_F(Damage, OfAnySingleBitInARowIsReportedByCheck) {
  const std::string sound = bytes_of(file_);
  const std::string copy = dir_.file("copy.db");
  const std::size_t at = sound.find(R"({"n":50,)");
  ASSERT_NE(at, std::string::npos);
  std::mt19937_64 random(seed());
  for (int i = 0; i < 40; ++i) {
    const std::size_t bit = at * 8 + random() % (std::size_t{300} * 8);
    std::string damaged = sound;
    damaged[bit / 8] =
        static_cast<char>(static_cast<unsigned char>(damaged[bit / 8]) ^ (1U << (bit % 8)));
    write_bytes(copy, damaged);
    SCOPED_TRACE(bit);
    const KVStore store(copy, {.clock = clock_.source()});
    EXPECT_KV_ERROR(store.get("key50"), ErrorCode::corrupt, "");
    EXPECT_FALSE(store.check().ok());
  }
}

TEST_F(Damage, OfWholePagesIsAnErrorAndNoCrash) {
  const std::string sound = bytes_of(file_);
  const std::string copy = dir_.file("copy.db");
  for (std::size_t page = 1; page < sound.size() / 4096; ++page) {
    std::string damaged = sound;
    damaged.replace(page * 4096, 4096, std::string(4096, '\xA5'));
    write_bytes(copy, damaged);
    SCOPED_TRACE(page);
    try {
      const KVStore store(copy, {.clock = clock_.source()});
      for (const auto& [key, value] : values_) {
        for (const Answer got : answers(store, key, value)) ASSERT_NE(got, Answer::wrong) << key;
      }
      EXPECT_FALSE(store.check().ok());
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == ErrorCode::corrupt || error.code() == ErrorCode::not_a_store)
          << error.what();
    }
  }
}

TEST_F(Damage, OfATruncatedFileIsAnErrorAndNoWrongData) {
  const std::string sound = bytes_of(file_);
  const std::string copy = dir_.file("copy.db");
  for (const std::size_t size : {std::size_t{512}, std::size_t{4096}, sound.size() / 2}) {
    write_bytes(copy, sound.substr(0, size));
    SCOPED_TRACE(size);
    try {
      const KVStore store(copy, {.clock = clock_.source()});
      for (const auto& [key, value] : values_) {
        for (const Answer got : answers(store, key, value)) ASSERT_NE(got, Answer::wrong) << key;
      }
      EXPECT_FALSE(store.check().ok());
    } catch (const Error& error) {
      EXPECT_TRUE(error.code() == ErrorCode::corrupt || error.code() == ErrorCode::not_a_store)
          << error.what();
    }
  }
}

}  // namespace
}  // namespace kvstore::test
