#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <kvstore/entry.hpp>

/// Places inside a document, by JSON Pointer (RFC 6901).
namespace kvstore::internal {

/// The value at a place, or null when there is none: a missing name, an index past the end, `-`, a
/// step into a scalar.
const json* resolve(const json& document, const json::json_pointer& at);
json* resolve(json& document, const json::json_pointer& at);

/// The steps of a pointer, unescaped.
std::vector<std::string> tokens(json::json_pointer at);

/// The index that a step into an array means: digits without a leading zero. Absent: it means none.
/// Source: RFC 6901 §4.
std::optional<std::size_t> array_index(const std::string& token);

/// Puts `value` at a place. Missing objects on the way are made; in an array only an index that
/// exists, its size, or `-`.
/// Throws: type_mismatch, out_of_range.
void assign(json& document, const json::json_pointer& at, const json& value, std::string_view key);

}  // namespace kvstore::internal
