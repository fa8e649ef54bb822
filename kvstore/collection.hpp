#pragma once

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <kvstore/collection_keys.hpp>
#include <kvstore/entry.hpp>
#include <kvstore/keyspace.hpp>
#include <kvstore/typed_cursor.hpp>

namespace kvstore {
/// A typed view of the keys `name/…`, for reading: what `Reader::collection<T>(name)` gives.
///
/// The verbs are those of `Reader`, and take and give keys without `name/`. Nothing else is in the
/// collection: neither the key `name` nor those of another name that begins alike. A collection
/// inside it, `name/sub`, is: its keys are `sub/…` here. Nothing is stored of a collection itself,
/// so it is there when an entry is.
///
/// A name is UTF-8 without NUL bytes, not empty, with no empty part between `/`. It counts for
/// `Options::max_key_bytes`. T owns its data and is what nlohmann::json can convert.
///
/// Throws, every verb: what that of `Reader` throws; type_mismatch, out_of_range for what is no T.
/// Valid until: what it was made from ends; then it answers `misuse`. Copies are the same view.
/// Threads: as what it was made from.
template <class T>
class Collection<const T> {
  static_assert(detail::owns_data<T>,
                "T must own its data: a view, pointer or reference would dangle as soon as the "
                "call returns; use std::string or a container");

 public:
  Collection(const Collection&) = default;  // and no move: none is ever without its keys
  Collection& operator=(const Collection&) = default;
  ~Collection() = default;

  [[nodiscard]] std::string_view name() const noexcept { return keys_->name(); }

  [[nodiscard]] std::optional<T> get(std::string_view key) const {
    return reader().template get<T>(keys_->inside(key));
  }
  [[nodiscard]] T get_or(std::string_view key, T fallback) const {
    return reader().template get_or<T>(keys_->inside(key), std::move(fallback));
  }

  [[nodiscard]] std::vector<std::optional<T>> get_many(std::span<const std::string> keys) const {
    return get_all(keys_->all_inside(keys));
  }
  [[nodiscard]] std::vector<std::optional<T>> get_many(
      std::initializer_list<std::string_view> keys) const {
    return get_all(keys_->all_inside(keys));
  }

  [[nodiscard]] std::optional<TypedEntry<T>> entry(std::string_view key) const {
    const std::optional<Entry> found = reader().entry(keys_->inside(key));
    if (!found) return std::nullopt;
    return detail::typed<T>(*found, keys_->prefix().size());
  }
  [[nodiscard]] bool contains(std::string_view key) const {
    return reader().contains(keys_->inside(key));
  }

  [[nodiscard]] TypedCursor<T> scan(Range range = {}) const {
    return {reader().scan(keys_->inside(std::move(range))), keys_->prefix().size()};
  }
  [[nodiscard]] std::vector<std::string> keys(Range range = {}) const {
    return keys_->keys_inside(std::move(range));
  }
  [[nodiscard]] std::size_t count(Range range = {}) const {
    return reader().count(keys_->inside(std::move(range)));
  }

  /// The collection `name/sub`. Throws: invalid_key.
  template <class U>
  [[nodiscard]] Collection<const U> collection(std::string_view sub) const {
    return reader().template collection<U>(keys_->inside(sub));
  }

  /// The names of the collections directly inside this one, as `Reader::collections` gives them.
  [[nodiscard]] std::vector<std::string> collections() const { return keys_->collections_inside(); }

 protected:
  [[nodiscard]] detail::CollectionKeys& inner() const noexcept { return *keys_; }

 private:
  friend class Reader;
  explicit Collection(std::shared_ptr<detail::CollectionKeys> keys) noexcept
      : keys_(std::move(keys)) {}

  [[nodiscard]] const Reader& reader() const noexcept { return *keys_; }

  [[nodiscard]] std::vector<std::optional<T>> get_all(const std::vector<std::string>& keys) const {
    std::vector<std::optional<T>> values(keys.size());
    const std::vector<std::optional<json>> documents = reader().get_many(keys);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (documents[i]) values[i].emplace(detail::as<T>(*documents[i], keys[i], nullptr));
    }
    return values;
  }

  std::shared_ptr<detail::CollectionKeys> keys_;
};

/// A typed view of the keys `name/…`: what `Keyspace::collection<T>(name)` gives. The verbs are
/// those of `Keyspace`; a T is written as nlohmann::json converts it.
template <class T>
class Collection : public Collection<const T> {
 public:
  Revision set(std::string_view key, const T& value, SetOptions how = {}) {
    return inner().set(inner().inside(key), value, how);
  }
  std::optional<Revision> insert(std::string_view key, const T& value, SetOptions how = {}) {
    return inner().insert(inner().inside(key), value, how);
  }
  [[nodiscard]] std::optional<Revision> replace(std::string_view key, const T& value,
                                                Revision expected, SetOptions how = {}) {
    return inner().replace(inner().inside(key), value, expected, how);
  }

  /// `change` runs under the write lock and must not use the store.
  std::optional<T> update(std::string_view key, const std::function<void(T&)>& change) {
    std::optional<T> result;
    const std::string whole = inner().inside(key);
    inner().update(whole, changing(whole, change, result));
    return result;
  }

  T update(std::string_view key, const T& initial, const std::function<void(T&)>& change) {
    std::optional<T> result;
    const std::string whole = inner().inside(key);
    inner().update(whole, initial, changing(whole, change, result));
    return *std::move(result);
  }

  bool erase(std::string_view key) { return inner().erase(inner().inside(key)); }
  [[nodiscard]] bool erase(std::string_view key, Revision expected) {
    return inner().erase(inner().inside(key), expected);
  }
  std::size_t erase_range(Range range) {
    return inner().erase_range(inner().inside(std::move(range)));
  }

  /// Removes all entries, also those of collections inside. Returns how many there were.
  std::size_t clear() { return erase_range({}); }

  bool touch(std::string_view key, std::optional<Duration> ttl) {
    return inner().touch(inner().inside(key), ttl);
  }

  /// Takes any input range of pairs, of `TypedEntry<T>`, or of what has `key()` and `value()`.
  template <class Items>
  std::size_t set_many(Items&& items, SetOptions how = {}) {
    return inner().set_many(detail::ItemsInside<T, Items>(items, inner()), how);
  }
  std::size_t set_many(std::initializer_list<std::pair<std::string_view, T>> items,
                       SetOptions how = {}) {
    return set_many<std::initializer_list<std::pair<std::string_view, T>>&>(items, how);
  }

  template <class U>
  [[nodiscard]] Collection<U> collection(std::string_view sub) {
    return inner().template collection<U>(inner().inside(sub));
  }
  using Collection<const T>::collection;

 private:
  friend class Keyspace;
  explicit Collection(const Collection<const T>& reading) : Collection<const T>(reading) {}

  using Collection<const T>::inner;

  static auto changing(const std::string& key, const std::function<void(T&)>& change,
                       std::optional<T>& result) {
    return [&](json& document) {
      result.emplace(detail::as<T>(document, key, nullptr));
      change(*result);
      document = *result;
    };
  }
};

template <class T>
Collection<const T> Reader::collection(std::string name) const {
  static_cast<void>(session());
  return Collection<const T>(std::make_shared<detail::CollectionKeys>(session_, std::move(name)));
}

template <class T>
Collection<T> Keyspace::collection(std::string name) {
  return Collection<T>(Reader::collection<T>(std::move(name)));
}

}  // namespace kvstore
