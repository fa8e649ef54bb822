#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <kvstore/api.hpp>
#include <kvstore/entry.hpp>
#include <kvstore/item.hpp>
#include <kvstore/options.hpp>
#include <kvstore/reader.hpp>

namespace kvstore {

struct ImportOptions;
struct ImportReport;

/// What can be asked and changed.
///
/// Bad input is refused before anything is written; a call that throws has changed nothing. Partial
/// writes (`set` at a place, `update`, `merge`, `patch`, `increment`) keep the expiry of the entry.
///
/// Throws, every writing verb: invalid_key, invalid_value, busy, read_only, full, io, corrupt,
/// misuse, and outcome_unknown when a commit failed in a way that leaves open whether it happened.
class KVSTORE_API Keyspace : public Reader {
 public:
  /// Stores a value, whether the key is there or not. Returns its revision.
  Revision set(std::string_view key, const json& value, SetOptions how = {});

  /// Stores a value at one place inside the document. Missing objects on the way are made, and an
  /// absent key starts as `{}`; in an array an index that exists, its size, or `-`.
  /// Throws: type_mismatch, out_of_range. Source: RFC 6901.
  Revision set(std::string_view key, const json::json_pointer& at, const json& value);

  /// Stores a JSON text exactly as given, when it is one. A name that stands twice in one object is
  /// refused.
  Revision set_text(std::string_view key, std::string_view json_text, SetOptions how = {});

  /// Stores a value if the key is absent. Absent: nullopt when it is there.
  std::optional<Revision> insert(std::string_view key, const json& value, SetOptions how = {});

  /// Stores a value if the entry still has the expected revision. Absent: nullopt when it has not.
  [[nodiscard]] std::optional<Revision> replace(std::string_view key, const json& value,
                                                Revision expected, SetOptions how = {});
  std::optional<Revision> replace(std::string_view key, const json& value, const json& expected,
                                  SetOptions how = {}) = delete;  // swapped arguments

  /// Changes a value in place, atomically. Returns the new value. Absent: nullopt, and `change` is
  /// not called. `change` runs under the write lock and must not use the store.
  std::optional<json> update(std::string_view key, const std::function<void(json&)>& change);

  /// The same, but an absent value starts as `initial`.
  json update(std::string_view key, json initial, const std::function<void(json&)>& change);

  /// Merges `patch` into the value and returns the new one: objects member by member, null removes
  /// a member, everything else replaces. An absent value starts as `{}`. Source: RFC 7396.
  json merge(std::string_view key, const json& patch);

  /// Applies a list of operations, all or none, and returns the new value. `test` compares type and
  /// bits: 1, 1.0 and true are different.
  /// Shape: [{"op": "add", "path": "/a/-", "value": 1}, …]
  /// Throws: conflict, naming the operation that does not apply, or when the key is absent;
  /// invalid_value, when `operations` is no JSON Patch. Source: RFC 6902.
  json patch(std::string_view key, const json& operations);

  /// Adds to an integer and returns the sum. An absent one starts at 0.
  /// Throws: type_mismatch, for anything but an integer; out_of_range, when the sum does not fit.
  std::int64_t increment(std::string_view key, std::int64_t by = 1);

  /// The same at one place inside the document, as `set` at a place reaches it.
  std::int64_t increment(std::string_view key, const json::json_pointer& at, std::int64_t by = 1);

  /// Removes an entry. False: there was none.
  bool erase(std::string_view key);

  /// Removes an entry if it still has the expected revision. False: it has not.
  [[nodiscard]] bool erase(std::string_view key, Revision expected);

  /// Removes the entries of a range in one transaction. Returns how many there were.
  std::size_t erase_range(const Range& range);

  /// Gives an entry a new expiry; nullopt is never. Value, revision and updated_at stay.
  /// False: there was none.
  bool touch(std::string_view key, std::optional<Duration> ttl);

  /// Stores many values in one transaction, all or none; of a key that comes twice the last stays.
  /// Takes any input range of pairs, of `json::items()`, or of `Entry`, whose own expiry is kept
  /// when `how` gives none. The range runs under the write lock and must not use the store.
  /// Returns how many items came.
  template <class Items>
  requires(!std::same_as<std::remove_cvref_t<Items>, json>) std::size_t
      set_many(Items&& items, SetOptions how = {}) {
    std::optional<decltype(std::begin(items))> next;
    return set_each(
        [&](const ItemSink& sink) {
          if (next) {
            ++*next;
          } else {
            next.emplace(std::begin(items));
          }
          if (*next == std::end(items)) return false;
          detail::take_apart(**next, sink);
          return true;
        },
        how);
  }

  std::size_t set_many(std::initializer_list<std::pair<std::string_view, json>> items,
                       SetOptions how = {}) {
    return set_many<std::initializer_list<std::pair<std::string_view, json>>&>(items, how);
  }

  /// A typed view of the keys `name/…`. Throws: invalid_key, misuse.
  template <class T>
  [[nodiscard]] Collection<T> collection(std::string name);
  using Reader::collection;

 protected:
  explicit Keyspace(std::shared_ptr<internal::Session> session) noexcept;
  Keyspace(Keyspace&&) noexcept = default;
  Keyspace& operator=(Keyspace&&) noexcept = default;
  ~Keyspace() noexcept = default;

 private:
  friend KVSTORE_API ImportReport import_jsonl(Keyspace& to, std::istream& from,
                                               const ImportOptions& how, const Progress& progress);

  using ItemSink = std::function<void(std::string_view key, const json& value,
                                      const std::optional<Time>& expires_at)>;
  using NextItem = std::function<bool(const ItemSink&)>;

  std::size_t set_each(const NextItem& next, const SetOptions& how);
};

}  // namespace kvstore
