#include <atomic>
#include <latch>
#include <thread>

#include <kvstore/engine/sqlite_open.hpp>
#include <kvstore/engine/sqlite_wal.hpp>

#include "child.hpp"
#include "locks.hpp"
#include "outside.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t mebibyte = 1U << 20U;

class Wal : public testing::Test {
 protected:
  Options options(Durability durability) {
    return {.durability = durability,
            .on_background_error = [this](const std::exception_ptr&) { ++background_errors_; }};
  }

  std::uintmax_t log_bytes() const {
    std::error_code missing;
    const std::uintmax_t size = fs::file_size(file_ + "-wal", missing);
    return missing ? 0 : size;
  }

  TempDir dir_;
  std::string file_ = dir_.file("store.db");
  std::atomic<int> background_errors_{0};
};

/// Writes about `total` bytes from several threads. Returns how large the log ever was.
std::uintmax_t write_in_a_tight_loop(KVStore& store, std::uintmax_t total,
                                     const std::function<std::uintmax_t()>& log_bytes) {
  constexpr std::size_t value_bytes = 100'000;
  constexpr int threads = 4;
  std::atomic<std::uintmax_t> largest{0};
  std::atomic<std::int64_t> left{static_cast<std::int64_t>(total / value_bytes)};
  std::vector<std::thread> writers;
  for (int t = 0; t < threads; ++t) {
    writers.emplace_back([&, t] {
      for (std::int64_t i = left.fetch_sub(1); i > 0; i = left.fetch_sub(1)) {
        // SQLite writes no page that stays the same.
        const std::string value(value_bytes, static_cast<char>('a' + i % 26));
        store.set("k" + std::to_string(t), value);
        std::uintmax_t known = largest;
        const std::uintmax_t now = log_bytes();
        while (known < now && !largest.compare_exchange_weak(known, now)) {
        }
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  return largest;
}

TEST_F(Wal, StaysBoundedUnderATightLoopOfWriters) {
  KVStore store(file_, options(Durability::normal));
  const std::uintmax_t total = (long_run() ? 2000 : 150) * mebibyte;
  EXPECT_LE(write_in_a_tight_loop(store, total, [this] { return log_bytes(); }), 65 * mebibyte);
  EXPECT_EQ(background_errors_, 0);
}

TEST_F(Wal, StaysBoundedBesideThreadsThatReadAllTheTime) {
  Options settings = options(Durability::normal);
  settings.cache_bytes = 0;
  KVStore store(file_, settings);
  store.set("read", 1);
  std::atomic<bool> over{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!over) EXPECT_EQ(store.get("read"), 1);
    });
  }
  EXPECT_LE(write_in_a_tight_loop(store, 150 * mebibyte, [this] { return log_bytes(); }),
            65 * mebibyte);
  over = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(background_errors_, 0);
}

TEST_F(Wal, IsBoundedAgainWhenAnOutsideReaderEnds) {
  KVStore store(file_, options(Durability::normal));
  store.set("k", 1);
  Process reader(worker({"pin", file_}));
  ASSERT_EQ(reader.line(), "ready");
  write_in_a_tight_loop(store, 80 * mebibyte, [this] { return log_bytes(); });
  EXPECT_GT(log_bytes(), 70 * mebibyte) << "nothing was pinned; the test proves nothing";
  EXPECT_EQ(store.stats().wal_bytes, log_bytes());
  reader.close_input();
  ASSERT_EQ(reader.wait(), 0);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (log_bytes() > 65 * mebibyte && std::chrono::steady_clock::now() < deadline) {
    store.set("k", 2);
  }
  EXPECT_LE(write_in_a_tight_loop(store, 80 * mebibyte, [this] { return log_bytes(); }),
            65 * mebibyte);
}

TEST_F(Wal, IsBoundedAgainWhenAReaderInThisProcessEnds) {
  KVStore store(file_, options(Durability::normal));
  store.set("k", 1);
  Outside reader(file_);
  reader.run("BEGIN; SELECT count(*) FROM kv");
  write_in_a_tight_loop(store, 80 * mebibyte, [this] { return log_bytes(); });
  EXPECT_GT(log_bytes(), 70 * mebibyte) << "nothing was pinned; the test proves nothing";
  EXPECT_EQ(reader.one("SELECT value FROM kv"), "1");
  reader.run("COMMIT");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (log_bytes() > 65 * mebibyte && std::chrono::steady_clock::now() < deadline) {
    store.set("k", 2);
  }
  EXPECT_LE(log_bytes(), 65 * mebibyte);
}

/// Waits, for a busy machine may take its time, but not for ever. Returns whether it came to be.
bool comes_to(const std::function<bool()>& be, const std::function<void()>& meanwhile) {
  const auto start = std::chrono::steady_clock::now();
  while (!be()) {
    if (std::chrono::steady_clock::now() - start > std::chrono::seconds(30)) return false;
    meanwhile();
  }
  return true;
}

TEST_F(Wal, IsNotHeldAfterALongRunOfWritesWhileReadsGoOn) {
  KVStore store(file_, {.durability = Durability::normal});
  if (!locks_can_be_seen(file_)) GTEST_SKIP() << "the system does not tell of locks";
  int number = 0;
  const auto held = [&] { return log_is_pinned(file_); };
  const auto write = [&] {
    for (int i = 0; i < 100; ++i) store.set("k", ++number);
  };
  ASSERT_TRUE(comes_to(held, write)) << "it never kept a read";
  ASSERT_EQ(store.get("k"), number);
  // These reads come from the cache: they hold nothing themselves.
  EXPECT_TRUE(comes_to([&] { return !held(); }, [&] { EXPECT_EQ(store.get("k"), number); }));
}

TEST_F(Wal, IsNotHeldAfterALongRunOfReads) {
  KVStore store(file_, {.cache_bytes = 0});
  store.set("k", 1);
  if (!locks_can_be_seen(file_)) GTEST_SKIP() << "the system does not tell of locks";
  const auto held = [&] { return log_is_pinned(file_); };
  const auto read = [&] {
    for (int i = 0; i < 100; ++i) EXPECT_EQ(store.get("k"), 1);
  };
  ASSERT_TRUE(comes_to(held, read)) << "it never kept a read";
  EXPECT_TRUE(comes_to([&] { return !held(); }, [] { std::this_thread::yield(); }));
}

TEST_F(Wal, IsNotCopiedBySqliteItself) {
  KVStore store(file_, options(Durability::normal));
  for (int i = 0; i < 1500; ++i) store.set("k", i);
  const engine::Database database = engine::DatabaseFile(file_, {}).open({});
  engine::execute(database.get(), "SELECT 1 FROM kv_floor", file_);
  const engine::WalIndex index(database.get());
  ASSERT_TRUE(index.mapped());
  EXPECT_GT(index.frames(), 1500U);
  EXPECT_EQ(index.backfilled(), 0U);
}

TEST_F(Wal, TellsWhetherItMayHoldAPage) {
  KVStore(file_).set("k", 0);
  Outside outside(file_);
  const auto table =
      static_cast<std::uint32_t>(std::stoul(outside.one("SELECT rootpage FROM sqlite_master "
                                                        "WHERE name = 'kv'")));
  const engine::WalIndex index(outside.handle());
  EXPECT_FALSE(index.may_hold(table));
  outside.run("UPDATE kv SET value = '1'");
  EXPECT_TRUE(index.may_hold(table));
  EXPECT_FALSE(index.may_hold(1));
  outside.run("DROP INDEX kv_expires_at");
  EXPECT_TRUE(index.may_hold(1));
  outside.run("PRAGMA wal_checkpoint(PASSIVE)");
  ASSERT_GT(index.frames(), 0U);
  EXPECT_FALSE(index.may_hold(1)) << "the file has it";
}

TEST_F(Wal, MayHoldAnyPageWhenItIsLong) {
  KVStore(file_).set("k", 0);
  Outside outside(file_);
  outside.run("PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF");
  const engine::WalIndex index(outside.handle());
  while (index.frames() < 4062) {
    ASSERT_FALSE(index.may_hold(1));
    outside.run("UPDATE kv SET value = value + 1");
  }
  outside.run("UPDATE kv SET value = value + 1");
  EXPECT_TRUE(index.may_hold(1));
}

TEST_F(Wal, IsCopiedWhileThousandsOfDurableWritesGoOn) {
  KVStore store(file_, options(Durability::full));
  const engine::Database database = engine::DatabaseFile(file_, {}).open({});
  engine::execute(database.get(), "SELECT 1 FROM kv_floor", file_);
  const engine::WalIndex index(database.get());
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (index.backfilled() == 0 && std::chrono::steady_clock::now() < deadline) {
    store.set("k", 1);
  }
  EXPECT_GT(index.backfilled(), 0U) << "no checkpoint ran";
}

TEST_F(Wal, IsCopiedWhileAStoreIsFilled) {
  constexpr int batches = 16;
  KVStore store(file_, options(Durability::normal));
  const std::uintmax_t empty = fs::file_size(file_);
  const std::string value(1000, 'x');
  for (int batch = 0; batch < batches; ++batch) {
    std::vector<std::pair<std::string, json>> items;
    for (int i = 0; i < 500; ++i) {
      items.emplace_back(std::to_string(batch) + "/" + std::to_string(i), value);
    }
    store.set_many(items);
  }
  // All that was written would fit into a log that is not due for its length alone, 7,500 frames.
  ASSERT_LT(log_bytes(), 20 * mebibyte);
  EXPECT_TRUE(comes_to([&] { return fs::file_size(file_) > empty + 4 * mebibyte; },
                       [] { std::this_thread::yield(); }));
}

TEST_F(Wal, LosesNothingWhileCheckpointsRunBesideWritersAndReaders) {
  const int writes = long_run() ? 20'000 : 400;
  {
    KVStore store(file_, options(Durability::full));
    Process first(worker({"write", file_, "a", "full"}));
    Process second(worker({"write", file_, "b", "normal"}));
    std::latch done(3);
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < writes; ++i) {
          store.set(std::to_string(t) + "/" + std::to_string(i), std::string(2000, 'v'));
        }
        done.count_down();
      });
    }
    std::atomic<int> torn{0};
    threads.emplace_back([&] {
      while (!done.try_wait()) {
        for (const Entry& entry : store.scan({.prefix = "0/"}))
          torn += entry.value.size() == 1 ? 0 : 1;
      }
    });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(torn, 0);
    for (Process* process : {&first, &second}) {
      process->kill_now();
      const std::string prefix = process == &first ? "a" : "b";
      for (const std::string& told : process->lines()) {
        ASSERT_TRUE(store.contains(prefix + told)) << prefix << told;
      }
    }
  }
  const KVStore store(file_);
  for (const char* prefix : {"0/", "1/", "2/"}) {
    EXPECT_EQ(store.count({.prefix = prefix}), static_cast<std::size_t>(writes));
  }
  EXPECT_TRUE(store.check().ok());
  EXPECT_EQ(background_errors_, 0);
}

TEST_F(Wal, IsGoneAfterTheLastClose) {
  {
    KVStore store(file_, options(Durability::normal));
    for (int i = 0; i < 3000; ++i) store.set("k" + std::to_string(i), i);
    EXPECT_GT(log_bytes(), 0U);
  }
  EXPECT_FALSE(fs::exists(file_ + "-wal"));
  EXPECT_FALSE(fs::exists(file_ + "-shm"));
  EXPECT_EQ(KVStore(file_).count(), 3000U);
}

}  // namespace
}  // namespace kvstore::test
