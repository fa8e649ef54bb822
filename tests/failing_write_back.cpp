#include "failing_write_back.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace kvstore::test {
namespace {

std::atomic<int> failure{0};

}  // namespace

FailingWriteBack::FailingWriteBack(int cause) noexcept {
  failure = cause;
}

FailingWriteBack::~FailingWriteBack() noexcept {
  failure = 0;
}

}  // namespace kvstore::test

/// Takes the place of the C library's, also for the library under test.
extern "C" int sync_file_range(int descriptor, off64_t offset, off64_t bytes, unsigned flags) {
  if (kvstore::test::failure != 0) {
    errno = kvstore::test::failure;
    return -1;
  }
  return static_cast<int>(syscall(SYS_sync_file_range, descriptor, offset, bytes, flags));
}
