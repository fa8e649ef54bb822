#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kvstore/engine/sqlite_moved.hpp>

namespace kvstore::engine {
namespace {

std::chrono::nanoseconds since_epoch(const timespec& time) noexcept {
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

/// Whether every later change of the status gets another time than `status_time`. The clock that
/// gives these times ticks every 10 ms or more often; some file systems keep whole seconds only.
bool is_settled(const timespec& status_time, const timespec& now) noexcept {
  constexpr std::chrono::milliseconds two_ticks{20};
  return status_time.tv_nsec != 0 && since_epoch(now) - since_epoch(status_time) > two_ticks;
}

}  // namespace

MovedFile::~MovedFile() noexcept {
  forget();
}

void MovedFile::forget() noexcept {
  if (descriptor_ >= 0) close(descriptor_);
  descriptor_ = -1;
  status_time_ = {};
}

bool MovedFile::has_moved(sqlite3* database) noexcept {
  constexpr std::chrono::milliseconds longest_trust{10};
  const char* path = sqlite3_db_filename(database, "main");
  if (path == nullptr || *path == '\0') return false;  // it is in memory
  // Closing a descriptor of this kind, unlike any other, leaves the locks of the process alone.
  if (descriptor_ < 0) descriptor_ = open(path, O_PATH | O_CLOEXEC);
  struct stat facts {};
  const bool known = descriptor_ >= 0 && fstat(descriptor_, &facts) == 0;
  const auto now = std::chrono::steady_clock::now();
  const bool same =
      known && status_time_.tv_nsec != 0 && since_epoch(facts.st_ctim) == since_epoch(status_time_);
  if (same && now - looked_ < longest_trust) return false;

  timespec before{};
  clock_gettime(CLOCK_REALTIME_COARSE, &before);
  int moved = 0;
  sqlite3_file_control(database, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  if (moved != 0) {
    forget();  // it may be that of the file which is there instead
    return true;
  }
  looked_ = now;
  status_time_ = known && is_settled(facts.st_ctim, before) ? facts.st_ctim : timespec{};
  return false;
}

}  // namespace kvstore::engine
