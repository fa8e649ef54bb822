#include "sqlite_by_hand.hpp"

namespace bench {

SqliteByHand::SqliteByHand(const std::string& path, Synchronous synchronous) {
  sqlite3* raw = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &raw,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  database_.reset(raw);
  check(code);
  check(sqlite3_busy_timeout(raw, 5000));
  execute("PRAGMA journal_mode = WAL");
  execute(synchronous == Synchronous::full ? "PRAGMA synchronous = FULL"
                                           : "PRAGMA synchronous = NORMAL");
  execute(
      "CREATE TABLE IF NOT EXISTS kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, "
      "updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)");
}

std::optional<json> SqliteByHand::get(std::string_view key) {
  sqlite3_stmt* statement = ready(find_);
  const Use use(statement);
  bind(statement, 1, key);
  if (!step(statement)) return std::nullopt;
  return parsed(text(statement, 0));
}

void SqliteByHand::set(std::string_view key, const json& value) {
  const std::string document = value.dump();
  sqlite3_stmt* statement = ready(put_);
  const Use use(statement);
  bind(statement, 1, key);
  bind(statement, 2, document);
  step(statement);
}

void SqliteByHand::check(int code) const {
  if (code != SQLITE_OK) throw std::runtime_error(sqlite3_errmsg(database_.get()));
}

void SqliteByHand::execute(const char* sql) {
  check(sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr));
}

sqlite3_stmt* SqliteByHand::ready(Statement& statement) const {
  if (statement.prepared == nullptr) {
    sqlite3_stmt* raw = nullptr;
    check(sqlite3_prepare_v3(database_.get(), statement.sql, -1, SQLITE_PREPARE_PERSISTENT, &raw,
                             nullptr));
    statement.prepared.reset(raw);
  }
  return statement.prepared.get();
}

void SqliteByHand::bind(sqlite3_stmt* statement, int index, std::string_view text) const {
  check(sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()),
                          SQLITE_STATIC));
}

bool SqliteByHand::step(sqlite3_stmt* statement) const {
  const int code = sqlite3_step(statement);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(database_.get()));
  return false;
}

void SqliteByHand::run(sqlite3_stmt* statement) const {
  const Use use(statement);
  step(statement);
}

std::string_view SqliteByHand::text(sqlite3_stmt* statement, int column) noexcept {
  const auto* text = sqlite3_column_text(statement, column);
  return {reinterpret_cast<const char*>(text),
          static_cast<std::size_t>(sqlite3_column_bytes(statement, column))};
}

}  // namespace bench
