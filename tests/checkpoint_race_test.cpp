#include <gtest/gtest.h>
#include <sqlite3.h>

#include <functional>
#include <string>
#include <vector>

#include <kvstore/engine/sqlite_connection.hpp>
#include <kvstore/engine/sqlite_wal.hpp>

#include "support.hpp"

/// The WAL-reset bug (https://sqlite.org/wal.html), made to happen on purpose: between the moment
/// at which a checkpoint has read the header of the log and the moment at which it copies, another
/// connection commits and starts the log anew.
namespace kvstore::engine {
namespace {

/// A file system like the default one, except that a checkpoint calls back in the gap: SQLite calls
/// `xUnfetch` there when the header had changed.
class GapVfs {
 public:
  static constexpr const char* name = "checkpoint-gap";

  explicit GapVfs(std::function<void()> in_the_gap) : in_the_gap_(std::move(in_the_gap)) {
    current = this;
    vfs_ = *sqlite3_vfs_find(nullptr);
    vfs_.zName = name;
    vfs_.xOpen = open;
    sqlite3_vfs_register(&vfs_, 0);
  }
  ~GapVfs() noexcept {
    sqlite3_vfs_unregister(&vfs_);
    current = nullptr;
  }
  GapVfs(const GapVfs&) = delete;
  GapVfs& operator=(const GapVfs&) = delete;
  GapVfs(GapVfs&&) = delete;
  GapVfs& operator=(GapVfs&&) = delete;

 private:
  static int open(sqlite3_vfs* /*vfs*/, const char* path, sqlite3_file* file, int flags, int* out) {
    sqlite3_vfs* real = sqlite3_vfs_find(nullptr);
    const int code = real->xOpen(real, path, file, flags, out);
    if (code == SQLITE_OK && (flags & SQLITE_OPEN_MAIN_DB) != 0) {
      current->real_methods_ = file->pMethods;
      current->methods_ = *file->pMethods;
      current->methods_.xUnfetch = unfetch;
      file->pMethods = &current->methods_;
    }
    return code;
  }

  static int unfetch(sqlite3_file* file, sqlite3_int64 offset, void* page) {
    if (page == nullptr) current->in_the_gap_();
    return current->real_methods_->xUnfetch(file, offset, page);
  }

  static inline GapVfs* current = nullptr;
  std::function<void()> in_the_gap_;
  sqlite3_vfs vfs_{};
  const sqlite3_io_methods* real_methods_ = nullptr;
  sqlite3_io_methods methods_{};
};

class CheckpointRace : public ::testing::Test {
 protected:
  void SetUp() override {
    if (sqlite3_libversion_number() >= 3051003) GTEST_SKIP() << "this SQLite is mended";
    execute(writer_.get(), "CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT)", file_);
  }

  Database connect(const char* vfs) {
    sqlite3* raw = nullptr;
    sqlite3_open_v2(file_.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs);
    Database database(raw);
    sqlite3_exec(raw,
                 "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF;",
                 nullptr, nullptr, nullptr);
    return database;
  }

  /// Commits one row, as another process would; false when the write lock was taken.
  bool commit_row() {
    const std::string sql = "INSERT INTO t VALUES(" + std::to_string(rows_ + 1) + ", 'text')";
    if (sqlite3_exec(writer_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
      return false;
    }
    ++rows_;
    return true;
  }

  /// How many of the acknowledged rows are there when all have closed the file; -1 when it is
  /// damaged.
  int rows_found() {
    writer_.reset();
    const Database fresh = connect(nullptr);
    int rows = -1;
    try {
      execute(fresh.get(), "SELECT count(*) FROM t", file_,
              [&](sqlite3_stmt* row) { rows = sqlite3_column_int(row, 0); });
    } catch (const Error&) {
      return -1;
    }
    return rows;
  }

  test::TempDir directory_;
  std::string file_ = directory_.file("race.db");
  int rows_ = 0;
  int in_the_gap_ = 0, refused_in_the_gap_ = 0;
  Database writer_ = connect(nullptr);
  GapVfs gap_{[this] {
    ++in_the_gap_;
    if (!commit_row()) ++refused_in_the_gap_;
  }};
};

TEST_F(CheckpointRace, LosesACommitWhenACheckpointIsNotGuarded) {
  Database other = connect(nullptr);
  Database copier = connect(GapVfs::name);
  execute(copier.get(), "SELECT count(*) FROM t", file_);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(commit_row());
  // All is copied, so that the next writer starts the log anew.
  sqlite3_wal_checkpoint_v2(other.get(), "main", SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  in_the_gap_ = 0;
  sqlite3_wal_checkpoint_v2(copier.get(), "main", SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  ASSERT_GT(in_the_gap_, 0);
  // The checkpoint has noted more frames as copied than the new log has, so these are forgotten.
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(commit_row());
  other.reset();
  copier.reset();
  EXPECT_NE(rows_found(), rows_) << "the race does not happen any more: this suite proves nothing";
}

class GuardedCheckpointRace : public CheckpointRace {
 protected:
  /// Runs checkpoints with commits in every gap, after the given number of commits each.
  void checkpoint_repeatedly(int commits_before) {
    SqliteConnection own(std::shared_ptr<sqlite3>(connect(nullptr)), file_,
                         std::chrono::milliseconds(1000));
    own.run("SELECT count(*) FROM t");
    GuardedCheckpoint checkpoint(connect(nullptr), connect(GapVfs::name), WalIndex(own.handle()),
                                 Durability::normal, file_);
    const Database other = connect(nullptr);
    for (int round = 0; round < 10; ++round) {
      for (int i = 0; i < commits_before; ++i) ASSERT_TRUE(commit_row());
      if (round % 2 == 1) {
        sqlite3_wal_checkpoint_v2(other.get(), "main", SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
      }
      checkpoint.run([&](FunctionRef<void(Connection&)> body) { body(own); });
      for (int i = 0; i < 3; ++i) ASSERT_TRUE(commit_row());
    }
  }
};

TEST_F(GuardedCheckpointRace, KeepsEveryCommitWhenTheLogIsShort) {
  checkpoint_repeatedly(20);
  EXPECT_GT(in_the_gap_, 0);
  EXPECT_GT(refused_in_the_gap_, 0) << "no commit was tried while our writer held the lock";
  EXPECT_EQ(rows_found(), rows_);
}

TEST_F(GuardedCheckpointRace, KeepsEveryCommitWhenTheLogIsLong) {
  checkpoint_repeatedly(600);
  EXPECT_GT(in_the_gap_, refused_in_the_gap_) << "no commit came while a reader pinned the log";
  EXPECT_EQ(rows_found(), rows_);
}

}  // namespace
}  // namespace kvstore::engine
