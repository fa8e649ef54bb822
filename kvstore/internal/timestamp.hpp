#pragma once

#include <array>
#include <optional>
#include <string_view>

#include <kvstore/entry.hpp>

namespace kvstore::internal {

/// A moment as the file holds it: `YYYY-MM-DD HH:MM:SS.SSS`, UTC, which sorts as text. What lies
/// before 1970 or after 9999 becomes the nearest moment that can be written.
class Timestamp {
 public:
  explicit Timestamp(Time time) noexcept;
  [[nodiscard]] std::string_view text() const noexcept { return {text_.data(), text_.size()}; }

 private:
  std::array<char, 23> text_;
};

/// The last moment that a timestamp can hold: 9999-12-31 23:59:59.999.
Time latest_time() noexcept;

/// Reads what the library writes, and the forms of SQLite's own date functions: no fraction, no
/// seconds, a `T` between date and time, and at the end a `Z`, or an offset from UTC as Python's
/// `isoformat` writes it, `+01:00`. Absent: anything else.
/// Source: https://sqlite.org/lang_datefunc.html (3.40), section 2.
std::optional<Time> parse_timestamp(std::string_view text) noexcept;

/// `now + ttl`, kept within what a timestamp can hold.
Time expiry(Time now, Duration ttl) noexcept;

}  // namespace kvstore::internal
