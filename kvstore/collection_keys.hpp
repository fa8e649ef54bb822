#pragma once

#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <kvstore/api.hpp>
#include <kvstore/entry.hpp>
#include <kvstore/item.hpp>
#include <kvstore/keyspace.hpp>

/// What collections of every type share. `Keyspace::collection<T>` is the way to use it.
namespace kvstore::detail {

/// The keys `name/…` of what a collection was made from.
class KVSTORE_API CollectionKeys final : public Keyspace {
 public:
  /// Throws: invalid_key.
  CollectionKeys(std::shared_ptr<internal::Session> session, std::string name);

  [[nodiscard]] std::string_view prefix() const noexcept { return prefix_; }
  [[nodiscard]] std::string_view name() const noexcept {
    return prefix().substr(0, prefix_.size() - 1);
  }

  [[nodiscard]] std::string inside(std::string_view key) const;
  [[nodiscard]] Range inside(Range range) const;
  [[nodiscard]] std::vector<std::string> keys_inside(Range range) const;
  [[nodiscard]] std::vector<std::string> collections_inside() const;

  template <class Keys>
  [[nodiscard]] std::vector<std::string> all_inside(const Keys& keys) const {
    std::vector<std::string> all;
    all.reserve(keys.size());
    for (const std::string_view key : keys) all.push_back(inside(key));
    return all;
  }

 private:
  std::string prefix_;
};

/// What a collection is given to store, as entries of the store.
template <class T, class Items>
class ItemsInside {
 public:
  class iterator {
   public:
    iterator(decltype(std::begin(std::declval<Items&>())) at, const CollectionKeys& keys)
        : at_(std::move(at)), keys_(keys) {}
    Entry operator*() const {
      Entry entry;
      take_apart(*at_, [&](std::string_view key, const T& value, std::optional<Time> expires_at) {
        entry = {keys_.inside(key), value, 0, {}, expires_at};
      });
      return entry;
    }
    iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const auto& end) const { return at_ == end; }

   private:
    decltype(std::begin(std::declval<Items&>())) at_;
    const CollectionKeys& keys_;
  };

  ItemsInside(Items& items, const CollectionKeys& keys) : items_(items), keys_(keys) {}
  iterator begin() const { return {std::begin(items_), keys_}; }
  auto end() const { return std::end(items_); }

 private:
  Items& items_;
  const CollectionKeys& keys_;
};

}  // namespace kvstore::detail
