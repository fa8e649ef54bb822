#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kvstore::test {

/// The table that a few lines of Python made before there was a store.
inline constexpr std::string_view older_table =
    "CREATE TABLE kv(key TEXT PRIMARY KEY, value TEXT NOT NULL, "
    "updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)";

/// A program that knows nothing of kvstore: plain SQLite with its own defaults.
class Outside {
 public:
  explicit Outside(const std::string& file);

  /// Runs statements that must succeed; throws `std::runtime_error` with SQLite's words.
  void run(const std::string& sql);

  /// Runs statements and returns the primary result code of the first that fails, or SQLITE_OK.
  int try_to(const std::string& sql);

  /// Every row as its columns joined by '|'; NULL shows as "NULL".
  std::vector<std::string> rows(const std::string& sql);

  /// The only row of a result.
  std::string one(const std::string& sql);

  [[nodiscard]] sqlite3* handle() const noexcept { return database_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* database) const noexcept { sqlite3_close_v2(database); }
  };
  std::unique_ptr<sqlite3, Close> database_;
};

/// Runs statements over a connection that is closed again.
void run_outside(const std::string& file, const std::string& sql);

}  // namespace kvstore::test
