#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include <kvstore/api.hpp>
#include <kvstore/options.hpp>
#include <kvstore/stats.hpp>

namespace kvstore {

/// What `salvage` rescued, and what it did not.
struct SalvageReport {
  std::size_t saved = 0;  ///< Entries in the new store, expired ones included.

  /// Keys whose entry is lost. More may be, when `problems` says that the keys are damaged, too.
  std::size_t lost = 0;

  /// Pages of entries or keys that made no sense. What they held may have been found elsewhere.
  std::size_t unreadable_pages = 0;

  /// The lost keys, and what else is to be known; at most 1,000 items.
  std::vector<Problem> problems{};
};

/// Copies what is undamaged in a store into a new one, also from a file that no longer opens.
///
/// An entry keeps its value, times and revision, and later revisions are higher. One is saved if it
/// has its checksum, or, where another program wrote it and it has none, if it is whole and valid;
/// nothing damaged is. It reads the pages of the file one by one, so that a damaged page takes with
/// it only what stood on itself. Which migrations the documents have been through is known
/// afterwards, or `problems` says that it is not. The damaged file stays as it is, except
/// that SQLite rolls back a transaction that a killed program left in its `-journal`. Other tables
/// and indexes in it are not copied.
///
/// `to`: must not exist; it comes into being when it is complete. Beside it there must be room for
/// three times the file while this runs. `how`: permissions, durability and clock of the new store.
/// Progress: the pages that were copied from the damaged file, before they are taken apart.
/// Throws: not_found, conflict (`to` exists), not_a_store (nothing in the file is of a store), busy
/// (`to` is being written, or this process has a file open that SQLite cannot read), full, io,
/// cancelled, unsupported. There is no file `to` then.
[[nodiscard]] KVSTORE_API SalvageReport salvage(const std::filesystem::path& from,
                                                const std::filesystem::path& to,
                                                const Options& how = {},
                                                const Progress& progress = {});

}  // namespace kvstore
