#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace kvstore::internal {

/// The keys that one transaction wrote, those included whose write it took back. Of very many it
/// only knows that they are many.
class Changes {
 public:
  static constexpr std::size_t most = 1024;

  void note(std::string_view key) {
    if (many_) return;
    if (keys_.size() == most) return note_many();
    keys_.emplace_back(key);
  }

  void note_many() noexcept {
    many_ = true;
    keys_.clear();
  }

  [[nodiscard]] bool empty() const noexcept { return !many_ && keys_.empty(); }

  /// Any key may have changed; `keys` is empty then.
  [[nodiscard]] bool many() const noexcept { return many_; }

  /// In the order of the writes; a key may come more than once.
  [[nodiscard]] const std::vector<std::string>& keys() const noexcept { return keys_; }

 private:
  std::vector<std::string> keys_;
  bool many_ = false;
};

}  // namespace kvstore::internal
