#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

namespace kvstore::engine {

/// Tells whether anybody else has the file of a store open: another process, or another part of
/// this one. Used by one thread at a time, while a connection to the file is open.
///
/// SQLite keeps locks on the -shm file as long as a connection is open, and the system tells who
/// holds locks. Asking takes a descriptor of that file, and it has to be SQLite's own: closing any
/// other would drop the locks of this process. So it is looked for among all that are open.
/// Source: https://sqlite.org/walformat.html#wal_locks
class Neighbours {
 public:
  /// `path`: of the database.
  explicit Neighbours(std::string path) : path_(std::move(path)) {}

  /// `own`: how many connections the store itself has. In doubt there is somebody. Those of this
  /// process are counted anew five times a second.
  bool any(std::size_t own);

 private:
  void look_at_descriptors(std::size_t own);

  std::string path_;
  std::string canonical_{};    ///< As links to descriptors tell it; empty: not known yet.
  bool others_here_ = false;   ///< In this process.
  int index_descriptor_ = -1;  ///< SQLite's; absent: -1.
  std::chrono::steady_clock::time_point look_again_{};
};

}  // namespace kvstore::engine
