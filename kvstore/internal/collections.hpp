#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <kvstore/internal/session.hpp>

/// A collection is the entries whose keys begin with its name and `/`. Nothing in the file names
/// it.
namespace kvstore::internal {

/// Throws: invalid_key.
void check_collection_name(std::string_view name);

/// The names of the collections directly below a prefix, in the order of their bytes: of the keys
/// `prefix` + `name/…`. A jump for each; between collections, keys are gone through one by one.
std::vector<std::string> collections_below(Session& session, std::string_view prefix);

}  // namespace kvstore::internal
