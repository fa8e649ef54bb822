#pragma once

#include <memory>
#include <string_view>

#include <kvstore/engine/engine.hpp>
#include <kvstore/options.hpp>

namespace kvstore::engine {

/// Opens the store in the file at `path`, or creates it.
/// Throws: see `KVStore::KVStore`.
std::unique_ptr<Engine> open_sqlite_file(std::string_view path, const Options& options);

/// Creates a store in memory that lives as long as the engine.
std::unique_ptr<Engine> open_sqlite_memory(const Options& options);

}  // namespace kvstore::engine
