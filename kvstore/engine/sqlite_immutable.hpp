#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include <kvstore/engine/sqlite_connection.hpp>
#include <kvstore/engine/sqlite_open.hpp>
#include <kvstore/engine/sqlite_rest.hpp>

namespace kvstore::engine {

/// A connection that reads a file which this process may not write, without its -wal and -shm
/// files. It opens the file when it is first needed, and again when somebody has written it.
class ImmutableConnection final : public SqliteConnection {
 public:
  /// `resting`: what single entries may be read from instead, or null.
  ImmutableConnection(const DatabaseFile& file, const Options& options,
                      std::shared_ptr<RestingFile> resting);

  using SqliteConnection::run;
  std::int64_t run(std::string_view sql, Row parameters, OnRow on_row) override;
  void begin(Access access, std::chrono::milliseconds patience) override;
  using SqliteConnection::commit;
  void commit(AfterCommit after) override;

 private:
  void refresh();
  void refuse_changed_file() const;

  const DatabaseFile& file_;
  Options options_;
  RestingReads resting_;
  std::optional<FileStamp> stamp_{};  ///< Of the file when it was opened last.
  std::uint64_t trace_ = 0;           ///< The same; 0 where there was a log.
};

}  // namespace kvstore::engine
