#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <random>

#include "support.hpp"

/// What is left of a store when the power fails: everything that was synced, and of all that was
/// written after it whatever part the disk happened to have finished.
namespace kvstore::test {
namespace {

/// One change of a file, or the end of a sync of it.
struct Step {
  enum class Kind : std::uint8_t { write, truncate, sync } kind{};
  bool log = false;  ///< Of the write-ahead log; otherwise of the database.
  sqlite3_int64 offset = 0;
  std::string bytes{};
};

/// The default file system of SQLite while it lives, which writes down what happens to the files.
class RecordingVfs {
 public:
  RecordingVfs() {
    current = this;
    vfs_ = *real_;
    vfs_.zName = "recording";
    vfs_.xOpen = open;
    sqlite3_vfs_register(&vfs_, 1);
  }
  ~RecordingVfs() noexcept {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real_, 1);
    current = nullptr;
  }
  RecordingVfs(const RecordingVfs&) = delete;
  RecordingVfs& operator=(const RecordingVfs&) = delete;
  RecordingVfs(RecordingVfs&&) = delete;
  RecordingVfs& operator=(RecordingVfs&&) = delete;

  [[nodiscard]] std::size_t length() {
    const std::lock_guard lock(mutex_);
    return steps_.size();
  }
  [[nodiscard]] std::vector<Step> steps() {
    const std::lock_guard lock(mutex_);
    return steps_;
  }

 private:
  template <bool log>
  struct Recorded {
    static inline const sqlite3_io_methods* real = nullptr;
    static inline sqlite3_io_methods own{};

    static void take_over(sqlite3_file* file) {
      if (real == nullptr) {
        real = file->pMethods;
        own = *real;
        own.xWrite = write;
        own.xTruncate = truncate;
        own.xSync = sync;
      }
      file->pMethods = &own;
    }
    static int write(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 offset) {
      note({Step::Kind::write, log, offset,
            std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(count))});
      return real->xWrite(file, bytes, count, offset);
    }
    static int truncate(sqlite3_file* file, sqlite3_int64 size) {
      note({Step::Kind::truncate, log, size});
      return real->xTruncate(file, size);
    }
    static int sync(sqlite3_file* file, int flags) {
      const int code = real->xSync(file, flags);
      note({Step::Kind::sync, log});
      return code;
    }
  };

  static int open(sqlite3_vfs* /*vfs*/, const char* path, sqlite3_file* file, int flags, int* out) {
    const int code = current->real_->xOpen(current->real_, path, file, flags, out);
    if (code != SQLITE_OK) return code;
    const std::lock_guard lock(current->mutex_);
    if ((flags & SQLITE_OPEN_WAL) != 0) Recorded<true>::take_over(file);
    if ((flags & SQLITE_OPEN_MAIN_DB) != 0) Recorded<false>::take_over(file);
    return code;
  }

  static void note(Step step) {
    const std::lock_guard lock(current->mutex_);
    current->steps_.push_back(std::move(step));
  }

  static inline RecordingVfs* current = nullptr;
  sqlite3_vfs* real_ = sqlite3_vfs_find(nullptr);
  sqlite3_vfs vfs_{};
  std::mutex mutex_;
  std::vector<Step> steps_;
};

void apply(const Step& step, std::size_t bytes, std::string& file) {
  const auto offset = static_cast<std::size_t>(step.offset);
  if (step.kind == Step::Kind::truncate) file.resize(offset);
  if (step.kind != Step::Kind::write || bytes == 0) return;
  if (file.size() < offset + bytes) file.resize(offset + bytes);
  file.replace(offset, bytes, step.bytes, 0, bytes);
}

class PowerLoss : public ::testing::TestWithParam<Durability> {
 protected:
  static constexpr std::size_t keys = 20;

  static std::string key(std::size_t write) { return "k" + std::to_string(write % keys); }

