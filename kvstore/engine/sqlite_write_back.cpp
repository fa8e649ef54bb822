#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
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
  each_descriptor([&](int number, std::string_view path) {
    if (path == real.native() && (fcntl(number, F_GETFL) & O_PATH) == 0) found = number;
  });
  return found;
}

/// Whether pages may be lost: not where the system cannot do this at all.
bool has_failed(int result) noexcept {
  return result != 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT);
}

}  // namespace

bool write_back(const std::filesystem::path& file) {
  constexpr off_t chunk = 128 << 10;
  constexpr off_t largest = 64 << 20;
  const int descriptor = descriptor_of(file);
  // Of the path: a descriptor of another connection may be closed by now. Its number is that of
  // another file then, some of which is written back, too, and no harm is done.
  struct stat facts {};
  if (descriptor < 0 || stat(file.c_str(), &facts) != 0 || facts.st_size > largest) return true;
  // One chunk is on its way while the next is handed over: the disk need not wait for this thread.
  for (off_t at = 0; at < facts.st_size + chunk; at += chunk) {
    if (has_failed(sync_file_range(descriptor, at, chunk, SYNC_FILE_RANGE_WRITE))) return false;
    if (at == 0) continue;
    const int waited = sync_file_range(descriptor, at - chunk, chunk, SYNC_FILE_RANGE_WAIT_AFTER);
    if (has_failed(waited)) return false;
  }
  return true;
}

}  // namespace kvstore::engine
