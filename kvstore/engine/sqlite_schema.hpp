#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <kvstore/engine/patience.hpp>

/// The file format: what is in a store's file, how it is recognised and brought up to date.
///
/// Table `kv`:
/// - `key TEXT PRIMARY KEY`: UTF-8, no NUL byte
/// - `value TEXT NOT NULL`: JSON text, UTF-8
/// - `updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP`: UTC, `YYYY-MM-DD HH:MM:SS.SSS`
/// - `expires_at TIMESTAMP`: the same form; NULL is never
/// - `revision INTEGER`: grows with every change of a key
/// - `checksum INTEGER`: XXH3-64 of the row; NULL where an outside program wrote it
///
/// An ordinary rowid table: `WITHOUT ROWID` doubles the file and triples the time at 2 KB values.
/// A program that came first may have made `kv` with the first three columns only. `kv_floor` holds
/// one number, below which no revision is given out again: whoever removes a row raises it.
/// Triggers keep programs honest that write the file with plain SQL; the library's own connections
/// do not run them. `application_id` and `user_version` name the format.
namespace kvstore::engine {

inline constexpr int sqlite_format = 1;

/// What a file holds.
enum class Schema {
  current,  ///< A store of this format: nothing to do.
  absent,   ///< Nothing: an empty database.
  older     ///< A store that lacks columns, triggers, tables or the mark of the format.
};

/// Looks without writing. Throws: not_a_store, newer_format.
Schema examine_schema(sqlite3* database, const std::string& name);

inline constexpr int usual_page_bytes = 4096;

/// Where the entries of a store are in its file.
struct StoreShape {
  std::uint32_t table = 0, keys = 0;  ///< The roots of the table and of the index of its keys.
  std::size_t usable_bytes = 0;       ///< Of each page.
  std::uint64_t file_bytes = 0;
};

/// What the first page of a file tells of a current store in WAL mode, with pages of the usual
/// size, all of which are in the file. That is much cheaper than to ask, for SQLite reads the whole
/// schema before it answers anything, and the triggers are long. Absent: it is none, or may be
/// none. The page is the newest: the log has no other.
std::optional<StoreShape> shape_of_current_store(std::string_view first_page,
                                                 std::uint64_t file_bytes);

/// Makes the schema current in one transaction; looks again under the write lock.
void upgrade_schema(sqlite3* database, const std::string& name, Patience& patience);

/// A text for everything about the schema that is not as it should be.
std::vector<std::string> schema_defects(sqlite3* database, const std::string& name);

}  // namespace kvstore::engine
