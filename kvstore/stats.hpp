#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <kvstore/entry.hpp>

namespace kvstore {

/// What a store occupies, and what it stands on.
struct Stats {
  std::string engine{};              ///< Name and version of the engine: "SQLite 3.40.1".
  int format = 0;                    ///< Version of the file format.
  std::uint64_t file_bytes = 0;      ///< Size of the database. Units: bytes.
  std::uint64_t used_bytes = 0;      ///< Of these, pages that hold data. Units: bytes.
  std::uint64_t wal_bytes = 0;       ///< Size of the write-ahead log beside it. Units: bytes.
  std::size_t cache_bytes = 0;       ///< Documents kept in memory. Units: bytes.
  std::size_t read_connections = 0;  ///< Connections that reads have opened so far.
  std::size_t snapshots = 0;         ///< Snapshots of this store that are alive.

  /// Age of the oldest of them: so long the log has kept what was written since.
  /// Absent: there is none. Units: milliseconds.
  std::optional<Duration> oldest_snapshot{};

  /// Whether this SQLite can lose commits when another program checkpoints the live file. The
  /// store's own checkpoints are guarded against it.
  /// Source: https://sqlite.org/wal.html#walresetbug (3.7.0 to 3.51.2).
  bool engine_has_wal_reset_bug = false;
};

/// One thing that `KVStore::check` or `salvage` found wrong.
struct Problem {
  std::string key{};   ///< The damaged key; empty when the damage is not of one entry.
  std::string what{};  ///< What is wrong.
};

/// What `KVStore::check` found.
struct Report {
  std::size_t entries = 0;          ///< Rows that were read, expired ones included.
  std::vector<Problem> problems{};  ///< Everything that is wrong, at most 1,000 items.

  [[nodiscard]] bool ok() const noexcept { return problems.empty(); }
};

}  // namespace kvstore
