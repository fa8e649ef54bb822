#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

#include "behaviour.hpp"
#include "outside.hpp"

namespace kvstore::test {
namespace {

std::string exported(const Reader& store, Range range = {}) {
  std::ostringstream out;
  export_jsonl(store, out, std::move(range));
  return out.str();
}

ImportReport import(Keyspace& store, const std::string& lines, const ImportOptions& how = {}) {
  std::istringstream in(lines);
  return import_jsonl(store, in, how);
}

std::string line(const std::string& key, const std::string& value) {
  return R"({"key":")" + key + R"(","value":)" + value + "}\n";
}

class Archive : public OnEveryEngine {
 protected:
  /// What the store shows, to see that nothing has changed.
  [[nodiscard]] std::string content() const { return exported(store_); }

  Duration minute_{60'000};
};

TEST_P(Archive, IsOneObjectALine) {
  store_.set("b", {{"x", 1}});
  store_.set("a", "text", {.ttl = minute_});
  EXPECT_EQ(exported(store_),
            "{\"key\":\"a\",\"value\":\"text\",\"expires_at\":\"2023-11-14 22:14:20.000\","
            "\"updated_at\":\"2023-11-14 22:13:20.000\"}\n"
            "{\"key\":\"b\",\"value\":{\"x\":1},\"expires_at\":null,"
            "\"updated_at\":\"2023-11-14 22:13:20.000\"}\n");
}

TEST_P(Archive, BringsEverythingBackIntoAnotherStore) {
  store_.set("a", 1, {.ttl = minute_});
  clock_.advance(Duration(5));
  store_.set("a/\"quoted\"\\\n\x01 \xE2\x82\xAC", {{"n", nullptr}});
  store_.set("", {1, 2, 3});
  const TempDir dir;
  clock_.advance(Duration(1000));
  KVStore other = open_in(dir, options());
  const ImportReport report = import(other, content());
  EXPECT_EQ(report.stored, 3U);
  EXPECT_EQ(report.kept, 0U);
  EXPECT_EQ(report.skipped, 0U);
  EXPECT_EQ(exported(other), content());
  const std::vector<Entry> before = all_entries(store_);
  const std::vector<Entry> after = all_entries(other);
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < after.size(); ++i) {
    EXPECT_EQ(after[i].key, before[i].key);
    EXPECT_EQ(after[i].value, before[i].value);
    EXPECT_EQ(after[i].updated_at, before[i].updated_at);
    EXPECT_EQ(after[i].expires_at, before[i].expires_at);
  }
}

TEST_P(Archive, KeepsTheTextOfEveryValue) {
  const std::vector<std::string> texts = {"1",
                                          "1.0",
                                          "-0",
                                          "-0.0",
                                          "0.1",
                                          "1e2",
                                          "1E+2",
                                          "18446744073709551615",
                                          "-9223372036854775808",
                                          "1.7976931348623157e308",
                                          "5e-324",
                                          "0.30000000000000004",
                                          "true",
                                          "null",
                                          "\"\"",
                                          R"("\u00e9\n\"\\ é")",
                                          "[ 1 , 2,\t3 ]",
                                          R"({ "b": 1, "a" : [] })",
                                          "{}",
                                          "[]",
                                          R"({"a":{"b":[{"c":"}],"}]}})"};
  for (std::size_t i = 0; i < texts.size(); ++i) store_.set_text(std::to_string(i), texts[i]);
  const TempDir dir;
  KVStore other = open_in(dir, options());
  import(other, content());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(other.get_text(std::to_string(i)), texts[i]);
  }
}

TEST_P(Archive, TurnsLineBreaksBetweenTokensIntoSpaces) {
  store_.set_text("k", "{\n  \"a\": [1,\r\n2]\n}");
  const TempDir dir;
  KVStore other = open_in(dir, options());
  import(other, content());
  EXPECT_EQ(other.get_text("k"), "{   \"a\": [1,  2] }");
}

TEST_P(Archive, HasTheEntriesOfARange) {
  store_.set_many({{"a", 1}, {"b/1", 2}, {"b/2", 3}, {"c", 4}});
  EXPECT_EQ(exported(store_, {.prefix = "b/", .limit = 1}).find("b/1"), 8U);
  std::ostringstream out;
  EXPECT_EQ(export_jsonl(store_, out, {.from = "b"}), 3U);
}

