#include <limits>
#include <utility>

#include <kvstore/internal/cache_shard.hpp>

namespace kvstore::internal {
namespace {

constexpr std::uint8_t uncounted = std::numeric_limits<std::uint8_t>::max();

}  // namespace

CacheShard::Kept* CacheShard::find(const HashedKey& key) {
  if (keys_beside(key) == 0) return nullptr;
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : &found->second;
}

void CacheShard::link(Kept& kept) noexcept {
  kept.newer = nullptr;
  kept.older = newest_;
  (newest_ != nullptr ? newest_->newer : oldest_) = &kept;
  newest_ = &kept;
}

void CacheShard::unlink(const Kept& kept) noexcept {
  (kept.newer != nullptr ? kept.newer->older : newest_) = kept.older;
  (kept.older != nullptr ? kept.older->newer : oldest_) = kept.newer;
}

void CacheShard::use(Kept& kept) noexcept {
  if (&kept == newest_) return;
  unlink(kept);
  link(kept);
}

void CacheShard::add(const HashedKey& key, Document document) {
  const auto added = by_key_.try_emplace(std::string(key.text)).first;
  Kept& kept = added->second;
  kept.document = std::move(document);
  kept.key = &added->first;
  link(kept);
  bytes_ += kept.document.bytes;
  if (std::uint8_t& keys = keys_beside(key); keys != uncounted) ++keys;
}

void CacheShard::drop(const Kept& kept) {
  const HashedKey key(*kept.key);
  if (std::uint8_t& keys = keys_beside(key); keys != uncounted) --keys;
  bytes_ -= kept.document.bytes;
  unlink(kept);
  by_key_.erase(by_key_.find(key));
}

void CacheShard::drop_all() noexcept {
  if (by_key_.empty()) return;
  by_key_.clear();
  present_.fill(0);
  newest_ = oldest_ = nullptr;
  bytes_ = 0;
}

bool CacheShard::missed_before(const HashedKey& key) noexcept {
  constexpr unsigned other_bits = 16;
  const Miss now{.trace = static_cast<std::uint16_t>(key.hash >> other_bits), .number = ++misses_};
  const Miss before = std::exchange(missed_[key.hash % missed_.size()], now);
  const auto ago = static_cast<std::uint16_t>(now.number - before.number);
  return before.trace == now.trace && ago <= by_key_.size();
}

void CacheShard::resize(Document& document, std::size_t bytes) noexcept {
  bytes_ += bytes - document.bytes;
  document.bytes = bytes;
}

}  // namespace kvstore::internal
