#pragma once

#include <string_view>

#include <kvstore/entry.hpp>

namespace kvstore::internal {

/// Applies the operations of a JSON Patch (RFC 6902) in their order. `test` compares type and bits.
/// After a throw `document` is half changed. `key` is for messages, which name the operation,
/// counted from 0.
/// Throws: invalid_value, for what is no patch; conflict, for an operation that does not apply.
void apply_patch(json& document, const json& operations, std::string_view key);

}  // namespace kvstore::internal