TEST_P(Archive, LeavesOutWhatHasExpired) {
  store_.set("k", 1, {.ttl = Duration(1000)});
  clock_.advance(Duration(1000));
  EXPECT_EQ(content(), "");
}

TEST_P(Archive, OfASnapshotIsOfItsMoment) {
  store_.set("k", 1);
  const Snapshot moment = store_.snapshot();
  store_.set("k", 2);
  EXPECT_NE(exported(moment).find("\"value\":1,"), std::string::npos);
}

TEST_P(Archive, OfATransactionHasWhatItWrote) {
  Transaction tx = store_.begin();
  tx.set("k", 1);
  EXPECT_EQ(exported(tx).find("{\"key\":\"k\",\"value\":1,"), 0U);
}

TEST_P(Archive, OfManyPagesIsComplete) {
  for (int i = 0; i < 1500; ++i) store_.set("k" + std::to_string(i), i);
  const TempDir dir;
  KVStore other = open_in(dir, options());
  EXPECT_EQ(import(other, content()).stored, 1500U);
  EXPECT_EQ(exported(other), content());
}

TEST_P(Archive, TellsTheProgressOfAnExportInBytes) {
  for (int i = 0; i < 1000; ++i) store_.set("k" + std::to_string(i), i);
  std::vector<std::uint64_t> told;
  std::ostringstream out;
  export_jsonl(store_, out, {}, [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_EQ(total, 0U);
    told.push_back(done);
    return true;
  });
  EXPECT_GT(told.size(), 1U);
  EXPECT_EQ(told.back(), out.str().size());
}

TEST_P(Archive, ThatIsStoppedHasWholeLines) {
  for (int i = 0; i < 1000; ++i) store_.set("k" + std::to_string(i), i);
  std::ostringstream out;
  EXPECT_KV_ERROR(export_jsonl(store_, out, {}, [](auto, auto) { return false; }),
                  ErrorCode::cancelled, "progress");
  EXPECT_EQ(out.str().back(), '\n');
}

TEST_P(Archive, IntoAStreamThatFailsIsAnError) {
  store_.set("k", 1);
  std::ostringstream out;
  out.setstate(std::ios::badbit);
  EXPECT_KV_ERROR(export_jsonl(store_, out), ErrorCode::io, "stream");
}

TEST_P(Archive, IntoAFileThatCannotBeOpenedIsAnErrorAndNotAnArchiveOfNothing) {
  std::ofstream out(dir_.path() / "missing" / "out.jsonl");
  EXPECT_KV_ERROR(export_jsonl(store_, out), ErrorCode::io, "was its file opened");
}

/// Its buffer takes no byte.
class FullStream : public std::ostream {
 public:
  FullStream() : std::ostream(nullptr) {
    rdbuf(&buffer_);
    exceptions(std::ios::failbit | std::ios::badbit);
  }

 private:
  class Full : public std::streambuf {};
  Full buffer_;
};

TEST_P(Archive, ThroughStreamsThatThrowIsTheSame) {
  FullStream full;
  store_.set("a", 1);
  EXPECT_KV_ERROR(export_jsonl(store_, full), ErrorCode::io, "stream");
  std::istringstream in(line("b", "1") + line("c", "1"));
  in.exceptions(std::ios::failbit | std::ios::badbit | std::ios::eofbit);
  EXPECT_EQ(import_jsonl(store_, in).stored, 2U);
}

TEST_P(Archive, IsStoredWithNewRevisions) {
  const Revision first = store_.set("k", 1);
  const std::string lines = content();
  import(store_, lines);
  EXPECT_GT(store_.entry("k")->revision, first);
}

TEST_P(Archive, LineWithoutTimesIsStoredNowAndForEver) {
  store_.set("k", 1, {.ttl = minute_});
  clock_.advance(Duration(7));
  import(store_, line("k", "2"));
  EXPECT_EQ(store_.entry("k")->updated_at, clock_.now());
  EXPECT_EQ(store_.entry("k")->expires_at, std::nullopt);
}

