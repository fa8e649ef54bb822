#include <chrono>
#include <filesystem>

#include <kvstore/engine/sqlite_open.hpp>

#include "support.hpp"

namespace kvstore::engine {
namespace {

namespace fs = std::filesystem;

/// No database, but long enough to be taken for one; nobody opens it.
class FileTrace : public testing::Test {
 protected:
  FileTrace() {
    test::write_bytes(path_, std::string(1024, 'x'));
    age(path_);
  }

  /// Makes a file look as if it was written long ago.
  static void age(const std::string& path) {
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(1));
  }

  [[nodiscard]] DatabaseFile file() const { return {path_, Options{}}; }

  test::TempDir dir_;
  std::string path_ = dir_.file("store.db");
};

TEST_F(FileTrace, StaysTheSameWhileNobodyWrites) {
  const DatabaseFile watched = file();
  EXPECT_EQ(watched.trace(), watched.trace());
}

TEST_F(FileTrace, ChangesWithTheFileAndItsLog) {
  const DatabaseFile watched = file();
  std::uint64_t before = watched.trace();
  for (const char* suffix : {"", "-wal", "-journal"}) {
    SCOPED_TRACE(suffix);
    test::write_bytes(path_ + suffix, std::string(2048, 'y'));
    age(path_ + suffix);
    EXPECT_NE(watched.trace(), before);
    before = watched.trace();
  }
}

TEST_F(FileTrace, IsAnotherOneAtEveryLookRightAfterAWrite) {
  const DatabaseFile watched = file();
  test::write_bytes(path_ + "-wal", "frames");
  EXPECT_NE(watched.trace(), watched.trace());
}

TEST_F(FileTrace, ChangesWhenTheFileIsReplacedByOneOfTheSameSizeAndTime) {
  const DatabaseFile watched = file();
  const std::uint64_t before = watched.trace();
  const std::string other = dir_.file("other.db");
  test::write_bytes(other, std::string(1024, 'z'));
  fs::last_write_time(other, fs::last_write_time(path_));
  fs::rename(other, path_);
  EXPECT_NE(watched.trace(), before);
}

TEST_F(FileTrace, NeedsAFile) {
  const DatabaseFile watched = file();
  fs::remove(path_);
  EXPECT_KV_ERROR(watched.trace(), ErrorCode::io, "deleted");
}

}  // namespace
}  // namespace kvstore::engine
