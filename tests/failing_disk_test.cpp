#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <latch>
#include <map>
#include <mutex>
#include <thread>

#include <kvstore/engine/sqlite_wal.hpp>

#include "failing_heap.hpp"
#include "failing_write_back.hpp"
#include "outside.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

/// The default file system of SQLite while it lives, with a disk that fails when it is told to.
class FailingVfs {
 public:
  FailingVfs() {
    current = this;
    vfs_ = *real_;
    vfs_.zName = "failing";
    vfs_.xOpen = open;
    sqlite3_vfs_register(&vfs_, 1);
  }
  ~FailingVfs() noexcept {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real_, 1);
    current = nullptr;
  }
  FailingVfs(const FailingVfs&) = delete;
  FailingVfs& operator=(const FailingVfs&) = delete;
  FailingVfs(FailingVfs&&) = delete;
  FailingVfs& operator=(FailingVfs&&) = delete;

  std::function<void()> on_log_sync{};
  std::chrono::microseconds log_write_lasts{0};
  std::atomic<int> log_syncs_to_fail{0};
  std::atomic<bool> log_writes_fail{false};
  std::atomic<int> log_writes_before_failure{0};  ///< Of one write; 0: of none.
  std::atomic<bool> database_is_full{false};
  std::function<int()> on_database_sync{};  ///< What it returns is the outcome, unless SQLITE_OK.

  /// Whether the database file was written since it was synced.
  bool has_unsynced() {
    const std::lock_guard lock(mutex_);
    return !unsynced_.empty();
  }

  /// Puts back what the database file held before it was written and the sync after that failed.
  void lose(const std::string& path) const {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    ASSERT_FALSE(lost_.empty());
    for (const auto& [offset, bytes] : lost_) file.seekp(offset) << bytes;
  }

 private:
  /// The methods of one kind of file, with the real ones behind them.
  struct Methods {
    const sqlite3_io_methods* real = nullptr;
    sqlite3_io_methods own{};

    void take_over(sqlite3_file* file) {
      if (real == nullptr) {
        real = file->pMethods;
        own = *real;
      }
    }
  };

  static int open(sqlite3_vfs* /*vfs*/, const char* path, sqlite3_file* file, int flags, int* out) {
    const int code = current->real_->xOpen(current->real_, path, file, flags, out);
    if (code != SQLITE_OK) return code;
    const std::lock_guard lock(current->mutex_);
    if ((flags & SQLITE_OPEN_WAL) != 0) {
      current->log_.take_over(file);
      current->log_.own.xSync = sync_log;
      current->log_.own.xWrite = write_log;
      file->pMethods = &current->log_.own;
    } else if ((flags & SQLITE_OPEN_MAIN_DB) != 0) {
      current->database_.take_over(file);
      current->database_.own.xSync = sync_database;
      current->database_.own.xWrite = write_database;
      file->pMethods = &current->database_.own;
    }
    return code;
  }

  static int sync_log(sqlite3_file* file, int flags) {
    if (current->on_log_sync) current->on_log_sync();
    if (current->log_syncs_to_fail > 0) {
      --current->log_syncs_to_fail;
      return SQLITE_IOERR_FSYNC;
    }
    return current->log_.real->xSync(file, flags);
  }

  static int sync_database(sqlite3_file* file, int flags) {
    const int code = current->on_database_sync ? current->on_database_sync() : SQLITE_OK;
    const std::lock_guard lock(current->mutex_);
    if (code == SQLITE_OK) {
      for (const auto& [offset, bytes] : current->unsynced_) current->lost_.erase(offset);
      current->unsynced_.clear();
      return current->database_.real->xSync(file, flags);
    }
    current->lost_.merge(current->unsynced_);
    current->unsynced_.clear();
    return code;
  }

  void note_unsynced(sqlite3_file* file, int count, sqlite3_int64 offset) {
    std::string bytes(static_cast<std::size_t>(count), '\0');
    database_.real->xRead(file, bytes.data(), count, offset);  // zeros past the end
    const std::lock_guard lock(mutex_);
    unsynced_.emplace(offset, std::move(bytes));
  }

  static int write_log(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 offset) {
    std::this_thread::sleep_for(current->log_write_lasts);
    if (current->log_writes_fail) return SQLITE_IOERR_WRITE;
    std::atomic<int>& left = current->log_writes_before_failure;
    if (left > 0 && --left == 0) return SQLITE_IOERR_WRITE;
    return current->log_.real->xWrite(file, bytes, count, offset);
  }

  static int write_database(sqlite3_file* file, const void* bytes, int count,
                            sqlite3_int64 offset) {
    if (current->database_is_full) return SQLITE_FULL;
    current->note_unsynced(file, count, offset);
    return current->database_.real->xWrite(file, bytes, count, offset);
  }

  static inline FailingVfs* current = nullptr;
  sqlite3_vfs* real_ = sqlite3_vfs_find(nullptr);
  sqlite3_vfs vfs_{};
  std::mutex mutex_;
  Methods log_, database_;
  /// What pages of the database file held before they were written: since the last sync; and before
  /// one that failed.
  std::map<sqlite3_int64, std::string> unsynced_, lost_;
};