TEST_P(Archive, LineMayHaveItsMembersInAnyOrderAndSpacesAnywhere) {
  import(store_,
         " \t{ \"updated_at\" : \"2024-05-01 12:00:00.250\" , \"value\" : [ 1 ] ,"
         "\"expires_at\":null,\"key\" : \"k\" } \r\n");
  EXPECT_EQ(store_.get_text("k"), "[ 1 ]");
  EXPECT_EQ(store_.entry("k")->updated_at, Time(Duration(1'714'564'800'250)));
}

TEST_P(Archive, LineWithAnExpiryInThePastIsStoredAndNotVisible) {
  const ImportReport report =
      import(store_, R"({"key":"k","value":1,"expires_at":"2001-01-01 00:00:00.000"})");
  EXPECT_EQ(report.stored, 1U);
  EXPECT_FALSE(store_.contains("k"));
}

TEST_P(Archive, LastOfTwoLinesOfOneKeyWins) {
  EXPECT_EQ(import(store_, line("k", "1") + line("k", "2")).stored, 2U);
  EXPECT_EQ(store_.get("k"), json(2));
}

TEST_P(Archive, AcceptsEveryEndOfALineAndEmptyLines) {
  import(store_,
         "\xEF\xBB\xBF"
         R"({"key":"a","value":1})"
         "\r\n\r\n  \n"
         R"({"key":"b","value":2})"
         "\n\n"
         R"({"key":"c","value":3})");
  EXPECT_EQ(store_.keys(), (std::vector<std::string>{"a", "b", "c"}));
}

TEST_P(Archive, OfNoLinesChangesNothing) {
  EXPECT_EQ(import(store_, "").stored, 0U);
  EXPECT_EQ(import(store_, "\n\n").stored, 0U);
  EXPECT_EQ(import(store_, "\xEF\xBB\xBF").stored, 0U);
}

TEST_P(Archive, KeepsTheEntryThatIsThereWhenAsked) {
  store_.set("a", "mine");
  const ImportReport report =
      import(store_, line("a", "1") + line("b", "2"), {.on_conflict = OnConflict::keep});
  EXPECT_EQ(report.stored, 1U);
  EXPECT_EQ(report.kept, 1U);
  EXPECT_EQ(store_.get("a"), json("mine"));
  EXPECT_EQ(store_.get("b"), json(2));
}

TEST_P(Archive, DoesNotKeepAnEntryThatHasExpired) {
  store_.set("a", "old", {.ttl = Duration(1)});
  clock_.advance(Duration(1));
  EXPECT_EQ(import(store_, line("a", "1"), {.on_conflict = OnConflict::keep}).stored, 1U);
  EXPECT_EQ(store_.get("a"), json(1));
}

TEST_P(Archive, StoresOnlyWhatIsNewerWhenAsked) {
  const auto at = [](const std::string& key, const std::string& time) {
    return R"({"key":")" + key + R"(","value":"theirs","updated_at":")" + time + "\"}\n";
  };
  store_.set_many({{"older", 1}, {"same", 1}, {"newer", 1}, {"now", 1}});
  clock_.advance(Duration(1));
  const ImportReport report =
      import(store_,
             at("older", "2023-11-14 22:13:19.999") + at("same", "2023-11-14 22:13:20.000") +
                 at("newer", "2023-11-14 22:13:20.001") + line("now", "\"theirs\""),
             {.on_conflict = OnConflict::newer});
  EXPECT_EQ(report.stored, 2U);
  EXPECT_EQ(report.kept, 2U);
  EXPECT_EQ(store_.get("older"), json(1));
  EXPECT_EQ(store_.get("same"), json(1));
  EXPECT_EQ(store_.get("newer"), json("theirs"));
  EXPECT_EQ(store_.get("now"), json("theirs"));
}

TEST_P(Archive, LineOfATimeThatNobodyKnowsIsNotNewer) {
  const std::string lines = R"({"key":"a","value":"theirs","updated_at":null})";
  EXPECT_EQ(import(store_, lines, {.on_conflict = OnConflict::newer}).stored, 1U);
  store_.set("a", "mine");
  clock_.advance(Duration(1));
  EXPECT_EQ(import(store_, lines, {.on_conflict = OnConflict::newer}).kept, 1U);
  EXPECT_EQ(store_.get("a"), json("mine"));
}

