#pragma once

#include <cstddef>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <kvstore/api.hpp>
#include <kvstore/cursor.hpp>
#include <kvstore/entry.hpp>
#include <kvstore/options.hpp>
#include <kvstore/typed.hpp>

namespace kvstore {

class Reader;
template <class T>
class Collection;

namespace detail {
/// Where the calls of a handle run, for what is no member of it.
internal::Session& session_of(const Reader& reader);
}  // namespace detail

/// What can be asked of a store.
///
/// Absence is a value, never an error. A key is UTF-8 without NUL bytes; the empty key is a key.
/// Every read verifies the checksum of what it reads from the file.
///
/// Throws, every verb: invalid_key, corrupt (the entry is damaged), invalid_value (another program
/// stored what is no acceptable JSON), busy, io, misuse.
class KVSTORE_API Reader {
 public:
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  /// The value of a key. Absent: nullopt.
  [[nodiscard]] std::optional<json> get(std::string_view key) const;

  /// One place inside a value. Absent: nullopt when the key or the place is not there.
  /// Source: RFC 6901.
  [[nodiscard]] std::optional<json> get(std::string_view key, const json::json_pointer& at) const;

  /// The value as a `T` that nlohmann::json can convert to. Numbers convert exactly or not at all.
  /// Absent: nullopt. Throws: type_mismatch, out_of_range; null is a value of another type.
  template <class T>
  [[nodiscard]] std::optional<T> get(std::string_view key) const {
    const std::shared_ptr<const json> value = get_shared(key);
    if (value == nullptr) return std::nullopt;
    return detail::as<T>(*value, key, nullptr);
  }

  template <class T>
  [[nodiscard]] std::optional<T> get(std::string_view key, const json::json_pointer& at) const {
    const std::optional<json> value = get(key, at);
    if (!value) return std::nullopt;
    return detail::as<T>(*value, key, &at);
  }

  /// The value as a `T`, or `fallback` when there is none. Throws: type_mismatch, out_of_range.
  template <class T>
  [[nodiscard]] T get_or(std::string_view key, T fallback) const {
    std::optional<T> value = get<T>(key);
    return value ? *std::move(value) : std::move(fallback);
  }

  template <class T>
  [[nodiscard]] T get_or(std::string_view key, const json::json_pointer& at, T fallback) const {
    std::optional<T> value = get<T>(key, at);
    return value ? *std::move(value) : std::move(fallback);
  }

  [[nodiscard]] std::string get_or(std::string_view key, const char* fallback) const {
    return get_or(key, std::string(fallback));
  }

  [[nodiscard]] std::string get_or(std::string_view key, const json::json_pointer& at,
                                   const char* fallback) const {
    return get_or(key, at, std::string(fallback));
  }

  /// The value, for reading in place. Absent: null. Valid until: released, also after the store is
  /// closed. Threads: may be shared.
  [[nodiscard]] std::shared_ptr<const json> get_shared(std::string_view key) const;

  /// The JSON text as it is stored, not parsed. Absent: nullopt.
  [[nodiscard]] std::optional<std::string> get_text(std::string_view key) const;

  /// The values of many keys at one moment, in the caller's order. Absent: nullopt in its place.
  [[nodiscard]] std::vector<std::optional<json>> get_many(std::span<const std::string> keys) const;
  [[nodiscard]] std::vector<std::optional<json>> get_many(
      std::initializer_list<std::string_view> keys) const;

  /// The value with its revision and times. Absent: nullopt.
  [[nodiscard]] std::optional<Entry> entry(std::string_view key) const;

  [[nodiscard]] bool contains(std::string_view key) const;

  /// The entries of a range, in order, page by page.
  [[nodiscard]] Cursor scan(Range range = {}) const;

  /// The keys of a range, in order. Values are not read, so damage to them is not noticed.
  [[nodiscard]] std::vector<std::string> keys(Range range = {}) const;

  /// How many entries a range has. Values are not read.
  [[nodiscard]] std::size_t count(Range range = {}) const;

  /// A typed view of the keys `name/…`, for reading. Throws: invalid_key, misuse.
  template <class T>
  [[nodiscard]] Collection<const T> collection(std::string name) const;

  /// The names of the collections that hold an entry, in order: what stands before the first `/` of
  /// a key. Those inside a collection are named by `Collection::collections`. Values are not read,
  /// and of each collection no more than its first entry is looked for.
  [[nodiscard]] std::vector<std::string> collections() const;

 protected:
  explicit Reader(std::shared_ptr<internal::Session> session) noexcept;
  Reader(Reader&&) noexcept;
  Reader& operator=(Reader&&) noexcept;
  ~Reader() noexcept;

  /// Throws: misuse, when this handle was moved from.
  [[nodiscard]] internal::Session& session() const;

  /// The same, for calls whose callbacks may drop this handle.
  [[nodiscard]] std::shared_ptr<internal::Session> shared_session() const;

  [[nodiscard]] bool moved_from() const noexcept { return session_ == nullptr; }

 private:
  friend KVSTORE_API std::size_t export_jsonl(const Reader& from, std::ostream& to, Range range,
                                              const Progress& progress);

  template <class Keys>
  std::vector<std::optional<json>> get_each(const Keys& keys) const;

  friend internal::Session& detail::session_of(const Reader& reader);

  std::shared_ptr<internal::Session> session_;
};

}  // namespace kvstore
