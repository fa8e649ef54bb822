#include <kvstore/error.hpp>

namespace kvstore {

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_key:
      return "invalid_key";
    case ErrorCode::invalid_value:
      return "invalid_value";
    case ErrorCode::type_mismatch:
      return "type_mismatch";
    case ErrorCode::out_of_range:
      return "out_of_range";
    case ErrorCode::not_found:
      return "not_found";
    case ErrorCode::busy:
      return "busy";
    case ErrorCode::conflict:
      return "conflict";
    case ErrorCode::read_only:
      return "read_only";
    case ErrorCode::full:
      return "full";
    case ErrorCode::corrupt:
      return "corrupt";
    case ErrorCode::not_a_store:
      return "not_a_store";
    case ErrorCode::newer_format:
      return "newer_format";
    case ErrorCode::io:
      return "io";
    case ErrorCode::outcome_unknown:
      return "outcome_unknown";
    case ErrorCode::connection:
      return "connection";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::misuse:
      return "misuse";
  }
  return "unknown";
}

Error::Error(ErrorCode code, const std::string& what) : std::runtime_error(what), code_(code) {}

bool Error::retryable() const noexcept {
  return code_ == ErrorCode::busy || code_ == ErrorCode::connection;
}

}  // namespace kvstore
