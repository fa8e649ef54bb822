#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "child.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

/// The path of an example; the build says where they are.
std::string example(const std::string& name) {
  const char* directory = std::getenv("KVSTORE_EXAMPLES");
  if (directory == nullptr) throw std::runtime_error("KVSTORE_EXAMPLES is not set");
  return (std::filesystem::path(directory) / name).string();
}

struct Outcome {
  int code = 0;
  std::string output{};  ///< Standard output and standard error.

  bool operator==(const Outcome&) const = default;
};

void PrintTo(const Outcome& outcome, std::ostream* out) {
  *out << "exit code " << outcome.code << " after\n" << outcome.output;
}

Outcome run(const std::vector<std::string>& command) {
  Outcome outcome;
  outcome.code = run_program(command, &outcome.output);
  return outcome;
}

/// Notes in a file of their own.
class Notes : public testing::Test {
 protected:
  Outcome notes(std::vector<std::string> words) {
    words.insert(words.begin(), {"env", "NOTES_FILE=" + file_, example("cli_notes")});
    return run(words);
  }

  /// The same, with what goes to standard error thrown away.
  Outcome notes_without_errors(const std::string& words) {
    return run({"sh", "-c", "\"$0\" " + words + " 2>/dev/null", example("cli_notes")});
  }

  const TempDir directory_{};
  const std::string file_ = directory_.file("notes.db");
};

class AppConfig : public testing::Test {
 protected:
  Outcome config(std::vector<std::string> words) {
    words.insert(words.begin(), {example("app_config"), file_});
    return run(words);
  }

  const TempDir directory_{};
  const std::string file_ = directory_.file("app.db");
};

const std::string defaults = "listening on localhost:8080\nadmins: root\n";

TEST_F(AppConfig, StartsWithItsDefaults) {
  EXPECT_EQ(config({}), (Outcome{0, defaults}));
}

TEST_F(AppConfig, KeepsAChangedSettingForTheNextRun) {
  EXPECT_EQ(config({"/port", "9090"}).code, 0);
  EXPECT_EQ(config({"/admins", R"(["ada", "alan"])"}).code, 0);
  EXPECT_EQ(config({}), (Outcome{0, "listening on localhost:9090\nadmins: ada alan\n"}));
}

TEST_F(AppConfig, TakesABareWordAsAString) {
  EXPECT_EQ(config({"/host", "example.org"}),
            (Outcome{0, "listening on example.org:8080\nadmins: root\n"}));
}

TEST_F(AppConfig, RefusesAValueThatItCouldNotReadBack) {
  EXPECT_EQ(config({"/port", "70000"}),
            (Outcome{1, "app_config: 70000 does not fit where 8080 stands\n"}));
  EXPECT_EQ(config({}), (Outcome{0, defaults}));
}

TEST_F(AppConfig, RefusesASettingThatItDoesNotKnow) {
  EXPECT_EQ(config({"/prot", "9090"}), (Outcome{1, "app_config: there is no setting /prot\n"}));
}

TEST_F(AppConfig, ReadsAFileFromBeforeASettingExisted) {
  KVStore(file_).set("config", {{"host", "old.example.org"}});
  EXPECT_EQ(config({"/verbose", "true"}),
            (Outcome{0, "listening on old.example.org:8080, verbose\nadmins: root\n"}));
}

TEST_F(AppConfig, TakesOverLiveWhatOthersEdit) {
  if (run({"python3", "-c", "import sqlite3"}).code != 0) {
    GTEST_SKIP() << "there is no Python with its sqlite3 module";
  }
  Process following({example("app_config"), file_, "live"});
  EXPECT_EQ(following.line(), "listening on localhost:8080");
  EXPECT_EQ(following.line(), "admins: root");
  EXPECT_EQ(config({"/port", "9090"}).code, 0);
  EXPECT_EQ(following.line(), "listening on localhost:9090");
  EXPECT_EQ(following.line(), "admins: root");
  const std::string edit =
      "import sqlite3, sys\n"
      "with sqlite3.connect(sys.argv[1]) as db:\n"
      "    db.execute(\"UPDATE kv SET value = json_set(value, '$.host', 'example.org')\")";
  ASSERT_EQ(run({"python3", "-c", edit, file_}), Outcome{});
  EXPECT_EQ(following.line(), "listening on example.org:9090");
  EXPECT_EQ(following.line(), "admins: root");
  following.close_input();
  EXPECT_EQ(following.wait(), 0);
}

