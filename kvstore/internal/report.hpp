#pragma once

#include <exception>
#include <functional>

namespace kvstore::internal {

/// Tells the handler of `Options::on_background_error`; by default of what is being handled.
inline void report(const std::function<void(std::exception_ptr)>& on_error,
                   const std::exception_ptr& error = std::current_exception()) noexcept {
  if (!on_error) return;
  try {
    on_error(error);
  } catch (...) {  // NOLINT(bugprone-empty-catch): there is nobody left to tell
  }
}

}  // namespace kvstore::internal
