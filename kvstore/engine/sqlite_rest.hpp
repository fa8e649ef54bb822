#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <kvstore/engine/sqlite_connection.hpp>
#include <kvstore/engine/sqlite_handle.hpp>
#include <kvstore/engine/sqlite_open.hpp>

namespace kvstore::engine {

/// A store's file with no log beside it: all that was ever committed is in the file.
///
/// The first connection in WAL mode makes the log and its index, and the last one to close removes
/// them; that is half of what it takes to open a store, read an entry and close. This one makes
/// none. It holds the lock that every open connection holds. Under it nobody else can write the
/// file but from a log, and nobody can remove a log: as long as there is none, the file is the one
/// that was locked.
/// Source: https://sqlite.org/walformat.html §2.3 and https://sqlite.org/lockingv3.html §3.
class RestingFile {
 public:
  /// Absent: the file is not at rest, or its first page does not tell that it is a current store,
  /// or this process could not make a log for it. Throws: io, when it is not the one that is known,
  /// and what opening a file throws.
  static std::optional<RestingFile> find(const DatabaseFile& file);

  /// Whether all that was read so far was what was committed. In this order: a log is missing also
  /// where the path does not lead to the file any more.
  [[nodiscard]] bool still_rests() const noexcept {
    return !file_->may_have_log() && file_->is_in_place();
  }

  [[nodiscard]] std::shared_ptr<sqlite3> share() const noexcept { return database_; }

 private:
  RestingFile(const DatabaseFile& file, Database database)
      : file_(&file), database_(std::move(database)) {}

  const DatabaseFile* file_;
  std::shared_ptr<sqlite3> database_;
};

/// Reads single rows of a file at rest. It turns into a connection to the open store when there is
/// a log, and for whatever takes longer: more rows, more moments, more than a few statements.
class RestingConnection final : public SqliteConnection {
 public:
  /// Opens a connection to the store, which has read when it is given out.
  using Open = std::function<std::shared_ptr<sqlite3>()>;

  RestingConnection(RestingFile file, std::string name, std::chrono::milliseconds busy_timeout,
                    Open open);

  using SqliteConnection::run;
  std::int64_t run(std::string_view sql, Row parameters, OnRow on_row) override;
  void run_many(std::string_view sql, NextRow next_row, OnResult on_result) override;
  void begin(Access access, std::chrono::milliseconds patience) override;
  bool keep_reading() noexcept override;

 private:
  bool run_at_rest(std::string_view sql, Row parameters, OnRow on_row);
  void wake();

  std::optional<RestingFile> file_;
  Open open_;
  int statements_ = 0;
};

}  // namespace kvstore::engine
