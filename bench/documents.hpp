#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "scale.hpp"

namespace bench {

using json = nlohmann::json;

/// The keys and documents of one database; the same for all peers.
class Documents {
 public:
  /// Those of a database; made once and kept.
  /// Threads: any.
  static const Documents& of(const Data& data);

  /// How many entries the database has.
  [[nodiscard]] std::size_t size() const noexcept { return data_.entries; }
  [[nodiscard]] std::size_t bytes() const noexcept { return data_.bytes; }

  /// Tells the database from others: a name for a file.
  [[nodiscard]] std::string name() const;

  /// `user/00001234`: the order of the indices is that of the keys. Any index is allowed, so that a
  /// database can grow.
  [[nodiscard]] static std::string key(std::size_t index);

  /// The keys of the first `count` entries, made before anything is measured: to make one takes
  /// some 20 ns, a third of what finding a document in a cache does.
  [[nodiscard]] static std::vector<std::string> first_keys(std::size_t count);

  /// There are some hundreds; they come round again.
  [[nodiscard]] const json& value(std::size_t index) const {
    return values_[index % values_.size()];
  }

 private:
  explicit Documents(const Data& data);

  Data data_;
  std::vector<json> values_;
};

/// Documents to store under keys that have one: another sequence in each run of a row.
///
/// The keys that a row picks are the same in each run, and SQLite does not write a page where a
/// row's bytes stay as they are. So a second run with the documents of the first would measure that
/// nothing changed, for a peer whose rows have no revision, and a time in whole seconds.
/// Source: `btreeOverwriteCell` of SQLite's btree.c (3.40).
class Replacements {
 public:
  explicit Replacements(const Documents& documents) noexcept;

  const json& next() noexcept { return documents_->value(index_++); }

 private:
  const Documents* documents_;
  std::size_t index_;
};

}  // namespace bench
