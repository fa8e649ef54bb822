#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include <kvstore/internal/document_lru.hpp>

namespace kvstore::internal {
namespace {

constexpr std::uint8_t uncounted = std::numeric_limits<std::uint8_t>::max();

void count(std::uint8_t& keys) noexcept {
  if (keys != uncounted) ++keys;
}

}  // namespace

DocumentLru::Kept* DocumentLru::find(const HashedKey& key) {
  if (present_.empty() || keys_beside(key) == 0) return nullptr;
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? nullptr : &found->second;
}

void DocumentLru::link(Kept& kept) noexcept {
  kept.newer = nullptr;
  kept.older = newest_;
  (newest_ != nullptr ? newest_->newer : oldest_) = &kept;
  newest_ = &kept;
}

void DocumentLru::unlink(const Kept& kept) noexcept {
  (kept.newer != nullptr ? kept.newer->older : newest_) = kept.older;
  (kept.older != nullptr ? kept.older->newer : oldest_) = kept.newer;
}

void DocumentLru::use(Kept& kept) noexcept {
  kept.document.unread = false;
  if (&kept == newest_) return;
  unlink(kept);
  link(kept);
}

void DocumentLru::count_keys(std::size_t places) {
  present_ = std::vector<std::uint8_t>(places);
  for (const auto& [key, kept] : by_key_) count(keys_beside(HashedKey(key)));
}

void DocumentLru::add(const HashedKey& key, Document document) {
  constexpr std::size_t fewest_places = 256;
  if (present_.size() < 2 * (by_key_.size() + 1)) {
    count_keys(std::max(fewest_places, 4 * present_.size()));
  }
  const auto added = by_key_.try_emplace(std::string(key.text)).first;
  Kept& kept = added->second;
  kept.document = std::move(document);
  kept.key = &added->first;
  link(kept);
  bytes_ += kept.document.bytes;
  count(keys_beside(key));
}

void DocumentLru::drop(const Kept& kept) {
  const HashedKey key(*kept.key);
  if (std::uint8_t& keys = keys_beside(key); keys != uncounted) --keys;
  bytes_ -= kept.document.bytes;
  unlink(kept);
  by_key_.erase(by_key_.find(key));
}

void DocumentLru::drop_all() noexcept {
  if (by_key_.empty()) return;
  by_key_.clear();
  std::ranges::fill(present_, std::uint8_t{0});
  newest_ = oldest_ = nullptr;
  bytes_ = 0;
}

bool DocumentLru::missed_before(const HashedKey& key) {
  constexpr std::size_t fewest_places = 512;
  constexpr unsigned other_bits = 32;
  if (missed_.size() < std::max(fewest_places, by_key_.size())) {
    missed_.assign(std::max(fewest_places, std::bit_ceil(by_key_.size())), {});
  }
  const Miss now{.trace = static_cast<std::uint32_t>(key.hash >> other_bits), .number = ++misses_};
  const Miss before = std::exchange(missed_[place(key, missed_.size())], now);
  return before.trace == now.trace && now.number - before.number <= by_key_.size();
}

}  // namespace kvstore::internal
