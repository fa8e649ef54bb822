#pragma once

#include <string_view>

namespace kvstore::engine {

/// The statement that reads one entry. An engine may answer it by other means than running it.
inline constexpr std::string_view find_entry =
    "SELECT value, updated_at, expires_at, revision, checksum FROM kv WHERE key = $1";

/// What must be said differently to different engines; everything else is in the store's
/// statements.
struct Dialect {
  /// Sorts behind every key.
  std::string_view key_ceiling{};

  /// A row when there is a table with this name, of those that are made on first use.
  std::string_view table_exists{};
};

}  // namespace kvstore::engine
