#pragma once

#include <cstddef>
#include <string_view>

#include <kvstore/internal/rows.hpp>

namespace kvstore::internal {

/// What tells one state of a row from the next, without its value.
struct Version {
  Revision revision = 0;

  /// Of the value and its time where there is no revision, as in rows of an older file.
  std::size_t print = 0;

  std::string_view expires_text{};  ///< As in the file; empty for never.
};

using OnVersion = engine::FunctionRef<void(std::string_view key, const Version& version)>;

/// The version of a live entry, the same that the two below call back with.
Version version_of(const Record& record) noexcept;

/// Calls back for every row of a span, also for expired and damaged ones.
void each_version(const Reading& reading, std::string_view lower, std::string_view upper,
                  OnVersion on_version);

/// The same for every row there is, in the order of the table: a row costs an eighth of what it
/// costs in a span, whose rows lie anywhere.
void every_version(const Reading& reading, OnVersion on_version);

}  // namespace kvstore::internal
