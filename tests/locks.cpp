#include <sys/stat.h>

#include <cstdint>
#include <fstream>

#include "locks.hpp"

namespace kvstore::test {
namespace {

/// Whether anybody holds one of the locks `first` to `last` on the index of the log.
/// Source: https://sqlite.org/walformat.html §2.3; proc(5), /proc/locks.
bool is_locked(const std::string& file, std::int64_t first, std::int64_t last) {
  struct stat facts {};
  if (stat((file + "-shm").c_str(), &facts) != 0) return false;
  const std::string inode = ":" + std::to_string(facts.st_ino);
  std::ifstream locks("/proc/locks");
  std::string number, kind, mode, type, holder, place, end;
  // The system joins locks of one process that lie side by side.
  for (std::int64_t start = 0;
       locks >> number >> kind >> mode >> type >> holder >> place >> start >> end;) {
    const bool reaches = end == "EOF" || std::stoll(end) >= first;
    if (place.ends_with(inode) && start <= last && reaches) return true;
    std::getline(locks, number);
  }
  return false;
}

}  // namespace

bool log_is_pinned(const std::string& file) {
  return is_locked(file, 124, 127);
}

/// Every connection holds this one.
bool locks_can_be_seen(const std::string& file) {
  return is_locked(file, 128, 128);
}

}  // namespace kvstore::test
