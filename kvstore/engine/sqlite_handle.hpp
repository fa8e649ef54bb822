#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>
#include <string_view>

#include <kvstore/engine/function_ref.hpp>
#include <kvstore/engine/patience.hpp>
#include <kvstore/error.hpp>

namespace kvstore::engine {

struct CloseDatabase {
  void operator()(sqlite3* database) const noexcept { sqlite3_close_v2(database); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

/// SQLite's own handle of a connection's file; nullptr where it has none.
sqlite3_file* file_of(sqlite3* database) noexcept;

/// Whether a result code, extended or not, says that another connection is in the way.
bool is_busy(int code) noexcept;

/// Throws what `code` means: `std::bad_alloc`, or an `Error` that names the file.
/// `doing` completes the sentence "cannot …".
[[noreturn]] void raise(sqlite3* database, int code, std::string_view doing,
                        const std::string& name);

/// Throws: busy, with the time waited.
[[noreturn]] void raise_busy(const Patience& patience, const std::string& name);

/// Throws: io, saying that another file, or none, is at the path of an open store.
[[noreturn]] void raise_moved(const std::string& name);

Statement prepare(sqlite3* database, std::string_view sql, const std::string& name);

/// Runs `sql` for its effect, and calls `on_row` for every row.
void execute(
    sqlite3* database, std::string_view sql, const std::string& name,
    FunctionRef<void(sqlite3_stmt*)> on_row = [](sqlite3_stmt*) {});

/// Runs `sql`, as often as another connection is in the way and patience lasts.
void execute_patiently(sqlite3* database, std::string_view sql, const std::string& name,
                       Patience& patience);

/// The text in a column of the current row; empty for NULL.
std::string_view column_text(sqlite3_stmt* statement, int column) noexcept;

}  // namespace kvstore::engine
