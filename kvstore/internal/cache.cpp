#include <iterator>
#include <utility>

#include <kvstore/internal/cache.hpp>
#include <kvstore/internal/codec.hpp>

namespace kvstore::internal {

Cache::Cache(const engine::Engine& engine, std::size_t bytes)
    : engine_(engine), shard_bytes_(bytes / shard_count) {}

Cache::Shard& Cache::shard_of(std::size_t hash) noexcept {
  // The low bits choose the bucket inside the shard.
  constexpr unsigned low_bits = 48;
  return shards_[(hash >> low_bits) % shard_count];
}

/// Whether this key left its trace lately; it does now.
bool Cache::Shard::missed_before(std::size_t hash) noexcept {
  constexpr unsigned other_bits = 16;
  const auto trace = static_cast<std::uint16_t>(hash >> other_bits);
  return std::exchange(missed[hash % missed.size()], trace) == trace;
}

void Cache::Shard::drop(std::list<Kept>::iterator one) {
  bytes -= one->bytes;
  by_key.erase(one->key);
  kept.erase(one);
}

bool Cache::Shard::drop(std::string_view key) {
  const auto found = by_key.find(key);
  if (found == by_key.end()) return false;
  const bool was_read = found->second->value != nullptr;
  drop(found->second);
  return was_read;
}

/// Of a key that has none.
void Cache::Shard::add(Kept one) {
  bytes += one.bytes;
  kept.push_front(std::move(one));
  by_key.emplace(kept.front().key, kept.begin());
}

void Cache::Shard::drop_all() noexcept {
  by_key.clear();
  kept.clear();
  bytes = 0;
}

std::shared_ptr<const json> Cache::find(std::string_view key, Clock& clock) {
  Shard& shard = shard_of(hash_of(key));
  std::shared_ptr<const json> value;
  std::shared_ptr<const std::string> text;
  std::optional<Time> expires_at;
  {
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.by_key.find(key);
    if (found == shard.by_key.end() || shard.closed || engine_.mark() != shard.mark) {
      return nullptr;
    }
    shard.kept.splice(shard.kept.begin(), shard.kept, found->second);
    value = found->second->value;
    expires_at = found->second->expires_at;
    text = found->second->text;
  }
  // The clock may be the caller's code.
  if (expires_at && *expires_at <= clock.now()) return nullptr;
  return value != nullptr ? value : parse(key, text);
}

std::shared_ptr<const json> Cache::parse(std::string_view key,
                                         const std::shared_ptr<const std::string>& text) {
  auto value = std::make_shared<const json>(decode(*text, key));
  const std::size_t bytes = bookkeeping + heap_bytes(key.size() + 1) + footprint(*value);
  Shard& shard = shard_of(hash_of(key));
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.by_key.find(key);
  if (found == shard.by_key.end() || found->second->text != text) return value;
  Kept& kept = *found->second;
  if (bytes > shard_bytes_) {
    shard.drop(found->second);
    return value;
  }
  shard.kept.splice(shard.kept.begin(), shard.kept, found->second);
  while (shard.bytes - kept.bytes + bytes > shard_bytes_) shard.drop(std::prev(shard.kept.end()));
  shard.bytes += bytes - kept.bytes;
  kept.bytes = bytes;
  kept.value = value;
  kept.text.reset();
  return value;
}

std::shared_ptr<const json> Cache::keep(std::string_view key, json& value,
                                        const std::optional<Time>& expires_at,
                                        const engine::Mark& mark) {
  const std::size_t hash = hash_of(key);
  Shard& shard = shard_of(hash);
  bool nearly_full = false;
  {
    const std::lock_guard lock(shard.mutex);
    // What belongs to another mark goes anyway.
    nearly_full = shard.mark == mark && shard.bytes > shard_bytes_ - shard_bytes_ / 8;
    if (nearly_full && !shard.missed_before(hash)) return nullptr;
  }
  const std::size_t bytes = bookkeeping + heap_bytes(key.size() + 1) + footprint(value);
  if (bytes > shard_bytes_) return nullptr;
  const std::lock_guard lock(shard.mutex);
  if (!adopt(shard, mark)) return nullptr;
  const bool full = shard.bytes + bytes > shard_bytes_;
  if (full && !nearly_full && !shard.missed_before(hash)) return nullptr;
  shard.drop(key);
  while (shard.bytes + bytes > shard_bytes_) shard.drop(std::prev(shard.kept.end()));
  auto kept = std::make_shared<const json>(std::move(value));
  shard.add({std::string(key), kept, nullptr, expires_at, bytes});
  return kept;
}

void Cache::keep(std::string_view key, std::string_view text, const std::optional<Time>& expires_at,
                 const engine::Mark& mark) {
  const std::size_t bytes = bookkeeping + heap_bytes(key.size() + 1) + heap_bytes(text.size() + 1);
  Shard& shard = shard_of(hash_of(key));
  const std::lock_guard lock(shard.mutex);
  if (!adopt(shard, mark) || shard.bytes + bytes > shard_bytes_) return;
  shard.drop(key);
  shard.add(
      {std::string(key), nullptr, std::make_shared<const std::string>(text), expires_at, bytes});
}

/// Makes a shard, which is locked, one of documents that belong to `mark`. Returns whether it is:
/// not when that is not the present mark.
bool Cache::adopt(Shard& shard, const engine::Mark& mark) noexcept {
  if (shard.closed || !mark.known || engine_.mark() != mark) return false;
  if (shard.mark == mark) return true;
  // Between a commit of our own and its `carry` the shard is not as old as it looks.
  if (own_commits_ != 0) return false;
  shard.drop_all();
  shard.mark = mark;
  return true;
}

bool Cache::OwnCommit::carry(const Changes& changes, const engine::Mark& before,
                             const engine::Mark& after) noexcept {
  bool any_read = false;
  for (Shard& shard : cache_.shards_) shard.mutex.lock();
  for (const std::string& key : changes.keys()) {
    any_read |= cache_.shard_of(hash_of(key)).drop(key);
  }
  for (Shard& shard : cache_.shards_) {
    if (shard.mark == before) {
      if (changes.many()) shard.drop_all();
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
    shard.drop_all();
  }
}

std::size_t Cache::bytes() {
  std::size_t bytes = 0;
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    bytes += shard.bytes;
  }
  return bytes;
}

}  // namespace kvstore::internal
