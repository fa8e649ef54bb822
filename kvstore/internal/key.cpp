#include <algorithm>
#include <utility>

#include <kvstore/engine/text.hpp>
#include <kvstore/error.hpp>
#include <kvstore/internal/key.hpp>

namespace kvstore::internal {
namespace {

/// The first text behind all that begin with `prefix`; the ceiling when there is none.
std::string behind_prefix(std::string prefix, std::string_view ceiling) {
  while (!prefix.empty() && static_cast<unsigned char>(prefix.back()) == 0xFF) prefix.pop_back();
  if (prefix.empty()) return std::string(ceiling);
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

}  // namespace

void check_key(std::string_view key, const Options& options) {
  if (key.size() > options.max_key_bytes) {
    throw Error(ErrorCode::invalid_key,
                "the key " + engine::in_quotes(key) + " has " + std::to_string(key.size()) +
                    " bytes, more than Options::max_key_bytes = " +
                    std::to_string(options.max_key_bytes) + "; use a shorter key");
  }
  if (key.find('\0') != std::string_view::npos) {
    throw Error(ErrorCode::invalid_key,
                "the key " + engine::in_quotes(key) + " holds a NUL byte; use another separator");
  }
  if (!engine::valid_utf8(key)) {
    throw Error(ErrorCode::invalid_key,
                "the key " + engine::in_quotes(key) + " is not valid UTF-8; encode it first");
  }
}

Bounds bounds(const Range& range, const engine::Dialect& dialect) {
  Bounds result{std::max(range.prefix, range.from),
                behind_prefix(range.prefix, dialect.key_ceiling)};
  // No key holds a NUL byte, so this is the first text behind `after`.
  if (range.after) result.lower = std::max(result.lower, *range.after + '\x01');
  if (range.until) result.upper = std::min(result.upper, *range.until);
  return result;
}

}  // namespace kvstore::internal