TEST_P(Archive, RefusesAConflictWhenAskedAndStoresNothing) {
  store_.set("b", "mine");
  const std::string before = content();
  EXPECT_KV_ERROR(
      import(store_, line("a", "1") + line("b", "2"), {.on_conflict = OnConflict::error}),
      ErrorCode::conflict, "line 2: there is an entry \"b\"");
  EXPECT_EQ(content(), before);
  EXPECT_KV_ERROR(
      import(store_, line("a", "1") + line("a", "2"), {.on_conflict = OnConflict::error}),
      ErrorCode::conflict, "line 2");
  EXPECT_EQ(content(), before);
}

TEST_P(Archive, InBatchesKeepsTheBatchesBeforeABadLine) {
  std::string lines;
  for (int i = 0; i < 10; ++i) lines += line("k" + std::to_string(i), "1");
  EXPECT_KV_ERROR(import(store_, lines + "bad", {.batch = 4}), ErrorCode::invalid_value,
                  "line 11: byte 1");
  EXPECT_EQ(store_.count(), 8U);
  EXPECT_KV_ERROR(import(store_, lines + "bad", {.batch = 4}), ErrorCode::invalid_value,
                  "8 entries of earlier lines were stored");
}

TEST_P(Archive, SkipsAndCountsBadLinesWhenAsked) {
  const ImportReport report = import(
      store_, line("a", "1") + "bad\n{\"key\":\"x\"}\n" + line("b", "2"), {.skip_bad_lines = true});
  EXPECT_EQ(report.stored, 2U);
  EXPECT_EQ(report.skipped, 2U);
  EXPECT_EQ(store_.keys(), (std::vector<std::string>{"a", "b"}));
}

TEST_P(Archive, InATransactionIsPartOfIt) {
  {
    Transaction tx = store_.begin();
    import(tx, line("a", "1"), {.batch = 1});
    EXPECT_KV_ERROR(import(tx, line("b", "1") + "bad"), ErrorCode::invalid_value, "line 2");
    EXPECT_TRUE(tx.contains("a"));
    EXPECT_FALSE(tx.contains("b"));
  }
  EXPECT_EQ(store_.count(), 0U);
  store_.transaction([](Transaction& tx) { import(tx, line("a", "1")); });
  EXPECT_TRUE(store_.contains("a"));
}

TEST_P(Archive, TellsTheProgressOfAnImportAndCanBeStopped) {
  std::string lines;
  for (int i = 0; i < 3000; ++i) lines += line("k" + std::to_string(i), "1");
  std::uint64_t told = 0;
  std::istringstream in(lines);
  import_jsonl(store_, in, {}, [&](std::uint64_t done, std::uint64_t total) {
    EXPECT_EQ(total, 0U);
    told = done;
    return true;
  });
  EXPECT_EQ(told, lines.size());
  store_.erase_range({});
  std::istringstream again(lines);
  int calls = 0;
  EXPECT_KV_ERROR(import_jsonl(store_, again, {}, [&](auto, auto) { return ++calls < 3; }),
                  ErrorCode::cancelled, "progress");
  EXPECT_EQ(store_.count(), 0U);
}

TEST_P(Archive, OfBadLinesOnlyCanBeStopped) {
  std::string lines;
  for (int i = 0; i < 3000; ++i) lines += "bad\n";
  std::istringstream in(lines);
  int calls = 0;
  EXPECT_KV_ERROR(
      import_jsonl(store_, in, {.skip_bad_lines = true}, [&](auto, auto) { return ++calls < 2; }),
      ErrorCode::cancelled, "progress");
  const ImportReport report =
      import(store_, lines + line("k", "1"), {.batch = 1, .skip_bad_lines = true});
  EXPECT_EQ(report.skipped, 3000U);
  EXPECT_EQ(report.stored, 1U);
}

