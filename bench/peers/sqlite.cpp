#include <sqlite3.h>

#include <mutex>
#include <stdexcept>

#include "../peer.hpp"

namespace bench {
namespace {

/// The same work as a good engineer writes it by hand for one program.
///
/// WAL, a connection for each thread (without a mutex of its own), one writer of the process at a
/// time (SQLite's busy handler sleeps, a mutex does not), a busy timeout for other processes,
/// statements prepared once, borrowed parameters, SQLite's own automatic checkpoints. No checksum,
/// no expiry, no revision, no check of the documents beyond what nlohmann::json does itself. The
/// table is an ordinary one, that of the programs whose files kvstore opens; without rowids small
/// documents would be read and stored faster, but large ones much slower.
/// Source: https://sqlite.org/wal.html, https://sqlite.org/pragma.html#pragma_synchronous
class SqliteSession : public Session {
 public:
  SqliteSession(const std::string& file, const Settings& settings, std::mutex& writing)
      : writing_(writing) {
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(
        file.c_str(), &raw,
        SQLITE_OPEN_NOMUTEX | (settings.read_only ? SQLITE_OPEN_READONLY
                                                  : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE),
        nullptr);
    database_.reset(raw);
    check(code);
    check(sqlite3_busy_timeout(raw, 5000));
    if (settings.read_only) return;
    execute("PRAGMA journal_mode = WAL");
    execute(settings.durability == Durability::full ? "PRAGMA synchronous = FULL"
                                                    : "PRAGMA synchronous = NORMAL");
    if (settings.cache_bytes) {
      execute("PRAGMA cache_size = -" + std::to_string(*settings.cache_bytes / 1024));
    }
    execute(
        "CREATE TABLE IF NOT EXISTS kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, "
        "updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)");
  }

  std::optional<json> get(std::string_view key) override {
    sqlite3_stmt* statement = ready(find_);
    const Use use(statement);
    bind(statement, 1, key);
    if (!step(statement)) return std::nullopt;
    return parsed(text(statement, 0));
  }

  std::vector<std::optional<json>> get_many(std::span<const std::string> keys) override {
    std::vector<std::optional<json>> documents;
    documents.reserve(keys.size());
    run(begin_read_);
    in_transaction([&] {
      for (const std::string& key : keys) documents.push_back(get(key));
    });
    return documents;
  }

  void scan(std::string_view from, std::size_t limit, const Visit& visit) override {
    sqlite3_stmt* statement = ready(page_);
    const Use use(statement);
    bind(statement, 1, from);
    check(sqlite3_bind_int64(statement, 2, static_cast<sqlite3_int64>(limit)));
    while (step(statement)) visit(text(statement, 0), parsed(text(statement, 1)));
  }

  void set(std::string_view key, const json& document) override {
    const std::string text = document.dump();
    const std::lock_guard lock(writing_);
    put(key, text);
  }

  void set_many(const Batch& batch) override {
    const std::lock_guard lock(writing_);
    run(begin_);
    in_transaction([&] {
      for (const auto& [key, document] : batch) put(key, document.dump());
    });
  }

  void update(std::string_view key, const Change& change) override {
    const std::lock_guard lock(writing_);
    run(begin_);
    in_transaction([&] {
      json document = get(key).value();
      change(document);
      put(key, document.dump());
    });
  }

 private:
  struct Close {
    void operator()(sqlite3* database) const noexcept { sqlite3_close(database); }
  };
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
  };
  struct Statement {
    const char* sql;
    std::unique_ptr<sqlite3_stmt, Finalize> prepared{};
  };

  /// Resets a statement, however its use ended.
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

  /// Does the work of a transaction that has begun, and ends it.
  template <class Work>
  void in_transaction(const Work& work) {
    try {
      work();
      run(commit_);
    } catch (...) {
      sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
      throw;
    }
  }

  void put(std::string_view key, std::string_view document) {
    sqlite3_stmt* statement = ready(put_);
    const Use use(statement);
    bind(statement, 1, key);
    bind(statement, 2, document);
    step(statement);
  }

  void check(int code) const {
    if (code != SQLITE_OK) throw std::runtime_error(sqlite3_errmsg(database_.get()));
  }

  void execute(const std::string& sql) {
    check(sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr));
  }

  /// Prepares a statement when it is first needed, so that a short program pays for what it uses.
  sqlite3_stmt* ready(Statement& statement) const {
    if (statement.prepared == nullptr) {
      sqlite3_stmt* raw = nullptr;
      check(sqlite3_prepare_v3(database_.get(), statement.sql, -1, SQLITE_PREPARE_PERSISTENT, &raw,
                               nullptr));
      statement.prepared.reset(raw);
    }
    return statement.prepared.get();
  }

  void bind(sqlite3_stmt* statement, int index, std::string_view text) const {
    check(sqlite3_bind_text(statement, index, text.data(), static_cast<int>(text.size()),
                            SQLITE_STATIC));
  }

  bool step(sqlite3_stmt* statement) const {
    const int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(database_.get()));
    return false;
  }

  void run(Statement& statement) const {
    const Use use(ready(statement));
    step(statement.prepared.get());
  }

  static std::string_view text(sqlite3_stmt* statement, int column) noexcept {
    const auto* text = sqlite3_column_text(statement, column);
    return {reinterpret_cast<const char*>(text),
            static_cast<std::size_t>(sqlite3_column_bytes(statement, column))};
  }

  std::mutex& writing_;
  std::unique_ptr<sqlite3, Close> database_;
  Statement find_{"SELECT value FROM kv WHERE key = ?"};
  Statement page_{"SELECT key, value FROM kv WHERE key >= ? ORDER BY key LIMIT ?"};
  Statement put_{
      "INSERT INTO kv (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE "
      "SET value = excluded.value, updated_at = CURRENT_TIMESTAMP"};
  Statement begin_{"BEGIN IMMEDIATE"};
  Statement begin_read_{"BEGIN"};
  Statement commit_{"COMMIT"};
};

class SqliteDatabase : public Database {
 public:
  SqliteDatabase(const std::string& directory, const Settings& settings)
      : file_(directory + "/store.db"), settings_(settings) {}

  std::unique_ptr<Session> session() override {
    return std::make_unique<SqliteSession>(file_, settings_, writing_);
  }

 private:
  std::string file_;
  Settings settings_;
  std::mutex writing_;
};

std::unique_ptr<Database> open(const std::string& directory, const Settings& settings) {
  return std::make_unique<SqliteDatabase>(directory, settings);
}

}  // namespace

Peer sqlite_peer() {
  return {.name = "sqlite", .version = sqlite3_libversion(), .many_processes = true, .open = open};
}

}  // namespace bench
