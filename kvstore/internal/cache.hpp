#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include <kvstore/engine/engine.hpp>
#include <kvstore/internal/changes.hpp>
#include <kvstore/internal/clock.hpp>
#include <kvstore/internal/footprint.hpp>

namespace kvstore::internal {

/// Parsed documents, handed out as long as nobody has committed since they were read.
///
/// The engine's mark tells that, without a system call. Each shard remembers the mark that its
/// documents belong to, and looks at the engine's under its lock before it hands one out. A commit
/// of our own carries the shards over to the mark that it made; anybody else's makes them
/// worthless. Where one of our own changed a document that was read from here, the new text takes
/// its place: what is read is likely to be read again.
///
/// Within its bytes the documents stay that were used last. When these are nearly used up, a
/// document is kept only if its key was missed not long ago, too: what is read once, or again only
/// much later, should not push out what is read often, nor cost the work of keeping it.
class Cache {
 public:
  /// `bytes` 0: keeps nothing.
  Cache(const engine::Engine& engine, std::size_t bytes);

  /// The document of a key. Absent: null, when it is not kept, or has expired.
  std::shared_ptr<const json> find(std::string_view key, Clock& clock);

  /// The present mark, to be asked before a document is read that may be kept.
  [[nodiscard]] engine::Mark mark() const noexcept { return engine_.mark(); }

  /// Keeps a document that was read when the mark was `mark`, unless that has changed. Absent:
  /// null, when it is not kept; `value` is as it was then.
  std::shared_ptr<const json> keep(std::string_view key, json& value,
                                   const std::optional<Time>& expires_at, const engine::Mark& mark);

  /// Keeps the text of a document that was stored by the commit which made `mark`, where there is
  /// room. Whoever finds it parses it.
  void keep(std::string_view key, std::string_view text, const std::optional<Time>& expires_at,
            const engine::Mark& mark);

  /// A commit of our own, from before it happens until `carry` has told the shards.
  class OwnCommit {
   public:
    explicit OwnCommit(Cache& cache) noexcept : cache_(cache) { ++cache_.own_commits_; }
    ~OwnCommit() noexcept { --cache_.own_commits_; }
    OwnCommit(const OwnCommit&) = delete;
    OwnCommit& operator=(const OwnCommit&) = delete;
    OwnCommit(OwnCommit&&) = delete;
    OwnCommit& operator=(OwnCommit&&) = delete;

    /// The only commit between the two marks was ours, and changed these keys. Returns whether any
    /// of them was kept, and read since it was.
    bool carry(const Changes& changes, const engine::Mark& before,
               const engine::Mark& after) noexcept;

   private:
    Cache& cache_;
  };

  /// Drops all; from here on the engine is not asked any more.
  void close() noexcept;

  [[nodiscard]] bool enabled() const noexcept { return shard_bytes_ != 0; }

  /// What the documents are taken to occupy. Units: bytes.
  [[nodiscard]] std::size_t bytes();

 private:
  /// A key with its hash, which chooses the shard and the bucket in it.
  struct Key {
    std::string_view text;
    std::size_t hash;
    explicit Key(std::string_view key) noexcept
        : text(key), hash(std::hash<std::string_view>()(key)) {}
  };
  /// May throw, as far as the table knows: so it keeps each hash beside its key.
  struct HashKey {
    using is_transparent = void;
    std::size_t operator()(const Key& key) const { return key.hash; }
    std::size_t operator()(std::string_view key) const { return Key(key).hash; }
  };
  struct SameKey {
    using is_transparent = void;
    bool operator()(const Key& a, std::string_view b) const noexcept { return a.text == b; }
    bool operator()(std::string_view a, std::string_view b) const noexcept { return a == b; }
  };

  struct Document {
    std::shared_ptr<const json> value;        ///< Null: only the text is kept.
    std::shared_ptr<const std::string> text;  ///< Null: it is parsed.
    std::optional<Time> expires_at;
    std::size_t bytes;
  };

  /// A document at its place in the order of use.
  struct Kept {
    Document document;
    const std::string* key;
    Kept* newer;  ///< Null: it is the newest.
    Kept* older;  ///< Null: it is the oldest.
  };
  using ByKey = std::unordered_map<std::string, Kept, HashKey, SameKey>;

  struct Shard {
    std::mutex mutex;
    bool closed = false;
    engine::Mark mark;
    ByKey by_key;
    Kept* newest = nullptr;
    Kept* oldest = nullptr;
    std::size_t bytes = 0;
    std::array<std::uint16_t, 512> missed{};  ///< Traces of keys that were missed lately.
    /// How many keys of the table fall to each place; 255 stays. Most keys that are not kept are
    /// known by it, where the table would be walked through memory that is far from the processor.
    std::array<std::uint8_t, 4096> present{};

    [[nodiscard]] ByKey::iterator look_up(const Key& key);
    bool missed_before(const Key& key) noexcept;
    void link(Kept& kept) noexcept;
    void unlink(Kept& kept) noexcept;
    void use(Kept& kept) noexcept;
    void drop(ByKey::iterator one);
    /// Returns whether it was kept, and read since it was.
    bool drop(const Key& key);
    void drop_oldest() { drop(by_key.find(*oldest->key)); }
    void add(const Key& key, Document document);
    void drop_all() noexcept;
  };

  static constexpr std::size_t shard_count = 16;

  /// A node of the table with its hash, its share of the buckets, and the two counters before a
  /// shared document.
  static constexpr std::size_t bookkeeping =
      heap_bytes(sizeof(ByKey::value_type) + 2 * sizeof(void*)) + sizeof(void*) +
      heap_bytes(sizeof(json) + 16);

  Shard& shard_of(const Key& key) noexcept;
  static std::size_t bytes_of(const Key& key) noexcept {
    return bookkeeping + heap_bytes(key.text.size() + 1);
  }
  std::shared_ptr<const json> parse(const Key& key, const std::shared_ptr<const std::string>& text);
  bool adopt(Shard& shard, const engine::Mark& mark) noexcept;

  const engine::Engine& engine_;
  std::size_t shard_bytes_;
  std::atomic<int> own_commits_{0};
  std::array<Shard, shard_count> shards_;
};

}  // namespace kvstore::internal
