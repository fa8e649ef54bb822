#pragma once

#include <string>
#include <string_view>

#include <kvstore/engine/dialect.hpp>
#include <kvstore/options.hpp>

namespace kvstore::internal {

/// Throws: invalid_key.
void check_key(std::string_view key, const Options& options);

/// The keys of a range: at least `lower`, below `upper`.
struct Bounds {
  std::string lower, upper;
};

Bounds bounds(const Range& range, const engine::Dialect& dialect);

}  // namespace kvstore::internal
