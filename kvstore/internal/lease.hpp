#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <kvstore/internal/rows.hpp>

/// The right to compute the value of a key, which one process has at a time.
///
/// Table `kv_lease`, made when it is first needed:
/// - `key TEXT PRIMARY KEY`
/// - `owner BIGINT NOT NULL`: a number drawn for this lease. Who ends or uses a lease gives it, so
///   that one whose lease was taken over cannot touch that of its successor.
/// - `expires_at TIMESTAMP NOT NULL`: as in `kv`. Whoever was killed holds it no longer.
namespace kvstore::internal {

struct Lease {
  std::int64_t owner = 0;
};

/// Takes the lease of a key, for at most a day. Absent: somebody holds it.
std::optional<Lease> take_lease(Writing& writing, std::string_view key, Duration time);

/// How long somebody holds the lease of a key. Absent: nobody holds it.
std::optional<Time> leased_until(const Reading& reading, std::string_view key);

/// Gives the lease back. False: it was taken over.
bool end_lease(Writing& writing, std::string_view key, Lease lease);

}  // namespace kvstore::internal
