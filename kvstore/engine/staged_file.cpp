#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include <kvstore/engine/staged_file.hpp>
#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>

namespace kvstore::engine {
namespace {

ErrorCode code_of(int cause) noexcept {
  switch (cause) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ErrorCode::full;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::read_only;
    default:
      return ErrorCode::io;
  }
}

/// Renames, unless there is a file of that name. Returns 0, or the cause in `errno`.
int rename_without_replacing(const char* from, const char* to) noexcept {
  if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL) return errno;
  // This file system cannot do it in one step.
  struct stat facts {};
  if (stat(to, &facts) == 0) return EEXIST;
  return rename(from, to) == 0 ? 0 : errno;
}

}  // namespace

StagedFile::StagedFile(std::string target, std::filesystem::perms mode)
    : target_(std::move(target)), path_(target_ + ".kvstore-part"), mode_(mode) {
  try {
    // Whoever has written it until now may rename it between the opening and the lock.
    do {
      open();
    } while (!is_at_path());
    if (ftruncate(descriptor_, 0) != 0) fail(errno);
  } catch (...) {
    if (descriptor_ >= 0) close(descriptor_);
    throw;
  }
}

void StagedFile::open() {
  if (descriptor_ >= 0) close(descriptor_);
  constexpr mode_t own = S_IRUSR | S_IWUSR;
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, own);
  if (descriptor_ < 0) fail(errno);
  if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) fail(errno);
    throw Error(ErrorCode::busy, "cannot write " + in_quotes(target_) +
                                     ": another call is writing it just now; try again");
  }
}

bool StagedFile::is_at_path() const {
  struct stat opened {};
  struct stat found {};
  if (fstat(descriptor_, &opened) != 0) fail(errno);
  if (!S_ISREG(opened.st_mode) || opened.st_nlink > 1) {
    throw Error(ErrorCode::conflict, "cannot write " + in_quotes(target_) + ": " +
                                         in_quotes(path_) +
                                         " is in the way, and is no plain file; remove it");
  }
  return stat(path_.c_str(), &found) == 0 && found.st_dev == opened.st_dev &&
         found.st_ino == opened.st_ino;
}

StagedFile::~StagedFile() noexcept {
  if (!in_place_) {
    // With what SQLite could not take away, where it was a store.
    for (const char* suffix : {"", "-wal", "-shm", "-journal"}) unlink((path_ + suffix).c_str());
  }
  close(descriptor_);
}

void StagedFile::take_place(Existing existing) {
  const auto bits = static_cast<mode_t>(mode_ & std::filesystem::perms(0777));
  if (fchmod(descriptor_, bits) != 0 || fsync(descriptor_) != 0) fail(errno);
  const int cause = existing == Existing::replaced
                        ? (rename(path_.c_str(), target_.c_str()) == 0 ? 0 : errno)
                        : rename_without_replacing(path_.c_str(), target_.c_str());
  if (cause == EEXIST) {
    throw Error(ErrorCode::conflict, "cannot write " + in_quotes(target_) +
                                         ": there is a file already; remove it, or choose "
                                         "another path");
  }
  if (cause != 0) fail(cause);
  in_place_ = true;
  sync_directory();
}

void StagedFile::sync_directory() const {
  const std::string directory = std::filesystem::path(target_).parent_path().native();
  const int descriptor = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail(errno);
  // Some file systems cannot, and need not.
  const int cause = fsync(descriptor) == 0 || errno == EINVAL ? 0 : errno;
  close(descriptor);
  if (cause != 0) fail(cause);
}

void StagedFile::fail(int cause) const {
  throw Error(code_of(cause), "cannot write " + in_quotes(target_) + ": " + std::strerror(cause) +
                                  (code_of(cause) == ErrorCode::full
                                       ? "; make room and try again"
                                       : "; check the path, and the permissions of its directory"));
}

}  // namespace kvstore::engine
