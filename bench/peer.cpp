#include "peer.hpp"

#include <algorithm>
#include <stdexcept>

namespace bench {

std::shared_ptr<const json> Session::get_shared(std::string_view key) {
  std::optional<json> document = get(key);
  return document ? std::make_shared<const json>(*std::move(document)) : nullptr;
}

std::optional<json> Session::get_at(std::string_view key, const json::json_pointer& place) {
  std::optional<json> document = get(key);
  if (!document || !document->contains(place)) return std::nullopt;
  return std::move(document->at(place));
}

const std::vector<Peer>& peers() {
  static const std::vector<Peer> built{
      kvstore_peer(), sqlite_peer(),
#ifdef BENCH_LMDB
      lmdb_peer(),
#endif
#ifdef BENCH_LEVELDB
      leveldb_peer(),
#endif
#ifdef BENCH_ROCKSDB
      rocksdb_peer(),
#endif
  };
  return built;
}

const Peer& peer_called(std::string_view name) {
  const auto found = std::ranges::find(peers(), name, &Peer::name);
  if (found == peers().end()) {
    throw std::invalid_argument("no peer is called " + std::string(name));
  }
  return *found;
}

std::vector<std::string> missing_peers() {
  std::vector<std::string> missing{"lmdb", "leveldb", "rocksdb"};
  for (const Peer& peer : peers()) std::erase(missing, peer.name);
  return missing;
}

}  // namespace bench
