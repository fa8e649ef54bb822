#include <atomic>
#include <future>
#include <map>

#include "child.hpp"
#include "outside.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

constexpr const char* interpreter = "/usr/bin/python3";

std::vector<std::string> python(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {interpreter, KVSTORE_TEST_FILES "/python/older_program.py"});
  return arguments;
}

std::string prefix_of(int writer) {
  return std::to_string(writer) + "/";
}

/// Ends a loop on another thread also when an assertion ends the test.
struct StopAtEnd {
  explicit StopAtEnd(std::atomic<bool>& flag) noexcept : over(flag) {}
  ~StopAtEnd() noexcept { over = true; }
  StopAtEnd(const StopAtEnd&) = delete;
  StopAtEnd& operator=(const StopAtEnd&) = delete;
  StopAtEnd(StopAtEnd&&) = delete;
  StopAtEnd& operator=(StopAtEnd&&) = delete;
  std::atomic<bool>& over;
};

class Python : public testing::Test {
 protected:
  void SetUp() override {
    if (run_program({interpreter, "-c", "import sqlite3"}) != 0) {
      GTEST_SKIP() << "there is no Python with its sqlite3 module";
    }
    std::string output;
    ASSERT_EQ(run_program(python({"create", file_, "20"}), &output), 0) << output;
    ASSERT_EQ(Outside(file_).one("PRAGMA journal_mode"), "delete");
  }

  std::string python_gets(const std::string& key) {
    std::string output;
    EXPECT_EQ(run_program(python({"get", file_, key}), &output), 0) << output;
    return output;
  }

  TempDir dir_;
  std::string file_ = dir_.file("python.db");
};

TEST_F(Python, FileIsReadAfterItsUpgrade) {
  const KVStore store(file_);
  EXPECT_EQ(store.count(), 20U);
  EXPECT_EQ(store.get("old7"), json({{"n", 7}, {"name", "größe 7"}}));
  EXPECT_EQ(store.entry("old7")->revision, 0);
}

TEST_F(Python, ReadsWhatTheStoreWrote) {
  KVStore store(file_);
  store.set("old1", {{"from", "C++"}, {"list", {1, nullptr, true, 1.5}}});
  EXPECT_EQ(python_gets("old1"), "{\"from\": \"C++\", \"list\": [1, null, true, 1.5]}\n");
}

TEST_F(Python, WritesGoOnWhileTheStoreIsOpen) {
  KVStore store(file_);
  const Revision before = store.set("p0", "mine");
  std::string output;
  ASSERT_EQ(run_program(python({"write", file_, "p", "3"}), &output), 0) << output;
  EXPECT_EQ(store.get("p0"), json(0));
  EXPECT_EQ(store.get("p2"), json(2));
  EXPECT_GT(store.entry("p0")->revision, before);
  EXPECT_GT(store.set("p0", "mine again"), store.entry("p0")->revision - 1);
}

TEST_F(Python, WritesEndAnExpiry) {
  FakeClock clock;
  KVStore store(file_, {.clock = clock.source()});
  store.set("p0", "short-lived", {.ttl = Duration(1000)});
  std::string output;
  ASSERT_EQ(run_program(python({"write", file_, "p", "1"}), &output), 0) << output;
  clock.advance(Duration(2000));
  EXPECT_EQ(store.get("p0"), json(0));
}

TEST_F(Python, DumpLoadsAsAStore) {
  const std::string loaded = dir_.file("loaded.db");
  Revision revision = 0;
  {
    KVStore store(file_);
    revision = store.set("k", {{"a", 1}});
  }
  std::string output;
  ASSERT_EQ(run_program(python({"dump", file_, loaded}), &output), 0) << output;
  ASSERT_EQ(Outside(loaded).one("PRAGMA application_id"), "0");
  KVStore store(loaded);
  EXPECT_EQ(store.get("k"), json({{"a", 1}}));
  EXPECT_EQ(store.entry("k")->revision, revision);
  EXPECT_EQ(store.count(), 21U);
  EXPECT_GT(store.set("k", 2), revision);
  EXPECT_TRUE(store.check().ok());
}

