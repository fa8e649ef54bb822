#pragma once

#include <string>
#include <string_view>

namespace kvstore::engine {

/// Whether `text` is well-formed UTF-8: no overlong form, no surrogate, nothing past U+10FFFF.
bool valid_utf8(std::string_view text) noexcept;

/// A key or path as an error message shows it: in quotes, control characters and bytes that are not
/// UTF-8 escaped, shortened when very long.
std::string in_quotes(std::string_view text);

}  // namespace kvstore::engine
