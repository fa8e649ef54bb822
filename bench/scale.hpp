#pragma once

#include <cstddef>
#include <vector>

/// How large the databases of a run are.
namespace bench {

/// Which documents a database holds, and how many.
struct Data {
  enum class Shape : unsigned char {
    people,  ///< A person, or an array of persons.
    fields   ///< Ten text fields, as in YCSB.
  };

  std::size_t bytes = 0;    ///< Of a document's JSON text.
  std::size_t entries = 0;  ///< Units: documents.
  Shape shape = Shape::people;
};

/// Makes everything 20 times smaller, the cache too, so that all rows run within minutes. The
/// figures of such a run say only that the rows work.
void scale_down();

/// Adds 10,000,000 entries to the rows that show growth.
void scale_growth_up();

/// `count`, in a run that is scaled down less, but at least one.
std::size_t scaled(std::size_t count);

/// What each peer may keep in memory of what it has read: what kvstore takes when nobody asks.
std::size_t cache_bytes();

/// An ordinary database, of some 10 to 80 MB. Kept as documents, it is larger than the cache.
Data ordinary(std::size_t bytes);

/// A database whose JSON text is ten times as large as the cache.
Data far_larger_than_cache(std::size_t bytes);

/// The databases of the rows that show growth: of 10,000 entries, ten times as many, and so on.
std::vector<Data> growing();

}  // namespace bench
