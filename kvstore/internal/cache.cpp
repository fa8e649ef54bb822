#include <utility>
#include <variant>

#include <kvstore/internal/cache.hpp>
#include <kvstore/internal/codec.hpp>

namespace kvstore::internal {
namespace {

/// The size from which on a document may be packed. Units: bytes, parsed.
constexpr std::size_t some_size = 4096;

/// Packs a document of some size, where that saves at least half of the memory. A smaller one has
/// few allocations, and is copied in less time than it is unpacked. Returns whether it did.
bool pack(DocumentLru::Document& document, const HashedKey& key, const json& value) {
  if (document.bytes < some_size) return false;
  auto packed = std::make_shared<const PackedDocument>(value);
  const std::size_t bytes = DocumentLru::bytes_packed(key, *packed);
  if (bytes > document.bytes / 2) return false;
  document.form = std::move(packed);
  document.bytes = bytes;
  return true;
}

}  // namespace

Cache::Cache(const engine::Engine& engine, std::size_t bytes)
    : engine_(engine), shard_bytes_(bytes / shard_count) {}

Cache::Shard& Cache::shard_of(const HashedKey& key) noexcept {
  // The low bits choose places inside the shard.
  constexpr unsigned low_bits = 48;
  return shards_[(key.hash >> low_bits) % shard_count];
}

Cache::Found Cache::find(std::string_view key, Use use, Clock& clock) {
  const HashedKey hashed(key);
  Shard& shard = shard_of(hashed);
  DocumentLru::Form form;
  std::optional<Time> expires_at;
  {
    const std::lock_guard lock(shard.mutex);
    DocumentLru::Kept* kept = shard.documents.find(hashed);
    if (kept == nullptr || shard.closed || engine_.mark() != shard.mark) return {};
    shard.documents.use(*kept);
    form = kept->document.form;
    expires_at = kept->document.expires_at;
  }
  // The clock may be the caller's code.
  if (expires_at && *expires_at <= clock.now()) return {};
  if (auto* value = std::get_if<DocumentLru::Value>(&form)) return {std::move(*value), {}};
  const auto* packed = std::get_if<DocumentLru::Packed>(&form);
  if (packed != nullptr && use == Use::copy) return {nullptr, (*packed)->unpack()};
  return convert(hashed, form, use);
}

/// Hands out what is kept in another form than it is used in, and keeps it in that form from now
/// on.
Cache::Found Cache::convert(const HashedKey& key, const DocumentLru::Form& from, Use use) {
  const auto* text = std::get_if<DocumentLru::Text>(&from);
  json value =
      text != nullptr ? decode(**text, key.text) : std::get<DocumentLru::Packed>(from)->unpack();
  DocumentLru::Document document{.bytes = DocumentLru::bytes_parsed(key, value)};
  Found found;
  if (use == Use::copy && pack(document, key, value)) {
    found.own = std::move(value);
  } else {
    found.kept = std::make_shared<const json>(std::move(value));
    document.form = found.kept;
  }
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  DocumentLru& documents = shard.documents;
  const DocumentLru::Kept* kept = documents.find(key);
  if (kept == nullptr || kept->document.form != from) return found;
  const bool fits = document.bytes <= shard_bytes_;
  if (!fits && text == nullptr) return found;  // packed it does
  document.expires_at = kept->document.expires_at;
  documents.drop(*kept);
  if (!fits) return found;
  while (documents.bytes() + document.bytes > shard_bytes_) documents.drop_oldest();
  documents.add(key, std::move(document));
  return found;
}

std::shared_ptr<const json> Cache::keep(std::string_view key, json& value, Use use,
                                        const std::optional<Time>& expires_at,
                                        const engine::Mark& mark) {
  const HashedKey hashed(key);
  Shard& shard = shard_of(hashed);
  DocumentLru& documents = shard.documents;
  bool nearly_full = false;
  {
    const std::lock_guard lock(shard.mutex);
    if (!is_present(shard, mark)) return nullptr;
    // What belongs to another mark goes anyway.
    nearly_full = shard.mark == mark && documents.bytes() > shard_bytes_ - shard_bytes_ / 8;
    if (nearly_full && !documents.missed_before(hashed)) return nullptr;
  }
  DocumentLru::Document document{.expires_at = expires_at,
                                 .bytes = DocumentLru::bytes_parsed(hashed, value)};
  const bool packed = use == Use::copy && pack(document, hashed, value);
  if (document.bytes > shard_bytes_) return nullptr;
  const std::lock_guard lock(shard.mutex);
  if (!adopt(shard, mark)) return nullptr;
  const bool full = documents.bytes() + document.bytes > shard_bytes_;
  if (full && !nearly_full && !documents.missed_before(hashed)) return nullptr;
  if (const DocumentLru::Kept* old = documents.find(hashed)) documents.drop(*old);
  while (documents.bytes() + document.bytes > shard_bytes_) documents.drop_oldest();
  std::shared_ptr<const json> shared;
  if (!packed) document.form = shared = std::make_shared<const json>(std::move(value));
  documents.add(hashed, std::move(document));
  return shared;
}

void Cache::keep(std::string_view key, const Changes::Stored& stored, const json* value,
                 const engine::Mark& mark) {
  const HashedKey hashed(key);
  DocumentLru::Document document{.expires_at = stored.expires_at, .unread = true};
  if (value != nullptr) document.bytes = DocumentLru::bytes_parsed(hashed, *value);
  if (value != nullptr && document.bytes < some_size) {
    auto copy = std::make_shared<const json>(as_decoded(*value));
    document.bytes = DocumentLru::bytes_parsed(hashed, *copy);
    document.form = std::move(copy);
  } else if (value == nullptr || !pack(document, hashed, *value)) {
    document.bytes = DocumentLru::bytes_as_text(hashed, stored.text);
    document.form = std::make_shared<const std::string>(stored.text);
  }
  Shard& shard = shard_of(hashed);
  DocumentLru& documents = shard.documents;
  const std::lock_guard lock(shard.mutex);
  if (!adopt(shard, mark) || document.bytes > shard_bytes_) return;
  if (const DocumentLru::Kept* old = documents.find(hashed)) documents.drop(*old);
  while (documents.bytes() + document.bytes > shard_bytes_) documents.drop_oldest();
  documents.add(hashed, std::move(document));
}

/// Whether `mark` is the present one. The shard is locked, for the engine may be asked only until
/// it is closed.
bool Cache::is_present(const Shard& shard, const engine::Mark& mark) const noexcept {
  return !shard.closed && mark.known && engine_.mark() == mark;
}

/// Makes a shard, which is locked, one of documents that belong to `mark`. Returns whether it is:
/// not when that is not the present mark.
bool Cache::adopt(Shard& shard, const engine::Mark& mark) noexcept {
  if (!is_present(shard, mark)) return false;
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
    any_read |= !kept->document.unread;
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
