#pragma once

#include <sqlite3.h>

#include <chrono>
#include <ctime>

namespace kvstore::engine {

/// Tells whether the file of a connection was deleted, renamed or replaced.
///
/// The answer is in the path, and a walk along a path of five names takes 1.8 µs. What happens to
/// the file itself also changes the time of its status, which takes 0.5 µs to read; as long as that
/// stays, the path is looked at every 10 ms only: something may have happened to a directory above
/// it, and not every file system keeps that time.
class MovedFile {
 public:
  MovedFile() noexcept = default;
  ~MovedFile() noexcept;
  MovedFile(const MovedFile&) = delete;
  MovedFile& operator=(const MovedFile&) = delete;
  MovedFile(MovedFile&&) = delete;
  MovedFile& operator=(MovedFile&&) = delete;

  /// Asked of the same connection each time.
  bool has_moved(sqlite3* database) noexcept;

 private:
  void forget() noexcept;

  int descriptor_ = -1;     ///< For the status only; it has no part in locks.
  timespec status_time_{};  ///< With which it was at its place. Zero: look there.
  std::chrono::steady_clock::time_point looked_{};
};

}  // namespace kvstore::engine
