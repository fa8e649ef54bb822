#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <kvstore/engine/sqlite_handle.hpp>
#include <kvstore/options.hpp>

namespace kvstore::engine {

/// Throws: not_a_store. `why`: what tells that it is none.
[[noreturn]] void refuse_as_store(const std::string& name, const std::string& why);

/// What tells a file from all others that exist now.
struct FileId {
  std::uint64_t device = 0, inode = 0;
  bool operator==(const FileId&) const = default;
};

/// A place where a store is, or can be.
///
/// The file is never opened or closed other than by SQLite: closing any descriptor of it drops all
/// locks that SQLite holds on it in this process, and acknowledged writes get lost. The exception
/// is a descriptor for its status alone (see MovedFile), whose closing drops none.
///
/// Source: fs/open.c of Linux, filp_flush, which leaves out FMODE_PATH.
class DatabaseFile {
 public:
  /// Resolves links and refuses what cannot be a store, without touching it.
  /// Throws: misuse, not_found, not_a_store, unsupported, io.
  DatabaseFile(std::string_view location, const Options& options);

  /// Absolute, and of the file itself where the location is a link.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  /// What error messages call it.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// Whether the file is known: it was there when this object was made, or was noted since.
  [[nodiscard]] bool known() const noexcept { return found_.has_value(); }

  /// Notes which file is there now; from here on no other one is opened, and none created.
  void note();

  [[nodiscard]] FileId id() const;

  /// Whether a -wal or -journal file that is not empty lies beside it.
  [[nodiscard]] bool has_log() const;

  /// Whether the path leads to the file that is known.
  [[nodiscard]] bool is_in_place() const noexcept;

  /// Whether a -wal file lies beside it, even an empty one, or a -journal file; in doubt, yes.
  [[nodiscard]] bool may_have_log() const noexcept;
  [[nodiscard]] bool may_have_journal() const noexcept;

  /// Whether somebody may have written it while SharedLock was held, from before this was false: a
  /// log lies beside it that is not empty, or one with its index, which whoever writes it makes; or
  /// the path leads to another file.
  [[nodiscard]] bool may_be_written() const;

  /// Whether the system lets this process write the file, and make others beside it.
  [[nodiscard]] bool may_write() const noexcept;

  /// A number that tells whether the file or a log of it was written or replaced. For a second
  /// after a write it is another one at every look: the clock of a file system may be too coarse to
  /// tell two writes apart. Throws: io, when there is no file.
  [[nodiscard]] std::uint64_t trace() const;

  /// Throws: io, when the file that is there, if any, is not the one that is known.
  void refuse_other_file() const;

  /// Opens a hardened connection to a file that exists, or creates it with `Options::file_mode`. It
  /// has not looked into the file: a lock, or what cannot be read, is yet to be told.
  /// Throws: io, when it is not the one that is known.
  /// `keep_log`: closing does not move the write-ahead log into the file.
  [[nodiscard]] Database open(const Options& options, bool keep_log = false) const;

  /// Opens for reading a file that nobody writes, without its -wal and -shm files.
  [[nodiscard]] Database open_immutable() const;

 private:
  void look(const Options& options);

  std::string path_, directory_, log_, index_of_log_, journal_, name_;
  std::optional<FileId> found_{};
};

/// Opens a file that nobody else knows, to be filled by a copy: without locks, and with nothing to
/// roll back to.
Database open_unshared(const std::string& path);

/// Opens a hardened connection to a database in memory.
Database open_memory();

/// What a connection needs that writes or copies the log into the file, and nobody else: how it
/// syncs, how long a log it leaves, that it erases what it frees, and that it looks at each cell of
/// a page that it reads. Not for those that only read: the settings take 52,000 instructions, the
/// look at each cell 5,500 of the 26,900 of reading an entry whose pages are not in SQLite's cache,
/// and the checksum of the entry tells damage, too. One of them may be the last to close, and copy
/// what is left of the log into the file; SQLite's default, FULL, syncs that.
void prepare_to_write(sqlite3* database, Durability durability, const std::string& name);

/// Has a connection that writes keep more pages than SQLite's 2 MB, up to `Options::cache_bytes`: a
/// transaction that changes more of them than it keeps writes some to the log twice.
void keep_pages(sqlite3* database, const Options& options, const std::string& name);

/// Brings the file to WAL mode. Throws: busy, unsupported.
void use_wal(sqlite3* database, const std::string& name, Patience& patience);

}  // namespace kvstore::engine
