#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <kvstore/engine/sqlite_connection.hpp>
#include <kvstore/engine/sqlite_handle.hpp>
#include <kvstore/engine/sqlite_open.hpp>
#include <kvstore/engine/sqlite_schema.hpp>
#include <kvstore/engine/sqlite_vfs_file.hpp>
#include <kvstore/engine/sqlite_wal.hpp>

namespace kvstore::engine {

/// A store's file whose entries are read without a connection, as long as what was committed of
/// them is in the file. Used by one thread at a time.
///
/// To open a store takes much longer than to read an entry: SQLite makes the log and its index, or
/// reads them, and then reads the schema. A short program needs none of that. Under SharedLock the
/// file is what was committed as long as there is no log. Where somebody else has the store open
/// there is one; then this object takes the lock of those who read the file alone for each entry,
/// under which nothing is moved into the file, and believes the pages of which the log has no newer
/// state.
///
/// It keeps SharedLock from one read to the next, except where a store is `read_only` and there
/// is no log: who writes it then moves the log into the file when he closes it, as this process
/// could not.
/// Source: https://sqlite.org/walformat.html §2.3.
class RestingFile {
  /// Only `find` makes one.
  struct Found {
    explicit Found() = default;
  };

 public:
  /// Absent: there is a log and nobody who keeps its index, or it has another first page, or that
  /// does not tell that this is a current store, or the path leads to another file, or this process
  /// could not make a log for it; of one that is `read_only` that matters not, but that the log is
  /// not empty.
  static std::shared_ptr<RestingFile> find(const DatabaseFile& file, bool read_only);

  RestingFile(Found /*by*/, const DatabaseFile& file, bool read_only)
      : place_(file), file_(file.path(), read_only) {}

  /// Hands out what the statement `find_entry` reads, when it is known to be what was committed.
  /// Returns whether it is known.
  bool read(std::string_view key, OnRow on_row);

  /// Whether somebody else had the store open when it was found: there is a log.
  [[nodiscard]] bool held() const noexcept { return index_.mapped(); }

  /// Whether nobody else has the file open, nor can open it as long as this object exists.
  [[nodiscard]] bool lock_out_others() noexcept;

 private:
  class FileUntouched;

  bool recognise();
  bool reliably(FunctionRef<bool()> body) const;
  [[nodiscard]] bool has_no_log() const noexcept;
  bool read_page(std::uint32_t number, std::string& page) const;

  const DatabaseFile& place_;
  VfsFile file_;
  std::optional<SharedLock> lock_{};  ///< Absent: it is taken for each read.
  WalIndex index_;                    ///< Mapped where there is a log.
  std::string first_page_;            ///< When the store was recognised.
  StoreShape shape_;
};

/// The first reads of single entries from a resting file.
class RestingReads {
 public:
  /// `file`: may be null.
  explicit RestingReads(std::shared_ptr<RestingFile> file) : file_(std::move(file)) {}

  /// Does what a statement asks for, if it is one of these reads. Returns whether it did.
  bool run(std::string_view sql, Row parameters, OnRow on_row);

  [[nodiscard]] bool ended() const noexcept { return file_ == nullptr; }
  void end() noexcept { file_.reset(); }

 private:
  std::shared_ptr<RestingFile> file_;
  int reads_ = 0;
};

/// Reads single entries of the file of a store alone. It turns into a connection to the open store
/// where that does not do, and for all else.
class RestingConnection final : public SqliteConnection {
 public:
  /// Opens a connection to the store, which has read when it is given out.
  using Open = std::function<std::shared_ptr<sqlite3>()>;

  RestingConnection(std::shared_ptr<RestingFile> file, std::string name,
                    std::chrono::milliseconds busy_timeout, Open open);

  using SqliteConnection::run;
  std::int64_t run(std::string_view sql, Row parameters, OnRow on_row) override;
  void run_many(std::string_view sql, NextRow next_row, OnResult on_result) override;
  void begin(Access access, std::chrono::milliseconds patience) override;

 private:
  void wake();

  RestingReads resting_;
  Open open_;
};

}  // namespace kvstore::engine
