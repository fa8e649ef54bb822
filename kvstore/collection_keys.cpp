#include <utility>

#include <kvstore/collection_keys.hpp>
#include <kvstore/internal/collections.hpp>

namespace kvstore::detail {

CollectionKeys::CollectionKeys(std::shared_ptr<internal::Session> session, std::string name)
    : Keyspace(std::move(session)), prefix_(std::move(name)) {
  internal::check_collection_name(prefix_);
  prefix_ += '/';
}

std::string CollectionKeys::inside(std::string_view key) const {
  std::string whole;
  whole.reserve(prefix_.size() + key.size());
  return whole.append(prefix_).append(key);
}

Range CollectionKeys::inside(Range range) const {
  range.prefix.insert(0, prefix_);
  range.from.insert(0, prefix_);
  if (range.after) range.after->insert(0, prefix_);
  if (range.until) range.until->insert(0, prefix_);
  return range;
}

std::vector<std::string> CollectionKeys::keys_inside(Range range) const {
  std::vector<std::string> found = keys(inside(std::move(range)));
  for (std::string& key : found) key.erase(0, prefix_.size());
  return found;
}

std::vector<std::string> CollectionKeys::collections_inside() const {
  return internal::collections_below(session(), prefix_);
}

}  // namespace kvstore::detail
