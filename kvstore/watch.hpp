#pragma once

#include <memory>

#include <kvstore/api.hpp>
#include <kvstore/change.hpp>

namespace kvstore {

namespace internal {
class Watch;
}  // namespace internal

/// Keeps the callback of `KVStore::watch` subscribed for as long as it lives.
///
/// However it ends, a callback that is running is waited for, and none runs afterwards. Inside the
/// callback itself there is nothing to wait for: it is the last one then.
///
/// Valid until: the store is closed, which ends it. Threads: any may end it; a move is one at a
/// time, as of any object.
class KVSTORE_API Subscription {
 public:
  Subscription(Subscription&& other) noexcept = default;

  /// Ends what this object held.
  Subscription& operator=(Subscription&& other) noexcept;

  ~Subscription() noexcept;

  /// Ends it now. Ending twice is allowed, and so is ending after the store was closed.
  void cancel();

 private:
  friend class KVStore;
  explicit Subscription(std::shared_ptr<internal::Watch> watch) noexcept;
  void end() noexcept;

  std::shared_ptr<internal::Watch> watch_;
};

}  // namespace kvstore
