#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <kvstore/entry.hpp>

namespace kvstore::internal {

/// A document in few pieces of memory, from which copies are made.
///
/// As nlohmann::json a document of 2 KB is some 300 allocations that take 20 KB, wherever the heap
/// had room; once a thousand such have been changed a few times, copying one waits for the memory,
/// 15 µs in all. Packed it takes 2 KB, and a copy 5 µs. Source: `get_large` of bench/cache.cpp, an
/// array of small objects.
///
/// The values follow each other in the order of the document. Each object refers to a shape, an
/// object with the same names and no values, which is copied and filled: that costs less than to
/// put one together, name by name. The objects of an array mostly have one in common; where all are
/// different, nothing is gained.
class PackedDocument {
 public:
  /// `document`: one that `encode` accepts. It is given back as `decode` would give it.
  explicit PackedDocument(const json& document);

  [[nodiscard]] json unpack() const;

  /// What it occupies, with all it holds. Units: bytes.
  [[nodiscard]] std::size_t bytes() const;

 private:
  class Packer;
  class Unpacker;

  std::vector<json> shapes_;
  std::string values_;
};

}  // namespace kvstore::internal
