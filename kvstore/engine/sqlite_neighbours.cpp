#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <system_error>

#include <kvstore/engine/sqlite_neighbours.hpp>

namespace kvstore::engine {
namespace {

using Clock = std::chrono::steady_clock;

bool same_file(const struct stat& one, const struct stat& other) noexcept {
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

int number_of(const std::string& descriptor) noexcept {
  int number = -1;
  std::from_chars(descriptor.data(), descriptor.data() + descriptor.size(), number);
  return number;
}

}  // namespace

bool Neighbours::any(std::size_t own) {
  // A program can have thousands of descriptors.
  constexpr std::chrono::seconds most_often{1};
  constexpr int share = 100;
  const auto started = Clock::now();
  if (started >= count_again_) {
    count_connections();
    const auto ended = Clock::now();
    count_again_ = ended + std::max<Clock::duration>(most_often, share * (ended - started));
  }
  if (index_descriptor_ < 0 || connections_ > own) return true;
  constexpr off_t first_lock = 120;
  constexpr off_t locks = 9;  // eight of the protocol, and one for being there
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = first_lock;
  lock.l_len = locks;
  return fcntl(index_descriptor_, F_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

void Neighbours::count_connections() {
  namespace fs = std::filesystem;
  connections_ = 0;
  index_descriptor_ = -1;
  struct stat log {};
  struct stat index {};
  if (stat(log_.c_str(), &log) != 0 || stat(index_.c_str(), &index) != 0) return;
  std::error_code failure;
  for (fs::directory_iterator each("/proc/self/fd", failure), end; !failure && each != end;
       each.increment(failure)) {
    struct stat facts {};
    if (stat(each->path().c_str(), &facts) != 0) continue;
    if (same_file(facts, log)) ++connections_;
    if (same_file(facts, index)) index_descriptor_ = number_of(each->path().filename().native());
  }
}

}  // namespace kvstore::engine
