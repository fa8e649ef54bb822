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

/// How a value is computed and kept by `KVStore::get_or_compute`.
struct ComputeOptions {
  /// How long the result lives from when it is there. Absent: for ever. One that is not positive:
  /// it is computed each time.
  std::optional<Duration> ttl{};

  /// Begin to compute the next value so long before this one expires. One caller does; all others
  /// go on with the value that is there. When that fails, the caller does so too, and
  /// `Options::on_background_error` is told. Less than the ttl, or each call computes.
  /// Units: milliseconds. Default: 0, not before.
  Duration refresh_before{};

  /// The longest that a computation may take: after it, other processes no longer wait for this
  /// one, which may have been killed, and one of them computes; a result that comes later is
  /// returned, but not stored over theirs. More than a day is a day. Units: milliseconds.
  /// Default: 30 s.
  Duration lease{30'000};
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
