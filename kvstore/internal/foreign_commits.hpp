#pragma once

#include <kvstore/engine/engine.hpp>

namespace kvstore::internal {

/// Tells the commits of others from our own, by the engine's mark. In doubt a commit is another's.
class ForeignCommits {
 public:
  /// Whether there is one that is not known of.
  [[nodiscard]] bool any(const engine::Mark& mark) const noexcept { return mark != known_; }

  /// All that led to `mark` is known of.
  void caught_up(const engine::Mark& mark) noexcept { known_ = mark; }

  /// A commit of ours, and nothing else, led from one mark to the other.
  void own(const engine::Mark& before, const engine::Mark& after) noexcept {
    if (known_ == before) known_ = after;
  }

 private:
  engine::Mark known_{};
};

}  // namespace kvstore::internal
