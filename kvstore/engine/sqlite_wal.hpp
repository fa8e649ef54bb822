#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include <kvstore/engine/engine.hpp>
#include <kvstore/engine/sqlite_handle.hpp>

namespace kvstore::engine {

/// Whether a connection that has read reads in WAL mode: otherwise a journal is open only while
/// somebody writes. Asking for the log's index would make one.
bool has_log_open(sqlite3* database) noexcept;

/// SQLite's index of the write-ahead log: shared memory that changes with every commit of anybody,
/// so that looking costs no system call.
/// Source: https://sqlite.org/walformat.html §2.1 (3.40).
class WalIndex {
 public:
  WalIndex() = default;

  /// Maps the index over a connection in WAL mode that has read already. It stays valid as long as
  /// any connection of this process to the same file is open.
  explicit WalIndex(sqlite3* database) noexcept;

  /// The same of a file without a connection, as long as that is open. What is there may be of a
  /// crash; where nobody has made an index yet, none is mapped.
  explicit WalIndex(sqlite3_file* file) noexcept;

  [[nodiscard]] bool mapped() const noexcept { return words_ != nullptr; }

  /// The first copy of the header, which a writer brings up to date last: a commit that anybody can
  /// see is in it. Not known where nothing is mapped.
  [[nodiscard]] Mark header() const noexcept;

  /// Whether the header is whole, as SQLite tells; else it is to be made anew, or is being written.
  /// Source: https://sqlite.org/walformat.html §2.1.
  [[nodiscard]] bool sound() const noexcept;

  /// Whether exactly one commit, which left this many frames in the log, lies between two headers.
  static bool one_commit(const Mark& before, const Mark& after, std::uint32_t frames) noexcept;

  /// Units: bytes.
  [[nodiscard]] std::uint32_t page_bytes() const noexcept;

  /// How large the database is after the last commit that is in the log; 0: none was.
  [[nodiscard]] std::uint64_t database_bytes() const noexcept {
    return std::uint64_t{word(5)} * page_bytes();
  }

  /// Frames in the log, and how many of them are already in the database file.
  [[nodiscard]] std::uint32_t frames() const noexcept { return word(4); }
  [[nodiscard]] std::uint32_t backfilled() const noexcept { return word(24); }

  /// Whether the log has a page in a state that the file may not have yet; in doubt, yes. It is an
  /// answer only if the header is the same after it as before, or the lock of those who read the
  /// file alone is held: then nothing is moved into the file, the log cannot start anew before all
  /// of it is there, and what is not told here is what was committed when the lock was taken.
  /// Source: https://sqlite.org/walformat.html §2.2.
  [[nodiscard]] bool may_hold(std::uint32_t page) const noexcept;

 private:
  [[nodiscard]] std::uint32_t word(std::size_t index) const noexcept;

  const std::uint32_t* words_ = nullptr;
};

/// Moves the write-ahead log into the database file, beside readers and writers.
///
/// SQLite 3.7.0 to 3.51.2 can lose committed writes when a PASSIVE checkpoint, which is what every
/// automatic checkpoint is, runs while a writer resets the log (https://sqlite.org/wal.html,
/// "WAL-reset bug"). Here no writer can: either a reader of ours pins the log, or our own writer
/// holds the write lock.
class GuardedCheckpoint {
 public:
  /// `pin` and `copier` are connections for this purpose only, and the last ones to be closed: so
  /// the closing of no other moves a log that is to be kept.
  /// `durability`: of the writers.
  GuardedCheckpoint(Database pin, Database copier, WalIndex index, Durability durability,
                    std::string name);

  /// Never TRUNCATE: that would change the header that caches are validated by.
  Tidied run(WithWriter with_writer);

 private:
  Tidied attempt(WithWriter with_writer);
  bool pin_log(WithWriter with_writer);
  void unpin() noexcept;
  enum class Copied : std::uint8_t { all, some, too_slow };
  Copied copy_passively(std::chrono::milliseconds limit);
  [[nodiscard]] const char* path() const noexcept;
  /// What the disk has by now, a sync need not hand over; the writers feel that less.
  void prepare_sync(const char* file);
  /// Makes what was copied durable while writers go on. SQLite itself does that when it has copied
  /// all, which is mostly in the end, while they wait.
  void sync_file();
  void restart_log();
  [[noreturn]] void fail(int code);
  [[noreturn]] void refuse_doubtful() const;

  Database pin_, copier_;
  WalIndex index_;
  Durability durability_;
  std::string name_;
  std::chrono::milliseconds budget_;
  /// A sync failed. The system tells of lost pages once and takes them for clean from then on, so
  /// another sync would prove nothing: the log is kept until an opening copies all of it anew.
  bool doubtful_ = false;
};

}  // namespace kvstore::engine
