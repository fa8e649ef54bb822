#pragma once

#include <string_view>

namespace kvstore::engine {

/// What must be said differently to different engines; everything else is in the store's
/// statements.
struct Dialect {
  /// Sorts behind every key.
  std::string_view key_ceiling;
};

}  // namespace kvstore::engine
