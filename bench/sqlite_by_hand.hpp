#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace bench {

using json = nlohmann::json;

/// The peer: the same work as a good engineer writes it by hand for one program and one thread.
///
/// A connection of one thread (no mutex), WAL, a busy timeout, statements prepared once, borrowed
/// parameters, SQLite's own automatic checkpoints. No checksum, no expiry, no revision, no check of
/// the documents beyond what nlohmann::json does itself.
class SqliteByHand {
 public:
  enum class Synchronous : int { normal = 1, full = 2 };

  SqliteByHand(const std::string& path, Synchronous synchronous);

  [[nodiscard]] std::optional<json> get(std::string_view key);
  void set(std::string_view key, const json& value);

  /// Calls `visit(key, value)` for at most `limit` entries, in order, from `from` on.
  template <class Visit>
  void scan(std::string_view from, std::size_t limit, Visit&& visit) {
    sqlite3_stmt* statement = ready(page_);
    const Use use(statement);
    bind(statement, 1, from);
    check(sqlite3_bind_int64(statement, 2, static_cast<sqlite3_int64>(limit)));
    while (step(statement)) {
      visit(std::string(text(statement, 0)), parsed(text(statement, 1)));
    }
  }

  /// Stores pairs of key and value in one transaction.
  template <class Items>
  void set_many(const Items& items) {
    run(ready(begin_));
    try {
      for (const auto& [key, value] : items) set(key, value);
      run(ready(commit_));
    } catch (...) {
      sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
      throw;
    }
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

  void check(int code) const;
  void execute(const char* sql);
  /// Prepares a statement when it is first needed, so that a short program pays for what it uses.
  sqlite3_stmt* ready(Statement& statement) const;
  void bind(sqlite3_stmt* statement, int index, std::string_view text) const;
  bool step(sqlite3_stmt* statement) const;
  void run(sqlite3_stmt* statement) const;
  static std::string_view text(sqlite3_stmt* statement, int column) noexcept;
  static json parsed(std::string_view text) { return json::parse(text.begin(), text.end()); }

  std::unique_ptr<sqlite3, Close> database_;
  Statement find_{"SELECT value FROM kv WHERE key = ?"};
  Statement page_{"SELECT key, value FROM kv WHERE key >= ? ORDER BY key LIMIT ?"};
  Statement put_{
      "INSERT INTO kv (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE "
      "SET value = excluded.value, updated_at = CURRENT_TIMESTAMP"};
  Statement begin_{"BEGIN IMMEDIATE"};
  Statement commit_{"COMMIT"};
};

}  // namespace bench