/// Closes a store before what its callbacks use is gone.
struct Closing {
  std::optional<KVStore>& store;
  ~Closing() noexcept { store.reset(); }
};

class FailingDisk : public ::testing::Test {
 protected:
  FailingDisk() { store_->set("before", 1); }

  /// "k" is what was asked for or what it was, and everything else as acknowledged.
  void expect_sound(const json& old, const json& asked) {
    const json now = store_->get("k").value();
    EXPECT_TRUE(now == old || now == asked) << now;
    EXPECT_EQ(store_->get("before"), json(1));
    EXPECT_TRUE(store_->check().ok());
  }

  void expect_works_again() {
    store_->set("k", "again");
    EXPECT_EQ(store_->get("k"), json("again"));
    store_.reset();
    store_.emplace(file_);
    expect_sound("again", "again");
  }

  /// Fills the log until it is to be copied, with a reader in the middle of it: what comes after
  /// that cannot be copied, and SQLite syncs the database file only when all is.
  std::optional<Outside> start_checkpoint_with_reader() {
    constexpr int before_reader = 28;
    const auto write = [&](int first, int end) {
      for (int i = first; i < end; ++i) {
        store_->set("k" + std::to_string(i), std::string(100'000, 'v'));  // 25 pages
      }
    };
    write(0, before_reader);
    std::optional<Outside> reader(file_);
    reader->run("BEGIN; SELECT count(*) FROM kv");
    write(before_reader, large_entries);
    return reader;
  }

  static constexpr int large_entries = 42;
  static constexpr std::chrono::seconds patience{60};  ///< For what must come, and does at once.

  TempDir dir_;
  FailingVfs disk_;
  std::string file_ = dir_.file("store.db");
  /// Keeps few pages in memory, so that a large value is written before the commit. Patient, for
  /// under a sanitizer that takes seconds.
  std::optional<KVStore> store_{std::in_place, file_,
                                Options{.busy_timeout = Duration(60'000), .cache_bytes = 0}};
};

TEST_F(FailingDisk, ThatCannotSyncACommitMakesItsOutcomeUnknown) {
  store_->set("k", "old");
  disk_.log_syncs_to_fail = 1;
  EXPECT_KV_ERROR(store_->set("k", "new"), ErrorCode::outcome_unknown, "read the entries again");
  expect_sound("old", "new");
  expect_works_again();
}

TEST_F(FailingDisk, ThatCannotSyncAnUpdateMakesItsOutcomeUnknown) {
  store_->set("k", "old");
  disk_.log_syncs_to_fail = 1;
  EXPECT_KV_ERROR(store_->update("k", [](json& value) { value = "new"; }),
                  ErrorCode::outcome_unknown, "store.db");
  expect_sound("old", "new");
  expect_works_again();
}

TEST_F(FailingDisk, ThatCannotSyncASetManyStoresAllOrNothing) {
  store_->set_many({{"k", "old"}, {"l", "old"}});
  disk_.log_syncs_to_fail = 1;
  EXPECT_KV_ERROR(store_->set_many({{"k", "new"}, {"l", "new"}}), ErrorCode::outcome_unknown,
                  "store.db");
  expect_sound("old", "new");
  EXPECT_EQ(store_->get("k"), store_->get("l"));
  expect_works_again();
}

TEST_F(FailingDisk, ThatCannotWriteIsATypedErrorAndLosesNothing) {
  store_->set("k", "old");
  disk_.log_writes_fail = true;
  try {
    store_->set("k", "new");
    ADD_FAILURE() << "the write was acknowledged";
  } catch (const Error& error) {
    EXPECT_TRUE(error.code() == ErrorCode::io || error.code() == ErrorCode::outcome_unknown)
        << error.what();
  }
  expect_sound("old", "new");
  disk_.log_writes_fail = false;
  expect_works_again();
}

/// More than the engine keeps in memory, so that it writes before the commit.
const std::string very_large(8U << 20U, 'v');

TEST_F(FailingDisk, ThatCannotWriteEndsATransactionWithTheSavepointsInsideIt) {
  store_->set("k", "old");
  Transaction tx = store_->begin();
  tx.set("k", "new");
  Transaction inner = tx.begin();
  inner.set("l", 1);
  disk_.log_writes_fail = true;
  EXPECT_KV_ERROR(inner.set("large", very_large), ErrorCode::io, "store.db");
  disk_.log_writes_fail = false;
  EXPECT_KV_ERROR(inner.set("m", 1), ErrorCode::io, "was rolled back");
  EXPECT_KV_ERROR(inner.commit(), ErrorCode::io, "was rolled back");
  EXPECT_KV_ERROR(tx.get("k"), ErrorCode::io, "was rolled back");
  EXPECT_KV_ERROR(tx.commit(), ErrorCode::io, "was rolled back");
  EXPECT_EQ(store_->keys(), (std::vector<std::string>{"before", "k"}));
  expect_sound("old", "old");
  expect_works_again();
}

TEST_F(FailingDisk, ThatEndsAGroupOfWritesLetsOneOfManyInsertsWin) {
  constexpr int inserts = 8;
  for (int round = 0; round < 10; ++round) {
    store_->erase("k");
    std::atomic<int> inserted{0};
    std::vector<std::thread> threads;
    {
      Transaction others_wait = store_->begin();
      std::latch at_the_lock(inserts + 1);
      const auto start = [&](auto call) {
        threads.emplace_back([&at_the_lock, call] {
          at_the_lock.count_down();
          call();
        });
      };
      for (int i = 0; i < inserts; ++i) {
        start([&] {
          if (store_->insert("k", "inserted")) ++inserted;
        });
      }
      // More than the engine keeps in memory: it is this that meets the failure, before the commit,
      // and so ends the transaction of all who share it. Where it shares none, it fails.
      start([&] {
        try {
          store_->set("large", very_large);
        } catch (const Error& error) {
          EXPECT_EQ(error.code(), ErrorCode::io);
        }
      });
      at_the_lock.wait();
      // The large one needs this long before it waits with the others.
      for (int i = 0; i < 3; ++i) ASSERT_GT(json(very_large).dump().size(), very_large.size());
      disk_.log_writes_before_failure = 200;
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(inserted, 1) << "in round " << round;
  }
}

TEST_F(FailingDisk, ThatFailsAGroupOfWritesWhileMemoryIsShortAcknowledgesNoneOfThem) {
  constexpr std::size_t writers = 3;
  const std::string large(very_large.size() / 8, 'v');
  bool memory_was_short = true;
  for (std::size_t n = 0; memory_was_short; ++n) {
    SCOPED_TRACE("allocation " + std::to_string(n));
    std::array<std::atomic<bool>, writers> stored{};
    std::atomic<bool> any_failed{false};
    std::latch at_the_lock(writers);
    std::vector<std::thread> threads;
    Outside other(file_);
    other.run("BEGIN IMMEDIATE");
    for (std::size_t i = 0; i < writers; ++i) {
      threads.emplace_back([&, i] {
        const std::string key = "w" + std::to_string(i);
        at_the_lock.count_down();
        const FailingHeap heap(n, FailingHeap::Fails::once);
        try {
          store_->set(key, static_cast<std::int64_t>(n));
          stored.at(i) = true;
        } catch (const std::exception&) {
          stored.at(i) = false;
        }
        if (heap.failed()) any_failed = true;
      });
    }
    at_the_lock.wait();
    // They need less than this long before two of them wait for the third.
    ASSERT_GT(json(large).dump().size(), large.size());
    disk_.log_writes_fail = true;
    other.run("ROLLBACK");
    for (std::thread& thread : threads) thread.join();
    disk_.log_writes_fail = false;
    for (std::size_t i = 0; i < writers; ++i) {
      EXPECT_TRUE(!stored.at(i) || store_->get("w" + std::to_string(i)) == n) << i;
    }
    memory_was_short = any_failed;
  }
}

TEST_F(FailingDisk, ThatCannotSyncTheCommitOfATransactionMakesItsOutcomeUnknown) {
  store_->set("k", "old");
  Transaction tx = store_->begin();
  tx.set("k", "new");
  tx.transaction([](Transaction& inner) { inner.set("l", "new"); });
  disk_.log_syncs_to_fail = 1;
  EXPECT_KV_ERROR(tx.commit(), ErrorCode::outcome_unknown, "read the entries again");
  EXPECT_KV_ERROR(tx.set("m", 1), ErrorCode::outcome_unknown, "store.db");
  expect_sound("old", "new");
  EXPECT_EQ(store_->get("k") == json("new"), store_->contains("l"));
  expect_works_again();
}

TEST_F(FailingDisk, ThatIsFullUnderACheckpointLeavesNoTransactionOpen) {
  std::latch reported(1);
  std::atomic<bool> first{true};
  const Closing closing{store_};
  store_.reset();
  store_.emplace(file_, Options{.on_background_error = [&](const std::exception_ptr&) {
                   if (first.exchange(false)) reported.count_down();
                 }});
  std::optional<Outside> reader = start_checkpoint_with_reader();
  // The last frames are copied under the write lock, once the reader is gone.
  const engine::WalIndex log(reader->handle());
  while (log.backfilled() == 0) std::this_thread::yield();
  ASSERT_GE(log.backfilled(), 600U);
  disk_.database_is_full = true;
  reader.reset();
  reported.wait();
  store_->set("k", 1);
  EXPECT_EQ(store_->get("k"), json(1));
  disk_.database_is_full = false;
  store_->set("k", 2);
  EXPECT_EQ(Outside(file_).one("SELECT value FROM kv WHERE key = 'k'"), "2");
}

bool asks_to_reopen(const std::exception_ptr& reported) {
  try {
    std::rethrow_exception(reported);
  } catch (const Error& error) {
    return error.code() == ErrorCode::io &&
           std::string_view(error.what()).find("open it again") != std::string_view::npos;
  }
}

TEST_F(FailingDisk, ThatLosesWhatACheckpointCopiedLosesNothingThatWasStored) {
  // Looked at where it is reported: ThreadSanitizer does not see libstdc++ count its owners.
  std::array<std::promise<bool>, 2> reported;
  std::atomic<std::size_t> reports{0};
  std::atomic<bool> fails{false};
  const Closing closing{store_};
  store_.reset();
  disk_.on_database_sync = [&] { return fails.exchange(false) ? SQLITE_IOERR_FSYNC : SQLITE_OK; };
  store_.emplace(file_, Options{.on_background_error = [&](const std::exception_ptr& error) {
                   const std::size_t report = reports++;
                   if (report < reported.size()) reported[report].set_value(asks_to_reopen(error));
                 }});
  fails = true;
  std::optional<Outside> reader = start_checkpoint_with_reader();
  std::future<bool> first = reported[0].get_future();
  std::future<bool> second = reported[1].get_future();
  ASSERT_EQ(second.wait_for(patience), std::future_status::ready);
  EXPECT_TRUE(first.get());
  EXPECT_TRUE(second.get());
  reader.reset();
  store_->set("k", 1);
  store_.reset();
  disk_.lose(file_);
  store_.emplace(file_);
  EXPECT_EQ(store_->get("k"), json(1));
  EXPECT_EQ(store_->get("before"), json(1));
  EXPECT_EQ(store_->count({.prefix = "k"}), large_entries + 1U);
  EXPECT_TRUE(store_->check().ok());
}

TEST_F(FailingDisk, ThatFailsWhileTheLogIsHandedToItKeepsTheLog) {
  std::promise<bool> reported;
  std::atomic<bool> is_first{true};
  const Closing closing{store_};
  store_.reset();
  store_.emplace(file_, Options{.durability = Durability::normal,
                                .on_background_error = [&](const std::exception_ptr& error) {
                                  if (is_first.exchange(false)) {
                                    reported.set_value(asks_to_reopen(error));
                                  }
                                }});
  std::future<bool> report = reported.get_future();
  {
    const FailingWriteBack disk(EIO);
    for (int i = 0; i < 300; ++i) store_->set("k" + std::to_string(i), std::string(200'000, 'v'));
    ASSERT_EQ(report.wait_for(patience), std::future_status::ready);
  }
  EXPECT_TRUE(report.get());
  store_.reset();
  EXPECT_TRUE(std::filesystem::exists(file_ + "-wal")) << "what it holds may not be in the file";
  store_.emplace(file_);
  EXPECT_EQ(store_->count({.prefix = "k"}), 300U);
  EXPECT_TRUE(store_->check().ok());
}

TEST_F(FailingDisk, ThatIsSlowToSyncTheLogKeepsItBounded) {
  constexpr std::uintmax_t mebibyte = 1U << 20U;
  store_.reset();
  // A sync lasts longer than a checkpoint holds the write lock at first; and the writer is so slow
  // that the log is not yet at its bound when the first checkpoint gives up.
  disk_.on_log_sync = [] { std::this_thread::sleep_for(std::chrono::milliseconds(150)); };
  disk_.log_write_lasts = std::chrono::microseconds(1);
  store_.emplace(file_, Options{.durability = Durability::normal});
  std::uintmax_t largest = 0;
  for (std::size_t written = 0; written < 90 * mebibyte; written += 100'000) {
    const auto content = static_cast<char>('a' + written / 100'000 % 26);
    store_->set("k", std::string(100'000, content));  // SQLite writes no page that stays the same
    largest = std::max(largest, std::filesystem::file_size(file_ + "-wal"));
  }
  EXPECT_LE(largest, 65 * mebibyte);
}

TEST_F(FailingDisk, ThatIsSlowToSyncTheLogGetsWhatACheckpointCopiedSyncedNevertheless) {
  std::promise<bool> had_unsynced;
  std::atomic<bool> first_log_sync{true};
  std::atomic<bool> first{true};
  const Closing closing{store_};
  // The first round is over before the log is durable, and so before anything is copied.
  disk_.on_log_sync = [&, writer = std::this_thread::get_id()] {
    if (std::this_thread::get_id() == writer || !first_log_sync.exchange(false)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  };
  disk_.on_database_sync = [&] {
    if (first.exchange(false)) had_unsynced.set_value(disk_.has_unsynced());
    return SQLITE_OK;
  };
  std::optional<Outside> reader = start_checkpoint_with_reader();
  std::future<bool> outcome = had_unsynced.get_future();
  ASSERT_EQ(outcome.wait_for(patience), std::future_status::ready);
  EXPECT_TRUE(outcome.get());
}

TEST_F(FailingDisk, ThatIsSlowToSyncWhatACheckpointCopiedKeepsNoWriterWaiting) {
  std::promise<void> began;
  std::atomic<bool> first{true};
  const Closing closing{store_};
  std::promise<void> may_end;
  disk_.on_database_sync = [&, may = may_end.get_future().share()] {
    if (first.exchange(false)) {
      began.set_value();
      may.wait();
    }
    return SQLITE_OK;
  };
  std::optional<Outside> reader = start_checkpoint_with_reader();
  const std::future_status status = began.get_future().wait_for(patience);
  EXPECT_EQ(status, std::future_status::ready);
  EXPECT_NO_THROW(store_->set("k", 1));
  may_end.set_value();
}

}  // namespace
}  // namespace kvstore::test
