#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include <kvstore/api.hpp>

namespace kvstore {

/// What went wrong, in the terms of what the caller can do about it.
enum class ErrorCode : std::uint8_t {
  invalid_key,      ///< NUL byte, invalid UTF-8 or longer than `Options::max_key_bytes`.
  invalid_value,    ///< Not JSON as this library stores it; the text names the place.
  type_mismatch,    ///< The stored type does not allow what was asked.
  out_of_range,     ///< A number does not fit, or an array index is past the end in a write.
  not_found,        ///< The file with `create = false`, or its parent directory.
  busy,             ///< Other writers held the store for longer than `Options::busy_timeout`.
  conflict,         ///< What is stored contradicts the call.
  read_only,        ///< The store, its file or its directory cannot be written.
  full,             ///< The disk or the quota is full; works again when there is room.
  corrupt,          ///< The file is damaged; nothing damaged is returned.
  not_a_store,      ///< The file is something else; it was not changed.
  newer_format,     ///< A newer version of the library, or of the program that migrates its
                    ///< documents, wrote the file; it was not changed.
  io,               ///< The operating system refused to read or write.
  outcome_unknown,  ///< A commit failed in a way that leaves open whether it happened.
  connection,       ///< The connection to a server was lost.
  cancelled,        ///< A callback asked to stop.
  unsupported,      ///< This build, file system or engine cannot do it.
  misuse            ///< The call breaks a rule of this interface: a bug in the calling program.
};

/// The name of a code, as written in its enumerator: "busy".
KVSTORE_API std::string_view to_string(ErrorCode code) noexcept;

/// The one exception of this library: what failed, on which key or file, and what to do.
///
/// Two others pass through: `std::bad_alloc`, and whatever a callback of the caller throws. Without
/// memory, though, nlohmann::json 3.11 may end the program: it allocates to destroy an array or an
/// object. Source: https://github.com/nlohmann/json/issues/5135.
class KVSTORE_API Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& what);

  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

  /// Whether the same call may succeed when repeated: `busy` and `connection`.
  [[nodiscard]] bool retryable() const noexcept;

 private:
  ErrorCode code_;
};

}  // namespace kvstore