  /// Writes a history, one key after the other, until the log has been copied and begun anew.
  void record() {
    const std::string file = dir_.file("store.db");
    KVStore(file).close();
    origin_ = bytes_of(file);
    RecordingVfs disk;
    KVStore store(file, {.durability = GetParam()});
    const std::size_t frames = GetParam() == Durability::full ? 3'000 : 26'000;
    constexpr std::size_t frames_a_write = 25;
    for (std::size_t i = 0; i < frames / frames_a_write; ++i) {
      store.set(key(i),
                {{"n", i}, {"text", std::string(100'000, static_cast<char>('a' + i % 26))}});
      acknowledged_.push_back(disk.length());
    }
    steps_ = disk.steps();
  }

  /// The content of a file after a power cut at step `cut`.
  std::string left_of(bool log, std::size_t cut) {
    std::string file = log ? "" : origin_;
    std::size_t durable = 0;
    for (std::size_t i = 0; i < cut; ++i) {
      if (steps_[i].log == log && steps_[i].kind == Step::Kind::sync) durable = i;
    }
    for (std::size_t i = 0; i < cut; ++i) {
      const Step& step = steps_[i];
      if (step.log != log) continue;
      constexpr std::size_t sector = 512;
      std::size_t bytes = step.bytes.size();
      if (i >= durable) {
        const std::size_t fate = below(8);
        if (fate < 3) continue;
        if (fate == 3) bytes = std::min(bytes, below(bytes / sector + 1) * sector);
      }
      apply(step, bytes, file);
    }
    return file;
  }

  /// How many writes of the history are there; fails when what is there is no beginning of it.
  void expect_beginning(const std::string& file, std::size_t least, std::size_t most) {
    const KVStore store(file);
    ASSERT_TRUE(store.check().ok());
    std::size_t writes = 0;
    for (const Entry& entry : store.scan()) {
      writes = std::max(writes, entry.value.at("n").get<std::size_t>() + 1);
    }
    ASSERT_GE(writes, least) << "an acknowledged write is lost";
    ASSERT_LE(writes, most);
    ASSERT_EQ(store.count(), std::min(writes, keys));
    for (std::size_t i = writes - std::min(writes, keys); i < writes; ++i) {
      ASSERT_EQ(store.get<std::size_t>(key(i), json::json_pointer("/n")), i) << "a gap";
    }
  }

  void cut_power_at(std::size_t cut) {
    SCOPED_TRACE("step " + std::to_string(cut) + " of seed " + std::to_string(seed()));
    const TempDir dir;
    const std::string file = dir.file("store.db");
    write_bytes(file, left_of(false, cut));
    write_bytes(file + "-wal", left_of(true, cut));
    const auto after = std::upper_bound(acknowledged_.begin(), acknowledged_.end(), cut);
    const auto acknowledged = static_cast<std::size_t>(after - acknowledged_.begin());
    expect_beginning(file, GetParam() == Durability::full ? acknowledged : 0, acknowledged + 1);
  }

  std::size_t below(std::size_t bound) {
    return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random_);
  }

  TempDir dir_;
  std::mt19937_64 random_{seed()};
  std::string origin_;
  std::vector<Step> steps_;
  std::vector<std::size_t> acknowledged_;  ///< How many steps there were at each acknowledgement.
};

INSTANTIATE_TEST_SUITE_P(Durability, PowerLoss,
                         ::testing::Values(Durability::full, Durability::normal),
                         [](const auto& info) {
                           return info.param == Durability::full ? "full" : "normal";
                         });

TEST_P(PowerLoss, LeavesWhatTheDurabilityPromises) {
  record();
  const bool checkpointed = std::any_of(steps_.begin(), steps_.end(), [](const Step& step) {
    return !step.log && step.kind == Step::Kind::write;
  });
  ASSERT_TRUE(checkpointed) << "no checkpoint is part of the history";
  const std::size_t cuts = long_run() ? 400 : 24;
  for (std::size_t i = 0; i < cuts && !HasFatalFailure(); ++i) {
    // Right after an acknowledgement, and anywhere.
    cut_power_at(i % 2 == 0 ? acknowledged_[below(acknowledged_.size())]
                            : below(steps_.size() + 1));
  }
}

}  // namespace
}  // namespace kvstore::test
