#include <string>
#include <utility>
#include <variant>

#include <kvstore/engine/dialect.hpp>
#include <kvstore/engine/sqlite_lookup.hpp>
#include <kvstore/engine/sqlite_rest.hpp>

namespace kvstore::engine {

/// Sees to it that nobody moves the log into the file as long as it exists. The log itself may
/// grow, and start anew once all of it is in the file.
///
/// It does not keep a connection from making the log's index anew: that happens only while the
/// header of the index is not sound, and puts the same there again.
///
/// Source: https://sqlite.org/walformat.html §2.3, WAL_READ_LOCK(0).
class RestingFile::FileUntouched {
 public:
  explicit FileUntouched(sqlite3_file* file) noexcept
      : file_(file),
        locked_(file->pMethods->xShmLock(file, read_lock_0, 1,
                                         SQLITE_SHM_LOCK | SQLITE_SHM_SHARED) == SQLITE_OK) {}
  ~FileUntouched() noexcept {
    if (locked_) {
      file_->pMethods->xShmLock(file_, read_lock_0, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED);
    }
  }
  FileUntouched(const FileUntouched&) = delete;
  FileUntouched& operator=(const FileUntouched&) = delete;
  FileUntouched(FileUntouched&&) = delete;
  FileUntouched& operator=(FileUntouched&&) = delete;

  /// False: somebody does so just now.
  [[nodiscard]] bool locked() const noexcept { return locked_; }

 private:
  static constexpr int read_lock_0 = 3;

  sqlite3_file* file_;
  bool locked_;
};

std::shared_ptr<RestingFile> RestingFile::find(const DatabaseFile& file, bool read_only) {
  if (!read_only && !file.may_write()) return nullptr;
  // To look for the index of a log makes one, which a connection needs for a log of some length.
  if (read_only && file.may_have_log() && !file.has_log()) return nullptr;
  auto found = std::make_shared<RestingFile>(Found(), file, read_only);
  found->lock_.emplace(found->file_);
  if (!found->lock_->locked() || !found->recognise()) return nullptr;
  if (read_only && !found->held()) found->lock_.reset();
  return found;
}

/// Runs `body`, which reads pages. Returns whether it succeeded, and they were what was committed.
bool RestingFile::reliably(FunctionRef<bool()> body) const {
  if (held()) {
    const FileUntouched lock(file_.get());
    return lock.locked() && index_.sound() && body();
  }
  if (lock_) return body() && has_no_log();
  const SharedLock lock(file_);
  return lock.locked() && body() && has_no_log();
}

/// In this order: a log is missing also where the path does not lead to the file any more.
bool RestingFile::has_no_log() const noexcept {
  return !place_.may_have_log() && !place_.may_have_journal() && place_.is_in_place();
}

bool RestingFile::recognise() {
  sqlite3_file* file = file_.get();
  if (place_.may_have_log()) {
    index_ = WalIndex(file);
    if (!index_.mapped() || place_.may_have_journal() || !place_.is_in_place()) return false;
  }
  return reliably([&] {
    sqlite3_int64 bytes = 0;
    if (!read_page(1, first_page_) || file->pMethods->xFileSize(file, &bytes) != SQLITE_OK) {
      return false;
    }
    const auto shape = shape_of_current_store(first_page_, static_cast<std::uint64_t>(bytes));
    shape_ = shape.value_or(StoreShape());
    return shape.has_value();
  });
}

bool RestingFile::read_page(std::uint32_t number, std::string& page) const {
  if (number == 0 || (held() && index_.may_hold(number))) return false;
  page.resize(usual_page_bytes);
  const sqlite3_int64 offset = (sqlite3_int64{number} - 1) * usual_page_bytes;
  sqlite3_file* file = file_.get();
  return file->pMethods->xRead(file, page.data(), usual_page_bytes, offset) == SQLITE_OK;
}

bool RestingFile::read(std::string_view key, OnRow on_row) {
  constexpr std::size_t columns = 6;  // of the table; the first is the key
  LookedUp outcome = LookedUp::doubtful;
  FoundRow row;
  const auto read = [&](std::uint32_t number, std::string& page) {
    return read_page(number, page);
  };
  const bool known = reliably([&] {
    std::string first_page;
    if (!read_page(1, first_page) || first_page != first_page_) return false;
    outcome = look_up(read, shape_, key, row);
    return outcome != LookedUp::doubtful;
  });
  if (!known) return false;
  row.columns.resize(columns);
  if (outcome == LookedUp::found) on_row(Row(row.columns).subspan(1));
  return true;
}

bool RestingFile::lock_out_others() noexcept {
  sqlite3_file* file = file_.get();
  return file->pMethods->xLock(file, SQLITE_LOCK_EXCLUSIVE) == SQLITE_OK;
}

bool RestingReads::run(std::string_view sql, Row parameters, OnRow on_row) {
  // To open the store costs what some 30 of these reads cost more than reads of the open store,
  // which has a cache of documents.
  constexpr int most_reads = 30;
  return file_ != nullptr && sql == find_entry && ++reads_ <= most_reads &&
         file_->read(std::get<std::string_view>(parameters[0]), on_row);
}

RestingConnection::RestingConnection(std::shared_ptr<RestingFile> file, std::string name,
                                     std::chrono::milliseconds busy_timeout, Open open)
    : SqliteConnection(std::move(name), busy_timeout),
      resting_(std::move(file)),
      open_(std::move(open)) {}

std::int64_t RestingConnection::run(std::string_view sql, Row parameters, OnRow on_row) {
  if (resting_.run(sql, parameters, on_row)) return 0;
  wake();
  return SqliteConnection::run(sql, parameters, on_row);
}

void RestingConnection::run_many(std::string_view sql, NextRow next_row, OnResult on_result) {
  wake();
  SqliteConnection::run_many(sql, next_row, on_result);
}

void RestingConnection::begin(Access access, std::chrono::milliseconds patience) {
  wake();
  SqliteConnection::begin(access, patience);
}

/// The lock is held until the store's own connections hold theirs: nobody can take the file out of
/// WAL mode in between.
void RestingConnection::wake() {
  if (resting_.ended()) return;
  replace_handle(open_());
  resting_.end();
}

}  // namespace kvstore::engine
