#include <algorithm>
#include <chrono>
#include <cstddef>

#include <kvstore/internal/timestamp.hpp>

namespace kvstore::internal {
namespace {

using namespace std::chrono;

constexpr Time earliest{};
constexpr Time latest = sys_days(year(9999) / December / 31) + hours(24) - milliseconds(1);

void write_digits(char* out, std::int64_t number, int count) noexcept {
  for (int i = count - 1; i >= 0; --i) {
    out[i] = static_cast<char>('0' + number % 10);
    number /= 10;
  }
}

/// Reads digits off the front of a text, and remembers whether all was as expected.
class Scanner {
 public:
  explicit Scanner(std::string_view text) noexcept : rest_(text) {}

  int number(std::size_t digits) noexcept {
    if (rest_.size() < digits) ok_ = false;
    int value = 0;
    for (std::size_t i = 0; ok_ && i < digits; ++i) value = value * 10 + digit(rest_[i]);
    if (ok_) rest_.remove_prefix(digits);
    return value;
  }

  void literal(char c) noexcept { ok_ = skip(c) && ok_; }

  bool skip(char c) noexcept {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  /// Thousandths from digits after the point; further ones are cut off.
  int fraction() noexcept {
    int value = 0;
    int scale = 100;
    while (!rest_.empty() && rest_[0] >= '0' && rest_[0] <= '9') {
      value += (rest_[0] - '0') * scale;
      scale /= 10;
      rest_.remove_prefix(1);
    }
    return value;
  }

  /// How far a time is ahead of UTC, at most 14 hours. Nothing, or a `Z`: it is UTC.
  minutes offset() noexcept {
    if (skip('Z')) return {};
    const bool behind = skip('-');
    if (!behind && !skip('+')) return {};
    const int h = number(2);
    literal(':');
    const int min = number(2);
    if (h > 14 || min > 59) ok_ = false;
    const minutes ahead = hours(h) + minutes(min);
    return behind ? -ahead : ahead;
  }

  [[nodiscard]] bool ended() const noexcept { return ok_ && rest_.empty(); }

 private:
  int digit(char c) noexcept {
    if (c < '0' || c > '9') ok_ = false;
    return c - '0';
  }

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace

Timestamp::Timestamp(Time time) noexcept : text_() {
  time = std::clamp(time, earliest, latest);
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const std::int64_t millis = (time - day).count();
  constexpr std::string_view form = "0000-00-00 00:00:00.000";
  std::ranges::copy(form, text_.begin());
  write_digits(text_.data(), int(date.year()), 4);
  write_digits(text_.data() + 5, unsigned(date.month()), 2);
  write_digits(text_.data() + 8, unsigned(date.day()), 2);
  write_digits(text_.data() + 11, millis / 3'600'000, 2);
  write_digits(text_.data() + 14, millis / 60'000 % 60, 2);
  write_digits(text_.data() + 17, millis / 1000 % 60, 2);
  write_digits(text_.data() + 20, millis % 1000, 3);
}

Time latest_time() noexcept {
  return latest;
}

std::optional<Time> parse_timestamp(std::string_view text) noexcept {
  Scanner scanner(text);
  const int y = scanner.number(4);
  scanner.literal('-');
  const int m = scanner.number(2);
  scanner.literal('-');
  const int d = scanner.number(2);
  if (!scanner.skip('T')) scanner.literal(' ');
  const int h = scanner.number(2);
  scanner.literal(':');
  const int min = scanner.number(2);
  const bool has_seconds = scanner.skip(':');
  const int s = has_seconds ? scanner.number(2) : 0;
  const int ms = has_seconds && scanner.skip('.') ? scanner.fraction() : 0;
  const minutes offset = scanner.offset();
  const year_month_day date{year(y), month(static_cast<unsigned>(m)),
                            day(static_cast<unsigned>(d))};
  if (!scanner.ended() || !date.ok() || h > 23 || min > 59 || s > 59) return std::nullopt;
  return Time(sys_days(date)) + hours(h) + minutes(min) + seconds(s) + milliseconds(ms) - offset;
}

Time expiry(Time now, Duration ttl) noexcept {
  now = std::clamp(now, earliest, latest);
  if (ttl >= latest - now) return latest;
  if (ttl <= earliest - now) return earliest;
  return now + ttl;
}

}  // namespace kvstore::internal
