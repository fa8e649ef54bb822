#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "documents.hpp"
#include "sides.hpp"
#include "temp_dir.hpp"

namespace bench {

/// A run of entries, to be stored: pairs of key and value, borrowed from the documents.
using Batch = std::vector<std::pair<std::string_view, const json&>>;

/// The entries from `first` on, at most `count`.
Batch batch_of(const Documents& documents, std::size_t first, std::size_t count);

/// The directory of this run's databases.
const TempDir& temp_dir();

/// A database that holds all documents and is only read; made when it is first asked for.
template <class Side>
std::string database_to_read(const Documents& documents) {
  std::string path =
      temp_dir().file(std::string(Side::name) + "-" + std::to_string(documents.bytes()));
  if (!std::filesystem::exists(path)) {
    Side side(path, Durability::normal);
    side.set_many(batch_of(documents, 0, documents.size()));
  }
  return path;
}

/// A copy of it for one row of the table, which writes. Nobody may have the original open.
template <class Side>
std::string database_to_write(const Documents& documents, const std::string& row) {
  const std::string original = database_to_read<Side>(documents);
  std::string path = original + "-" + row;
  if (!std::filesystem::exists(path)) std::filesystem::copy_file(original, path);
  return path;
}

}  // namespace bench
