#pragma once

#include <optional>
#include <string_view>

#include <kvstore/entry.hpp>

namespace kvstore::internal {

/// Parses with simdjson, in less than half the time of nlohmann's parser. What it gives is the same
/// value, with the same types of numbers. Of what `out` was its parts are used again where a part
/// of the same kind, and in objects of the same name, stands at their place.
/// False: simdjson is not part of this build, or refuses the text, or reads a number another way;
/// nlohmann's parser then has the word, and nobody knows what `out` is.
bool fast_parse(std::string_view text, json& out);

/// What a document has at a place.
struct Part {
  std::optional<json> value{};  ///< Absent: nothing stands there.
};

/// Builds only what stands at a place of a document in which no name comes twice. Absent: where
/// `fast_parse` says false.
std::optional<Part> fast_parse_at(std::string_view text, const json::json_pointer& at);

}  // namespace kvstore::internal
