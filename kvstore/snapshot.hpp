#pragma once

#include <memory>

#include <kvstore/api.hpp>
#include <kvstore/reader.hpp>

namespace kvstore {

namespace internal {
class OpenSnapshot;
}  // namespace internal

/// One moment of a store, for many reads that must fit together. Nothing written later is seen, and
/// nothing expires in it.
///
/// The store is written meanwhile, and its write-ahead log keeps all of that until the snapshot is
/// gone: do not keep one longer than the work at hand. `KVStore::stats` shows the age of the
/// oldest. Of a store in memory it is a copy.
///
/// Valid until: the store is closed. What was made from it ends with it. Threads: one at a time.
class KVSTORE_API Snapshot : public Reader {
 public:
  Snapshot(Snapshot&&) noexcept = default;
  Snapshot& operator=(Snapshot&& other) noexcept;
  ~Snapshot() noexcept;

 private:
  friend class KVStore;
  explicit Snapshot(std::shared_ptr<internal::OpenSnapshot> session) noexcept;
  void end() noexcept;
};

}  // namespace kvstore
