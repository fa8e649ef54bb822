#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <kvstore/engine/engine.hpp>
#include <kvstore/engine/sqlite_record.hpp>
#include <kvstore/engine/sqlite_schema.hpp>

namespace kvstore::engine {

/// Doubtful: a page cannot be had or makes no sense, or a key is longer than its page holds.
enum class LookedUp : std::uint8_t { found, absent, doubtful };

/// A row as it stands in a table: one that is older than a column lacks it.
struct FoundRow {
  std::string record{};
  std::vector<Value> columns{};  ///< Text is borrowed from the record.
};

/// Finds the row of a key in the pages of a store.
///
/// SQLite reads the whole schema before it answers anything, and what a store's triggers say takes
/// it half of the time in which a program opens a store, reads an entry and closes. Here the key is
/// looked up in its index and the row in the table, which is all that SQLite does after that.
/// Source: https://sqlite.org/fileformat2.html §1.6 (3.40).
LookedUp look_up(ReadPage read_page, const StoreShape& store, std::string_view key, FoundRow& row);

}  // namespace kvstore::engine
