#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include <kvstore/engine/sqlite_write_back.hpp>

#include "child.hpp"
#include "failing_write_back.hpp"
#include "support.hpp"

namespace kvstore::test {
namespace {

/// What this process wrote to files and took back before it reached a disk. Units: bytes.
std::uint64_t cancelled_bytes() {
  std::ifstream counters("/proc/self/io");
  std::string name;
  std::uint64_t count = 0;
  while (counters >> name >> count) {
    if (name == "cancelled_write_bytes:") return count;
  }
  return 0;
}

/// A file of this process that is longer than one chunk, and no multiple of it.
class DirtyFile {
 public:
  explicit DirtyFile(const std::string& path)
      : descriptor_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    const std::string bytes((1U << 20U) + 12345, 'x');
    EXPECT_EQ(write(descriptor_, bytes.data(), bytes.size()), std::ssize(bytes));
  }
  ~DirtyFile() noexcept { close(descriptor_); }
  DirtyFile(const DirtyFile&) = delete;
  DirtyFile& operator=(const DirtyFile&) = delete;
  DirtyFile(DirtyFile&&) = delete;
  DirtyFile& operator=(DirtyFile&&) = delete;

  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

  /// How much of it the disk does not have yet; it is empty then.
  [[nodiscard]] std::uint64_t unwritten() const {
    const std::uint64_t before = cancelled_bytes();
    EXPECT_EQ(ftruncate(descriptor_, 0), 0);
    return cancelled_bytes() - before;
  }

 private:
  int descriptor_;
};

class WriteBack : public testing::Test {
 protected:
  /// Not everywhere does the system count what did not reach the disk, or have one at all.
  [[nodiscard]] bool is_counted_here() const {
    return DirtyFile(dir_.file("other")).unwritten() != 0;
  }

  TempDir dir_;
  std::string path_ = dir_.file("file");
  DirtyFile file_{path_};
};

TEST_F(WriteBack, LeavesNothingOfTheFileForASync) {
  if (!is_counted_here()) GTEST_SKIP() << "nothing is counted here";
  EXPECT_TRUE(engine::write_back(path_));
  EXPECT_EQ(file_.unwritten(), 0);
}

TEST_F(WriteBack, FindsTheFileThroughALink) {
  if (!is_counted_here()) GTEST_SKIP() << "nothing is counted here";
  std::filesystem::create_directory_symlink(dir_.path(), dir_.path() / "link");
  EXPECT_TRUE(engine::write_back(dir_.path() / "link" / "file"));
  EXPECT_EQ(file_.unwritten(), 0);
}

TEST_F(WriteBack, KeepsTheLocksOfThisProcessOnTheFile) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  ASSERT_EQ(fcntl(file_.descriptor(), F_SETLK, &lock), 0);
  EXPECT_TRUE(engine::write_back(path_));
  EXPECT_EQ(in_child([&]() -> std::string {
              struct flock wanted {};
              wanted.l_type = F_WRLCK;
              wanted.l_whence = SEEK_SET;
              if (fcntl(file_.descriptor(), F_GETLK, &wanted) != 0) return "cannot ask";
              return wanted.l_type == F_UNLCK ? "free" : "held";
            }),
            "held");
}

TEST_F(WriteBack, FindsTheFileAlsoBesideADescriptorThatOnlyNamesIt) {
  if (!is_counted_here()) GTEST_SKIP() << "nothing is counted here";
  const int name_only = open(path_.c_str(), O_PATH | O_CLOEXEC);
  EXPECT_TRUE(engine::write_back(path_));
  close(name_only);
  EXPECT_EQ(file_.unwritten(), 0);
}

TEST_F(WriteBack, TellsWhenTheDiskFails) {
  const FailingWriteBack disk(EIO);
  EXPECT_FALSE(engine::write_back(path_));
}

TEST_F(WriteBack, FailsForNoOtherReason) {
  const FailingWriteBack unknown_to_the_system(ENOSYS);
  EXPECT_TRUE(engine::write_back(path_));
}

TEST_F(WriteBack, OfAFileThatIsNotThereDoesNothing) {
  EXPECT_TRUE(engine::write_back(dir_.file("absent")));
}

}  // namespace
}  // namespace kvstore::test
