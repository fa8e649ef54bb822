#include <new>

#include <kvstore/engine/sqlite_vfs_file.hpp>

namespace kvstore::engine {

VfsFile::VfsFile(const std::string& path, bool read_only)
    : name_(sqlite3_create_filename(path.c_str(), (path + "-journal").c_str(),
                                    (path + "-wal").c_str(), 0, nullptr)) {
  if (name_ == nullptr) throw std::bad_alloc();
  if (sqlite3_initialize() != SQLITE_OK) return;
  sqlite3_vfs* vfs = sqlite3_vfs_find(nullptr);
  if (vfs == nullptr) return;
  const auto bytes = static_cast<std::size_t>(vfs->szOsFile);
  memory_ = std::make_unique<std::max_align_t[]>(bytes / sizeof(std::max_align_t) + 1);
  const int flags =
      SQLITE_OPEN_MAIN_DB | (read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
  open_ = vfs->xOpen(vfs, name_.get(), file(), flags, nullptr) == SQLITE_OK;
}

VfsFile::~VfsFile() noexcept {
  // One that could not be opened may be to close all the same.
  if (memory_ == nullptr || file()->pMethods == nullptr) return;
  constexpr int with_shared_memory = 2;
  constexpr int leave_it_there = 0;
  if (open_ && file()->pMethods->iVersion >= with_shared_memory) {
    file()->pMethods->xShmUnmap(file(), leave_it_there);
  }
  file()->pMethods->xClose(file());
}

}  // namespace kvstore::engine
