#include <algorithm>
#include <bit>
#include <utility>

#include <kvstore/internal/cache.hpp>
#include <kvstore/internal/codec.hpp>

namespace kvstore::internal {
namespace {

constexpr std::uint8_t most_counted = 255;

}  // namespace

Cache::Cache(const engine::Engine& engine, std::size_t bytes)
    : engine_(engine), shard_bytes_(bytes / shard_count) {}

Cache::Shard& Cache::shard_of(const Key& key) noexcept {
  // The low bits choose the bucket inside the shard.
  constexpr unsigned low_bits = 48;
  return shards_[(key.hash >> low_bits) % shard_count];
}

Cache::ByKey::iterator Cache::Shard::look_up(const Key& key) {
  return present[key.hash % present.size()] == 0 ? by_key.end() : by_key.find(key);
}

/// Whether this key left its trace lately; it does now. Of no more misses than there are documents
/// here: where one was missed longer ago, it would not have stayed until now.
bool Cache::Shard::missed_before(const Key& key) noexcept {
  constexpr unsigned other_bits = 16;
  const std::size_t lately =
      std::bit_floor(std::clamp(by_key.size(), std::size_t{1}, missed.size()));
  const auto trace = static_cast<std::uint16_t>(key.hash >> other_bits);
  return std::exchange(missed[key.hash % lately], trace) == trace;
}

/// As the newest.
void Cache::Shard::link(Kept& kept) noexcept {
  kept.newer = nullptr;
  kept.older = newest;
  (newest != nullptr ? newest->newer : oldest) = &kept;
  newest = &kept;
}

void Cache::Shard::unlink(Kept& kept) noexcept {
  (kept.newer != nullptr ? kept.newer->older : newest) = kept.older;
  (kept.older != nullptr ? kept.older->newer : oldest) = kept.newer;
}

void Cache::Shard::use(Kept& kept) noexcept {
  if (&kept == newest) return;
  unlink(kept);
  link(kept);
}

void Cache::Shard::drop(ByKey::iterator one) {
  bytes -= one->second.document.bytes;
  unlink(one->second);
  std::uint8_t& keys = present[Key(one->first).hash % present.size()];
  if (keys != most_counted) --keys;
  by_key.erase(one);
}

bool Cache::Shard::drop(const Key& key) {
  const auto found = look_up(key);
  if (found == by_key.end()) return false;
  const bool was_read = found->second.document.value != nullptr;
  drop(found);
  return was_read;
}

/// Of a key that has none.
void Cache::Shard::add(const Key& key, Document document) {
  bytes += document.bytes;
  const auto added = by_key.try_emplace(std::string(key.text)).first;
  added->second.document = std::move(document);
  added->second.key = &added->first;
  link(added->second);
  std::uint8_t& keys = present[key.hash % present.size()];
  if (keys != most_counted) ++keys;
}

void Cache::Shard::drop_all() noexcept {
  if (by_key.empty()) return;
  by_key.clear();
  present.fill(0);
  newest = oldest = nullptr;
  bytes = 0;
}

std::shared_ptr<const json> Cache::find(std::string_view name, Clock& clock) {
  const Key key(name);
  Shard& shard = shard_of(key);
  std::shared_ptr<const json> value;
  std::shared_ptr<const std::string> text;
  std::optional<Time> expires_at;
  {
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.look_up(key);
    if (found == shard.by_key.end() || shard.closed || engine_.mark() != shard.mark) {
      return nullptr;
    }
    shard.use(found->second);
    const Document& document = found->second.document;
    value = document.value;
    expires_at = document.expires_at;
    text = document.text;
  }
  // The clock may be the caller's code.
  if (expires_at && *expires_at <= clock.now()) return nullptr;
  return value != nullptr ? value : parse(key, text);
}

std::shared_ptr<const json> Cache::parse(const Key& key,
                                         const std::shared_ptr<const std::string>& text) {
  auto value = std::make_shared<const json>(decode(*text, key.text));
  const std::size_t bytes = bytes_of(key) + footprint(*value);
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  const auto found = shard.look_up(key);
  if (found == shard.by_key.end() || found->second.document.text != text) return value;
  if (bytes > shard_bytes_) {
    shard.drop(found);
    return value;
  }
  shard.use(found->second);
  Document& document = found->second.document;
  while (shard.bytes - document.bytes + bytes > shard_bytes_) shard.drop_oldest();
  shard.bytes += bytes - document.bytes;
  document.bytes = bytes;
  document.value = value;
  document.text.reset();
  return value;
}

std::shared_ptr<const json> Cache::keep(std::string_view name, json& value,
                                        const std::optional<Time>& expires_at,
                                        const engine::Mark& mark) {
  const Key key(name);
  Shard& shard = shard_of(key);
  bool nearly_full = false;
  {
    const std::lock_guard lock(shard.mutex);
    // What belongs to another mark goes anyway.
    nearly_full = shard.mark == mark && shard.bytes > shard_bytes_ - shard_bytes_ / 8;
    if (nearly_full && !shard.missed_before(key)) return nullptr;
  }
  const std::size_t bytes = bytes_of(key) + footprint(value);
  if (bytes > shard_bytes_) return nullptr;
  const std::lock_guard lock(shard.mutex);
  if (!adopt(shard, mark)) return nullptr;
  const bool full = shard.bytes + bytes > shard_bytes_;
  if (full && !nearly_full && !shard.missed_before(key)) return nullptr;
  shard.drop(key);
  while (shard.bytes + bytes > shard_bytes_) shard.drop_oldest();
  auto kept = std::make_shared<const json>(std::move(value));
  shard.add(key, {kept, nullptr, expires_at, bytes});
  return kept;
}

void Cache::keep(std::string_view name, std::string_view text,
                 const std::optional<Time>& expires_at, const engine::Mark& mark) {
  const Key key(name);
  const std::size_t bytes = bytes_of(key) + heap_bytes(text.size() + 1);
  Shard& shard = shard_of(key);
  const std::lock_guard lock(shard.mutex);
  if (!adopt(shard, mark) || shard.bytes + bytes > shard_bytes_) return;
  shard.drop(key);
  shard.add(key, {nullptr, std::make_shared<const std::string>(text), expires_at, bytes});
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
  for (const std::string& name : changes.keys()) {
    const Key key(name);
    any_read |= cache_.shard_of(key).drop(key);
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
