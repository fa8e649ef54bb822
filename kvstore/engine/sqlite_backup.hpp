#pragma once

#include <filesystem>
#include <string>

#include <kvstore/engine/engine.hpp>
#include <kvstore/engine/sqlite_open.hpp>
#include <kvstore/engine/staged_file.hpp>
#include <kvstore/options.hpp>

/// Copies of a database, made beside those who write it.
namespace kvstore::engine {

/// Copies all pages of `source` as its open transaction sees them: without one, a database that
/// another process writes would start again with every commit. Damage is copied with the rest.
/// Throws: cancelled, full, io, corrupt.
void copy_pages(sqlite3* source, const std::string& name, const StagedFile& to,
                const Progress& progress);

/// Copies a database to a place where nobody has a store open; see `Engine::backup`.
/// `self`: the file that `source` reads, which is refused as a place.
void back_up(sqlite3* source, const std::string& name, FileId self, const std::filesystem::path& to,
             const Options& options, const Progress& progress,
             FunctionRef<void(Connection&)> accept);

}  // namespace kvstore::engine
