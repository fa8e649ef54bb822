#pragma once

#include <string_view>

#include <kvstore/engine/function_ref.hpp>
#include <kvstore/internal/rows.hpp>

/// The table `kv_migration`, in which a store notes the migrations of its documents. It is made
/// with the first of them.
/// - `version INTEGER PRIMARY KEY`: 1, 2, 3, … without a gap
/// - `name TEXT NOT NULL`
/// - `applied_at TIMESTAMP NOT NULL`: UTC, `YYYY-MM-DD HH:MM:SS.SSS`
namespace kvstore::internal {

using OnApplied = engine::FunctionRef<void(int version, std::string_view name, Time applied_at)>;

/// The migrations that the store has, in order. Throws: corrupt, when one is missing in between.
void each_applied(const Reading& reading, OnApplied on_applied);

void note_applied(Writing& writing, int version, std::string_view name);
void note_taken_back(Writing& writing, int version);

}  // namespace kvstore::internal
