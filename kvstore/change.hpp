#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <kvstore/entry.hpp>

namespace kvstore {

/// What a committed write, or the passing of time, did to one key.
struct Change {
  enum class Kind : std::uint8_t {
    set,     ///< The key has a new value.
    erased,  ///< The key is gone.
    expired  ///< The key is gone because its expiry has passed.
  };

  Kind kind{};
  std::string key{};
  std::optional<json> value{};  ///< Absent: the key is gone.
  Revision revision = 0;        ///< Of the value; of the last one that was known, when it is gone.
};

}  // namespace kvstore
