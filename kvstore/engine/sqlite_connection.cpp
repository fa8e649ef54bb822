#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include <kvstore/engine/sqlite_connection.hpp>

namespace kvstore::engine {
namespace {

/// Ends the use of a statement, however its loop was left.
class Use {
 public:
  explicit Use(sqlite3_stmt* statement) noexcept : statement_(statement) {}
  ~Use() noexcept { sqlite3_reset(statement_); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;
  Use(Use&&) = delete;
  Use& operator=(Use&&) = delete;

 private:
  sqlite3_stmt* statement_;
};

int bind(sqlite3_stmt* statement, int index, const Value& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return sqlite3_bind_int64(statement, index, *number);
  }
  if (const auto* real = std::get_if<double>(&value)) {
    return sqlite3_bind_double(statement, index, *real);
  }
  if (const auto* text = std::get_if<std::string_view>(&value)) {
    const char* data = text->data() == nullptr ? "" : text->data();
    return sqlite3_bind_text64(statement, index, data, text->size(), SQLITE_STATIC, SQLITE_UTF8);
  }
  return sqlite3_bind_null(statement, index);
}

/// Over the column's value, because each function for columns takes care of threads anew. There is
/// only one at a time: else what it points to might change.
/// Source: https://sqlite.org/c3ref/column_blob.html, "unprotected sqlite3_value".
Value column(sqlite3_stmt* statement, int index) {
  sqlite3_value* value = sqlite3_column_value(statement, index);
  switch (sqlite3_value_type(value)) {
    case SQLITE_NULL:
      return std::monostate();
    case SQLITE_INTEGER:
      return std::int64_t{sqlite3_value_int64(value)};
    case SQLITE_FLOAT:
      return sqlite3_value_double(value);
    case SQLITE_TEXT: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
      if (text == nullptr) throw std::bad_alloc();
      return std::string_view(text, static_cast<std::size_t>(sqlite3_value_bytes(value)));
    }
    default:
      return Stranger();
  }
}

/// Whether a failed write of the log tells that there is no room: then its last frame is
/// incomplete, and nothing was committed. SQLite says so itself only for ENOSPC.
bool is_full(int code, int cause) noexcept {
  return code == SQLITE_IOERR_WRITE && (cause == EFBIG || cause == EDQUOT || cause == ENOSPC);
}

}  // namespace

SqliteConnection::SqliteConnection(std::shared_ptr<sqlite3> database, std::string name,
                                   std::chrono::milliseconds busy_timeout)
    : SqliteConnection(std::move(name), busy_timeout) {
  database_ = std::move(database);
  install_hooks();
}

SqliteConnection::SqliteConnection(std::string name, std::chrono::milliseconds busy_timeout)
    : name_(std::move(name)), busy_timeout_(busy_timeout), patience_(busy_timeout) {}

void SqliteConnection::replace_handle(std::shared_ptr<sqlite3> database) {
  end_read();
  statements_.clear();
  write_lock_.reset();
  database_ = std::move(database);
  install_hooks();
}

void SqliteConnection::install_hooks() noexcept {
  sqlite3_busy_handler(database_.get(), on_busy, this);
  sqlite3_wal_hook(database_.get(), on_commit, this);
}

int SqliteConnection::on_commit(void* self, sqlite3* /*database*/, const char* /*schema*/,
                                int frames) noexcept {
  static_cast<SqliteConnection*>(self)->committed_frames_ = static_cast<std::uint32_t>(frames);
  return SQLITE_OK;
}

int SqliteConnection::on_busy(void* self, int /*count*/) noexcept {
  try {
    return static_cast<SqliteConnection*>(self)->patience_.wait() ? 1 : 0;
  } catch (...) {
    return 0;
  }
}

sqlite3_stmt* SqliteConnection::prepared(std::string_view sql) {
  const auto found = statements_.find(sql);
  if (found != statements_.end()) return found->second.get();
  Statement statement = prepare(database_.get(), sql, name_);
  return statements_.emplace(std::string(sql), std::move(statement)).first->second.get();
}

void SqliteConnection::fail(int code) {
  // Disk full and I/O errors can end the transaction behind our back.
  if (in_transaction_ && sqlite3_get_autocommit(database_.get()) != 0) lost_ = true;
  if (is_busy(code)) raise_busy(patience_, name_);
  raise(database_.get(), code, "use", name_);
}

void SqliteConnection::step_all(sqlite3_stmt* statement, Row parameters, OnRow on_row) {
  const Use use(statement);
  int index = 0;
  for (const Value& value : parameters) {
    const int code = bind(statement, ++index, value);
    if (code != SQLITE_OK) fail(code);
  }
  const int count = sqlite3_column_count(statement);
  for (;;) {
    const int code = sqlite3_step(statement);
    if (code == SQLITE_DONE) return;
    if (code != SQLITE_ROW) fail(code);
    columns_.resize(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) columns_[static_cast<std::size_t>(i)] = column(statement, i);
    if (!on_row(columns_)) return;
  }
}