TEST_F(AppConfig, SaysHowItIsUsed) {
  EXPECT_EQ(config({"/port"}), (Outcome{2, "usage: app_config FILE [live | POINTER VALUE]\n"}));
}

TEST(LocalCache, ComputesOncePerKeyAgainWhenTheResultHasExpiredAndForgetsTheOldest) {
  const TempDir directory;
  const std::string expected =
      "  (computing the forecast for Oslo)\n"
      "Oslo: 12 degrees\n"
      "Oslo: 12 degrees\n"
      "  (computing the forecast for Lisbon)\n"
      "Lisbon: 18 degrees\n"
      "nine minutes later\n"
      "Oslo: 12 degrees\n"
      "two more minutes later\n"
      "  (computing the forecast for Oslo)\n"
      "Oslo: 12 degrees\n"
      "Lisbon: 18 degrees\n"
      "after 200 maps of 10 kB each\n"
      "the first map: gone\n"
      "the last map: there\n"
      "  (computing the forecast for Lisbon)\n"
      "Lisbon: 18 degrees\n"
      "forgotten: 1\n";
  EXPECT_EQ(run({example("local_cache"), directory.file("cache.db")}), (Outcome{0, expected}));
}

TEST_F(Notes, AreThereInTheNextRun) {
  EXPECT_EQ(notes({"add", "home/milk", "two litres"}), (Outcome{0, ""}));
  EXPECT_EQ(notes({"show", "home/milk"}), (Outcome{0, "two litres\n"}));
}

TEST_F(Notes, AreListedInOrderWithWhatIsDone) {
  notes({"add", "work/report", "by Friday"});
  notes({"add", "home/milk", "two litres"});
  EXPECT_EQ(notes({"done", "work/report"}), (Outcome{0, ""}));
  EXPECT_EQ(notes({"list"}), (Outcome{0, "[ ] home/milk\n[x] work/report\n"}));
}

TEST_F(Notes, AreFoundByPrefix) {
  notes({"add", "home/bread", "rye"});
  notes({"add", "home/milk", "two litres"});
  notes({"add", "work/report", "by Friday"});
  EXPECT_EQ(notes({"search", "home/"}), (Outcome{0, "[ ] home/bread\n[ ] home/milk\n"}));
}

TEST_F(Notes, AreNeverOverwritten) {
  notes({"add", "home/milk", "two litres"});
  EXPECT_EQ(notes({"add", "home/milk", "one litre"}), (Outcome{1, "home/milk: already there\n"}));
  EXPECT_EQ(notes({"show", "home/milk"}), (Outcome{0, "two litres\n"}));
}

TEST_F(Notes, AreRemovedOnce) {
  notes({"add", "home/milk", "two litres"});
  EXPECT_EQ(notes({"rm", "home/milk"}), (Outcome{0, ""}));
  EXPECT_EQ(notes({"rm", "home/milk"}), (Outcome{1, "home/milk: no such note\n"}));
}

TEST_F(Notes, ExplainThemselvesOnStandardErrorOnly) {
  EXPECT_EQ(notes({"frobnicate"}).code, 2);
  EXPECT_NE(notes({"frobnicate"}).output.find("usage: cli_notes"), std::string::npos);
  EXPECT_EQ(notes_without_errors("frobnicate"), (Outcome{2, ""}));
}

TEST_F(Notes, FailWithTheirOwnCodeWhenTheFileIsSomethingElse) {
  write_bytes(file_, "a shopping list");
  const Outcome outcome = notes({"list"});
  EXPECT_EQ(outcome.code, 3);
  EXPECT_NE(outcome.output.find("is not a store"), std::string::npos) << outcome.output;
  EXPECT_EQ(bytes_of(file_), "a shopping list");
}

