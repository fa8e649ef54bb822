#include <algorithm>

#include <kvstore/engine/sqlite_handle.hpp>
#include <kvstore/engine/sqlite_kept_lock.hpp>

namespace kvstore::engine {
namespace {

constexpr int write_lock = 0;
constexpr int take = SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE;
constexpr int give_back = SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE;

}  // namespace

KeptLock::KeptLock(sqlite3* database) noexcept {
  constexpr int known_version = 3;
  constexpr int with_shared_memory = 2;
  sqlite3_file* file = file_of(database);
  if (file == nullptr || file->pMethods->iVersion < with_shared_memory) return;
  file_ = file;
  original_ = file->pMethods;
  static_cast<sqlite3_io_methods&>(methods_) = *original_;
  methods_.iVersion = std::min(original_->iVersion, known_version);
  methods_.xShmLock = lock;
  methods_.owner = this;
  file->pMethods = &methods_;
}

KeptLock::~KeptLock() noexcept {
  if (file_ == nullptr) return;
  release();
  file_->pMethods = original_;
}

void KeptLock::release() noexcept {
  keeps_ = false;
  if (!kept_) return;
  kept_ = false;
  original_->xShmLock(file_, write_lock, 1, give_back);
}

int KeptLock::lock(sqlite3_file* file, int first, int count, int flags) noexcept {
  KeptLock& self = *static_cast<const Methods*>(file->pMethods)->owner;
  if (first == write_lock && count == 1) {
    if (flags == give_back && self.keeps_) {
      self.kept_ = true;
      return SQLITE_OK;
    }
    if (flags == take && self.kept_) {
      self.kept_ = false;
      return SQLITE_OK;
    }
  }
  return self.original_->xShmLock(file, first, count, flags);
}

}  // namespace kvstore::engine
