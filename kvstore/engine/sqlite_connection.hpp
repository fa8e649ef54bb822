#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <kvstore/engine/engine.hpp>
#include <kvstore/engine/sqlite_handle.hpp>
#include <kvstore/engine/sqlite_kept_lock.hpp>
#include <kvstore/engine/sqlite_moved.hpp>

namespace kvstore::engine {

/// A connection to SQLite with its prepared statements.
class SqliteConnection : public Connection {
 public:
  SqliteConnection(std::shared_ptr<sqlite3> database, std::string name,
                   std::chrono::milliseconds busy_timeout);

  using Connection::run;
  std::int64_t run(std::string_view sql, Row parameters, OnRow on_row) override;
  void run_many(std::string_view sql, NextRow next_row, OnResult on_result) override;
  void begin(Access access, std::chrono::milliseconds patience) override;
  using Connection::commit;
  void commit(AfterCommit after) override;
  bool keep_reading() noexcept override;
  void end_read() noexcept override;
  void rollback() noexcept override;
  [[nodiscard]] State state() const noexcept override;

  [[nodiscard]] sqlite3* handle() const noexcept { return database_.get(); }

  /// How many frames the write-ahead log had right after the last commit; 0 when nothing was
  /// written in it.
  [[nodiscard]] std::uint32_t committed_frames() const noexcept { return committed_frames_; }

 protected:
  /// Without a handle: before it is replaced nothing is to be called but `state` and what ends a
  /// use, `keep_reading` included.
  SqliteConnection(std::string name, std::chrono::milliseconds busy_timeout);

  void replace_handle(std::shared_ptr<sqlite3> database);

 private:
  struct HashText {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>()(text);
    }
  };
  using Statements = std::unordered_map<std::string, Statement, HashText, std::equal_to<>>;

  sqlite3_stmt* prepared(std::string_view sql);
  void step_all(sqlite3_stmt* statement, Row parameters, OnRow on_row);
  int step_control(std::string_view sql) noexcept;
  [[noreturn]] void fail(int code);
  void install_hooks() noexcept;
  static int on_busy(void* self, int count) noexcept;
  static int on_commit(void* self, sqlite3* database, const char* schema, int frames) noexcept;

  std::shared_ptr<sqlite3> database_;
  std::optional<KeptLock> write_lock_;  ///< Of a connection that has kept it once.
  Statements statements_;
  sqlite3_stmt* kept_read_ = nullptr;  ///< A statement between two rows, or none.
  std::vector<Value> columns_;
  std::string name_;
  std::chrono::milliseconds busy_timeout_;
  Patience patience_;
  MovedFile place_;
  std::uint32_t committed_frames_ = 0;
  bool in_transaction_ = false;
  bool lost_ = false;
};

}  // namespace kvstore::engine
