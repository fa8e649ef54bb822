#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <kvstore/entry.hpp>
#include <kvstore/internal/codec.hpp>

namespace kvstore::internal {

/// The keys that one transaction wrote, those included whose write it took back. Of very many it
/// only knows that they are many.
class Changes {
 public:
  static constexpr std::size_t most = 1024;

  /// What was stored for a key.
  struct Stored {
    std::string text;
    std::optional<Time> expires_at;
  };

  /// The key has another value now.
  void note_stored(std::string_view key, std::string_view text,
                   const std::optional<Time>& expires_at) {
    const bool only = empty() && text.size() < long_text;
    note(key);
    if (only) only_stored_.emplace(Stored{std::string(text), expires_at});
  }

  void note(std::string_view key) {
    only_stored_.reset();
    if (many_) return;
    if (keys_.size() == most) return note_many();
    keys_.emplace_back(key);
  }

  void note_many() noexcept {
    only_stored_.reset();
    many_ = true;
    keys_.clear();
  }

  [[nodiscard]] bool empty() const noexcept { return !many_ && keys_.empty(); }

  /// Any key may have changed; `keys` is empty then.
  [[nodiscard]] bool many() const noexcept { return many_; }

  /// In the order of the writes; a key may come more than once.
  [[nodiscard]] const std::vector<std::string>& keys() const noexcept { return keys_; }

  /// Absent: null, unless one value was stored, not a long one, and nothing else written.
  [[nodiscard]] const Stored* only_stored() const noexcept {
    return only_stored_ ? &*only_stored_ : nullptr;
  }

 private:
  std::vector<std::string> keys_;
  std::optional<Stored> only_stored_;
  bool many_ = false;
};

}  // namespace kvstore::internal