TEST_F(Python, WritersAreNotDisturbedByTheUpgrade) {
  constexpr int together = 4;
  const int rounds = long_run() ? 50 : 3;
  for (int round = 0; round < rounds; ++round) {
    const std::string file = dir_.file(std::to_string(round) + ".db");
    ASSERT_EQ(run_program(python({"create", file, "1"})), 0);
    std::vector<std::unique_ptr<Process>> writers;
    for (int i = 0; i < together; ++i) {
      writers.push_back(std::make_unique<Process>(python({"loop", file, prefix_of(i)})));
    }
    for (const auto& writer : writers) ASSERT_EQ(writer->line(), "0");
    KVStore store(file, {.busy_timeout = Duration(20'000)});
    store.set("opened", true);
    for (int i = 0; i < together; ++i) {
      Process& writer = *writers[static_cast<std::size_t>(i)];
      writer.close_input();
      const std::size_t acknowledged = 1 + writer.lines().size();
      EXPECT_EQ(writer.wait(), 0) << "a Python writer failed";
      EXPECT_EQ(store.count({.prefix = prefix_of(i)}), acknowledged);
    }
    EXPECT_TRUE(store.check().ok());
  }
}

/// What one reader sees of a key that Python counts up: neither the number nor the revision falls.
class Watcher {
 public:
  void look(const KVStore& store, const std::string& key) {
    const auto entry = store.entry(key);
    if (!entry || !entry->value.contains("n")) return;
    const auto n = entry->value.at("n").get<std::int64_t>();
    if (n < last_[key].first || entry->revision < last_[key].second) ++stale_;
    last_[key] = {n, entry->revision};
    ++looks_;
  }
  [[nodiscard]] int stale() const noexcept { return stale_; }
  [[nodiscard]] int looks() const noexcept { return looks_; }

 private:
  std::map<std::string, std::pair<std::int64_t, Revision>> last_;
  int stale_ = 0, looks_ = 0;
};

TEST_F(Python, AndTheStoreWriteTheSameKeysAndLoseNothing) {
  KVStore store(file_, {.busy_timeout = Duration(20'000)});
  Process python_process(python({"loop", file_, "python/", "shared1", "shared2"}));
  Process other(worker({"mix", file_, "shared1", "shared2"}));
  ASSERT_EQ(other.line(), "ready");
  ASSERT_EQ(python_process.line(), "0");
  std::atomic<bool> over{false};
  std::atomic<int> own{0};
  // The test is fair only to a program that survives a busy neighbour.
  const auto busy = std::async(std::launch::async, [&] {
    while (!over) store.set("own/" + std::to_string(own++), "durable");
  });
  const StopAtEnd stop_at_end{over};
  Watcher watcher;
  const int rounds = long_run() ? 500 : 40;
  std::size_t acknowledged = 1;
  for (int i = 0; i < rounds; ++i) {
    ASSERT_TRUE(python_process.line()) << "Python failed; was its database locked?";
    EXPECT_EQ(store.get("python/" + std::to_string(acknowledged)), json(acknowledged));
    ++acknowledged;
    for (const char* key : {"shared1", "shared2"}) {
      watcher.look(store, key);
      store.update(key, json::object(), [](json& value) { value["here"] = true; });
    }
  }
  python_process.close_input();
  acknowledged += python_process.lines().size();
  EXPECT_EQ(python_process.wait(), 0) << "Python failed; was its database locked?";
  other.close_input();
  EXPECT_EQ(other.wait(), 0);
  over = true;
  busy.wait();
  EXPECT_EQ(watcher.stale(), 0);
  EXPECT_GT(watcher.looks(), 0);
  EXPECT_EQ(store.count({.prefix = "python/"}), acknowledged);
  EXPECT_EQ(store.count({.prefix = "own/"}), static_cast<std::size_t>(own));
  EXPECT_EQ(store.get("shared1", "/n"_json_pointer), json(acknowledged - 1));
  EXPECT_TRUE(store.check().ok());
}

}  // namespace
}  // namespace kvstore::test