TEST_P(Archive, OutlivesTheStoreThatItsCallbackDrops) {
  const TempDir dir;
  auto store = std::make_unique<KVStore>(open_in(dir, options()));
  const auto drop = [&](auto, auto) {
    store.reset();
    return true;
  };
  std::istringstream all(line("a", "1") + line("b", "1"));
  EXPECT_EQ(import_jsonl(*store, all, {}, drop).stored, 2U);
  store = std::make_unique<KVStore>(open_in(dir, options()));
  std::istringstream one_by_one(line("a", "1") + line("b", "1"));
  EXPECT_KV_ERROR(import_jsonl(*store, one_by_one, {.batch = 1}, drop), ErrorCode::misuse,
                  "closed");
}

TEST_P(Archive, OutlivesTheTransactionThatItsCallbackDrops) {
  for (const std::size_t batch : {0U, 1U}) {
    std::optional<Transaction> tx = store_.begin();
    std::istringstream in(line("a", "1") + line("b", "1"));
    const auto drop = [&](auto, auto) {
      tx.reset();
      return true;
    };
    EXPECT_THROW(import_jsonl(*tx, in, {.batch = batch}, drop), Error);
    EXPECT_EQ(store_.count(), 0U);
  }
}

TEST_P(Archive, ThatCannotBeReadIsAnErrorAndStoresNothing) {
  std::istringstream in(line("k", "1"));
  in.setstate(std::ios::badbit);
  EXPECT_KV_ERROR(import_jsonl(store_, in), ErrorCode::io, "cannot be read");
  EXPECT_EQ(store_.count(), 0U);
}

TEST_P(Archive, OfAFileThatIsNotThereIsAnErrorAndNotAnImportOfNothing) {
  std::ifstream in(dir_.file("missing.jsonl"));
  EXPECT_KV_ERROR(import_jsonl(store_, in), ErrorCode::io, "was its file opened");
}

