#include "databases.hpp"

#include <algorithm>

namespace bench {

Batch batch_of(const Documents& documents, std::size_t first, std::size_t count) {
  const std::size_t end = std::min(first + count, documents.size());
  Batch batch;
  batch.reserve(end - first);
  for (std::size_t i = first; i < end; ++i) {
    batch.emplace_back(documents.key(i), documents.value(i));
  }
  return batch;
}

const TempDir& temp_dir() {
  static const TempDir directory;
  return directory;
}

}  // namespace bench
