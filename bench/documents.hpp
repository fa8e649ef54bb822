#pragma once

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace bench {

using json = nlohmann::json;

/// The keys and documents of one database; the same for both sides of a comparison.
class Documents {
 public:
  /// The documents whose JSON text has `bytes` bytes; made once and kept.
  static const Documents& of(std::size_t bytes);

  /// How many entries a database has.
  [[nodiscard]] std::size_t size() const noexcept { return keys_.size(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

  /// `user/00001234`, in the order of the keys.
  [[nodiscard]] const std::string& key(std::size_t index) const { return keys_[index]; }
  [[nodiscard]] const json& value(std::size_t index) const {
    return values_[index % values_.size()];
  }

 private:
  explicit Documents(std::size_t bytes);

  std::size_t bytes_;
  std::vector<std::string> keys_;
  std::vector<json> values_;  ///< Some; they come round again.
};

}  // namespace bench
