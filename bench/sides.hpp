#pragma once

#include <cstddef>
#include <kvstore/kvstore.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "sqlite_by_hand.hpp"

/// The two sides of every comparison, with the same verbs, so that one body measures both.
namespace bench {

using kvstore::Durability;

class KvstoreSide {
 public:
  static constexpr const char* name = "kvstore";

  KvstoreSide(const std::string& path, Durability durability)
      : store_(path, {.durability = durability}) {}

  [[nodiscard]] std::optional<json> get(std::string_view key) const { return store_.get(key); }
  void set(std::string_view key, const json& value) { store_.set(key, value); }

  template <class Visit>
  void scan(const std::string& from, std::size_t limit, Visit&& visit) const {
    for (const kvstore::Entry& entry : store_.scan({.from = from, .limit = limit})) {
      visit(entry.key, entry.value);
    }
  }

  template <class Items>
  void set_many(const Items& items) {
    store_.set_many(items);
  }

 private:
  kvstore::KVStore store_;
};

class SqliteSide : public SqliteByHand {
 public:
  static constexpr const char* name = "sqlite";

  SqliteSide(const std::string& path, Durability durability)
      : SqliteByHand(path,
                     durability == Durability::full ? Synchronous::full : Synchronous::normal) {}
};

}  // namespace bench
