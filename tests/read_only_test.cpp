#include <poll.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <future>

#include "child.hpp"
#include "outside.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

namespace fs = std::filesystem;

class ReadOnly : public testing::Test {
 protected:
  ReadOnly() {
    fs::permissions(dir_.path(), fs::perms(0755));
    KVStore(file_, {.file_mode = fs::perms(0644)}).set("k", 1);
  }

  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(dir_.path()), fs::directory_iterator()));
  }

  TempDir dir_;
  std::string file_ = dir_.file("store.db");
  Options options_{.read_only = true};
};

TEST_F(ReadOnly, ReadsAClosedFile) {
  const KVStore store(file_, options_);
  EXPECT_EQ(store.get("k"), json(1));
  EXPECT_EQ(store.get_text("k"), "1");
  EXPECT_EQ(store.count(), 1U);
  EXPECT_EQ(store.keys(), std::vector<std::string>{"k"});
  EXPECT_TRUE(store.check().ok());
}

TEST_F(ReadOnly, LeavesTheDirectoryAsItWas) {
  const std::string before = bytes_of(file_);
  {
    const KVStore store(file_, options_);
    EXPECT_EQ(store.get("k"), json(1));
    EXPECT_EQ(files(), 1U);
  }
  EXPECT_EQ(files(), 1U);
  EXPECT_TRUE(bytes_of(file_) == before);
}

TEST_F(ReadOnly, LeavesTheDirectoryAsItWasWhereALogIsEmpty) {
  write_bytes(file_ + "-wal", "");
  EXPECT_EQ(KVStore(file_, options_).get("k"), json(1));
  EXPECT_EQ(files(), 2U);
}

TEST_F(ReadOnly, RefusesEveryVerbThatWrites) {
  KVStore store(file_, options_);
  const auto change = [](json&) {};
  EXPECT_KV_ERROR(store.set("k", 2), ErrorCode::read_only, "read_only");
  EXPECT_KV_ERROR(store.set("k", ""_json_pointer, 2), ErrorCode::read_only, "read_only");
  EXPECT_KV_ERROR(store.set_text("k", "2"), ErrorCode::read_only, "read_only");
  EXPECT_KV_ERROR(store.insert("n", 2), ErrorCode::read_only, "read_only");
  EXPECT_KV_ERROR(store.replace("k", 2, 1), ErrorCode::read_only, "read_only");
  EXPECT_KV_ERROR(store.update("k", change), ErrorCode::read_only, "read_only");
  EXPECT_KV_ERROR(store.update("k", 1, change), ErrorCode::read_only, "read_only");
  EXPECT_KV_ERROR(store.erase("k"), ErrorCode::read_only, "read_only");
  EXPECT_KV_ERROR(store.erase_range({}), ErrorCode::read_only, "read_only");
  EXPECT_KV_ERROR(store.touch("k", std::nullopt), ErrorCode::read_only, "read_only");
  EXPECT_KV_ERROR(store.set_many({{"k", 2}}), ErrorCode::read_only, "read_only");
  EXPECT_KV_ERROR(store.purge_expired(), ErrorCode::read_only, "read_only");
  EXPECT_EQ(store.get("k"), json(1));
}

TEST_F(ReadOnly, NeedsAFileThatIsThere) {
  EXPECT_KV_ERROR(KVStore(dir_.file("none.db"), options_), ErrorCode::not_found, "no such file");
  EXPECT_EQ(files(), 1U);
}

TEST_F(ReadOnly, RefusesAFileOfNoBytes) {
  write_bytes(dir_.file("empty.db"), "");
  EXPECT_KV_ERROR(KVStore(dir_.file("empty.db"), options_), ErrorCode::read_only, "empty.db");
  EXPECT_EQ(fs::file_size(dir_.file("empty.db")), 0U);
}

TEST_F(ReadOnly, SeesWhatAWriterCommitsLater) {
  const KVStore reader(file_, options_);
  ASSERT_EQ(reader.get("k"), json(1));
  KVStore writer(file_);
  writer.set("k", 2);
  EXPECT_EQ(reader.get("k"), json(2));
  writer.set("k", 3);
  EXPECT_EQ(reader.get("k"), json(3));
  EXPECT_EQ(reader.entry("k")->value, json(3));
}

TEST_F(ReadOnly, SeesWhatAWriterCommittedAfterTheWriterClosed) {
  const KVStore reader(file_, options_);
  ASSERT_EQ(reader.get("k"), json(1));
  {
    KVStore writer(file_);
    writer.set("k", 2);
    ASSERT_EQ(reader.get("k"), json(2));
    writer.set("k", 3);
  }
  EXPECT_EQ(reader.get("k"), json(3));
  KVStore(file_).set("k", 4);
  EXPECT_EQ(reader.get("k"), json(4));
}