std::int64_t SqliteConnection::run(std::string_view sql, Row parameters, OnRow on_row) {
  if (!in_transaction_) patience_ = Patience(busy_timeout_);
  sqlite3_stmt* statement = prepared(sql);
  step_all(statement, parameters, on_row);
  // A statement that only reads leaves the count of the one before it.
  return sqlite3_stmt_readonly(statement) != 0 ? 0 : sqlite3_changes64(database_.get());
}

void SqliteConnection::run_many(std::string_view sql, NextRow next_row, OnResult on_result) {
  sqlite3_stmt* statement = prepared(sql);
  for (Row row = next_row(); !row.empty(); row = next_row()) {
    step_all(statement, row, [](Row) { return true; });
    on_result(sqlite3_changes64(database_.get()));
  }
}

int SqliteConnection::step_control(std::string_view sql) noexcept {
  try {
    sqlite3_stmt* statement = prepared(sql);
    const Use use(statement);
    const int code = sqlite3_step(statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
  } catch (const std::bad_alloc&) {
    return SQLITE_NOMEM;
  } catch (...) {
    return sqlite3_errcode(database_.get());
  }
}

void SqliteConnection::begin(Access access, std::chrono::milliseconds patience) {
  patience_ = Patience(patience);
  if (access != Access::write) end_read();
  if (access == Access::write && place_.has_moved(database_.get())) raise_moved(name_);
  prepared("ROLLBACK");  // which must not need memory when there is none
  for (;;) {
    const int code = step_control(access == Access::write ? "BEGIN IMMEDIATE" : "BEGIN");
    if (code == SQLITE_OK) break;
    if (!is_busy(code)) fail(code);
    if (kept_read_ != nullptr) {
      // Somebody else has committed since, or is writing: SQLite does not wait while it reads.
      end_read();
    } else if (!patience_.wait()) {
      raise_busy(patience_, name_);
    }
  }
  in_transaction_ = true;
  committed_frames_ = 0;
  if (access != Access::write) {
    try {
      // BEGIN alone does not fix the moment.
      SqliteConnection::run("SELECT 1 FROM sqlite_master LIMIT 1", {}, [](Row) { return true; });
    } catch (...) {
      SqliteConnection::rollback();
      throw;
    }
  }
}

/// A statement between two of its rows keeps the read mark of its transaction: of the six locks and
/// unlocks of a small write four can be left out, and both of a read.
/// Source: https://sqlite.org/walformat.html §2.3.
bool SqliteConnection::keep_reading() noexcept {
  if (database_ == nullptr) return false;
  if (kept_read_ != nullptr) return true;
  try {
    kept_read_ = prepared("SELECT 1 FROM sqlite_master");
  } catch (...) {
    return false;
  }
  if (sqlite3_step(kept_read_) == SQLITE_ROW) return true;
  end_read();
  return false;
}

void SqliteConnection::end_read() noexcept {
  if (write_lock_) write_lock_->release();
  sqlite3_reset(std::exchange(kept_read_, nullptr));
}

void SqliteConnection::commit(AfterCommit after) {
  if (after == AfterCommit::end_read) {
    end_read();
  } else if (keep_reading()) {
    if (!write_lock_) write_lock_.emplace(database_.get());
    write_lock_->keep();
  } else if (sqlite3_get_autocommit(database_.get()) != 0) {
    fail(sqlite3_extended_errcode(database_.get()));  // what went wrong has ended the transaction
  }
  errno = 0;
  int code = step_control("COMMIT");
  const int cause = errno;
  while (is_busy(code) && patience_.wait()) code = step_control("COMMIT");
  if (code == SQLITE_OK) {
    in_transaction_ = false;
    return;
  }
  if (is_full(code, cause)) {
    lost_ = true;
    throw Error(ErrorCode::full, "cannot write " + name_ + ": " + std::strerror(cause) +
                                     "; make room; the store then works again as it is");
  }
  if ((code & 0xFF) == SQLITE_IOERR) {
    const std::string cause = sqlite3_errmsg(database_.get());
    lost_ = true;
    throw Error(ErrorCode::outcome_unknown,
                "the commit to " + name_ + " failed: " + cause + " (" + std::to_string(code) +
                    "); whether it happened cannot be known: read the entries again; what "
                    "they say is settled by the next write that succeeds");
  }
  fail(code);
}

void SqliteConnection::rollback() noexcept {
  if (database_ == nullptr) return;
  end_read();
  if (sqlite3_get_autocommit(database_.get()) == 0 && step_control("ROLLBACK") != SQLITE_OK) {
    lost_ = true;
  }
  in_transaction_ = false;
}

State SqliteConnection::state() const noexcept {
  if (lost_) return State::lost;
  return in_transaction_ ? State::open : State::idle;
}

}  // namespace kvstore::engine
