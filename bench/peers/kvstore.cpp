#include <kvstore/kvstore.hpp>

#include "../peer.hpp"

namespace bench {
namespace {

class KvstoreSession : public Session {
 public:
  explicit KvstoreSession(kvstore::KVStore& store) noexcept : store_(store) {}

  std::optional<json> get(std::string_view key) override { return store_.get(key); }

  std::shared_ptr<const json> get_shared(std::string_view key) override {
    return store_.get_shared(key);
  }

  std::optional<json> get_at(std::string_view key, const json::json_pointer& place) override {
    return store_.get(key, place);
  }

  std::vector<std::optional<json>> get_many(std::span<const std::string> keys) override {
    return store_.get_many(keys);
  }

  void scan(std::string_view from, std::size_t limit, const Visit& visit) override {
    for (const kvstore::Entry& entry : store_.scan({.from = std::string(from), .limit = limit})) {
      visit(entry.key, entry.value);
    }
  }

  void set(std::string_view key, const json& document) override { store_.set(key, document); }

  void set_many(const Batch& batch) override { store_.set_many(batch); }

  void update(std::string_view key, const Change& change) override { store_.update(key, change); }

 private:
  kvstore::KVStore& store_;
};

class KvstoreDatabase : public Database {
 public:
  KvstoreDatabase(const std::string& directory, const kvstore::Options& options)
      : store_(directory + "/store.db", options) {}

  std::unique_ptr<Session> session() override { return std::make_unique<KvstoreSession>(store_); }

 private:
  kvstore::KVStore store_;
};

std::unique_ptr<Database> open(const std::string& directory, const Settings& settings) {
  kvstore::Options options;
  if (settings.durability == Durability::normal) {
    options.durability = kvstore::Durability::normal;
  }
  if (settings.cache_bytes) options.cache_bytes = *settings.cache_bytes;
  if (!settings.keep_parsed) options.cache_bytes = 0;
  options.read_only = settings.read_only;
  return std::make_unique<KvstoreDatabase>(directory, options);
}

}  // namespace

Peer kvstore_peer() {
  return {.name = "kvstore", .version = "this", .many_processes = true, .open = open};
}

}  // namespace bench