TEST(Orders, AreShownWithTheirUsers) {
  const TempDir directory;
  const Outcome first = run({example("orders"), directory.file("shop.db")});
  EXPECT_EQ(first, (Outcome{0,
                            "Ada Lovelace of London: notebook, 4200 cents\n"
                            "Kurt Gödel of Brno: lamp, 1250 cents\n"
                            "Ada Lovelace of London: pen, 990 cents\n"
                            "unknown user: stamp, 100 cents\n"
                            "order 0002 as it is stored: "
                            R"({"cents":1250,"items":["lamp","bulb"],"user":"kurt"})"
                            "\ncollection orders\n"
                            "collection users\n"
                            "orders removed: 4\n"}));
  EXPECT_EQ(run({example("orders"), directory.file("shop.db")}), first);
}

class ImportBatch : public testing::Test {
 protected:
  Outcome import(const std::string& lines) {
    write_bytes(directory_.file("lines"), lines);
    return run({"sh", "-c", R"("$0" "$1" < "$2")", example("import_batch"), file_,
                directory_.file("lines")});
  }

  const TempDir directory_{};
  const std::string file_ = directory_.file("articles.db");
};

TEST_F(ImportBatch, SkipsWhatFailsAndKeepsTheRest) {
  const Outcome outcome = import(R"({"id": "7", "stock": 3, "tags": ["new", "red"]})"
                                 "\n{\n"
                                 R"({"id": "8", "stock": "many", "tags": ["new"]})"
                                 "\n"
                                 R"({"id": "7", "stock": 1})"
                                 "\n"
                                 R"({"id": "9", "stock": 4, "tags": ["red", 5]})"
                                 "\n"
                                 R"({"id": "10", "stock": 2, "tags": ["red"]})"
                                 "\n");
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  for (const std::string part :
       {"line 2: [json.exception.parse_error.101]", "line 3: [json.exception.type_error.302]",
        "line 4: there is an article 7\n", "line 5: [json.exception.type_error.302]",
        "imported 2, skipped 4, in stock 5\ntag/new: 1\ntag/red: 2\n"}) {
    EXPECT_NE(outcome.output.find(part), std::string::npos) << part << " is missing in\n"
                                                            << outcome.output;
  }
  const KVStore store(file_, {.read_only = true});
  EXPECT_EQ(store.keys({.prefix = "article/"}),
            (std::vector<std::string>{"article/10", "article/7"}));
}

TEST_F(ImportBatch, OfNothingStoresNothing) {
  EXPECT_EQ(import(""), (Outcome{0, "imported 0, skipped 0, in stock 0\n"}));
}

TEST(StoreFixtureTest, TestsTheCodeOfAProgram) {
  const Outcome outcome = run({example("store_fixture_test"), "--gtest_color=no"});
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_NE(outcome.output.find("[  PASSED  ] 4 tests."), std::string::npos) << outcome.output;
}

class Tour : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists("/usr/share/iso-codes/json/iso_639-3.json")) {
      GTEST_SKIP() << "the package iso-codes is not installed";
    }
  }

  const TempDir directory_{};
};

TEST_F(Tour, ShowsEachStepAndLeavesNothingBehind) {
  const Outcome tour = run({"env", "TMPDIR=" + directory_.path().string(), example("tour")});
  EXPECT_EQ(tour.code, 0) << tour.output;
  for (const std::string part :
       {"249 documents under country/", "Switzerland, officially: Swiss Confederation",
        "lost: the entry has a newer revision", "won: Aotearoa New Zealand",
        "59 minutes later: there", "60 minutes later: gone", "code: type_mismatch",
        "Iceland's capital is Reykjavik", "sound: "}) {
    EXPECT_NE(tour.output.find(part), std::string::npos) << part << " is missing in\n"
                                                         << tour.output;
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

TEST_F(Tour, KeepsTheFileThatItIsGivenAndCanBeRepeated) {
  const std::string file = directory_.file("iso.db");
  EXPECT_EQ(run({example("tour"), file}).code, 0);
  EXPECT_EQ(run({example("tour"), file}).code, 0);
  const KVStore store(file, {.read_only = true});
  EXPECT_EQ(store.get<int>("visits"), 2);
  EXPECT_EQ(store.get_or("country/IS", "/name"_json_pointer, "?"), "Iceland");
}

}  // namespace
}  // namespace kvstore::test
