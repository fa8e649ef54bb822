#pragma once

#include <kvstore/entry.hpp>

namespace kvstore::internal {

/// Whether two values are the same in type and bits: 1, 1.0 and true are three values, and so are
/// -1 and 18446744073709551615, which nlohmann::json takes for equal. Integers are one type.
bool identical(const json& a, const json& b);

}  // namespace kvstore::internal
