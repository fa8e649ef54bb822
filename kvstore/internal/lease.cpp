#include <algorithm>
#include <array>
#include <chrono>
#include <random>

#include <kvstore/internal/lease.hpp>
#include <kvstore/internal/statements.hpp>
#include <kvstore/internal/timestamp.hpp>

namespace kvstore::internal {
namespace {

using engine::Value;

constexpr Duration longest = std::chrono::hours(24);

std::int64_t drawn_number() {
  std::random_device random;
  const auto high = static_cast<std::uint64_t>(random());
  return static_cast<std::int64_t>((high << 32U | random()) >> 1U);
}

}  // namespace

std::optional<Lease> take_lease(Writing& writing, std::string_view key, Duration time) {
  const Time now = writing.clock.now();
  const Timestamp from(now);
  const Timestamp to(expiry(now, longest));
  const Timestamp expires_at(expiry(now, std::min(time, longest)));
  const Lease lease{drawn_number()};
  writing.connection.run(statements.make_leases);
  const std::array parameters = {Value(key), Value(lease.owner), Value(expires_at.text()),
                                 Value(from.text()), Value(to.text())};
  if (writing.connection.run(statements.take_lease, parameters) == 0) return std::nullopt;
  return lease;
}

std::optional<Time> leased_until(const Reading& reading, std::string_view key) {
  if (!has_table(reading, "kv_lease")) return std::nullopt;
  const Time now = reading.clock.now();
  const Timestamp from(now);
  const Timestamp to(expiry(now, longest));
  const std::array parameters = {Value(key), Value(from.text()), Value(to.text())};
  std::optional<Time> until;
  reading.connection.run(statements.lease, parameters, [&](engine::Row row) {
    const auto* text = std::get_if<std::string_view>(row.data());
    if (text != nullptr) until = parse_timestamp(*text);
    return false;
  });
  return until;
}

bool end_lease(Writing& writing, std::string_view key, Lease lease) {
  return writing.connection.run(statements.end_lease, std::array{Value(key), Value(lease.owner)}) !=
         0;
}

}  // namespace kvstore::internal
