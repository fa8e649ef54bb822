#include <fcntl.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include <kvstore/engine/sqlite_descriptors.hpp>
#include <kvstore/engine/sqlite_neighbours.hpp>

namespace kvstore::engine {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

bool Neighbours::any(std::size_t own) {
  // A program can have thousands of descriptors.
  constexpr std::chrono::milliseconds most_often{50};
  constexpr int share = 20;
  const auto started = Clock::now();
  if (started >= look_again_) {
    look_at_descriptors(own);
    const auto ended = Clock::now();
    look_again_ = ended + std::max<Clock::duration>(most_often, share * (ended - started));
  }
  if (index_descriptor_ < 0 || others_here_) return true;
  constexpr off_t first_lock = 120;
  constexpr off_t locks = 9;  // eight of the protocol, and one for being there
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = first_lock;
  lock.l_len = locks;
  return fcntl(index_descriptor_, F_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

void Neighbours::look_at_descriptors(std::size_t own) {
  namespace fs = std::filesystem;
  index_descriptor_ = -1;
  std::error_code failure;
  const fs::path log = fs::canonical(log_, failure);
  if (failure) return;
  const fs::path index = fs::canonical(index_, failure);
  if (failure) return;
  std::size_t connections = 0;
  int index_descriptor = -1;
  const bool all = each_descriptor([&](int number, const fs::path& file) {
    if (file == log) ++connections;
    if (file == index) index_descriptor = number;
  });
  if (!all) return;
  others_here_ = connections > own;
  index_descriptor_ = index_descriptor;
}

}  // namespace kvstore::engine
