#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include <kvstore/engine/engine.hpp>
#include <kvstore/internal/changes.hpp>
#include <kvstore/internal/clock.hpp>
#include <kvstore/internal/document_lru.hpp>

namespace kvstore::internal {

/// Documents, handed out as long as nobody has committed since they were read.
///
/// The engine's mark tells that, without a system call. Each shard remembers the mark that its
/// documents belong to, and looks at the engine's under its lock before it hands one out. A commit
/// of our own carries the shards over to the mark that it made; anybody else's makes them
/// worthless. Where one of our own changed a document that was read from here, the new one takes
/// its place: what is read is likely to be read again.
///
/// A document of some size is kept packed, where that is smaller, as long as only copies of it were
/// asked for.
///
/// Within its bytes the documents stay that were used last. When these are nearly used up, a
/// document is kept only if its key was missed not long ago, too: what is read once, or again only
/// much later, should not push out what is read often, nor cost the work of keeping it.
class Cache {
 public:
  /// `bytes` 0: keeps nothing.
  Cache(const engine::Engine& engine, std::size_t bytes);

  /// What a reader needs a document for.
  enum class Use : std::uint8_t {
    copy,   ///< It gets all of it, to do with as it likes.
    share,  ///< It looks at it, and changes nothing.
  };

  /// A document for a reader: one that is kept, or one for the reader alone. Absent: neither.
  struct Found {
    std::shared_ptr<const json> kept{};
    std::optional<json> own{};
  };

  /// The document of a key. Absent: it is not kept, or has expired.
  Found find(std::string_view key, Use use, Clock& clock);

  /// Keeps a document that was read when the mark was `mark`, unless that has changed. Absent:
  /// null, when `value` is left to the reader: it is not kept, or packed.
  std::shared_ptr<const json> keep(std::string_view key, json& value, Use use,
                                   const std::optional<Time>& expires_at, const engine::Mark& mark);

  /// Keeps a document that was stored by the commit which made `mark`, in place of one that was
  /// read. `value`: what its text was made of. Where that is null, or can neither be packed nor is
  /// small, the text is kept, and parsed by whoever finds it.
  void keep(std::string_view key, const Changes::Stored& stored, const json* value,
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
  struct Shard {
    std::mutex mutex;
    bool closed = false;
    engine::Mark mark;
    DocumentLru documents;
  };

  static constexpr std::size_t shard_count = 16;

  Shard& shard_of(const HashedKey& key) noexcept;
  Found convert(const HashedKey& key, const DocumentLru::Form& from, Use use);
  [[nodiscard]] bool is_present(const Shard& shard, const engine::Mark& mark) const noexcept;
  bool adopt(Shard& shard, const engine::Mark& mark) noexcept;

  const engine::Engine& engine_;
  std::size_t shard_bytes_;
  std::atomic<int> own_commits_{0};
  std::array<Shard, shard_count> shards_;
};

}  // namespace kvstore::internal
