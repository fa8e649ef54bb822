#include <iterator>
#include <utility>

#include <kvstore/internal/cache.hpp>
#include <kvstore/internal/footprint.hpp>

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

void Cache::Shard::drop(std::string_view key) {
  const auto found = by_key.find(key);
  if (found != by_key.end()) drop(found->second);
}

void Cache::Shard::drop_all() noexcept {
  by_key.clear();
  kept.clear();
  bytes = 0;
}

std::shared_ptr<const json> Cache::find(std::string_view key, Clock& clock) {
  Shard& shard = shard_of(hash_of(key));
  std::shared_ptr<const json> value;
  std::optional<Time> expires_at;
  {
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.by_key.find(key);
    if (found == shard.by_key.end() || shard.closed || mark() != shard.mark) return nullptr;
    shard.kept.splice(shard.kept.begin(), shard.kept, found->second);
    value = found->second->value;
    expires_at = found->second->expires_at;
  }
  // The clock may be the caller's code.
  if (expires_at && *expires_at <= clock.now()) return nullptr;
  return value;
}

std::shared_ptr<const json> Cache::keep(std::string_view key, json& value,
                                        const std::optional<Time>& expires_at,
                                        const engine::Mark& mark) {
  // A node of the list, one of the map, and the two counters before a shared document.
  constexpr std::size_t bookkeeping = heap_bytes(sizeof(Kept) + 2 * sizeof(void*)) +
                                      heap_bytes(5 * sizeof(void*)) + heap_bytes(sizeof(json) + 16);
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
  if (shard.closed || !mark.known || engine_.mark() != mark) return nullptr;
  if (shard.mark != mark) {
    // Between a commit of our own and its `carry` the shard is not as old as it looks.
    if (own_commits_ != 0) return nullptr;
    shard.drop_all();
    shard.mark = mark;
  }
  const bool full = shard.bytes + bytes > shard_bytes_;
  if (full && !nearly_full && !shard.missed_before(hash)) return nullptr;
  shard.drop(key);
  while (shard.bytes + bytes > shard_bytes_) shard.drop(std::prev(shard.kept.end()));
  auto kept = std::make_shared<const json>(std::move(value));
  shard.kept.push_front({std::string(key), kept, expires_at, bytes});
  shard.bytes += bytes;
  shard.by_key.emplace(shard.kept.front().key, shard.kept.begin());
  return kept;
}

void Cache::OwnCommit::carry(const Changes& changes, const engine::Mark& before,
                             const engine::Mark& after) noexcept {
  for (Shard& shard : cache_.shards_) shard.mutex.lock();
  for (const std::string& key : changes.keys()) cache_.shard_of(hash_of(key)).drop(key);
  for (Shard& shard : cache_.shards_) {
    if (shard.mark == before) {
      if (changes.many()) shard.drop_all();
      shard.mark = after;
    }
    shard.mutex.unlock();
  }
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
