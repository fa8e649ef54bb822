#include <sqlite3.h>

#include <atomic>
#include <future>
#include <latch>
#include <mutex>
#include <thread>

#include <kvstore/engine/sqlite_wal.hpp>

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

  std::atomic<int> log_syncs_to_fail{0};
  std::atomic<bool> log_writes_fail{false};
  std::atomic<int> log_writes_before_failure{0};  ///< Of one write; 0: of none.
  std::atomic<bool> database_is_full{false};
  std::atomic<int> database_syncs_to_fail{0};

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

  static int sync(const Methods& methods, std::atomic<int>& to_fail, sqlite3_file* file,
                  int flags) {
    if (to_fail > 0) {
      --to_fail;
      return SQLITE_IOERR_FSYNC;
    }
    return methods.real->xSync(file, flags);
  }

  static int sync_log(sqlite3_file* file, int flags) {
    return sync(current->log_, current->log_syncs_to_fail, file, flags);
  }

  static int sync_database(sqlite3_file* file, int flags) {
    return sync(current->database_, current->database_syncs_to_fail, file, flags);
  }

  static int write_log(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 offset) {
    if (current->log_writes_fail) return SQLITE_IOERR_WRITE;
    std::atomic<int>& left = current->log_writes_before_failure;
    if (left > 0 && --left == 0) return SQLITE_IOERR_WRITE;
    return current->log_.real->xWrite(file, bytes, count, offset);
  }

  static int write_database(sqlite3_file* file, const void* bytes, int count,
                            sqlite3_int64 offset) {
    if (current->database_is_full) return SQLITE_FULL;
    return current->database_.real->xWrite(file, bytes, count, offset);
  }

  static inline FailingVfs* current = nullptr;
  sqlite3_vfs* real_ = sqlite3_vfs_find(nullptr);
  sqlite3_vfs vfs_{};
  std::mutex mutex_;
  Methods log_, database_;
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

  TempDir dir_;
  FailingVfs disk_;
  std::string file_ = dir_.file("store.db");
  /// Keeps few pages in memory, so that a large value is written before the commit.
  std::optional<KVStore> store_{std::in_place, file_, Options{.cache_bytes = 0}};
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
  store_.reset();
  store_.emplace(file_, Options{.on_background_error = [&](const std::exception_ptr&) {
                   if (first.exchange(false)) reported.count_down();
                 }});
  // A reader in the middle of the log lets the checkpoint copy all but the last frames, which it
  // copies under the write lock once the reader is gone.
  const auto write = [&](int first, int end) {
    for (int i = first; i < end; ++i)
      store_->set("k" + std::to_string(i), std::string(100'000, 'v'));
  };
  write(0, 28);
  std::optional<Outside> reader(file_);
  reader->run("BEGIN; SELECT count(*) FROM kv");
  write(28, 42);
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

TEST_F(FailingDisk, ThatCannotSyncWhatACheckpointCopiedIsReported) {
  std::promise<std::exception_ptr> reported;
  std::atomic<bool> first{true};
  store_.reset();
  store_.emplace(file_, Options{.on_background_error = [&](const std::exception_ptr& error) {
                   if (first.exchange(false)) reported.set_value(error);
                 }});
  disk_.database_syncs_to_fail = 1;
  constexpr int entries = 45;  // of 25 pages each
  for (int i = 0; i < entries; ++i) {
    store_->set("k" + std::to_string(i), std::string(100'000, 'v'));
  }
  try {
    std::rethrow_exception(reported.get_future().get());
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::io) << error.what();
    EXPECT_NE(std::string_view(error.what()).find("I/O error"), std::string_view::npos)
        << error.what();
  }
  EXPECT_EQ(disk_.database_syncs_to_fail, 0);
  store_->set("k", 1);
  expect_works_again();
  EXPECT_EQ(store_->count({.prefix = "k"}), entries + 1U);
}

}  // namespace
}  // namespace kvstore::test
