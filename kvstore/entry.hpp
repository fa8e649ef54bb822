#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace kvstore {

using json = nlohmann::json;

/// A number that grows with every change of a key, also over an erase. It orders the changes of one
/// key, not those of different keys.
using Revision = std::int64_t;

/// A moment in UTC. Units: milliseconds.
using Time = std::chrono::sys_time<std::chrono::milliseconds>;

/// Units: milliseconds.
using Duration = std::chrono::milliseconds;

/// A key with all that is stored of it.
struct Entry {
  std::string key{};
  json value{};
  Revision revision = 0;             ///< 0 where an outside program wrote an older file.
  Time updated_at{};                 ///< The epoch where an outside program left no readable time.
  std::optional<Time> expires_at{};  ///< Absent: never.
};

/// How a value is stored.
struct SetOptions {
  /// How long the value lives from now. Absent: for ever; an earlier expiry is cleared. A ttl that
  /// is not positive is accepted and never visible; one past the year 9999 saturates there.
  std::optional<Duration> ttl{};
};

/// A span of keys in the order of their bytes; the fields narrow it together.
struct Range {
  std::string prefix{};                ///< Keys that begin with these bytes.
  std::string from{};                  ///< First key, inclusive.
  std::optional<std::string> after{};  ///< First key, exclusive: where the last page ended,
                                       ///< going up; going down that is `until`.
  std::optional<std::string> until{};  ///< Last key, exclusive.
  std::size_t limit = 0;               ///< At most so many entries; 0 is all.
  bool descending = false;             ///< From the last key to the first.
};

}  // namespace kvstore
