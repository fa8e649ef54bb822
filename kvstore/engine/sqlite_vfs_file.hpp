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
  explicit VfsFile(const std::string& path);
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

}  // namespace kvstore::engine
