#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include <kvstore/engine/sqlite_connection.hpp>
#include <kvstore/engine/sqlite_open.hpp>
#include <kvstore/engine/sqlite_rest.hpp>
#include <kvstore/engine/sqlite_vfs_file.hpp>

namespace kvstore::engine {

/// A connection of a read-only store that had no log when it was opened: it reads the file without
/// making a log and its index. It opens the file when it is first needed, and again when somebody
/// has written it; where there is a log then, as any other connection does.
///
/// Without a log each statement, or transaction, holds SharedLock. Where there is one in the end
/// the file may have been written while it was read: a statement that has handed out nothing yet
/// reads that log, too, any other fails.
class ImmutableConnection final : public SqliteConnection {
 public:
  /// `resting`: what single entries may be read from instead, or null.
  ImmutableConnection(const DatabaseFile& file, const Options& options,
                      std::shared_ptr<RestingFile> resting);

  using SqliteConnection::run;
  std::int64_t run(std::string_view sql, Row parameters, OnRow on_row) override;
  void run_many(std::string_view sql, NextRow next_row, OnResult on_result) override;
  void begin(Access access, std::chrono::milliseconds patience) override;
  using SqliteConnection::commit;
  void commit(AfterCommit after) override;
  void rollback() noexcept override;

 private:
  class Use;
  /// How much of what a statement reads; `all`: a single row, before which nobody had written.
  enum class HandedOut : std::uint8_t { nothing, some, all };

  void reliably(FunctionRef<void()> body, const HandedOut& handed_out);
  void lock();
  void refresh();
  [[nodiscard]] bool may_be_written() const;
  [[noreturn]] void raise_written() const;

  const DatabaseFile& file_;
  Options options_;
  RestingReads resting_;
  std::optional<VfsFile> lock_file_{};
  std::optional<SharedLock> lock_{};
  bool has_log_ = false;                  ///< It reads a log, too.
  std::optional<std::uint64_t> trace_{};  ///< Of the file when it was opened last.
};

}  // namespace kvstore::engine
