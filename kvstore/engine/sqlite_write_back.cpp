#include <fcntl.h>
#include <sys/stat.h>

#include <system_error>

#include <kvstore/engine/sqlite_descriptors.hpp>
#include <kvstore/engine/sqlite_write_back.hpp>

namespace kvstore::engine {
namespace {

/// One that is open already: who opens a database file and closes it gives up all locks on it that
/// this process holds. Source: https://sqlite.org/howtocorrupt.html §2.2.
int descriptor_of(const std::filesystem::path& file) {
  int found = -1;
  std::error_code failure;
  const std::filesystem::path real = std::filesystem::canonical(file, failure);
  if (failure) return found;
  each_descriptor([&](int number, const std::filesystem::path& path) {
    if (path == real) found = number;
  });
  return found;
}

}  // namespace

void write_back(const std::filesystem::path& file) {
  constexpr off_t piece = 128 << 10;
  const int descriptor = descriptor_of(file);
  struct stat facts {};
  if (descriptor < 0 || fstat(descriptor, &facts) != 0) return;
  // One piece is on its way while the next is handed over: the disk need not wait for this thread.
  for (off_t at = 0; at < facts.st_size + piece; at += piece) {
    sync_file_range(descriptor, at, piece, SYNC_FILE_RANGE_WRITE);
    if (at > 0) sync_file_range(descriptor, at - piece, piece, SYNC_FILE_RANGE_WAIT_AFTER);
  }
}

}  // namespace kvstore::engine
