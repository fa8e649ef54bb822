#include <sys/stat.h>

#include <atomic>
#include <mutex>
#include <optional>
#include <utility>

#include <kvstore/engine/fork_guard.hpp>
#include <kvstore/engine/sqlite.hpp>
#include <kvstore/engine/sqlite_backup.hpp>
#include <kvstore/engine/sqlite_connection.hpp>
#include <kvstore/engine/sqlite_immutable.hpp>
#include <kvstore/engine/sqlite_neighbours.hpp>
#include <kvstore/engine/sqlite_open.hpp>
#include <kvstore/engine/sqlite_rest.hpp>
#include <kvstore/engine/sqlite_schema.hpp>
#include <kvstore/engine/sqlite_vfs_file.hpp>
#include <kvstore/engine/sqlite_wal.hpp>
#include <kvstore/engine/text.hpp>

namespace kvstore::engine {
namespace {

constexpr Dialect sqlite_dialect{
    .key_ceiling = "\xFF",  // no UTF-8 text has this byte
    .table_exists = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1"};

std::int64_t pragma_number(Connection& connection, std::string_view pragma) {
  std::int64_t number = 0;
  connection.run(pragma, {}, [&](Row row) {
    number = std::get<std::int64_t>(row[0]);
    return true;
  });
  return number;
}

/// Not those of pages that are in the log alone.
std::uint64_t bytes_of_file(sqlite3* database) {
  sqlite3_file* file = file_of(database);
  sqlite3_int64 bytes = 0;
  if (file != nullptr) file->pMethods->xFileSize(file, &bytes);
  return static_cast<std::uint64_t>(bytes);
}

Stats sizes(Connection& connection) {
  Stats stats;
  stats.engine = std::string("SQLite ") + sqlite3_libversion();
  stats.format = sqlite_format;
  const auto page = static_cast<std::uint64_t>(pragma_number(connection, "PRAGMA page_size"));
  const auto pages = static_cast<std::uint64_t>(pragma_number(connection, "PRAGMA page_count"));
  const auto idle = static_cast<std::uint64_t>(pragma_number(connection, "PRAGMA freelist_count"));
  stats.file_bytes = pages * page;
  stats.used_bytes = (pages - idle) * page;
  const int version = sqlite3_libversion_number();
  const bool mended = version >= 3051003 || version == 3050007 || version == 3044006;
  stats.engine_has_wal_reset_bug = !mended;
  return stats;
}

std::vector<std::string> integrity_defects(Connection& connection) {
  std::vector<std::string> defects;
  connection.run("PRAGMA integrity_check", {}, [&](Row row) {
    const auto* text = std::get_if<std::string_view>(row.data());
    if (text != nullptr && *text != "ok") defects.emplace_back(*text);
    return true;
  });
  return defects;
}

std::vector<std::string> all_defects(Connection& connection, const std::string& name) {
  std::vector<std::string> defects = integrity_defects(connection);
  auto& sqlite = static_cast<SqliteConnection&>(connection);
  for (std::string& defect : schema_defects(sqlite.handle(), name)) {
    defects.push_back(std::move(defect));
  }
  return defects;
}

class MemoryEngine final : public Engine {
 public:
  explicit MemoryEngine(const Options& options)
      : Engine("\":memory:\"", sqlite_dialect, {.one_connection = true}),
        options_(options),
        database_(open_memory()),
        busy_timeout_(options.busy_timeout) {
    Patience patience(options.busy_timeout);
    prepare_to_write(database_.get(), options.durability, name());
    upgrade_schema(database_.get(), name(), patience);
  }

  std::unique_ptr<Connection> connect(Access role) override {
    std::shared_ptr<sqlite3> database = role == Access::snapshot ? copy() : database_;
    return std::make_unique<SqliteConnection>(std::move(database), name(), busy_timeout_);
  }
  /// There is no other writer, and whoever reads or writes has the only connection's turn.
  [[nodiscard]] Mark mark() const noexcept override { return {.known = true}; }
  [[nodiscard]] bool only_commit(const Connection& /*writer*/, const Mark& /*before*/,
                                 const Mark& /*after*/) const noexcept override {
    return true;
  }
  [[nodiscard]] std::uint64_t look() const override { return 0; }
  bool has_neighbours() override { return false; }
  [[nodiscard]] Need need_to_tidy(bool /*others_write*/) const noexcept override {
    return Need::none;
  }
  Tidied tidy(WithWriter /*with_writer*/) override { return Tidied::done; }
  void backup(Connection& source, const std::filesystem::path& to, const Progress& progress,
              FunctionRef<void(Connection&)> accept) override {
    back_up(static_cast<SqliteConnection&>(source).handle(), name(), {}, to, options_, progress,
            accept);
  }
  Stats facts(Connection& connection) override { return sizes(connection); }
  std::vector<std::string> defects(Connection& connection) override {
    return all_defects(connection, name());
  }

 private:
  std::shared_ptr<sqlite3> copy() {
    std::shared_ptr<sqlite3> copy = open_memory();
    sqlite3_backup* backup = sqlite3_backup_init(copy.get(), "main", database_.get(), "main");
    if (backup != nullptr) {
      constexpr int all_pages = -1;
      sqlite3_backup_step(backup, all_pages);
      sqlite3_backup_finish(backup);  // leaves the result of the step in the copy
    }
    const int code = sqlite3_errcode(copy.get());
    if (code != SQLITE_OK) raise(copy.get(), code, "copy", name());
    return copy;
  }

  Options options_;
  std::shared_ptr<sqlite3> database_;
  std::chrono::milliseconds busy_timeout_;
};

class FileEngine final : public Engine {
 public:
  FileEngine(std::string_view path, const Options& options)
      : Engine(in_quotes(path), sqlite_dialect, {}), options_(options), file_(path, options) {
    const bool existed = file_.known();
    if (existed) register_open_file();
    Patience patience(options.busy_timeout);
    patiently(patience, [&] { first_ = open_first(patience); });
    if (existed) return;
    file_.note();
    register_open_file();
  }

  ~FileEngine() noexcept override {
    try {
      // Others who closed before could not move their log into the file: our lock was there.
      if (!options_.read_only && resting_ != nullptr && file_.may_have_log() &&
          resting_->lock_out_others()) {
        resting_.reset();
        wake();
      }
    } catch (...) {  // NOLINT(bugprone-empty-catch): it waits for whoever opens the store next
    }
  }
  FileEngine(const FileEngine&) = delete;
  FileEngine& operator=(const FileEngine&) = delete;
  FileEngine(FileEngine&&) = delete;
  FileEngine& operator=(FileEngine&&) = delete;

  std::unique_ptr<Connection> connect(Access role) override {
    const std::lock_guard lock(mutex_);
    const bool lend = resting_ != nullptr && !lent_ && role == Access::read_row;
    if (immutable_) {
      return std::make_unique<ImmutableConnection>(
          file_, options_, lend ? std::exchange(resting_, nullptr) : nullptr);
    }
    if (lend) {
      auto connection =
          std::make_unique<RestingConnection>(resting_, name(), options_.busy_timeout, [this] {
            const std::lock_guard waking(mutex_);
            return open_live();
          });
      lent_ = true;
      return connection;
    }
    std::shared_ptr<sqlite3> database = open_live();
    if (role == Access::write) {
      Patience patience(options_.busy_timeout);
      patiently(patience, [&] {
        prepare_to_write(database.get(), options_.durability, name());
        keep_pages(database.get(), options_, name());
      });
      // A lost writer is replaced; the index must outlive it.
      anchor_ = database;
      copied_bytes_ = bytes_of_file(database.get());
    }
    return std::make_unique<SqliteConnection>(std::move(database), name(), options_.busy_timeout);
  }

  [[nodiscard]] Mark mark() const noexcept override {
    return live_.load(std::memory_order_acquire) ? index_.header() : Mark{};
  }
  [[nodiscard]] bool only_commit(const Connection& writer, const Mark& before,
                                 const Mark& after) const noexcept override {
    const auto& sqlite = static_cast<const SqliteConnection&>(writer);
    return WalIndex::one_commit(before, after, sqlite.committed_frames());
  }

  [[nodiscard]] std::uint64_t look() const override {
    // Without the log's index nothing else tells of commits.
    if (!mark().known) return file_.trace();
    file_.refuse_other_file();
    return 0;
  }

  bool has_neighbours() override {
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock) return true;  // a new connection may be waiting for somebody
    if (open_file_ && open_file_->is_shared()) return true;
    std::erase_if(opened_, [](const auto& other) { return other.expired(); });
    constexpr std::size_t of_checkpoint = 2;
    const std::size_t own = opened_.size() + (checkpoint_ ? of_checkpoint : 0);
    return neighbours_.any(own);
  }

  [[nodiscard]] Need need_to_tidy(bool others_write) const noexcept override {
    // Appending to the log needs longer to become durable (224 to 319 µs) than overwriting it in
    // place (134 to 156), so a durable log is kept short. Programs that write with plain SQL start
    // checkpoints of their own, unguarded, at 1,000 frames: be there before them. Otherwise the
    // longer it is the less is copied in all, but the sooner a busy writer, which fills some 5,000
    // frames while these are copied, comes to the bound and waits.
    constexpr std::uint32_t durable_frames = 1000;
    constexpr std::uint32_t normal_frames = 7500;
    constexpr std::uint32_t shared_frames = 900;
    // What a store has grown by is new and is copied once, however long it waits. So whoever fills
    // a store has it copied meanwhile, on another processor, rather than all of it at the end.
    constexpr std::uint32_t growing_frames = 1500;
    constexpr std::uint64_t largest_log = 60U << 20U;
    const std::uint32_t frames = index_.frames();
    const std::uint64_t page = index_.page_bytes();
    if (frames * page >= largest_log) return Need::urgent;
    const bool grows = index_.database_bytes() >= copied_bytes_ + growing_frames * page;
    const std::uint32_t due = others_write                              ? shared_frames
                              : options_.durability == Durability::full ? durable_frames
                              : grows                                   ? growing_frames
                                                                        : normal_frames;
    return frames >= due ? Need::soon : Need::none;
  }

  Tidied tidy(WithWriter with_writer) override {
    if (!checkpoint_) {
      Database pin = file_.open(options_);
      Database copier = file_.open(options_);
      prepare_to_write(copier.get(), options_.durability, name());
      const std::lock_guard lock(mutex_);
      checkpoint_.emplace(std::move(pin), std::move(copier), index_, options_.durability, name());
    }
    const Tidied tidied = checkpoint_->run(with_writer);
    if (tidied == Tidied::done) copied_bytes_ = index_.database_bytes();
    return tidied;
  }

  void backup(Connection& source, const std::filesystem::path& to, const Progress& progress,
              FunctionRef<void(Connection&)> accept) override {
    back_up(static_cast<SqliteConnection&>(source).handle(), name(), file_.id(), to, options_,
            progress, [&](Connection& copy) {
              // A file that is read without locks tells here that somebody wrote it meanwhile.
              source.run("SELECT 1 FROM kv_floor");
              accept(copy);
            });
  }

  Stats facts(Connection& connection) override {
    Stats stats = sizes(connection);
    struct stat facts {};
    if (stat((file_.path() + "-wal").c_str(), &facts) == 0) {
      stats.wal_bytes = static_cast<std::uint64_t>(facts.st_size);
    }
    return stats;
  }

  std::vector<std::string> defects(Connection& connection) override {
    return all_defects(connection, name());
  }

 private:
  /// Repeats what fails because another process is in the way. Throws: busy.
  void patiently(Patience& patience, FunctionRef<void()> attempt) const {
    for (;;) {
      try {
        return attempt();
      } catch (const Error& error) {
        if (error.code() != ErrorCode::busy) throw;
        if (!patience.wait()) raise_busy(patience, name());
      }
    }
  }

  void register_open_file() {
    const FileId id = file_.id();
    open_file_.emplace(id.device, id.inode);
  }

  /// The first connection recognises the file, and brings it up to date where that is needed.
  std::shared_ptr<sqlite3> open_first(Patience& patience) {
    if (file_.known()) resting_ = RestingFile::find(file_, options_.read_only);
    if (resting_ != nullptr) {
      immutable_ = options_.read_only && !resting_->held();
      return nullptr;
    }
    if (options_.read_only) return open_read_only(patience);
    std::shared_ptr<sqlite3> database = file_.open(options_, true);
    if (examine_first(database.get()) != Schema::current) {
      prepare_to_write(database.get(), options_.durability, name());
      upgrade_schema(database.get(), name(), patience);
    }
    if (!has_log_open(database.get())) use_wal(database.get(), name(), patience);
    go_live(database);
    return database;
  }

  /// A log that is there stays until it has been read: SQLite makes one where it finds none.
  std::shared_ptr<sqlite3> open_read_only(Patience& patience) {
    const VfsFile file(file_.path(), true);
    const SharedLock lock(file);
    if (file.get() != nullptr && !lock.locked()) raise_busy(patience, name());
    immutable_ = !file_.may_be_written();
    if (immutable_) {
      refuse_older(examine_schema(file_.open_immutable().get(), name()));
      return nullptr;
    }
    std::shared_ptr<sqlite3> database = file_.open(options_, true);
    refuse_older(examine_first(database.get()));
    go_live(database);
    return database;
  }

  /// A connection of its own, which may have to wait for others. The mutex is locked.
  std::shared_ptr<sqlite3> open_live() {
    std::shared_ptr<sqlite3> database = std::exchange(first_, nullptr);
    if (database == nullptr) {
      Patience patience(options_.busy_timeout);
      patiently(patience, [&] { database = live_ ? file_.open(options_) : wake(); });
    }
    resting_.reset();
    std::erase_if(opened_, [](const auto& other) { return other.expired(); });
    opened_.push_back(database);
    return database;
  }

  /// Opens the store that was read at rest. Throws: busy.
  std::shared_ptr<sqlite3> wake() {
    std::shared_ptr<sqlite3> database = file_.open(options_);
    read_once(database.get());
    go_live(database);
    return database;
  }

  /// Maps the log's index, over a connection that has read. It stays mapped as long as that is
  /// open.
  void go_live(const std::shared_ptr<sqlite3>& database) {
    index_ = WalIndex(database.get());
    if (!index_.mapped()) {
      read_once(database.get());
      index_ = WalIndex(database.get());
    }
    anchor_ = database;
    live_.store(true, std::memory_order_release);
  }

  /// A connection has a log, and the lock that keeps others from removing it, once it has read in
  /// WAL mode.
  void read_once(sqlite3* database) const {
    execute(database, "SELECT 1 FROM sqlite_master", name());
  }

  /// Closing a file that turns out to be somebody else's must neither move its log into it, nor
  /// leave one there.
  [[nodiscard]] Schema examine_first(sqlite3* database) const {
    const auto tidy_on_close = [&] {
      sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
    };
    try {
      const Schema found = examine_schema(database, name());
      tidy_on_close();
      return found;
    } catch (...) {
      if (!file_.has_log()) tidy_on_close();
      throw;
    }
  }

  void refuse_older(Schema found) const {
    if (found == Schema::current) return;
    throw Error(ErrorCode::read_only,
                name() +
                    " has an older layout, which a read-only store cannot bring up to "
                    "date; open it once without Options::read_only");
  }

  Options options_;
  DatabaseFile file_;
  bool immutable_ = false;
  WalIndex index_;
  std::atomic<bool> live_{false};                ///< `index_` is mapped.
  std::atomic<std::uint64_t> copied_bytes_{0};   ///< Of the file when its log was last copied.
  std::mutex mutex_;                             ///< Guards what `connect` and `tidy` change.
  std::shared_ptr<RestingFile> resting_;         ///< Until it is live, or was handed out.
  bool lent_ = false;                            ///< `resting_`, to the one who may use it.
  std::optional<GuardedCheckpoint> checkpoint_;  ///< Closed after all other connections.
  std::shared_ptr<sqlite3> anchor_;              ///< Keeps `index_` mapped.
  std::shared_ptr<sqlite3> first_;               ///< Opened already, for whoever connects first.
  std::vector<std::weak_ptr<sqlite3>> opened_;
  Neighbours neighbours_{file_.path()};
  std::optional<OpenFile> open_file_;
};

}  // namespace

std::unique_ptr<Engine> open_sqlite_file(std::string_view path, const Options& options) {
  return std::make_unique<FileEngine>(path, options);
}

std::unique_ptr<Engine> open_sqlite_memory(const Options& options) {
  return std::make_unique<MemoryEngine>(options);
}

}  // namespace kvstore::engine
