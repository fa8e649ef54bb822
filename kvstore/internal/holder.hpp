#pragma once

#include <optional>

#include <kvstore/entry.hpp>

namespace kvstore::internal {

/// What keeps a connection of the store from one call to the next: a transaction or a snapshot.
class Holder {
 public:
  Holder() = default;
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;
  Holder(Holder&&) = delete;
  Holder& operator=(Holder&&) = delete;
  virtual ~Holder() = default;

  /// Gives the connection back, because the store closes; a call that is under way ends first.
  /// Every later call is `misuse`. Threads: any.
  virtual void let_go() noexcept = 0;

  /// The moment whose state it keeps readable. Absent: it keeps none.
  [[nodiscard]] virtual std::optional<Time> pins_since() { return std::nullopt; }
};

}  // namespace kvstore::internal