TEST_P(Archive, RefusesLinesLongerThanAnEntryCanBe) {
  const TempDir dir;
  Options small = options();
  small.max_value_bytes = 100;
  small.max_key_bytes = 10;
  KVStore other = open_in(dir, small);
  const std::string long_line = line("k", "\"" + std::string(500'000, 'x') + "\"");
  EXPECT_KV_ERROR(import(other, line("a", "1") + long_line), ErrorCode::invalid_value, "line 2");
  EXPECT_KV_ERROR(import(other, line("a", "\"" + std::string(100, 'x') + "\"")),
                  ErrorCode::invalid_value, "max_value_bytes");
  const ImportReport report = import(other, long_line + line("a", "1") + long_line + line("b", "1"),
                                     {.skip_bad_lines = true});
  EXPECT_EQ(report.stored, 2U);
  EXPECT_EQ(report.skipped, 2U);
}

/// A line that no import accepts, where the complaint points to, and what it says.
struct BadLine {
  std::string text;
  std::size_t byte;
  std::string what;
  ErrorCode code = ErrorCode::invalid_value;
};

std::vector<BadLine> bad_lines() {
  const auto with_value = [](const std::string& value) {
    return R"({"key":"k","value":)" + value + "}";
  };
  std::string deep(600, '[');
  return {
      {"bad", 1, "not JSON"},
      {"{", 2, "not JSON"},
      {"[1]", 1, "no JSON object"},
      {"null", 1, "no JSON object"},
      {R"({"key":"k"})", 12, "no \"value\""},
      {R"({"value":1})", 12, "no \"key\""},
      {"{}", 3, "no \"key\""},
      {R"({"key":1,"value":1})", 8, "\"key\" is no JSON string"},
      {R"({"key":null,"value":1})", 8, "\"key\" is no JSON string"},
      {R"({"key":"k","value":1} x)", 23, "not JSON"},
      {R"({"key":"k","value":1},)", 22, "not JSON"},
      {R"({"key":"k","value":1,})", 22, "not JSON"},
      {R"({"key":"k" "value":1})", 18, "not JSON"},
      {R"({"key":"k","value":})", 20, "not JSON"},
      {R"({"key":"k","value":tru})", 23, "not JSON"},
      {R"({"key":"k","value":[1})", 22, "not JSON"},
      {R"({"key":"k","value":1]})", 21, "not JSON"},
      {R"({"key":"k","value":"x})", 23, "not JSON"},
      {R"({"key":"k\)", 11, "not JSON"},
      {R"({"key":"k","value":NaN})", 20, "not JSON"},
      {R"({'key':'k','value':1})", 2, "not JSON"},
      {R"({"key":"k","value":01})", 21, "not JSON"},
      {with_value("1e400"), 20, "1e400"},
      {with_value(deep + std::string(600, ']')), 20, "nests deeper"},
      {with_value(R"({"a":1,"a":2})"), 20, "stands twice"},
      {with_value("\"\xFF\""), 21, "not JSON"},
      {with_value(std::string("\"\0\"", 3)), 21, "not JSON"},
      {R"({"key":"k","key":"l","value":1})", 18, "stands twice"},
      {R"({"key":"k","value":1,"value":2})", 30, "stands twice"},
      {R"({"key":"k","value":1,"expire_at":null})", 34, "no \"expire_at\""},
      {R"({"key":"k","value":1,"revision":7})", 33, "no \"revision\""},
      {R"({"key":"k","value":1,"expires_at":"tomorrow"})", 35, "a time has the form"},
      {R"({"key":"k","value":1,"updated_at":1700000000})", 35, "a time has the form"},
      {R"({"key":"k","value":1,"updated_at":"2023-02-30 00:00:00.000"})", 35,
       "a time has the form"},
      {R"({"key":"k","value":1,"updated_at":"1969-07-20 20:17:40.000"})", 35, "before 1970"},
      {R"({"key":"a\u0000b","value":1})", 8, "NUL byte", ErrorCode::invalid_key},
      {"{\"key\":\"" + std::string(2000, 'k') + "\",\"value\":1}", 8, "max_key_bytes",
       ErrorCode::invalid_key},
      {"{\"key\":\"\xFF\",\"value\":1}", 9, "not JSON"},
      {R"({"key":"\ud800","value":1})", 15, "not JSON"},
      {"{\"key\":\"a\tb\",\"value\":1}", 10, "not JSON"},
  };
}

TEST_P(Archive, RefusesEveryBadLineAndStoresNothing) {
  store_.set("k", "mine");
  const std::string before = content();
  for (const BadLine& bad : bad_lines()) {
    SCOPED_TRACE(bad.text.substr(0, 80));
    const std::string place = "line 3: byte " + std::to_string(bad.byte) + ": ";
    EXPECT_KV_ERROR(import(store_, line("a", "1") + "\n" + bad.text + "\n" + line("b", "1")),
                    bad.code, place);
    EXPECT_KV_ERROR(import(store_, bad.text), bad.code, bad.what);
    EXPECT_EQ(content(), before);
  }
}

TEST_P(Archive, ReadsLinesWhereverTheBufferEnds) {
  // 64 KiB are read at a time.
  for (const std::size_t bytes : {65535U, 65536U, 65537U, 131072U}) {
    const std::string empty = line("k", "\"\"");
    const std::string value(bytes - empty.size(), 'v');
    store_.erase_range({});
    import(store_, line("k", "\"" + value + "\"") + line("l", "2"));
    EXPECT_EQ(store_.get("k"), json(value));
    EXPECT_EQ(store_.get("l"), json(2));
  }
}

KVSTORE_TEST_ON_EVERY_ENGINE(Archive);

TEST(ArchiveOfADamagedStore, EndsAtTheDamageAndHasWhatIsBefore) {
  const TempDir dir;
  const std::string file = dir.file("store.db");
  KVStore store(file, {.durability = Durability::normal});
  store.set_many({{"a", 1}, {"b", 2}, {"c", 3}});
  {
    Outside outside(file);
    sqlite3_db_config(outside.handle(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    outside.run("UPDATE kv SET value = '4' WHERE key = 'b'");
  }
  std::ostringstream out;
  EXPECT_KV_ERROR(export_jsonl(store, out), ErrorCode::corrupt, "\"b\"");
  EXPECT_EQ(out.str().find("{\"key\":\"a\""), 0U);
  EXPECT_EQ(out.str().find("\"b\""), std::string::npos);
}

}  // namespace
}  // namespace kvstore::test
