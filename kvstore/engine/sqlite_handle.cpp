#include <cerrno>
#include <new>

#include <kvstore/engine/sqlite_handle.hpp>

namespace kvstore::engine {
namespace {

struct Meaning {
  ErrorCode code;
  std::string_view advice;
};

Meaning meaning_of(sqlite3* database, int code) {
  switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
      return {ErrorCode::busy, "try again"};
    case SQLITE_FULL:
      return {ErrorCode::full, "make room; the store then works again as it is"};
    case SQLITE_CORRUPT:
      return {ErrorCode::corrupt, "check() names what is damaged; restore a backup"};
    case SQLITE_NOTADB:
      return {ErrorCode::not_a_store, "the file was left as it is"};
    case SQLITE_READONLY:
      return {ErrorCode::read_only,
              "the file and its directory must be writable, or Options::read_only set"};
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return {ErrorCode::io, "check the permissions"};
    case SQLITE_CANTOPEN:
      return {ErrorCode::io,
              "check the permissions of the file, of the -wal and -shm files beside it, and of the "
              "directory"};
    case SQLITE_TOOBIG:
      return {ErrorCode::invalid_value, "the value is too large for the engine"};
    case SQLITE_INTERRUPT:
      return {ErrorCode::cancelled, ""};
    case SQLITE_MISUSE:
      return {ErrorCode::misuse, ""};
    case SQLITE_CONSTRAINT:
      return {ErrorCode::conflict, ""};
    case SQLITE_IOERR: {
      const int cause = database != nullptr ? sqlite3_system_errno(database) : 0;
      if (cause == ENOSPC || cause == EDQUOT || cause == EFBIG) {
        return {ErrorCode::full, "make room; the store then works again as it is"};
      }
      return {ErrorCode::io, "the system log may tell why"};
    }
    default:
      return {ErrorCode::io, ""};
  }
}

}  // namespace

sqlite3_file* file_of(sqlite3* database) noexcept {
  sqlite3_file* file = nullptr;
  sqlite3_file_control(database, "main", SQLITE_FCNTL_FILE_POINTER, &file);
  return file != nullptr && file->pMethods != nullptr ? file : nullptr;
}

bool is_busy(int code) noexcept {
  const int primary = code & 0xFF;
  return primary == SQLITE_BUSY || primary == SQLITE_PROTOCOL;
}

void raise(sqlite3* database, int code, std::string_view doing, const std::string& name) {
  if ((code & 0xFF) == SQLITE_NOMEM) throw std::bad_alloc();
  const Meaning meaning = meaning_of(database, code);
  std::string text = "cannot " + std::string(doing) + " " + name + ": ";
  text += database != nullptr && sqlite3_extended_errcode(database) == code
              ? sqlite3_errmsg(database)
              : sqlite3_errstr(code);
  text += " (" + std::to_string(code) + ")";
  if (!meaning.advice.empty()) text += "; " + std::string(meaning.advice);
  throw Error(meaning.code, text);
}

void raise_busy(const Patience& patience, const std::string& name) {
  throw Error(ErrorCode::busy, "cannot use " + name + ": other connections held it for " +
                                   std::to_string(patience.waited().count()) +
                                   " ms; try again, or raise Options::busy_timeout");
}

void raise_moved(const std::string& name) {
  throw Error(ErrorCode::io, "cannot use " + name +
                                 ": the file was deleted, renamed or replaced while it was open; "
                                 "close the store and open it again");
}

Statement prepare(sqlite3* database, std::string_view sql, const std::string& name) {
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v3(database, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  Statement statement(raw);
  if (code != SQLITE_OK) raise(database, code, "read the tables of", name);
  return statement;
}

void execute(sqlite3* database, std::string_view sql, const std::string& name,
             FunctionRef<void(sqlite3_stmt*)> on_row) {
  const Statement statement = prepare(database, sql, name);
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(statement.get())) == SQLITE_ROW) on_row(statement.get());
  if (code != SQLITE_DONE) raise(database, code, "use", name);
}

void execute_patiently(sqlite3* database, std::string_view sql, const std::string& name,
                       Patience& patience) {
  const std::string text(sql);
  for (;;) {
    const int code = sqlite3_exec(database, text.c_str(), nullptr, nullptr, nullptr);
    if (code == SQLITE_OK) return;
    if (!is_busy(code)) raise(database, code, "use", name);
    if (!patience.wait()) raise_busy(patience, name);
  }
}

std::string_view column_text(sqlite3_stmt* statement, int column) noexcept {
  const auto* text = sqlite3_column_text(statement, column);
  if (text == nullptr) return {};
  return {reinterpret_cast<const char*>(text),
          static_cast<std::size_t>(sqlite3_column_bytes(statement, column))};
}

}  // namespace kvstore::engine
