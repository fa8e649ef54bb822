#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include <kvstore/entry.hpp>
#include <kvstore/internal/footprint.hpp>
#include <kvstore/internal/packed_document.hpp>

namespace kvstore::internal {

/// A key with its hash, which chooses the shard and the bucket in it.
struct HashedKey {
  std::string_view text;
  std::size_t hash;

  explicit HashedKey(std::string_view key) noexcept
      : text(key), hash(std::hash<std::string_view>()(key)) {}
};

/// The documents that one shard of the cache keeps, in the order of their use.
///
/// Threads: one at a time.
class DocumentLru {
 public:
  using Value = std::shared_ptr<const json>;             ///< To be shared, or copied when small.
  using Packed = std::shared_ptr<const PackedDocument>;  ///< To be copied.
  using Text = std::shared_ptr<const std::string>;       ///< To be parsed.
  using Form = std::variant<Value, Packed, Text>;        ///< Never null.

  struct Document {
    Form form{};
    std::optional<Time> expires_at{};
    std::size_t bytes : 63 = 0;  ///< As `bytes_parsed`, `bytes_packed` or `bytes_as_text` says.
    bool unread : 1 = false;     ///< It was stored, and not used since.
  };

  /// A document at its place in the order.
  struct Kept {
    Document document{};
    const std::string* key = nullptr;
    Kept* newer = nullptr;  ///< Null: it is the newest.
    Kept* older = nullptr;  ///< Null: it is the oldest.
  };

  DocumentLru() = default;
  ~DocumentLru() = default;
  // The documents point at each other.
  DocumentLru(const DocumentLru&) = delete;
  DocumentLru& operator=(const DocumentLru&) = delete;
  DocumentLru(DocumentLru&&) = delete;
  DocumentLru& operator=(DocumentLru&&) = delete;

  /// Absent: null.
  [[nodiscard]] Kept* find(const HashedKey& key);

  /// Makes it the newest.
  void use(Kept& kept) noexcept;

  /// Of a key that has none. It is the newest.
  void add(const HashedKey& key, Document document);

  void drop(const Kept& kept);
  void drop_oldest() { drop(*oldest_); }
  void drop_all() noexcept;

  /// Notes that a document was missed. Returns whether it was before, and not longer ago than there
  /// are documents here, counted in misses: it would still be here, had it been added then.
  bool missed_before(const HashedKey& key);

  /// What all are taken to occupy. Units: bytes.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

  /// What a document takes in here, in each of its forms, with its key. Units: bytes.
  [[nodiscard]] static std::size_t bytes_parsed(const HashedKey& key, const json& value) {
    return bytes_beside(key) + shared(sizeof(json)) + footprint(value) - sizeof(json);
  }
  [[nodiscard]] static std::size_t bytes_packed(const HashedKey& key,
                                                const PackedDocument& document) {
    return bytes_beside(key) + shared(sizeof(document)) + document.bytes() - sizeof(document);
  }
  [[nodiscard]] static std::size_t bytes_as_text(const HashedKey& key,
                                                 std::string_view text) noexcept {
    return bytes_beside(key) + shared(sizeof(std::string)) + heap_bytes(text.size() + 1);
  }

 private:
  /// May throw, as far as the table knows: so it keeps each hash beside its key.
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const HashedKey& key) const { return key.hash; }
    std::size_t operator()(std::string_view key) const { return HashedKey(key).hash; }
  };
  struct Same {
    using is_transparent = void;
    bool operator()(const HashedKey& a, std::string_view b) const noexcept { return a.text == b; }
    bool operator()(std::string_view a, std::string_view b) const noexcept { return a == b; }
  };
  using ByKey = std::unordered_map<std::string, Kept, Hash, Same>;

  struct Miss {
    std::uint32_t trace = 0;  ///< Some bits of the key's hash.
    std::uint32_t number = 0;
  };

  /// The key, a node of the table with its hash, its share of the buckets, of the counters (4
  /// bytes, give or take) and of the misses.
  static constexpr std::size_t bytes_beside(const HashedKey& key) noexcept {
    return heap_bytes(key.text.size() + 1) +
           heap_bytes(sizeof(ByKey::value_type) + 2 * sizeof(void*)) + sizeof(void*) + 4 +
           sizeof(Miss);
  }

  /// With the two counters before a shared object, and what it needs to destroy itself.
  static constexpr std::size_t shared(std::size_t size) noexcept {
    return heap_bytes(2 * sizeof(void*) + size);
  }

  [[nodiscard]] std::uint8_t& keys_beside(const HashedKey& key) noexcept {
    return present_[place(key, present_.size())];
  }
  /// Of as many places as a power of two.
  [[nodiscard]] static std::size_t place(const HashedKey& key, std::size_t places) noexcept {
    return key.hash & (places - 1);
  }
  void count_keys(std::size_t places);
  void link(Kept& kept) noexcept;
  void unlink(const Kept& kept) noexcept;

  ByKey by_key_;
  Kept* newest_ = nullptr;
  Kept* oldest_ = nullptr;
  std::size_t bytes_ = 0;
  std::vector<Miss> missed_;  ///< At least one place for each document; none before it is asked.
  std::uint32_t misses_ = 0;  ///< Begins again at 0: what that lets in by mistake is harmless.
  /// How many keys of the table fall to each place, of which there are 2 for each key or more; 255
  /// stays. Most keys that are not kept are known by it, where the table would be walked through
  /// memory that is far from the processor.
  std::vector<std::uint8_t> present_;
};

}  // namespace kvstore::internal
