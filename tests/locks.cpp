#include <sys/stat.h>

#include <cstdint>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

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
  for (std::string line; std::getline(locks, line);) {
    constexpr std::size_t place = 5;
    constexpr std::size_t start = 6;
    constexpr std::size_t end = 7;
    std::istringstream words(line);
    const std::vector<std::string> word{std::istream_iterator<std::string>(words), {}};
    if (word.size() <= end || !word[place].ends_with(inode)) continue;
    // The system joins locks of one process that lie side by side.
    const bool reaches = word[end] == "EOF" || std::stoll(word[end]) >= first;
    if (reaches && std::stoll(word[start]) <= last) return true;
  }
  return false;
}

}  // namespace

bool log_is_pinned(const std::string& file) {
  return is_locked(file, 124, 127);
}

bool log_is_locked(const std::string& file) {
  return is_locked(file, 120, 120);
}

/// Every connection holds this one.
bool locks_can_be_seen(const std::string& file) {
  return is_locked(file, 128, 128);
}

}  // namespace kvstore::test
