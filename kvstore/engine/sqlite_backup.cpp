#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include <kvstore/engine/fork_guard.hpp>
#include <kvstore/engine/sqlite_backup.hpp>
#include <kvstore/engine/sqlite_connection.hpp>
#include <kvstore/engine/sqlite_schema.hpp>
#include <kvstore/engine/text.hpp>

namespace kvstore::engine {
namespace {

struct FinishBackup {
  void operator()(sqlite3_backup* backup) const noexcept { sqlite3_backup_finish(backup); }
};

[[noreturn]] void refuse_open_target(const std::string& name) {
  throw Error(ErrorCode::busy, "cannot replace " + name +
                                   ": it is open, here or in another process; close it there, or "
                                   "choose another path");
}

/// Where a backup is to be: nothing, or a store that nobody has open.
class Target {
 public:
  Target(const std::filesystem::path& to, FileId self, Options options)
      : file_(to.native(), {}), options_(std::move(options)) {
    if (file_.known() && file_.id() == self) {
      throw Error(ErrorCode::misuse, "cannot back up " + file_.name() + " onto itself");
    }
    refuse_names_of_the_engine();
    options_.read_only = false;
    if (file_.known()) {
      probe();
    } else if (file_.has_log()) {
      throw Error(ErrorCode::conflict,
                  "cannot write " + file_.name() +
                      ": beside it is a -wal or -journal file of another database, which would be "
                      "taken for one of the copy; remove it, or choose another path");
    }
  }

  [[nodiscard]] const std::string& path() const noexcept { return file_.path(); }

  /// Lets `copy` take the place.
  void replace_by(StagedFile& copy) const {
    if (!file_.known()) return copy.take_place(StagedFile::Existing::kept);
    // The log of the old store must be gone, or it would be taken for one of the new store; and
    // nobody may open the old store before the new one is there.
    const Database old = file_.open(options_);
    run(old.get(), "PRAGMA journal_mode = DELETE");
    lock(old.get());
    std::string mode;
    execute(old.get(), "PRAGMA journal_mode", file_.name(),
            [&](sqlite3_stmt* row) { mode = column_text(row, 0); });
    if (mode != "delete" || file_.has_log()) refuse_open_target(file_.name());
    copy.take_place(StagedFile::Existing::replaced);
  }

 private:
  void refuse_names_of_the_engine() const {
    constexpr std::array<std::string_view, 3> suffixes = {"-wal", "-shm", "-journal"};
    if (std::ranges::any_of(suffixes, [&](auto suffix) { return path().ends_with(suffix); })) {
      throw Error(ErrorCode::misuse, "cannot write " + file_.name() +
                                         ": files of such names belong to the database beside "
                                         "them; choose another path");
    }
  }

  /// Keeps all others from writing. In an empty file an exclusive lock would begin a journal, which
  /// must not lie beside the new store; there a reader's is enough.
  void lock(sqlite3* old) const {
    std::int64_t pages = 0;
    run(old, "BEGIN; SELECT 1 FROM sqlite_master");
    execute(old, "PRAGMA page_count", file_.name(),
            [&](sqlite3_stmt* row) { pages = sqlite3_column_int64(row, 0); });
    if (pages != 0) run(old, "COMMIT; BEGIN EXCLUSIVE");
  }

  /// Looks whether it is a store that nobody has open, and leaves it as it is.
  void probe() const {
    const FileId id = file_.id();
    if (is_open_here(id.device, id.inode)) refuse_open_target(file_.name());
    const Database database = file_.open(options_, file_.has_log());
    // Who has a database in WAL mode open keeps a shared lock on it.
    run(database.get(), "PRAGMA locking_mode = EXCLUSIVE");
    run(database.get(), "BEGIN EXCLUSIVE");
    examine_schema(database.get(), file_.name());
  }

  void run(sqlite3* database, const char* sql) const {
    const int code = sqlite3_exec(database, sql, nullptr, nullptr, nullptr);
    if (is_busy(code)) refuse_open_target(file_.name());
    if (code != SQLITE_OK) raise(database, code, "replace", file_.name());
  }

  DatabaseFile file_;
  Options options_;
};

/// Whether the pages of the copy are sound, its tables those of a store, and its rows acceptable.
void verify(const StagedFile& copy, const Options& options, FunctionRef<void(Connection&)> accept) {
  const DatabaseFile file(copy.path(), {});
  SqliteConnection connection(file.open_immutable(), file.name(), options.busy_timeout);
  connection.run("PRAGMA integrity_check(1)", {}, [&](Row row) {
    const auto* text = std::get_if<std::string_view>(row.data());
    if (text != nullptr && *text == "ok") return true;
    throw Error(ErrorCode::corrupt,
                "its pages are damaged: " + std::string(text == nullptr ? "" : *text));
  });
  examine_schema(connection.handle(), file.name());
  accept(connection);
}

}  // namespace

void copy_pages(sqlite3* source, const std::string& name, const StagedFile& to,
                const Progress& progress) {
  constexpr int pages_per_step = 256;
  const Database copy = open_unshared(to.path());
  std::unique_ptr<sqlite3_backup, FinishBackup> backup(
      sqlite3_backup_init(copy.get(), "main", source, "main"));
  if (backup == nullptr) raise(copy.get(), sqlite3_errcode(copy.get()), "copy", name);
  std::uint64_t page_bytes = 0;
  execute(source, "PRAGMA page_size", name, [&](sqlite3_stmt* row) {
    page_bytes = static_cast<std::uint64_t>(sqlite3_column_int64(row, 0));
  });
  int code = SQLITE_OK;
  while (code == SQLITE_OK) {
    code = sqlite3_backup_step(backup.get(), pages_per_step);
    const auto total = static_cast<std::uint64_t>(sqlite3_backup_pagecount(backup.get()));
    const auto left = static_cast<std::uint64_t>(sqlite3_backup_remaining(backup.get()));
    if (code != SQLITE_OK && code != SQLITE_DONE) break;
    if (progress && !progress((total - left) * page_bytes, total * page_bytes)) {
      throw Error(ErrorCode::cancelled, "the copying of " + name +
                                            " was stopped by its progress "
                                            "callback; nothing was left behind");
    }
  }
  backup.reset();  // leaves the result of the last step, and its cause, in the copy
  if (code != SQLITE_DONE) raise(copy.get(), code, "copy", name);
}

void back_up(sqlite3* source, const std::string& name, FileId self, const std::filesystem::path& to,
             const Options& options, const Progress& progress,
             FunctionRef<void(Connection&)> accept) {
  const Target target(to, self, options);
  StagedFile copy(target.path(), options.file_mode);
  copy_pages(source, name, copy, progress);
  try {
    verify(copy, options, accept);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::corrupt) throw;
    throw Error(ErrorCode::corrupt, "cannot back up " + name + ": " + error.what() +
                                        "; a copy would carry this on: mend it, or rescue the "
                                        "rest with salvage()");
  }
  target.replace_by(copy);
}

}  // namespace kvstore::engine
