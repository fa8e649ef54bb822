#pragma once

#include <sqlite3.h>

#include <cstddef>
#include <memory>
#include <string>

namespace kvstore::engine {

/// A database file that is open as a connection has it, but without one: nothing of it was read.
/// SQLite knows of its descriptors and locks, as it must (see DatabaseFile).
/// Source: https://sqlite.org/c3ref/vfs.html and https://sqlite.org/c3ref/create_filename.html.
class VfsFile {
 public:
  /// Throws: std::bad_alloc.
  VfsFile(const std::string& path, bool read_only);
  ~VfsFile() noexcept;
  VfsFile(const VfsFile&) = delete;
  VfsFile& operator=(const VfsFile&) = delete;
  VfsFile(VfsFile&&) = delete;
  VfsFile& operator=(VfsFile&&) = delete;

  /// Absent: it could not be opened. The locks that it holds end with this object.
  [[nodiscard]] sqlite3_file* get() const noexcept { return open_ ? file() : nullptr; }

 private:
  struct FreeName {
    void operator()(const char* name) const noexcept { sqlite3_free_filename(name); }
  };

  [[nodiscard]] sqlite3_file* file() const noexcept {
    return reinterpret_cast<sqlite3_file*>(memory_.get());
  }

  std::unique_ptr<const char, FreeName> name_;    ///< In the form that SQLite wants.
  std::unique_ptr<std::max_align_t[]> memory_{};  ///< As much as the VFS needs for a file.
  bool open_ = false;
};

/// The lock that every connection to a database holds. While it is held nobody can remove a log
/// that lies beside the file, nor write the file but from a log.
/// Source: https://sqlite.org/lockingv3.html §3 and https://sqlite.org/walformat.html §2.3.
class SharedLock {
 public:
  explicit SharedLock(const VfsFile& file) noexcept
      : file_(file.get()),
        locked_(file_ != nullptr &&
                file_->pMethods->xLock(file_, SQLITE_LOCK_SHARED) == SQLITE_OK) {}
  ~SharedLock() noexcept {
    if (locked_) file_->pMethods->xUnlock(file_, SQLITE_LOCK_NONE);
  }
  SharedLock(const SharedLock&) = delete;
  SharedLock& operator=(const SharedLock&) = delete;
  SharedLock(SharedLock&&) = delete;
  SharedLock& operator=(SharedLock&&) = delete;

  /// False: somebody has the file alone just now, or it could not be opened.
  [[nodiscard]] bool locked() const noexcept { return locked_; }

 private:
  sqlite3_file* file_;
  bool locked_;
};

}  // namespace kvstore::engine