TEST_F(ReadOnly, SeesACommitThatTheTimeOfTheFileDoesNotTellFromTheOneBefore) {
  const KVStore reader(file_, options_);
  const auto before = fs::file_time_type::clock::now();
  fs::last_write_time(file_, before);
  ASSERT_EQ(reader.count(), 1U);
  KVStore(file_).set("l", 2);
  fs::last_write_time(file_, before);
  EXPECT_EQ(reader.count(), 2U);
}

TEST_F(ReadOnly, ReadsBesideAWriterThatWasThereFirst) {
  KVStore writer(file_);
  writer.set("k", 2);
  const KVStore reader(file_, options_);
  EXPECT_EQ(reader.get("k"), json(2));
  writer.set("k", 3);
  EXPECT_EQ(reader.get("k"), json(3));
}

TEST_F(ReadOnly, ReadsWhatAKilledWriterLeft) {
  Process writer(worker({"write", file_, "w", "full"}));
  ASSERT_EQ(writer.line(), "0");
  writer.kill_now();
  const KVStore reader(file_, options_);
  EXPECT_EQ(reader.get("w0"), json(0));
}

/// A reader in a directory that it cannot write; only root can arrange it.
class ReadOnlyFolder : public ReadOnly {
 protected:
  void SetUp() override {
    if (!is_root()) GTEST_SKIP() << "only root can become another user";
  }
};

TEST_F(ReadOnlyFolder, IsReadWithoutTheRightToWriteIt) {
  EXPECT_EQ(as_nobody([&] {
              const KVStore store(file_, options_);
              return store.get("k")->dump() + ' ' +
                     std::to_string(store.scan().begin()->revision > 0);
            }),
            "1 1");
  EXPECT_EQ(files(), 1U);
}

TEST_F(ReadOnlyFolder, ShowsWhatItsOwnerCommitsLater) {
  std::array<int, 2> to_owner{};
  std::array<int, 2> to_reader{};
  ASSERT_EQ(pipe(to_owner.data()), 0);
  ASSERT_EQ(pipe(to_reader.data()), 0);
  const auto pass = [](int to) { return write(to, "x", 1) == 1; };
  // A limit, so that a side that fails does not leave the other waiting for ever.
  const auto await = [](int from) {
    pollfd event{from, POLLIN, 0};
    char byte = 0;
    return poll(&event, 1, 20'000) == 1 && read(from, &byte, 1) == 1;
  };
  const auto owner = [&] {
    if (!await(to_owner[0])) return;
    KVStore store(file_);
    store.set("k", 2);
    pass(to_reader[1]);
    if (!await(to_owner[0])) return;
    store.set("k", 3);
    store.close();
    pass(to_reader[1]);
  };
  const std::string seen = in_child([&] {
    const pid_t child = fork();
    if (child == 0) {
      owner();
      _exit(0);
    }
    return as_nobody([&] {
      const KVStore reader(file_, options_);
      std::string values = reader.get("k")->dump();
      pass(to_owner[1]);
      await(to_reader[0]);
      values += reader.get("k")->dump();
      pass(to_owner[1]);
      await(to_reader[0]);
      return values + reader.get("k")->dump();
    });
  });
  for (const int end : {to_owner[0], to_owner[1], to_reader[0], to_reader[1]}) close(end);
  EXPECT_EQ(seen, "123");
}

TEST_F(ReadOnlyFolder, IsCachedAndWatchedWhileItsOwnerHasItOpen) {
  Process owner(worker({"obey", file_}));
  ASSERT_EQ(owner.line(), "ready");
  owner.write_line("set k 1");  // makes the log
  ASSERT_EQ(owner.line(), "done");
  EXPECT_EQ(as_nobody([&]() -> std::string {
              KVStore reader(file_, options_);
              std::promise<std::string> told;
              std::future<std::string> key = told.get_future();
              const Subscription subscription =
                  reader.watch("", [&](const Change& change) { told.set_value(change.key); });
              if (reader.get("k") != 1 || reader.stats().cache_bytes == 0) return "not cached";
              owner.write_line("set k 2");
              // A limit, so that the owner is not left waiting for ever.
              const bool in_time =
                  key.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
              return in_time ? key.get() : "not told";
            }),
            "k");
}

TEST_F(ReadOnlyFolder, IsNotReadWithoutTheRightToRead) {
  fs::permissions(file_, fs::perms(0600));
  const std::string outcome = as_nobody([&] {
    const KVStore store(file_, options_);
    return "opened";
  });
  EXPECT_TRUE(outcome.starts_with("io: ")) << outcome;
  EXPECT_NE(outcome.find("permissions"), std::string::npos) << outcome;
}

}  // namespace
}  // namespace kvstore::test
