#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <kvstore/entry.hpp>

/// JSON text <-> value.
namespace kvstore::internal {

/// The deepest nesting of arrays and objects that is stored: copying and comparing a document
/// recurses, and 512 levels fit into a stack of 256 KiB.
inline constexpr std::size_t max_depth = 512;

/// From this length on it is worth while to read one place of a text without the rest.
/// Units: bytes.
inline constexpr std::size_t long_text = 4096;

/// Throws: invalid_value, as `encode` does, except for the length. `at` is the place in the
/// document that the value is for.
void check_value(const json& value, std::string_view key,
                 const json::json_pointer& at = json::json_pointer());

/// The JSON text of `value`. `key` is for messages.
/// Throws: invalid_value, naming the place, for what JSON text cannot hold: NaN, infinities, binary
/// and discarded values, strings that are not UTF-8; for too deep nesting; for too long text.
/// `room`: a text that is not needed any more, whose memory is used again.
std::string encode(const json& value, std::string_view key, std::size_t max_bytes,
                   std::string room = {});

/// Accepts exactly the texts that `decode` turns into one well-defined value.
/// Throws: invalid_value, naming the place, for what is no JSON text, holds a NUL byte, a byte
/// order mark, a name twice in one object, a number that no double can hold, or nests too deep.
void check_text(std::string_view text, std::string_view key, std::size_t max_bytes);

/// The value of a text that was checked before it was stored.
json decode(std::string_view text, std::string_view key);

/// The same where there is another value, whose memory is used again as far as the two have the
/// same form.
void decode(std::string_view text, std::string_view key, json& out);

/// A copy of a value that `encode` accepted, as `decode` would give it back.
json as_decoded(const json& value);

/// What stands at a place of such a text; the rest is not built. Absent: nullopt.
std::optional<json> decode_at(std::string_view text, std::string_view key,
                              const json::json_pointer& at);

}  // namespace kvstore::internal
