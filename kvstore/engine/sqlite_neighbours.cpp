#include <fcntl.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>

#include <kvstore/engine/sqlite_descriptors.hpp>
#include <kvstore/engine/sqlite_neighbours.hpp>

namespace kvstore::engine {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

bool Neighbours::any(std::size_t own) {
  // A program can have thousands of descriptors.
  constexpr std::chrono::milliseconds most_often{200};
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
  index_descriptor_ = -1;
  if (canonical_.empty()) {
    std::error_code failure;
    canonical_ = std::filesystem::canonical(path_, failure).native();
    if (failure) return;
  }
  const auto is = [&](std::string_view file, std::string_view suffix) {
    return file.ends_with(suffix) && file.substr(0, file.size() - suffix.size()) == canonical_;
  };
  std::size_t connections = 0;
  int index_descriptor = -1;
  const bool all = each_descriptor([&](int number, std::string_view file) {
    if (is(file, "-wal")) ++connections;
    if (is(file, "-shm")) index_descriptor = number;
  });
  if (!all) return;
  others_here_ = connections > own;
  index_descriptor_ = index_descriptor;
}

}  // namespace kvstore::engine
