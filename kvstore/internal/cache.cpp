#include <utility>

#include <kvstore/internal/cache.hpp>
#include <kvstore/internal/codec.hpp>

namespace kvstore::internal {

Cache::Cache(const engine::Engine& engine, std::size_t bytes)
    : engine_(engine), shard_bytes_(bytes / shard_count) {}

Cache::Shard& Cache::shard_of(const HashedKey& key) noexcept {
  // The low bits choose places inside the shard.
  constexpr unsigned low_bits = 48;
  return shards_[(key.hash >> low_bits) % shard_count];
}

std::shared_ptr<const json> Cache::find(std::string_view key, Clock& clock) {
  const HashedKey hashed(key);
  Shard& shard = shard_of(hashed);
  std::shared_ptr<const json> value;
  std::shared_ptr<const std::string> text;
  std::optional<Time> expires_at;
  {
    const std::lock_guard lock(shard.mutex);
    DocumentLru::Kept* kept = shard.documents.find(hashed);
    if (kept == nullptr || shard.closed || engine_.mark() != shard.mark) return nullptr;
    shard.documents.use(*kept);
    value = kept->document.value;
    expires_at = kept->document.expires_at;
    text = kept->document.text;
  }
  // The clock may be the caller's code.
  if (expires_at && *expires_at <= clock.now()) return nullptr;
  return value != nullptr ? value : parse(hashed, text);
}

std::shared_ptr<const json> Cache::parse(const HashedKey& key,
                                         const std::shared_ptr<const std::string>& text) {
  auto value = std::make_shared<const json>(decode(*text, key.text));
  const std::size_t bytes = DocumentLru::bytes_parsed(key, *value);
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  DocumentLru& documents = shard.documents;
  DocumentLru::Kept* kept = documents.find(key);
  if (kept == nullptr || kept->document.text != text) return value;
  if (bytes > shard_bytes_) {
    documents.drop(*kept);
    return value;
  }
  documents.use(*kept);
  documents.resize(kept->document, bytes);
  while (documents.bytes() > shard_bytes_) documents.drop_oldest();
  kept->document.value = value;
  kept->document.text.reset();
  return value;
}

std::shared_ptr<const json> Cache::keep(std::string_view key, json& value,
                                        const std::optional<Time>& expires_at,
                                        const engine::Mark& mark) {
  const HashedKey hashed(key);
  Shard& shard = shard_of(hashed);
  DocumentLru& documents = shard.documents;
  bool nearly_full = false;
  {
    const std::lock_guard lock(shard.mutex);
    // What belongs to another mark goes anyway.
    nearly_full = shard.mark == mark && documents.bytes() > shard_bytes_ - shard_bytes_ / 8;
    if (nearly_full && !documents.missed_before(hashed)) return nullptr;
  }
  const std::size_t bytes = DocumentLru::bytes_parsed(hashed, value);
  if (bytes > shard_bytes_) return nullptr;
  const std::lock_guard lock(shard.mutex);
  if (!adopt(shard, mark)) return nullptr;
  const bool full = documents.bytes() + bytes > shard_bytes_;
  if (full && !nearly_full && !documents.missed_before(hashed)) return nullptr;
  if (const DocumentLru::Kept* old = documents.find(hashed)) documents.drop(*old);
  while (documents.bytes() + bytes > shard_bytes_) documents.drop_oldest();
  auto kept = std::make_shared<const json>(std::move(value));
  documents.add(hashed, {kept, nullptr, expires_at, bytes});
  return kept;
}

void Cache::keep(std::string_view key, std::string_view text, const std::optional<Time>& expires_at,
                 const engine::Mark& mark) {
  const HashedKey hashed(key);
  const std::size_t bytes = DocumentLru::bytes_as_text(hashed, text);
  Shard& shard = shard_of(hashed);
  DocumentLru& documents = shard.documents;
  const std::lock_guard lock(shard.mutex);
  if (!adopt(shard, mark) || documents.bytes() + bytes > shard_bytes_) return;
  if (const DocumentLru::Kept* old = documents.find(hashed)) documents.drop(*old);
  documents.add(hashed, {nullptr, std::make_shared<const std::string>(text), expires_at, bytes});
}

/// Makes a shard, which is locked, one of documents that belong to `mark`. Returns whether it is:
/// not when that is not the present mark.
bool Cache::adopt(Shard& shard, const engine::Mark& mark) noexcept {
  if (shard.closed || !mark.known || engine_.mark() != mark) return false;
  if (shard.mark == mark) return true;
  // Between a commit of our own and its `carry` the shard is not as old as it looks.
  if (own_commits_ != 0) return false;
  shard.documents.drop_all();
  shard.mark = mark;
  return true;
}

bool Cache::OwnCommit::carry(const Changes& changes, const engine::Mark& before,
                             const engine::Mark& after) noexcept {
  bool any_read = false;
  for (Shard& shard : cache_.shards_) shard.mutex.lock();
  for (const std::string& name : changes.keys()) {
    const HashedKey key(name);
    DocumentLru& documents = cache_.shard_of(key).documents;
    const DocumentLru::Kept* kept = documents.find(key);
    if (kept == nullptr) continue;
    any_read |= kept->document.value != nullptr;
    documents.drop(*kept);
  }
  for (Shard& shard : cache_.shards_) {
    if (shard.mark == before) {
      if (changes.many()) shard.documents.drop_all();
      shard.mark = after;
    }
    shard.mutex.unlock();
  }
  return any_read;
}

void Cache::close() noexcept {
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    shard.closed = true;
    shard.documents.drop_all();
  }
}

std::size_t Cache::bytes() {
  std::size_t bytes = 0;
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    bytes += shard.documents.bytes();
  }
  return bytes;
}

}  // namespace kvstore::internal
